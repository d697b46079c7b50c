"""Showing how far a study has got: a bar on a terminal, a line now and then elsewhere, a table when asked."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from tfrecall.cli.printing import say

_SECONDS = 30.0  # between two lines where there is no terminal


@contextlib.contextmanager
def watching(quiet: bool) -> Iterator[Callable]:
    """Give the function that shows a `tfrecall.study.status.Status`, on standard error."""
    if quiet:
        yield lambda status: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


def describe(status) -> str:
    """Say in one line how far a study has got."""
    parts = [f"{status.done} of {status.total} done", f"{status.running} running"]
    if status.training:
        parts.append(f"{status.training} baseline{'s' * (status.training != 1)} training")
    if status.failed:
        parts.append(f"{status.failed} failed")
    if status.seconds_left:
        parts.append(f"about {duration(status.seconds_left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time in hours, minutes and seconds, such as ``1:23:45``."""
    return str(timedelta(seconds=round(seconds)))


def table(status, failures: dict[str, dict]):
    """Return a study's status, and what failed, as one thing that rich prints."""
    from rich.console import Group
    from rich.text import Text

    from tfrecall.report.terminal import table as rows
    from tfrecall.text import brief

    counts = [
        ("done", str(status.done)),
        ("running", str(status.running)),
        ("failed", str(status.failed)),
        ("missing", str(status.missing)),
        ("all cells", str(status.total)),
        (
            "baselines",
            f"{status.baselines_done} of {status.baselines}" + (f", {status.training} training" if status.training else ""),
        ),
    ]
    if status.seconds_left is not None:
        counts.append(("time left", duration(status.seconds_left)))
    parts = [rows("Study", ("", "cells"), counts)]
    parts += [Text(brief(f"Failed: {failure['what']}: {failure['error']}"), style="red") for failure in failures.values()]
    return Group(*parts)


def _lines() -> Callable:
    shown = {"at": -math.inf, "settled": -1}

    def show(status) -> None:
        settled = status.done + status.failed
        due = time.monotonic() - shown["at"] >= _SECONDS or settled == status.total
        if settled != shown["settled"] and due:
            say(describe(status))
            shown.update(at=time.monotonic(), settled=settled)

    return show


@contextlib.contextmanager
def _bar() -> Iterator[Callable]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda status: progress.update(
            task, total=status.total, completed=status.done + status.failed, description=describe(status)
        )
