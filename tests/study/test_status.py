"""How far a study has got: each cell counts once, whatever happens while it is counted, and the time left is an estimate."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfrecall.publishing import whole
from tfrecall.study.plan import Plan
from tfrecall.study.status import status
from tfrecall.study.store import Store

PLAN = Plan(algorithms=("magnitude", "random"), ratios=(2, 10), seeds=(0, 1))  # 2 baselines of 5 cells


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "study", PLAN)


def finish(store, key, seconds=1.0):
    with whole(store.path(key), ["seconds.json"]) as folder:
        (folder / "seconds.json").write_text(json.dumps({"seconds": seconds}))


def test_of_nothing_everything_is_missing(store):
    found = status(store, PLAN)
    assert (found.done, found.failed, found.running, found.missing, found.total) == (0, 0, 0, 10, 10)
    assert (found.baselines, found.baselines_done, found.training, found.seconds_left) == (2, 0, 0, None)


def test_cells_and_baselines_are_counted_by_what_became_of_them(store):
    one, two, three, four = PLAN.cells[:4]
    finish(store, one.baseline_key)
    finish(store, one.key)
    store.fail(two.key, "", "", "")
    with store.claim(three.key), store.claim(four.key), store.claim(PLAN.cells[5].baseline_key):
        found = status(store, PLAN)
    assert (found.done, found.failed, found.running, found.missing, found.total) == (1, 1, 2, 6, 10)
    assert (found.baselines, found.baselines_done, found.training) == (2, 1, 1)
    assert status(store, PLAN).running == status(store, PLAN).training == 0


def test_a_folder_that_may_only_be_read_is_counted_too(store):
    """As another user, and after a run that left its locks behind."""
    for cell in PLAN.cells[:3]:
        with store.claim(cell.key):
            pass
    finish(store, PLAN.cells[0].key)
    code = (
        "import os, sys; from filelock import FileLock; from tfrecall.study import Store, status\n"
        "os.chdir(sys.argv[1])\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "assert not os.access('locks', os.W_OK)\n"
        "found = status(*Store.open('.')); print(found.done, found.running, found.missing)"
    )
    folders = [store.root, *(path for path in store.root.rglob("*") if path.is_dir())]
    files = [path for path in store.root.rglob("*") if path.is_file()]
    try:
        for path, mode in [*((path, 0o555) for path in folders), *((path, 0o444) for path in files)]:
            path.chmod(mode)
        run = subprocess.run([sys.executable, "-c", code, store.root], capture_output=True, text=True, check=False)
    finally:
        for path in folders:
            path.chmod(0o755)
    assert (run.stdout, run.stderr) == ("1 0 9\n", "")


def test_the_failure_of_a_baseline_is_that_of_its_cells(store):
    finish(store, PLAN.cells[0].key)
    store.fail(PLAN.cells[0].baseline_key, "", "", "")
    found = status(store, PLAN)
    assert (found.done, found.failed, found.missing) == (1, 4, 5)


def test_entries_that_share_a_result_are_one_cell(tmp_path):
    plan = Plan(algorithms=("gradient", "undecayed", "undecayed-sum", "random"), ratios=(2,), seeds=(0,), recipe="paper")
    store = Store.create(tmp_path / "study", plan)
    assert len(plan.cells) == 5
    assert status(store, plan).total == 3
    finish(store, plan.cells[1].key)
    assert status(store, plan).done == 1


def test_a_grown_plan_finds_what_is_done(store):
    for cell in PLAN.cells:
        finish(store, cell.key)
        if not store.done(cell.baseline_key):
            finish(store, cell.baseline_key)
    grown = Plan(algorithms=("random", "gradient", "magnitude"), ratios=(2, 5, 10), seeds=(1, 0, 2))
    found = status(store, grown)
    assert (found.done, found.total) == (10, 3 * (1 + 3 * 3))
    assert (found.baselines_done, found.baselines) == (2, 3)
    shrunk = Plan(algorithms=("random",), ratios=(10,), seeds=(1,))
    assert (status(store, shrunk).done, status(store, shrunk).missing) == (2, 0)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["missing", "done", "failed", "running"]), min_size=10, max_size=10), st.booleans())
def test_every_cell_counts_once(tmp_path_factory, states, baseline_failed):
    store = Store.create(tmp_path_factory.mktemp("many") / "study", PLAN)
    if baseline_failed:
        store.fail(PLAN.cells[0].baseline_key, "", "", "")
        states = [state if state == "done" or index > 4 else "failed" for index, state in enumerate(states)]
    with ExitStack() as claims:
        for cell, state in zip(PLAN.cells, states):
            if state == "done":
                finish(store, cell.key)
            elif state == "failed":
                store.fail(cell.key, "", "", "")
            elif state == "running":
                claims.enter_context(store.claim(cell.key))
        found = status(store, PLAN)
    assert found.total == 10
    counts = {name: getattr(found, name) for name in ("missing", "done", "failed", "running")}
    assert counts == {name: states.count(name) for name in counts}


def test_cells_that_are_finished_while_they_are_counted_count_once(tmp_path):
    plan = Plan(seeds=tuple(range(12)))
    store = Store.create(tmp_path / "study", plan)
    keys = list({cell.key: cell for cell in plan.cells})

    def work():
        for key in keys:
            finish(store, key)

    worker = threading.Thread(target=work)
    totals, done = [], []
    worker.start()
    while worker.is_alive():
        found = status(store, plan)
        totals.append(found.total)
        done.append(found.done)
    worker.join()
    assert set(totals) == {len(keys)}
    assert done == sorted(done)
    assert status(store, plan).done == len(keys)


class TestTimeLeft:
    def test_each_takes_as_long_as_those_of_its_kind_did(self, tmp_path):
        plan = Plan(models=("lenet5", "resnet20"), algorithms=("magnitude",), ratios=(2, 4, 10), seeds=(0, 1))
        store = Store.create(tmp_path / "study", plan)
        small = [cell for cell in plan.cells if cell.settings.model == "lenet5"]
        large = [cell for cell in plan.cells if cell.settings.model == "resnet20"]
        finish(store, small[0].baseline_key, 10)
        finish(store, large[0].baseline_key, 100)
        for cell, seconds in ((small[0], 2), (small[1], 4), (large[0], 50)):
            finish(store, cell.key, seconds)
        # 6 small cells of 3 s, 7 large ones of 50 s, a small and a large baseline
        assert status(store, plan, jobs=1).seconds_left == pytest.approx(6 * 3 + 7 * 50 + 10 + 100)
        assert status(store, plan, jobs=4).seconds_left == pytest.approx((6 * 3 + 7 * 50 + 10 + 100) / 4)

    def test_an_unknown_kind_is_taken_for_the_mean_of_the_known(self, tmp_path):
        plan = Plan(datasets=("digits", "mnist", "fashion_mnist"), algorithms=("magnitude",), ratios=(2,), seeds=(0,))
        store = Store.create(tmp_path / "study", plan)
        for cell, seconds in zip(plan.cells[:3], (1, 3, 8)):  # two of the digits, one of MNIST
            finish(store, cell.key, seconds)
        for cell in (plan.cells[0], plan.cells[2]):
            finish(store, cell.baseline_key, 20)
        assert status(store, plan, jobs=1).seconds_left == pytest.approx(8 + 2 * (1 + 3 + 8) / 3 + 20)

    def test_the_jobs_are_those_who_hold_a_claim(self, store):
        for cell in PLAN.cells[:2]:
            finish(store, cell.key, 5)
        for cell in (PLAN.cells[0], PLAN.cells[5]):
            finish(store, cell.baseline_key, 7)
        with store.claim(PLAN.cells[2].key):
            assert status(store, PLAN).seconds_left == pytest.approx(8 * 5)
            with store.claim(PLAN.cells[3].key):
                assert status(store, PLAN).seconds_left == pytest.approx(8 * 5 / 2)

    def test_nobody_knows_before_the_first_is_done_or_while_nothing_runs(self, store):
        finish(store, PLAN.cells[0].baseline_key)
        assert status(store, PLAN, jobs=2).seconds_left is None
        finish(store, PLAN.cells[0].key)
        assert status(store, PLAN, jobs=2).seconds_left is not None
        assert status(store, PLAN).seconds_left is None

    def test_failures_and_what_is_done_take_no_time(self, store):
        for cell in PLAN.cells[:5]:
            finish(store, cell.key)
        finish(store, PLAN.cells[0].baseline_key)
        store.fail(PLAN.cells[5].baseline_key, "", "", "")
        assert status(store, PLAN, jobs=1).seconds_left == 0
