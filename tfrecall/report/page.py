"""Building blocks of the HTML reports: sentences, key numbers, tables that sort, figures; one file that needs nothing else.

A page is data: frozen dataclasses in, text out. What it looks like is `template/`'s, a Jinja2 template, a style sheet and a
script, all three put into the page. Its Content-Security-Policy lets a browser load nothing and run that one script alone,
so that a class named ``<script>`` would do nothing even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from pathlib import Path
from xml.etree import ElementTree

from tfrecall.report.svg import NOT_IN_XML

_TEMPLATE = Path(__file__).parent / "template"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{}'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it says, and what it is sorted by.

    Attributes
    ----------
    text : str
    value : float, optional
        Makes its column one of numbers, sorted by value. In such a column a cell without value (None or NaN) is missing: it
        comes last whichever way is sorted.
    """

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table, sortable by each of its columns, its first column the rows' names.

    Attributes
    ----------
    title : str
    header : sequence of str
    rows : sequence of sequence
        Each as long as `header`, of `Cell`, str, a number (shown as it is, with 4 significant digits), or None (nothing).
    note : str
        Below the table.

    Raises
    ------
    ValueError
        If a row is shorter or longer than the header.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str | float | None]]
    note: str = ""

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row of {len(row)} cells under a header of {len(self.header)}: {row}")

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether each column is sorted as numbers: any of its cells has a value."""
        cells = _cells(self)
        return tuple(any(row[column].value is not None for row in cells) for column in range(len(self.header)))


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes
    ----------
    svg : str
        As `tfrecall.report.svg.element` returns it. It is put into the page as it is.
    alt : str
        What it shows, for those who do not see it.
    title : str
        Above it; better here than in the picture, since it wraps on a phone.
    """

    svg: str
    alt: str
    title: str = ""


@dataclass(frozen=True)
class Figure:
    """Pictures side by side, as many as fit; below each other on a phone.

    Attributes
    ----------
    title : str
    panels : sequence of Panel
    caption : str
        Below them.
    width : int
        CSS pixels, the least width of a panel where the screen is wide enough; it grows to one and a half times that. A
        Matplotlib figure 4.6 inches wide has its 10-point letters at 10 pixels on a phone 360 pixels wide.
    """

    title: str
    panels: Sequence[Panel]
    caption: str = ""
    width: int = 320


@dataclass(frozen=True)
class Facts:
    """Names and what they are: ``rows`` of (name, value)."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Bullets:
    """A list of short ``items``."""

    items: Sequence[str]


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, and then any parts in any order."""

    heading: str
    paragraphs: Sequence[str] = ()
    parts: Sequence[Table | Figure | Facts | Bullets] = ()


def render(title: str, lead: str | Sequence[str], sections: Sequence[Section], facts: Sequence[tuple[str, str]] = ()) -> str:
    """Return a page: one HTML file, the same bytes for the same input.

    Parameters
    ----------
    title : str
    lead : str or sequence of str
        The finding: its first sentence set large, the others below.
    sections : sequence of Section
        With more than three, links to them come first.
    facts : sequence of (str, str)
        The key numbers and their names, such as ``("accuracy", "0.90 → 0.89")``: a handful.

    Returns
    -------
    str
        To be written as UTF-8.
    """
    from markupsafe import Markup

    style, script = ((_TEMPLATE / name).read_text(encoding="utf-8").rstrip() for name in ("page.css", "page.js"))
    # The hash is of all that stands between the tags, line breaks included.
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    return _template().render(
        title=title,
        lead=[lead] if isinstance(lead, str) else list(lead),
        sections=list(sections),
        facts=list(facts),
        style=Markup(style),
        script=Markup(script),
        policy=Markup(_POLICY.format(f"sha256-{digest}")),
    )


@lru_cache(maxsize=1)
def _template():
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_without_control_characters,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests.update({kind.__name__.lower(): _is(kind) for kind in (Table, Figure, Facts, Bullets)})
    environment.filters.update({"cells": _cells, "number": _number, "placed": _placed})
    return environment.get_template("page.html")


def _is(kind: type):
    return lambda part: isinstance(part, kind)


def _without_control_characters(value):
    """Return what the template is about to write, without the characters that no HTML file may hold."""
    # str() would turn Markup into text that is escaped again.
    return NOT_IN_XML.sub("\ufffd", value) if type(value) is str else value


def _cells(table: Table) -> list[list[Cell]]:
    return [[_cell(cell) for cell in row] for row in table.rows]


def _cell(given: Cell | str | float | None) -> Cell:
    if given is None:
        return Cell("")
    if isinstance(given, str):
        return Cell(given)
    if isinstance(given, Cell):
        return Cell(given.text) if given.value is None or math.isnan(given.value) else given
    if isinstance(given, Real):
        return (
            Cell("") if math.isnan(given) else Cell(f"{given:,}" if isinstance(given, Integral) else f"{given:.4g}", given)
        )
    raise TypeError(f"a cell is a Cell, a str, a number or None; got {type(given).__name__}.")


def _number(value: float) -> str:
    """Return a number as JavaScript's Number() reads it."""
    return repr(float(value)).replace("inf", "Infinity")


def _placed(panel: Panel, prefix: str):
    """Return a panel's SVG with its alternative text, its ids made the page's own by a prefix."""
    from markupsafe import Markup

    root = ElementTree.fromstring(panel.svg)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, f"{prefix}-{value}")
            elif name == "href" and value.startswith("#"):
                element.set(name, f"#{prefix}-{value[1:]}")
            else:
                element.set(name, value.replace("url(#", f"url(#{prefix}-"))
    root.set("role", "img")
    root.set("aria-label", _without_control_characters(panel.alt))
    return Markup(ElementTree.tostring(root, encoding="unicode"))
