"""The building blocks of HTML reports: what they say, in a browser and to the letter."""

from __future__ import annotations

import configparser
import fnmatch
import itertools
import math
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import background, column, cut_off, faint
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from tfrecall.report import page, svg
from tfrecall.report.page import Bullets, Cell, Facts, Panel, Section, Table

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "tfrecall" / "report" / "template"
VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;",
    "$x$ $\\alpha$",
    "many words " * 40,
    "x" * 400,
    "שלום עולם",
    "\u202eright to left",
    "emoji 🎉👩‍👩‍👧",
    "line\nbreak\ttab",
    "魚と鳥と獣と虫と花と木と石と水と火と風と空と海",
    "</style></title></svg>",
    "]]><!--",
]
SHOWN = [" ".join(name.split()) for name in HOSTILE]


class Reader(HTMLParser):
    """What a page holds: its tags, each closed where it was opened; the texts by tag; ids and what refers to them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.ids, self.references = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs, empty=False):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name == "aria-labelledby" or (name == "href" and value.startswith("#")):
                self.references.append(value.removeprefix("#"))
            elif name not in ("content", "aria-label"):
                self.references += re.findall(r"url\(#([^)]+)\)", value or "")
        if tag not in VOID and not empty:
            self.open.append(tag)
            if tag in ("bdi", "p", "h1", "h2", "h3", "dt", "dd", "li", "a", "figcaption", "title", "text"):
                self.texts.append([tag, ""])

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs, empty=True)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.texts and self.open[-1] == self.texts[-1][0]:
            self.texts[-1][1] += data

    def of(self, *tags):
        return [text for tag, text in self.texts if tag in tags]

    def elements(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def drawn(seed=0, names=("a", "b", "c")):
    """A figure with what figures have: axes, a grid, clipped lines, markers, a legend, white-edged points, names."""
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(4.6, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rng.random(9), color="#0072B2", marker="o", label="line", zorder=3)
    axes.scatter(range(9), rng.random(9), color="#D55E00", edgecolors="white", label="points")
    axes.axhline(0.5, color="#555555")
    axes.bar(range(3), rng.random(3), color="#009E73", hatch="/")
    axes.set_xticks(range(len(names)), [name.replace("$", r"\$")[:9] for name in names])
    axes.text(4, 0.5, "on white", color="white")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


@cache
def samples(names=tuple(HOSTILE)):
    """A page that has everything, all its words hostile."""
    pictures = [Panel(svg.element(drawn(index, names[:3])), name, name) for index, name in enumerate(names[:3])]
    rows = [[name, *(Cell(f"{10 * index + n:.3f}", 10 * index + n) for n in range(11))] for index, name in enumerate(names)]
    return page.render(
        names[0],
        names,
        [
            Section(names[1], names, [Table(names[0], ["name", *names[:11]], rows, names[7])]),
            Section(
                names[7], parts=[page.Figure(names[7], pictures, names[2]), page.Figure("again", pictures[:1], width=220)]
            ),
            Section(names[8], parts=[Facts([(name, name) for name in names])]),
            Section(names[9], parts=[Bullets(names), Table("one", ["x"], [["y"]])]),
        ],
        [(name, name) for name in names],
    )


ROWS = [
    ["pear", Cell("10", 10), 3, "b"],
    ["Apple", Cell("9 (few)", 9), None, "a"],
    ["fig 10", Cell("none"), -2.5, ""],
    ["fig 9", Cell("−1", -1), 0, "a"],
    ["cherry", Cell("none", math.nan), math.nan, "b"],
    ["date", Cell("∞", math.inf), 1e-7, "a"],
    ["elder", Cell("9", 9), -math.inf, "c"],
]


@pytest.fixture
def fruit(page_in_browser):
    return page_in_browser(page.render("t", "l", [Section("s", parts=[Table("t", ["name", "n", "m", "w"], ROWS)])]))


def button(shown, index):
    return shown.locator("thead button").nth(index)


def sorting(shown):
    return [shown.locator("thead th").nth(index).get_attribute("aria-sort") for index in range(4)]


def computed(shown, selector, name):
    return shown.locator(selector).evaluate_all("(all, name) => all.map((one) => getComputedStyle(one)[name])", name)


def test_numbers_sort_by_value_both_ways_with_what_is_missing_last(fruit):
    assert column(fruit, 0) == [row[0] for row in ROWS]
    button(fruit, 1).click()
    assert column(fruit, 1) == ["−1", "9 (few)", "9", "10", "∞", "none", "none"]
    assert sorting(fruit) == [None, "ascending", None, None]
    button(fruit, 1).click()
    assert column(fruit, 1) == ["∞", "10", "9 (few)", "9", "−1", "none", "none"]
    assert sorting(fruit) == [None, "descending", None, None]
    button(fruit, 2).click()
    assert column(fruit, 2) == ["-inf", "-2.5", "0", "1e-07", "3", "", ""]
    assert sorting(fruit) == [None, None, "ascending", None]


def test_words_sort_as_people_sort_them(fruit):
    button(fruit, 0).click()
    assert column(fruit, 0) == ["Apple", "cherry", "date", "elder", "fig 9", "fig 10", "pear"]
    button(fruit, 0).click()
    assert column(fruit, 0) == ["pear", "fig 10", "fig 9", "elder", "date", "cherry", "Apple"]


def test_equal_rows_keep_their_order_both_ways(fruit):
    button(fruit, 3).click()
    assert column(fruit, 0) == ["Apple", "fig 9", "date", "pear", "cherry", "elder", "fig 10"]
    button(fruit, 3).click()
    assert column(fruit, 0) == ["elder", "pear", "cherry", "Apple", "fig 9", "date", "fig 10"]


def test_the_keyboard_sorts_too_and_reaches_what_scrolls(fruit):
    reached = []
    for _ in range(5):
        fruit.keyboard.press("Tab")
        reached.append(fruit.evaluate("[document.activeElement.tagName, document.activeElement.className].join(' ').trim()"))
    assert reached == ["DIV scroll", "BUTTON", "BUTTON", "BUTTON", "BUTTON"]
    fruit.keyboard.press("Enter")
    assert column(fruit, 3)[:3] == ["a", "a", "a"]
    fruit.keyboard.press("Space")
    assert column(fruit, 3)[:3] == ["c", "b", "b"]
    assert fruit.evaluate("document.activeElement.tagName") == "BUTTON"  # sorting takes the focus from nobody
    assert fruit.get_by_role("columnheader", name="name").count() == 1  # no arrow in its name
    assert fruit.get_by_role("region", name="t").count() == 1
    assert fruit.get_by_role("rowheader").count() == len(ROWS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1200])
def test_nothing_is_cut_off_and_all_letters_can_be_read(page_in_browser, width, scheme):
    shown = page_in_browser(samples(), width, scheme)
    assert cut_off(shown) == []
    assert faint(shown) == []
    shown.locator("thead button").first.hover()
    shown.locator("thead button").first.click()
    assert faint(shown) == []


def test_the_audits_see_what_is_wrong(page_in_browser):
    wide = samples(("a",) * 15).replace("</main>", "<p style='width: 700px; color: #999'>wide and faint</p></main>")
    wide = wide.replace('text-anchor: end"', 'text-anchor: end" textLength="900"', 1)
    shown = page_in_browser(wide, 360)
    found = cut_off(shown)
    assert any(line.startswith("the page") for line in found)
    assert any(line.startswith("P wide and faint") for line in found)
    assert any(line.startswith("svg ") for line in found)
    assert [line.split(":")[0] for line in faint(shown)] == ["P wide and faint"]


def test_a_wide_table_scrolls_under_its_first_column(page_in_browser):
    shown = page_in_browser(samples(), 360)
    region = shown.locator(".scroll").first
    assert region.evaluate("region => region.scrollWidth > region.clientWidth + 100")
    region.evaluate("region => { region.scrollLeft = 150; }")
    assert region.evaluate("region => region.scrollLeft") == 150
    for cell in (region.locator("thead th").first, region.locator("tbody th").first):
        assert cell.bounding_box()["x"] == region.bounding_box()["x"]
        assert cell.bounding_box()["width"] < 0.6 * region.bounding_box()["width"]
        assert cell.evaluate("cell => getComputedStyle(cell).backgroundColor") == background(shown)


def test_a_long_table_scrolls_under_its_header(page_in_browser):
    rows = [[f"row {index}", index] for index in range(300)]
    shown = page_in_browser(page.render("t", "l", [Section("s", parts=[Table("t", ["name", "n"], rows)])]), 360)
    region = shown.locator(".scroll")
    region.evaluate("region => { region.scrollTop = 2000; }")
    assert region.bounding_box()["height"] < 800
    assert shown.locator("thead th").first.bounding_box()["y"] == region.bounding_box()["y"]
    assert cut_off(shown) == []


def test_dark_is_dark(page_in_browser):
    colours = [background(page_in_browser(samples(), 1200, scheme)) for scheme in ("light", "dark")]
    light, dark = ([int(part) for part in re.findall(r"\d+", colour)] for colour in colours)
    assert min(light) > 240
    assert max(dark) < 40


def test_paper_is_light_and_scrolls_nothing(page_in_browser):
    shown = page_in_browser(samples(), 1016, "dark")  # A4 across, less its margins, in CSS pixels
    shown.emulate_media(media="print", color_scheme="dark")
    assert background(shown) == "rgb(255, 255, 255)"
    assert faint(shown) == []
    assert cut_off(shown) == []
    assert set(shown.locator(".scroll").evaluate_all("all => all.map(one => getComputedStyle(one).overflowX)")) == {
        "visible"
    }
    assert shown.locator("nav").is_hidden()
    assert shown.locator("svg").evaluate_all(
        "all => all.every(one => getComputedStyle(one.parentElement).breakInside === 'avoid')"
    )
    assert shown.pdf(format="A4").startswith(b"%PDF")


def test_hostile_words_are_shown_and_do_nothing(page_in_browser):
    shown = page_in_browser(samples())
    assert shown.evaluate("document.scripts.length") == 1
    assert shown.evaluate("document.images.length") == 0
    assert shown.evaluate("[...document.querySelectorAll('*')].every(one => !one.getAttribute('onmouseover'))")
    assert column(shown, 0) == SHOWN
    assert [text.strip() for text in shown.locator("section ul bdi").all_inner_texts()] == SHOWN
    assert shown.locator(".tiles dd").all_inner_texts() == SHOWN
    assert shown.title() == SHOWN[0]
    assert [shown.get_by_role("img").nth(index).get_attribute("aria-label") for index in range(3)] == HOSTILE[:3]


def test_a_script_that_got_in_would_not_run(page_in_browser):
    text = samples().replace("</main>", "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'></main>")
    shown = page_in_browser(text, strict=False)
    assert shown.evaluate("window.ran") is None
    shown.locator("thead button").first.click()  # the page's own script does
    assert shown.locator("thead th").first.get_attribute("aria-sort") == "ascending"


def test_the_page_is_well_formed_and_its_headings_are_in_order():
    read = Reader(samples())
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in itertools.pairwise(levels))
    assert read.elements("html") == [{"lang": "en"}]
    assert {"name": "color-scheme", "content": "light dark"} in read.elements("meta")
    assert any(meta.get("name") == "viewport" for meta in read.elements("meta"))
    assert len(read.ids) == len(set(read.ids))
    assert len(read.references) > 20
    assert set(read.references) <= set(read.ids)


def test_every_picture_has_its_words():
    read = Reader(samples())
    assert [(svg["role"], svg["aria-label"]) for svg in read.elements("svg")] == [
        ("img", name) for name in (*HOSTILE[:3], HOSTILE[0])
    ]


@pytest.mark.parametrize(("count", "links"), [(0, 0), (3, 0), (4, 4)])
def test_more_than_three_sections_are_listed_first(count, links):
    read = Reader(page.render("t", ["l", "m"], [Section(f"s{index}") for index in range(count)]))
    assert [link["href"] for link in read.elements("a")] == [f"#section-{index + 1}" for index in range(links)]
    assert read.of("h2") == [f"s{index}" for index in range(count)]
    assert read.of("p")[:2] == ["l", "m"]
    assert not read.elements("dl")


def test_a_page_refers_to_nothing_outside():
    for text in (*(path.read_text(encoding="utf-8") for path in TEMPLATE.iterdir()), samples(("a",) * 15)):
        assert "http" not in text.replace("http-equiv", "")
        assert not re.search(r"@import|\bsrc=|//\w|fetch\(|<iframe|<object", text)
        assert set(re.findall(r"""href=["']?([^"'#{ >]*)""", text)) <= {"", "data:,"}


def test_the_same_input_gives_the_same_page():
    assert samples() == samples.__wrapped__()
    assert page.render("t", "l", [Section("s")]) == page.render("t", ["l"], (Section("s", [], []),), [])


texts = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff\x85\u2028\u2029"))


@settings(deadline=None)
@given(texts, texts, texts)
def test_any_text_comes_out_as_it_went_in(title, name, note):
    text = page.render(title, name, [Section(note, [name], [Table(title, [name], [[note]], note)])], [(name, note)])
    read = Reader(text)
    assert read.of("h1", "h2", "h3", "title") == [title, title, note, title]
    assert read.of("bdi") == [name, note]
    assert read.of("dt", "dd") == [name, note]


def test_characters_that_no_html_may_hold_are_replaced():
    text = page.render("a\x00b\x1b[31m\x7f\ud800", "l", [])
    assert Reader(text).of("h1") == ["a\ufffdb\ufffd[31m\ufffd\ufffd"]
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("given", "shown"),
    [(1234567, "1,234,567"), (0.123456, "0.1235"), (np.float32(0.5), "0.5"), (np.int64(7), "7"), (None, ""), (math.nan, "")],
)
def test_plain_numbers_are_cells(given, shown):
    read = Reader(page.render("t", "l", [Section("s", parts=[Table("t", ["name", "n"], [["a", given], ["b", 1]])])]))
    assert read.of("bdi")[3] == shown
    assert ("data-value" in read.elements("td")[0]) == bool(shown)


def test_a_row_that_does_not_fit_its_header_is_refused():
    with pytest.raises(ValueError, match="2 cells under a header of 1"):
        Table("t", ["a"], [["b", "c"]])
    with pytest.raises(TypeError, match="a cell is a Cell, a str, a number or None; got list"):
        page.render("t", "l", [Section("s", parts=[Table("t", ["a"], [[[]]])])])


def test_an_svg_takes_on_the_colours_of_the_page():
    text = svg.element(drawn())
    assert not re.search("#000000|#ffffff; stroke|#b0b0b0|#555555|black", text)
    assert {colour.lower() for colour in re.findall("#[0-9A-Fa-f]{6}", text)} == {"#0072b2", "#d55e00", "#009e73", "#ffffff"}
    assert re.search("fill: #ffffff[^>]*>on white<", text)
    assert re.search('stroke: currentColor; [^"]*stroke-opacity: 0.667', text)  # #555555
    assert "stroke: var(--paper)" in text  # round the points
    root = re.match("<svg [^>]*>", text)[0]
    assert 'fill="currentColor"' in root
    assert "viewBox=" in root
    assert not re.search(" (width|height|id|xmlns)=", root)
    assert not re.search("font-family|DejaVu|[Mm]atplotlib|<style|<metadata|xlink|xmlns", text)


def test_an_svg_is_the_same_again_whatever_the_settings():
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": None, "svg.fonttype": "path"}):
        assert svg.element(drawn()) == svg.element(drawn())
    assert len(svg.element(drawn())) < 20_000
    assert svg.element(drawn()) != svg.element(drawn(1))


class Written:
    """A figure of an older Matplotlib."""

    def __init__(self, text):
        self.text = text

    def savefig(self, file, **_):
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="9pt">{self.text}</svg>')


@pytest.mark.parametrize(
    ("font", "style"),
    [
        ("font: 12px 'DejaVu Sans', 'a b', sans-serif; text-anchor: end", "text-anchor: end; font-size: 12px"),
        ("font: italic bold 6.94px 'Times'", "font-size: 6.94px; font-weight: bold; font-style: italic"),
        ("font: 700 12px 'Times'", "font-size: 12px; font-weight: 700"),
    ],
)
def test_letters_keep_their_size_and_weight_and_not_their_family(font, style):
    text = svg.element(Written(f'<text x="1" y="2" style="{font}" transform="rotate(-0 1 2)">a</text>'))
    assert f'<text x="1" y="2" style="{style}">a</text>' in text


def test_wide_letters_get_room():
    style = 'style="font-size: 10px; text-anchor: end"'
    assert 'viewBox="0 0 9 9"' in svg.element(
        Written(f'<text x="5" y="2" {style}>abcdefgh</text>')
    )  # as Matplotlib measured it
    assert 'viewBox="-21 0 30 9"' in svg.element(Written(f'<text x="5" y="2" {style}>魚鳥</text>'))


def test_only_ids_that_are_used_stay():
    text = svg.element(
        Written('<g id="r"><path id="url" d="M 0.001 1.999 L 3 4"/></g><use href="#url" clip-path="url(#r)"/>')
    )
    assert text.count(" id=") == 2
    assert 'd="M 0 2 L 3 4"' in text
    group, path = re.findall(' id="([^"]*)"', text)
    assert group != path
    assert f'clip-path="url(#{group})"' in text
    assert f'href="#{path}"' in text


def test_letters_that_only_the_browser_has_warn_nobody(recwarn):
    figure = Figure()
    figure.add_subplot().set_title("魚 e\x1b[31m")
    assert "魚 e\ufffd[31m" in svg.element(figure)
    assert [str(warning.message) for warning in recwarn] == []


def test_the_template_is_installed_with_the_package():
    declared = configparser.ConfigParser()
    declared.read(ROOT / "setup.cfg")
    patterns = declared["options.package_data"]["tfrecall.report"].split()
    for path in TEMPLATE.iterdir():
        assert any(fnmatch.fnmatch(f"template/{path.name}", pattern) for pattern in patterns)
