"""Running a study on this machine: processes of one thread each, which share the work by claiming it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from tfrecall.errors import InputError, TrainingError
from tfrecall.study.inspection import Inspection, inspect
from tfrecall.study.plan import Plan, to_dict
from tfrecall.study.repair import repair
from tfrecall.study.status import Status, status
from tfrecall.study.store import Store

_POLL = 0.5  # seconds between two looks at the processes
_LOOK = 2.0  # seconds between two looks at the folder, which may have thousands of cells
_ATTEMPTS = 2  # at what ends its process, such as for want of memory


def run(
    plan: Plan,
    folder: str | os.PathLike,
    *,
    jobs: int | None = None,
    retry_failed: bool = False,
    watch: Callable[[Status], None] = lambda status: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Status:
    """Do what is missing of a plan, and what is damaged.

    Stopped at any moment, it loses the cells that are being worked on and nothing else; run again, it goes on. Any number
    of runs may work on one folder.

    Parameters
    ----------
    plan : Plan
    folder : path-like
        Made if it is missing. What it holds of this or any other plan is used.
    jobs : int, optional
        Processes, of one thread each: as many as there are processors by default, or 1 where the strategy is not ``"cpu"``.
    retry_failed : bool
        Whether to try again what failed.
    watch : callable
        Called with the `Status` every two seconds.
    tell : callable
        Called with a line for each damaged result that is moved into the folder ``damaged`` and done again.

    Returns
    -------
    Status
        Nothing is missing in it.

    Raises
    ------
    InputError
        If a cell is impossible, such as for a ratio that a model cannot reach: nothing has run then.
    TrainingError
        If the processes cannot be started, or the disk is full.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1; got {jobs}.")
    store = Store(Store.require_place(folder))
    inspection = inspect(store, plan.cells, thorough=True)
    require_possible(plan, store, inspection)
    Store.create(store.root, plan)
    repair(store, plan, inspection, tell)
    if retry_failed:
        store.forget_failures(plan)
    wanted = min(jobs or (_processors() if plan.strategy == "cpu" else 1), sum(not store.settled(c) for c in plan.cells))
    workers: list[_Worker] = []
    deaths: Counter = Counter()
    looked = -_LOOK
    try:
        workers += [_Worker(store, plan) for _ in range(wanted)]
        while workers:
            if time.monotonic() - looked >= _LOOK:
                watch(status(store, plan, len(workers)))
                looked = time.monotonic()
            time.sleep(_POLL)
            for worker in [worker for worker in workers if worker.ended]:
                workers.remove(worker)
                if worker.complaint:
                    raise TrainingError(
                        f"{worker.complaint} in {store.root}: what is done is kept, and the same command goes on later."
                    )
                if any(other.key for other in [worker, *workers]):
                    del deaths[""]  # processes do begin here: one that did not was unlucky
                if worker.process.returncode:
                    deaths[worker.key] += 1
                    if deaths[worker.key] >= _ATTEMPTS:
                        _give_up(store, plan, worker)
                if not all(map(store.settled, plan.cells)):
                    workers.append(_Worker(store, plan))
    finally:
        for worker in workers:
            worker.stop()
    result = status(store, plan)
    watch(result)
    return result


def require_possible(plan: Plan, store: Store, inspection: Inspection) -> None:
    """Raise InputError if a cell of a plan can never be done: no such data, or a ratio that its model cannot reach."""
    from tfrecall import experiment
    from tfrecall.study import tasks

    for cell in {cell.fingerprint: cell for cell in plan.cells if cell.key not in inspection.sound}.values():
        tasks.require_unchanged(cell)

    if plan.strategy == "gpu":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            raise InputError("strategy 'gpu' needs a GPU that TensorFlow sees, and there is none: use cpu.")
    counts: dict[tuple[str, str], dict] = {}
    for cell in plan.cells:
        if cell.baseline_key in inspection.sound:
            kind = cell.settings.model, cell.settings.dataset
            counts[kind] = counts.get(kind) or store.read(f"{cell.baseline_key}/config.json")["parameters"]
    for cell in plan.cells:
        kind = cell.settings.model, cell.settings.dataset
        if kind not in counts:
            # Not on a GPU, whose memory this process would hold as long as the study runs.
            settings = dataclasses.replace(cell.settings, strategy="cpu")
            model, _ = experiment.new_model(settings, experiment.load_data(settings))
            counts[kind] = experiment.parameters(model)
        try:
            experiment.require_feasible(cell.settings, counts[kind])
        except InputError as error:
            raise InputError(f"{cell}: {error}") from error


class _Worker:
    """A process of `tfrecall.study.worker`, and what it works on."""

    def __init__(self, store: Store, plan: Plan):
        logs = store.root / "logs"
        logs.mkdir(exist_ok=True)
        # TensorFlow's noise and whatever kills the process stand here.
        self.log = logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns()}.log"
        self.key = self.complaint = ""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        # Processes that share a GPU must not take all of its memory each.
        environment = {**os.environ, **threads, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tfrecall.study.worker", str(store.root.absolute())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        with contextlib.suppress(BrokenPipeError):  # it has ended already: its exit code tells
            self.process.stdin.write(json.dumps(to_dict(plan)) + "\n")
            self.process.stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def ended(self) -> bool:
        if self.process.poll() is None:
            return False
        self._close()
        return True

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        if self.process.returncode == 0:
            self.log.unlink(missing_ok=True)

    def _read(self) -> None:
        for line in self.process.stdout:
            if line.startswith("!"):
                self.complaint = line[1:].strip()
            else:
                self.key = line.strip()


def _give_up(store: Store, plan: Plan, worker: _Worker) -> None:
    """Record that what a worker was working on ends its process; raise if it never got to work at all."""
    if worker.key and store.done(worker.key):  # it was waiting for others
        return
    said = worker.log.read_text(errors="replace")[-4000:]
    code = worker.process.returncode
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    if not worker.key:
        last = said.strip().rpartition("\n")[2]
        raise TrainingError(f"the study's processes end with {how} before they begin: {last} ({worker.log} has the rest)")
    cell = next(cell for cell in plan.cells if worker.key in (cell.key, cell.baseline_key))
    what = str(cell) if worker.key == cell.key else f"baseline of {cell}"
    hint = " (out of memory? try fewer --jobs)" if code == -9 else ""
    with store.claim(worker.key) as mine:
        if mine and not store.done(worker.key):  # else another runner took it up, and will know better
            store.fail(worker.key, what, f"its process ended with {how}{hint}", said)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
