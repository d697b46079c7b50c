"""A report as one HTML file: the verdict first, every number there, and words that come from elsewhere only shown."""

from __future__ import annotations

import json
import re
import warnings
from functools import cache

import numpy as np
import pytest
from browser import column, cut_off, faint
from test_document import LAYERS, ODD, PRUNED, made, odd
from test_page import HOSTILE, Reader

from tfrecall.report import document, figures
from tfrecall.report.distortion import distortion
from tfrecall.report.html import to_html
from tfrecall.report.slope import describe_alpha, verdict_sentence
from tfrecall.text import one_line

RUN = {"model": "lenet5", "dataset": "digits", "algorithm": "undecayed", "scope": "global", "seed": 3, **PRUNED}
NAMES = HOSTILE[:10]


@cache
def page(kind):
    """A page of a report; drawing one takes a second."""
    return to_html(REPORTS[kind]())


def run():
    return made(**RUN)


def hostile():
    return made(10, names=NAMES, **{**RUN, "model": NAMES[0], "layers": [{**LAYERS[0], "path": name} for name in NAMES]})


REPORTS = {"run": run, "predictions": made, "odd": odd, "hostile": hostile}


def shuffled(value):
    """The same report with the keys of its dictionaries the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def rows(read, table):
    """The texts of a table's body, row by row."""
    cells, width = read.of("bdi"), [len(document.CLASS_HEADER), len(document.LAYER_HEADER)]
    start = cells.index(document.LAYER_HEADER[0]) if document.LAYER_HEADER[0] in cells else len(cells)
    body = (cells[width[0] : start], cells[start + width[1] :])[table]
    return [tuple(body[index : index + width[table]]) for index in range(0, len(body) - width[table] + 1, width[table])]


@pytest.mark.parametrize("kind", ["run", "predictions", "odd"])
def test_the_verdict_comes_first_and_every_number_is_there(kind):
    report = REPORTS[kind]()
    read, alpha = Reader(page(kind)), document.alpha_of(report)
    assert read.of("h1", "p")[1] == verdict_sentence(alpha)
    assert rows(read, 0)[: len(report["classes"])] == [document.class_cells(row) for row in document.worst_first(report)]
    assert set(document.summary(report)) | set(describe_alpha(alpha)[:-1]) <= set(read.of("bdi"))
    assert f"{report['before']['accuracy']:.4f} → {report['after']['accuracy']:.4f}" in read.of("dd")
    assert set(document.TERMS) <= set(read.of("dt"))
    assert not re.search(r"\b(nan|None|inf)\b", page(kind))


def test_a_run_says_what_was_pruned_and_how_it_was_made():
    read = Reader(page("run"))
    assert read.of("h1") == [f"{document.TITLE}: lenet5 on digits"]
    assert rows(read, 1)[: len(LAYERS)] == [document.layer_cells(row) for row in LAYERS]
    made_of = dict(zip(read.of("dt"), read.of("dd")))
    expected = {"model": "lenet5", "data set": "digits", "weights ranked by": "undecayed", "ratio asked for": "2"}
    assert expected.items() <= made_of.items()
    assert (made_of["scope"], made_of["seed"], made_of["parameters left"]) == ("global", "3", "5 of 10")
    assert [link["href"] for link in read.elements("a")] == [f"#section-{number}" for number in range(1, 6)]


def test_predictions_alone_say_nothing_of_parameters():
    report = made(before_source="a.csv", after_source="b.npz", dataset=None, seed=0)
    read = Reader(to_html(report))
    assert read.of("h1") == [document.TITLE]
    assert {"before": "a.csv", "after": "b.npz", "seed": "0"}.items() <= dict(zip(read.of("dt"), read.of("dd"))).items()
    assert not {"parameters left", "data set", "model", "ratio asked for"} & set(read.of("dt"))
    assert document.PRUNED not in read.of("h2")
    assert len(Reader(page("predictions")).of("h2")) == 3  # nothing to say of where it comes from either


def test_the_losses_are_summed_up():
    labels = np.repeat(np.arange(4), 10)
    worse = np.where((labels == 2) & (np.arange(40) % 2 == 0), 0, labels)
    named = {"class_names": ["a", "b", "c" * 90, "d"], "resamples": 200}
    read = Reader(to_html(document.report(distortion(labels, labels, worse, **named))))
    assert read.of("p")[1] == f"1 of 4 classes lost recall, {'c' * 59}… most: 1.000 → 0.500."
    read = Reader(to_html(document.report(distortion(labels, worse, labels, **named))))
    assert read.of("p")[1] == "No class lost recall."


def test_pictures_are_told_in_numbers():
    report = made(8, names=[*"abcdefg", "$h$"])
    worst = document.worst_first(report)
    recall, balance = [svg["aria-label"] for svg in Reader(to_html(report)).elements("svg")]
    for row in worst[:5]:
        assert f"{row['class']} {row['recall_before']:.3f} → {row['recall_after']:.3f}" in recall
    assert recall.endswith("and 3 more in the table.")
    alpha = report["alpha"]
    assert f"{alpha['corrected']:.2f} (uncorrected α = {alpha['value']:.2f})" in balance
    assert f"from {min(row['normalized_before'] for row in worst):+.3f}" in balance
    same = odd(before=ODD["y_true"], after=ODD["y_true"])
    assert figures.balance_in_words(same).endswith(
        "3 classes, from +0.000 … +0.000 before to +0.000 … +0.000 after; no slope."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"after": np.array([1] * 8 + [2] * 8 + [0] * 8)},  # accuracy 0 after
        {"before": np.array([1] * 8 + [2] * 8 + [0] * 8)},  # accuracy 0 before
        {"before": ODD["y_true"], "after": ODD["y_true"]},  # nothing wrong
    ],
)
def test_what_has_no_value_leaves_a_page_too(changes, page_in_browser):
    report = odd(**changes)
    shown = page_in_browser(to_html(report), 360)
    assert column(shown, 0)[-1] == "absent"
    assert cut_off(shown) == []
    shown.locator("thead button").last.click()
    assert column(shown, 0)[-1] == "absent"


def test_the_same_report_gives_the_same_page_whatever_its_order():
    for kind in ("run", "hostile"):
        report = REPORTS[kind]()
        assert to_html(json.loads(document.to_json(shuffled(report)))) == page(kind)


def test_letters_that_only_the_browser_has_warn_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_html(made(names=["魚", "🎉", "e\x1b[31m", "d", "a\u0e01"]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_cut_off_and_all_letters_can_be_read(page_in_browser, width, scheme):
    for kind in REPORTS:
        shown = page_in_browser(page(kind), width, scheme)
        assert cut_off(shown) == []
        assert faint(shown) == []


def test_hostile_names_are_shown_and_do_nothing(page_in_browser):
    shown = page_in_browser(page("hostile"))
    assert sorted(column(shown, 0)) == sorted(one_line(name) for name in NAMES)
    assert column(shown, 0, table=1) == [one_line(name) for name in NAMES]
    assert shown.evaluate("[document.scripts.length, document.images.length]") == [1, 0]
    names = shown.locator("svg text").all_text_contents()
    assert {"$x$ $\\alpha$", "שלום עולם"} <= set(names)
    assert any(name.startswith("<script>alert(1)</") for name in names)


def test_columns_sort_by_their_numbers(page_in_browser):
    report = made(30, 40)
    shown = page_in_browser(to_html(report))
    button = shown.locator("thead button").nth(document.CLASS_HEADER.index("change"))
    worst = [row["class"] for row in document.worst_first(report)]
    button.click()
    assert column(shown, 0) == worst
    button.click()
    gained = [float(text) for text in column(shown, 4)]
    assert gained == sorted(gained, reverse=True)
    shown.locator("thead button").first.click()
    assert column(shown, 0) == [str(index) for index in range(30)]


def test_a_thousand_classes_stay_quick(page_in_browser):
    shown = page_in_browser(to_html(made(1000, 5, [f"n{index:08d} of many" for index in range(1000)])), 360)
    assert cut_off(shown) == []
    took = shown.evaluate("""() => {
        const start = performance.now();
        for (const button of document.querySelectorAll("thead button")) button.click();
        return performance.now() - start;
    }""")
    assert took < 4000
    assert shown.locator("tbody tr").count() == 1000


def test_paper_holds_it_all(page_in_browser):
    for kind in REPORTS:
        shown = page_in_browser(page(kind), 688)  # A4 less its margins, in CSS pixels
        shown.emulate_media(media="print")
        assert cut_off(shown) == []
        heights = shown.locator("svg").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
        assert max(heights) < 200 / 25.4 * 96 + 1
