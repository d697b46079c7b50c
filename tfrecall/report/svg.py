"""Matplotlib's figures as SVG elements of a page: in its colours and letters, and a tenth of the size."""

from __future__ import annotations

import io
import re
import unicodedata
from xml.etree import ElementTree

from tfrecall.report.canvas import save_svg

#: letters that neither XML nor HTML may hold
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

_HREF = "{http://www.w3.org/1999/xlink}href"
_PAPER = "var(--paper)"  # of page.css


def element(figure) -> str:
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
    buffer = io.StringIO()
    save_svg(figure, buffer)
    root = ElementTree.fromstring(NOT_IN_XML.sub("\ufffd", buffer.getvalue()))
    _strip(root)
    for part in root.iter():
        _simplify(part)
    _name_only_what_is_used(root)
    box = _roomy(root)
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "fill": "currentColor", "stroke-linejoin": "round", "stroke-linecap": "butt"})
    return ElementTree.tostring(root, encoding="unicode")


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
