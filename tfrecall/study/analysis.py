"""The statistics of a study, from its tables of numbers: estimates by combination, families of tests, classes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

from tfrecall.report import inference
from tfrecall.report.document import one_line
from tfrecall.report.inference import Comparison, Corrected, Interval, Pooled, Row
from tfrecall.study.frames import CONTROL

if TYPE_CHECKING:
    import pandas as pd

Sample = tuple[float | None, ...]


@dataclass(frozen=True)
class Combination:
    """What is held fixed while the seed varies.

    Attributes
    ----------
    dataset, model : str
    algorithm : str
        ``"control"`` for the control arm.
    ratio : float
        Compression t; 1 for the control arm.
    """

    dataset: str
    model: str
    algorithm: str
    ratio: float

    @property
    def control(self) -> bool:
        """Whether nothing is pruned."""
        return self.algorithm == CONTROL

    def runs_beside(self, other: Combination) -> bool:
        """Say whether another combination differs in its algorithm at most."""
        return (self.dataset, self.model, self.ratio) == (other.dataset, other.model, other.ratio)

    @property
    def arm(self) -> str:
        """Algorithm and ratio in words."""
        return CONTROL if self.control else f"{self.algorithm} at {self.ratio:g}"


@dataclass(frozen=True)
class Estimate:
    """What the seeds of one combination say.

    Attributes
    ----------
    combination : Combination
    alphas : tuple of float or None
        The paper's α by seed, in the order of the study's seeds; None for a seed that is missing or has none.
    corrected_values : tuple of float or None
        As `tfrecall.report.inference.corrected` linearizes the corrected α: their mean is that α.
    alpha : Interval
        Of the mean of `alphas`, against 1.
    corrected : Corrected
        α over all seeds with the noise of the test set deducted.
    corrected_interval : Interval
        Of `corrected`, against 1.
    control, control_corrected : Comparison or None
        α, and corrected α, less the control arm's, paired by seed. None for the control arm itself.
    pooled : Pooled
        One regression over all classes of all seeds: α̂ and r².
    before, accuracy : Interval
        Mean accuracy before pruning and after it.
    identifiable : int
        Seeds whose own test set bears a slope.
    parameters : int
        Of the model before pruning.
    same : tuple of str
        Other algorithms whose runs here are the very same, such as undecayed beside gradient pruning without weight decay.
        They come after this one: theirs is empty, and `repeated` True.
    repeated : bool
        Whether an algorithm that comes before has the very same runs.
    """

    combination: Combination
    alphas: Sample
    corrected_values: Sample
    alpha: Interval
    corrected: Corrected
    corrected_interval: Interval
    control: Comparison | None
    control_corrected: Comparison | None
    pooled: Pooled
    before: Interval
    accuracy: Interval
    identifiable: int
    parameters: int
    same: tuple[str, ...] = ()
    repeated: bool = False

    @property
    def seeds(self) -> int:
        """Seeds that are done."""
        return self.accuracy.n


@dataclass(frozen=True)
class Column:
    """A family of tests that are adjusted for one another: with α as it is, and with α corrected.

    Attributes
    ----------
    label : str
        What the tests have in common and others do not, such as ``"fashion_mnist, magnitude"``.
    raw, corrected : tuple of Row
        The same comparisons.
    """

    label: str
    raw: tuple[Row, ...]
    corrected: tuple[Row, ...]


@dataclass(frozen=True)
class Family:
    """Tests of one kind.

    Attributes
    ----------
    name : str
    hypothesis : str
        The alternative, in words.
    columns : tuple of Column
    """

    name: str
    hypothesis: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class ClassChange:
    """What one combination does to one class.

    Attributes
    ----------
    combination : Combination
    name : str
        The class's.
    before, after : float
        Mean recall over seeds.
    change : Interval
        Of the mean change of recall, against 0.
    control : Comparison or None
        That change less the control arm's, paired by seed. None for the control arm itself.
    """

    combination: Combination
    name: str
    before: float
    after: float
    change: Interval
    control: Comparison | None


@dataclass(frozen=True)
class Analysis:
    """All that a study's page says in numbers.

    Attributes
    ----------
    level : float
        Confidence level of every interval.
    seeds : tuple of int
    datasets, models, algorithms : tuple of str
        In the plan's order; the control arm is not among the algorithms.
    ratios : tuple of float
        Compressions, without the control arm's 1.
    estimates : dict of Combination to Estimate
    families : tuple of Family
        Those for which there is something to compare.
    classes : tuple of ClassChange
    """

    level: float
    seeds: tuple[int, ...]
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    algorithms: tuple[str, ...]
    ratios: tuple[float, ...]
    estimates: dict[Combination, Estimate]
    families: tuple[Family, ...]
    classes: tuple[ClassChange, ...]

    def settings(self) -> list[tuple[str, str]]:
        """Return the pairs of data set and model that there are results for."""
        return list(dict.fromkeys((at.dataset, at.model) for at in self.estimates))

    def estimate(self, dataset: str, model: str, algorithm: str, ratio: float) -> Estimate | None:
        """Return a combination's estimate, or None where nothing of it is done."""
        return self.estimates.get(Combination(dataset, model, algorithm, ratio))

    def control(self, dataset: str, model: str) -> Estimate | None:
        """Return the control arm's estimate."""
        return self.estimate(dataset, model, CONTROL, 1.0)


def analyse(cells: pd.DataFrame, classes: pd.DataFrame, level: float = 0.99) -> Analysis:
    """Do a study's statistics.

    Parameters
    ----------
    cells, classes : DataFrame
        As `tfrecall.study.frames.frames` returns them, or read back by ``pandas.read_csv`` from ``cells.csv`` and
        ``classes.csv``; where a class has a name such as ``007`` or ``NA``, that takes ``dtype={"class": str},
        keep_default_na=False, na_values=[""]``.
    level : float
        Confidence level of every interval, in (0, 1).

    Returns
    -------
    Analysis
    """
    classes = classes.assign(**{"class": classes["class"].astype(str)})  # pandas reads names such as 7 as numbers
    seeds = tuple(sorted({int(seed) for seed in cells["seed"]}))
    rows = {
        key: group.set_index("seed") for key, group in cells.groupby(["dataset", "model", "algorithm", "ratio"], sort=False)
    }
    by_class = {key: group for key, group in classes.groupby(["dataset", "model", "algorithm", "ratio"], sort=False)}
    found = {Combination(*key): _Measured(group, by_class[key], seeds) for key, group in rows.items()}
    estimates = {at: _estimate(at, found, level) for at in found}
    datasets, models, algorithms = (tuple(cells[name].unique()) for name in ("dataset", "model", "algorithm"))
    return Analysis(
        level=level,
        seeds=seeds,
        datasets=datasets,
        models=models,
        algorithms=tuple(name for name in algorithms if name != CONTROL),
        ratios=tuple(sorted({at.ratio for at in found if not at.control})),
        estimates=estimates,
        families=tuple(family for family in _families(estimates, level) if family.columns),
        classes=tuple(change for at in found for change in _class_changes(at, found, level)),
    )


class _Measured:
    """One combination's rows, as samples with a place for each seed of the study."""

    def __init__(self, cells: pd.DataFrame, classes: pd.DataFrame, seeds: tuple[int, ...]):
        self.cells, self.classes, self.seeds = cells, classes, seeds
        self.keys = tuple(cells["key"].sort_index())

    def sample(self, column: str) -> Sample:
        """Return a column by seed, None where there is no number."""
        return tuple(map(_number, self.cells[column].reindex(self.seeds)))

    def by_class(self, column: str) -> pd.DataFrame:
        """Return a column as [seed, class]."""
        table = self.classes.pivot(index="seed", columns="class", values=column)
        return table.reindex(index=self.seeds, columns=self.classes["class"].unique())


def _estimate(at: Combination, found: dict[Combination, _Measured], level: float) -> Estimate:
    measured = found[at]
    alphas = measured.sample("alpha")
    corrected = _corrected(measured, level)
    alike = [other for other in found if other.runs_beside(at) and found[other].keys == measured.keys]
    control = None if at.control else found.get(_control_of(at))
    against, against_corrected = None, None
    if control is not None:
        against = inference.t_test(alphas, control.sample("alpha"), paired=True, level=level)
        values = _corrected(control, level).values
        against_corrected = inference.t_test(corrected.values, values, paired=True, level=level)
    return Estimate(
        combination=at,
        alphas=alphas,
        corrected_values=corrected.values,
        alpha=inference.interval(alphas, level=level),
        corrected=corrected,
        corrected_interval=inference.interval(corrected.values, level=level),
        control=against,
        control_corrected=against_corrected,
        pooled=inference.pooled(*(measured.by_class(f"normalized_{side}").to_numpy(float) for side in ("before", "after"))),
        before=inference.interval(measured.sample("accuracy_before"), level=level, reference=0.0),
        accuracy=inference.interval(measured.sample("accuracy_after"), level=level, reference=0.0),
        identifiable=int((measured.cells["verdict"] != "not identifiable").sum()),
        parameters=int(measured.cells["parameters"].iloc[0]),
        same=() if alike[0] != at else tuple(other.algorithm for other in alike[1:]),
        repeated=alike[0] != at,
    )


def _corrected(measured: _Measured, level: float) -> Corrected:
    return inference.corrected(measured.sample("covariation"), measured.sample("signal"), level=level)


def _class_changes(at: Combination, found: dict[Combination, _Measured], level: float) -> Iterable[ClassChange]:
    before, after = (found[at].by_class(f"recall_{side}") for side in ("before", "after"))
    changes = after - before
    control = None if at.control else found.get(_control_of(at))
    reference = None if control is None else control.by_class("recall_after") - control.by_class("recall_before")
    for name in changes:
        sample = tuple(map(_number, changes[name]))
        if any(value is not None for value in sample):  # a class without test images has no recall
            against = None
            if reference is not None:
                against = inference.t_test(sample, tuple(map(_number, reference[name])), paired=True, level=level)
            change = inference.interval(sample, level=level, reference=0.0)
            yield ClassChange(at, name, float(before[name].mean()), float(after[name].mean()), change, against)


def _families(estimates: dict[Combination, Estimate], level: float) -> Iterable[Family]:
    """Yield the paper's four families of tests, and the comparison with the control arm."""
    yield Family(
        "Consecutive ratios",
        "E[α] at the lower ratio is less than at the higher one (one-sided, paired)",
        tuple(
            _column(fixed, partial(inference.consecutive_ratios, level=level), members)
            for fixed, members in _grouped(estimates, "ratio")
            if len(members) > 1
        ),
    )
    yield Family(
        "Model sizes",
        "E[α] of the smaller model is greater than the larger one's (one-sided, independent, Welch)",
        tuple(
            _column(fixed, partial(inference.consecutive_sizes, level=level), _by_size(members))
            for fixed, members in _grouped(estimates, "model")
            if len(members) > 1
        ),
    )
    yield Family(
        "Data sets",
        "E[α] on the data set that the plan names first, the easier, is less (one-sided, independent, Welch)",
        tuple(
            _column(
                f"{one_line(easy)} against {one_line(hard)}, {fixed}", partial(inference.easier_harder, level=level), *both
            )
            for fixed, by_set in _by_dataset(estimates)
            for (easy, first), (hard, second) in itertools.pairwise(by_set.items())
            if (both := _common(first, second))[0]
        ),
    )
    yield Family(
        "Algorithms",
        "E[α] differs (two-sided, paired)",
        tuple(
            _column(fixed, partial(inference.algorithm_pairs, level=level), members)
            for fixed, members in _grouped({at: found for at, found in estimates.items() if not found.repeated}, "algorithm")
            if len(members) > 1
        ),
    )
    yield Family(
        "Against the control arm",
        "E[α] differs from that of fine-tuning with nothing pruned (two-sided, paired)",
        tuple(
            _column(fixed, partial(_against_control, level=level), members, {1.0: control})
            for fixed, members in _grouped(estimates, "ratio")
            if (control := estimates.get(_control_of(next(iter(members.values())).combination)))
        ),
    )


def _column(label: str, test: Callable, *groups: dict) -> Column:
    """Do a column's tests twice: with α as it is, and corrected."""
    raw, corrected = (
        test(*({key: getattr(estimate, values) for key, estimate in members.items()} for members in groups))
        for values in ("alphas", "corrected_values")
    )
    return Column(label, raw, corrected)


def _against_control(samples: dict, control: dict, level: float) -> tuple[Row, ...]:
    return inference.against_control(samples, control[1.0], level=level)


def _grouped(estimates: dict[Combination, Estimate], name: str) -> list[tuple[str, dict]]:
    """Group what differs in one field alone; returns (the other fields in words, {value of the field: estimate})."""
    others = [field.name for field in fields(Combination) if field.name != name]
    groups: dict[tuple, dict] = {}
    for at, estimate in estimates.items():
        if not at.control:
            groups.setdefault(tuple(getattr(at, other) for other in others), {})[getattr(at, name)] = estimate
    return list(zip(_labels(others, list(groups)), groups.values()))


def _by_dataset(estimates: dict[Combination, Estimate]) -> list[tuple[str, dict]]:
    """Group by model and algorithm; returns (both in words, {data set: {ratio: estimate}})."""
    groups: dict[tuple, dict] = {}
    for at, estimate in estimates.items():
        if not at.control:
            groups.setdefault((at.model, at.algorithm), {}).setdefault(at.dataset, {})[at.ratio] = estimate
    return list(zip(_labels(["model", "algorithm"], list(groups)), groups.values()))


def _by_size(members: dict[str, Estimate]) -> dict[str, Estimate]:
    return dict(sorted(members.items(), key=lambda item: item[1].parameters))


def _common(first: dict, second: dict) -> tuple[dict, dict]:
    """Return both without what only one of them has: a study may be under way."""
    return tuple({key: group[key] for key in first if key in second} for group in (first, second))


def _labels(names: list[str], keys: list[tuple]) -> list[str]:
    """Say what tells keys apart: what all have in common is left out."""
    varying = [place for place in range(len(names)) if len({key[place] for key in keys}) > 1] or [len(names) - 1]
    return [", ".join(f"t = {k[i]:g}" if names[i] == "ratio" else one_line(k[i]) for i in varying) for k in keys]


def _control_of(at: Combination) -> Combination:
    return Combination(at.dataset, at.model, CONTROL, 1.0)


def _number(value) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
