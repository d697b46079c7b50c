"""One process of a study: it does what is missing, one claimed cell after the other, until nothing is left.

``python -m tfrecall.study.worker DIR``, with the plan as JSON in the first line of standard input. It prints the key that it
begins to work on, and ends at once when standard input is closed: when the process that started it is no more. A line that
begins with ``!`` says why nothing can be written, and is its last.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path

from tfrecall.study.cell import Cell
from tfrecall.study.plan import Plan, from_dict
from tfrecall.study.repair import retire_baseline, set_misfits_aside
from tfrecall.study.store import Store

_WAIT = 0.5  # seconds before looking again at what others work on
_PIECES = 200  # of work for one process: TensorFlow keeps some memory of each, a few megabytes


def work(store: Store, plan: Plan, begin=lambda key: None) -> None:
    """Do the missing cells of a plan that nobody else works on, until all are done or failed, or it is enough for a process.

    Parameters
    ----------
    store : Store
    plan : Plan
    begin : callable
        Called with each key before the work on it.
    """
    from tfrecall.study import tasks

    bench, pieces = tasks.Bench(), 0
    retired: set[str] = set()
    while pieces < _PIECES and (left := [cell for cell in plan.cells if not store.settled(cell)]):
        left.sort(key=lambda cell: cell.baseline_key != bench.key)  # what fits the data at hand comes first
        if any(_try(store, plan, cell, bench, begin, retired) for cell in left):
            pieces += 1
        else:
            time.sleep(_WAIT)


def _try(store: Store, plan: Plan, cell: Cell, bench, begin, retired: set[str]) -> bool:
    """Do one piece of work for a cell, its baseline or itself, unless somebody else does; say whether it was done."""
    from tfrecall.study import tasks

    if store.done(cell.baseline_key) and not store.done(cell.key) and retire_baseline(store, cell, retired):
        return True
    needs_baseline = not store.done(cell.baseline_key)
    key, task = (cell.baseline_key, tasks.train_baseline) if needs_baseline else (cell.key, tasks.run_cell)
    with store.claim(key) as mine:
        if not mine or store.settled(cell) or store.done(key):
            return False
        begin(key)
        try:
            task(store, cell, bench)
            if needs_baseline:
                set_misfits_aside(store, [other for other in plan.cells if other.baseline_key == key])
        except Exception as error:
            if cannot_write(error):  # no fault of the cell, and the next one would be lost like this one
                raise
            what = f"baseline of {cell}" if needs_baseline else str(cell)
            line = f"{type(error).__name__}: {' '.join(str(error).split())}"
            store.fail(key, what, line, traceback.format_exc())
            bench.key = ""
    return True


def main() -> None:
    """Work as a process of its own; see the module."""
    # What a library prints must not be taken for a key: keys go to the real standard output, the rest to the log.
    keys = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    plan = from_dict(json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()

    import tensorflow as tf

    # Results must not depend on how many processes share the machine, and sums depend on the number of threads.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        work(Store(Path(sys.argv[1])), plan, begin=lambda key: print(key, file=keys))
    except Exception as error:
        if reason := cannot_write(error):
            print(f"!{reason}", file=keys)
            sys.exit(1)
        raise


def cannot_write(error: BaseException | None) -> str | None:
    """Return why nothing can be written, if that is behind an error: libraries make errors of their own of it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error may name itself, or go round, as its own cause
        seen.add(id(error))
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                return os.strerror(number).lower()
        error = error.__cause__ or error.__context__
    return None


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
