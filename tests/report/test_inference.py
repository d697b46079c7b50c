"""Statistics over seeds against SciPy, statsmodels, the formulas written out, published examples, and simulation."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import math
import re
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from tfrecall.errors import InputError
from tfrecall.report.inference import (
    ALTERNATIVES,
    Interval,
    against_control,
    algorithm_pairs,
    consecutive_ratios,
    consecutive_sizes,
    easier_harder,
    interval,
    t_test,
)
from tfrecall.report.pooling import Corrected, Pooled, corrected, pooled
from tfrecall.report.resampling import resampled
from tfrecall.report.samples import Sample
from tfrecall.report.slope import outcomes, slope

KINDS = {"paired": {"paired": True}, "welch": {"paired": False}, "student": {"paired": False, "equal_variances": True}}
MIRRORED = {"two-sided": "two-sided", "less": "greater", "greater": "less"}


@pytest.fixture(scope="module", autouse=True)
def _quick_collection():
    """Spare statsmodels, which collects garbage at each adjustment of p-values, the objects that exist already."""
    gc.freeze()
    yield
    gc.unfreeze()


numbers = st.floats(-100, 100).map(lambda value: round(value, 3))
samples = st.lists(numbers, min_size=2, max_size=12)
missing = st.lists(st.none() | numbers, max_size=8)


@st.composite
def compared(draw, kinds=tuple(KINDS)):
    """A kind of test and two samples for it, with some spread in the values that are tested."""
    kind = draw(st.sampled_from(kinds))
    a = draw(samples)
    b = draw(st.lists(numbers, min_size=len(a), max_size=len(a)) if kind == "paired" else samples)
    if kind == "paired":
        assume(np.ptp(np.subtract(a, b)) > 0.01)
    else:
        assume(np.ptp(a) > 0.01 or np.ptp(b) > 0.01)
    return kind, a, b


def close(value, expected):
    np.testing.assert_allclose(value, expected, rtol=1e-7, atol=1e-9)


def with_p(p, size=10):
    """Return a sample whose paired two-sided test against zeros has this p-value."""
    shape = np.arange(size) - (size - 1) / 2
    shape /= shape.std(ddof=1)
    return shape + stats.t.isf(p / 2, size - 1) / math.sqrt(size)


# ------------------------------------------------------------------------------------------------ published examples

# Student, Biometrika 1908: additional hours of sleep under two drugs, as in R's data set `sleep` and its help page
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)
# Fisher, The Design of Experiments, 1935: Darwin's cross- and self-fertilized maize, heights in inches
MAIZE = (
    [23.5, 12, 21, 22, 19.125, 21.5, 22.125, 20.375, 18.25, 21.625, 23.25, 21, 22.125, 23, 12],
    [17.375, 20.375, 20, 20, 18.375, 18.625, 18.625, 15.25, 16.5, 18, 16.25, 18, 12.75, 15.5, 18],
)
# Altman, Practical Statistics for Medical Research, 1991; tests printed in Dalgaard, Introductory Statistics with R
LEAN = [7.53, 7.48, 8.08, 8.09, 10.15, 8.40, 10.88, 6.13, 7.90, 7.05, 7.48, 7.58, 8.11]
OBESE = [9.21, 11.51, 12.79, 11.85, 9.97, 8.79, 9.69, 9.68, 9.19]
INTAKE = [5260, 5470, 5640, 6180, 6390, 6515, 6805, 7515, 7515, 8230, 8770]


@pytest.mark.parametrize(
    ("kind", "data", "t", "df", "p", "low", "high"),
    [
        ("paired", SLEEP, -4.0621, 9, 0.002833, -2.4598858, -0.7001142),
        ("welch", SLEEP, -1.8608, 17.776, 0.07939, -3.3654832, 0.2054832),
        ("student", SLEEP, -1.8608, 18, 0.07919, -3.363874, 0.203874),
        ("paired", MAIZE, 2.148, 14, 0.0497, 0.003899, 5.229434),
        ("welch", (LEAN, OBESE), -3.8555, 15.919, 0.001411, -3.459167, -1.004081),
        ("student", (LEAN, OBESE), -3.9456, 20, 0.000799, -3.411451, -1.051796),
    ],
)
def test_published_tests(kind, data, t, df, p, low, high):
    found = t_test(*data, **KINDS[kind], level=0.95)
    assert found.kind == kind
    assert found.n == (len(data[0]), len(data[1]))
    assert found.statistic == pytest.approx(t, rel=1e-4, abs=6e-4)
    assert found.df == pytest.approx(df, abs=6e-4)
    assert found.p == pytest.approx(p, rel=2e-3)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4, abs=1e-6)
    assert found.note is None


def test_published_interval():
    found = interval(INTAKE, level=0.95, reference=7725)
    assert (found.n, found.symbol, found.note) == (11, "<", None)
    assert (found.mean, found.low, found.high) == pytest.approx((6753.636, 5986.348, 7520.925), abs=6e-4)


def test_published_effect_of_students_drugs():
    assert t_test(*SLEEP, paired=True).effect == pytest.approx(-1.2846, abs=1e-4)
    assert t_test(*SLEEP, paired=False).effect == pytest.approx(-0.8322, abs=1e-4)


@pytest.mark.parametrize(
    ("p", "holm"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # Wikipedia, Holm–Bonferroni method
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.5, 0.6], [1.0, 1.0]),
    ],
)
def test_published_holm_adjustment(p, holm):
    rows = against_control({index: with_p(value) for index, value in enumerate(p)}, [0.0] * 10)
    close([row.comparison.p for row in rows], p)
    close([row.holm for row in rows], holm)
    close([row.bonferroni for row in rows], np.minimum(1, np.array(p) * len(p)))


# ------------------------------------------------------------------------------------------ independent computations


@settings(deadline=None, max_examples=200)
@given(samples, st.floats(0.5, 0.999), st.floats(-100, 100))
def test_interval_is_that_of_the_formula_scipy_and_statsmodels(values, level, reference):
    assume(np.ptp(values) > 0.01)
    found = interval(values, level=level, reference=reference)
    n, mean = len(values), sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    half = stats.t.ppf((1 + level) / 2, n - 1) * spread / math.sqrt(n)
    close([found.mean, found.low, found.high], [mean, mean - half, mean + half])
    close([found.low, found.high], stats.ttest_1samp(values, 0).confidence_interval(level))
    close([found.low, found.high], DescrStatsW(values).tconfint_mean(1 - level))
    assert found.symbol == ("<" if found.high < reference else ">" if found.low > reference else "?")
    assert (found.n, found.level, found.note) == (n, level, None)


def written_out(kind, a, b):
    """t, its degrees of freedom, the standard error of the difference, and Cohen's d, from the formulas."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if kind == "paired":
        spread = np.std(a - b, ddof=1)
        return np.mean(a - b) / (spread / np.sqrt(a.size)), a.size - 1, spread / np.sqrt(a.size), np.mean(a - b) / spread
    difference, va, vb = a.mean() - b.mean(), a.var(ddof=1), b.var(ddof=1)
    both = ((a.size - 1) * va + (b.size - 1) * vb) / (a.size + b.size - 2)
    if kind == "student":
        error, df = np.sqrt(both * (1 / a.size + 1 / b.size)), a.size + b.size - 2
    else:
        ea, eb = va / a.size, vb / b.size
        error, df = np.sqrt(ea + eb), (ea + eb) ** 2 / (ea**2 / (a.size - 1) + eb**2 / (b.size - 1))
    return difference / error, df, error, difference / np.sqrt(both)


@settings(deadline=None, max_examples=200)
@given(compared(), st.sampled_from(ALTERNATIVES), st.floats(0.5, 0.999))
def test_tests_are_those_of_the_formula_and_statsmodels(case, alternative, level):
    kind, a, b = case
    found = t_test(a, b, **KINDS[kind], alternative=alternative, level=level)
    t, df, error, effect = written_out(kind, a, b)
    p = {"less": stats.t.cdf(t, df), "greater": stats.t.sf(t, df), "two-sided": 2 * stats.t.sf(abs(t), df)}[alternative]
    half = stats.t.ppf((1 + level) / 2, df) * error
    difference = np.mean(a) - np.mean(b)
    close([found.difference, found.low, found.high], [difference, difference - half, difference + half])
    close([found.statistic, found.df, found.p, found.effect], [t, df, p, effect])
    assert (found.kind, found.alternative, found.level, found.note) == (kind, alternative, level, None)

    side = {"less": "smaller", "greater": "larger"}.get(alternative, alternative)
    if kind == "paired":
        differences = DescrStatsW(np.subtract(a, b))
        close([found.statistic, found.p, found.df], differences.ttest_mean(alternative=side))
        close([found.low, found.high], differences.tconfint_mean(1 - level))
    else:
        usevar = "pooled" if kind == "student" else "unequal"
        means = CompareMeans(DescrStatsW(a), DescrStatsW(b))
        close([found.statistic, found.p, found.df], means.ttest_ind(alternative=side, usevar=usevar))
        close([found.low, found.high], means.tconfint_diff(1 - level, usevar=usevar))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8))
def test_adjusted_p_values_are_those_of_the_definitions(wanted):
    rows = against_control(dict(enumerate(map(with_p, wanted))), [0.0] * 10)
    p = np.array([row.comparison.p for row in rows])
    order, m = np.argsort(p, kind="stable"), len(p)
    holm = np.empty(m)
    holm[order] = np.maximum.accumulate(np.minimum(1, p[order] * (m - np.arange(m))))
    close([row.holm for row in rows], holm)
    close([row.bonferroni for row in rows], multipletests(p, method="bonferroni")[1])
    assert all(p <= row.holm <= row.bonferroni for p, row in zip(p, rows))


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_pooled_is_the_least_squares_line_without_intercept(models, classes, seed):
    generator = np.random.default_rng(seed)
    before = generator.normal(0, 0.2, (models, classes))
    after = 1.3 * before + generator.normal(0, 0.1, (models, classes))
    gaps = generator.random((2, models, classes)) < 0.15
    x, y = np.where(gaps[0], np.nan, before), np.where(gaps[1], np.nan, after)
    complete = ~(gaps[0] | gaps[1])
    assume(complete.sum() > 1)
    found = pooled(x, y)
    fit = sm.OLS(y[complete], x[complete]).fit()
    close([found.alpha, found.r_squared], [fit.params[0], fit.rsquared])
    close(found.alpha, np.linalg.lstsq(x[complete][:, None], y[complete], rcond=None)[0][0])
    close(found.r_squared, 1 - np.sum((y - found.alpha * x)[complete] ** 2) / np.sum(y[complete] ** 2))
    assert found.points == complete.sum()
    without_nan = [[None if math.isnan(value) else value for value in row] for row in x.tolist()]
    assert pooled(without_nan, y) == found


def test_pooled_points_on_a_line_have_r_squared_1():
    before = np.array([[0.1, -0.3, 0.2], [0.05, -0.15, 0.1]])
    found = pooled(before, -0.7 * before)
    assert found.alpha == pytest.approx(-0.7)
    assert found.r_squared == pytest.approx(1)
    assert found.r_squared <= 1


@settings(deadline=None)
@given(st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_corrected_is_the_ratio_of_sums_with_the_variance_of_the_delta_method(seeds, seed):
    generator = np.random.default_rng(seed)
    signal = generator.uniform(0.9, 1.1, seeds)
    covariation = 1.2 * signal + generator.normal(0, 0.2, seeds)
    found = corrected(covariation, signal, level=0.95)
    assert found.identifiable
    close(found.alpha, covariation.sum() / signal.sum())
    close(np.mean(found.values), found.alpha)
    mean = signal.mean()
    gradient = np.array([1 / mean, -covariation.mean() / mean**2])
    variance = gradient @ np.cov(covariation, signal) @ gradient / seeds
    close(np.var(found.values, ddof=1) / seeds, variance)
    residuals = covariation - found.alpha * signal  # Cochran 1977, equation 6.13, of an unlimited population
    close(np.std(found.values, ddof=1), np.sqrt(np.sum(residuals**2) / (seeds - 1)) / mean)
    jackknife = [np.delete(covariation, s).sum() / np.delete(signal, s).sum() for s in range(seeds)]
    pseudo = seeds * found.alpha - (seeds - 1) * np.array(jackknife)
    np.testing.assert_allclose(pseudo, found.values, atol=0.1 * np.ptp(pseudo))


# ----------------------------------------------------------------------------------------------------- what must hold


@settings(deadline=None)
@given(samples, numbers, st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_an_interval_moves_and_scales_with_its_values_and_ignores_their_order(values, shift, scale, random):
    assume(np.ptp(values) > 0.01)
    one = interval(values)
    other = interval([scale * value + shift for value in random.sample(values, len(values))], reference=scale + shift)
    close([other.mean, other.low, other.high], [scale * end + shift for end in (one.mean, one.low, one.high)])
    if min(abs(one.low - 1), abs(one.high - 1)) > 1e-6:
        assert other.symbol == one.symbol


@settings(deadline=None)
@given(samples)
def test_a_higher_level_means_a_wider_interval_that_holds_the_mean(values):
    assume(np.ptp(values) > 0.01)
    for narrow, wide in itertools.pairwise(interval(values, level=level) for level in (0.5, 0.9, 0.99)):
        assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


@settings(deadline=None)
@given(compared(), st.sampled_from(ALTERNATIVES), numbers, st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_a_test_ignores_place_unit_and_order(case, alternative, shift, scale, random):
    kind, a, b = case
    order = random.sample(range(len(a)), len(a))
    other_order = order if kind == "paired" else random.sample(range(len(b)), len(b))
    options = {**KINDS[kind], "alternative": alternative}
    one = t_test(a, b, **options)
    other = t_test([scale * a[i] + shift for i in order], [scale * b[i] + shift for i in other_order], **options)
    close([getattr(other, name) for name in ("statistic", "df", "p", "effect")], [one.statistic, one.df, one.p, one.effect])
    close([other.difference, other.low, other.high], [scale * end for end in (one.difference, one.low, one.high)])


@settings(deadline=None)
@given(compared(), st.sampled_from(ALTERNATIVES))
def test_swapping_the_samples_mirrors_the_test(case, alternative):
    kind, a, b = case
    one = t_test(a, b, **KINDS[kind], alternative=alternative)
    other = t_test(b, a, **KINDS[kind], alternative=MIRRORED[alternative])
    close([other.difference, other.low, other.high], [-one.difference, -one.high, -one.low])
    close([other.statistic, other.df, other.p, other.effect], [-one.statistic, one.df, one.p, -one.effect])
    assert other.n == one.n[::-1]


@settings(deadline=None, max_examples=200)
@given(compared(), st.floats(0.5, 0.999))
def test_p_is_small_exactly_where_the_interval_excludes_0(case, level):
    kind, a, b = case
    two_sided, less, greater = (t_test(a, b, **KINDS[kind], alternative=name, level=level) for name in ALTERNATIVES)
    assert two_sided.low <= two_sided.difference <= two_sided.high
    assert (less.low, less.high) == (greater.low, greater.high) == (two_sided.low, two_sided.high)
    assert less.p + greater.p == pytest.approx(1)
    assert two_sided.p == pytest.approx(2 * min(less.p, greater.p))
    assume(abs(two_sided.p - (1 - level)) > 1e-6)
    assert (two_sided.p < 1 - level) == (two_sided.low > 0 or two_sided.high < 0)


@settings(deadline=None)
@given(compared(kinds=("paired",)))
def test_a_paired_test_is_the_interval_of_the_differences(case):
    _, a, b = case
    found, of_differences = t_test(a, b, paired=True), interval(np.subtract(a, b), reference=0)
    close([found.difference, found.low, found.high], [of_differences.mean, of_differences.low, of_differences.high])


@settings(deadline=None)
@given(compared(), st.data())
def test_a_seed_without_a_value_is_as_if_it_had_not_been(case, data):
    kind, a, b = case
    place = data.draw(st.integers(0, len(a)))
    longer = [*a[:place], None, *a[place:]]
    partner = [*b[:place], data.draw(st.none() | numbers), *b[place:]] if kind == "paired" else b
    found, expected = t_test(longer, partner, **KINDS[kind]), t_test(a, b, **KINDS[kind])
    assert dataclasses.replace(found, note=None) == expected
    what = f"{len(longer)} pairs" if kind == "paired" else f"{len(longer) + len(b)} values"
    assert found.note == f"left out for want of a value: 1 of {what}"


@settings(deadline=None)
@given(st.integers(3, 10), st.floats(-3, 3), st.floats(0.1, 10), st.integers(0, 2**32 - 1))
def test_the_corrected_slope_scales_with_the_covariation_alone(seeds, factor, unit, seed):
    generator = np.random.default_rng(seed)
    signal, covariation = generator.uniform(0.9, 1.1, seeds), generator.normal(1, 0.3, seeds)
    one = corrected(covariation, signal)
    assume(one.identifiable)
    close(corrected(factor * covariation, signal).values, factor * np.array(one.values))
    close(corrected(unit * covariation, unit * signal).values, one.values)
    added = corrected(covariation + factor * signal, signal)
    close(added.values, np.array(one.values) + factor)
    order = generator.permutation(seeds)
    close(corrected(covariation[order], signal[order]).values, np.array(one.values)[order])


anything = (
    st.none() | st.floats(-1e99, 1e99) | st.floats(-1, 1) | st.sampled_from([0.0, 1.0, 1e-300, 5e-324, 0.1 + 0.2, 0.3])
)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(anything, anything), max_size=6), st.lists(anything, max_size=6), st.sampled_from(ALTERNATIVES))
def test_nothing_is_ever_nan_and_nothing_warns(pairs, others, alternative):
    a, b = [one for one, _ in pairs], [other for _, other in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = [
            interval(a),
            t_test(a, b, paired=True, alternative=alternative),
            t_test(a, others, paired=False, alternative=alternative),
            t_test(a, others, paired=False, equal_variances=True),
            corrected(a, b),
            pooled([a], [b]),
            *(row.comparison for row in consecutive_ratios({2: a, 4: b})),
        ]
    for result in results:
        document = json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False))
        assert document["note"] != ""
        if None in [value for key, value in document.items() if key not in ("note", "redrawn")]:
            assert document["note"]


# ------------------------------------------------------------------------------------------------------- the families

STUDY = {
    2: [0.93, 0.95, 0.92, 0.91, 0.94],
    10: [1.06, 1.13, 1.00, 1.09, 1.02],
    4: [0.95, 0.98, 0.93, 0.94, 0.94],
}
LARGER = {ratio: [value + 0.07 * index for index, value in enumerate(values[:4])] for ratio, values in STUDY.items()}


def named(values):
    return {f"model{ratio}": sample for ratio, sample in values.items()}


@pytest.mark.parametrize(
    ("rows", "names", "expected"),
    [
        (
            consecutive_ratios(STUDY, level=0.9),
            [(2, 4), (4, 10)],
            [
                stats.ttest_rel(STUDY[2], STUDY[4], alternative="less"),
                stats.ttest_rel(STUDY[4], STUDY[10], alternative="less"),
            ],
        ),
        (
            consecutive_sizes(named(STUDY), level=0.9),
            [("model2", "model10"), ("model10", "model4")],
            [
                stats.ttest_ind(STUDY[one], STUDY[other], equal_var=False, alternative="greater")
                for one, other in ((2, 10), (10, 4))
            ],
        ),
        (
            consecutive_sizes(named(STUDY), equal_variances=True, level=0.9),
            [("model2", "model10"), ("model10", "model4")],
            [stats.ttest_ind(STUDY[one], STUDY[other], alternative="greater") for one, other in ((2, 10), (10, 4))],
        ),
        (
            easier_harder(STUDY, LARGER, level=0.9),
            [(2, 2), (4, 4), (10, 10)],
            [stats.ttest_ind(STUDY[ratio], LARGER[ratio], equal_var=False, alternative="less") for ratio in sorted(STUDY)],
        ),
        (
            easier_harder(STUDY, LARGER, equal_variances=True, level=0.9),
            [(2, 2), (4, 4), (10, 10)],
            [stats.ttest_ind(STUDY[ratio], LARGER[ratio], alternative="less") for ratio in sorted(STUDY)],
        ),
        (
            algorithm_pairs(named(STUDY), level=0.9),
            [("model2", "model10"), ("model2", "model4"), ("model10", "model4")],
            [stats.ttest_rel(STUDY[one], STUDY[other]) for one, other in ((2, 10), (2, 4), (10, 4))],
        ),
        (
            against_control({10: STUDY[10], 4: STUDY[4]}, STUDY[2], level=0.9),
            [(10, "control"), (4, "control")],
            [stats.ttest_rel(STUDY[10], STUDY[2]), stats.ttest_rel(STUDY[4], STUDY[2])],
        ),
    ],
)
def test_each_family_has_its_rows_and_its_alternative(rows, names, expected):
    assert [(row.first, row.second) for row in rows] == names
    close([row.comparison.statistic for row in rows], [test.statistic for test in expected])
    close([row.comparison.df for row in rows], [test.df for test in expected])
    p = [test.pvalue for test in expected]
    close([row.comparison.p for row in rows], p)
    close([row.bonferroni for row in rows], multipletests(p, method="bonferroni")[1])
    close([row.holm for row in rows], multipletests(p, method="holm")[1])
    assert {row.comparison.level for row in rows} == {0.9}


def test_a_row_without_a_test_counts_for_bonferroni_and_not_for_holm():
    control = [0.0] * 10
    rows = against_control({"a": with_p(0.01), "same": control, "b": with_p(0.04), "alone": [1.0] + [None] * 9}, control)
    close([rows[0].bonferroni, rows[2].bonferroni], [0.04, 0.16])
    close([rows[0].holm, rows[2].holm], [0.02, 0.04])
    for row in (rows[1], rows[3]):
        assert (row.comparison.p, row.bonferroni, row.holm) == (None, None, None)
    assert rows[1].comparison.note == "all differences are the same: without spread between seeds there is no test"
    assert rows[3].comparison.note == (
        "one pair: a paired test needs at least two; left out for want of a value: 9 of 10 pairs"
    )


def test_a_family_of_one_is_empty_or_not_adjusted():
    assert consecutive_ratios({2: [1.0, 2.0]}) == consecutive_sizes({"m": [1.0, 2.0]}) == algorithm_pairs({}) == ()
    assert against_control({}, [1.0, 2.0]) == easier_harder({}, {}) == ()
    (row,) = consecutive_ratios({2: [1.0, 2.0, 3.0], 4: [1.0, 3.0, 4.0]})
    assert row.bonferroni == row.holm == row.comparison.p


def test_a_family_without_any_p_value_has_none_adjusted():
    rows = consecutive_ratios({2: [1.0], 4: [1.2], 10: [1.5]})
    assert [(row.bonferroni, row.holm) for row in rows] == [(None, None)] * 2
    assert [round(row.comparison.difference, 6) for row in rows] == [-0.2, -0.3]


# ------------------------------------------------------------------------------------------------ resampled images


def redrawn(generator, *counts, resamples=300, common=0.6):
    """Samples on resampled images that move all seeds by the same, and each one by its own."""
    shift = generator.normal(0, common, resamples)
    return [
        Sample(list(generator.normal(1, 0.5, count)), (shift + generator.normal(0, 0.3, (count, resamples))))
        for count in counts
    ]


def covariances(*given):
    """The mean covariance, over resamples, of two different seeds: within samples, and between them."""
    together = np.cov(np.concatenate([one.redrawn for one in given]), ddof=0)
    ends = np.cumsum([0, *(len(one.values) for one in given)])
    blocks = {
        (i, j): together[ends[i] : ends[i + 1], ends[j] : ends[j + 1]] for i in range(len(given)) for j in range(len(given))
    }
    return {
        place: block.mean() if place[0] != place[1] else block[~np.eye(len(block), dtype=bool)].mean()
        for place, block in blocks.items()
    }


def assert_moments(found, value, parts, shared, level):
    """Against the formulas: a variance for each part and one that is shared, and Satterthwaite's degrees of freedom."""
    variance = sum(part for part, _ in parts) + shared
    df = variance**2 / sum(part**2 / df for part, df in parts)
    half = stats.t.ppf((1 + level) / 2, df) * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((value - half, value + half))
    return value / math.sqrt(variance), df


def test_the_variance_of_the_images_is_added_to_that_of_the_seeds():
    (sample,) = redrawn(np.random.default_rng(21), 7)
    found = interval(sample, level=0.9)
    values = np.array(sample.values)
    shared = covariances(sample)[0, 0]
    assert shared == pytest.approx(0.36, rel=0.3)
    assert_moments(found, values.mean(), [(values.var(ddof=1) / 7, 6)], shared, 0.9)
    alone = interval(sample.values, level=0.9)
    assert found.high - found.low > alone.high - alone.low
    assert found.mean == alone.mean


def test_what_the_images_do_to_one_seed_alone_is_not_counted_twice():
    generator = np.random.default_rng(22)
    (sample,) = redrawn(generator, 12, resamples=4000, common=0.0)
    with_images, alone = interval(sample), interval(sample.values)
    assert with_images.high - with_images.low == pytest.approx(alone.high - alone.low, rel=0.01)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_a_test_of_samples_on_the_same_images(alternative):
    first, second = redrawn(np.random.default_rng(23), 6, 6)
    found = t_test(first, second, paired=True, alternative=alternative, level=0.9)
    differences = np.array(first.values) - second.values
    shared = covariances(Sample(list(differences), first.redrawn - second.redrawn))[0, 0]
    t, df = assert_moments(found, differences.mean(), [(differences.var(ddof=1) / 6, 5)], max(0, shared), 0.9)
    p = {"less": stats.t.cdf(t, df), "greater": stats.t.sf(t, df), "two-sided": 2 * stats.t.sf(abs(t), df)}[alternative]
    assert (found.statistic, found.df, found.p) == pytest.approx((t, df, p))
    # What moves both alike cancels in their difference.
    assert shared < 0.05


def test_independent_samples_on_the_same_images_and_on_others():
    generator = np.random.default_rng(24)
    (first, second), (other,) = redrawn(generator, 6, 9), redrawn(generator, 9)
    for a, b, cancels in ((first, second, True), (first, other, False)):
        between = covariances(a, b)
        shared = max(0, between[0, 0] + between[1, 1] - 2 * between[0, 1])
        assert (shared < 0.05) == cancels
        parts = [(np.var(one.values, ddof=1) / len(one.values), len(one.values) - 1) for one in (a, b)]
        found = t_test(a, b, paired=False, level=0.9)
        assert_moments(found, np.mean(a.values) - np.mean(b.values), parts, shared, 0.9)
        student = t_test(a, b, paired=False, equal_variances=True, level=0.9)
        pooled_variance = (5 * np.var(a.values, ddof=1) + 8 * np.var(b.values, ddof=1)) / 13
        parts = [(pooled_variance * (1 / 6 + 1 / 9), 13)]
        assert_moments(student, np.mean(a.values) - np.mean(b.values), parts, shared, 0.9)


def test_a_seed_without_a_value_takes_its_resamples_along():
    (sample,) = redrawn(np.random.default_rng(25), 6)
    holed = Sample([*sample.values[:2], None, *sample.values[3:]], sample.redrawn.copy())
    holed.redrawn[2] = np.nan
    rest = [0, 1, 3, 4, 5]
    wanted = Sample([sample.values[i] for i in rest], sample.redrawn[rest])
    assert dataclasses.replace(interval(holed), note=None) == interval(wanted)
    other = Sample(list(np.arange(6.0) ** 2), np.zeros((6, 300)))
    found, expected = (
        t_test(holed, other, paired=True),
        t_test(wanted, Sample([0, 1, 9, 16, 25], np.zeros((5, 300))), paired=True),
    )
    assert dataclasses.replace(found, note=None) == expected


def test_a_resample_in_which_a_seed_is_not_finite_is_left_out():
    (sample,) = redrawn(np.random.default_rng(26), 5)
    holed = Sample(sample.values, np.concatenate([sample.redrawn, np.full((5, 20), np.inf)], axis=1))
    assert interval(holed) == interval(sample)
    with pytest.raises(InputError, match="fewer than two resamples in which all values are finite"):
        interval(Sample(sample.values, np.full((5, 20), np.nan)))


def test_seeds_that_are_all_the_same_leave_the_variance_of_the_images():
    moved = np.tile(np.random.default_rng(30).normal(0, 0.5, 400), (3, 1))
    found = interval(Sample([1.2] * 3, moved), level=0.9)
    shared = covariances(Sample([1.2] * 3, moved))[0, 0]
    half = stats.norm.ppf(0.95) * math.sqrt(shared)
    assert (found.low, found.high) == pytest.approx((1.2 - half, 1.2 + half))
    tested = t_test(Sample([1.2] * 3, moved), Sample([1.0] * 3, np.zeros_like(moved)), paired=True, level=0.9)
    assert (tested.difference, tested.low) == pytest.approx((0.2, 0.2 - half))
    assert (tested.effect, tested.note) == (None, "no effect size: seeds do not differ")
    assert not corrected(Sample([0.1] * 3, 20 * moved), Sample([0.1] * 3, 20 * moved)).identifiable


def test_the_corrected_slope_carries_its_resamples_to_first_order():
    generator = np.random.default_rng(27)
    g, c = generator.normal(0.1, 0.01, 5), generator.normal(0.12, 0.01, 5)
    images_g, images_c = (sums[:, None] + generator.normal(0, 1e-6, (5, 50)) for sums in (g, c))
    found = corrected(Sample(list(c), (images_c)), Sample(list(g), (images_g)))
    alone = corrected(list(c), list(g))
    assert (found.alpha, found.values, found.note) == (alone.alpha, alone.values, None)
    ratios = images_c.sum(axis=0) / images_g.sum(axis=0)
    assert found.redrawn.mean(axis=0) == pytest.approx(ratios - found.alpha, abs=1e-9)
    assert isinstance(found.sample, Sample)
    assert alone.sample == found.values


def test_the_interval_of_the_corrected_slope_is_fiellers():
    """Against the closed form: the roots of (C − αG)² = t² (V_cc − 2α V_cg + α² V_gg)."""
    generator = np.random.default_rng(31)
    for seeds in (3, 10):
        g = generator.normal(0.1, 0.012, seeds)
        c = 1.3 * g + generator.normal(0, 0.02, seeds)
        found = corrected(list(c), list(g), level=0.9)
        (v_cc, v_cg), (_, v_gg) = np.cov(c, g) / seeds
        t = stats.t.ppf(0.95, seeds - 1)
        roots = np.roots(
            [g.mean() ** 2 - t**2 * v_gg, -2 * (c.mean() * g.mean() - t**2 * v_cg), c.mean() ** 2 - t**2 * v_cc]
        )
        assert (found.interval.low, found.interval.high) == pytest.approx(tuple(sorted(roots)))
        assert found.interval.mean == found.alpha == pytest.approx(c.sum() / g.sum())
        assert found.interval.symbol == ("<" if max(roots) < 1 else ">" if min(roots) > 1 else "?")


def test_a_signal_that_the_images_may_have_made_bears_no_slope():
    generator = np.random.default_rng(28)
    g = [0.10, 0.11, 0.09, 0.10]
    moved = np.tile(generator.normal(0, 0.08, 400), (4, 1))
    assert corrected(g, g).identifiable
    found = corrected(Sample(g, moved), Sample(g, moved))
    assert found.note == "not identifiable: the signal is not clearly above 0 over these seeds and images, at level 0.99"
    assert interval(found.sample).note.startswith("no values")
    assert found.interval.mean is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Sample([1.0, 2.0], np.zeros(2)), "'redrawn' must have the shape (2, resamples); got (2,)."),
        (lambda: Sample([1.0, 2.0], np.zeros((3, 9))), "'redrawn' must have the shape (2, resamples); got (3, 9)."),
        (lambda: Sample([1.0, 2.0], np.zeros((2, 1))), "'redrawn' must have the shape (2, resamples); got (2, 1)."),
        (lambda: Sample([1.0, 2.0], [[1, 2], [1]]), "'redrawn' must be an array of numbers of shape (2, resamples)."),
        (lambda: Sample(5.0, np.zeros((1, 9))), "'values' must be a sequence of numbers, one a seed; got float."),
        (
            lambda: t_test([1.0, 2.0], Sample([1.0, 2.0], np.zeros((2, 9))), paired=True),
            "'a' and 'b' must both have the same resamples, or none.",
        ),
        (
            lambda: t_test(Sample([1.0, 2.0], np.zeros((2, 8))), Sample([1.0, 2.0], np.zeros((2, 9))), paired=False),
            "'a' and 'b' must both have the same resamples, or none.",
        ),
        (
            lambda: corrected([1.0, 2.0], Sample([1.0, 2.0], np.zeros((2, 9)))),
            "'covariation' and 'signal' must both have the same resamples, or none.",
        ),
    ],
)
def test_resamples_that_do_not_fit_are_refused(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message


# ---------------------------------------------------------------------------------------- coverage, by simulation


def study(generator, true, seeds=12, classes=10, images=150):
    """Slopes and balances of models with their own recalls, measured with the noise of a test set of this size."""
    slopes, before, after = [], [], []
    for seed in range(seeds):
        recalls = np.linspace(0.62, 0.78, classes) + generator.normal(0, 0.02, classes)
        balances = recalls / recalls.mean() - 1
        later = 0.6 * (1 + (true + generator.normal(0, 0.2)) * balances)
        outcome = np.stack([recalls * later, recalls * (1 - later), (1 - recalls) * later, (1 - recalls) * (1 - later)])
        counts = generator.multinomial(images, outcome.T)
        slopes.append(slope(counts, resamples=100, seed=seed))
        for sides, second in ((before, 1), (after, 2)):
            recall = (counts[:, 0] + counts[:, second]) / images
            sides.append(recall / recall.mean() - 1)
    return slopes, before, after


@pytest.mark.parametrize("true", [1.0, 1.5])
def test_the_corrected_interval_covers_the_true_slope_as_often_as_it_says_and_the_raw_one_does_not(true):
    generator = np.random.default_rng(11)
    estimates, lines, covered, raw = [], [], [], []
    for _ in range(150):
        slopes, before, after = study(generator, true)
        found = corrected([one.covariation for one in slopes], [one.signal for one in slopes], level=0.95)
        assert found.identifiable
        estimates.append(found.alpha)
        lines.append(pooled(before, after).alpha)
        covered.append(interval(found.values, level=0.95, reference=true).symbol == "?")
        raw.append(interval([one.value for one in slopes], level=0.95, reference=true).symbol == "?")
    assert np.median(estimates) == pytest.approx(true, rel=0.03)
    assert 0.9 <= np.mean(covered) <= 0.99
    assert np.mean(raw) < 0.5
    assert np.median(lines) < 0.8 * true


def on_the_same_images(generator, true, spread, seeds=20, classes=10, images=100, alike=0.95):
    """Slopes and resampled terms of models that find the same images hard; their classes' recalls are as `spread` says.

    A model is right about an image if the image's hardness, of which all models share a part, lies below a threshold.
    """
    labels = np.repeat(np.arange(classes), images)
    shared = math.sqrt(alike) * generator.normal(size=labels.size)
    right = {"before": [], "after": []}
    for _ in range(seeds):
        own = math.sqrt((1 - alike) / 2) * generator.normal(size=(3, labels.size))
        balances = np.linspace(-spread, spread, classes) * generator.uniform(0.8, 1.2)
        for place, (side, slope_of_side) in enumerate((("before", 1.0), ("after", true))):
            recalls = 0.8 * (1 + slope_of_side * balances)
            right[side].append(shared + own[0] + own[1 + place] < stats.norm.ppf(recalls)[labels])
    before, after = np.array(right["before"]), np.array(right["after"])
    wrong = (labels + 1) % classes
    slopes = [
        slope(outcomes(labels, np.where(x, labels, wrong), np.where(y, labels, wrong), classes), resamples=100, seed=seed)
        for seed, (x, y) in enumerate(zip(before, after))
    ]
    return slopes, resampled(labels, before, after, resamples=200, seed=int(generator.integers(2**31)))


def estimated(slopes, terms, level):
    """The corrected slope over seeds alone, and over seeds and images."""
    sums = [one.covariation for one in slopes], [one.signal for one in slopes]
    images = terms.numerators, terms.denominators
    return corrected(*sums, level=level), corrected(*map(Sample, sums, images), level=level)


def test_models_that_are_tested_on_the_same_images_need_the_images_in_their_interval():
    generator = np.random.default_rng(14)
    missed = {"seeds": [], "images": []}
    for _ in range(120):
        alone, with_images = estimated(*on_the_same_images(generator, true=1.2, spread=0.15), level=0.95)
        for name, found in zip(missed, (alone, with_images)):
            if found.identifiable:
                missed[name].append((found.interval.high < 1.2, found.interval.low > 1.2))
    assert len(missed["images"]) > 0.9 * 120
    assert np.sum(missed["seeds"]) > 0.15 * 120
    assert 0.01 * 120 <= np.sum(missed["images"]) <= 0.12 * 120
    assert min(np.sum(missed["images"], axis=0)) > 0  # on both sides


def test_classes_that_do_not_differ_are_rarely_taken_for_a_signal_on_the_same_images():
    generator = np.random.default_rng(15)
    found = [estimated(*on_the_same_images(generator, true=1.0, spread=0.0), level=0.9) for _ in range(80)]
    alone, with_images = (np.mean([one.identifiable for one in side]) for side in zip(*found))
    assert alone > 0.2
    assert with_images < 0.1


def test_a_t_interval_covers_the_mean_and_a_test_errs_as_often_as_they_say():
    generator = np.random.default_rng(12)
    covered, rejected = [], []
    for _ in range(500):
        values, others = generator.normal(1, 0.2, 5), generator.normal(1, 0.6, 9)
        covered.append(interval(values, level=0.9).symbol == "?")
        rejected.append(t_test(values, others, paired=False, alternative="less").p < 0.1)
    assert 0.86 < np.mean(covered) < 0.94
    assert 0.06 < np.mean(rejected) < 0.14


def test_models_without_differences_between_classes_are_rarely_taken_for_a_signal():
    generator = np.random.default_rng(13)
    found = []
    for _ in range(80):
        slopes = [
            slope(generator.multinomial(100, [0.5, 0.2, 0.2, 0.1], size=10), resamples=100, seed=seed) for seed in range(6)
        ]
        found.append(corrected([one.covariation for one in slopes], [one.signal for one in slopes], level=0.9).identifiable)
    assert np.mean(found) < 0.12


# --------------------------------------------------------------------------------------------------------- no spread


@pytest.mark.parametrize("seeds", range(2, 13))
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_values_that_are_all_the_same_are_told_from_the_reference_as_the_sign_test_does(seeds, level):
    p = stats.binomtest(seeds, seeds, 0.5).pvalue
    found, compared = interval([1.2] * seeds, level=level), t_test([1.2] * seeds, [0.9] * seeds, paired=True, level=level)
    if p <= 1 - level:
        assert (found.low, found.mean, found.high, found.symbol) == (found.mean, pytest.approx(1.2), found.mean, ">")
        assert found.note == "all values are the same: the interval is the sign test's"
        assert compared.p == pytest.approx(p)
        assert (compared.symbol, compared.statistic, compared.effect) == (">", None, None)
        for alternative, one_sided in (("greater", p / 2), ("less", 1.0)):
            tested = t_test([1.2] * seeds, [0.9] * seeds, paired=True, level=level, alternative=alternative)
            assert tested.p == pytest.approx(one_sided)
    else:
        assert (found.low, found.high, found.symbol) == (None, None, "?")
        assert (compared.p, compared.symbol) == (None, "?")
    assert interval([1.0] * seeds, level=level).symbol == "?"
    assert t_test([1.2] * seeds, [1.2] * seeds, paired=True, level=level).p is None


@pytest.mark.parametrize(("first", "second"), [(2, 2), (3, 3), (4, 5), (5, 5), (10, 3)])
def test_two_samples_without_spread_are_told_apart_as_the_permutation_test_does(first, second):
    a, b = [1.0] * first, [2.0] * second
    exact = stats.permutation_test((a, b), lambda a, b, axis: np.mean(a, axis) - np.mean(b, axis), n_resamples=np.inf)
    # SciPy doubles the smaller tail, as the rule does
    found = t_test(a, b, paired=False)
    if exact.pvalue <= 0.01:
        assert (found.p, found.symbol) == (pytest.approx(exact.pvalue), "<")
    else:
        assert (found.p, found.symbol) == (None, "?")


@pytest.mark.parametrize("seeds", range(2, 13))
@pytest.mark.parametrize("images", [10, 100, 1000])
def test_recalls_that_are_all_the_same_count_as_if_one_were_an_image_away(seeds, images):
    """The interval is as wide as the narrowest of values that differ."""
    one_away = [-0.5] * (seeds - 1) + [-0.5 + 1 / images]
    found, expected = interval([-0.5] * seeds, reference=0.0, step=1 / images), interval(one_away, reference=0.0)
    assert found.high - found.low == pytest.approx(expected.high - expected.low)
    assert found.mean == -0.5
    compared = t_test([-0.5] * seeds, [0.0] * seeds, paired=True, step=1 / images)
    assert (compared.low, compared.high) == (pytest.approx(found.low), pytest.approx(found.high))
    assert compared.p == pytest.approx(2 * stats.t.sf(0.5 * images * seeds, seeds - 1))


def test_a_class_that_is_lost_by_every_seed_is_and_an_image_that_two_seeds_lose_is_not():
    assert interval([-1.0] * 7, reference=0.0, step=1 / 40).symbol == "<"
    assert interval([-1.0] * 3, reference=0.0, step=1 / 40).symbol == "<"
    assert interval([-1 / 40] * 2, reference=0.0, step=1 / 40).symbol == "?"
    assert interval([-1 / 40] * 3, reference=0.0, step=1 / 40).symbol == "?"


@pytest.mark.parametrize("images", [20, 100])
@pytest.mark.parametrize("recall", [0.5, 0.95, 0.99])
def test_recalls_that_do_not_change_are_called_changed_no_more_often_than_the_level_allows(images, recall):
    """Simulated: recalls before and after of the same mean, in steps of an image; the rule for no spread adds little."""
    generator = np.random.default_rng(images)
    for seeds in (2, 3, 5, 10):
        changes = np.diff(generator.binomial(images, recall, (2, 4000, seeds)), axis=0)[0] / images
        without_spread = changes[(changes == changes[:, :1]).all(axis=1)]
        called = sum(interval(list(row), reference=0.0, step=1 / images).symbol != "?" for row in without_spread)
        assert called <= 0.005 * len(changes)


@pytest.mark.parametrize("step", [0, -1.0, math.nan, math.inf, "1"])
def test_a_step_is_a_number_above_0(step):
    with pytest.raises(InputError, match="step must be a number above 0"):
        interval([1.0, 2.0], step=step)
    with pytest.raises(InputError, match="step must be a number above 0"):
        t_test([1.0, 2.0], [1.0, 2.0], paired=True, step=step)


# ----------------------------------------------------------------------------------------------------- degenerate cases

MISSING = "left out for want of a value: {}"
NO_SPREAD = "all values are the same: without spread between seeds there is no interval"


@pytest.mark.parametrize(
    ("values", "n", "mean", "note"),
    [
        ([], 0, None, "no values: an interval needs at least two"),
        ([None, None], 0, None, f"no values: an interval needs at least two; {MISSING.format('2 of 2 values')}"),
        ([1.3], 1, 1.3, "one seed: an interval needs at least two"),
        ([None, 1.3], 1, 1.3, f"one seed: an interval needs at least two; {MISSING.format('1 of 2 values')}"),
        ([2.0, 2.0, 2.0], 3, 2.0, NO_SPREAD),
        ([0.1 + 0.2, 0.3, 0.3], 3, 0.3, NO_SPREAD),  # that differ by rounding only
        ([0.0, 0.0], 2, 0.0, NO_SPREAD),
        ([2.0, None, 2.0], 2, 2.0, f"{NO_SPREAD}; {MISSING.format('1 of 3 values')}"),
    ],
)
def test_an_interval_that_does_not_exist_says_why(values, n, mean, note):
    found = interval(values, reference=0.5)
    assert dataclasses.replace(found, mean=None) == Interval(n, None, None, None, 0.99, "?", note)
    assert found.mean == (None if mean is None else pytest.approx(mean))


def test_an_interval_tells_how_many_values_it_leaves_out():
    found = interval([1.1, None, 1.3, None, 1.2])
    assert (found.n, found.note) == (3, "left out for want of a value: 2 of 5 values")
    assert (found.low, found.high) == (interval([1.1, 1.3, 1.2]).low, interval([1.1, 1.3, 1.2]).high)


@pytest.mark.parametrize(
    ("values", "symbol"), [([0.5, 0.6, 0.7], "<"), ([1.5, 1.6, 1.7], ">"), ([0.9, 1.0, 1.1], "?"), ([0.5, 1.6], "?")]
)
def test_the_symbol_says_on_which_side_of_1_the_interval_lies(values, symbol):
    assert interval(values, level=0.95).symbol == symbol


@pytest.mark.parametrize(
    ("a", "b", "kind", "n", "difference", "note"),
    [
        ([], [], "paired", 0, None, "no complete pairs: a paired test needs at least two"),
        ([1.0], [0.5], "paired", 1, 0.5, "one pair: a paired test needs at least two"),
        (
            [1.0, None],
            [None, 1.0],
            "paired",
            0,
            None,
            f"no complete pairs: a paired test needs at least two; {MISSING.format('2 of 2 pairs')}",
        ),
        (
            [1.1, 1.7, 1.4],
            [0.9, 1.5, 1.2],
            "paired",
            3,
            0.2,
            "all differences are the same: without spread between seeds there is no test",
        ),
        ([1.0], [1.0, 2.0], "welch", (1, 2), -0.5, "1 and 2 seeds: an independent test needs at least two in each sample"),
        ([], [1.0, 2.0], "student", (0, 2), None, "0 and 2 seeds: an independent test needs at least two in each sample"),
        (
            [1.0, None],
            [1.0, 2.0],
            "welch",
            (1, 2),
            -0.5,
            f"1 and 2 seeds: an independent test needs at least two in each sample; {MISSING.format('1 of 4 values')}",
        ),
        (
            [1.5, 1.5],
            [1.0, 1.0, 1.0],
            "welch",
            (2, 3),
            0.5,
            "all values of each sample are the same: without spread between seeds there is no test",
        ),
    ],
)
def test_a_test_that_does_not_exist_says_why(a, b, kind, n, difference, note):
    found = t_test(a, b, **KINDS[kind])
    assert found.note == note
    assert found.n == (n if isinstance(n, tuple) else (n, n))
    assert found.difference == (None if difference is None else pytest.approx(difference))
    assert {found.low, found.high, found.statistic, found.df, found.p, found.effect} == {None}


def test_one_sample_without_spread_is_tested_against_another_that_has_some():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = t_test([1.0, 1.0, 1.0], [1.2, 1.3, 1.4], paired=False)
    one_sample = stats.ttest_1samp([1.2, 1.3, 1.4], 1.0)
    close([found.statistic, found.df, found.p], [-one_sample.statistic, 2, one_sample.pvalue])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([[]], [[]], Pooled(None, None, 0, "no points: no class has a balance before and after")),
        (
            [[0.1, np.nan]],
            [[None, 0.1]],
            Pooled(None, None, 0, f"no points: no class has a balance before and after; {MISSING.format('2 of 2 points')}"),
        ),
        ([[0.0, 1e-17]], [[0.1, -0.1]], Pooled(None, None, 2, "not identifiable: all balances before are 0")),
        ([[0.1, -0.1]], [[0.0, 0.0]], Pooled(0.0, None, 2, "no r²: all balances after are 0")),
    ],
)
def test_a_line_that_does_not_exist_says_why(before, after, expected):
    assert pooled(before, after) == expected


UNCLEAR = "not identifiable: the signal is not clearly above 0 over these seeds, at level 0.99"


@pytest.mark.parametrize(
    ("covariation", "signal", "note"),
    [
        ([], [], "not identifiable: no seed has both sums"),
        ([None, 1.0], [1.0, None], f"not identifiable: no seed has both sums; {MISSING.format('2 of 2 seeds')}"),
        (
            [1.0],
            [1.0],
            "not identifiable: one seed does not show how far the signal varies; its own report says what it bears",
        ),
        ([1.0, 1.0, 1.1], [0.1, -0.2, 0.2], UNCLEAR),
        ([1.0, 1.0, 1.1], [-0.5, -0.51, -0.49], UNCLEAR),
        ([1.0, 1.0], [0.0, 0.0], UNCLEAR),
        ([1.0, 1.0], [-1.0, -1.0], UNCLEAR),
        ([1e-33, 1e-33], [1e-33, 1e-33], UNCLEAR),  # recalls that are all 1, but for rounding
        ([1.0, 1.0, 1.1, None], [0.1, -0.2, 0.2, 3.0], f"{UNCLEAR}; {MISSING.format('1 of 4 seeds')}"),
    ],
)
def test_a_corrected_slope_that_is_not_identifiable_says_why(covariation, signal, note):
    found = corrected(covariation, signal)
    assert found == Corrected(None, (None,) * len(signal), interval((None,) * len(signal)), note)


def test_signals_that_are_all_the_same_and_above_0_bear_a_slope():
    found = corrected([0.6, 0.4, 0.5], [0.5, 0.5, 0.5])
    assert found.identifiable
    close([found.alpha, *found.values], [1, 1.2, 0.8, 1])


def test_a_seed_without_sums_keeps_its_place():
    found = corrected([0.6, None, 0.45, 0.5], [0.5, 0.5, 0.5, 0.52], level=0.9)
    expected = corrected([0.6, 0.45, 0.5], [0.5, 0.5, 0.52], level=0.9)
    assert found.values == (expected.values[0], None, *expected.values[1:])
    assert (found.alpha, found.note) == (expected.alpha, "left out for want of a value: 1 of 4 seeds")


def test_models_that_nothing_happened_to_have_a_corrected_slope_of_1_without_an_interval():
    signal = [0.31, 0.36, 0.33, 0.35]
    found = corrected(signal, signal)
    assert found.alpha == 1
    assert interval(found.values).note == NO_SPREAD


# ------------------------------------------------------------------------------------------------------- invalid input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interval([1.0, math.nan]), "'values' must hold finite numbers, and None for a seed without one; got nan."),
        (lambda: interval([1.0, -math.inf]), "'values' must hold finite numbers.*got -inf"),
        (lambda: interval([1.0, "2"]), "'values' must hold finite numbers.*got '2'"),
        (lambda: interval("12"), "'values' must be a sequence of numbers, one a seed; got str"),
        (lambda: interval(1.0), "'values' must be a sequence of numbers, one a seed; got float"),
        (lambda: interval({2: [1.0]}), "'values' must be a sequence of numbers, one a seed; got dict"),
        (lambda: interval([1.0], level=1), "level must lie between 0 and 1, such as 0.99; got 1"),
        (lambda: interval([1.0], level=99), "level must lie between 0 and 1, such as 0.99; got 99"),
        (lambda: interval([1.0], level=math.nan), "level must lie between 0 and 1"),
        (lambda: interval([1.0], level="0.9"), "level must lie between 0 and 1"),
        (lambda: interval([1.0], reference=math.nan), "reference must be a finite number, such as 1; got nan"),
        (lambda: t_test([1.0], [1.0], paired=True, level=0), "level must lie between 0 and 1"),
        (lambda: t_test([1.0], [1.0], paired=True, alternative="larger"), "unknown alternative 'larger': "),
        (lambda: t_test([1.0], [1.0], paired=True, alternative=None), "unknown alternative 'None': "),
        (lambda: t_test([1.0, 2.0], [1.0], paired=True), "paired samples must have one value a seed.*got 2 and 1"),
        (lambda: t_test([1.0], [1.0], paired=True, equal_variances=True), "equal_variances is about independent samples"),
        (lambda: t_test([1.0], [math.nan], paired=False), "'b' must hold finite numbers"),
        (lambda: consecutive_ratios([[1.0]]), "'samples' must be a mapping.*got list"),
        (lambda: consecutive_ratios({"2": [1.0]}), "'samples' must be keyed by compression ratio.*got '2'"),
        (lambda: consecutive_ratios({math.nan: [1.0]}), "'samples' must be keyed by compression ratio.*got nan"),
        (lambda: consecutive_ratios({2: [1.0], 4: [1.0, 2.0]}), "paired samples must have one value a seed"),
        (lambda: consecutive_sizes([[1.0]]), "'samples' must be a mapping"),
        (lambda: easier_harder({2: [1.0]}, {4: [1.0]}), r"must have the same ratios; got \[2\] and \[4\]"),
        (lambda: easier_harder({2: [1.0]}, [1.0]), "'harder' must be a mapping"),
        (lambda: algorithm_pairs([1.0]), "'samples' must be a mapping"),
        (lambda: against_control([1.0], [1.0]), "'samples' must be a mapping"),
        (lambda: against_control({2: [1.0]}, [1.0, 2.0]), "paired samples must have one value a seed"),
        (lambda: pooled([1.0], [1.0]), r"'before' must have the shape \(models, classes\); got \(1,\)"),
        (lambda: pooled([[1.0]], [[1.0, 2.0]]), r"got shapes \(1, 1\) and \(1, 2\)"),
        (lambda: pooled([[1.0], [1.0, 2.0]], [[1.0]]), "'before' must hold one row of numbers a model, of one length"),
        (lambda: pooled([[1.0]], [["a"]]), "'after' must hold one row of numbers a model"),
        (lambda: pooled([[1.0]], [[math.inf]]), "'after' must hold finite numbers"),
        (lambda: corrected([1.0], [1.0, 2.0]), "covariation and signal must have one value a seed each; got 1 and 2"),
        (lambda: corrected([1.0], [math.nan]), "'signal' must hold finite numbers"),
        (lambda: corrected([1.0], [1.0], level=2), "level must lie between 0 and 1"),
    ],
)
def test_invalid_input_is_refused_in_one_line(call, message):
    with pytest.raises(InputError) as refused:
        call()
    assert re.search(message, str(refused.value))
    assert "\n" not in str(refused.value)
