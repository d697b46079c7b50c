"""A study's folder: what is done stays, what failed is remembered, and a claim lasts as long as its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tfrecall.errors import InputError
from tfrecall.publishing import whole
from tfrecall.study.plan import Plan
from tfrecall.study.store import Store

PLAN = Plan(algorithms=("magnitude", "random"), ratios=(2,), seeds=(0, 1))
KEY = "cells/0123456789abcdef"

HOLD = """
import sys
from pathlib import Path
from tfrecall.publishing import whole
from tfrecall.study.store import Store
store = Store(Path(sys.argv[1]))
with store.claim(sys.argv[2]) as mine:
    if "write" in sys.argv:
        with whole(store.path(sys.argv[2]), ["report.json"]) as folder:
            (folder / "report.json").write_text("half of a rep")
            print(mine, flush=True)
            sys.stdin.read()
    print(mine, flush=True)
    sys.stdin.read()
"""

RACE = """
import os, sys, time
from pathlib import Path
from tfrecall.study.store import Store
store, log = Store(Path(sys.argv[1])), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
print("ready", flush=True)
sys.stdin.readline()
left = [f"cells/{number:04}" for number in range(40)]
while left := [key for key in left if not store.done(key)]:
    for key in left:
        with store.claim(key) as mine:
            if mine and not store.done(key):
                os.write(log, f"begin {key} {os.getpid()}\\n".encode())
                time.sleep(0.01)
                store.path(key).mkdir(parents=True)
                os.write(log, f"end {key} {os.getpid()}\\n".encode())
"""


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "study", PLAN)


def finish(store, key):
    with whole(store.path(key), ["report.json"]) as folder:
        (folder / "report.json").write_text("{}")


@contextmanager
def holder(store, key, *how):
    """Another process that claims a key and keeps it; gives the process, and what it said of the claim."""
    command = [sys.executable, "-c", HOLD, store.root, key, *how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def hidden(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))


class TestResults:
    def test_a_key_is_done_when_its_folder_is_there(self, store):
        assert not store.done(KEY)
        finish(store, KEY)
        assert store.done(KEY)
        assert store.path(KEY) == store.root / "cells" / "0123456789abcdef"
        assert store.read(f"{KEY}/report.json") == {}

    def test_it_is_not_done_while_it_is_written(self, store):
        with whole(store.path(KEY), ["report.json"]) as folder:
            (folder / "report.json").write_text("{}")
            assert not store.done(KEY)
        assert store.done(KEY)

    def test_a_failure_settles_its_cell_and_no_other(self, store):
        control, pruned, *others = PLAN.cells
        store.fail(pruned.key, str(pruned), "TrainingError: the loss is nan", "Traceback …")
        assert store.failed(pruned)
        assert store.settled(pruned)
        assert not any(store.failed(cell) or store.settled(cell) for cell in (control, *others))
        assert store.failures(PLAN) == {
            pruned.key: {
                "what": "lenet5, digits, magnitude 2, seed 0",
                "error": "TrainingError: the loss is nan",
                "details": "Traceback …",
            }
        }
        assert hidden(store.root) == []

    def test_the_failure_of_a_baseline_settles_all_of_its_cells(self, store):
        first = [cell for cell in PLAN.cells if cell.settings.seed == 0]
        store.fail(first[0].baseline_key, "baseline", "error", "")
        assert [cell for cell in PLAN.cells if store.failed(cell)] == first
        assert list(store.failures(PLAN)) == [first[0].baseline_key]

    def test_what_is_done_did_not_fail(self, store):
        cell = PLAN.cells[1]
        for key in (cell.key, cell.baseline_key):
            store.fail(key, "", "", "")
        finish(store, cell.key)
        assert not store.failed(cell)
        assert store.settled(cell)

    def test_failures_of_the_plan_are_forgotten_and_no_others(self, store):
        other = Plan(seeds=(7,))
        cells = PLAN.cells[0], PLAN.cells[4], other.cells[0]
        for key in (cells[0].key, cells[1].baseline_key, cells[2].key):
            store.fail(key, "", "", "")
        store.forget_failures(PLAN)
        assert [store.failed(cell) for cell in cells] == [False, False, True]
        assert store.failures(PLAN) == {}

    def test_a_failure_replaces_an_earlier_one(self, store):
        for error in ("first", "second"):
            store.fail(PLAN.cells[0].key, "", error, "")
        assert store.failures(PLAN)[PLAN.cells[0].key]["error"] == "second"


class TestClaims:
    def test_one_process_has_it(self, store):
        assert not store.claimed(KEY)
        with holder(store, KEY) as (_, said):
            assert said == "True"
            with store.claim(KEY) as mine:
                assert not mine
            assert store.claimed(KEY)
            with store.claim("cells/other") as mine, holder(store, "cells/other") as (_, said):
                assert (mine, said) == (True, "False")

    def test_it_is_given_back(self, store):
        with store.claim(KEY) as mine:
            assert mine
            assert store.claimed(KEY)
            with store.claim(KEY) as again:
                assert not again
        assert not store.claimed(KEY)
        with holder(store, KEY) as (_, said):
            assert said == "True"

    def test_it_is_given_back_by_what_fails(self, store):
        def fail():
            with store.claim(KEY):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert not store.claimed(KEY)

    def test_asking_takes_nothing(self, store):
        """Whoever looks at a study's progress leaves nothing behind in its folder."""
        assert not store.claimed(KEY)
        assert sorted(path.name for path in store.root.iterdir()) == ["study.json"]
        with store.claim(KEY):
            pass
        assert not store.claimed(KEY)
        with store.claim(KEY) as mine:
            assert mine

    def test_it_ends_with_its_process_however_that_ends(self, store):
        with holder(store, KEY) as (process, _):
            assert store.claimed(KEY)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not store.claimed(KEY)
            with store.claim(KEY) as mine:
                assert mine

    def test_what_a_killed_writer_left_is_removed_by_the_next_claim(self, store):
        finish(store, "cells/0123")
        with holder(store, KEY, "write") as (process, _):
            assert len(hidden(store.root)) == 1
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert hidden(store.root) != []
        assert not store.done(KEY)
        with store.claim("cells/0123"):  # another key
            assert hidden(store.root) != []
        with store.claim(KEY) as mine:
            assert mine
            assert hidden(store.root) == []
            finish(store, KEY)
        assert sorted(path.name for path in (store.root / "cells").iterdir()) == ["0123", "0123456789abcdef"]

    def test_what_a_living_writer_writes_is_left_alone(self, store):
        with holder(store, KEY, "write") as (process, _):
            there = hidden(store.root)
            with store.claim(KEY) as mine:
                assert not mine
            assert store.claimed(KEY)
            assert hidden(store.root) == there != []
            process.stdin.close()
            assert process.stdout.readline() == "True\n"  # it has moved what it wrote to its place
        assert (store.path(KEY) / "report.json").read_text() == "half of a rep"

    def test_processes_that_race_do_each_key_once(self, store, tmp_path):
        log = tmp_path / "log"
        log.touch()
        command = [sys.executable, "-c", RACE, store.root, log]
        racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        for racer in racers:
            racer.stdout.readline()
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        asked = [store.claimed(f"cells/{number:04}") for number in range(40) for _ in range(3)]  # takes part in the race
        for racer in racers:
            racer.communicate(timeout=100)
        assert [racer.returncode for racer in racers] == [0] * 4
        events = [line.split() for line in log.read_text().splitlines()]
        assert sorted(key for what, key, _ in events if what == "begin") == [f"cells/{number:04}" for number in range(40)]
        assert {who for _, _, who in events} <= {str(racer.pid) for racer in racers}
        assert len(asked) == 120


class TestCreate:
    def test_it_makes_the_folder_and_remembers_the_plan(self, tmp_path):
        store = Store.create(tmp_path / "deeper" / "study", PLAN)
        assert Store.open(tmp_path / "deeper" / "study") == (store, PLAN)
        assert [path.name for path in store.root.iterdir()] == ["study.json"]

    def test_an_empty_folder_will_do(self, tmp_path):
        assert Store.open(Store.create(tmp_path, PLAN).root)[1] == PLAN

    def test_a_study_is_taken_with_all_that_is_in_it_and_the_new_plan(self, store):
        finish(store, KEY)
        grown = Plan(seeds=(0, 1, 2))
        assert Store.create(store.root, grown) == store
        assert Store.open(store.root) == (store, grown)
        assert store.done(KEY)

    def test_a_folder_of_something_else_is_left_alone(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("mine")
        with pytest.raises(InputError, match=r"holds something that is no study: choose another --output\."):
            Store.create(tmp_path, PLAN)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_a_runner_killed_while_it_made_the_folder_does_not_stop_the_next(self, tmp_path):
        """Neither does one that is making it at this moment."""
        (tmp_path / ".study.json-x1y2").mkdir()
        (tmp_path / ".study.json-x1y2" / "study.json").write_text('{"datasets": ["di')
        assert Store.open(Store.create(tmp_path, PLAN).root)[1] == PLAN

    def test_many_at_the_same_time_make_one_study(self, tmp_path):
        errors = []

        def create():
            try:
                Store.create(tmp_path / "study", PLAN)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=create) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert Store.open(tmp_path / "study")[1] == PLAN
        assert [path.name for path in (tmp_path / "study").iterdir()] == ["study.json"]

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(InputError, match=r"file is a file, not a folder: choose another --output\."):
            Store.create(tmp_path / "file", PLAN)
        with pytest.raises(InputError, match=r"file is a file, not a folder: choose another --output\."):
            Store.create(tmp_path / "file" / "study", PLAN)
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written_to(self, tmp_path):
        tmp_path.chmod(0o555)
        try:
            for place in (tmp_path, tmp_path / "study"):
                with pytest.raises(
                    InputError, match=r"cannot be written to \(Permission denied\): choose another --output\."
                ):
                    Store.create(place, PLAN)
        finally:
            tmp_path.chmod(0o755)

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, where not even root can make a folder")
    def test_a_place_where_nobody_can_write(self):
        with pytest.raises(InputError, match=r"/proc cannot be written to \(.+\): choose another --output\."):
            Store.create("/proc/study", PLAN)

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, where not even root can make a folder")
    def test_where_nobody_can_write_is_noticed_before_any_work(self, tmp_path, monkeypatch):
        from tfrecall.report.export import export
        from tfrecall.study import executors
        from tfrecall.study.report import report

        store = Store.create(tmp_path / "study", PLAN)
        monkeypatch.setattr(executors, "inspect", None)  # what comes next
        for write in (
            lambda: executors.run(PLAN, "/proc/study"),
            lambda: report(store.root, "/proc/report"),
            lambda: export(None, "/proc/model"),
            lambda: export(None, "/proc/model.tflite", format="tflite"),
        ):
            with pytest.raises(InputError, match=r"^/proc cannot be written to \(.+\): choose another --output\.$"):
                write()

    def test_a_tilde_is_the_home_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert Store.create("~/study", PLAN).root == tmp_path / "study"
        assert Store.open("~/study")[1] == PLAN


class TestOpen:
    NONE = r"no study in .*: run one with `tfrecall study run plan\.toml --output .*`"

    def test_there_is_none(self, tmp_path):
        with pytest.raises(InputError, match=self.NONE):
            Store.open(tmp_path)
        with pytest.raises(InputError, match=self.NONE):
            Store.open(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "3", '"text"', "null", '{"data": []}', '{"seeds": []}', '{"recipe": 3}', "\udcff"],
    )
    def test_what_is_called_like_a_study_and_is_none(self, tmp_path, text):
        (tmp_path / "study.json").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(
            InputError, match=r"study\.json holds no plan \(.*\): run one with .*, which keeps what is done\."
        ):
            Store.open(tmp_path)

    def test_the_plan_is_written_to_be_read(self, store):
        text = (store.root / "study.json").read_text()
        assert json.loads(text)["algorithms"] == ["magnitude", "random"]
        assert text.count("\n") > 10
