"""How far a study has got."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from tfrecall.study import manifest
from tfrecall.study.cell import Cell
from tfrecall.study.plan import Plan
from tfrecall.study.store import Store

_LONGEST = 1e8  # seconds, of one result: three years


@dataclass(frozen=True)
class Status:
    """The cells of a plan by what has become of them.

    Attributes
    ----------
    done, failed, running, missing : int
        Each cell counts once. Plan entries that share one result, such as gradient and undecayed pruning without weight
        decay, count as one cell.
    baselines, baselines_done : int
        Trained models that the cells need, and how many there are.
    training : int
        Baselines that are being trained.
    seconds_left : float or None
        At the speed so far; None before the first cell is done, or while nothing runs.
    """

    done: int
    failed: int
    running: int
    missing: int
    baselines: int
    baselines_done: int
    training: int
    seconds_left: float | None

    @property
    def total(self) -> int:
        """All cells."""
        return self.done + self.failed + self.running + self.missing


def status(store: Store, plan: Plan, jobs: int | None = None, damaged: Collection[str] = ()) -> Status:
    """Count a study's cells.

    Parameters
    ----------
    store : Store
    plan : Plan
    jobs : int, optional
        How many processes work on it, for the time left; by default as many as hold a claim.
    damaged : collection of str
        Keys that count as missing although something is there, such as those of `tfrecall.study.inspection.inspect`.
    """
    cells = {cell.key: cell for cell in plan.cells}
    baselines = {cell.baseline_key: cell for cell in plan.cells}
    # One after the other from what is left, so that a cell that is finished meanwhile still counts once.
    left = dict(cells)
    done = [left.pop(key) for key in cells if store.done(key) and key not in damaged]
    failed = [left.pop(key) for key, cell in list(left.items()) if store.failed(cell)]
    left = list(left.values())
    running = [cell for cell in left if store.claimed(cell.key)]
    trained = {key: cell for key, cell in baselines.items() if store.done(key) and key not in damaged}
    untrained = [cell for key, cell in baselines.items() if key not in trained and not store.failed(cell)]
    training = [cell for cell in untrained if store.claimed(cell.baseline_key)]
    working = jobs or len(running) + len(training)
    needed = [
        _seconds(store, [(cell, cell.key) for cell in done], left),
        _seconds(store, [(cell, key) for key, cell in trained.items()], untrained),
    ]
    return Status(
        done=len(done),
        failed=len(failed),
        running=len(running),
        missing=len(left) - len(running),
        baselines=len(baselines),
        baselines_done=len(trained),
        training=len(training),
        seconds_left=sum(needed) / working if working and None not in needed else None,
    )


def _seconds(store: Store, known: list[tuple[Cell, str]], wanted: list[Cell]) -> float | None:
    """Return how long the wanted take, each like the known ones of its model and data, or like all if there are none."""
    if not wanted:
        return 0.0
    times: dict[tuple, list[float]] = {}
    for cell, key in known:
        if (taken := _taken(store, key)) is not None:
            times.setdefault(_kind(cell), []).append(taken)
    if not times:
        return None
    mean = fmean(time for found in times.values() for time in found)
    return sum(fmean(times.get(_kind(cell), [mean])) for cell in wanted)


def _kind(cell: Cell) -> tuple[str, str]:
    return cell.settings.model, cell.settings.dataset


@cache
def _taken(store: Store, key: str) -> float | None:
    """Return how long a key took; None if its file does not say, which is no reason to do it again."""
    try:
        seconds = store.read(f"{key}/{manifest.SECONDS}").get("seconds")
    except manifest.DamageError:
        return None
    return seconds if isinstance(seconds, (int, float)) and 0 <= seconds < _LONGEST else None
