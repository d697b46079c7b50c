"""The digits and .npz files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_sets import arrays, assert_same, everything, numbered

from tfrecall import datasets
from tfrecall.datasets.arrays import channels_first
from tfrecall.errors import DataWarning, InputError


def test_digits():
    digits = datasets.load("digits")
    assert digits.name == "digits"
    assert digits.class_names == tuple("0123456789")
    assert digits.image_shape == (8, 8, 1)
    assert len(digits.test) == 599
    assert len(digits.train) + len(digits.validation) == 1198
    images, labels = everything(digits.train)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert images.shape == (len(digits.train), 8, 8, 1)
    assert images.min() == 0
    assert images.max() == 255
    for split in (digits.train, digits.validation, digits.test):
        shares = np.bincount(split.labels, minlength=10) / len(split)
        np.testing.assert_allclose(shares, 0.1, atol=0.02)


def test_npz(npz):
    dataset = datasets.load(str(npz(class_names=np.array(["a", "b", "c"]))))
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.image_shape == (2, 2, 1)
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [54, 6, 9]
    images, labels = everything(dataset.test)
    np.testing.assert_array_equal(images, arrays()["x_test"])
    np.testing.assert_array_equal(labels, arrays()["y_test"])


@pytest.mark.parametrize(
    "changes",
    [
        {"x_train": numbered(60)[..., 0], "x_test": numbered(9)[..., 0] + 100},
        {"x_train": numbered(60).astype(np.int64)},
        {"y_train": (np.arange(60) % 3).reshape(-1, 1), "y_test": (np.arange(9) % 3).astype(np.uint8)},
        {"y_train": (np.arange(60) % 3).astype(np.float32), "y_test": (np.arange(9) % 3).astype(np.float64)},
        {"y_train": np.eye(3)[np.arange(60) % 3], "y_test": np.eye(3, dtype=bool)[np.arange(9) % 3]},
    ],
)
def test_npz_in_other_forms_is_the_same_set(npz, changes):
    plain = datasets.load(npz())
    assert_same(plain, datasets.load(npz(**changes)))


def test_npz_is_the_same_streamed_and_in_memory(npz):
    path = npz()
    assert_same(datasets.load(path), datasets.load(path, memory_limit=0))
    resized = [datasets.load(path, image_shape=(5, 3, 3), memory_limit=limit) for limit in (2**30, 0)]
    assert_same(*resized)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None, "x_test": None}, "lacks x_test, y_test, and holds x_train, y_train"),
        ({"y_train": np.arange(59) % 3}, "60 images but y_train 59 labels"),
        ({"y_train": np.arange(60) % 3 - 1}, "y_train holds the negative label -1"),
        ({"y_test": np.arange(9) % 3 + 0.5}, "y_test must hold whole numbers .* not float64"),
        ({"y_test": np.arange(9) % 4}, "y_test holds the label 3 but there are 3 classes"),
        ({"class_names": np.array(["a", "b"])}, "y_train holds the label 2 but there are 2 classes"),
        ({"class_names": np.array(["a", "b", "b"])}, "distinct strings"),
        ({"y_train": np.arange(60) % 3 * 1000}, "counts up to 2000"),
        ({"y_train": np.arange(60) % 3 + 1}, "y_train holds no image of class 0, of 0 to 3: .* or save class_names"),
        ({"y_train": np.arange(60) % 3 * 2}, "y_train holds no image of class 1, of 0 to 4: .* or save class_names"),
        ({"y_train": np.where(np.arange(60) == 7, np.nan, np.arange(60) % 3)}, "y_train must hold whole numbers"),
        ({"y_train": np.where(np.arange(60) == 7, np.inf, np.arange(60) % 3)}, "y_train must hold whole numbers"),
        ({"y_train": np.where(np.arange(60) == 7, 1e300, np.arange(60) % 3)}, "y_train holds the label 1e"),
        ({"y_train": np.eye(3)[np.arange(60) % 3] / 2}, r"y_train must hold whole numbers .* shape \(60, 3\)"),
        (
            {"x_train": numbered(60, dtype=np.float32) * np.nan, "x_test": numbered(9) / 2},
            "x_train holds pixels .* not finite",
        ),
        (
            {"x_test": np.where(numbered(9) == 4, np.inf, 1), "x_train": numbered(60) / 2},
            "x_test holds pixels .* not finite",
        ),
        ({"x_test": numbered(9) * 1e300, "x_train": numbered(60) / 2}, "x_test holds pixels .* not finite"),
        ({"x_train": numbered(60).astype(complex)}, "x_train must hold numbers"),
        ({"y_train": np.zeros(60, int), "y_test": np.zeros(9, int)}, "two classes or more"),
        ({"y_train": np.array(["cat"] * 60)}, "y_train must hold whole numbers"),
        ({"y_train": np.ones((60, 3), int)}, r"y_train .* shape \(images,\), not .* shape \(60, 3\)"),
        ({"x_train": numbered(0), "y_train": np.zeros(0, int)}, "x_train must hold numbers of the shape"),
        ({"x_train": np.zeros((60, 4))}, "x_train must hold numbers of the shape"),
        ({"x_train": np.full((60, 2, 2), "a")}, "x_train must hold numbers"),
        ({"x_train": np.full((60, 2, 2), None)}, "plain arrays"),
        ({"x_test": numbered(9, (3, 2, 1))}, r"\(2, 2, 1\) but x_test uint8 images of the shape \(3, 2, 1\)"),
        ({"x_test": numbered(9, dtype=np.float32)}, "x_train holds uint8 images .* but x_test float32"),
    ],
)
def test_npz_files_that_cannot_be_used(npz, changes, message):
    path = npz(**changes)
    with pytest.raises(InputError, match=message) as error:
        datasets.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "text", "array", "empty", "scrambled", "missing"])
def test_npz_files_that_cannot_be_read(npz, damage):
    path = npz()
    content = bytearray(path.read_bytes())
    middle = content.index(b"x_train.npy") + 200
    content[middle : middle + 20] = bytes(20)
    if damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif damage == "missing":
        path.unlink()
    else:
        damaged = {"cut": content[:500], "text": b"hello", "empty": b"", "scrambled": content}
        path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"cannot be read as an \.npz|no such file") as error:
        datasets.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_named_classes_may_lack_training_images(npz):
    labels = np.arange(60) % 3 + 1
    dataset = datasets.load(npz(y_train=labels, class_names=np.array(["none", "a", "b", "c"])))
    assert dataset.class_names == ("none", "a", "b", "c")
    assert set(dataset.train.labels) == {1, 2, 3}


def test_integers_beyond_bytes_in_one_part_are_the_same_kind_in_both(npz):
    dataset = datasets.load(npz(x_train=numbered(60, dtype=np.uint16) * 1000, x_test=numbered(9, dtype=np.uint16)))
    np.testing.assert_array_equal(everything(dataset.test)[0][:, 0, 0, 0], np.arange(9))
    assert dataset.train.sample(60, 0)[0].max() > 255


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_first_are_turned_and_that_is_said(npz, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 7, 9, channels), np.uint8)
    first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    with pytest.warns(DataWarning, match=rf"\({channels}, 7, 9\) are channels first: they are read as \(7, 9, {channels}\)"):
        turned = datasets.load(npz(x_train=first, x_test=first[:9]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = datasets.load(npz(x_train=pixels, x_test=pixels[:9]))
    assert turned.image_shape == (7, 9, channels)
    assert_same(plain, turned)


@given(rows=st.integers(5, 300), columns=st.integers(5, 300), channels=st.sampled_from([1, 3, 4]))
def test_pictures_of_usual_size_are_told_apart(rows, columns, channels):
    assert channels_first((channels, rows, columns))
    assert not channels_first((rows, columns, channels))


@pytest.mark.parametrize("shape", [(3, 32, 3), (3, 3, 3), (2, 2, 1), (28, 28, 10), (10, 28, 28), (4, 4, 16), (1, 1, 3)])
def test_shapes_that_can_be_both_are_read_as_keras_does(shape):
    assert not channels_first(shape)


def test_a_model_that_takes_channels_first_is_told(npz):
    pixels = np.zeros((60, 32, 32, 3), np.uint8)
    path = npz(x_train=pixels, x_test=pixels[:9])
    with pytest.raises(InputError, match=r"the model takes channels first, \(3, 32, 32\)"):
        datasets.load(path, image_shape=(3, 32, 32))
