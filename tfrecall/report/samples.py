"""Samples: numbers, one a seed, with what resampled test images would have made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from tfrecall.errors import InputError

LARGEST = 1e100  # sums of squares of what is smaller stay finite


@dataclass(frozen=True, eq=False)
class Sample:
    """Numbers, one a seed, with what they would have been on resampled test images.

    Attributes
    ----------
    values : sequence of float or None, shape (seeds,)
        None for a seed that has none.
    redrawn : ndarray of float, shape (seeds, resamples)
        The same on resampled images: the same resample for all seeds, and for all samples that are compared. Only how they
        vary counts. A resample in which a seed is not finite is left out.

    Raises
    ------
    InputError
        If there is not a row for each value, or are fewer than two resamples.
    """

    values: Sequence[float | None]
    redrawn: np.ndarray

    def __post_init__(self):
        seeds = len(numbers("values", self.values))
        try:
            shape = np.shape(np.asarray(self.redrawn, float))
        except (TypeError, ValueError) as error:
            raise InputError(f"'redrawn' must be an array of numbers of shape ({seeds}, resamples).") from error
        if len(shape) != 2 or shape[0] != seeds or shape[1] < 2:
            raise InputError(f"'redrawn' must have the shape ({seeds}, resamples); got {shape}.")


Values = Sequence[float | None] | Sample


def left_out(missing: int, given: int, what: str) -> str | None:
    """Say how many of something had no value, or return None where all had one."""
    return f"left out for want of a value: {missing} of {given} {what}" if missing else None


def joined(*notes: str | None) -> str:
    """Return notes as one, without those that are None."""
    return "; ".join(note for note in notes if note)


def require_level(level: float) -> None:
    """Raise InputError unless a confidence level lies in (0, 1)."""
    if not (isinstance(level, Real) and 0 < level < 1):
        raise InputError(f"level must lie between 0 and 1, such as 0.99; got {level!r}.")


def parsed(name: str, given: Values) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a sample's values as an array, NaN where it has none, and what they are on resampled images."""
    if isinstance(given, Sample):
        return numbers(name, given.values), np.asarray(given.redrawn, float)
    return numbers(name, given), None


def numbers(name: str, values) -> np.ndarray:
    """Return values as an array, NaN for None, or raise InputError with their name."""
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise InputError(f"'{name}' must be a sequence of numbers, one a seed; got {type(values).__name__}.")
    values = list(values)
    for value in values:
        if value is not None and not (isinstance(value, Real) and abs(value) < LARGEST):
            raise InputError(f"'{name}' must hold finite numbers, and None for a seed without one; got {value!r}.")
    return np.array([np.nan if value is None else value for value in values], dtype=float)
