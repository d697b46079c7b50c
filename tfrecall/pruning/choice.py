"""Which weights a model keeps: the same for every binding."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from tfrecall import sparsity, weights
from tfrecall.errors import InputError, PruningWarning, unknown
from tfrecall.pruning import zeros


def choose(
    model, target: float, held: Mapping[str, np.ndarray], criterion, data, loss, scope: str
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Choose which weights a model keeps; warn where nothing is left of a tensor.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        It is not changed.
    target : float
        Sparsity over all parameters, in [0, 1).
    held : mapping of str to ndarray of bool
        The weights that may be pruned by path, False where they are already.
    criterion : Criterion
    data, loss
        As `Criterion.scores` takes them.
    scope : {"global", "layer"}

    Returns
    -------
    masks : dict of str to ndarray of bool
    thresholds : dict of str to float
        The highest finite score removed from each weight, 0 if there is none; empty if there was nothing to choose.
    """
    sizes = sum(mask.size for mask in held.values())
    removed = sum(int(np.count_nonzero(~mask)) for mask in held.values())
    if scope not in sparsity.SCOPES:
        raise unknown("scope", scope, sparsity.SCOPES)
    frozen = weights.frozen_zeros(model)
    k = max(removed, sparsity.budget(target, weights.total_parameters(model), sizes + frozen) - frozen)
    if k == removed:
        return dict(held), {}
    scores = criterion.scores(model, data, loss=loss)
    missing = [path for path in held if np.shape(scores.get(path)) != held[path].shape]
    if missing:
        raise InputError(
            f"the criterion must return an array of the weight's shape for every weight; {missing[0]} lacks one."
        )
    ranked = {path: np.where(mask, scores[path], -np.inf) for path, mask in held.items()}
    kept = _select(ranked, held, k, scope)
    _warn_of_emptied(held, kept)
    _warn_of_zeros(model, held, kept)
    thresholds = {
        path: float(scored.max(where=~kept[path] & np.isfinite(scored), initial=0.0)) for path, scored in ranked.items()
    }
    return kept, thresholds


def _warn_of_emptied(held: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> None:
    """Warn of the tensors of which pruning leaves nothing, or less than one weight for each unit (the last axis)."""
    changed = [path for path, mask in kept.items() if np.count_nonzero(mask) < np.count_nonzero(held[path])]
    left = {path: int(np.count_nonzero(kept[path])) for path in changed}
    emptied = [path for path in changed if not left[path]]
    thin = [path for path in changed if kept[path].ndim > 1 and 0 < left[path] < kept[path].shape[-1]]
    remedy = 'prune less, exclude such weights, or rank within each layer (scope="layer").'
    if emptied:
        warnings.warn(
            f"nothing is left of {weights.few(emptied)}, so nothing passes there: {remedy}", PruningWarning, stacklevel=4
        )
    if thin:
        counts = weights.few([f"{path} ({left[path]:,} of {kept[path].size:,} weights left)" for path in thin])
        warnings.warn(
            f"almost nothing is left of {counts}, less than one weight a unit: {remedy}", PruningWarning, stacklevel=4
        )


def _warn_of_zeros(model, held: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> None:
    """Warn of the weights that are removed though they were 0: initial values, perhaps, that training has not reached."""
    found = weights.prunable(model, classifiers=False)
    counts = {}
    for path, mask in held.items():
        value = found[path].value
        if np.count_nonzero(value) < np.count_nonzero(
            mask
        ):  # only then is anything 0 that is not held: rare, so asked first
            counts[path] = int(np.count_nonzero(mask & ~kept[path] & (value == 0)))
    total = sum(int(np.count_nonzero(mask)) for mask in held.values())
    if sum(counts.values()) >= max(1, zeros.SHARE * total):
        named = weights.few([f"{path} ({count:,})" for path, count in counts.items() if count])
        warnings.warn(
            f"weights that were 0, such as initial values, are pruned, and held at 0 from now on: {named}. Exclude them if "
            "they are to be trained, or prune them later.",
            PruningWarning,
            stacklevel=4,
        )


def _select(ranked: Mapping[str, np.ndarray], held: Mapping[str, np.ndarray], k: int, scope: str) -> dict[str, np.ndarray]:
    """Select what to keep; a tensor that lacks more than its share already stays as it is, the others make up for it."""
    settled: dict[str, np.ndarray] = {}
    while True:
        left = k - sum(int(np.count_nonzero(~mask)) for mask in settled.values())
        kept = sparsity.select({path: scores for path, scores in ranked.items() if path not in settled}, left, scope)
        revived = {path: held[path] for path, mask in kept.items() if (mask & ~held[path]).any()}
        if not revived:
            return {path: settled.get(path, kept.get(path)) for path in ranked}
        settled |= revived
