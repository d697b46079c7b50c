"""Data sets that come as arrays: scikit-learn's digits and .npz files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from tfrecall.datasets.sources import Opened, held
from tfrecall.errors import InputError

_NEEDED = ("x_train", "y_train", "x_test", "y_test")


def open_digits() -> Opened:
    """Open scikit-learn's handwritten digits, whose 17 shades become bytes.

    Returns
    -------
    Opened
        1797 images of the shape (8, 8, 1), without a test split.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    return Opened(tuple(map(str, digits.target_names)), held(images, digits.target.astype(np.int64)), None)


def open_npz(path: Path) -> Opened:
    """Open an .npz file.

    Parameters
    ----------
    path : Path
        A file with ``x_train`` and ``x_test``, numbers of the shape (images, rows, columns) or (images, rows,
        columns, channels); ``y_train`` and ``y_test``, whole numbers from 0 of the shape (images,) or (images, 1);
        and perhaps ``class_names``, strings.

    Returns
    -------
    Opened
        Images as uint8 where all of them are whole numbers from 0 to 255, else float32. Without ``class_names`` the
        classes are called by their numbers, up to the highest in ``y_train``.

    Raises
    ------
    InputError
        When the file cannot be read, an array is missing, or arrays do not fit together.
    """
    arrays = _read(path)
    x_train, y_train = _images(path, arrays, "x_train"), _labels(path, arrays, "y_train")
    x_test, y_test = _images(path, arrays, "x_test"), _labels(path, arrays, "y_test")
    for part, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        _require(len(images) == len(labels), path, f"x_{part} holds {len(images)} images but y_{part} {len(labels)} labels")
    _require(
        (x_train.shape[1:], x_train.dtype) == (x_test.shape[1:], x_test.dtype),
        path,
        f"x_train holds {x_train.dtype} images of the shape {x_train.shape[1:]} but x_test {x_test.dtype} images of "
        f"the shape {x_test.shape[1:]}: save both alike",
    )
    class_names = _class_names(path, arrays, y_train, y_test)
    return Opened(class_names, held(x_train, y_train), held(x_test, y_test))


def _require(condition: bool, path: Path, otherwise: str) -> None:
    if not condition:
        raise InputError(f"{path}: {otherwise}.")


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file, with all four that are needed."""
    _require(path.is_file(), path, f"no such file; expected an .npz file with {', '.join(_NEEDED)}")
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file) as archive:
            found = archive.files
            arrays = {key: np.asarray(archive[key]) for key in (*_NEEDED, "class_names") if key in archive}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read as an .npz file of plain arrays ({error}): write it with "
            "np.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)."
        ) from error
    missing = [key for key in _NEEDED if key not in arrays]
    _require(not missing, path, f"it lacks {', '.join(missing)}, and holds {', '.join(found) or 'nothing'}")
    return arrays


def _images(path: Path, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    """Return ``images[image, row, column, channel]``, uint8 or float32."""
    images = arrays[key]
    _require(
        images.dtype.kind in "buif" and images.ndim in (3, 4) and images.size > 0,
        path,
        f"{key} must hold numbers of the shape (images, rows, columns) or (images, rows, columns, channels), not "
        f"{images.dtype} of the shape {images.shape}",
    )
    images = images if images.ndim == 4 else images[..., np.newaxis]
    # Bytes that were saved as wider integers, as np.array([...]) does, are bytes all the same.
    bytes_ = images.dtype.kind != "f" and images.min() >= 0 and images.max() <= 255
    return images.astype(np.uint8 if bytes_ else np.float32)


def _labels(path: Path, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    """Return ``labels[image]``, int64."""
    labels = arrays[key]
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    _require(
        labels.dtype.kind in "ui" and labels.ndim == 1 and labels.size > 0,
        path,
        f"{key} must hold whole numbers of the shape (images,), not {labels.dtype} of the shape {labels.shape}: number "
        "the classes 0, 1, 2, …, with their names in class_names",
    )
    _require(labels.min() >= 0, path, f"{key} holds the negative label {labels.min()}: number the classes 0, 1, 2, …")
    return labels.astype(np.int64)


def _class_names(path: Path, arrays: dict[str, np.ndarray], y_train: np.ndarray, y_test: np.ndarray) -> tuple[str, ...]:
    """Return ``class_names[class]``, with every label in range."""
    top = y_train.max()
    _require(
        top < len(y_train),
        path,
        f"y_train counts up to {top} with only {len(y_train)} images: number the classes 0, 1, 2, …",
    )
    names = arrays.get("class_names", np.arange(top + 1).astype(str))
    _require(
        names.ndim == 1 and names.dtype.kind == "U" and len(set(names.tolist())) == len(names) >= 2,
        path,
        f"there must be two classes or more with distinct strings for names, not {names.tolist()}",
    )
    for key, labels in (("y_train", y_train), ("y_test", y_test)):
        _require(
            labels.max() < len(names),
            path,
            f"{key} holds the label {labels.max()} but there are {len(names)} classes, 0 to {len(names) - 1}: correct "
            "the labels, or save class_names for all classes",
        )
    return tuple(names.tolist())
