"""Labels as files write them, brought to one numbering of the classes.

Programs write the same class in many ways: 3, 3.0, 03, 3e+00. What a label means depends on all others: beside a word, 3 is
the name of a class, and among whole numbers it is a number. So labels are read one by one here, and judged together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np

from tfrecall.errors import InputError

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE)
_LONGEST = 18  # digits of a number in 64 bits; a longer one is a name
_MISSING = frozenset({"", "nan", "-nan", "+nan", "na", "n/a", "#n/a", "#na", "<na>", "null"})
_MOST_CLASSES = 100_000  # with more, a column holds identifiers


class LabelError(InputError):
    """A label that names no class; the message says why, and whoever knows the file adds the place."""


def read_label(text: str) -> int | str:
    """Return the class that a text names: a whole number however it is written, or else a name.

    Parameters
    ----------
    text : str
        ``"3"``, ``"3.0"``, ``" 03"`` and ``"3e+00"`` are the number 3.

    Returns
    -------
    int or str

    Raises
    ------
    LabelError
        If the label is missing (empty, ``nan``, ``NA``) or a number that is not whole.

    Examples
    --------
    >>> [read_label(text) for text in ("3.0", "-1", "cat", "1.000000000000000000e+01")]
    [3, -1, 'cat', 10]
    """
    text = text.strip()
    if text.casefold() in _MISSING:
        what = f"is '{text}', which stands for a missing label" if text else "is empty"
        raise LabelError(f"{what}; expected a class in every row: leave the row out, or write a word such as unknown.")
    if not _NUMBER.fullmatch(text):
        return text
    number = Decimal(text)
    if number.is_finite() and number.adjusted() >= _LONGEST:
        return text
    if not number.is_finite() or number != number.to_integral_value():
        raise LabelError(f"is {text}; expected classes, which are whole numbers or names, not scores.")
    return int(number)


def factorized(array: np.ndarray) -> tuple[np.ndarray, list]:
    """Return each element's place among the distinct values, and these values as Python's own."""
    if array.dtype.kind not in "OU":
        values, codes = np.unique(array, return_inverse=True)
        return codes, values.tolist()
    texts = array.tolist()
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return np.fromiter((places[text] for text in texts), np.int64, len(texts)), list(places)


def column(codes: np.ndarray, values: Sequence) -> np.ndarray:
    """Return labels as an array of int64 if all are whole numbers, or else of Python's strings."""
    if all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)[codes]
    return np.array([str(value) for value in values], object)[codes]


def require_few(distinct: int) -> None:
    """Raise InputError if so many different labels cannot be classes."""
    if distinct > _MOST_CLASSES:
        raise InputError(
            f"{distinct:,} different labels: expected at most {_MOST_CLASSES:,} classes. Are these identifiers? Give the "
            "column of classes."
        )


def class_names(labels: Iterable[int | str]) -> tuple[str, ...] | None:
    """Return the names of the classes that labels of several columns name, in order; None where numbers from 0 need none.

    Raises
    ------
    InputError
        If there are too many to be classes.
    """
    distinct = {read_label(label) if isinstance(label, str) else label for label in labels}
    require_few(len(distinct))
    numbers = [label for label in distinct if isinstance(label, int)]
    words = [label for label in distinct if isinstance(label, str)]
    if not words and min(numbers, default=0) == 0 and max(numbers, default=0) < _MOST_CLASSES:
        return None  # as in NumPy: every number up to the largest is a class
    return (*map(str, sorted(numbers)), *sorted(words))
