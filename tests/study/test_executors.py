"""Running a study for real: it does everything once, survives being killed, and gives the bytes of single runs."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tfrecall.errors import InputError, TrainingError
from tfrecall.study import executors, tasks
from tfrecall.study.frames import frames
from tfrecall.study.inspection import inspect
from tfrecall.study.plan import Plan, to_dict
from tfrecall.study.status import Status, status
from tfrecall.study.store import Store
from tfrecall.study.worker import cannot_write, work

pytestmark = pytest.mark.timeout(900)  # a minute or so each, but several processes at once on what may be a busy machine

PLAN = Plan(algorithms=("mp", "rp"), ratios=(2, 10), seeds=(0, 1), overrides=(("epochs", 2), ("fine_tune_epochs", 1)))
# Two cells on one of its baselines that take some seconds, so that there is time to disturb them.
LONG = replace(PLAN, algorithms=("mp",), ratios=(2,), seeds=(0,), overrides=(("epochs", 2), ("fine_tune_epochs", 30)))
CELL = {"config.json", "report.json", "predictions.npz", "seconds.json", "manifest.json"}
BASELINE = {"config.json", "baseline.keras", "predictions.npz", "seconds.json", "manifest.json"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

SINGLE = """
import json, sys
from pathlib import Path
import tensorflow as tf
from tfrecall import experiment, training
from tfrecall.study.plan import from_dict
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
for index in sys.argv[3:]:
    cell = from_dict(json.loads(sys.argv[1])).cells[int(index)]
    experiment.run(cell.settings, Path(sys.argv[2]) / cell.key)
"""

# A runner that says what its workers begin.
RUNNER = """
import json, os, sys
from tfrecall.study import executors, tasks
from tfrecall.study.plan import from_dict

class Telling(executors._Worker):
    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "key" and value:
            os.write(1, f"{value}\\n".encode())  # whole, whichever thread says it

executors._Worker = Telling
executors.run(from_dict(json.loads(sys.argv[1])), sys.argv[2], jobs=int(sys.argv[3]))
"""


@dataclass
class Study:
    store: Store
    watched: list[Status]
    returned: Status
    singles: Path  # folders of `experiment.run`, by key


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The plan, run by one process from beginning to end; beside it, single runs of some of its cells."""
    folder, singles = tmp_path_factory.mktemp("undisturbed") / "study", tmp_path_factory.mktemp("singles")
    command = [sys.executable, "-c", SINGLE, json.dumps(to_dict(PLAN)), singles, *map(str, SINGLES)]
    with subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, stderr=subprocess.PIPE, text=True) as process:
        watched = []
        returned = executors.run(PLAN, folder, jobs=1, watch=watched.append)
        _, said = process.communicate()
    assert process.returncode == 0, said
    return Study(Store(folder), watched, returned, singles)


SINGLES = (0, 3, 7)  # the control arm, magnitude pruning to a tenth, and random pruning to a half


@pytest.fixture
def copied(undisturbed, tmp_path):
    """A copy of the finished study, with times as they were, from which some cells may be taken away."""

    def copy(without=()):
        store = Store(Path(shutil.copytree(undisturbed.store.root, tmp_path / "copy")))
        for cell in without:
            shutil.rmtree(store.path(cell.key))
        return store

    return copy


def tables(store, plan=PLAN):
    return [frame.to_csv(index=False).encode() for frame in frames(store, plan)]


def reports(store, plan=PLAN):
    return {cell.key: (store.path(cell.key) / "report.json").read_bytes() for cell in plan.cells}


def stamps(store):
    """What tells a file from one that was written anew."""
    files = [path for folder in ("cells", "baselines") for path in (store.root / folder).rglob("*")]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def assert_whole(store):
    """Nothing that can be seen is half there."""
    for kind, names in (("cells", CELL), ("baselines", BASELINE)):
        for folder in store.root.glob(f"{kind}/[!.]*"):
            assert {path.name for path in folder.iterdir()} == names
            for path in folder.glob("*.json"):
                json.loads(path.read_text())
            with np.load(folder / "predictions.npz") as predictions:
                assert all(len(predictions[name]) == 599 for name in predictions)


@contextmanager
def started(plan, folder, jobs):
    """Start a runner in a session of its own, as another terminal would; nothing of it is left afterwards."""
    command = [sys.executable, "-c", RUNNER, json.dumps(to_dict(plan)), folder, str(jobs)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as runner:
        try:
            yield runner
        finally:
            with suppress(ProcessLookupError):
                os.killpg(runner.pid, signal.SIGKILL)


def processes():
    """All processes that live: (id, parent's id, command line)."""
    said = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state=,args="], capture_output=True, text=True, check=True).stdout
    found = [line.split(None, 3) for line in said.splitlines()]
    return [(int(pid), int(parent), command) for pid, parent, state, command in found if state[0] != "Z"]


def workers_of(parent):
    return [pid for pid, above, command in processes() if above == parent and "tfrecall.study.worker" in command]


def works_on(worker, store):
    """The key whose lock a worker holds or is about to: only what it works on is open for longer than a moment."""
    opened = []
    with suppress(FileNotFoundError):
        for path in Path(f"/proc/{worker}/fd").iterdir():
            with suppress(FileNotFoundError):
                opened.append(path.readlink())
    keys = [path.name.replace("-", "/", 1) for path in opened if path.parent == store.root / "locks"]
    return next((key for key in keys if store.claimed(key)), None)


def wait_until(what, seconds, why):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, why
        time.sleep(0.1)


@pytest.mark.slow
class TestUndisturbed:
    def test_everything_is_done(self, undisturbed):
        expected = Status(10, 0, 0, 0, baselines=2, baselines_done=2, training=0, seconds_left=None)
        assert undisturbed.returned == expected
        assert status(undisturbed.store, PLAN) == expected
        assert Store.open(undisturbed.store.root)[1] == PLAN
        assert len(frames(undisturbed.store, PLAN)[0]) == 10

    def test_it_leaves_whole_folders_and_nothing_else(self, undisturbed):
        root = undisturbed.store.root
        assert_whole(undisturbed.store)
        assert {path.name for path in root.iterdir()} == {"study.json", "baselines", "cells", "locks", "logs"}
        assert {f"cells/{path.name}" for path in (root / "cells").iterdir()} == {cell.key for cell in PLAN.cells}
        assert {f"baselines/{path.name}" for path in (root / "baselines").iterdir()} == {
            cell.baseline_key for cell in PLAN.cells
        }
        assert list((root / "logs").iterdir()) == []  # they are there for what goes wrong

    def test_whoever_watches_sees_it_grow(self, undisturbed):
        watched = undisturbed.watched
        assert [found.total for found in watched] == [10] * len(watched)
        done = [found.done for found in watched]
        assert done == sorted(done)
        assert (done[0], done[-1]) == (0, 10)
        assert max(found.running for found in watched) == 1
        assert any(found.training for found in watched)
        assert watched[-1] == undisturbed.returned

    @pytest.mark.parametrize("index", SINGLES)
    def test_a_cell_is_what_a_single_run_gives(self, undisturbed, index):
        cell = PLAN.cells[index]
        single = undisturbed.singles / cell.key
        assert (undisturbed.store.path(cell.key) / "report.json").read_bytes() == (single / "report.json").read_bytes()
        assert undisturbed.store.read(f"{cell.key}/config.json") == json.loads((single / "config.json").read_text())
        with (
            np.load(single / "predictions.npz") as expected,
            np.load(undisturbed.store.path(cell.key) / "predictions.npz") as found,
        ):
            np.testing.assert_array_equal(found["after"], expected["after"].argmax(axis=1))
        with (
            np.load(single / "predictions.npz") as expected,
            np.load(undisturbed.store.path(cell.baseline_key) / "predictions.npz") as found,
        ):
            np.testing.assert_array_equal(found["y_true"], expected["y_true"])
            np.testing.assert_array_equal(found["y_pred"], expected["before"].argmax(axis=1))

    def test_all_cells_of_a_seed_prune_one_baseline(self, undisturbed):
        before = {}
        for cell in PLAN.cells:
            report = json.loads(reports(undisturbed.store)[cell.key])
            before.setdefault(cell.settings.seed, []).append(report["before"])
            assert report["ratio"]["requested"] == cell.settings.ratio
            if cell.control:
                assert report["algorithm"] is None
                assert report["one_shot"] == {**report["one_shot"], "accuracy": report["before"]["accuracy"], "stability": 1}
        for found in before.values():
            assert found == [found[0]] * 5
        assert before[0] != before[1]

    def test_a_second_run_does_nothing(self, undisturbed, copied):
        store = copied()
        there = stamps(store)
        watched = []
        assert executors.run(PLAN, store.root, watch=watched.append) == undisturbed.returned
        assert watched == [undisturbed.returned]  # as long as there are processes, it is called
        assert stamps(store) == there

    def test_a_grown_plan_does_what_is_new(self, copied):
        store = copied()
        there = stamps(store)
        grown = replace(PLAN, ratios=(2, 5, 10), algorithms=("mp",), seeds=(1,))
        begun = []
        work(store, grown, begun.append)
        assert begun == [cell.key for cell in grown.cells if cell.settings.ratio == 5]
        found = stamps(store)
        assert {path: found[path] for path in there if path.is_file()} == {
            path: stamp for path, stamp in there.items() if path.is_file()
        }
        assert len(frames(store, grown)[0]) == 4


@pytest.mark.slow
def test_two_runners_share_the_work_and_do_nothing_twice(undisturbed, tmp_path):
    part = replace(PLAN, ratios=(2,))
    with started(part, tmp_path / "study", 1) as one, started(part, tmp_path / "study", 1) as other:
        runners = one, other
        said = [runner.communicate() for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], said
    begun = [out.split() for out, _ in said]
    assert Counter(begun[0] + begun[1]) == Counter({key for cell in part.cells for key in (cell.key, cell.baseline_key)})
    assert all(begun)
    store = Store(tmp_path / "study")
    assert_whole(store)
    assert tables(store, part) == tables(undisturbed.store, part)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(undisturbed, tmp_path):
    """Two processes, killed with their runner five times, against one that was left alone."""
    store = Store(tmp_path / "study")
    keys = {key for cell in PLAN.cells for key in (cell.key, cell.baseline_key)}
    moments, done = random.Random(20221128), set()
    for life in range(5):
        with started(PLAN, store.root, jobs=2) as runner:
            if life in (1, 2, 4):  # else it is killed while it starts
                assert runner.stdout.readline().strip() in keys - done
            time.sleep(moments.uniform(0, 1.5))
            assert runner.poll() is None
            os.killpg(runner.pid, signal.SIGKILL)
        assert_whole(store)
        before, done = done, {key for key in keys if store.done(key)}
        assert before <= done
    with started(PLAN, store.root, jobs=2) as runner:
        out, said = runner.communicate()
    assert runner.returncode == 0, said
    assert sorted(out.split()) == sorted(keys - done)
    assert len(out.split()) > 2, "the test's moments are too late for this machine"
    assert_whole(store)
    assert [path for kind in ("cells", "baselines") for path in (store.root / kind).glob(".*")] == []
    assert tables(store) == tables(undisturbed.store)
    assert reports(store) == reports(undisturbed.store)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["starting", "working"])
def test_workers_end_with_the_runner_that_started_them(copied, moment):
    store, cell = copied(), LONG.cells[0]
    with started(LONG, store.root, jobs=1) as runner:
        wait_until(lambda: workers_of(runner.pid), 60, "no worker was started")
        (worker,) = workers_of(runner.pid)
        if moment == "working":
            assert runner.stdout.readline().strip() == cell.key
            assert store.claimed(cell.key)
        os.kill(runner.pid, signal.SIGKILL)  # and not its process group
        runner.wait()
        wait_until(lambda: worker not in [pid for pid, *_ in processes()], 10, "the worker goes on without its runner")
        # A process may be a zombie already while its last thread still holds its files.
        wait_until(lambda: not store.claimed(cell.key), 10, "the worker's claim outlives it")
        assert not store.done(cell.key)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc, which tells what a worker works on")
def test_a_killed_worker_is_replaced_and_what_kills_two_has_failed(copied):
    store = copied()
    once, twice = LONG.cells
    left, killed = Counter({once.key: 1, twice.key: 2}), []

    def kill(_):
        for pid in set(workers_of(os.getpid())) - set(killed):
            key = works_on(pid, store)
            if left[key]:
                left[key] -= 1
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

    found = executors.run(LONG, store.root, jobs=2, watch=kill)
    assert len(killed) == 3
    assert (found.done, found.failed, found.missing) == (1, 1, 0)
    assert store.done(once.key)
    failure = store.failures(LONG)[twice.key]
    assert failure["what"] == "lenet5, digits, magnitude 2, seed 0"
    assert failure["error"] == "its process ended with signal 9 (out of memory? try fewer --jobs)"
    assert len(list((store.root / "logs").iterdir())) == 3
    assert executors.run(LONG, store.root, jobs=1) == found  # what failed is not tried again by itself
    found = executors.run(LONG, store.root, jobs=1, retry_failed=True)
    assert (found.done, found.failed) == (2, 0)
    assert store.failures(LONG) == {}


@pytest.mark.slow
class TestFailures:
    """In this process, which does as a worker does."""

    def test_what_fails_is_recorded_and_the_rest_goes_on(self, copied, monkeypatch):
        control, pruned, *_, other = PLAN.cells[:7]
        store = copied(without=[control, pruned, other])
        begun, run_cell = [], tasks.run_cell

        def fail(store, cell, bench):
            if cell.settings.seed == 0:
                raise InputError("it cannot\nbe done")
            run_cell(store, cell, bench)

        monkeypatch.setattr(tasks, "run_cell", fail)
        work(store, PLAN, begun.append)
        assert sorted(begun) == sorted([control.key, pruned.key, other.key])
        failures = store.failures(PLAN)
        assert set(failures) == {control.key, pruned.key}
        for cell in (control, pruned):
            failure = failures[cell.key]
            assert failure["what"] == str(cell)
            assert failure["error"] == "InputError: it cannot be done"
            assert failure["details"].startswith("Traceback (most recent call last):\n")
        assert (status(store, PLAN).done, status(store, PLAN).failed) == (8, 2)
        assert store.done(other.key)
        found = executors.run(PLAN, store.root)
        assert (found.done, found.failed, found.missing) == (8, 2, 0)
        assert store.failures(PLAN) == failures

        monkeypatch.undo()
        store.forget_failures(PLAN)
        begun.clear()
        work(store, PLAN, begun.append)
        assert sorted(begun) == sorted([control.key, pruned.key])
        assert status(store, PLAN).done == 10

    @pytest.mark.parametrize("signed", [True, False])
    def test_a_baseline_that_is_damaged_meanwhile_is_trained_again(self, copied, undisturbed, signed):
        """And its finished cells, which fit the new one, are left alone."""
        pruned = PLAN.cells[1]
        store = copied(without=[pruned])
        baseline = store.path(pruned.baseline_key) / "baseline.keras"
        baseline.write_bytes(baseline.read_bytes()[:-100])
        if not signed:
            (baseline.parent / "manifest.json").unlink()
        begun = []
        work(store, PLAN, begun.append)
        assert begun == [pruned.baseline_key, pruned.key]
        assert store.failures(PLAN) == {}
        assert not inspect(store, PLAN.cells, thorough=True).damaged
        assert reports(store) == reports(undisturbed.store)
        assert (store.root / "damaged" / pruned.baseline_key.replace("/", "-")).is_dir()

    def test_what_is_damaged_is_done_again_by_a_run_and_ends_with_the_same_bytes(self, copied, undisturbed):
        store, (first, second, third, *_) = copied(), PLAN.cells
        report = store.path(first.key) / "report.json"
        report.write_text(report.read_text().replace("0.9", "0.8"))
        shutil.rmtree(store.path(second.key))
        store.path(second.key).symlink_to(store.path(third.key))
        (store.path(PLAN.cells[-1].baseline_key) / "config.json").write_text("{}")
        told = []
        found = executors.run(PLAN, store.root, jobs=1, tell=told.append)
        assert (found.done, found.failed) == (10, 0)
        assert len(told) == 3
        for path in (report, store.path(second.key), store.path(PLAN.cells[-1].baseline_key) / "config.json"):
            assert [line for line in told if line.startswith(f"{path} ")], told
        assert not inspect(store, PLAN.cells, thorough=True).damaged
        assert reports(store) == reports(undisturbed.store)
        assert len(list((store.root / "damaged").iterdir())) == 3

    def test_data_that_change_under_a_study_make_no_result(self, tmp_path):
        """Neither at the start of a run nor in a worker, which may begin much later."""
        rng = np.random.default_rng(0)

        def write(value):
            images = rng.integers(0, value, (60, 8, 8, 1)).astype("uint8")
            labels = np.arange(60) % 3
            np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)

        write(255)
        plan = replace(
            PLAN, datasets=(str(tmp_path / "data.npz"),), algorithms=("mp",), ratios=(2,), seeds=(0,), fingerprints=()
        )
        write(100)
        with pytest.raises(InputError, match=r"the files of data set .*data\.npz have changed since the plan was read"):
            executors.run(plan, tmp_path / "study")
        assert not (tmp_path / "study").exists()
        store = Store.create(tmp_path / "study", plan)
        work(store, plan)
        (failure,) = store.failures(plan).values()
        assert "data.npz have changed since the plan was read" in failure["error"]
        assert not (store.root / "cells").exists()
        assert not (store.root / "baselines").exists()

    def test_fine_tuning_that_diverges_fails_on_the_baseline_that_is_there(self, copied):
        store = copied()
        there = stamps(store)
        wild = replace(PLAN, ratios=(2,), seeds=(0,), overrides=(*PLAN.overrides, ("fine_tune_learning_rate", 1e30)))
        begun = []
        work(store, wild, begun.append)
        assert begun == [cell.key for cell in wild.cells]
        for failure in store.failures(wild).values():
            assert re.match(r"TrainingError: the loss is (nan|inf) .*: lower the learning rate", failure["error"])
        assert status(store, wild).failed == 3
        assert stamps(store) == there

    def test_a_baseline_that_diverges_fails_once_for_all_of_its_cells(self, tmp_path):
        wild = replace(PLAN, overrides=(("learning_rate", 1e30), ("epochs", 1), ("fine_tune_epochs", 1)))
        store = Store.create(tmp_path / "study", wild)
        begun = []
        work(store, wild, begun.append)
        assert begun == [wild.cells[0].baseline_key, wild.cells[5].baseline_key]
        assert [failure["what"] for failure in store.failures(wild).values()] == [
            "baseline of lenet5, digits, control, seed 0",
            "baseline of lenet5, digits, control, seed 1",
        ]
        assert (status(store, wild).failed, status(store, wild).missing) == (10, 0)
        assert not (store.root / "cells").exists()
        with pytest.raises(InputError, match=r"no cell of the plan in .* is done yet"):
            frames(store, wild)


@pytest.fixture
def small_disk(tmp_path):
    """A disk that holds the baseline of a study, and little more."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_a_run_and_is_no_failure_of_its_cells(undisturbed, small_disk):
    store = Store(Path(shutil.copytree(undisturbed.store.root, small_disk / "study")))
    for cell in PLAN.cells[:2]:
        shutil.rmtree(store.path(cell.key))
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - 12 * 1024))  # for the plan and a log
    there = stamps(store)
    with pytest.raises(
        TrainingError, match=r"no space left on device in .*: what is done is kept, and the same command goes"
    ):
        executors.run(PLAN, store.root, jobs=1)
    assert {path: stamp for path, stamp in stamps(store).items() if path.is_file()} == {
        path: stamp for path, stamp in there.items() if path.is_file()
    }
    assert store.failures(PLAN) == {}
    filler.unlink()
    assert executors.run(PLAN, store.root, jobs=1).done == 10
    assert reports(store) == reports(undisturbed.store)


class TestRefusals:
    @pytest.mark.parametrize(
        ("plan", "message"),
        [
            (replace(PLAN, ratios=(2, 1000)), r"lenet5, digits, magnitude 1000, seed 0: a ratio of 0\.999 .* is infeasible"),
            (replace(PLAN, datasets=("digits", "./none.npz")), r"none\.npz"),
            (replace(PLAN, datasets=("no_such_set",)), "no_such_set"),
        ],
    )
    def test_a_cell_that_can_never_be_done_stops_everything_beforehand(self, tmp_path, monkeypatch, plan, message):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match=message):
            executors.run(plan, tmp_path / "study")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    def test_a_ratio_out_of_reach_is_seen_by_a_grown_plan(self, copied):
        store = copied()
        with pytest.raises(InputError, match=r"magnitude 1000, seed 0: .* is infeasible"):
            executors.run(replace(PLAN, ratios=(2, 1000)), store.root)
        assert Store.open(store.root)[1] == PLAN

    @pytest.mark.parametrize("jobs", [0, -1])
    def test_jobs(self, tmp_path, jobs):
        with pytest.raises(InputError, match=f"jobs must be at least 1; got {jobs}"):
            executors.run(PLAN, tmp_path / "study", jobs=jobs)
        assert list(tmp_path.iterdir()) == []

    def test_processes_that_never_begin_are_no_failures_of_cells(self, tmp_path, monkeypatch):
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "tensorflow.py").write_text("raise ImportError('this TensorFlow is broken')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
        plan = replace(PLAN, seeds=(0,))
        with pytest.raises(TrainingError, match=r"end with exit code 1 before they begin: ImportError: this TensorFlow is"):
            executors.run(plan, tmp_path / "study", jobs=1)
        assert Store.open(tmp_path / "study")[0].failures(plan) == {}
        assert len(list((tmp_path / "study" / "logs").iterdir())) == 2

    def test_an_interpreter_that_ends_at_once(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "executable", shutil.which("false"))
        with pytest.raises(TrainingError, match="end with exit code 1 before they begin"):
            executors.run(replace(PLAN, seeds=(0,)), tmp_path / "study", jobs=2)


def test_an_error_that_is_its_own_cause_is_looked_at_once():
    """TensorFlow's readers can raise such: whoever looks for a full disk behind it must come to an end."""
    error = ValueError("damaged")
    error.__cause__ = error
    assert cannot_write(error) is None
    full = OSError(errno.ENOSPC, "full")
    error.__cause__ = full
    full.__cause__ = error
    assert cannot_write(error) == "no space left on device"
