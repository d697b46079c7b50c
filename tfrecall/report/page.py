"""Building blocks of the HTML reports: sentences, key numbers, tables that sort, figures; one file that needs nothing else.

A page is data: frozen dataclasses in, text out. What it looks like is `template/`'s, a Jinja2 template, a style sheet and a
script, all three put into the page. Its Content-Security-Policy lets a browser load nothing and run that one script alone,
so that a class named ``<script>`` would do nothing even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from pathlib import Path
from xml.etree import ElementTree

_TEMPLATE = Path(__file__).parent / "template"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{}'; base-uri 'none'; form-action 'none'"
)
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_HREF = "{http://www.w3.org/1999/xlink}href"
_PAPER = "var(--paper)"  # of page.css


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
        As `svg` returns it. It is put into the page as it is.
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


def svg(figure) -> str:
    """Return a Matplotlib figure as an SVG element that takes on the colours and letters of the page.

    Neutral colours become the page's ink, as thin as they are light: black is the text's colour, white none, grey something
    between in light and dark schemes alike. Other colours, which stand for data, stay, and so does white text. The outlines
    of markers, where white, take the colour of the page. Text stays text, so write formulas in Unicode rather than in
    mathtext, whose letters are placed one by one.

    Parameters
    ----------
    figure : matplotlib.figure.Figure

    Returns
    -------
    str
        The same for the same figure; without date, version, width and height.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tfrecall"}), warnings.catch_warnings():
        # It is the reader's browser that draws the letters, and it has others.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ElementTree.fromstring(_NOT_IN_XML.sub("\ufffd", buffer.getvalue()))
    _strip(root)
    for element in root.iter():
        _simplify(element)
    _name_only_what_is_used(root)
    box = _roomy(root)
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "fill": "currentColor", "stroke-linejoin": "round", "stroke-linecap": "butt"})
    return ElementTree.tostring(root, encoding="unicode")


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
    return _NOT_IN_XML.sub("\ufffd", value) if type(value) is str else value


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


def _strip(root: ElementTree.Element) -> None:
    """Remove, in place, what HTML has no need of: namespaces, metadata, styles (they would be the page's), indentation."""
    for element in list(root.iter()):
        element.tag = element.tag.rpartition("}")[2]
        for child in list(element):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                element.remove(child)
        if element.tag not in ("text", "tspan"):
            element.text = None
        element.tail = None


def _simplify(element: ElementTree.Element) -> None:
    """Give, in place, one element the page's colours and letters, and shorter numbers."""
    if _HREF in element.attrib:
        element.set("href", element.attrib.pop(_HREF))
    if "style" in element.attrib:
        style = _style(element.attrib.pop("style"), is_text=element.tag in ("text", "tspan"))
        if style:
            element.set("style", style)
    if element.get("transform", "").startswith(("rotate(-0 ", "rotate(0 ")):
        del element.attrib["transform"]
    for name in {"d", "x", "y", "width", "height", "points", "transform"} & set(element.attrib):
        element.set(name, _shorter(element.get(name)))


def _shorter(numbers: str) -> str:
    """Return path data or the like with its numbers rounded to hundredths of a point."""
    rounded = re.sub(r"-?\d+\.\d+(?:e-?\d+)?", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return " ".join(rounded.split())


def _style(style: str, *, is_text: bool) -> str:
    declared = dict(part.strip().split(":", 1) for part in style.split(";") if ":" in part)
    declared = {name.strip(): value.strip() for name, value in declared.items()}
    declared.pop("font-family", None)
    declared.update(_font(declared.pop("font", "")))
    for name in ("fill", "stroke"):
        grey = re.fullmatch(r"#(..)\1\1", declared.get(name, "").lower())
        if not grey:
            continue
        ink = 1 - int(grey[1], 16) / 255
        if ink == 0:
            if not is_text:
                declared[name] = "none" if name == "fill" else _PAPER
            continue
        declared[name] = "currentColor"
        opacity = ink * float(declared.get(f"{name}-opacity", 1))
        if opacity < 1:
            declared[f"{name}-opacity"] = f"{opacity:.3g}"
    return "; ".join(f"{name}: {value}" for name, value in declared.items())


def _font(shorthand: str) -> dict[str, str]:
    """Return of a ``font`` property, which Matplotlib wrote up to 3.9, all but the family."""
    found = re.match(r"(.*?)([\d.]+px)\s", shorthand)
    if not found:
        return {}
    weight = re.search(r"\b(bold|[1-9]00)\b", found[1])
    slant = re.search(r"\b(italic|oblique)\b", found[1])
    return {
        "font-size": found[2],
        **({"font-weight": weight[1]} if weight else {}),
        **({"font-style": slant[1]} if slant else {}),
    }


def _name_only_what_is_used(root: ElementTree.Element) -> None:
    """Replace, in place, the ids that something refers to by numbers, and remove the others."""
    used: dict[str, str] = {}

    def numbered(found: re.Match) -> str:
        return found[1] + used.setdefault(found[2], str(len(used) + 1))

    for element in root.iter():
        for name, value in element.attrib.items():
            if name != "id":
                element.set(name, re.sub(r"^(#)(.+)" if name == "href" else r"(url\(#)([^)]+)", numbered, value))
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in used:
            element.set("id", used[name])


def _roomy(root: ElementTree.Element) -> str:
    """Return the view box, widened where a browser's letters need more room than Matplotlib's placeholders had."""
    left, top, width, height = map(float, root.get("viewBox").split())
    right = left + width
    for text in root.iter("text"):
        words = "".join(text.itertext())
        if "transform" in text.attrib or "x" not in text.attrib or not any(map(_is_wide, words)):
            continue
        size = float(re.search(r"font-size: ([\d.]+)px", text.get("style"))[1])
        anchor = re.search(r"text-anchor: (\w+)", text.get("style"))
        reach = size * sum(1.3 if _is_wide(letter) else 0.65 for letter in words)
        before = {"end": 1, "middle": 0.5}.get(anchor[1] if anchor else "start", 0) * reach
        left = min(left, float(text.get("x")) - before)
        right = max(right, float(text.get("x")) + reach - before)
    return _shorter(f"{left:.1f} {top:.1f} {right - left:.1f} {height:.1f}")


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"
