"""What the seeds of one combination of data set, model, algorithm and ratio say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tfrecall.errors import InputError
from tfrecall.report import inference, pooling
from tfrecall.report.inference import Comparison, Interval
from tfrecall.report.pooling import Corrected, Pooled
from tfrecall.report.resampling import Terms
from tfrecall.report.samples import Sample
from tfrecall.study.frames import CONTROL

if TYPE_CHECKING:
    import pandas as pd

Values = tuple[float | None, ...]


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
    def beside(self) -> Combination:
        """The control arm that it is held against."""
        return Combination(self.dataset, self.model, CONTROL, 1.0)

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
    alpha : Interval
        Of the mean of `alphas`, against 1.
    corrected : Corrected
        α over all seeds with the noise of the test set deducted.
    corrected_interval : Interval
        Of `corrected`, against 1: over seeds, and over test images too where resampled ones are known.
    control, control_corrected : Comparison or None
        α, and corrected α, less the control arm's, paired by seed; the latter over test images too. None for the control
        arm itself.
    pooled : Pooled
        One regression over all classes of all seeds: α̂ and r².
    before, accuracy : Interval
        Mean accuracy before pruning and after it.
    identifiable : int
        Seeds whose own test set bears a slope.
    collapsed : int
        Seeds whose model lost more than half of its accuracy. Many such models name a class or two whatever they see, and
        then α is of any size and sign.
    parameters : int
        Of the model before pruning.
    same : tuple of str
        Other algorithms whose runs here are the very same, such as undecayed beside gradient pruning without weight decay.
        They come after this one: theirs is empty, and `repeated` True.
    repeated : bool
        Whether an algorithm that comes before has the very same runs.
    """

    combination: Combination
    alphas: Values
    alpha: Interval
    corrected: Corrected
    corrected_interval: Interval
    control: Comparison | None
    control_corrected: Comparison | None
    pooled: Pooled
    before: Interval
    accuracy: Interval
    identifiable: int
    collapsed: int
    parameters: int
    same: tuple[str, ...] = ()
    repeated: bool = False

    @property
    def slope(self) -> float | None:
        """The corrected α where the slope is identifiable, else α as it is."""
        return self.corrected.alpha if self.corrected.identifiable else self.alpha.mean

    @property
    def seeds(self) -> int:
        """Seeds that are done."""
        return self.accuracy.n


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


class Measured:
    """One combination's rows, as samples with a place for each seed of the study."""

    def __init__(
        self,
        cells: pd.DataFrame,
        classes: pd.DataFrame,
        seeds: tuple[int, ...],
        level: float,
        images: Mapping[str, Terms] | None = None,
    ):
        self.cells, self.classes, self.seeds, self.level, self.images = cells, classes, seeds, level, images
        self.keys = tuple(cells["key"].sort_index())

    @cached_property
    def alphas(self) -> Values:
        """The paper's α."""
        return self.sample("alpha")

    @cached_property
    def corrected(self) -> Corrected:
        """α over all seeds with the noise of the test set deducted."""
        sums: list = [self.sample("covariation"), self.sample("signal")]
        if self.images is not None:
            sums = [
                Sample(values, np.concatenate([getattr(terms, name) for terms in self._terms()]))
                for values, name in zip(sums, ("numerators", "denominators"))
            ]
        return pooling.corrected(*sums, level=self.level)

    @cached_property
    def recalls(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Recall before and after, each [seed, class]."""
        return self.by_class("recall_before"), self.by_class("recall_after")

    @cached_property
    def changes(self) -> pd.DataFrame:
        """The change of recall, [seed, class]."""
        before, after = self.recalls
        return after - before

    def _terms(self) -> list[Terms]:
        """Return the terms on resampled images by seed, NaN for a seed that is missing."""
        keys = list(self.cells["key"].reindex(self.seeds))
        lacking = [key for key in keys if isinstance(key, str) and key not in self.images]
        if lacking:
            raise InputError(f"images lack the cell {lacking[0]}: make them from the same cells, after the tables.")
        shape = next(self.images[key].numerators.shape for key in keys if isinstance(key, str))
        missing = Terms(np.full(shape, np.nan), np.full(shape, np.nan))
        return [self.images[key] if isinstance(key, str) else missing for key in keys]

    def sample(self, column: str) -> Values:
        """Return a column by seed, None where there is no number."""
        return values(self.cells[column].reindex(self.seeds))

    def by_class(self, column: str) -> pd.DataFrame:
        """Return a column as [seed, class]."""
        table = self.classes.pivot(index="seed", columns="class", values=column)
        return table.reindex(index=self.seeds, columns=self.classes["class"].unique())


def estimate(at: Combination, found: Mapping[Combination, Measured]) -> Estimate:
    """Say what the seeds of a combination say, beside those of its control arm."""
    measured = found[at]
    level, alphas, corrected = measured.level, measured.alphas, measured.corrected
    alike = [other for other in found if other.runs_beside(at) and found[other].keys == measured.keys]
    control = None if at.control else found.get(at.beside)
    against, against_corrected = None, None
    if control is not None:
        against = inference.t_test(alphas, control.alphas, paired=True, level=level)
        against_corrected = inference.t_test(corrected.sample, control.corrected.sample, paired=True, level=level)
    return Estimate(
        combination=at,
        alphas=alphas,
        alpha=inference.interval(alphas, level=level),
        corrected=corrected,
        corrected_interval=corrected.interval,
        control=against,
        control_corrected=against_corrected,
        pooled=pooling.pooled(*(measured.by_class(f"normalized_{side}").to_numpy(float) for side in ("before", "after"))),
        before=inference.interval(measured.sample("accuracy_before"), level=level, reference=0.0),
        accuracy=inference.interval(measured.sample("accuracy_after"), level=level, reference=0.0),
        identifiable=int((measured.cells["verdict"] != "not identifiable").sum()),
        collapsed=int((measured.cells["accuracy_after"] < measured.cells["accuracy_before"] / 2).sum()),
        parameters=int(measured.cells["parameters"].iloc[0]),
        same=() if alike[0] != at else tuple(other.algorithm for other in alike[1:]),
        repeated=alike[0] != at,
    )


def class_changes(at: Combination, found: Mapping[Combination, Measured]) -> Iterable[ClassChange]:
    """Yield what a combination does to each class that has test images."""
    measured = found[at]
    before, after = measured.recalls
    images = measured.by_class("support") if "support" in measured.classes else None
    control = None if at.control else found.get(at.beside)
    for name in measured.changes:
        sample = values(measured.changes[name])
        if any(value is not None for value in sample):  # a class without test images has no recall
            against, step = None, None if images is None else 1 / float(images[name].max())
            if control is not None:
                others = values(control.changes[name])
                against = inference.t_test(sample, others, paired=True, level=measured.level, step=step)
            change = inference.interval(sample, level=measured.level, reference=0.0, step=step)
            yield ClassChange(at, name, float(before[name].mean()), float(after[name].mean()), change, against)


def values(column: Iterable) -> Values:
    """Return numbers as a sample, None for NaN."""
    return tuple(None if value is None or math.isnan(value) else float(value) for value in column)
