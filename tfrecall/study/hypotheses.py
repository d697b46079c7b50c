"""The families of tests that a study's estimates are put to: the paper's four, and the comparison with the control arm."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial

from tfrecall.report import inference
from tfrecall.report.document import one_line
from tfrecall.report.inference import Row
from tfrecall.study.estimates import Combination, Estimate


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


def families(estimates: dict[Combination, Estimate], level: float) -> Iterable[Family]:
    """Yield the paper's four families of tests, and the comparison with the control arm."""
    yield Family(
        "Consecutive ratios",
        "E[α] at the lower ratio is less than at the higher one (one-sided, paired)",
        _columns(partial(inference.consecutive_ratios, level=level), _grouped(estimates, "ratio")),
    )
    yield Family(
        "Model sizes",
        "E[α] of the smaller model is greater than the larger one's (one-sided, independent, Welch)",
        _columns(
            partial(inference.consecutive_sizes, level=level),
            [(fixed, _by_size(members)) for fixed, members in _grouped(estimates, "model")],
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
        _columns(
            partial(inference.algorithm_pairs, level=level),
            _grouped({at: found for at, found in estimates.items() if not found.repeated}, "algorithm"),
        ),
    )
    yield Family(
        "Against the control arm",
        "E[α] differs from that of fine-tuning with nothing pruned (two-sided, paired)",
        tuple(
            _column(fixed, partial(_against_control, level=level), members, {1.0: control})
            for fixed, members in _grouped(estimates, "ratio")
            if (control := estimates.get(next(iter(members.values())).combination.beside))
        ),
    )


def _columns(test: Callable, groups: Iterable[tuple[str, dict]]) -> tuple[Column, ...]:
    """Do the tests within each group that has anything to compare."""
    return tuple(_column(fixed, test, members) for fixed, members in groups if len(members) > 1)


def _column(label: str, test: Callable, *groups: dict) -> Column:
    """Do a column's tests twice: with α as it is, and corrected."""
    raw, corrected = (
        test(*({key: sample(estimate) for key, estimate in members.items()} for members in groups))
        for sample in (lambda estimate: estimate.alphas, lambda estimate: estimate.corrected.sample)
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
