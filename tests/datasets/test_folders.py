"""Folders of class folders."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sample_sets import assert_same, everything, write_image

from tfrecall import datasets
from tfrecall.errors import InputError


def test_folder_without_a_test_folder(folder):
    dataset = datasets.load(folder)
    assert dataset.class_names == ("ant", "bee", "cat")
    assert dataset.image_shape == (8, 6, 3)
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [13, 3, 7]
    assert np.bincount(dataset.test.labels).tolist() == [3, 3, 1]
    assert_same(dataset, datasets.load(folder, memory_limit=0))
    grey = [datasets.load(folder, image_shape=(5, 5, 1), memory_limit=limit) for limit in (2**30, 0)]
    assert_same(*grey)


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_folder_pixels_are_those_of_the_files(tmp_path, memory_limit):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 7, 3))
    for number, image in enumerate(pixels):
        write_image(tmp_path / "train" / "ab"[number % 2] / f"{number}.png", image)
        write_image(tmp_path / "test" / "ab"[number % 2] / f"{number}.png", image[..., :1])
    dataset = datasets.load(tmp_path, validation_fraction=0.5, memory_limit=memory_limit)
    images, labels = everything(dataset.test)
    np.testing.assert_array_equal(images, np.repeat(pixels[[0, 2, 1, 3], ..., :1], 3, axis=-1))
    assert labels.tolist() == [0, 0, 1, 1]
    assert len(dataset.train) == len(dataset.validation) == 2
    shuffled = np.concatenate([labels for _, labels in dataset.test.batches(3, shuffle_seed=0).as_numpy_iterator()])
    assert sorted(shuffled) == [0, 0, 1, 1]


@pytest.mark.parametrize(("mode", "suffix"), [("L", "bmp"), ("RGB", "bmp"), ("P", "gif"), ("CMYK", "jpeg"), ("LA", "png")])
def test_folder_with_other_formats(folder, mode, suffix):
    image = pytest.importorskip("PIL.Image").new(mode, (6, 8))
    image.save(folder / "cat" / f"other.{suffix}")
    dataset = datasets.load(folder)
    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 24
    assert dataset.pixel_moments()[0][0] > 0


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "inside"])
def test_an_image_that_cannot_be_decoded_is_named(folder, damage):
    path = folder / "bee" / "0.png"
    content = path.read_bytes()
    damaged = {"empty": b"", "text": b"hello", "cut": content[:80], "inside": content[:60] + bytes(40) + content[100:]}
    path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"bee/0\.png cannot be read as an image: [^\n]*$"):
        datasets.load(folder)


def test_an_image_that_cannot_be_decoded_is_named_while_streaming(folder):
    dataset = datasets.load(folder, memory_limit=0)
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"hello")
    with pytest.raises(InputError, match=r"\.png cannot be read as an image: [^\n]*$"):
        dataset.pixel_moments()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"InputError: .*\.png cannot be read as an image"):
        list(dataset.train.batches(4))


def test_folders_that_hold_no_set(folder):
    (folder / "dog").mkdir()
    with pytest.raises(InputError, match="dog: no images"):
        datasets.load(folder)
    with pytest.raises(InputError, match="two or more, found 0"):
        datasets.load(folder / "ant")
    nested = folder / "dog" / "train" / "only"
    write_image(nested / "1.png", np.zeros((2, 2, 1)))
    with pytest.raises(InputError, match="two or more, found 1"):
        datasets.load(folder / "dog")


def test_a_test_class_without_training_images(folder):
    root = folder.parent / "nested"
    root.mkdir()
    folder.rename(root / "train")
    write_image(root / "test" / "wasp" / "1.png", np.zeros((2, 2, 1)))
    with pytest.raises(InputError, match="class wasp is not among"):
        datasets.load(root)


def test_a_damaged_image_met_while_training_is_named(tmp_path):
    from tfrecall import training

    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(12):
            image = tf.io.encode_png(rng.integers(0, 256, (8, 8, 3), np.uint8))
            tf.io.write_file(str(tmp_path / name / f"{index}.png"), image)
    data = datasets.load(tmp_path, memory_limit=0)
    bad = tmp_path / "dog" / "5.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    layers = tf_keras.layers
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2, activation="softmax")])
    training.compile_model(model, training.recipe("default"), 10)

    def train_and_test():
        training.fit(model, data.train, data.validation, training.recipe("default"), epochs=1, seed=0)
        training.predict(model, data.test)

    with pytest.raises(InputError, match=r"dog/5\.png cannot be read as an image"):
        train_and_test()
