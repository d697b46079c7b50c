"""How well one model tells each class: accuracy, recall, precision, F1, support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfrecall.errors import InputError

_MOST_CLASSES = 100_000  # a larger number is no class but an identifier


@dataclass(frozen=True, eq=False)
class Performance:
    """One model on one test set; every array is indexed by class and holds NaN where there is no value.

    Attributes
    ----------
    class_names : tuple of str
    support : ndarray of int
        Test images of each class.
    accuracy : float
        In [0, 1].
    recall : ndarray of float
        In [0, 1]; NaN without test images.
    precision : ndarray of float
        In [0, 1]; NaN where the class is never predicted.
    f1 : ndarray of float
        2·right / (test images + predictions), in [0, 1]; NaN where there is neither.
    """

    class_names: tuple[str, ...]
    support: np.ndarray
    accuracy: float
    recall: np.ndarray
    precision: np.ndarray
    f1: np.ndarray


def performance(y_true, predictions, class_names: Sequence[str] | None = None) -> Performance:
    """Measure one model's predictions.

    Parameters
    ----------
    y_true : array_like of int, shape (images,)
        Labels, 0 to classes − 1.
    predictions : array_like, shape (images,), (images, classes) or (images, 1)
        Predicted classes, or probabilities or logits. One column of fractions holds the probabilities of class 1 of two,
        as a model with one sigmoid gives them: class 1 is predicted above 0.5.
    class_names : sequence of str, optional
        One name a class; ``"0"``, ``"1"``, … by default.

    Returns
    -------
    Performance

    Raises
    ------
    InputError
        If lengths differ, or a label is not among the classes.
    """
    names, labels, predicted = validated(y_true, {"predictions": predictions}, class_names)
    return measured(names, labels, predicted["predictions"])


def measured(names: tuple[str, ...], labels: np.ndarray, predicted: np.ndarray) -> Performance:
    """Measure predicted classes that `validated` returned."""
    support, predictions, right = (
        np.bincount(classes, minlength=len(names)) for classes in (labels, predicted, labels[labels == predicted])
    )
    return Performance(
        class_names=names,
        support=support,
        accuracy=float(right.sum() / labels.size),
        recall=divide(right, support),
        precision=divide(right, predictions),
        f1=divide(2 * right, support + predictions),
    )


def classes_of(predictions) -> np.ndarray:
    """Return predicted classes: the argmax of probabilities or logits, p > 0.5 of class 1, or the classes as they are."""
    array = np.asarray(predictions)
    if _has_columns(array):
        return array.argmax(axis=1)
    return (array[:, 0] > 0.5).astype(np.int64) if _is_of_class_1(array) else array.reshape(-1)


def divide(numerator, denominator) -> np.ndarray:
    """Divide elementwise, NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    # A balance is a difference of two rounded quotients: what is 0 on paper may be 1e-17 here.
    nonzero = np.abs(denominator) > 1e-12
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=nonzero)


def validated(
    y_true, given: Mapping, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], np.ndarray, dict[str, np.ndarray]]:
    """Return the class names, the labels, and each model's predicted classes, or raise InputError."""
    labels = _labels(y_true)
    predictions = {name: _predictions(name, array, labels.size) for name, array in given.items()}
    vectors = {"y_true": labels, **{name: classes_of(array) for name, array in predictions.items()}}
    for name, vector in vectors.items():
        _require_whole_numbers(name, vector)
    columns = {array.shape[1] for array in predictions.values() if _has_columns(array)}
    columns |= {2 for array in predictions.values() if _is_of_class_1(array)}
    count = _class_count(vectors, columns, class_names)
    for name, vector in vectors.items():
        _require_classes(name, vector, count)
    labels, *predicted = (vector.astype(np.int64) for vector in vectors.values())
    return tuple(map(str, range(count) if class_names is None else class_names)), labels, dict(zip(given, predicted))


def _labels(y_true) -> np.ndarray:
    labels = _array("y_true", y_true)
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or not labels.size:
        raise InputError(
            "y_true must be a non-empty vector with one class for each image (several labels an image are not supported); "
            f"got an array of shape {labels.shape}."
        )
    return labels


def _predictions(name: str, predictions, images: int) -> np.ndarray:
    array = _array(name, predictions)
    if array.ndim == 0 or len(array) != images:
        raise InputError(f"'{name}' must have one prediction for each of the {images} labels; got shape {array.shape}.")
    if array.ndim > 2 or not array.size:
        raise InputError(f"'{name}' must be classes (images,) or probabilities (images, classes); got shape {array.shape}.")
    if array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind == "f" and not _is_of_class_1(array):
        _require_classes_or_probabilities(name, array)
    if _has_columns(array) and not _is_finite(array):
        raise InputError(f"'{name}' holds NaN, infinite values or no numbers: give finite probabilities, or classes.")
    return array


def _class_count(vectors: dict[str, np.ndarray], columns: set[int], class_names) -> int:
    if len(columns) > 1:
        raise InputError(f"the models' probabilities must have the same number of classes; got {sorted(columns)}.")
    if class_names is not None:
        if columns - {len(class_names)}:
            raise InputError(f"expected {len(class_names)} columns of probabilities, one a class; got {columns.pop()}.")
        return len(class_names)
    if columns:
        return columns.pop()
    count = max(int(vector.max()) + 1 for vector in vectors.values())
    if count > _MOST_CLASSES:
        raise InputError(f"classes must be numbered from 0 without gaps, or be names; got class {count - 1}.")
    return max(1, count)


def _require_whole_numbers(name: str, vector: np.ndarray) -> None:
    if vector.dtype.kind not in "iuf":
        raise InputError(f"'{name}' must hold whole numbers, 0 to classes − 1; got {vector.dtype} such as {vector[0]!s}.")
    wrong = ~np.isfinite(vector) | (vector != np.floor(vector))
    if wrong.any():
        between = ((vector >= 0) & (vector <= 1)).all()
        hint = " Probabilities of class 1 belong in one column, of the shape (images, 1)." if between else ""
        raise InputError(f"'{name}' must hold whole numbers, 0 to classes − 1; got {vector[wrong][0]:g}.{hint}")


def _require_classes(name: str, vector: np.ndarray, count: int) -> None:
    worst = vector.min() if vector.min() < 0 else vector.max()
    if not 0 <= worst < count:
        raise InputError(f"'{name}' must lie in 0 to {count - 1} for {count} classes; got {worst:g}.")


def _array(name: str, value) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(f"'{name}' cannot be read as an array: its rows must be of one length.") from error


def _require_classes_or_probabilities(name: str, column: np.ndarray) -> None:
    if not _is_finite(column) or (column != np.floor(column)).any():
        raise InputError(
            f"'{name}' has one column, of numbers between {column.min():.3g} and {column.max():.3g}: expected classes, or "
            "probabilities of class 1 between 0 and 1. If they are logits, take the sigmoid first."
        )


def _is_of_class_1(array: np.ndarray) -> bool:
    """Say whether an array is one column of probabilities: numbers from 0 to 1 that are not all whole."""
    if array.ndim != 2 or array.shape[1] != 1 or array.dtype.kind != "f" or not array.size:
        return False
    return bool(((array >= 0) & (array <= 1)).all() and (array != np.floor(array)).any())


def _has_columns(array: np.ndarray) -> bool:
    return array.ndim == 2 and array.shape[1] > 1


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf" and bool(np.isfinite(array).all())
