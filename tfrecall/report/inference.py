"""Statistics over seeds: the mean slope E[α] and differences of means, with what the seeds at hand can tell of them.

Each trained model of a study gives one α for each algorithm and ratio; the models differ in their seed, and what is said
here is about the mean over seeds (Good et al., NeurIPS 2022). A *sample* is a sequence of numbers, one a seed, with None for
a seed that has none; in paired comparisons the same place means the same seed.

Numbers alone tell of other seeds on the same test images. A `Sample` also says what resampled images would have made of its
numbers, and then all of it is about other seeds and other images like these.

Values that are all the same show no spread, and no t-interval has a width without one. That is little evidence about two
seeds and much about twenty, so that two rules take the t-interval's place:

- Where the values come in steps, as recalls of n images come in 1/n, the spread may be less than a step and not show. It is
  taken to be as large as if one seed were a step away: s = step / √n, the least spread that such values can show. So seven
  seeds that all lose a recall of 1 lose it surely, and two that all lose one image of a hundred do not.
- Else the sign test speaks: if a seed were as likely to lie above the reference as below, n of them would lie on one side
  with a probability of 2^(1 − n), and the interval from the lowest to the highest value misses the median as often. Where
  that is at most 1 − level, it is the interval; for two independent samples, the exact permutation test's 2 / C(n + m, n)
  takes its place. With fewer seeds there is no interval and no test.

No number of a result is NaN: what does not exist is None, and ``note`` says why.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real

import numpy as np

from tfrecall.errors import InputError, unknown
from tfrecall.report.samples import LARGEST, Values, joined, left_out, parsed, require_level

ALTERNATIVES = ("two-sided", "less", "greater")

_STEPPED = "all values are the same: as if one were a step away"
_ROUNDING = 1e-12  # a spread below this share of the values' size is that of rounding


@dataclass(frozen=True)
class Interval:
    """The mean over seeds and its confidence interval.

    Attributes
    ----------
    n : int
        Seeds that have a value.
    mean : float or None
        None without any value.
    low, high : float or None
        Ends of the two-sided t-interval. None where there is none.
    level : float
        Confidence level, in (0, 1).
    symbol : str
        ``"<"`` or ``">"`` if the interval lies below or above the reference, ``"?"`` if it holds it or does not exist.
    note : str or None
        Why something is None, and how many values were left out.
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None
    level: float
    symbol: str
    note: str | None


@dataclass(frozen=True)
class Comparison:
    """A t-test of two means, first minus second.

    Attributes
    ----------
    kind : str
        ``"paired"``, ``"welch"`` (independent) or ``"student"`` (independent, of equal variances).
    alternative : str
        What is tested for: the difference is not 0 (``"two-sided"``), below 0 (``"less"``) or above it (``"greater"``).
    n : tuple of int
        Values of the first and the second sample that took part; of a paired test, both are the number of pairs.
    difference : float or None
        Mean of the first less mean of the second.
    low, high : float or None
        Ends of the two-sided interval of the difference, whatever the alternative.
    level : float
        Confidence level of that interval, in (0, 1).
    statistic, df : float or None
        t and its degrees of freedom.
    p : float or None
        In [0, 1], not adjusted for other tests.
    effect : float or None
        Cohen's d: the difference in standard deviations; paired, in those of the differences (d_z), else in the pooled one.
    note : str or None
        Why something is None, and how many values were left out.
    """

    kind: str
    alternative: str
    n: tuple[int, int]
    difference: float | None
    low: float | None
    high: float | None
    level: float
    statistic: float | None
    df: float | None
    p: float | None
    effect: float | None
    note: str | None

    @property
    def symbol(self) -> str:
        """``"<"`` or ``">"`` if the interval lies below or above 0, ``"?"`` if it holds it or does not exist."""
        return side(self.low, self.high, 0.0)


@dataclass(frozen=True)
class Row:
    """One comparison of a family, with p-values that allow for the others.

    Attributes
    ----------
    first, second : hashable
        What is compared, as the samples name it.
    comparison : Comparison
        Its interval is at its own level, not adjusted for the family.
    bonferroni : float or None
        p times the number of rows of the family, at most 1. Rows without a p-value count as rows.
    holm : float or None
        p adjusted by Holm's step-down method over the rows that have a p-value.
    """

    first: Hashable
    second: Hashable
    comparison: Comparison
    bonferroni: float | None
    holm: float | None


def interval(values: Values, *, level: float = 0.99, reference: float = 1.0, step: float | None = None) -> Interval:
    """Return the mean over seeds with its t-interval, and on which side of a reference the interval lies.

    mean ± t(n − 1) · s / √n, with the quantile t(n − 1) that leaves (1 − level) / 2 on either side. For a `Sample`,
    mean ± t(ν) · √(s²/n + v): v is the variance that the images give all seeds alike, from the mean covariance of two seeds
    over resamples, and ν = (s²/n + v)² / ((s²/n)² / (n − 1)) are Satterthwaite's degrees of freedom.

    Parameters
    ----------
    values : sequence of float or None, shape (seeds,), or Sample
        Such as α of each seed. None is left out.
    level : float
        In (0, 1). 0.99 is 95 % over a family of five ratios, by Bonferroni.
    reference : float
        What the interval is held against. α = 1 separates intensification from de-intensification.
    step : float, optional
        The least by which two values can differ, such as 1/n for a recall of n images. It counts where all values are the
        same: see the module.

    Returns
    -------
    Interval
        Without ends, and ``"?"``, for fewer than two values, and for values that are all the same where they have no step
        and are too few for the sign test at this level.

    Raises
    ------
    InputError
        If a value is neither a finite number nor None, or an option is out of range.

    References
    ----------
    Good et al., NeurIPS 2022. Satterthwaite, *An approximate distribution of estimates of variance components*, Biometrics
    Bulletin 1946.

    Examples
    --------
    >>> found = interval([1.31, 1.22, 1.40, 1.27])
    >>> round(found.low, 3), round(found.mean, 3), round(found.high, 3), found.symbol
    (1.078, 1.3, 1.522, '>')
    >>> interval([1.31]).note
    'one seed: an interval needs at least two'
    >>> lost = interval([-1.0] * 7, reference=0.0, step=1 / 50)  # all of a class's 50 images, with each of seven seeds
    >>> round(lost.low, 3), round(lost.high, 3), lost.symbol
    (-1.011, -0.989, '<')
    """
    require_level(level)
    _require_step(step)
    if not (isinstance(reference, Real) and abs(reference) < LARGEST):
        raise InputError(f"reference must be a finite number, such as 1; got {reference!r}.")
    given, redrawn = parsed("values", values)
    there = ~np.isnan(given)
    present, redrawn = given[there], None if redrawn is None else redrawn[there]
    omitted = left_out(given.size - present.size, given.size, "values")
    mean = float(present.mean()) if present.size else None
    if present.size < 2:
        reason = f"{'one seed' if present.size else 'no values'}: an interval needs at least two"
    elif (found := _Difference(mean, [_mean_variance(present, step)], _shared_variance(redrawn))).varies:
        low, high = found.interval(level)
        stepped = _STEPPED if step and _same(present.std(ddof=1), present) else None
        return Interval(present.size, mean, low, high, level, side(low, high, reference), joined(stepped, omitted) or None)
    elif _sign_test(present.size) <= 1 - level:
        note = joined("all values are the same: the interval is the sign test's", omitted)
        return Interval(present.size, mean, mean, mean, level, side(mean, mean, reference), note)
    else:
        reason = "all values are the same: without spread between seeds there is no interval"
    return Interval(present.size, mean, None, None, level, "?", joined(reason, omitted))


def t_test(
    a: Values,
    b: Values,
    *,
    paired: bool,
    alternative: str = "two-sided",
    equal_variances: bool = False,
    level: float = 0.99,
    step: float | None = None,
) -> Comparison:
    """Test whether two means over seeds differ.

    - paired, with differences δ: t = mean(δ) / (s_δ / √n), n − 1 degrees of freedom, d_z = mean(δ) / s_δ;
    - independent: t = (mean(a) − mean(b)) / √(s_a²/n_a + s_b²/n_b), with Welch's degrees of freedom;
    - independent, of equal variances: the same with the pooled s² for both, n_a + n_b − 2 degrees of freedom.

    Of two `Sample`, the variance of the difference has what the images give all seeds alike added, as in `interval`.

    Parameters
    ----------
    a, b : sequence of float or None, shape (seeds,), or both Sample
        Two samples; paired, of one length and in the same order of seeds.
    paired : bool
        Whether the same place in both is the same seed, such as two algorithms that prune the same trained models. A pair
        that lacks a value is left out as a whole.
    alternative : str
        ``"two-sided"``, ``"less"`` (E[a] < E[b]) or ``"greater"`` (E[a] > E[b]).
    equal_variances : bool
        For independent samples: Student's test with one variance, in place of Welch's.
    level : float
        Confidence level of the difference's interval, in (0, 1).
    step : float, optional
        The least by which two values can differ, as in `interval`.

    Returns
    -------
    Comparison
        Without a test for fewer than two pairs, or two values in each sample. Where values do not differ between seeds and
        have no step, without t and d; and without p and interval, too, if the difference is 0, or the seeds are too few for
        the sign or permutation test at this level.

    Raises
    ------
    InputError
        If a value is neither a finite number nor None, paired samples differ in length, or an option is out of range.

    References
    ----------
    Student, *The probable error of a mean*, Biometrika 1908. Welch, *The generalization of "Student's" problem when several
    different population variances are involved*, Biometrika 1947. Cohen, *Statistical Power Analysis*, 1988, chapter 2.

    Examples
    --------
    >>> found = t_test([1.31, 1.22, 1.40], [1.12, 1.09, 1.25], paired=True)
    >>> round(found.difference, 3), round(found.statistic, 2), round(found.p, 3)
    (0.157, 8.88, 0.012)
    """
    require_level(level)
    if alternative not in ALTERNATIVES:
        raise unknown("alternative", str(alternative), ALTERNATIVES)
    if paired and equal_variances:
        raise InputError("equal_variances is about independent samples: leave it out, or set paired=False.")
    _require_step(step)
    (first, redrawn), (second, others) = parsed("a", a), parsed("b", b)
    if (redrawn is None) != (others is None) or (redrawn is not None and redrawn.shape[1] != others.shape[1]):
        raise InputError("'a' and 'b' must both have the same resamples, or none.")
    if paired:
        return _paired(first, second, redrawn, others, alternative, level, step)
    return _independent(first, second, redrawn, others, alternative, equal_variances, level, step)


def consecutive_ratios(samples: Mapping[float, Values], *, level: float = 0.99) -> tuple[Row, ...]:
    """Test whether each ratio's mean slope is below the next one's: paired, Hₐ: E[α(tᵢ)] < E[α(tᵢ₊₁)].

    Parameters
    ----------
    samples : mapping of float to sequence of float or None, shape (seeds,)
        α of each seed for each compression ratio t, in any order of the ratios and one order of the seeds.
    level : float
        Confidence level of each difference's interval, in (0, 1).

    Returns
    -------
    tuple of Row
        One a pair of neighbours, from the lowest ratio up; empty for fewer than two ratios.

    Raises
    ------
    InputError
        As `t_test`, and if a key is not a number.

    References
    ----------
    Good et al., NeurIPS 2022.

    Examples
    --------
    >>> rows = consecutive_ratios({2: [0.93, 0.95, 0.92], 4: [0.95, 0.98, 0.93], 10: [1.06, 1.13, 1.00]})
    >>> [(row.first, row.second, round(row.comparison.p, 3), round(row.bonferroni, 3)) for row in rows]
    [(2, 4, 0.037, 0.074), (4, 10, 0.021, 0.041)]
    """
    pairs = itertools.pairwise(_ratios("samples", samples))
    test = partial(t_test, paired=True, alternative="less", level=level)
    return _family((low, high, test(samples[low], samples[high])) for low, high in pairs)


def consecutive_sizes(
    samples: Mapping[str, Values], *, equal_variances: bool = False, level: float = 0.99
) -> tuple[Row, ...]:
    """Test whether each model's mean slope is above the next larger one's: independent, Hₐ: the smaller has the larger α.

    Parameters
    ----------
    samples : mapping of str to sequence of float or None, shape (seeds,)
        α of each seed for each model, in order from the smallest model to the largest.
    equal_variances, level
        As in `t_test`.

    Returns
    -------
    tuple of Row
        One a pair of neighbours, in the order given; empty for fewer than two models.

    Raises
    ------
    InputError
        As `t_test`.

    References
    ----------
    Good et al., NeurIPS 2022.

    Examples
    --------
    >>> (row,) = consecutive_sizes({"resnet20": [1.9, 2.1, 2.0], "resnet32": [1.6, 1.7, 1.5]})
    >>> row.first, row.second, row.comparison.alternative, round(row.bonferroni, 4)
    ('resnet20', 'resnet32', 'greater', 0.004)
    """
    pairs = itertools.pairwise(_mapping("samples", samples))
    test = partial(t_test, paired=False, alternative="greater", equal_variances=equal_variances, level=level)
    return _family((small, large, test(samples[small], samples[large])) for small, large in pairs)


def easier_harder(
    easier: Mapping[float, Values],
    harder: Mapping[float, Values],
    *,
    equal_variances: bool = False,
    level: float = 0.99,
) -> tuple[Row, ...]:
    """Test for each ratio whether the easier data set has the smaller mean slope: independent, Hₐ: easier < harder.

    Parameters
    ----------
    easier, harder : mapping of float to sequence of float or None, shape (seeds,)
        α of each seed for each compression ratio, both for the same ratios; the number of seeds may differ.
    equal_variances, level
        As in `t_test`.

    Returns
    -------
    tuple of Row
        One a ratio, from the lowest up; ``first`` and ``second`` are both that ratio, of the easier and the harder set.

    Raises
    ------
    InputError
        As `t_test`, and if a key is not a number or the ratios differ.

    References
    ----------
    Good et al., NeurIPS 2022.

    Examples
    --------
    >>> (row,) = easier_harder({10: [1.06, 1.13, 1.00]}, {10: [1.31, 1.22, 1.40]})
    >>> row.first, row.comparison.alternative, round(row.comparison.p, 3)
    (10, 'less', 0.011)
    """
    ratios, others = _ratios("easier", easier), _ratios("harder", harder)
    if ratios != others:
        raise InputError(f"easier and harder must have the same ratios; got {ratios} and {others}.")
    test = partial(t_test, paired=False, alternative="less", equal_variances=equal_variances, level=level)
    return _family((ratio, ratio, test(easier[ratio], harder[ratio])) for ratio in ratios)


def algorithm_pairs(samples: Mapping[str, Values], *, level: float = 0.99) -> tuple[Row, ...]:
    """Test for each pair of algorithms whether their mean slopes differ: paired, two-sided.

    Parameters
    ----------
    samples : mapping of str to sequence of float or None, shape (seeds,)
        α of each seed for each algorithm, in one order of the seeds: all prune the same trained model of a seed.
    level : float
        Confidence level of each difference's interval, in (0, 1).

    Returns
    -------
    tuple of Row
        One a pair, in the order of the mapping; empty for fewer than two algorithms.

    Raises
    ------
    InputError
        As `t_test`.

    References
    ----------
    Good et al., NeurIPS 2022.

    Examples
    --------
    >>> rows = algorithm_pairs({"MP": [1.24, 1.22, 1.26], "GP": [1.37, 1.33, 1.40], "UP": [1.16, 1.17, 1.15]})
    >>> [(row.first, row.second, round(row.comparison.difference, 2)) for row in rows]
    [('MP', 'GP', -0.13), ('MP', 'UP', 0.08), ('GP', 'UP', 0.21)]
    """
    pairs = itertools.combinations(_mapping("samples", samples), 2)
    test = partial(t_test, paired=True, level=level)
    return _family((one, other, test(samples[one], samples[other])) for one, other in pairs)


def against_control(samples: Mapping[Hashable, Values], control: Values, *, level: float = 0.99) -> tuple[Row, ...]:
    """Test whether each sample's mean slope differs from that of fine-tuning alone: paired, two-sided.

    Parameters
    ----------
    samples : mapping to sequence of float or None, shape (seeds,)
        α of each seed, for each ratio or algorithm.
    control : sequence of float or None, shape (seeds,)
        α of the arm in which nothing was pruned (t = 1), in the same order of the seeds.
    level : float
        Confidence level of each difference's interval, in (0, 1).

    Returns
    -------
    tuple of Row
        One a sample, in the order of the mapping; ``second`` is ``"control"``.

    Raises
    ------
    InputError
        As `t_test`.

    Examples
    --------
    >>> rows = against_control({2: [0.93, 0.95, 0.92], 10: [1.06, 1.13, 1.00]}, [0.94, 0.95, 0.94])
    >>> [(row.first, row.second, round(row.holm, 2)) for row in rows]
    [(2, 'control', 0.23), (10, 'control', 0.15)]
    """
    test = partial(t_test, paired=True, level=level)
    return _family((key, "control", test(samples[key], control)) for key in _mapping("samples", samples))


def _paired(a, b, redrawn, others, alternative: str, level: float, step: float | None) -> Comparison:
    if a.size != b.size:
        raise InputError(f"paired samples must have one value a seed each, of the same seeds; got {a.size} and {b.size}.")
    complete = ~(np.isnan(a) | np.isnan(b))
    omitted = left_out(a.size - int(complete.sum()), a.size, "pairs")
    a, b = a[complete], b[complete]
    differences = a - b
    if a.size < 2:
        reason = f"{'one pair' if a.size else 'no complete pairs'}: a paired test needs at least two"
    else:
        same = _same(differences.std(ddof=1), a, b)
        parts = [(_least_variance(a.size, step), a.size - 1)] if same else [_mean_variance(differences)]
        shared = _shared_variance(None if redrawn is None else redrawn[complete] - others[complete])
        found = _Difference(differences.mean(), parts, shared)
        if found.varies:
            return _tested("paired", found, alternative, a, b, level, 0.0 if same else differences.std(ddof=1), omitted)
        if not _same(found.value, a, b) and _sign_test(a.size) <= 1 - level:
            note = joined("all differences are the same: p is the sign test's", omitted)
            return _separated("paired", alternative, a, b, level, _sign_test(a.size), note)
        reason = "all differences are the same: without spread between seeds there is no test"
    return _untested("paired", alternative, a, b, level, joined(reason, omitted))


def _independent(a, b, redrawn, others, alternative: str, equal_variances: bool, level: float, step) -> Comparison:
    kind = "student" if equal_variances else "welch"
    given = a.size + b.size
    if redrawn is not None:
        redrawn, others = redrawn[~np.isnan(a)], others[~np.isnan(b)]
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    omitted = left_out(given - a.size - b.size, given, "values")
    if min(a.size, b.size) < 2:
        reason = f"{a.size} and {b.size} seeds: an independent test needs at least two in each sample"
        return _untested(kind, alternative, a, b, level, joined(reason, omitted))
    df = a.size + b.size - 2
    pooled = ((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / df
    if _same(np.sqrt(pooled), a, b):
        pooled, parts = 0.0, [(_least_variance(a.size, step) + _least_variance(b.size, step), df)]
    elif equal_variances:
        parts = [(pooled * (1 / a.size + 1 / b.size), df)]
    else:
        parts = [(sample.var(ddof=1) / sample.size, sample.size - 1) for sample in (a, b)]
    found = _Difference(a.mean() - b.mean(), parts, _shared_variance(redrawn, others))
    if not found.varies:
        p = 2 / math.comb(a.size + b.size, a.size)
        if not _same(found.value, a, b) and p <= 1 - level:
            note = joined("all values of each sample are the same: p is the permutation test's", omitted)
            return _separated(kind, alternative, a, b, level, p, note)
        reason = "all values of each sample are the same: without spread between seeds there is no test"
        return _untested(kind, alternative, a, b, level, joined(reason, omitted))
    return _tested(kind, found, alternative, a, b, level, np.sqrt(pooled), omitted)


@dataclass(frozen=True)
class _Difference:
    """A mean, or a difference of means, that is about normal.

    Attributes
    ----------
    value : float
    parts : sequence of (float, int)
        Independent variances of the value, each estimated with so many degrees of freedom.
    shared : float
        What is added to them, and known well.
    """

    value: float
    parts: Sequence[tuple[float, int]]
    shared: float

    @property
    def variance(self) -> float:
        return sum(variance for variance, _ in self.parts) + self.shared

    @property
    def varies(self) -> bool:
        return self.variance > 0

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom, infinite if nothing is estimated from seeds."""
        share = sum((variance / self.variance) ** 2 / df for variance, df in self.parts)
        return 1 / share if share > 0 else np.inf

    def interval(self, level: float) -> tuple[float, float]:
        from scipy import stats

        return tuple(map(float, stats.t.interval(level, self.df, loc=self.value, scale=np.sqrt(self.variance))))

    def test(self, alternative: str) -> tuple[float, float]:
        """Return t and p."""
        from scipy import stats

        t = self.value / np.sqrt(self.variance)
        p = {"less": stats.t.cdf, "greater": stats.t.sf, "two-sided": lambda t, df: 2 * stats.t.sf(abs(t), df)}[alternative]
        return t, p(t, self.df)


def _mean_variance(values: np.ndarray, step: float | None = None) -> tuple[float, int]:
    """Return the variance of the mean, s²/n, 0 but for rounding counting as 0, and its degrees of freedom."""
    same = _same(values.std(ddof=1), values)
    return _least_variance(values.size, step) if same else values.var(ddof=1) / values.size, values.size - 1


def _least_variance(seeds: int, step: float | None) -> float:
    """Return the variance of the mean of values that are all the same but for one, which is a step away: s² = step²/n."""
    return (step / seeds) ** 2 if step else 0.0


def _sign_test(seeds: int) -> float:
    """Return the two-sided p of values that lie all on one side."""
    return 2.0 ** (1 - seeds)


def _require_step(step) -> None:
    if step is not None and not (isinstance(step, Real) and 0 < step < LARGEST):
        raise InputError(f"step must be a number above 0, such as 1/100 for a recall of 100 images; got {step!r}.")


def _shared_variance(*redrawn: np.ndarray | None) -> float:
    """Return the variance that resampled images give a mean, or a difference of two, in all seeds alike.

    The variance of the mean over resamples, less what is each seed's own, which their spread shows already. With the mean m
    of n seeds and w the mean over seeds of their variances, that is (w − var(m)) / (n − 1).
    """
    if redrawn[0] is None:
        return 0.0
    finite = np.isfinite(np.concatenate(redrawn)).all(axis=0)
    if finite.sum() < 2:
        raise InputError("'redrawn' has fewer than two resamples in which all values are finite.")
    groups = [group[:, finite] for group in redrawn]
    means = [group.mean(axis=0) for group in groups]
    own = sum((group.var(axis=1).mean() - mean.var()) / (len(group) - 1) for group, mean in zip(groups, means))
    difference = means[0] - means[1] if len(means) == 2 else means[0]
    return max(0.0, float(difference.var() - own))


def _tested(kind, found: _Difference, alternative, a, b, level, spread, note) -> Comparison:
    t, p = found.test(alternative)
    numbers = (found.value, *found.interval(level), level, t, found.df, p)
    effect = float(found.value / spread) if spread else None
    note = note if spread else joined("no effect size: seeds do not differ", note)
    return Comparison(kind, alternative, (a.size, b.size), *map(float, numbers), effect, note)


def _untested(kind, alternative, a, b, level, note) -> Comparison:
    difference = float(a.mean() - b.mean()) if a.size and b.size else None
    return Comparison(kind, alternative, (a.size, b.size), difference, None, None, level, None, None, None, None, note)


def _separated(kind, alternative, a, b, level, p, note) -> Comparison:
    """Return the comparison of samples without spread that an exact test tells apart, p being its two-sided one."""
    difference = float(a.mean() - b.mean())
    if alternative != "two-sided":
        p = p / 2 if (difference < 0) == (alternative == "less") else 1.0
    return Comparison(
        kind, alternative, (a.size, b.size), difference, difference, difference, level, None, None, p, None, note
    )


def _family(compared: Iterable[tuple[Hashable, Hashable, Comparison]]) -> tuple[Row, ...]:
    from statsmodels.stats.multitest import multipletests

    compared = list(compared)
    tested = [comparison.p for *_, comparison in compared if comparison.p is not None]
    holm = iter(multipletests(tested, method="holm")[1] if tested else ())
    return tuple(
        Row(first, second, comparison, None, None)
        if comparison.p is None
        else Row(first, second, comparison, min(1.0, comparison.p * len(compared)), float(next(holm)))
        for first, second, comparison in compared
    )


def side(low: float | None, high: float | None, reference: float) -> str:
    """Return ``"<"`` or ``">"`` if an interval lies below or above a reference, ``"?"`` if it holds it or does not exist."""
    if low is None:
        return "?"
    return "<" if high < reference else ">" if low > reference else "?"


def _same(spread: float, *samples: np.ndarray) -> bool:
    return bool(abs(spread) <= _ROUNDING * max(np.abs(sample).max() for sample in samples))


def _mapping(name: str, samples: Mapping) -> Mapping:
    if not isinstance(samples, Mapping):
        raise InputError(f"'{name}' must be a mapping from what was measured to its sample; got {type(samples).__name__}.")
    return samples


def _ratios(name: str, samples: Mapping[float, Values]) -> list[float]:
    """Return the ratios of the samples, the lowest first."""
    for ratio in _mapping(name, samples):
        if not (isinstance(ratio, Real) and abs(ratio) < LARGEST):
            raise InputError(f"'{name}' must be keyed by compression ratio, numbers such as 2 or 10; got {ratio!r}.")
    return sorted(samples)
