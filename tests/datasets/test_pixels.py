"""Bringing images to the shape that a model needs."""

from __future__ import annotations

import numpy as np
import pytest
from sample_sets import everything

from tfrecall import datasets
from tfrecall.errors import InputError


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_resizing_and_channels(npz, memory_limit):
    shape = {"image_shape": (6, 4, 3), "memory_limit": memory_limit}
    dataset = datasets.load(npz(), **shape)
    images, _ = everything(dataset.test)
    assert dataset.image_shape == (6, 4, 3)
    np.testing.assert_array_equal(images, np.broadcast_to(images[:, :1, :1, :1], (9, 6, 4, 3)))
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(100, 109))


def test_bytes_stay_whole_numbers_and_floats_stay_floats(npz):
    ramp = np.broadcast_to(np.arange(16).reshape(1, 4, 4, 1) * 17, (60, 4, 4, 1))
    shrunk = {}
    for dtype in (np.uint8, np.float64):
        path = npz(x_train=ramp.astype(dtype), x_test=ramp[:9].astype(dtype))
        shrunk[dtype] = everything(datasets.load(path, image_shape=(3, 3, 1)).train)[0]
    assert (shrunk[np.uint8] == np.round(shrunk[np.uint8])).all()
    assert (shrunk[np.float64] != np.round(shrunk[np.float64])).any()
    np.testing.assert_allclose(shrunk[np.uint8], shrunk[np.float64], atol=0.5001)


def test_shrinking_averages(npz):
    stripes = np.zeros((60, 32, 32, 1), np.uint8)
    stripes[:, :, ::2] = 200
    images, _ = everything(datasets.load(npz(x_train=stripes, x_test=stripes[:9]), image_shape=(4, 4, 1)).test)
    np.testing.assert_allclose(images, 100, atol=15)  # without antialiasing it would be all or nothing


def test_colour_becomes_grey(npz):
    colours = np.zeros((60, 2, 2, 3), np.uint8)
    colours[:] = [200, 100, 50]
    path = npz(x_train=colours, x_test=colours[:9])
    images, _ = everything(datasets.load(path, image_shape=lambda shape: (*shape[:2], 1)).test)
    np.testing.assert_allclose(images, 0.2989 * 200 + 0.587 * 100 + 0.114 * 50, atol=1)


@pytest.mark.parametrize("shape", [(8, 8), (0, 8, 1), (8, 8, 1.5), "8x8", (8, 8, 2)])
def test_shapes_that_cannot_be(shape):
    with pytest.raises(InputError, match=r"image shape|channels"):
        datasets.load("digits", image_shape=shape)
