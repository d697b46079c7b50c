"""Hundreds of command lines, each with its exit code: 2 for bad input, 0 for good; never a traceback, never a file left.

A line is written as for a shell. What it names is in `shelf`, where the lines run.
"""

from __future__ import annotations

import json
import os
import shlex
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from tfrecall.cli import COMMANDS, main

LONG = "n" * 300
TRAINERS = ("prune", "train")

# Files of the wrong kind, by name; each is tried wherever a command takes a file of that ending.
WRONG_KINDS = ("pipe", "folder", "null", "empty", "junk", "text", "missing", LONG)


def wrong(ending):
    return [f"{kind}{ending}" for kind in WRONG_KINDS]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A folder with good files, and with files of every wrong kind."""
    folder = tmp_path_factory.mktemp("table")
    y_true = np.repeat([0, 1, 2], 20)
    y_pred = np.where(np.arange(60) % 7, y_true, 0)
    np.savez(folder / "good.npz", y_true=y_true, y_pred=y_pred)
    np.savez(folder / "other.npz", y_true=y_true[::-1], y_pred=y_pred)
    np.savez(folder / "short.npz", y_true=y_true[:30], y_pred=y_pred[:30])
    np.savez(folder / "uneven.npz", y_true=y_true, y_pred=y_pred[:30])
    np.savez(folder / "nan.npz", y_true=y_true, y_pred=np.where(y_pred, y_pred, np.nan))
    np.savez(folder / "objects.npz", y_true=np.array([None, 1], object), y_pred=[0, 1])
    np.savez(folder / "scores.npz", y_true=y_true, y_pred=y_pred + 0.25)
    np.savez(folder / "half.npz", y_true=y_true)
    np.savez(folder / "four.npz", y_true=y_true, probabilities=np.eye(4)[y_pred])
    np.savez(folder / "images.npz", x_train=np.zeros((4, 8, 8)), y_train=[0, 1, 0, 1])
    with zipfile.ZipFile(folder / "zip.npz", "w") as archive:
        archive.writestr("y_true.npy", b"\x93NUMPY\x09\x09 what is this")
    rows = [f"{t},{p}" for t, p in zip(y_true, y_pred)]
    text = "\n".join(["y_true,y_pred", *rows])
    for name, content in {
        "good": text,
        "words": text.replace(",2", ",unknown"),
        "semicolons": text.replace(",", ";"),
        "header": text.replace("y_true", "label"),
        "gap": text.replace("1,1", "1,"),
        "missing_label": text.replace("1,1", "nan,1"),
        "wide": text.replace("1,1", "1,1,1"),
        "scores": text.replace(",1", ",0.1"),
        "none": "y_true,y_pred\n",
        "quote": text.replace("1,1", '"1,1', 1),
    }.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    (folder / "latin.csv").write_bytes("y_true,y_pred\né,é\n".encode("latin-1"))
    (folder / "utf16.csv").write_bytes(text.encode("utf-16"))
    for ending in (".npz", ".csv", ".keras", ".h5", ".toml"):
        os.mkfifo(folder / f"pipe{ending}")
        (folder / f"folder{ending}").mkdir()
        (folder / f"null{ending}").symlink_to("/dev/null")
        (folder / f"empty{ending}").write_bytes(b"")
        (folder / f"junk{ending}").write_bytes(bytes(range(256)) * 4)
        (folder / f"text{ending}").write_text("this is something else\n")
    (folder / "loop.npz").symlink_to("loop.npz")
    (folder / "plain").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine")
    (folder / "run").mkdir()
    np.savez(folder / "run" / "predictions.npz", y_true=y_true, before=np.eye(3)[y_true], after=np.eye(3)[y_pred])
    (folder / "run" / "config.json").write_text(json.dumps({"class_names": list("abc"), "settings": {"dataset": "d"}}))
    for key, line in {
        "unknown": 'sizes = ["lenet5"]',
        "kind": 'models = "lenet5"',
        "value": "seeds = [-1]",
        "model": 'models = ["lenet6"]',
        "nan": "ratios = [nan]",
        "broken": "models = [",
    }.items():
        (folder / f"{key}.toml").write_text(line + "\n")
    return folder


def lines(code, *commands):
    return [(command, code) for command in commands]


def options_with(command, **values):
    """Lines of a command, each with one bad value of one option."""
    return [
        (f"{command} --{option.replace('_', '-')}={shlex.quote(value)}", 2)
        for option, bad in values.items()
        for value in bad
    ]


NUMBERS = ("x", "nan", "-1", "1e400", "", "0x10", "1,5", "½", "--", "9" * 5000)
NAMES = ("", "nope", "../nope", "\x1b[31m", "💥", "a b", "'", "nul\0l", LONG)

GENERAL = [
    *lines(0, "--help", "-h", "--version", *(f"{name} --help" for name in COMMANDS)),
    *lines(0, *(f"study {name} -h" for name in ("init", "run", "status", "report"))),
    *lines(0, "models", "algorithms", "datasets"),
    *lines(
        2, "''", "Prune", "prnue", "--verbose", "--frob", "-x", "💥", "'\x1b]0;t\x07'", "-- prune x", LONG, "help", "report2"
    ),
    *lines(2, "models x", "models --all", "algorithms --format json", "datasets --format=json", "models -q", "datasets ''"),
]

REPORT = [
    *lines(
        0,
        "report good.npz good.npz",
        "report good.csv good.npz",
        "report good.csv words.csv",
        "report run",
        "report run run",
    ),
    *lines(
        0, "report run/predictions.npz", "report run run/predictions.npz --format json", "report semicolons.csv good.csv"
    ),
    *lines(0, "report good.npz good.npz --seed 99999999999999999999", "report good.npz good.npz --level 1e-3"),
    *lines(0, "report good.npz good.npz --resamples 100 --format markdown", "report ./good.npz -- good.npz"),
    *lines(
        2, "report", "report good.npz", "report good.csv", "report plain", "report good.npz good.npz good.npz", "report ''"
    ),
    *lines(
        2,
        "report good.npz ''",
        "report good.npz '~nobody_here/x.npz'",
        "report good.npz other.npz",
        "report good.npz short.npz",
    ),
    *lines(
        2,
        "report good.npz uneven.npz",
        "report nan.npz good.npz",
        "report objects.npz good.npz",
        "report good.npz scores.npz",
    ),
    *lines(
        2, "report half.npz good.npz", "report good.npz images.npz", "report good.npz zip.npz", "report loop.npz good.npz"
    ),
    *lines(
        2, *(f"report {name}.csv good.csv" for name in ("header", "gap", "missing_label", "wide", "scores", "none", "quote"))
    ),
    *lines(
        2,
        "report latin.csv good.csv",
        "report good.csv utf16.csv",
        "report run good.npz other.npz",
        "report four.npz words.csv",
    ),
    *lines(2, "report good.npz good.npz --dataset digits", "report good.npz plain", "report run plain", "report plain run"),
    *lines(
        2, "report good.npz lenet5", "report lenet5 lenet5", "report digits good.npz", "report good.npz good.npz --unsafe=1"
    ),
    *lines(2, *(f"report {name} good.npz" for name in wrong(".npz"))),
    *lines(2, *(f"report good.npz {name}" for name in wrong(".csv"))),
    *lines(2, *(f"report good.npz {name} --dataset digits" for name in wrong(".keras"))),
    *options_with("report good.npz good.npz", level=(*NUMBERS, "0", "1", "95", "-inf", "inf")),
    *options_with("report good.npz good.npz", resamples=(*NUMBERS, "0", "99", "10**9", "1000001", "1" * 30, "100.0")),
    *options_with(
        "report good.npz good.npz", seed=("x", "nan", "-1", "", "1.5", "9" * 5000), format=("", "xml", "JSON ", "💥")
    ),
    *options_with("report good.npz good.keras", dataset=("", "nul\0l", "~nobody_here/x")),
]

EVALUATE = [
    *lines(2, "evaluate", "evaluate ''", "evaluate lenet5", "evaluate '~nobody_here/m.keras'", "evaluate a.keras b.keras"),
    *lines(2, "evaluate 'nul\0l.keras'", "evaluate missing/m.keras", "evaluate 💥.keras", "evaluate -1", "evaluate plain"),
    *lines(2, *(f"evaluate {name}" for name in (*wrong(".keras"), *wrong(".h5")))),
    *options_with("evaluate missing.keras", dataset=("",), format=("xml",), verbose=("1",), unsafe=("x",)),
]

EXPORT = [
    *lines(
        2, "export", "export ''", "export lenet5", "export '~nobody_here/m.keras'", "export a.keras b.keras", "export plain"
    ),
    *lines(2, *(f"export {name} --output out" for name in (*wrong(".keras"), *wrong(".h5")))),
    *options_with("export missing.keras", output=("", "nul\0l", "~nobody_here/x"), format=("", "onnx", "💥"), dataset=("",)),
]

TRAINING = [
    *lines(
        2,
        "prune x",
        "train x",
        "prune --output full",
        "prune --output full/mine.txt",
        "train --output m.h5",
        "train --output m",
    ),
    *lines(
        2,
        "prune --ratio 0.9999999",
        "prune --output /proc/x",
        "train --output /proc/x.keras",
        "prune --fine-tune-epochs 1 --epochs",
    ),
    *lines(
        2,
        "prune --optimizer adam --momentum 0.5",
        "train --optimizer adamw --momentum .9",
        "train --ratio 2",
        "train --algo mp",
    ),
    *lines(
        2, "prune --output full/mine.txt/x", "train --output full/mine.txt/x.keras", "prune --quiet=no", "train --unsafe"
    ),
    *lines(
        2,
        f"prune --output {LONG}",
        f"prune --output a/{LONG}/b",
        f"train --output {LONG}.keras",
        "prune --output loop.npz/x",
    ),
    *lines(2, *(f"prune --model {name}" for name in (*wrong(".keras"), *wrong(".h5")))),
    *lines(2, *(f"prune --dataset {name}" for name in wrong(".npz"))),
    *lines(2, *(f"train --model {name}" for name in ("good.npz", "plain", "lenet", "empty.keras"))),
    *options_with(
        "prune", ratio=(*NUMBERS, "0", "1", "-0.5", "inf", "half", "0.5x"), algo=NAMES, scope=NAMES, strategy=NAMES
    ),
    *options_with("prune", seed=("x", "-1", "", "1.5", "99999999999999999999"), model=NAMES, format=("", "xml")),
    *[line for name in TRAINERS for line in options_with(name, output=("", " ", "nul\0l", "~nobody_here/x"))],
    *[
        line
        for name in TRAINERS
        for line in options_with(name, dataset=("", "nope", "~nobody_here/x", "nul\0l", "good.npz"))
    ],
    *[
        line
        for name in TRAINERS
        for line in options_with(name, recipe=("", "nope"), optimizer=NAMES[:4], epochs=(*NUMBERS, "0"))
    ],
    *[
        line
        for name in TRAINERS
        for line in options_with(name, learning_rate=(*NUMBERS, "0"), batch_size=(*NUMBERS, "0", "1.5"))
    ],
    *[line for name in TRAINERS for line in options_with(name, momentum=("x", "nan", "1", "-1"), initializer=("nope", ""))],
    *[line for name in TRAINERS for line in options_with(name, validation_fraction=("x", "nan", "0", "1", "-1", "1e400"))],
    *[line for name in TRAINERS for line in options_with(name, weight_decay=("x", "nan", "-1", "1e400"))],
    *options_with(
        "prune", fine_tune_epochs=("x", "-1", "nan"), fine_tune_learning_rate=("x", "0", "nan"), score_examples=("0", "x")
    ),
]

STUDY = [
    *lines(0, "study init", "study init quick", "study init algorithms", "study init lenet5"),
    *lines(2, "study frob", "study init nope", "study init ''", "study init quick quick", "study run", "study run quick"),
    *lines(
        2, "study status", "study report", "study status plain", "study report plain", "study status ''", "study report ''"
    ),
    *lines(
        2, "study status missing", "study status full/mine.txt", "study status good.npz", "study report '~nobody_here/s'"
    ),
    *lines(2, f"study status {LONG}", f"study report {LONG}", "study status 'nul\0l'", "study run good.npz --output s"),
    *lines(2, *(f"study run {name} --output s" for name in wrong(".toml"))),
    *lines(2, *(f"study run {name}.toml --output s" for name in ("unknown", "kind", "value", "model", "nan", "broken"))),
    *lines(2, f"study run value.toml --output {LONG}", f"study report plain --output {LONG}"),
    *options_with("study run missing.toml", output=("", "nul\0l", "~nobody_here/x")),
    *options_with("study run missing.toml --output s", jobs=("x", "0", "-1", "1.5", "")),
    *options_with("study status plain", plan=("", "missing.toml", "nul\0l")),
]

TABLE = [*GENERAL, *REPORT, *EVALUATE, *EXPORT, *TRAINING, *STUDY]


def contents(folder):
    return {str(path): path.is_dir() or path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_the_table_is_long():
    assert len({line for line, _ in TABLE}) >= 300


@pytest.mark.parametrize(("line", "code"), TABLE, ids=lambda value: ascii(value)[:60])
def test_a_command_line(line, code, shelf, monkeypatch):
    monkeypatch.chdir(shelf)
    before = contents(shelf)
    result = CliRunner().invoke(main, shlex.split(line), catch_exceptions=True)
    assert result.exit_code == code, (result.exception, result.output[:500])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert not set(result.output) & set("\x1b\x07\0\r")
    assert contents(shelf) == before
    if code:
        told = result.stderr.splitlines()
        assert result.stdout == ""
        assert 1 <= len(told) <= 2
        assert told[-1].startswith("Error: ")
        assert max(map(len, told)) <= 320
