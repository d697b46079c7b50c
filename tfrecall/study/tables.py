"""A study's numbers as tables: the same for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Callable

from tfrecall.report.document import markdown_table, markdown_text, one_line
from tfrecall.report.inference import Comparison, Interval, Row
from tfrecall.report.page import Cell, Table
from tfrecall.study.analysis import Analysis
from tfrecall.study.estimates import ClassChange, Estimate
from tfrecall.study.frames import CONTROL
from tfrecall.study.hypotheses import Column, Family

_MISSING = "—"
_TOLD = 8  # names in a remark


def slopes(analysis: Analysis) -> list[Table]:
    """Return α of each combination, as it is, corrected, and less the control arm's: a table for each data set and model."""
    header = ("algorithm", "t", "seeds", "α", "corrected α", "α − control", "corrected − control", "α̂", "r²", "Ā", "alone")
    collapsed = any(estimate.collapsed for estimate in analysis.estimates.values())
    note = (
        f"In brackets the {100 * analysis.level:g}% interval: < below 1 (de-intensification), > above 1 "
        "(intensification), ? neither is shown. Intervals of α are over seeds, those of the corrected α over "
        f"{analysis.over}. t: parameters before / after; the control arm is fine-tuned with nothing pruned. Corrected α: "
        "the noise of the test set is deducted, over all seeds together. α̂ and r²: one regression over all classes of all "
        "seeds. "
        "Ā: mean accuracy after. Alone: seeds whose slope is identifiable from their test set by itself."
    )
    if collapsed:
        header += ("collapsed",)
        note += (
            " Collapsed: models that lost more than half of their accuracy. Many name a class or two whatever they see, and "
            "then α is of any size and sign."
        )
    tables = []
    for dataset, model in analysis.settings():
        estimates = [e for at, e in analysis.estimates.items() if (at.dataset, at.model) == (dataset, model)]
        rows = [_slope_row(estimate, collapsed) for estimate in estimates]
        remarks = _remarks(analysis, estimates)
        tables.append(Table(f"Slope α on {one_line(dataset)}, {model}", header, rows, " ".join([note, *remarks])))
    return tables


def accuracies(analysis: Analysis) -> list[Table]:
    """Return the mean accuracy by algorithm and ratio: a table for each data set and model."""
    header = ("algorithm", "before", "control", *(f"t = {ratio:g}" for ratio in analysis.ratios))
    note = (
        "Mean over the seeds that are done, on the test images. Before: as trained. Control: fine-tuned with nothing "
        "pruned. The others are pruned and fine-tuned."
    )
    tables = []
    for dataset, model in analysis.settings():
        control = analysis.control(dataset, model)
        rows = []
        for algorithm in analysis.algorithms:
            estimates = [analysis.estimate(dataset, model, algorithm, ratio) for ratio in analysis.ratios]
            known = [estimate for estimate in (control, *estimates) if estimate]
            if any(estimates):
                before = max(known, key=lambda estimate: estimate.seeds).before
                after = [_accuracy(estimate and estimate.accuracy) for estimate in (control, *estimates)]
                rows.append((algorithm, _accuracy(before), *after))
        tables.append(Table(f"Mean accuracy on {one_line(dataset)}, {model}", header, rows, note))
    return tables


def tests(analysis: Analysis) -> list[Table]:
    """Return the p-values: a table for each family of tests."""
    return [_family(family, analysis) for family in analysis.families]


def classes(analysis: Analysis) -> list[Table]:
    """Return the mean change of recall of each class: a table for each data set and model, the hardest hit first."""
    by_place: dict[tuple, ClassChange] = {(change.combination, change.name): change for change in analysis.classes}
    tables = []
    for dataset, model in analysis.settings():
        control = analysis.control(dataset, model)
        names = list(dict.fromkeys(c.name for c in analysis.classes if c.combination.dataset == dataset))
        rows = []
        for algorithm in analysis.algorithms:
            estimates = [analysis.estimate(dataset, model, algorithm, ratio) for ratio in analysis.ratios]
            for name in names:
                changes = [e and by_place.get((e.combination, name)) for e in estimates]
                at_control = control and by_place.get((control.combination, name))
                known = [change for change in changes if change]
                if known:
                    cells = [_change(change) for change in (at_control, *changes)]
                    before = Cell(f"{known[0].before:.3f}", known[0].before)
                    working = [change for change, e in zip(changes, estimates) if change and not e.collapsed]
                    lost = [change.change.mean for change in working or known]
                    rows.append((lost, one_line(name), algorithm, before, *cells))
        rows.sort(key=lambda row: min(row[0]))
        rows = [row[1:] for row in rows]
        header = ("class", "algorithm", "recall before", "control", *(f"t = {ratio:g}" for ratio in analysis.ratios))
        note = (
            "Mean change of recall over seeds. < it is lower, > higher than under the control arm, at "
            f"{100 * analysis.level:g}% (paired by seed, on these test images); ? neither is shown. "
            "Where all seeds agree to the image, one of them counts as if it were an image away."
        )
        tables.append(Table(f"Change of recall on {one_line(dataset)}, {model}", header, rows, note))
    return tables


def markdown(table: Table) -> list[str]:
    """Return a table as lines of Markdown, under a heading of the third level."""
    rows = [list(map(_text, row)) for row in table.rows]
    note = ["", markdown_text(table.note)] if table.note else []
    return [f"### {markdown_text(table.title)}", "", *markdown_table(table.header, rows), *note, ""]


def _text(cell: Cell | str | float) -> str:
    return cell.text if isinstance(cell, Cell) else str(cell)


def _slope_row(estimate: Estimate, collapsed: bool) -> tuple:
    at, pooled = estimate.combination, estimate.pooled
    return (
        at.algorithm,
        Cell(f"{at.ratio:g}", at.ratio),
        estimate.seeds,
        _estimated(estimate.alpha, estimate.alpha.symbol),
        _estimated(estimate.corrected_interval, estimate.corrected_interval.symbol),
        _difference(estimate.control),
        _difference(estimate.control_corrected),
        _number(pooled.alpha),
        _number(pooled.r_squared),
        _number(estimate.accuracy.mean),
        _share(estimate.identifiable, estimate.seeds),
        *([_share(estimate.collapsed, estimate.seeds)] if collapsed else []),
    )


def _share(part: int, whole: int) -> Cell:
    return Cell(f"{part} of {whole}", part / max(1, whole))


def _remarks(analysis: Analysis, estimates: list[Estimate]) -> list[str]:
    """Say in words why numbers are missing, once for each reason."""
    reasons: dict[str, list[str]] = {}
    for estimate in estimates:
        arm = estimate.combination.arm
        for name, note in (
            ("α", estimate.alpha.note),
            ("corrected α", estimate.corrected.note),
            ("difference from control", estimate.control and estimate.control.note),
            ("α̂", estimate.pooled.note),
        ):
            if note:
                reasons.setdefault(f"{name}: {note}", []).append(arm)
    for estimate in estimates:
        for other in estimate.same:
            reasons.setdefault(f"the same runs as {other}, whose scores do not differ here", []).append(
                estimate.combination.arm
            )
    told = [f"{_listed(arms, len(estimates))}: {reason}." for reason, arms in reasons.items()]
    if any(estimate.seeds < len(analysis.seeds) for estimate in estimates):
        told.append("Some seeds are not done yet, and count among those that lack a value.")
    return told


def _family(family: Family, analysis: Analysis) -> Table:
    adjusted = ("p", "Bonferroni", "Holm", "d")
    header = ("within", "first", "second", "difference of α", *adjusted, "difference of corrected α", *adjusted)
    rows = [row for column in family.columns for row in _test_rows(column)]
    note = (
        f"Alternative: {family.hypothesis}. Differences are first minus second, with their {100 * analysis.level:g}% "
        f"intervals: of α over seeds, of the corrected α over {analysis.over}. "
        "Bonferroni multiplies p by the number of rows of the same group (“within”); Holm adjusts over the same rows. d is "
        "Cohen's effect size (d_z where paired)."
    )
    return Table(family.name, header, rows, " ".join([note, *_test_remarks(family)]))


def _test_rows(column: Column) -> list[tuple]:
    return [
        (column.label, _label(raw.first), _label(raw.second), *_test(raw), *_test(corrected))
        for raw, corrected in zip(column.raw, column.corrected)
    ]


def _test_remarks(family: Family) -> list[str]:
    """Say in words why tests are missing, or rest on fewer seeds, once for each reason."""
    reasons: dict[str, list[str]] = {}
    for column in family.columns:
        for raw, corrected in zip(column.raw, column.corrected):
            ends = dict.fromkeys(_text(_label(end)) for end in (raw.first, raw.second))
            notes = {"α": raw.comparison.note, "corrected α": corrected.comparison.note}
            if notes["α"] == notes["corrected α"]:
                notes = {"": notes["α"]}
            for name, note in notes.items():
                if note:
                    reason = f"{name}: {note}" if name else note
                    reasons.setdefault(reason, []).append(f"{' − '.join(ends)} ({column.label})")
    everywhere = sum(len(column.raw) for column in family.columns)
    return [f"{_listed(rows, everywhere)}: {reason}." for reason, rows in reasons.items()]


def _listed(names: list[str], everywhere: int) -> str:
    if len(names) == everywhere:
        return "Everywhere"
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _label(end) -> Cell | str:
    if end == CONTROL:
        return CONTROL
    return Cell(f"t = {end:g}", end) if isinstance(end, (int, float)) else str(end)


def _test(row: Row) -> tuple:
    compared = row.comparison
    return (
        _difference(compared),
        *(_p(value) for value in (compared.p, row.bonferroni, row.holm)),
        _number(compared.effect, "+.2f"),
    )


def _difference(compared: Comparison | None) -> Cell:
    if compared is None or compared.difference is None:
        return Cell(_MISSING)
    return Cell(f"{_signed(compared.difference)} {_ends(compared, _signed)}".rstrip(), compared.difference)


def _estimated(found: Interval, symbol: str) -> Cell:
    if found.mean is None:
        return Cell(_MISSING)
    return Cell(f"{_plain(found.mean)} {_ends(found, _plain)} {symbol}".replace("  ", " "), found.mean)


def _change(change: ClassChange | None) -> Cell:
    if change is None:
        return Cell(_MISSING)
    symbol = f" {change.control.symbol}" if change.control else ""
    return Cell(f"{_signed(change.change.mean)}{symbol}", change.change.mean)


def _accuracy(found: Interval | None) -> Cell:
    return _number(found and found.mean, ".4f")


def _number(value: float | None, form: str = ".3f") -> Cell:
    return Cell(_MISSING) if value is None else Cell(_plain(value, form), value)


def _ends(found: Interval | Comparison, write: Callable) -> str:
    return "" if found.low is None else f"[{write(found.low)}, {write(found.high)}]"


def _plain(value: float, form: str = ".3f") -> str:
    return format(value, form).replace("-", "−")


def _signed(value: float) -> str:
    return _plain(value, "+.3f")


def _p(value: float | None) -> Cell:
    if value is None:
        return Cell(_MISSING)
    return Cell("<0.0001" if value < 1e-4 else f"{value:.4f}", value)
