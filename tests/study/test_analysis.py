"""The statistics of a study: every number against SciPy and NumPy on the rows of its files, or words."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study.synthetic import PLAN, study

from tfrecall.study.analysis import analyse
from tfrecall.study.estimates import Combination
from tfrecall.study.frames import frames
from tfrecall.study.plan import Plan

LARGE = Plan(
    datasets=("mnist", "fashion_mnist"),
    models=("resnet20", "lenet5"),
    algorithms=("magnitude", "random"),
    ratios=(2, 10, 50),
    seeds=(3, 0, 1, 7),
)
SLOPES = {"magnitude": (0.9, 1.1, 1.5), "random": (1.0, 1.4, 2.0)}
LEVEL = 0.95


def holes(cell):
    """Seeds that are missing in some arms: another one in each, and in one arm all but one."""
    settings = cell.settings
    if (settings.dataset, settings.model, settings.algorithm, settings.ratio) == ("mnist", "lenet5", "random", 50):
        return settings.seed == 1
    missing = {("magnitude", 2): 0, ("random", 10): 7, ("random", None): 3}.get((settings.algorithm, settings.ratio))
    return settings.seed != missing or settings.dataset == "fashion_mnist"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study with holes, its analysis, and the rows of its files."""
    folder = tmp_path_factory.mktemp("analysis")
    tables = frames(study(folder / "study", LARGE, slopes=SLOPES, done=holes), LARGE)
    rows = []
    for table, name in zip(tables, ("cells.csv", "classes.csv")):
        table.to_csv(folder / name, index=False)
        with (folder / name).open(newline="", encoding="utf-8") as file:
            rows.append(list(csv.DictReader(file)))
    return SimpleNamespace(analysis=analyse(*tables, LEVEL), cells=rows[0], classes=rows[1])


def place(row):
    return Combination(row["dataset"], row["model"], row["algorithm"], float(row["ratio"]))


def control_of(at):
    return Combination(at.dataset, at.model, "control", 1.0)


def by_seed(rows, column):
    """{combination: {seed: value}}, of cells that have a value."""
    found = defaultdict(dict)
    for row in rows:
        if row[column]:
            found[place(row)][int(row["seed"])] = float(row[column])
    return found


def pairs(first, second):
    return zip(*((first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())))


def linearized(done):
    """{combination: (corrected α, {seed: its linearized value})}."""
    found = {}
    covariations, signals = by_seed(done.cells, "covariation"), by_seed(done.cells, "signal")
    for at, signal in signals.items():
        if len(signal) > 1:
            alpha = sum(covariations[at].values()) / sum(signal.values())
            scale = np.mean(list(signal.values()))
            found[at] = alpha, {seed: alpha + (covariations[at][seed] - alpha * g) / scale for seed, g in signal.items()}
    return found


def assert_interval(found, values, reference=1.0):
    values = np.array(list(values))
    assert found.n == len(values)
    assert found.mean == pytest.approx(values.mean())
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert found.symbol == ("<" if found.high < reference else ">" if found.low > reference else "?")
    assert found.level == LEVEL


def assert_fieller(found, covariations, signals):
    """The roots of (C − αG)² = t² (V_cc − 2α V_cg + α² V_gg)."""
    c, g = np.array(list(covariations)), np.array(list(signals))
    (v_cc, v_cg), (_, v_gg) = np.cov(c, g) / len(c)
    square = stats.t.ppf((1 + LEVEL) / 2, len(c) - 1) ** 2
    terms = (a - square * v for a, v in ((g.mean() ** 2, v_gg), (c.mean() * g.mean(), v_cg), (c.mean() ** 2, v_cc)))
    first, second, third = terms
    assert (found.low, found.high) == pytest.approx(tuple(sorted(np.roots([first, -2 * second, third]))))
    assert (found.n, found.level, found.mean) == (len(c), LEVEL, pytest.approx(c.sum() / g.sum()))
    assert found.symbol == ("<" if found.high < 1 else ">" if found.low > 1 else "?")


def assert_test(found, test, difference, effect):
    assert found.difference == pytest.approx(difference)
    assert found.p == pytest.approx(test.pvalue)
    assert found.statistic == pytest.approx(test.statistic)
    assert found.effect == pytest.approx(effect)


def assert_paired(found, first, second, alternative="two-sided"):
    a, b = map(np.array, pairs(first, second))
    test = stats.ttest_rel(a, b, alternative=alternative)
    assert found.n == (len(a), len(a))
    assert_test(found, test, (a - b).mean(), (a - b).mean() / (a - b).std(ddof=1))
    assert (found.low, found.high) == pytest.approx(tuple(stats.ttest_rel(a, b).confidence_interval(LEVEL)))


def assert_independent(found, first, second, alternative):
    a, b = (np.array(list(sample.values())) for sample in (first, second))
    test = stats.ttest_ind(a, b, equal_var=False, alternative=alternative)
    pooled = math.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2))
    assert found.n == (len(a), len(b))
    assert_test(found, test, a.mean() - b.mean(), (a.mean() - b.mean()) / pooled)


def walk(what):
    """Yield all numbers and words in an analysis."""
    if dataclasses.is_dataclass(what):
        for field in dataclasses.fields(what):
            yield from walk(getattr(what, field.name))
    elif isinstance(what, dict):
        yield from walk(tuple(what.items()))
    elif isinstance(what, tuple):
        for part in what:
            yield from walk(part)
    else:
        yield what


def assert_no_nan(analysis):
    found = list(walk(analysis))
    assert {type(part) for part in found} <= {float, int, str, bool, type(None)}
    assert not [part for part in found if isinstance(part, float) and not math.isfinite(part)]


def analysed(folder, plan, **options):
    analysis = analyse(*frames(study(folder / "study", plan, **options), plan))
    assert_no_nan(analysis)
    return analysis


def family(analysis, name):
    return next((found for found in analysis.families if found.name == name), None)


def labels(analysis, name):
    return [column.label for column in family(analysis, name).columns]


class TestEstimates:
    def test_every_combination_has_one(self, done):
        assert set(done.analysis.estimates) == {place(row) for row in done.cells}
        assert len(done.analysis.estimates) == 2 * 2 * 7
        assert [key for key, found in done.analysis.estimates.items() if found.combination != key] == []
        assert done.analysis.seeds == (0, 1, 3, 7)
        assert done.analysis.level == LEVEL
        assert done.analysis.settings() == list(itertools.product(LARGE.datasets, LARGE.models))
        assert_no_nan(done.analysis)

    def test_the_mean_and_its_interval(self, done):
        for at, alphas in by_seed(done.cells, "alpha").items():
            found = done.analysis.estimates[at]
            assert found.alphas == tuple(alphas.get(seed) for seed in (0, 1, 3, 7))
            assert found.seeds == len(alphas)
            if len(alphas) > 1:
                assert_interval(found.alpha, alphas.values())
            else:
                assert found.alpha.mean == pytest.approx(next(iter(alphas.values())))
                assert (found.alpha.low, found.alpha.symbol) == (None, "?")

    def test_the_corrected_one_is_a_ratio_of_sums(self, done):
        expected = linearized(done)
        covariations, signals = by_seed(done.cells, "covariation"), by_seed(done.cells, "signal")
        assert len(expected) == len(done.analysis.estimates) - 1
        for at, (alpha, values) in expected.items():
            found = done.analysis.estimates[at]
            assert found.corrected.identifiable
            assert found.corrected.alpha == pytest.approx(alpha)
            assert found.corrected.values == pytest.approx(tuple(values.get(seed) for seed in (0, 1, 3, 7)))
            assert_fieller(found.corrected_interval, covariations[at].values(), signals[at].values())

    def test_the_difference_from_the_control_arm_is_paired_by_seed(self, done):
        alphas, corrected = by_seed(done.cells, "alpha"), linearized(done)
        shifted = 0
        for at, found in done.analysis.estimates.items():
            if at.control:
                assert (found.control, found.control_corrected) == (None, None)
            elif found.seeds > 1:
                control = control_of(at)
                assert_paired(found.control, alphas[at], alphas[control])
                assert_paired(found.control_corrected, corrected[at][1], corrected[control][1])
                shifted += set(alphas[at]) != set(alphas[control])
        assert shifted >= 4  # arms in which another seed is missing than in the control arm

    def test_the_pooled_regression(self, done):
        points = defaultdict(list)
        for row in done.classes:
            points[place(row)].append((float(row["normalized_before"]), float(row["normalized_after"])))
        for at, found in done.analysis.estimates.items():
            x, y = np.array(points[at]).T
            (slope,), *_ = np.linalg.lstsq(x[:, None], y, rcond=None)
            assert found.pooled.alpha == pytest.approx(slope)
            assert found.pooled.r_squared == pytest.approx(1 - ((y - slope * x) ** 2).sum() / (y**2).sum())
            assert found.pooled.points == len(x) == 4 * found.seeds

    def test_accuracies(self, done):
        for side, name in (("before", "before"), ("after", "accuracy")):
            for at, values in by_seed(done.cells, f"accuracy_{side}").items():
                found = getattr(done.analysis.estimates[at], name)
                assert (found.mean, found.n) == (pytest.approx(np.mean(list(values.values()))), len(values))

    def test_how_many_seeds_are_identifiable_by_themselves(self, done):
        for at, found in done.analysis.estimates.items():
            rows = [row for row in done.cells if place(row) == at]
            assert found.identifiable == sum(row["verdict"] != "not identifiable" for row in rows)


class TestFamilies:
    def compared(self, done, name, kind):
        """Yield each column's label and rows, and the samples as they are and corrected."""
        alphas = by_seed(done.cells, "alpha")
        corrected = {at: values for at, (_, values) in linearized(done).items()}
        for column in family(done.analysis, name).columns:
            assert len(column.raw) == len(column.corrected)
            for rows, samples in ((column.raw, alphas), (column.corrected, corrected)):
                self.assert_adjusted(rows)
                for row in rows:
                    assert row.comparison.kind == kind
                    assert row.comparison.level == LEVEL
                    yield column.label, row, samples

    def assert_adjusted(self, rows):
        """Bonferroni: times the rows of the column, with a p-value or without. Holm: step down over those that have one."""
        tested = [row for row in rows if row.comparison.p is not None]
        largest = 0.0
        for rank, row in enumerate(sorted(tested, key=lambda row: row.comparison.p)):
            assert row.bonferroni == pytest.approx(min(1, row.comparison.p * len(rows)))
            largest = max(largest, min(1, row.comparison.p * (len(tested) - rank)))
            assert row.holm == pytest.approx(largest)
        assert all(row.bonferroni is row.holm is None for row in rows if row not in tested)

    def checked(self, row, first, second, check, *options):
        """Check a test, unless there are too few seeds; say whether it was checked."""
        if row.comparison.p is None:
            assert "needs at least two" in row.comparison.note
            return False
        check(row.comparison, first, second, *options)
        return True

    def test_consecutive_ratios(self, done):
        seen, count = [], 0
        for label, row, samples in self.compared(done, "Consecutive ratios", "paired"):
            at = [Combination(*label.split(", "), ratio) for ratio in (row.first, row.second)]
            seen.append((label, row.first, row.second))
            count += self.checked(row, samples.get(at[0], {}), samples.get(at[1], {}), assert_paired, "less")
        assert count == 2 * (2 * 2 * 2 * 2 - 1)
        places = [", ".join(key) for key in itertools.product(LARGE.datasets, LARGE.models, LARGE.algorithms)]
        assert sorted(set(seen)) == sorted((label, *ends) for label in places for ends in ((2, 10), (10, 50)))
        assert labels(done.analysis, "Consecutive ratios") == places

    def test_model_sizes(self, done):
        count = 0
        for label, row, samples in self.compared(done, "Model sizes", "welch"):
            dataset, algorithm, ratio = label.split(", ")
            assert (row.first, row.second) == LARGE.models
            at = [Combination(dataset, model, algorithm, float(ratio.removeprefix("t = "))) for model in LARGE.models]
            count += self.checked(row, samples.get(at[0]), samples.get(at[1]), assert_independent, "greater")
        assert count == 2 * (2 * 2 * 3 - 1)

    def test_data_sets(self, done):
        count = 0
        for label, row, samples in self.compared(done, "Data sets", "welch"):
            sets, model, algorithm = label.split(", ")
            easy, hard = sets.split(" against ")
            assert (easy, hard) == LARGE.datasets
            at = [Combination(dataset, model, algorithm, row.first) for dataset in (easy, hard)]
            count += self.checked(row, samples.get(at[0]), samples.get(at[1]), assert_independent, "less")
            assert row.first == row.second
        assert count == 2 * (2 * 2 * 3 - 1)
        assert [len(column.raw) for column in family(done.analysis, "Data sets").columns] == [3] * 4

    def test_algorithms(self, done):
        count = 0
        for label, row, samples in self.compared(done, "Algorithms", "paired"):
            dataset, model, ratio = label.split(", ")
            at = [Combination(dataset, model, name, float(ratio.removeprefix("t = "))) for name in LARGE.algorithms]
            assert (row.first, row.second) == LARGE.algorithms
            count += self.checked(row, samples.get(at[0], {}), samples.get(at[1], {}), assert_paired)
        assert count == 2 * (2 * 2 * 3 - 1)

    def test_against_the_control_arm(self, done):
        count = 0
        for label, row, samples in self.compared(done, "Against the control arm", "paired"):
            at = Combination(*label.split(", "), row.first)
            assert row.second == "control"
            count += self.checked(row, samples.get(at, {}), samples[control_of(at)], assert_paired)
            if row.comparison.p is not None:
                estimate = done.analysis.estimates[at]
                assert row.comparison in (estimate.control, estimate.control_corrected)
        assert count == 2 * (2 * 2 * 2 * 3 - 1)


class TestClasses:
    def test_every_change_of_recall(self, done):
        recalls = {
            side: {
                (at, name): values
                for name in {row["class"] for row in done.classes}
                for at, values in by_seed([row for row in done.classes if row["class"] == name], f"recall_{side}").items()
            }
            for side in ("before", "after")
        }
        changes = {
            key: {seed: after - recalls["before"][key][seed] for seed, after in values.items()}
            for key, values in recalls["after"].items()
        }
        assert {(change.combination, change.name) for change in done.analysis.classes} == set(changes)
        for found in done.analysis.classes:
            key = found.combination, found.name
            assert found.before == pytest.approx(np.mean(list(recalls["before"][key].values())))
            assert found.after == pytest.approx(np.mean(list(recalls["after"][key].values())))
            if len(changes[key]) > 1:
                assert_interval(found.change, changes[key].values(), reference=0.0)
            if found.combination.control:
                assert found.control is None
            elif len(changes[key]) > 1:
                assert_paired(found.control, changes[key], changes[control_of(found.combination), found.name])


def table(alphas):
    """Tables of numbers by hand, from {(algorithm, ratio): {seed: α}}; the order of the seeds is each arm's own."""
    cells, classes = [], []
    for (algorithm, ratio), by_seed in alphas.items():
        for seed, alpha in by_seed.items():
            row = {"dataset": "d", "model": "m", "algorithm": algorithm, "ratio": float(ratio), "seed": seed}
            numbers = {"alpha": alpha, "covariation": alpha * 0.1, "signal": 0.1 + seed / 1000, "verdict": "inconclusive"}
            key = f"{algorithm} {ratio} {seed}"
            cells.append({**row, **numbers, "accuracy_before": 0.9, "accuracy_after": 0.8, "parameters": 10, "key": key})
            for name, balance in (("a", 0.1), ("b", -0.1)):
                recalls = {"recall_before": 0.9 + balance, "recall_after": 0.8 + balance * alpha}
                classes.append(
                    {**row, "class": name, **recalls, "normalized_before": balance, "normalized_after": balance * alpha}
                )
    return pd.DataFrame(cells), pd.DataFrame(classes)


def test_a_seed_that_is_missing_shifts_no_pair():
    control = {5: 1.00, 1: 0.90, 2: 0.95, 9: 1.10}
    arm = {9: 1.32, 2: 1.14, 5: 1.21}  # seed 1 is missing
    found = analyse(*table({("control", 1): control, ("magnitude", 2): arm}))
    estimate = found.estimate("d", "m", "magnitude", 2.0)
    assert found.seeds == (1, 2, 5, 9)
    assert estimate.alphas == (None, 1.14, 1.21, 1.32)
    assert estimate.control.n == (3, 3)
    assert estimate.control.difference == pytest.approx(np.mean([0.22, 0.19, 0.21]))
    assert estimate.control.note == "left out for want of a value: 1 of 4 pairs"
    assert estimate.control_corrected.n == (3, 3)
    change = next(change for change in found.classes if change.name == "b" and not change.combination.control)
    assert change.control.difference == pytest.approx(-0.1 * np.mean([0.22, 0.19, 0.21]))


def test_the_order_of_the_rows_does_not_matter():
    cells, classes = table({("control", 1): {0: 1.0, 1: 0.9, 2: 1.2}, ("random", 2): {0: 1.3, 1: 1.1, 2: 1.6}})
    backwards = analyse(cells[::-1], classes[::-1])
    assert backwards.estimate("d", "m", "random", 2.0) == analyse(cells, classes).estimate("d", "m", "random", 2.0)


def test_one_seed_says_so_in_words(tmp_path):
    plan = Plan(algorithms=("magnitude", "random"), ratios=(2, 10), seeds=(4,))
    analysis = analysed(tmp_path, plan)
    for estimate in analysis.estimates.values():
        assert estimate.alpha.note == "one seed: an interval needs at least two"
        assert "one seed does not show how far the signal varies" in estimate.corrected.note
        assert estimate.pooled.alpha is not None
    for found in analysis.families:
        for row in (row for column in found.columns for row in (*column.raw, *column.corrected)):
            assert row.comparison.p is None
            assert row.comparison.note
    assert {change.change.n for change in analysis.classes} == {1}


def test_two_seeds_have_intervals(tmp_path):
    analysis = analysed(tmp_path, Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(4, 5)))
    for estimate in analysis.estimates.values():
        assert estimate.alpha.low < estimate.alpha.mean < estimate.alpha.high
        assert estimate.combination.control or estimate.control.low < estimate.control.difference < estimate.control.high


def test_runs_that_are_the_same_count_once(tmp_path):
    plan = Plan(algorithms=("gradient", "undecayed", "random"), ratios=(2, 10), seeds=(0, 1, 2), recipe="paper")
    analysis = analysed(tmp_path, plan, slopes={"gradient": (0.9, 1.4), "random": (1.2, 1.6)})
    for ratio in (2.0, 10.0):
        gradient, undecayed, random = (analysis.estimate("digits", "lenet5", name, ratio) for name in plan.algorithms)
        assert (gradient.same, gradient.repeated) == (("undecayed",), False)
        assert (undecayed.same, undecayed.repeated) == ((), True)
        assert (random.same, random.repeated) == ((), False)
        assert (
            dataclasses.replace(undecayed, combination=gradient.combination, same=("undecayed",), repeated=False) == gradient
        )
    for column in family(analysis, "Algorithms").columns:
        (row,) = column.raw
        assert (row.first, row.second) == ("gradient", "random")
        assert row.bonferroni == row.comparison.p  # the pair that is one does not count as a test


def test_samples_that_are_the_same_are_said_to_be():
    arms = {("control", 1): {0: 1.0, 1: 0.9}, ("random", 2): {0: 1.3, 1: 1.1}, ("magnitude", 2): {0: 1.3, 1: 1.1}}
    (column,) = family(analyse(*table(arms)), "Algorithms").columns
    (row,) = column.raw
    assert (row.comparison.difference, row.comparison.p, row.bonferroni, row.holm) == (0, None, None, None)
    assert row.comparison.note == "all differences are the same: without spread between seeds there is no test"


def test_models_are_compared_from_the_smaller_to_the_larger():
    arms = {("control", 1): {0: 1.0, 1: 0.9}, ("random", 2): {0: 1.3, 1: 1.1}}
    frames = []
    for model, parameters in (("large", 900), ("small", 10)):
        cells, classes = table(arms)
        cells["key"] += model
        frames.append((cells.assign(model=model, parameters=parameters), classes.assign(model=model)))
    cells, classes = (pd.concat(parts, ignore_index=True) for parts in zip(*frames))
    (column,) = family(analyse(cells, classes), "Model sizes").columns
    assert [(row.first, row.second) for row in column.raw] == [("small", "large")]


@pytest.mark.parametrize(("images", "recalls"), [(30, [0.8] * 4), (4, None), (100, [1.0] * 4)])
def test_a_slope_that_cannot_be_identified_has_words(tmp_path, images, recalls):
    plan = Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(0, 1, 2))
    analysis = analysed(tmp_path, plan, images=images, recalls=recalls)
    unknown = [estimate for estimate in analysis.estimates.values() if not estimate.corrected.identifiable]
    assert unknown
    for estimate in unknown:
        assert estimate.corrected.alpha is None
        assert estimate.corrected.note.startswith("not identifiable: ")
        assert estimate.corrected_interval.mean is None
        assert estimate.corrected_interval.note.startswith("no values")
    for column in family(analysis, "Against the control arm").columns:
        assert all(row.comparison.note for row in column.corrected if row.comparison.p is None)


def test_a_model_that_is_always_wrong_has_no_slope(tmp_path):
    """An accuracy of 0 after pruning leaves no normalized balance of any class."""
    plan = Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(0, 1))
    analysis = analysed(tmp_path, plan, slopes={"magnitude": (1, -1000)}, recalls=[0.003, 0.002, 0.001], images=50)
    assert any(estimate.alpha.mean is None for estimate in analysis.estimates.values())
    assert all(estimate.accuracy.mean is not None for estimate in analysis.estimates.values())


def test_a_class_without_test_images_is_left_out(tmp_path):
    recalls = [0.95, math.nan, 0.7, 0.6]
    analysis = analysed(tmp_path, Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(0, 1)), recalls=recalls)
    assert {change.name for change in analysis.classes} == {"ankle boot", "coat", "dress"}
    assert analysis.estimate("digits", "lenet5", "magnitude", 2.0).pooled.points == 2 * 3


def test_three_data_sets_are_compared_in_the_order_of_the_plan(tmp_path):
    plan = Plan(datasets=("mnist", "digits", "fashion_mnist"), algorithms=("magnitude",), ratios=(2, 10), seeds=(0, 1))
    # Where the first seed of the first set is missing, the others come first among the rows.
    analysis = analysed(tmp_path, plan, done=lambda cell: (cell.settings.dataset, cell.settings.seed) != ("mnist", 0))
    assert labels(analysis, "Data sets") == ["mnist against digits, magnitude", "digits against fashion_mnist, magnitude"]
    assert labels(analysis, "Consecutive ratios") == ["mnist", "digits", "fashion_mnist"]
    assert labels(analysis, "Against the control arm") == ["mnist", "digits", "fashion_mnist"]
    assert family(analysis, "Algorithms") is None
    assert family(analysis, "Model sizes") is None


@pytest.mark.parametrize("missing", [(), ("resnet20", 0)])
def test_models_are_compared_in_the_order_of_the_plan(tmp_path, missing):
    plan = Plan(models=("resnet20", "lenet5", "vgg16"), algorithms=("magnitude",), ratios=(2,), seeds=(0, 1))
    analysis = analysed(tmp_path, plan, done=lambda cell: (cell.settings.model, cell.settings.seed) != missing)
    (column,) = family(analysis, "Model sizes").columns
    assert column.label == "t = 2"
    assert [(row.first, row.second) for row in column.raw] == [("resnet20", "lenet5"), ("lenet5", "vgg16")]
    assert labels(analysis, "Against the control arm") == list(plan.models)


def test_a_label_says_what_tells_a_column_from_the_others(tmp_path):
    analysis = analysed(tmp_path, Plan(algorithms=("magnitude", "random"), ratios=(2, 10), seeds=(0, 1)))
    assert labels(analysis, "Consecutive ratios") == ["magnitude", "random"]
    assert labels(analysis, "Algorithms") == ["t = 2", "t = 10"]
    assert labels(analysis, "Against the control arm") == ["magnitude", "random"]


def test_what_only_one_of_two_has_is_not_compared(tmp_path):
    def done(cell):
        settings = cell.settings
        lacking = settings.ratio == 2 or (settings.dataset == "mnist" and settings.ratio == 10)
        return settings.seed == 0 or not lacking

    plan = Plan(datasets=("mnist", "fashion_mnist"), algorithms=("magnitude",), ratios=(2, 10, 50), seeds=(0, 1))
    analysis = analysed(tmp_path, plan, slopes=SLOPES, done=done)
    (column,) = family(analysis, "Data sets").columns
    assert [row.first for row in column.raw] == [2, 10, 50]
    assert [row.comparison.p is None for row in column.raw] == [True, True, False]
    assert column.raw[2].bonferroni == pytest.approx(min(1, 3 * column.raw[2].comparison.p))


def test_ratios_of_one_data_set_alone_are_not_compared_with_the_other(tmp_path):
    analysis = analysed(
        tmp_path, PLAN, done=lambda cell: cell.settings.dataset == "mnist" or cell.settings.ratio != 10, slopes=SLOPES
    )
    assert [[row.first for row in column.raw] for column in family(analysis, "Data sets").columns] == [[2], [2]]
    assert labels(analysis, "Consecutive ratios") == ["mnist, magnitude", "mnist, random"]
    assert labels(analysis, "Algorithms") == ["mnist, t = 2", "mnist, t = 10", "fashion_mnist, t = 2"]


def test_a_control_arm_alone_is_analysed(tmp_path):
    analysis = analysed(tmp_path, PLAN, done=lambda cell: cell.control)
    assert (analysis.algorithms, analysis.ratios, analysis.families) == ((), (), ())
    assert len(analysis.estimates) == 2


def test_without_a_control_arm_nothing_is_compared_with_it(tmp_path):
    analysis = analysed(tmp_path, PLAN, done=lambda cell: not cell.control)
    assert family(analysis, "Against the control arm") is None
    assert {(found.control, found.control_corrected) for found in analysis.estimates.values()} == {(None, None)}
    assert {change.control for change in analysis.classes} == {None}
