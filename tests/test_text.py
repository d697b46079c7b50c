"""Text from anywhere on one line: nothing that a terminal acts on or a reader cannot see comes through."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrecall.report import document, terminal
from tfrecall.report.distortion import distortion
from tfrecall.text import beginning, brief, one_line, spreadsheet_cell, without_styles

ANY = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates included
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u2066 a\rb\nc\x9b2J \udce9 [red]x[/red]"


def unsafe(text):
    """Characters that move, hide or reorder others; worked out apart from the code."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\u200c\u200d"]


@given(ANY)
def test_one_line_is_safe_stays_as_it_is_and_keeps_every_safe_letter(text):
    line = one_line(text)
    assert unsafe(line) == []
    assert one_line(line) == line
    kept = [c for c in text if not unsafe(c) and not c.isspace()]
    assert [c for c in line if c not in " \ufffd"] == [c for c in kept if c != "\ufffd"]


@given(ANY, st.integers(20, 60))
def test_limited_lines_keep_their_limit(text, letters):
    assert len(brief(text, letters, 10)) <= letters + 2
    assert len(beginning(text, letters)) <= letters
    if len(one_line(text)) <= 10:
        assert brief(text, letters, 10) == beginning(text, letters) == one_line(text)


def test_what_is_left_out_is_in_the_middle():
    line = brief(f"no file at {'d/' * 500}end.csv: look for another.")
    assert line.startswith("no file at d/d/")
    assert line.endswith("d/end.csv: look for another.")
    assert "…" in line
    assert beginning("one two three", 9) == "one …"


def test_colours_of_a_library_go_without_a_trace():
    assert without_styles("\x1b[1mInput 0\x1b[0m of \x1b]8;;http://x\x1b\\layer\x1b]8;;\x07") == "Input 0 of layer"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("@x", "'@x"),
        ("\t=1+1", "'\t=1+1"),
        ("-1", "-1"),
        ("+2.5e3", "+2.5e3"),
        ("a-b=c", "a-b=c"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31m", "\ufffd[31m"),
    ],
)
def test_a_spreadsheet_runs_no_name(name, expected):
    assert spreadsheet_cell(name) == expected


def report_with(name):
    return document.report(distortion([0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 0], class_names=[name, "b"], resamples=100))


def rendered(what):
    import io

    file = io.StringIO()
    terminal.show(what, file)
    return file.getvalue()


def test_no_form_of_a_report_lets_a_name_act():
    report = report_with(HOSTILE)
    layer = {"path": HOSTILE, "weights": 4, "kept": 2, "sparsity": 0.5}
    evaluation = {"model": HOSTILE, "dataset": HOSTILE, "accuracy": 0.5, "classes": []}
    texts = [
        document.to_markdown({**report, "layers": [layer]}),
        document.evaluation_to_markdown(evaluation),
        rendered(terminal.render({**report, "layers": [layer]})),
        rendered(terminal.table("t", ("a", "b"), [(HOSTILE, HOSTILE)], words=2)),
        document.to_json(report),
        str(distortion([0, 1], [0, 1], [0, 1], class_names=[HOSTILE, "b"], resamples=100)),
    ]
    for text in texts:
        assert unsafe(text.replace("\n", "")) == []
    assert "[red]x" in texts[3]  # shown, not obeyed


@given(ANY)
def test_json_gives_the_exact_names_back(name):
    for ascii_only in (False, True):
        text = document.to_json({"class": name}, ascii_only=ascii_only)
        assert json.loads(text) == {"class": name}
        assert unsafe(text.replace("\n", "")) == []
        text.encode("ascii" if ascii_only else "utf-8")


@pytest.mark.parametrize("text", ["~~gone~~", "&copy;", "&#60;b&#62;", "![i](http://x)", "a\n# heading", "<script>"])
def test_markdown_shows_a_text_as_it_is(text):
    shown = document.markdown_text(text)
    assert "\n" not in shown
    assert "~~" not in shown
    assert "&copy;" not in shown
    assert "&#60;" not in shown
    assert "](" not in shown
    assert "<" not in shown
