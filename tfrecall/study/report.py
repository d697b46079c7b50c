"""Writing what a study shows: tables for other programs, tables and figures for people, and the page."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tfrecall.publishing import output_path, require_place, whole
from tfrecall.report import page
from tfrecall.report.document import markdown_text, one_line
from tfrecall.study import figures, tables
from tfrecall.study.analysis import Analysis, analyse
from tfrecall.study.findings import finding
from tfrecall.study.frames import frames
from tfrecall.study.images import redrawn
from tfrecall.study.inspection import Inspection, inspect
from tfrecall.study.plan import Plan
from tfrecall.study.status import Status, status
from tfrecall.study.store import Store
from tfrecall.text import spreadsheet_cell

if TYPE_CHECKING:
    import pandas as pd

#: what `report` writes, beside the files in ``figures``
WRITTEN = ("cells.csv", "classes.csv", "tables.md", "report.html")

TITLE = "What pruning did to recall, over seeds"


def report(
    folder: str | os.PathLike,
    output: str | os.PathLike | None = None,
    plan: Plan | None = None,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write a study's report from what is done so far; what is damaged is left out, and counts as missing.

    Parameters
    ----------
    folder : path-like
        The study's.
    output : path-like, optional
        Where to write; ``report`` in the study's folder by default. What an earlier report left there is replaced.
    plan : Plan, optional
        Which cells to report on; those of the plan that was run last by default.
    tell : callable
        Called with a line for each damaged result that is left out.

    Returns
    -------
    Path
        The folder with ``cells.csv``, ``classes.csv``, ``tables.md``, ``report.html`` and ``figures``.

    Raises
    ------
    InputError
        If there is no study, nothing of it is done and whole, or the folder cannot be written to.
    """
    store, plan = Store.open(folder, plan)
    output = output_path(store.root / "report" if output is None else output)
    require_place(output, WRITTEN)
    inspection = inspect(store, plan.cells, thorough=True)
    cells, classes = frames(store, plan, inspection)
    for damage in inspection.damaged.values():
        tell(f"{damage}; left out")
    analysis = analyse(cells, classes, plan.level, redrawn(store, plan, inspection=inspection))
    pictures = figures.pictures(analysis, classes)
    progress = status(store, plan, damaged={key for key in _keys(plan) if key not in inspection.sound})
    origin = _origin(analysis, plan, progress, store, inspection)
    names = [*WRITTEN, *(f"figures/{name}" for picture in pictures for name in picture.files)]
    require_place(output, names)
    with whole(output, names) as place:
        write_csv(cells, place / "cells.csv")
        write_csv(classes, place / "classes.csv")
        (place / "tables.md").write_text(to_markdown(analysis, progress, origin), encoding="utf-8")
        (place / "report.html").write_text(to_html(analysis, progress, origin, pictures), encoding="utf-8")
        for picture in pictures:
            figures.write(picture, place / "figures")
    return output


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table of plain numbers and names as CSV: comma, point, UTF-8, nothing where there is no value."""
    columns = [column for column in ("dataset", "class") if column in table]
    table = table.assign(**{column: table[column].map(spreadsheet_cell) for column in columns})
    # Python before 3.13 puts no quotation marks round a name with a carriage return, which ends a row for most readers.
    returns = any("\r" in name for column in columns for name in table[column].unique())
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    table.to_csv(path, index=False, lineterminator="\n", quoting=quoting)


def to_markdown(analysis: Analysis, progress: Status, origin: list[tuple[str, str]]) -> str:
    """Return the finding, all tables, and how the study was run, in names and values, as Markdown."""
    lines = [f"# {TITLE}", "", *(f"{markdown_text(sentence)}\n" for sentence in _lead(analysis, progress))]
    for heading, shown in _tables(analysis):
        lines += [f"## {heading}", "", *(line for table in shown for line in tables.markdown(table))]
    lines += ["## How the study was run", "", *(f"- {markdown_text(f'{name}: {value}')}" for name, value in origin)]
    return "\n".join(lines) + "\n"


def to_html(analysis: Analysis, progress: Status, origin: list[tuple[str, str]], pictures: list[figures.Picture]) -> str:
    """Return the page: the finding, figures and tables, and how the study was run, in one file."""
    shown = {picture.name: figures.panels(picture) for picture in pictures}
    scatters = [figure for name, found in shown.items() if name.startswith("scatter_") for figure in found]
    slopes, tests, accuracies, classes = (found for _, found in _tables(analysis))
    sections = [
        page.Section("What pruning did to α", [_ALPHA], [*shown.get("alpha_by_ratio", ()), *slopes]),
        page.Section("Intervals", [], shown.get("intervals", ())),
        page.Section("Accuracy, and what it costs in distortion", [], [*shown.get("trade_off", ()), *accuracies]),
        page.Section("Which classes are hurt", [], [*shown.get("classes", ()), *classes]),
        page.Section("Class by class", [], scatters),
        page.Section("Tests", [_TESTS], tests),
        page.Section("How the study was run", [], [page.Facts(origin)]),
    ]
    sections = [section for section in sections if section.parts]
    lead = [re.sub(r"\bt = ", "t\u00a0=\u00a0", sentence) for sentence in _lead(analysis, progress)]  # no line ends there
    return page.render(f"{TITLE}: {_subject(analysis)}", lead, sections, _key_numbers(analysis, progress))


_ALPHA = (
    "α is the slope of the classes' normalized recall balances, (recall − accuracy) / accuracy, after pruning on those "
    "before. Above 1, what set classes apart sets them further apart: weak classes got weaker (intensification). Below 1 "
    "they moved together, and below 0 they changed sides. A finite test set makes recalls noisy and pulls α toward 0; the "
    "corrected α deducts that. What pruning does is the difference from the control arm, which is trained just as long with "
    "nothing pruned. The intervals of α tell what other seeds would give on these very test images, as in the paper; "
    "those of the corrected α, what other seeds and other images like these would."
)
_TESTS = (
    "Each p-value is given as it is and adjusted for the other tests of its group, by Bonferroni as in the paper and by "
    "Holm, which is never less powerful. An effect that is not shown is not shown to be absent."
)


def _tables(analysis: Analysis) -> list[tuple[str, list[page.Table]]]:
    return [
        ("Slopes", tables.slopes(analysis)),
        ("Tests", tables.tests(analysis)),
        ("Accuracy", tables.accuracies(analysis)),
        ("Classes", tables.classes(analysis)),
    ]


def _lead(analysis: Analysis, progress: Status) -> list[str]:
    first, *others = finding(analysis)
    if progress.done == progress.total:
        return [first, *others]
    return [
        first,
        f"The study is under way: {progress.done:,} of {progress.total:,} models are done, and this may change.",
        *others,
    ]


def _subject(analysis: Analysis) -> str:
    return f"{', '.join(analysis.models)} on {', '.join(map(one_line, analysis.datasets))}"


def _key_numbers(analysis: Analysis, progress: Status) -> list[tuple[str, str]]:
    rest = f" of {progress.total:,}" if progress.done < progress.total else ""
    return [
        ("seeds", str(len(analysis.seeds))),
        ("fine-tuned models", f"{progress.done:,}{rest}"),
        ("algorithms", str(len(analysis.algorithms))),
        ("ratios", str(len(analysis.ratios))),
    ]


def _keys(plan: Plan) -> set[str]:
    return {key for cell in plan.cells for key in (cell.key, cell.baseline_key)}


def _origin(analysis: Analysis, plan: Plan, progress: Status, store: Store, inspection: Inspection) -> list[tuple[str, str]]:
    """Return how the study was run, as names and values."""
    from tfrecall import __version__

    rows = [
        ("data sets", ", ".join(map(one_line, plan.datasets))),
        ("models", ", ".join(plan.models)),
        ("algorithms", ", ".join(plan.algorithms)),
        ("ratios", ", ".join(f"{ratio:g}" for ratio in plan.ratios) + ", and the control arm"),
        ("seeds", ", ".join(map(str, plan.seeds))),
        ("scope", plan.scope),
        ("classifier", "may be pruned" if plan.include_classifier else "is not pruned"),
        ("level of the intervals", f"{plan.level:g}"),
        ("recipe", plan.recipe),
    ]
    recipes = {cell.settings.model: cell.settings.recipe for cell in plan.cells}
    for model, recipe in recipes.items():
        words = (f"{name.replace('_', ' ')} {value}" for name, value in dataclasses.asdict(recipe).items())
        rows.append((f"recipe of {model}", ", ".join(words)))
    rows += [
        ("processors", f"strategy {plan.strategy}, one thread a process"),
        ("cells", f"{progress.done} done, {progress.failed} failed, {progress.running + progress.missing} to do"),
        *([("damaged", f"{len(inspection.damaged)} results, left out with what rests on them")] * bool(inspection.damaged)),
        *_software(plan, store, inspection),
        ("report by", f"tfrecall {__version__}"),
        (
            "source",
            "Good et al., Recall Distortion in Neural Network Pruning and the Undecayed Pruning Algorithm, NeurIPS 2022",
        ),
    ]
    return rows


def _software(plan: Plan, store: Store, inspection: Inspection) -> list[tuple[str, str]]:
    """Return what the cells were run with, as they remember it: every version, where there are several."""
    machines: dict[str, None] = {}
    versions: dict[str, dict[str, None]] = {}
    for key in {cell.key: None for cell in plan.cells if cell.key in inspection.sound}:
        config = store.read(f"{key}/config.json")
        machines[" ".join(config["machine"].values())] = None
        for name, version in config["versions"].items():
            versions.setdefault(name, {})[version] = None
    packages = (f"{name} {' and '.join(sorted(found))}" for name, found in versions.items())
    return [("run with", ", ".join(packages)), ("machine", " and ".join(machines))]
