"""The digits and .npz files."""

from __future__ import annotations

import numpy as np
import pytest
from sample_sets import arrays, assert_same, everything, numbered

from tfrecall import datasets
from tfrecall.errors import InputError


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
