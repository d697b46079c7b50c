"""``tfrecall models``: the models that can be built by name."""

from __future__ import annotations

import click
from tfrecall.cli.session import session


@click.command(short_help="List the models that can be built by name.")
def command():
    """List the models that can be built by name. Any saved Keras model is accepted in place of a name."""
    with session(tensorflow=False) as results:
        from tfrecall.models import ARCHITECTURES
        from tfrecall.report import terminal

        rows = [(name, known.description, f"{known.parameters:,}") for name, known in ARCHITECTURES.items()]
        with results():
            terminal.show(terminal.table("Models", ("name", "description", "parameters"), rows, words=2))
