"""Files of predictions from anywhere, so that a quantized, distilled or PyTorch model can be reported on too."""

from __future__ import annotations

import contextlib
import csv
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrecall.errors import InputError

_SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's predictions on one test set.

    Attributes
    ----------
    y_true : ndarray of int or str, shape (images,)
    y_pred : ndarray of int or str, shape (images,), or of float, shape (images, classes)
        Classes, or probabilities.
    class_names : tuple of str or None
        One name a class, where they are known.
    """

    y_true: np.ndarray
    y_pred: np.ndarray
    class_names: tuple[str, ...] | None = None


def is_predictions(path: str | os.PathLike) -> bool:
    """Say whether a path names a file of predictions, by its ending, and no model."""
    return Path(path).suffix.lower() in _SUFFIXES


def read(path: str | os.PathLike) -> Predictions:
    """Read a file of predictions.

    Parameters
    ----------
    path : path-like
        An ``.npz`` with ``y_true`` and ``y_pred`` (classes) or ``probabilities`` (images, classes), and ``class_names`` if
        wanted; or a ``.csv`` with the columns ``y_true`` and ``y_pred``. Classes are numbers or names.

    Returns
    -------
    Predictions

    Raises
    ------
    InputError
        If the file is missing, damaged, or lacks what it should hold.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file of predictions at {path}.")
    return _read_csv(path) if path.suffix.lower() == ".csv" else _read_npz(path)


def aligned(before: Predictions, after: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Bring two sides to one numbering of the classes.

    Parameters
    ----------
    before, after : Predictions
        On the same images, in the same order.

    Returns
    -------
    y_true, y_pred_before, y_pred_after : ndarray
        Classes as numbers, or probabilities.
    class_names : tuple of str or None

    Raises
    ------
    InputError
        If the sides differ in their labels or class names, or a class has no number.
    """
    names = before.class_names or after.class_names
    if before.class_names and after.class_names and before.class_names != after.class_names:
        raise InputError(
            "BEFORE and AFTER name their classes differently: both must be about the same classes, in one order."
        )
    columns = [array for side in (before, after) for array in (side.y_true, side.y_pred) if array.ndim == 1]
    if names is None and any(array.dtype.kind == "U" for array in columns):
        if before.y_pred.ndim == 2 or after.y_pred.ndim == 2:
            raise InputError(
                "labels are names, but the columns of probabilities have none: add class_names to the .npz file."
            )
        names = tuple(sorted({str(value) for array in columns for value in array}))
    numbered = [_numbered(array, names) for array in (before.y_true, after.y_true, before.y_pred, after.y_pred)]
    if not np.array_equal(numbered[0], numbered[1]):
        raise InputError("BEFORE and AFTER have different y_true: both must be on the same images, in the same order.")
    return numbered[0], numbered[2], numbered[3], names


def _numbered(array: np.ndarray, names: tuple[str, ...] | None) -> np.ndarray:
    if array.dtype.kind != "U":
        return array
    index = {name: number for number, name in enumerate(names or ())}
    stranger = next((value for value in array if value not in index), None)
    if stranger is not None:
        raise InputError(f"'{stranger}' is not among the classes {', '.join((names or ())[:10])}.")
    return np.array([index[value] for value in array])


def _read_csv(path: Path) -> Predictions:
    columns: dict[str, list[str]] = {"y_true": [], "y_pred": []}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in columns if name not in (rows.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path} must have the columns y_true,y_pred; it has {','.join(rows.fieldnames or ['none'])[:80]}."
                )
            for row in rows:
                for name, values in columns.items():
                    if not row[name]:
                        raise InputError(f"{path}, line {rows.line_num}: {name} is empty; expected a class in every line.")
                    values.append(row[name].strip())
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV text file: {error}.") from error
    if not columns["y_true"]:
        raise InputError(f"{path} holds no predictions: expected a line for each test image.")
    arrays = [np.array(values) for values in columns.values()]
    with contextlib.suppress(ValueError):  # names, then
        arrays = [array.astype(np.float64) for array in arrays]  # tables with gaps write 3 as 3.0
    return Predictions(*arrays)


def _read_npz(path: Path) -> Predictions:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("y_true", "y_pred", "probabilities", "class_names") if name in file}
            found = list(file)
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = "its arrays are pickled objects" if "pickle" in str(error) else "it is truncated, or no .npz file"
        raise InputError(f"{path} cannot be read: {reason}.") from error
    predicted = arrays.get("probabilities", arrays.get("y_pred"))
    if "y_true" not in arrays or predicted is None:
        raise InputError(
            f"{path} must hold y_true and y_pred or probabilities; it holds {', '.join(found)[:80] or 'nothing'}."
        )
    names = tuple(map(str, np.atleast_1d(arrays["class_names"]))) if "class_names" in arrays else None
    return Predictions(np.asarray(arrays["y_true"]), np.asarray(predicted), names)
