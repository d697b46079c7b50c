"""The splits of a data set: their batches, samples and pixel moments."""

from __future__ import annotations

import numpy as np
import pytest
from sample_sets import everything

from tfrecall import datasets
from tfrecall.errors import InputError


def orders(pairs, iterations):
    return [np.concatenate([images[:, 0, 0, 0] for images, _ in pairs.as_numpy_iterator()]) for _ in range(iterations)]


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_the_last_batch_holds_what_is_left(digits):
    sizes = [len(labels) for _, labels in digits.validation.batches(50).as_numpy_iterator()]
    assert sizes == [50, 50, 20]


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_shuffling_follows_the_seed_and_differs_in_each_epoch(npz, memory_limit):
    train = datasets.load(npz(), image_shape=(3, 3, 1), memory_limit=memory_limit).train
    first, second = orders(train.batches(7, shuffle_seed=3), 2)
    assert first.tolist() != second.tolist()
    assert sorted(first) == sorted(second) == sorted(orders(train.batches(7), 1)[0])
    again = orders(train.batches(7, shuffle_seed=3), 2)
    np.testing.assert_array_equal([first, second], again)
    assert orders(train.batches(7, shuffle_seed=4), 1)[0].tolist() != first.tolist()


def test_shuffling_keeps_images_and_labels_together(npz):
    train = datasets.load(npz()).train
    for images, labels in train.batches(8, shuffle_seed=0).as_numpy_iterator():
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)


def test_images_on_the_disk_are_shuffled_like_those_in_memory(folder):
    shuffled = [
        orders(datasets.load(folder, memory_limit=limit).train.batches(9, shuffle_seed=1), 2) for limit in (2**30, 0)
    ]
    np.testing.assert_array_equal(*shuffled)


def test_each_epoch_of_a_fit_across_replicas_sees_every_image(npz):
    import tensorflow as tf

    train = datasets.load(npz()).train
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    shared = strategy.experimental_distribute_dataset(train.batches(8, shuffle_seed=0))
    epochs = [np.concatenate([images.numpy()[:, 0, 0, 0] for images, _ in shared]) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(everything(train)[0][:, 0, 0, 0])
    assert epochs[0].tolist() != epochs[1].tolist()


def test_sample_is_seeded_and_without_replacement(npz):
    train = datasets.load(npz()).train
    images, labels = train.sample(20, seed=1)
    assert images.shape == (20, 2, 2, 1)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert len(set(images[:, 0, 0, 0])) == 20
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
    np.testing.assert_array_equal(images, train.sample(20, seed=1)[0])
    assert images.tolist() != train.sample(20, seed=2)[0].tolist()
    assert len(train.sample(1000, seed=0)[0]) == len(train)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_batch_size_is_checked(digits, batch_size):
    with pytest.raises(InputError, match="batch size"):
        digits.train.batches(batch_size)


def test_sample_size_is_checked(digits):
    with pytest.raises(InputError, match="at least one"):
        digits.train.sample(0, seed=0)


def test_pixel_moments(digits):
    images = everything(digits.train)[0].astype(np.float64)
    mean, variance = digits.pixel_moments()
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(variance, images.var(axis=(0, 1, 2)), rtol=1e-12)


def test_pixel_moments_by_channel_far_from_zero(npz):
    generator = np.random.default_rng(0)
    pixels = generator.normal(loc=[1e4, 0, -5], size=(600, 5, 5, 3)).astype(np.float32)
    path = npz(x_train=pixels, y_train=np.arange(600) % 3, x_test=pixels[:9])
    dataset = datasets.load(path)
    images = everything(dataset.train)[0].astype(np.float64)
    mean, variance = dataset.pixel_moments()
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(variance, images.var(axis=(0, 1, 2)), rtol=1e-9)
