"""Where a command's output goes wrong in a real process: closed, full, ASCII alone; and names that hold escapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tfrecall.cli import main

SCRIPT = Path(sys.executable).with_name("tfrecall")
EVIL = "\x1b[31mred\x1b]0;pwned\x07\u202e"


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", y_true=[0, 0, 1, 1], y_pred=[0, 0, 1, 0], class_names=["café", "dög"])


def in_shell(line, **environment):
    line = line.replace("tfrecall", f"'{SCRIPT}'")
    return subprocess.run(["bash", "-c", line], capture_output=True, timeout=120, env={**os.environ, **environment})


@pytest.mark.parametrize(
    "command", ["models", "algorithms", "report a.npz a.npz", "study init", "report a.npz a.npz --format json"]
)
@pytest.mark.parametrize("stream", [">&-", ">/dev/full"])
def test_a_result_that_cannot_be_printed_fails_in_one_line(command, stream):
    done = in_shell(f"tfrecall {command} {stream}")
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: ")
    assert b"standard output" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_help_on_a_full_disk():
    done = in_shell("tfrecall --help >/dev/full")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)


def test_errors_that_cannot_be_printed_keep_their_exit_code():
    for stream in ("2>&-", "2>/dev/full"):
        assert in_shell(f"tfrecall report none.npz none.npz {stream}").returncode == 2
        assert in_shell(f"tfrecall report a.npz a.npz {stream}").returncode == 0


def test_a_reader_that_has_seen_enough():
    done = in_shell("tfrecall report a.npz a.npz | head -n 1")
    assert done.stderr == b""


def test_a_terminal_without_letters_beyond_ascii():
    for form in ("table", "markdown", "json"):
        done = in_shell(f"tfrecall report a.npz a.npz --format {form}", PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, b"")
        done.stdout.decode("ascii")
    assert [row["class"] for row in json.loads(done.stdout)["classes"]] == ["café", "dög"]
    done = in_shell("tfrecall report café.npz a.npz", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_a_file_name_in_another_encoding():
    name = os.fsdecode(b"caf\xe9.npz")
    os.rename("a.npz", name)
    for form in ("table", "json", "markdown"):
        done = subprocess.run([SCRIPT, "report", name, name, "--format", form], capture_output=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run([SCRIPT, "report", name, "none.npz"], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "tfrecall", "report", "a.npz", "none.npz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: no file of predictions at none.npz.\n"


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_class_names_cannot_act_on_a_terminal(form):
    np.savez("evil.npz", y_true=[0, 0, 1, 1], y_pred=[0, 0, 1, 0], class_names=[EVIL, "b"])
    Path("evil.csv").write_text(f"y_true,y_pred\n{EVIL},b\nb,b\n", encoding="utf-8")
    for path in ("evil.npz", "evil.csv"):
        result = CliRunner().invoke(main, ["report", path, path, "--format", form])
        assert result.exit_code == 0, result.output
        assert not set(result.stdout) & set("\x1b\x07\u202e")
    if form == "json":
        assert EVIL in [row["class"] for row in json.loads(result.stdout)["classes"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", f"{EVIL}.csv", "b.csv"],
        ["report", "evil.csv", "evil.csv"],
        [EVIL],
        ["prune", f"--{EVIL}"],
        ["prune", "--ratio", EVIL],
        ["prune", "--algo", EVIL],
        ["study", "status", EVIL],
        ["study", "init", EVIL],
        ["report", "a\nb\rc.csv", "b.csv"],
    ],
)
def test_nor_can_what_an_error_quotes(arguments):
    Path("evil.csv").write_text(f"{EVIL},y_pred\n1,1\n", encoding="utf-8")
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    assert not set(result.stderr) & set("\x1b\x07\u202e\r")
    assert len(result.stderr.splitlines()) == 1


def test_a_library_says_more_than_its_first_line(monkeypatch):
    from tfrecall import comparison

    def fails(*args, **kwargs):
        raise ValueError(
            "Exception encountered when calling Sequential.call().\n\n\x1b[1mInput 0 is of rank 3\x1b[0m\n" + "x " * 500
        )

    monkeypatch.setattr(comparison, "compare", fails)
    result = CliRunner().invoke(main, ["report", "a.npz", "a.npz"])
    assert result.exit_code == 1
    assert "calling Sequential.call(). Input 0 is of rank 3 x" in result.stderr
    assert result.stderr.endswith("x … (--verbose shows all)\n")
    assert len(result.stderr) <= 310
