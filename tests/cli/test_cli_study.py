"""``tfrecall study``: plans, runs and their exit codes, how far a study has got, and its report."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from study.synthetic import PLAN, study
from tfrecall.cli import main

from tfrecall.study import PRESETS, Store, parse, preset, read
from tfrecall.study.plan import to_dict

TINY = """
datasets = ["digits"]
models = ["lenet5"]
algorithms = ["magnitude"]
ratios = [10]
seeds = 1
[recipe]
epochs = 1
fine_tune_epochs = 1
"""
COMMAND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from tfrecall.cli import main; main()"
TENSORFLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "tensorflow_datasets"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def invoke(*arguments):
    return CliRunner().invoke(main, ["study", *map(str, arguments)])


def succeed(*arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def contents(folder="."):
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path(folder).rglob("*")}


def test_study_alone_is_its_help():
    result = invoke()
    assert "Measure what pruning does to recall over many seeds." in result.output
    assert isinstance(result.exception, SystemExit)


def refused(*arguments):
    """Run a command that must fail in one line with exit code 2 and write nothing; returns the line."""
    before = contents()
    result = invoke(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert contents() == before
    return line


class TestInit:
    @pytest.mark.parametrize("name", PRESETS)
    def test_a_preset_is_printed_and_can_be_read(self, name):
        result = succeed("init", name)
        assert result.stderr == ""
        assert result.stdout == preset(name)
        Path("plan.toml").write_text(result.stdout, encoding="utf-8")
        assert read("plan.toml") == parse(preset(name))

    def test_the_default_is_quick(self):
        assert succeed("init").stdout == preset("quick")

    def test_an_unknown_preset_is_refused(self):
        assert refused("init", "quik") == "Error: unknown preset 'quik': did you mean quick?"


class TestBadPlans:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("ratios = 2", r"plan.toml: ratios must be a list of numbers, such as \[2, 10\]; got 2\."),
            ("ratio = [2]", r"plan.toml: unknown key 'ratio': did you mean ratios\?"),
            ("= [", r"plan.toml: not TOML: "),
            (TINY.replace("[10]", "[1e6]"), r"lenet5, digits, magnitude 1e\+06, seed 0: .*ratio"),
            (TINY.replace("digits", "none.npz"), r"none\.npz"),
            (
                "",
                "plan.toml: the plan lacks datasets, models, algorithms, ratios and seeds: `tfrecall study init",
            ),
        ],
    )
    def test_are_refused_before_anything_is_written(self, text, message):
        Path("plan.toml").write_text(text)
        assert re.search(message, refused("run", "plan.toml", "--output", "study"))

    def test_a_missing_plan_and_a_place_that_is_taken(self):
        assert "no plan at none.toml: write one with" in refused("run", "none.toml", "--output", "study")
        Path("plan.toml").write_text(TINY)
        Path("taken").mkdir()
        Path("taken", "notes.txt").write_text("mine")
        assert "taken holds something that is no study" in refused("run", "plan.toml", "--output", "taken")
        assert "jobs must be at least 1; got 0." in refused("run", "plan.toml", "--output", "study", "--jobs", "0")

    def test_are_told_of_without_tensorflow(self):
        Path("plan.toml").write_text("ratios = 2")
        assert not loaded_by([["run", "plan.toml", "--output", "study"]], code=2) & TENSORFLOW


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A study of two cells that was really run, and what that printed."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "plan.toml").write_text(TINY)
    return folder, succeed("run", folder / "plan.toml", "--output", folder / "study")


@pytest.mark.slow
class TestRun:
    def test_all_is_done_and_said_on_standard_error(self, ran):
        folder, result = ran
        assert result.stdout == ""
        *lines, last = result.stderr.splitlines()
        assert last == f"2 of 2 cells are done. Next: tfrecall study report {folder / 'study'}"
        assert lines[0].startswith("0 of 2 done, 0 running")
        assert lines[-1] == "2 of 2 done, 0 running"
        assert len(lines) == len(set(lines))
        store, plan = Store.open(folder / "study")
        assert plan == parse(TINY)
        assert all(store.done(cell.key) for cell in plan.cells)
        assert list((folder / "study" / "logs").iterdir()) == []

    def test_done_again_it_does_nothing_and_quiet_says_nothing(self, ran):
        folder, _ = ran
        before = contents(folder)
        result = succeed("run", folder / "plan.toml", "--output", folder / "study", "--quiet")
        assert (result.stdout, result.stderr) == ("", "")
        assert {path: data for path, data in contents(folder).items() if before.get(path) != data} == {}

    def test_its_status_and_report(self, ran):
        folder, _ = ran
        table = succeed("status", folder / "study").stdout
        assert re.search(r"done +2 *\n", table)
        assert re.search(r"baselines +1 of 1 *\n", table)
        result = succeed("report", folder / "study")
        assert result.stdout == f"{folder / 'study' / 'report'}/report.html\n"
        assert result.stderr == ""
        assert "t = 10" in (folder / "study" / "report" / "tables.md").read_text(encoding="utf-8")

    def test_a_cell_that_fails_is_named_and_the_exit_code_says_so(self, ran, tmp_path):
        shutil.copytree(ran[0] / "study", "study")
        Path("wild.toml").write_text(f"{TINY}fine_tune_learning_rate = 1e30\n")
        result = invoke("run", "wild.toml", "--output", "study", "--quiet")
        assert result.exit_code == 1
        assert result.stdout == ""
        *failed, hint = result.stderr.splitlines()
        assert [line.partition(": TrainingError")[0] for line in failed] == [
            "Failed: lenet5, digits, control, seed 0",
            "Failed: lenet5, digits, magnitude 10, seed 0",
        ]
        assert hint == "2 failed: see study/failed, and try again with --retry-failed."
        shown = succeed("status", "study").stdout
        assert re.search(r"failed +2 *\n", shown)
        assert "Failed: lenet5, digits, magnitude 10, seed 0" in shown
        again = invoke("run", "wild.toml", "--output", "study")
        assert again.exit_code == 1  # it is not tried again
        assert "0 of 2 cells are done." in again.stderr
        assert succeed("run", ran[0] / "plan.toml", "--output", "study").stderr.count("Failed") == 0

    def test_what_is_damaged_is_named_and_done_again(self, ran, tmp_path):
        shutil.copytree(ran[0] / "study", "study")
        store, plan = Store.open("study")
        baseline = store.path(plan.cells[0].baseline_key) / "baseline.keras"
        baseline.write_bytes(baseline.read_bytes()[:1000])
        Path("study/study.json").unlink()
        (line,) = refused("status", "study").splitlines()
        assert "study.json is missing: `tfrecall study run plan.toml --output study` writes it again" in line
        result = succeed("run", ran[0] / "plan.toml", "--output", "study", "--quiet")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"Damaged: {baseline} has 1,000 bytes, and was written with ")
        assert line.endswith("and done again")
        assert "Damaged" not in succeed("status", "study").stdout

    def test_control_c_ends_it_and_its_workers(self, tmp_path):
        Path("plan.toml").write_text(TINY.replace("epochs = 1\n", "epochs = 1000\n", 1))
        arguments = ["study", "run", "plan.toml", "--output", "study", "--jobs", "1"]
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            limit = time.monotonic() + 200
            while not list(Path("study/locks").glob("baselines-*")):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < limit
                time.sleep(0.1)
            workers = children(process.pid)
            assert workers
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 130
        assert said.splitlines()[-1] == "Interrupted: what is done is kept, and the same command goes on."
        assert "Traceback" not in said
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        assert re.search(r"missing +2 *\n", succeed("status", "study").stdout)


def children(pid):
    rows = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [int(child) for child, parent in map(str.split, rows) if int(parent) == pid]


@pytest.fixture
def partly(tmp_path):
    """A made-up study in which ten cells are done and one failed."""
    store = study(tmp_path / "study", done=lambda cell: cell.settings.seed == 0)
    store.fail(PLAN.cells[-1].key, str(PLAN.cells[-1]), "ValueError: too bad", "...")
    return store


class TestStatus:
    def test_it_counts_what_became_of_the_cells(self, partly):
        result = succeed("status", "study")
        rows = dict(re.findall(r"(\w+(?: \w+)?) +(\d+(?: of \d+)?) *\n", result.stdout))
        assert rows == {
            "done": "10",
            "running": "0",
            "failed": "1",
            "missing": "19",
            "all cells": "30",
            "baselines": "2 of 6",
        }
        assert f"Failed: {PLAN.cells[-1]}: ValueError: too bad" in result.stdout.replace("\n", " ").replace("  ", " ")
        assert max(map(len, result.stdout.splitlines())) <= 80
        assert result.stderr == ""

    def test_of_another_plan(self, partly):
        Path("plan.toml").write_text(
            'datasets = ["mnist"]\nmodels = ["lenet5"]\nalgorithms = ["random"]\nratios = [2]\nseeds = 1'
        )
        assert re.search(r"all cells +2 *\n", succeed("status", "study", "--plan", "plan.toml").stdout)

    def test_of_nothing(self):
        assert "no study in none: run one with" in refused("status", "none")


class TestReport:
    def test_it_prints_where_the_page_is(self, partly):
        result = succeed("report", "study")
        assert (result.stdout, result.stderr) == ("study/report/report.html\n", "")
        assert Path("study/report/report.html").is_file()

    def test_elsewhere_and_of_another_plan(self, partly):
        Path("plan.toml").write_text(
            'datasets = ["mnist"]\nmodels = ["lenet5"]\nalgorithms = ["random"]\nratios = [2]\nseeds = 1'
        )
        assert succeed("report", "study", "--output", "there", "--plan", "plan.toml").stdout == "there/report.html\n"
        assert not Path("study/report").exists()
        assert len(Path("there/cells.csv").read_text().splitlines()) == 3

    def test_of_nothing(self, partly):
        assert "no study in none: run one with" in refused("report", "none")
        Path("plan.toml").write_text(TINY.replace("seeds = 1", "seeds = [77]"))
        assert "is done yet: run the study first." in refused("report", "study", "--plan", "plan.toml")
        assert "no plan at none.toml" in refused("report", "study", "--plan", "none.toml")


def loaded_by(commands, code=0):
    """The top-level modules that a fresh Python has loaded after some commands."""
    script = f"""
import json, sys
from click.testing import CliRunner
from tfrecall.cli import main
for command in {commands!r}:
    result = CliRunner().invoke(main, ["study", *command])
    assert result.exit_code == {code}, (command, result.output)
print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(done.stdout))


def test_only_running_loads_tensorflow(partly):
    loaded = loaded_by([["init", "lenet5"], ["status", "study"], ["report", "study"]])
    assert {"pandas", "matplotlib", "jinja2"} <= loaded
    assert not loaded & TENSORFLOW


def test_help_fits_eighty_columns():
    for arguments in ([], ["init"], ["run"], ["status"], ["report"]):
        text = succeed(*arguments, "--help").stdout
        assert text.startswith(f"Usage: main study{''.join(f' {name}' for name in arguments)} ")
        assert max(map(len, text.splitlines())) <= 80, arguments
        assert "\\b" not in text
    lines = [line.strip() for line in succeed("--help").stdout.splitlines()]
    assert "tfrecall study init quick > plan.toml" in lines
    for name in ("init", "run", "status", "report"):
        assert any(line.startswith(f"{name} ") for line in lines)


def test_what_was_planned_last_is_remembered(partly):
    content = json.loads(Path("study/study.json").read_text())
    assert {key: value for key, value in content.items() if key != "sha256"} == to_dict(PLAN)
