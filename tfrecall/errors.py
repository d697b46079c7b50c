"""What goes wrong in a user's hands: errors and warnings whose message fits one line and names the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """An argument, a file or a data set cannot be used as it is.

    The message says what was expected, what came, and what to do. The command line prints it in one line and ends
    with exit code 2.
    """


class TrainingError(RuntimeError):
    """Training cannot go on, for instance because its loss is no longer finite."""


class IncompleteError(RuntimeError):
    """A run is finished, and some of its files could not be written. What could be written is kept.

    Attributes
    ----------
    report : dict or None
        The run's report.
    """

    report: dict | None = None


class TfrecallWarning(UserWarning):
    """The work goes on, and may not do what was meant. The command line prints the message in one line."""


class PruningWarning(TfrecallWarning):
    """Pruning may not do what was meant."""


class DataWarning(TfrecallWarning):
    """Part of the data is not used, or data or a model's outputs may be read in another way than was meant."""


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> InputError:
    """Return the error for a name that is in no list, with the nearest names that are.

    Parameters
    ----------
    kind : str
        What the name should have named, such as ``"model"``.
    name : str
        The name that came.
    known : iterable of str
        The names that would have been accepted.
    hint : str, optional
        What else would have been accepted, as a sentence.

    Returns
    -------
    InputError
        The error, not raised yet.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        fix = f"did you mean {' or '.join(near)}?"
    else:
        fix = f"known are {', '.join(known[:12])}{', …' if len(known) > 12 else ''}."
    return InputError(f"unknown {kind} '{name}': {fix}{' ' + hint if hint else ''}")
