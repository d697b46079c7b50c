"""The statistics of a study, from its tables of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfrecall.report.resampling import Terms
from tfrecall.study import hypotheses
from tfrecall.study.estimates import ClassChange, Combination, Estimate, Measured, class_changes, estimate
from tfrecall.study.frames import CONTROL
from tfrecall.study.hypotheses import Family

if TYPE_CHECKING:
    import pandas as pd


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
    images : bool
        Whether what is said of the corrected α is about other test images too.
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
    images: bool = True

    @property
    def over(self) -> str:
        """What the intervals of the corrected α are over."""
        return "seeds and test images" if self.images else "seeds"

    def settings(self) -> list[tuple[str, str]]:
        """Return the pairs of data set and model that there are results for."""
        return list(dict.fromkeys((at.dataset, at.model) for at in self.estimates))

    def estimate(self, dataset: str, model: str, algorithm: str, ratio: float) -> Estimate | None:
        """Return a combination's estimate, or None where nothing of it is done."""
        return self.estimates.get(Combination(dataset, model, algorithm, ratio))

    def control(self, dataset: str, model: str) -> Estimate | None:
        """Return the control arm's estimate."""
        return self.estimate(dataset, model, CONTROL, 1.0)


def analyse(
    cells: pd.DataFrame, classes: pd.DataFrame, level: float = 0.99, images: Mapping[str, Terms] | None = None
) -> Analysis:
    """Do a study's statistics.

    Parameters
    ----------
    cells, classes : DataFrame
        As `tfrecall.study.frames.frames` returns them, or read back by ``pandas.read_csv`` from ``cells.csv`` and
        ``classes.csv``; where a class has a name such as ``007`` or ``NA``, that takes ``dtype={"class": str},
        keep_default_na=False, na_values=[""]``.
    level : float
        Confidence level of every interval, in (0, 1).
    images : mapping of str to Terms, optional
        As `tfrecall.study.images.redrawn` returns it. Without it, what is said of the corrected α is about other seeds on
        these very test images, as what is said of α always is; with it, about other images like these too.

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
    found = {Combination(*key): Measured(group, by_class[key], seeds, level, images) for key, group in rows.items()}
    estimates = {at: estimate(at, found) for at in found}
    datasets, models, algorithms = (tuple(cells[name].unique()) for name in ("dataset", "model", "algorithm"))
    return Analysis(
        images=images is not None,
        level=level,
        seeds=seeds,
        datasets=datasets,
        models=models,
        algorithms=tuple(name for name in algorithms if name != CONTROL),
        ratios=tuple(sorted({at.ratio for at in found if not at.control})),
        estimates=estimates,
        families=tuple(family for family in hypotheses.families(estimates, level) if family.columns),
        classes=tuple(change for at in found for change in class_changes(at, found)),
    )
