"""One slope over many models: pooled as in the paper, and corrected for the noise of the test set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tfrecall.errors import InputError
from tfrecall.report.inference import Interval, interval, side
from tfrecall.report.samples import LARGEST, Sample, Values, joined, left_out, parsed, require_level
from tfrecall.report.slope import LEAST_SIGNAL

_FARTHEST = 1e6  # from a slope to the end of its interval


@dataclass(frozen=True)
class Pooled:
    """One regression through the origin over the classes of all models.

    Attributes
    ----------
    alpha : float or None
        The slope α̂.
    r_squared : float or None
        Share of Σ (B̄ᶜₜ)² that the line accounts for, in [0, 1]; not centred, as there is no intercept.
    points : int
        (model, class) pairs that have both balances.
    note : str or None
        Why something is None, and how many points were left out.
    """

    alpha: float | None
    r_squared: float | None
    points: int
    note: str | None


@dataclass(frozen=True)
class Corrected:
    """The slope over seeds with the noise of the test set deducted.

    Attributes
    ----------
    alpha : float or None
        α_corrected, or None where it is not identifiable.
    values : tuple of float or None
        One a seed, a sample for `interval`, `t_test` and the families; their mean is `alpha`. None for a seed without both
        sums, and for all seeds where the slope is not identifiable.
    note : str or None
        Why the slope is not identifiable, and how many seeds were left out.
    interval : Interval
        Of `alpha`, against 1: Fieller's, which is not symmetric where the signal is weak. Without ends where there is none.
    redrawn : ndarray of float, shape (seeds, resamples), or None
        `values` on resampled images, as in `Sample`, where these were given.
    """

    alpha: float | None
    values: tuple[float | None, ...]
    interval: Interval
    note: str | None
    redrawn: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def identifiable(self) -> bool:
        """Whether there is a slope."""
        return self.alpha is not None

    @property
    def sample(self) -> Values:
        """`values`, with what resampled images make of them where that is known."""
        return self.values if self.redrawn is None else Sample(self.values, self.redrawn)


def pooled(before, after) -> Pooled:
    """Fit one line through the origin to the classes of all models.

    α̂ = Σ xy / Σ x² and r² = (Σ xy)² / (Σ x² Σ y²), x = B̄ᶜ and y = B̄ᶜₜ over all (model, class) points.

    Parameters
    ----------
    before, after : array_like, shape (models, classes)
        Normalized recall balances. NaN or None marks a class without one; a point needs both.

    Returns
    -------
    Pooled
        Noise of the test set is not deducted: compare `corrected`.

    Raises
    ------
    InputError
        If the arrays differ in shape, are not two-dimensional, or hold something that is no number.

    References
    ----------
    Good et al., NeurIPS 2022.

    Examples
    --------
    >>> found = pooled([[0.1, -0.1], [0.2, -0.2]], [[0.15, -0.15], [0.2, -0.2]])
    >>> round(found.alpha, 3), round(found.r_squared, 3), found.points
    (1.1, 0.968, 4)
    """
    x, y = _balances("before", before), _balances("after", after)
    if x.shape != y.shape:
        raise InputError(f"before and after must have the same models and classes; got shapes {x.shape} and {y.shape}.")
    complete = ~(np.isnan(x) | np.isnan(y))
    omitted = left_out(x.size - int(complete.sum()), x.size, "points")
    x, y = x[complete], y[complete]
    product, square, other = float(np.sum(x * y)), float(np.sum(x**2)), float(np.sum(y**2))
    if not x.size:
        return Pooled(None, None, 0, joined("no points: no class has a balance before and after", omitted))
    if square <= LEAST_SIGNAL:
        return Pooled(None, None, x.size, joined("not identifiable: all balances before are 0", omitted))
    if other <= LEAST_SIGNAL:
        return Pooled(product / square, None, x.size, joined("no r²: all balances after are 0", omitted))
    return Pooled(product / square, min(1.0, product / square * product / other), x.size, omitted)


def corrected(covariation: Values, signal: Values, *, level: float = 0.99) -> Corrected:
    """Estimate the slope over seeds with the noise of the test set deducted.

    A ratio of sums, so that a seed whose own slope is not identifiable takes part and none is chosen by its outcome. With
    cₛ = Σ B̄ᶜB̄ᶜₜ − Σ κ̂ᶜ and gₛ = Σ (B̄ᶜ)² − Σ σ̂²ᶜ of seed s:

    - α_corrected = Σ cₛ / Σ gₛ;
    - vₛ = α_corrected + (cₛ − α_corrected · gₛ) / mean(g), its linearization, whose mean is α_corrected and whose spread is
      that of the ratio estimator to first order: for tests of differences;
    - its own interval holds the slopes α₀ for which the t-interval of mean(c − α₀ g) holds 0 (Fieller).

    Parameters
    ----------
    covariation, signal : sequence of float or None, shape (seeds,), or both Sample
        cₛ and gₛ, as `tfrecall.report.slope.Alpha` holds them. A seed that lacks either is left out. Resampled, they are the
        sums Σ B̄ᶜB̄ᶜₜ and Σ (B̄ᶜ)² of `tfrecall.report.resampling.Terms`: what is deducted does not vary.
    level : float
        The slope counts as identifiable if the t-interval of mean(g) at this level, two-sided, lies above 0: a ratio has a
        bounded confidence set at a level only then (Fieller). In (0, 1).

    Returns
    -------
    Corrected
        One seed alone is not identifiable here: its own `Alpha` says whether it is.

    Raises
    ------
    InputError
        If a value is neither a finite number nor None, the samples differ in length, or the level is out of range.

    Notes
    -----
    The deduction is right on average over test sets. Models that are measured on the same images share part of those images'
    noise, which their spread does not show: more seeds do not narrow it, only more images do. Give a `Sample` to have it
    counted. Its variance comes out too large where the signal is weak, up to three times where there is none, since
    resamples add noise to what has noise already: the interval then holds the slope more often than it says, and fewer
    slopes count as identifiable than could.

    References
    ----------
    Cochran, *Sampling Techniques*, 3rd edition 1977, chapter 6.
    Fieller, *Some problems in interval estimation*, Journal of the Royal Statistical Society B 1954.

    Examples
    --------
    >>> found = corrected([0.13, 0.12, 0.14, 0.11], [0.10, 0.09, 0.11, 0.10])
    >>> round(found.alpha, 3), [round(value, 3) for value in found.values]
    (1.25, [1.3, 1.325, 1.275, 1.1])
    >>> found.interval.symbol
    '?'
    """
    require_level(level)
    (c, redrawn_c), (g, redrawn_g) = parsed("covariation", covariation), parsed("signal", signal)
    if c.size != g.size:
        raise InputError(f"covariation and signal must have one value a seed each; got {c.size} and {g.size} values.")
    if (redrawn_c is None) != (redrawn_g is None) or (redrawn_c is not None and redrawn_c.shape != redrawn_g.shape):
        raise InputError("'covariation' and 'signal' must both have the same resamples, or none.")
    complete = ~(np.isnan(c) | np.isnan(g))
    omitted = left_out(c.size - int(complete.sum()), c.size, "seeds")
    if redrawn_c is not None:
        redrawn_c, redrawn_g = (np.where(complete[:, None], drawn, np.nan) for drawn in (redrawn_c, redrawn_g))
    reason = _unidentifiable(_with(g, redrawn_g, complete), level)
    if reason:
        nothing = None if redrawn_g is None else np.full_like(redrawn_g, np.nan)
        values = (None,) * c.size
        return Corrected(
            None, values, interval(values, level=level), joined(f"not identifiable: {reason}", omitted), nothing
        )
    alpha = c[complete].sum() / g[complete].sum()
    scale = g[complete].mean()
    linearized = alpha + (c - alpha * g) / scale
    values = tuple(float(value) if there else None for value, there in zip(linearized, complete))
    redrawn = None if redrawn_c is None else (redrawn_c - alpha * redrawn_g) / scale
    found = _fieller(float(alpha), (c, redrawn_c), (g, redrawn_g), complete, values, level)
    return Corrected(float(alpha), values, found, omitted, redrawn)


def _fieller(alpha: float, covariation, signal, complete: np.ndarray, values: Values, level: float) -> Interval:
    """Return the slopes α₀ for which mean(c − α₀ g) may be 0: its t-interval holds 0."""
    from scipy.optimize import brentq

    (c, redrawn_c), (g, redrawn_g) = covariation, signal

    def surely(slope: float) -> float:
        """Return by how much the interval at a slope leaves 0 out: below 0 where it holds it."""
        drawn = None if redrawn_c is None else redrawn_c - slope * redrawn_g
        found = interval(_with(c - slope * g, drawn, complete), level=level, reference=0.0)
        return abs(found.mean) if found.low is None else max(found.low, -found.high)

    plain = interval(values, level=level)
    if surely(alpha) >= 0:  # the same slope for all seeds, whatever the images
        return plain
    ends = []
    for direction in (-1, 1):
        step = 1.0
        while surely(alpha + direction * step) < 0 and step < _FARTHEST:
            step *= 2
        ends.append(brentq(surely, alpha, alpha + direction * step, xtol=1e-12) if step < _FARTHEST else None)
    low, high = sorted(ends) if None not in ends else (None, None)
    return Interval(plain.n, alpha, low, high, level, side(low, high, 1.0), plain.note)


def _with(values: np.ndarray, redrawn: np.ndarray | None, there: np.ndarray) -> Values:
    """Return those seeds of a sample that are there."""
    return list(values[there]) if redrawn is None else Sample(list(values[there]), redrawn[there])


def _unidentifiable(signal: Values, level: float) -> str | None:
    """Return why these seeds' signals bear no slope, or None if they do."""
    found = interval(signal, level=level, reference=0.0)
    if not found.n:
        return "no seed has both sums"
    if found.n == 1:
        return "one seed does not show how far the signal varies; its own report says what it bears"
    least = found.mean if found.low is None else found.low  # signals that are all the same vary not at all
    if least > LEAST_SIGNAL:
        return None
    over = "these seeds and images" if isinstance(signal, Sample) else "these seeds"
    return f"the signal is not clearly above 0 over {over}, at level {level:g}"


def _balances(name: str, values) -> np.ndarray:
    """Return balances as an array [model, class], NaN where there is none."""
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"'{name}' must hold one row of numbers a model, of one length; got something else.") from error
    if array.ndim != 2:
        raise InputError(f"'{name}' must have the shape (models, classes); got {array.shape}.")
    if (np.abs(array) >= LARGEST).any():
        raise InputError(f"'{name}' must hold finite numbers, and None or NaN for a class without one; got an infinite one.")
    return array
