"""The report as JSON, Markdown, tables and pictures: complete, without NaN, and within its width."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from tfrecall.report import document, figures, terminal
from tfrecall.report.distortion import distortion
from tfrecall.report.performance import performance

LONG = "the quick brown fox jumps over the lazy dog, again and again"


def no_constant(name):
    raise AssertionError(f"JSON holds {name}")


def strict(text):
    return json.loads(text, parse_constant=no_constant)


def predictions(rng, labels, classes, error):
    """Predicted classes, each wrong with a class's own probability."""
    wrong = rng.random(labels.size) < np.broadcast_to(error, classes)[labels]
    return np.where(wrong, (labels + rng.integers(1, classes, labels.size)) % classes, labels)


def made(classes=5, images=200, names=None, **context):
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(classes), images)
    before = predictions(rng, labels, classes, np.linspace(0.02, 0.4, classes))
    after = predictions(rng, labels, classes, np.linspace(0.02, 0.7, classes))
    return document.report(distortion(labels, before, after, class_names=names, one_shot=before, resamples=200), **context)


LAYERS = [
    {"path": "stage1_block1_conv1/kernel", "weights": 2_359_296, "kept": 1, "sparsity": 1 - 1 / 2_359_296},
    {"path": f"{'nested/' * 12}dense/kernel", "weights": 480, "kept": 0, "sparsity": 1.0},
    {"path": "classifier/kernel", "weights": 138_357_544, "kept": 138_357_544, "sparsity": 0.0},
]
PRUNED = {
    "ratio": {"requested": 2, "compression": 2.0, "sparsity": 0.5},
    "parameters": {"total": 10, "prunable": 8, "remaining": 5},
    "layers": LAYERS,
}


def rendered(what, width=80):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(what)
    return console.file.getvalue().splitlines()


def cells(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


# a class without test images, one never right, one perfect: with predictions that leave out class 3 altogether
ODD = {
    "y_true": np.array([0] * 8 + [1] * 8 + [2] * 8),
    "before": np.array([0] * 8 + [2] * 8 + [2] * 4 + [1] * 4),
    "after": np.array([0] * 8 + [2] * 8 + [2] * 8),
}


def odd(**changes):
    arrays = {**ODD, **changes}
    names = ["perfect", "never", "half", "absent"]
    return document.report(distortion(**arrays, class_names=names, resamples=200))


def test_what_does_not_exist_is_none_and_says_why():
    rows = {row["class"]: row for row in strict(document.to_json(odd()))["classes"]}
    absent = rows["absent"]
    assert absent["support"] == 0
    assert absent["note"] == "no test images"
    assert absent["recall_before"] is absent["balance_after"] is absent["intensification"] is None
    assert rows["never"]["recall_before"] == 0
    assert rows["half"]["note"] == "balance before is 0"  # recall 1/2, and so is the accuracy
    assert rows["half"]["intensification"] is None
    assert rows["half"]["recall_after"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"after": np.array([1] * 8 + [2] * 8 + [0] * 8)},  # accuracy 0 after
        {"before": np.array([1] * 8 + [2] * 8 + [0] * 8)},  # accuracy 0 before
        {"before": ODD["y_true"], "after": ODD["y_true"]},  # nothing wrong
    ],
)
def test_no_form_of_a_report_holds_nan(changes, tmp_path):
    report = odd(**changes)
    strict(document.to_json(report))
    for text in (document.to_markdown(report), "\n".join(rendered(terminal.render(report)))):
        words = text.lower().replace("|", " ").split()
        assert not {"nan", "inf", "-inf", "none", "+nan"} & set(words)
        assert "no test images" in text
    figures.write(report, tmp_path)


def test_json_is_the_report():
    report = made(names=["ä", "b", "c|d", "e\\f", '"g"'], **PRUNED, model="m")
    assert strict(document.to_json(report)) == report
    assert document.to_json(report) == document.to_json(made(names=["ä", "b", "c|d", "e\\f", '"g"'], **PRUNED, model="m"))
    assert "ä" in document.to_json(report)


def test_a_report_on_predictions_alone_has_the_keys_of_a_run():
    bare, full = made(), made(**PRUNED)
    assert list(bare) == list(full)
    for part in ("ratio", "parameters", "before", "after", "one_shot", "alpha"):
        assert list(bare[part]) == list(full[part])
    assert set(bare["ratio"].values()) == {None}


def test_classes_come_worst_hit_first():
    names = ["gained", "lost most", "absent", "lost some"]
    y_true = np.repeat([0, 1, 3], 10)
    before = np.r_[[0] * 5, [1] * 5, [1] * 10, [3] * 10]
    after = np.r_[[0] * 9, [1] * 1, [1] * 2, [0] * 8, [3] * 7, [0] * 3]
    report = document.report(distortion(y_true, before, after, class_names=names, resamples=200))
    order = ["lost most", "lost some", "gained", "absent"]
    assert [row["class"] for row in document.worst_first(report)] == order
    lines = [line for line in document.to_markdown(report).splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:6]] == order
    table = "\n".join(rendered(terminal.render(report)))
    assert sorted(order, key=table.index) == order


def markdown_cells(line):
    """Split a row as a Markdown renderer does: at pipes that are not escaped."""
    parts, escaped = [""], False
    for character in line.strip().removeprefix("|").removesuffix("|"):
        if escaped:
            parts[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "|":
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def test_markdown_escapes_what_would_break_a_table():
    names = ["a|b", "c\\|d", "<img src=x>", "line\nbreak", "plain"]
    text = document.to_markdown(made(names=names, **PRUNED))
    table = [line for line in text.split("## What was pruned")[0].splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(names)
    assert {len(markdown_cells(line)) for line in table} == {len(document.CLASS_HEADER)}
    found = {markdown_cells(line)[0] for line in table[2:]}
    assert {"a|b", "c\\|d", "plain", "line break"} <= found
    assert "<img" not in text


def test_markdown_of_an_evaluation_escapes_too():
    measured = performance([0, 1, 1], [0, 0, 0], ["a|b", "c"])
    text = document.evaluation_to_markdown(document.evaluation(measured, model="m.keras", dataset="d"))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(markdown_cells(line)) for line in table} == {len(document.EVALUATION_HEADER)}
    assert [markdown_cells(line)[0] for line in table[2:]] == ["c", "a|b"]  # the lowest recall first
    assert "never predicted" in text


NAMES = {
    "plain": None,
    "long": [f"{LONG} {index}" for index in range(5)],
    "wide": [f"魚と鳥と獣と虫と花と木と石と水と火と風と空と海{index}" for index in range(5)],
    "markup": ["[bold]a", "[/]b", "[red]c[/red]", ":smile:", "e\\"],
    "lines": ["a\nb", "c\td", "e", "f", "g"],
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_report_fits_80_columns_with_its_numbers_whole(kind):
    report = made(names=NAMES[kind], **PRUNED)
    lines = rendered(terminal.render(report))
    assert max(map(cell_len, lines)) <= 80
    rows = [cells(line) for line in lines]
    for row in report["classes"]:
        numbers = list(document.class_cells(row)[1:])
        assert any(found[1:] == numbers for found in rows), numbers
    for row in LAYERS:
        numbers = list(document.layer_cells(row)[1:])
        assert any(found[1:] == numbers for found in rows), numbers


def test_names_are_printed_as_they_are():
    text = "\n".join(rendered(terminal.render(made(names=NAMES["markup"]))))
    for name in NAMES["markup"]:
        assert name in text


def test_a_class_without_images_beside_long_names_fits_too():
    labels = np.repeat(np.arange(4), 25)
    names = [f"{LONG} {index}" for index in range(5)]
    report = document.report(distortion(labels, labels, (labels + 1) % 4, class_names=names, resamples=200))
    lines = rendered(terminal.render(report))
    assert max(map(cell_len, lines)) <= 80
    assert any("no test images" in line for line in lines)
    found = [cells(line)[1:] for line in lines]
    for row in report["classes"][:4]:
        assert list(document.class_cells(row)[1:]) in found


def test_a_thousand_classes_show_the_worst():
    names = [f"n{index:08d} {LONG}" for index in range(1000)]
    report = made(1000, 5, names)
    lines = rendered(terminal.render(report))
    assert len(lines) < 40
    assert max(map(cell_len, lines)) <= 80
    assert any("20 of 1000" in line for line in lines)
    for row in document.worst_first(report)[:20]:
        assert any(line.strip().startswith(row["class"][:9]) for line in lines)
    assert document.to_markdown(report).count("\n| n0") == 1000


def test_an_evaluation_fits_80_columns():
    labels = np.repeat(np.arange(30), 4)
    measured = performance(labels, np.where(labels == 3, 4, labels), [f"{index} {LONG}" for index in range(31)])
    evaluation = document.evaluation(measured, model="m.keras", dataset="d")
    strict(document.to_json(evaluation))
    lines = rendered(terminal.render_evaluation(evaluation))
    assert max(map(cell_len, lines)) <= 80
    assert any("20 of 31" in line for line in lines)
    assert any(line.strip().startswith("3 the") and "never predicted" in line and "0.000" in line for line in lines)
    assert "nan" not in "\n".join(lines).lower()


@pytest.mark.parametrize("kind", ["plain", "long", "lines"])
def test_figures_are_pictures(kind, tmp_path):
    from matplotlib.image import imread

    names = NAMES[kind] and [f"{name} $_{{x" for name in NAMES[kind]]
    written = figures.write(made(names=names), tmp_path / "new" / "figures")
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "new" / "figures").iterdir())
    assert len(written) == 2
    for path in written:
        pixels = imread(path)
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10


def test_the_same_report_gives_the_same_picture(tmp_path):
    one, other = (figures.write(made(), tmp_path / name) for name in ("one", "other"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_figures_of_a_thousand_classes_stay_small(tmp_path):
    from matplotlib.image import imread

    for path in figures.write(made(1000, 5), tmp_path):
        assert max(imread(path).shape) < 4000
