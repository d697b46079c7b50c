"""A study's report: its files, whole or not at all, and its page in a browser."""

from __future__ import annotations

import csv
import re
import shutil
from html.parser import HTMLParser

import pytest
from browser import column, cut_off, faint
from study.synthetic import HOSTILE, NAMES, PLAN, resign, study

from tfrecall.errors import InputError
from tfrecall.study import figures, report
from tfrecall.study.plan import Plan
from tfrecall.study.store import Store
from tfrecall.text import one_line

FILES = {"cells.csv", "classes.csv", "tables.md", "report.html", "figures"}
SMALL = Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(0, 1))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study of two data sets, reported on."""
    root = tmp_path_factory.mktemp("report") / "study"
    study(root)
    report(root)
    return root


@pytest.fixture
def small(tmp_path):
    study(tmp_path / "study", SMALL)
    return tmp_path / "study"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def html(root):
    return (root / "report" / "report.html").read_text(encoding="utf-8")


def test_its_files(done):
    written = done / "report"
    assert {path.name for path in written.iterdir()} == FILES
    names = ("alpha_by_ratio", "scatter_mnist_lenet5", "scatter_fashion_mnist_lenet5", "intervals", "trade_off", "classes")
    assert {path.name for path in (written / "figures").iterdir()} == {f"{n}.{s}" for n in names for s in ("png", "svg")}
    for name, rows in (("cells.csv", 30), ("classes.csv", 30 * len(NAMES))):
        content = (written / name).read_bytes()
        assert b"\r" not in content
        assert len(list(csv.DictReader(content.decode().splitlines()))) == rows


def test_markdown_and_page_say_the_same(done):
    text, page = (done / "report" / "tables.md").read_text(encoding="utf-8"), Reader(html(done))
    sentences = text.split("\n\n")[1:4]
    assert page.of("p")[:3] == [sentence.strip().replace("t = ", "t\u00a0=\u00a0") for sentence in sentences]
    headings = re.findall(r"^### (.*)", text, re.MULTILINE)
    assert set(headings) <= set(page.of("h3"))
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    cells = [cell.strip().replace("&lt;", "<") for line in rows for cell in line.strip("|").split("|")]
    assert sorted(cells) == sorted(page.of("bdi"))


def test_it_says_what_the_cells_were_run_with(small):
    report(small)
    text = (small / "report" / "tables.md").read_text(encoding="utf-8")
    assert "- run with: python 3.11.7, tensorflow 2.21.0\n- machine: Linux x86_64\n" in text
    config = next((small / "cells").iterdir()) / "config.json"
    config.write_text(config.read_text().replace("2.21.0", "2.22.0").replace("x86_64", "arm64"))
    resign(Store(small), SMALL)
    report(small)
    text = (small / "report" / "tables.md").read_text(encoding="utf-8")
    assert "- run with: python 3.11.7, tensorflow 2.21.0 and 2.22.0\n" in text
    assert "arm64" in text


def test_the_same_study_gives_the_same_bytes_wherever_it_is(done, tmp_path):
    shutil.copytree(done, tmp_path / "copy", ignore=shutil.ignore_patterns("report", "locks"))
    assert contents(report(tmp_path / "copy")) == contents(done / "report")


def test_what_an_earlier_report_left_is_replaced_and_nothing_else(small):
    report(small)
    first = contents(small)
    place = small / "report"
    (place / "notes.txt").write_text("mine")
    (place / "report.html").write_text("old")
    (place / "figures" / "mine.png").write_text("mine")
    report(small)
    assert contents(small) == {**first, "report/notes.txt": b"mine", "report/figures/mine.png": b"mine"}


def test_it_writes_all_or_nothing(small, monkeypatch):
    report(small)
    before = contents(small)
    monkeypatch.setattr(figures, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(small)
    assert contents(small) == before
    with pytest.raises(ZeroDivisionError):
        report(small, small.parent / "elsewhere")
    assert [path.name for path in small.parent.iterdir()] == ["study"]


def test_it_can_be_written_elsewhere(small, tmp_path):
    before = contents(small)
    assert report(small, tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == FILES
    assert contents(small) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, not a folder: choose another --output"):
        report(small, tmp_path / "file")


def test_another_plan_reports_on_its_own_cells(small, tmp_path):
    other = Plan(algorithms=("magnitude",), ratios=(10,), seeds=(1, 5), level=0.9)
    report(small, tmp_path / "other", other)
    with (tmp_path / "other" / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["algorithm"], row["ratio"], row["seed"]) for row in rows] == [
        ("control", "1.0", "1"),
        ("magnitude", "10.0", "1"),
    ]
    text = (tmp_path / "other" / "tables.md").read_text(encoding="utf-8")
    assert "90% interval" in text
    assert "- cells: 2 done, 0 failed, 2 to do\n" in text
    assert Store.open(small)[1] == SMALL


def test_how_it_was_run_is_told(small):
    Store(small).fail("cells/none", "", "", "")
    page = Reader((report(small) / "report.html").read_text(encoding="utf-8"))
    facts = dict(zip(page.of("dt"), page.of("dd")))
    assert facts["seeds"] == "0, 1"
    assert facts["ratios"] == "2, 10, and the control arm"
    assert facts["cells"] == "6 done, 0 failed, 0 to do"
    assert facts["fine-tuned models"] == "6"
    assert "epochs" in facts["recipe of lenet5"]
    assert facts["classifier"] == "is not pruned"
    assert page.of("h1") == ["What pruning did to recall, over seeds: lenet5 on digits"]


def test_no_line_of_the_finding_ends_within_a_ratio(small):
    folder = report(small)
    (sentence,) = (
        line for line in (folder / "tables.md").read_text(encoding="utf-8").splitlines() if "mean accuracy is" in line
    )
    assert "t = 10, mean" in sentence
    assert sentence.replace("t = ", "t\u00a0=\u00a0") in (folder / "report.html").read_text(encoding="utf-8")


def test_a_study_under_way_says_how_far_it_is(tmp_path):
    study(tmp_path / "study", SMALL, done=lambda cell: cell.control or cell.settings.ratio == 2)
    page = Reader((report(tmp_path / "study") / "report.html").read_text(encoding="utf-8"))
    facts = dict(zip(page.of("dt"), page.of("dd")))
    assert facts["fine-tuned models"] == "4 of 6"
    assert facts["cells"] == "4 done, 0 failed, 2 to do"


def test_nothing_done_is_an_error_and_writes_nothing(tmp_path):
    Store.create(tmp_path / "study", SMALL)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is done yet: run the study first"):
        report(tmp_path / "study")
    with pytest.raises(InputError, match="no study in "):
        report(tmp_path / "none")
    assert contents(tmp_path) == before


class Reader(HTMLParser):
    """The texts of a page by tag."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.texts = [("", [])]
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.texts.append((tag, []))

    def handle_data(self, data):
        self.texts[-1][1].append(data)

    def of(self, tag):
        return ["".join(parts).strip() for name, parts in self.texts if name == tag]


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_the_page_is_whole_and_can_be_read(page_in_browser, done, width, scheme):
    shown = page_in_browser(html(done), width, scheme)
    assert cut_off(shown) == []
    assert faint(shown) == []
    assert shown.locator("svg").count() == 4 + 2 * 5 + 4 + 2 + 4
    assert shown.locator("svg[role=img][aria-label]").count() == shown.locator("svg").count()
    assert shown.locator("h2").all_inner_texts() == [
        "What pruning did to α",
        "Intervals",
        "Accuracy, and what it costs in distortion",
        "Which classes are hurt",
        "Class by class",
        "Tests",
        "How the study was run",
    ]


def test_letters_in_pictures_are_large_enough_on_a_phone(page_in_browser, done):
    shown = page_in_browser(html(done), 360)
    sizes = shown.evaluate("""() => [...document.querySelectorAll("svg text")].map((text) => {
        const svg = text.closest("svg");
        return parseFloat(getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    })""")
    assert min(sizes) > 7.5


def test_tables_sort_both_ways(page_in_browser, done):
    shown = page_in_browser(html(done))
    for index in (0, 2):  # of the slopes, and of the tests
        table = shown.locator("table").nth(index)
        for place in range(table.locator("thead th").count()):
            header, button = (table.locator(f"thead {tag}").nth(place) for tag in ("th", "button"))
            button.click()
            upward = values(table, place, header)
            assert header.get_attribute("aria-sort") == "ascending"
            button.click()
            assert header.get_attribute("aria-sort") == "descending"
            assert values(table, place, header) == upward[::-1]
            if isinstance(upward[0], float):
                assert upward == sorted(upward)
    names = column(shown, 0)
    assert set(names) == {"control", "magnitude", "random"}


def values(table, place, header):
    """What a column's cells are sorted by, from top to bottom, without those that have nothing."""
    cells = table.locator(f"tbody tr > :nth-child({place + 1})")
    if "number" in (header.get_attribute("class") or ""):
        found = cells.evaluate_all("cells => cells.map((cell) => cell.dataset.value)")
        return [float(value) for value in found if value is not None]
    return cells.all_inner_texts()


def test_paper_has_everything(page_in_browser, done):
    shown = page_in_browser(html(done), 688, "dark")  # A4 less its margins, in CSS pixels
    shown.emulate_media(media="print", color_scheme="dark")
    assert faint(shown) == []
    assert not [line for line in cut_off(shown) if line.startswith("svg")]


@pytest.mark.parametrize("number", [0, 1])
def test_a_study_with_one_cell_has_a_page(page_in_browser, tmp_path, number):
    study(tmp_path / "study", done=lambda cell: cell == PLAN.cells[number])
    report(tmp_path / "study")
    for width in (1200, 360):
        shown = page_in_browser(html(tmp_path / "study"), width)
        assert cut_off(shown) == []
        assert "fine-tuned models\n1 of 30" in shown.locator(".tiles").inner_text()
    assert not re.search(r"\bnan\b|\bNone\b", shown.locator("body").inner_text())


def test_hostile_names_do_nothing(page_in_browser, tmp_path):
    plan = Plan(
        datasets=('"><img src=x onerror=alert(1)> | `a` $x^$ .npz', "b/" + "w" * 150 + ".npz"),
        algorithms=("magnitude",),
        ratios=(2,),
        seeds=(0, 1),
    )
    names = (*HOSTILE, "\u202eright to left", "שלום")
    study(tmp_path / "study", plan, names=names, slopes={"magnitude": (1.5,)})
    report(tmp_path / "study")
    for width in (1200, 360):
        shown = page_in_browser(html(tmp_path / "study"), width)
        assert shown.evaluate("document.scripts.length") == 1
        assert shown.evaluate("document.images.length") == 0
        assert cut_off(shown) == []
    shown_names = {" ".join(one_line(name).split()) for name in names}
    assert shown_names <= {name.strip() for name in shown.locator("tbody th").all_inner_texts()}
    text = (tmp_path / "study" / "report" / "tables.md").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "<script" not in text
