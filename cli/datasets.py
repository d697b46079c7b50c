"""``tfrecall datasets``: the data sets that are known by name."""

from __future__ import annotations

import click
from tfrecall.cli.session import session


@click.command(short_help="List data sets, and which are ready on this machine.")
def command():
    """List well-known data sets, and which are ready on this machine.

    Any other TFDS image classification set is accepted by its name, and so are an .npz file with x_train, y_train,
    x_test and y_test, and a folder of class folders.
    """
    with session(tensorflow=False) as results:
        from tfrecall import datasets
        from tfrecall.report import terminal

        rows = [
            (
                known.name,
                known.description,
                str(known.classes),
                "×".join(map(str, known.image_shape)) if known.image_shape else "various",
                "yes" if known.ready else "no",
            )
            for known in datasets.known()
        ]
        with results():
            terminal.show(terminal.table("Data sets", ("name", "description", "classes", "image", "ready"), rows, words=2))
        click.echo("A set that is not ready is downloaded when first used, or by: tfds build NAME", err=True)
