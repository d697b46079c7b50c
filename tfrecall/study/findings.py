"""What a study shows, in three sentences made from its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tfrecall.report.document import short, short_path
from tfrecall.study.analysis import Analysis
from tfrecall.study.estimates import ClassChange, Combination, Estimate

_LONGEST = 40  # letters of a name: the tables have it whole
_LONGEST_LIST = 160  # letters of a list of combinations: the tables have them all


def finding(analysis: Analysis) -> list[str]:
    """Say what became of α under pruning, what of it fine-tuning alone does, and what it cost.

    The sentences rest on the corrected α: where the seeds and test images bear no slope, none is shown. "Shown" is what an
    interval of the study shows: nothing is said of the others, not that there is no difference either.

    Returns
    -------
    list of str
        Three sentences.
    """
    pruned = [estimate for at, estimate in analysis.estimates.items() if not (at.control or estimate.repeated)]
    working = [estimate for estimate in pruned if not estimate.collapsed]
    names = _Names(analysis)
    if not pruned:
        return ["No pruned model is done yet.", f"{_alone(analysis, names)}.", _accuracy_of_controls(analysis, names)]
    if not working:
        return [_all_collapsed(pruned), f"{_alone(analysis, names)}.", _cost(analysis, pruned, names)]
    return [_slopes(analysis, pruned, names), _control(analysis, working, names), _cost(analysis, pruned, names)]


class _Names:
    """What to call data sets and models: what all have in common is left out."""

    def __init__(self, analysis: Analysis):
        self.settings = analysis.settings()
        self._same = {at: estimate.same for at, estimate in analysis.estimates.items()}
        self.several = len(self.settings) > 1
        self._varying = [place for place in (0, 1) if len({setting[place] for setting in self.settings}) > 1]

    def of(self, at: Combination) -> str:
        """Name data set and model, with nothing where there is one of each."""
        return ", ".join((short_path(at.dataset, _LONGEST), at.model)[place] for place in self._varying)

    def arm(self, at: Combination) -> str:
        """Name the algorithm, and data set and model where there are several."""
        algorithm = self.algorithm(at)
        return f"{algorithm}, {self.of(at)}" if self.several else algorithm

    def algorithm(self, at: Combination) -> str:
        """Name the algorithm, and those whose runs are the very same."""
        return "/".join((at.algorithm, *self._same[at]))


def _slopes(analysis: Analysis, pruned: list[Estimate], names: _Names) -> str:
    working = [estimate for estimate in pruned if not estimate.collapsed]
    above, below = _by_side(working, lambda e: e.corrected_interval.symbol)
    reversed_ = [estimate for estimate in below if estimate.corrected_interval.high < 0]
    below = [estimate for estimate in below if estimate not in reversed_]
    sides = [(above, "intensified (α above 1)"), (below, "reduced (α below 1)"), (reversed_, "reversed (α below 0)")]
    rest = len(working) - sum(len(some) for some, _ in sides)
    start = "After pruning and fine-tuning, recall distortion is"
    if rest == len(working):
        where = f"in any of {_counted(working)}" if rest > 1 else f"({_where(working, working, names)})"
        told = f"{start} not shown to be intensified (α above 1) or reduced (α below 1) {where}"
    elif len(working) == 1:
        told = f"{start} {next(side for some, side in sides if some)}: {_where(working, working, names)}"
    else:
        told = f"{start} {_told(sides, working, names)}"
        told += f"; the other {f'{rest} are' if rest > 1 else 'one is'} not shown to differ from 1" if rest else ""
    if any(estimate.corrected_interval.low is not None for estimate in working):
        told += f" ({100 * analysis.level:g}% intervals{', each by itself' if len(working) > 1 else ''})"
    told += _unidentified(working)
    collapsed = [estimate for estimate in pruned if estimate.collapsed]
    if collapsed:
        where = _where(collapsed, pruned, names)
        told += f"; {len(collapsed)} where models lost more than half of their accuracy"
        told += f"{f' ({where})' if len(where) <= _LONGEST_LIST else ''} {'are' if len(collapsed) > 1 else 'is'} left out"
    return f"{told}."


def _all_collapsed(pruned: list[Estimate]) -> str:
    where = f"In all {_counted(pruned)}" if len(pruned) > 1 else "After pruning and fine-tuning"
    return f"{where}, models lost more than half of their accuracy, and their α says nothing about classes."


def _control(analysis: Analysis, pruned: list[Estimate], names: _Names) -> str:
    compared = [estimate for estimate in pruned if estimate.control_corrected is not None]
    if not compared:
        return "The control arm is not done yet, so that pruning cannot be told from fine-tuning."
    above, below = _by_side(compared, lambda e: e.control_corrected.symbol)
    if len(compared) == 1:
        told = "a difference from that is not shown for the pruned models"
        if above or below:
            told = f"the pruned models lie {'above' if above else 'below'} that"
    elif (above, below) == _by_side(pruned, lambda e: e.corrected_interval.symbol) and (above or below):
        counts = [f"{side} that in the same {len(some)}" for side, some in (("above", above), ("below", below)) if some]
        told = f"pruned models lie {' and '.join(counts)}"
    elif above or below:
        sides = [(above, "above that"), (below, "below it" if above else "below that")]
        told = f"pruned models lie {_told(sides, compared, names)}"
    else:
        told = f"a difference from that is shown for none of {_counted(compared)}"
    missing = len(pruned) - len(compared)
    told += f"; for {missing} the control arm is not done yet" if missing else ""
    return f"{_alone(analysis, names)}; {told}."


def _cost(analysis: Analysis, pruned: list[Estimate], names: _Names) -> str:
    ratios = {estimate.combination.ratio for estimate in pruned}
    working = [estimate for estimate in pruned if not estimate.collapsed] or pruned
    highest = max(estimate.combination.ratio for estimate in working)
    there = [estimate for estimate in working if estimate.combination.ratio == highest]
    by_accuracy = sorted(there, key=lambda e: e.accuracy.mean)
    low, best = by_accuracy[0], by_accuracy[-1]
    if highest < max(ratios):
        told = f"At t = {highest:g}, the highest ratio at which models still work,"
    else:
        told = f"At the highest ratio, t = {highest:g}," if len(ratios) > 1 else f"At t = {highest:g}"
    if len(there) > 1:
        told += f" mean accuracy is between {low.accuracy.mean:.3f} ({names.arm(low.combination)})"
        told += f" and {best.accuracy.mean:.3f} ({names.arm(best.combination)})"
    else:
        told += f" mean accuracy is {best.accuracy.mean:.3f}"
    if not names.several and len({estimate.seeds for estimate in there}) == 1:
        told += f", against {best.before.mean:.3f} before pruning"
    return f"{told}; {_hardest_hit(analysis, there, names)}."


def _hardest_hit(analysis: Analysis, there: list[Estimate], names: _Names) -> str:
    within = {estimate.combination for estimate in there}
    hit: ClassChange = min(
        (change for change in analysis.classes if change.combination in within), key=lambda change: change.change.mean
    )
    if hit.change.mean >= 0:
        return "no class lost recall on average"
    under, name = f" ({names.arm(hit.combination)})" if len(there) > 1 else "", short(hit.name, _LONGEST)
    return f"the class that lost most recall on average is {name}, from {hit.before:.3f} to {hit.after:.3f}{under}"


def _alone(analysis: Analysis, names: _Names) -> str:
    controls = [control for place in names.settings if (control := analysis.control(*place))]
    corrected = [control.corrected.identifiable for control in controls]
    slopes = []
    for control in controls:
        alpha = control.slope
        notes = []
        if alpha is not None and not all(corrected):
            notes.append("corrected" if control.corrected.identifiable else "not corrected")
        if control.corrected.identifiable and not control.collapsed and control.corrected_interval.symbol in ("<", ">"):
            notes.append(f"itself {'below' if control.corrected_interval.symbol == '<' else 'above'} 1")
        note = f" ({', '.join(notes)})" if notes else ""
        place = f" on {names.of(control.combination)}" if len(controls) > 1 else ""
        slopes.append(f"{'no value' if alpha is None else f'{alpha:.2f}'}{note}{place}")
    return f"Fine-tuning alone, with nothing pruned, has {'a corrected' if all(corrected) else 'an'} α of {_joined(slopes)}"


def _accuracy_of_controls(analysis: Analysis, names: _Names) -> str:
    controls = [control for place in names.settings if (control := analysis.control(*place))]
    changes = (
        f"{control.before.mean:.3f} to {control.accuracy.mean:.3f}{f' on {names.of(control.combination)}' * names.several}"
        for control in controls
    )
    return f"It takes mean accuracy from {_joined(changes)}."


def _by_side(estimates: list[Estimate], side: Callable) -> tuple[list[Estimate], list[Estimate]]:
    return [e for e in estimates if side(e) == ">"], [e for e in estimates if side(e) == "<"]


def _told(sides: list[tuple[list[Estimate], str]], everything: list[Estimate], names: _Names) -> str:
    """Say how many lie on each side, and which: ``above 1 in 3 of 4 ratios (from t = 4 on) and below in 1 (at t = 2)``."""
    parts = []
    for some, side in sides:
        if len(some) == len(everything):
            return f"{side} in all {_counted(everything)}"
        if some:
            count = str(len(some)) if parts else f"{len(some)} of {_counted(everything)}"
            where = _where(some, everything, names)
            parts.append(f"{side} in {count}{f' ({where})' if len(where) <= _LONGEST_LIST else ''}")
    return _joined(parts)


def _counted(estimates: list[Estimate]) -> str:
    """Count what was studied: ``5 ratios``, ``20 combinations of algorithm and ratio``."""
    words = {"dataset": "data set", "model": "model", "algorithm": "algorithm", "ratio": "ratio"}
    varying = [word for name, word in words.items() if len({getattr(e.combination, name) for e in estimates}) > 1]
    kind = f"{varying[0]}s" if len(varying) == 1 else f"combinations of {_joined(varying)}"
    return f"{len(estimates)} {kind}"


def _unidentified(working: list[Estimate]) -> str:
    """Say where there is no interval, since the seeds or the test images bear none."""
    if all(estimate.seeds == 1 for estimate in working):
        return ": one seed gives no interval"
    without = sum(not estimate.corrected.identifiable for estimate in working)
    if not without:
        return ""
    where = f"; for {without} of these," if without < len(working) else ":"
    return f"{where} the seeds and test images at hand bear no slope"


def _where(estimates: list[Estimate], pruned: list[Estimate], names: _Names) -> str:
    """Name combinations in few words, such as ``magnitude from t = 10 on; random at every ratio``."""
    every = sorted({estimate.combination.ratio for estimate in pruned})
    by_place: dict[str, dict[str, list[float]]] = {}
    for at in (estimate.combination for estimate in estimates):
        by_place.setdefault(names.of(at), {}).setdefault(names.algorithm(at), []).append(at.ratio)
    alike: dict[tuple, list[str]] = {}
    for place, by_algorithm in by_place.items():
        ratios: dict[str, list[str]] = {}
        for algorithm, found in by_algorithm.items():
            ratios.setdefault(_ratios(sorted(found), every), []).append(algorithm)
        alike.setdefault(tuple(f"{_joined(algorithms)} {at}" for at, algorithms in ratios.items()), []).append(place)
    if not names.several:
        return "; ".join(next(iter(alike)))
    return "; ".join(f"{_joined(places)}: {', '.join(parts)}" for parts, places in alike.items())


def _ratios(ratios: list[float], every: list[float]) -> str:
    if len(every) > 1 and ratios == every:
        return "at every ratio"
    if len(ratios) > 1 and ratios == every[-len(ratios) :]:
        return f"from t = {ratios[0]:g} on"
    if len(ratios) > 1 and ratios == every[: len(ratios)]:
        return f"up to t = {ratios[-1]:g}"
    return f"at t = {_joined(f'{ratio:g}' for ratio in ratios)}"


def _joined(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
