"""The report on a terminal: tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tfrecall.report import document as doc
from tfrecall.report.slope import describe_alpha, verdict_sentence
from tfrecall.text import one_line

_COLOURS = {"intensified": "red", "de-intensified": "green", "inconclusive": "yellow", "not identifiable": "yellow"}
_SHOWN = 20  # classes: the worst hit; the rest is in report.md


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> Table:
    """Return a table whose first `words` columns are text and the others numbers."""
    layout = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
    result = Table(title=title, title_justify="left", title_style="bold", **layout)
    for index, name in enumerate(header):
        if index < words:
            result.add_column(name, max_width=None if index else 34)
        else:
            result.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        name, *others = map(one_line, row)
        # Rich narrows no column that must not wrap, so it is the name that must not, and not its column.
        result.add_row(Text(name, no_wrap=True, overflow="ellipsis"), *map(Text, others))
    return result


def render(document: dict) -> RenderableType:
    """Return a report as one thing that rich prints: what was pruned, recall by class, the slope, the verdict."""
    parts: list[RenderableType] = []
    if document["layers"]:
        parts.append(table("What was pruned, by layer", doc.LAYER_HEADER, map(doc.layer_cells, document["layers"])))
    classes = doc.worst_first(document)
    title = "Recall by class, the worst hit first"
    if len(classes) > _SHOWN:
        title += f" ({_SHOWN} of {len(classes)})"
    parts.append(table(title, doc.CLASS_HEADER, map(doc.class_cells, classes[:_SHOWN])))
    alpha = doc.alpha_of(document)
    parts += [Text(line) for line in (*doc.summary(document), *describe_alpha(alpha)[:-1])]
    parts.append(Text(verdict_sentence(alpha), style=f"bold {_COLOURS[alpha.verdict]}"))
    return Group(*parts)


def render_evaluation(document: dict) -> RenderableType:
    """Return an evaluation of one model as one thing that rich prints."""
    rows = doc.evaluation_rows(document)
    title = "Recall by class, the lowest first" + (f" ({_SHOWN} of {len(rows)})" if len(rows) > _SHOWN else "")
    return Group(table(title, doc.EVALUATION_HEADER, rows[:_SHOWN]), Text(f"accuracy {document['accuracy']:.4f}"))


def show(what: RenderableType, file: IO[str] | None = None) -> None:
    """Print to a stream, standard output by default, in the terminal's width, or in 80 columns where there is none."""
    console = Console(file=file)
    if not console.is_terminal:
        console = Console(file=file, width=80)
    console.print(what)
