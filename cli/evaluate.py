"""``tfrecall evaluate``: accuracy and recall by class of one saved model."""

from __future__ import annotations

import click
from tfrecall.cli import options
from tfrecall.cli.session import session


@click.command(short_help="Accuracy and recall by class of one saved model.")
@click.argument("model")
@options.dataset
@options.format
@options.unsafe
@options.verbose
def command(model, dataset, form, unsafe, verbose):
    """Print the accuracy, recall, precision and F1 of MODEL, a saved Keras model, on the test images of a data set."""
    with session(verbose=verbose) as results:
        from tfrecall.cli.printing import print_document

        from tfrecall import comparison
        from tfrecall.report import document, terminal

        evaluation = comparison.evaluate(model, dataset, unsafe=unsafe)
        with results():
            print_document(evaluation, form, terminal.render_evaluation, document.evaluation_to_markdown)
