"""How much to remove, and exactly which: ratios, budgets, and the selection of the k least important weights.

Everything here is NumPy. A *ratio* is what a user types; *sparsity* s is the fraction of parameters removed, in [0, 1);
*compression* t = parameters before / parameters after, t ≥ 1 (Good et al. 2022, section 3). They are tied by s = 1 − 1/t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, Context
from fractions import Fraction

import numpy as np

from tfrecall.errors import InputError, unknown

SCOPES = ("global", "layer")

_SAMPLE = 1 << 16  # scores that are looked at to bracket the threshold
_BLOCK = 1 << 18  # scores handled at once: a block and its temporaries stay in the cache


def sparsity(ratio: float) -> float:
    """Return the fraction of parameters that a ratio removes.

    s = r for 0 < r < 1, and s = 1 − 1/r for r > 1, so that ``0.5`` and ``2`` mean the same.

    Parameters
    ----------
    ratio : float
        A fraction removed, in (0, 1), or the compression t > 1.

    Returns
    -------
    float
        Sparsity, in (0, 1).

    Raises
    ------
    InputError
        If the ratio is not a positive finite number, or is 1.

    Examples
    --------
    >>> sparsity(0.5), sparsity(2), sparsity(10)
    (0.5, 0.5, 0.9)
    """
    expected = "ratio must be a fraction removed between 0 and 1, or a compression above 1 (0.5 and 2 mean the same)"
    try:
        value = float(ratio)
    except OverflowError:
        value = math.inf
    except (TypeError, ValueError):
        raise InputError(f"{expected}; got {ratio!r}.") from None
    if not math.isfinite(value) or value <= 0 or value == 1:
        raise InputError(f"{expected}; got {value:g}.")
    # 1 − 1/t rounds to 1 for t beyond 2⁵⁴, and no ratio removes everything.
    return value if value < 1 else min(1 - 1 / value, math.nextafter(1, 0))


def compression(sparsity: float) -> float:
    """Return t = 1 / (1 − s), parameters before over parameters after, for a sparsity in [0, 1)."""
    return float(1 / (1 - _exact(sparsity)))


def budget(sparsity: float, total: int, prunable: int) -> int:
    """Return how many weights to remove so that a whole model reaches a sparsity.

    k = round(s · total), halves up. The fraction is taken over *all* parameters; the weights come from the prunable ones
    alone.

    Parameters
    ----------
    sparsity : float
        Fraction of all parameters to remove, in [0, 1).
    total : int
        Parameters of the model, frozen ones included.
    prunable : int
        How many of them may be removed, or are removed already.

    Returns
    -------
    int
        Number of weights to remove, at most `prunable`.

    Raises
    ------
    InputError
        If more would have to go than may; the message names the largest feasible ratio.
    """
    removed = math.floor(_exact(sparsity) * total + Fraction(1, 2))
    if removed > prunable:
        down = Context(prec=4, rounding=ROUND_DOWN)  # what is named must itself be feasible
        ratio = down.divide(int(prunable), int(total))
        times = 1 + down.divide(int(prunable), int(total - prunable))
        raise InputError(
            f"a ratio of {sparsity:.6g} (compression {compression(sparsity):.6g}) is infeasible: of {total:,} parameters "
            f"only {prunable:,} can be removed; the largest feasible ratio is {ratio.normalize():f} (compression "
            f"{times.normalize():f})."
        )
    return removed


def select(scores: Mapping[str, np.ndarray], k: int, scope: str = "global") -> dict[str, np.ndarray]:
    """Return the masks that remove the k lowest scores, exactly.

    Ties are broken by position: of equal scores the one that stands first (in the order of the mapping, then in C
    order) is removed first, so that the count is right to the weight.

    Parameters
    ----------
    scores : mapping of str to ndarray
        One array of scores a weight tensor, of any shape. −inf marks what is removed before everything else.
    k : int
        How many scores to remove over all arrays, 0 ≤ k ≤ number of scores.
    scope : {"global", "layer"}
        ``"global"`` ranks all scores together. ``"layer"`` removes the same share of each array: k is split in
        proportion to the sizes, by largest remainder.

    Returns
    -------
    dict of str to ndarray of bool
        Masks of the scores' shapes: True where the weight is kept.

    Raises
    ------
    InputError
        If a score is NaN, k is out of range, or the scope is unknown.

    Examples
    --------
    >>> select({"a": np.array([3.0, 1.0]), "b": np.array([1.0, 2.0])}, k=1)
    {'a': array([ True, False]), 'b': array([ True,  True])}
    """
    flat = [np.asarray(array).reshape(-1) for array in scores.values()]
    sizes = [array.size for array in flat]
    if not 0 <= k <= sum(sizes):
        raise InputError(f"cannot remove {k} of {sum(sizes)} scores.")
    for name, array in zip(scores, flat):
        if array.size and np.isnan(array.min()):  # min() carries a NaN through, in one pass and no temporary
            raise InputError(f"the scores of {name} hold NaN: check the weights and the loss for non-finite values.")
    if scope == "global":
        masks = smallest(flat, k)
    elif scope == "layer":
        masks = [smallest([array], share)[0] for array, share in zip(flat, apportion(k, sizes))]
    else:
        raise unknown("scope", scope, SCOPES)
    return {name: ~mask.reshape(np.shape(array)) for (name, array), mask in zip(scores.items(), masks)}


def smallest(arrays: Sequence[np.ndarray], k: int) -> list[np.ndarray]:
    """Mark the k smallest values of several flat arrays, ties by position, without sorting them.

    A sample brackets the k-th smallest value; one pass counts what lies below the bracket and collects what lies inside;
    only that little is partitioned. A bracket that misses is moved to the side where the value must be.

    Parameters
    ----------
    arrays : sequence of ndarray
        One-dimensional arrays without NaN, ranked together.
    k : int
        How many values to mark, 0 ≤ k ≤ number of values.

    Returns
    -------
    list of ndarray of bool
        One array for each of `arrays`: True at the k smallest values.
    """
    total = sum(array.size for array in arrays)
    if k == 0 or k == total:
        return [np.full(array.size, k == total and total > 0) for array in arrays]
    low, high = _bracket(arrays, k, total)
    while True:
        below, at_low, inside = _count(arrays, low, high)
        if k <= below:
            low, high = -np.inf, low
        elif k > below + at_low + inside.size:
            low, high = high, np.inf
        else:
            break
    rank = k - below - at_low - 1  # among those inside
    threshold = low if rank < 0 else np.partition(inside, rank)[rank]
    ties = k - below if rank < 0 else rank + 1 - int(np.count_nonzero(inside < threshold))
    marks = []
    for array in arrays:
        mark = np.empty(array.size, bool)
        for start in range(0, array.size, _BLOCK):
            block = array[start : start + _BLOCK]
            np.less(block, threshold, out=mark[start : start + _BLOCK])
            if ties:
                equal = block == threshold
                if np.count_nonzero(equal) > ties:
                    equal[np.flatnonzero(equal)[ties:]] = False
                mark[start : start + _BLOCK] |= equal
                ties -= np.count_nonzero(equal)
        marks.append(mark)
    return marks


def apportion(k: int, sizes: Sequence[int]) -> list[int]:
    """Split k in proportion to sizes by largest remainder, so that the parts sum to k and none exceeds its size."""
    total = sum(sizes)
    if not total:
        return [0 for _ in sizes]
    shares = [k * size // total for size in sizes]
    remainders = [k * size % total for size in sizes]
    for index in sorted(range(len(sizes)), key=lambda i: (-remainders[i], i))[: k - sum(shares)]:
        shares[index] += 1
    return shares


def _exact(sparsity: float) -> Fraction:
    # 1 − 1/3 is not a third in floats: the nearest simple fraction makes 3 and 0.6666666666666667 the same ratio.
    simple = Fraction(sparsity).limit_denominator(10**9)
    return simple if simple < 1 else Fraction(sparsity)


def _bracket(arrays: Sequence[np.ndarray], k: int, total: int) -> tuple[float, float]:
    stride = max(1, total // _SAMPLE)
    sample = np.concatenate([array[::stride] for array in arrays])
    centre = k / total * (sample.size - 1)
    margin = 4 * math.sqrt(sample.size) / 2 + 2  # 4 standard errors of a sample quantile's rank, at its widest
    ranks = [max(0, math.floor(centre - margin)), min(sample.size - 1, math.ceil(centre + margin))]
    low, high = np.partition(sample, ranks)[ranks]
    return (
        -np.inf if ranks[0] == 0 else low,
        np.inf if ranks[1] == sample.size - 1 else high,
    )


def _count(arrays: Sequence[np.ndarray], low: float, high: float) -> tuple[int, int, np.ndarray]:
    """Count what is below and what is equal to `low`, and collect what lies strictly between `low` and `high`."""
    below, up_to_low, inside = 0, 0, []
    for array in arrays:
        for start in range(0, array.size, _BLOCK):
            block = array[start : start + _BLOCK]
            below += int(np.count_nonzero(block < low))
            over = block > low
            up_to_low += block.size - int(np.count_nonzero(over))
            inside.append(block[over & (block < high)])
    return below, up_to_low - below, np.concatenate(inside)
