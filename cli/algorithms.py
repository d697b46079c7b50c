"""``tfrecall algorithms``: the criteria that rank weights."""

from __future__ import annotations

import click
from tfrecall.cli.session import session


@click.command(short_help="List the criteria that rank weights.")
def command():
    """List the criteria that rank weights: the lowest scores are pruned."""
    with session(tensorflow=False) as results:
        from tfrecall.criteria import CRITERIA, SHORT
        from tfrecall.report import terminal

        short = {full: name for name, full in SHORT.items()}
        rows = [(name, short.get(name, ""), cls.__doc__.splitlines()[0]) for name, cls in CRITERIA.items()]
        with results():
            terminal.show(terminal.table("Algorithms", ("name", "short", "score"), rows, words=3))
