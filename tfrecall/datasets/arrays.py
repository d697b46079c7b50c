"""Data sets that come as arrays: scikit-learn's digits and .npz files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from tfrecall.archives import ArchiveError, read_arrays
from tfrecall.datasets.sources import Opened, held
from tfrecall.errors import DataWarning, InputError

_NEEDED = ("x_train", "y_train", "x_test", "y_test")

# How many channels an axis can stand for where an array's layout has to follow from its shape.
_CHANNELS = (1, 3, 4)


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
        A file with ``x_train`` and ``x_test``, finite numbers of the shape (images, rows, columns), (images, rows, columns,
        channels) or (images, channels, rows, columns), which `channels_first` tells apart; ``y_train`` and ``y_test``, whole
        numbers from 0 of the shape (images,) or (images, 1), of any type, or one-hot of the shape (images, classes); and
        perhaps ``class_names``, strings.

    Returns
    -------
    Opened
        Images as uint8 where all of them are whole numbers from 0 to 255, else float32. Without ``class_names`` the
        classes are called by their numbers, up to the highest in ``y_train``, and none may be missing there.

    Raises
    ------
    InputError
        When the file cannot be read, an array is missing, or arrays do not fit together.
    """
    arrays = _read(path)
    x_train, x_test = (_channels_last(path, arrays[key], key) for key in ("x_train", "x_test"))
    y_train, y_test = (_labels(path, arrays[key], key) for key in ("y_train", "y_test"))
    if x_train.ndim == arrays["x_train"].ndim and x_train.shape != arrays["x_train"].shape:
        warnings.warn(
            f"{path}: images of the shape {arrays['x_train'].shape[1:]} are channels first: they are read as "
            f"{x_train.shape[1:]}.",
            DataWarning,
            stacklevel=4,
        )
    for part, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        _require(len(images) == len(labels), path, f"x_{part} holds {len(images)} images but y_{part} {len(labels)} labels")
    _require(
        x_train.shape[1:] == x_test.shape[1:] and (x_train.dtype.kind == "f") == (x_test.dtype.kind == "f"),
        path,
        f"x_train holds {x_train.dtype} images of the shape {x_train.shape[1:]} but x_test {x_test.dtype} images of "
        f"the shape {x_test.shape[1:]}: save both alike",
    )
    class_names = _class_names(path, arrays, y_train, y_test)
    # Bytes that were saved as wider integers, as np.array([...]) does, are bytes all the same.
    dtype = np.uint8 if _holds_bytes(x_train) and _holds_bytes(x_test) else np.float32
    train, test = (_converted(path, images, key, dtype) for images, key in ((x_train, "x_train"), (x_test, "x_test")))
    return Opened(class_names, held(train, y_train), held(test, y_test))


def channels_first(shape: tuple[int, int, int]) -> bool:
    """Return whether images of a shape are (channels, rows, columns), and not (rows, columns, channels).

    They are where the first axis is 1, 3 or 4 and the last is not, and where the last two axes are alike and the first two
    are not. So 3×32×32 has its channels first, and of shapes that can be both, such as 3×32×3, they are last, as in Keras.

    Examples
    --------
    >>> [channels_first(shape) for shape in ((3, 32, 32), (1, 28, 20), (32, 32, 3), (3, 32, 3), (1, 4, 4))]
    [True, True, False, False, True]
    """
    first, middle, last = shape
    if first not in _CHANNELS or first == middle:
        return False
    return middle == last or last not in _CHANNELS


def _require(condition: bool, path: Path, otherwise: str) -> None:
    if not condition:
        raise InputError(f"{path}: {otherwise}.")


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file, with all four that are needed."""
    _require(path.exists(), path, f"no such file; expected an .npz file with {', '.join(_NEEDED)}")
    try:
        names, arrays = read_arrays(path, (*_NEEDED, "class_names"))
    except ArchiveError as error:
        raise InputError(
            f"{path} cannot be read as an .npz file of plain arrays ({error}): write it with "
            "np.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)."
        ) from error
    missing = [key for key in _NEEDED if key not in arrays]
    _require(not missing, path, f"it lacks {', '.join(missing)}, and holds {', '.join(names) or 'nothing'}")
    return arrays


def _channels_last(path: Path, images: np.ndarray, key: str) -> np.ndarray:
    """Return ``images[image, row, column, channel]``, of their own type."""
    _require(
        images.dtype.kind in "buif" and images.ndim in (3, 4) and images.size > 0,
        path,
        f"{key} must hold numbers of the shape (images, rows, columns) or (images, rows, columns, channels), not "
        f"{images.dtype} of the shape {images.shape}",
    )
    if images.ndim == 3:
        return images[..., np.newaxis]
    return np.moveaxis(images, 1, 3) if channels_first(images.shape[1:]) else images


def _holds_bytes(images: np.ndarray) -> bool:
    return images.dtype == np.uint8 or (images.dtype.kind != "f" and images.min() >= 0 and images.max() <= 255)


def _converted(path: Path, images: np.ndarray, key: str, dtype: type) -> np.ndarray:
    with np.errstate(over="ignore"):
        images = images.astype(dtype, copy=False)
    # The extremes of an array with NaN are NaN, and to ask for them takes no memory.
    _require(
        dtype == np.uint8 or bool(np.isfinite([images.min(), images.max()]).all()),
        path,
        f"{key} holds pixels that are not finite (NaN, or beyond float32): replace them",
    )
    return images


def _all_whole(numbers: np.ndarray) -> bool:
    return bool((np.isfinite(numbers) & (numbers == np.floor(numbers))).all())


def _labels(path: Path, labels: np.ndarray, key: str) -> np.ndarray:
    """Return ``labels[image]``, int64."""
    shape, dtype = labels.shape, labels.dtype
    numbers = dtype.kind in "buif" and labels.size > 0 and labels.ndim in (1, 2)
    if numbers and labels.ndim == 2:
        if labels.shape[1] == 1:
            labels = labels[:, 0]
        elif (np.isin(labels, (0, 1)).all(axis=1) & (labels.sum(axis=1) == 1)).all():
            labels = labels.argmax(axis=1)
    _require(
        numbers and labels.ndim == 1 and (labels.dtype.kind != "f" or _all_whole(labels)),
        path,
        f"{key} must hold whole numbers of the shape (images,), not {dtype} of the shape {shape}: number "
        "the classes 0, 1, 2, …, with their names in class_names",
    )
    _require(labels.min() >= 0, path, f"{key} holds the negative label {labels.min()}: number the classes 0, 1, 2, …")
    _require(labels.max() < 2**31, path, f"{key} holds the label {labels.max()}: number the classes 0, 1, 2, …")
    return labels.astype(np.int64)


def _class_names(path: Path, arrays: dict[str, np.ndarray], y_train: np.ndarray, y_test: np.ndarray) -> tuple[str, ...]:
    """Return ``class_names[class]``, with every label in range."""
    top = y_train.max()
    _require(
        top < len(y_train),
        path,
        f"y_train counts up to {top} with only {len(y_train)} images: number the classes 0, 1, 2, …",
    )
    if "class_names" not in arrays:
        missing = np.flatnonzero(np.bincount(y_train) == 0)
        _require(
            not len(missing),
            path,
            f"y_train holds no image of class {next(iter(missing), '')}, of 0 to {top}: number the classes 0, 1, 2, … "
            "without gaps, or save class_names for all of them",
        )
    names = arrays.get("class_names", np.arange(top + 1).astype(str))
    _require(
        names.ndim == 1 and names.dtype.kind == "U" and len(set(names.tolist())) == len(names) >= 2,
        path,
        f"there must be two classes or more with distinct strings for names, not {str(names.tolist())[:80]}",
    )
    for key, labels in (("y_train", y_train), ("y_test", y_test)):
        _require(
            labels.max() < len(names),
            path,
            f"{key} holds the label {labels.max()} but there are {len(names)} classes, 0 to {len(names) - 1}: correct "
            "the labels, or save class_names for all classes",
        )
    return tuple(names.tolist())
