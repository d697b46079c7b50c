"""Which zeros of a model were pruned, and which are values like any other: those that a weight was initialised with.

A file does not tell them apart, so the user may: ``hold_zeros=True`` or ``False``. ``"auto"`` goes by the pattern. Pruning
scatters its zeros; initial ones are whole rows (vectors of unknown words), the rest of an identity, or a whole weight. If
the zeros of any weight are scattered, the model is taken for pruned, and all its zeros are held. A warning names them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from tfrecall import weights
from tfrecall.errors import InputError, PruningWarning

# Below this share of zeros a model is not taken for pruned: initial values are 0 by chance, too.
SHARE = 0.001

# By model and path, the zeros that were there when a model was prepared, and that masks do not hold.
_free: WeakKeyDictionary[object, dict[str, np.ndarray]] = WeakKeyDictionary()


_IF_TRAINED = "Pass hold_zeros=True if they were pruned, or hold_zeros=False to have them trained."
_IF_PRUNED = "Pass hold_zeros=False if that is right, or hold_zeros=True if they were pruned."
_IF_LOADED = "Load weights before the model is prepared, with hold_zeros=True or hold_zeros=False, to settle what they are."


@dataclass(frozen=True)
class Zeros:
    """Zeros of a weight: where they are (bool), and the weight's values."""

    where: np.ndarray
    value: np.ndarray

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return int(np.count_nonzero(self.where))


def require_choice(hold_zeros) -> None:
    """Raise InputError unless it is True, False or "auto"."""
    if not (isinstance(hold_zeros, bool) or hold_zeros == "auto"):
        raise InputError(f'hold_zeros must be True, False or "auto"; got {hold_zeros!r}.')


def at_prepare(model, masks: Mapping[str, np.ndarray], hold_zeros) -> dict[str, np.ndarray]:
    """Return the masks that change when a model has just been prepared: those with pruned zeros, which are held."""
    _free.pop(model, None)
    zeros = _zeros(model, masks)
    if hold_zeros == "auto":
        if not _many(zeros, masks):
            return {}
        hold_zeros = look_pruned(zeros, masks)
        if hold_zeros:
            _say(zeros, "are held at 0, as pruned weights", _IF_TRAINED)
        else:
            _say(zeros, "are trained, as initial values", _IF_PRUNED)
    if hold_zeros:
        return _without(masks, zeros)
    _remember(model, zeros)
    return {}


def at_prune(model, masks: Mapping[str, np.ndarray], hold_zeros, is_new: bool, constrained=()) -> dict[str, np.ndarray]:
    """Return the masks with which pruning starts: zeros count as removed.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        Prepared.
    masks : mapping of str to ndarray of bool
        Its masks.
    hold_zeros : bool or "auto"
    is_new : bool
        Whether this call prepared it. Otherwise, with ``"auto"``, only zeros that came since count.
    constrained : collection of str
        Paths of weights whose own constraints set values to 0; nothing is said of these.
    """
    if is_new:
        _free.pop(model, None)
    if hold_zeros is False:
        if is_new:
            _remember(model, _zeros(model, masks))
        return dict(masks)
    zeros = _zeros(model, masks) if is_new or hold_zeros is True else _since(model, masks)
    doubtful = zeros if is_new else _other_than(constrained, zeros)
    if hold_zeros == "auto" and _many(doubtful, masks):
        _say(doubtful, "count as removed, and are held at 0", _IF_TRAINED)
    return {**masks, **_without(masks, zeros)}


def at_fit(model, masks: Mapping[str, np.ndarray], constrained=()) -> dict[str, np.ndarray]:
    """Return the masks that change when a prepared model begins to train: those with pruned zeros that came since.

    So a checkpoint of a pruned model may be loaded into a prepared one. What a weight's own constraint sets to 0 is trained.
    """
    masks = _other_than(constrained, masks)
    since = _since(model, masks)
    if not _many(since, masks):
        return {}
    zeros = _zeros(model, masks)
    if look_pruned(since, masks):
        _say(zeros, "are held at 0, as pruned weights, since they came after the model was prepared", _IF_LOADED)
        return _without(masks, zeros)
    _say(since, "are trained, as initial values, though they came after the model was prepared", _IF_LOADED)
    _remember(model, zeros)
    return {}


def look_pruned(zeros: Mapping[str, Zeros], masks: Mapping[str, np.ndarray]) -> bool:
    """Say whether zeros look as if pruning had made them: they are many, and scattered in some weight."""
    return _many(zeros, masks) and any(
        is_scattered(some.where, some.value) for some in zeros.values() if some.count >= SHARE * some.where.size
    )


def is_scattered(where: np.ndarray, value: np.ndarray) -> bool:
    """Say whether zeros are of a pattern that pruning leaves: neither whole slices, nor all off the diagonal of an identity.

    Parameters
    ----------
    where : ndarray of bool
        True where a weight is 0.
    value : ndarray
        The weight.

    Examples
    --------
    >>> identity, pruned = np.eye(4), np.array([[1, 0, 2], [3, 4, 0]])
    >>> is_scattered(identity == 0, identity), is_scattered(pruned == 0, pruned)
    (False, True)
    """
    rest = ~where
    for axis in range(rest.ndim):  # without the slices that are 0 as a whole
        others = tuple(other for other in range(rest.ndim) if other != axis)
        rest = rest.compress(rest.any(axis=others), axis=axis)
    count = int(np.count_nonzero(rest))
    is_identity = 0 < count <= max(rest.shape, default=0) and bool(np.ptp(value[~where]) == 0)
    return count < rest.size and not is_identity


def zeros_of(values: Mapping[str, np.ndarray]) -> dict[str, Zeros]:
    """Return where values are 0, by path; without those that have no zeros."""
    found = {path: Zeros(value == 0, value) for path, value in values.items()}
    return {path: zeros for path, zeros in found.items() if zeros.count}


def _zeros(model, masks: Mapping[str, np.ndarray]) -> dict[str, Zeros]:
    """Return the zeros that no mask holds, by path."""
    found = weights.prunable(model, classifiers=False)
    values = {path: found[path].value for path in masks}
    zeros = {path: Zeros(masks[path] & (value == 0), value) for path, value in values.items()}
    return {path: some for path, some in zeros.items() if some.count}


def _since(model, masks: Mapping[str, np.ndarray]) -> dict[str, Zeros]:
    """Return the zeros that no mask holds, and that were not there when the model was prepared."""
    known = _free.get(model, {})
    zeros = _zeros(model, masks)
    since = {path: Zeros(some.where & ~known[path], some.value) if path in known else some for path, some in zeros.items()}
    return {path: some for path, some in since.items() if some.count}


def _remember(model, zeros: Mapping[str, Zeros]) -> None:
    _free[model] = {path: some.where for path, some in zeros.items()}


def _many(zeros: Mapping[str, Zeros], masks: Mapping[str, np.ndarray]) -> bool:
    count = sum(some.count for some in zeros.values())
    return count > 0 and count >= SHARE * sum(mask.size for mask in masks.values())


def _without(masks: Mapping[str, np.ndarray], zeros: Mapping[str, Zeros]) -> dict[str, np.ndarray]:
    return {path: masks[path] & ~some.where for path, some in zeros.items()}


def _other_than(paths, by_path: Mapping) -> dict:
    return {path: entry for path, entry in by_path.items() if path not in paths}


def _say(zeros: Mapping[str, Zeros], what: str, remedy: str) -> None:
    counts = weights.few([f"{path} ({some.count:,} of {some.where.size:,})" for path, some in zeros.items()])
    warnings.warn(f"the zeros of {counts} {what}. {remedy}", PruningWarning, stacklevel=4)
