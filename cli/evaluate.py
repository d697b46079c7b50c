"""``tfrecall evaluate``: accuracy and recall by class of one saved model."""

from __future__ import annotations

import click
from tfrecall.cli import options
from tfrecall.cli.session import session


@click.command(short_help="Accuracy and recall by class of one saved model.")
@click.argument("model", type=options.place)
@options.dataset
@options.format
@options.head
@options.preprocessing
@options.unsafe
@options.verbose
def command(model, dataset, form, head, rescale, preprocess, unsafe, verbose):
    """Print the accuracy, recall, precision and F1 of MODEL, a saved Keras model, on the test images of a data set."""
    with session(verbose=verbose) as result:
        from tfrecall import comparison
        from tfrecall.report import document, terminal

        chosen = options.chosen_preprocessing(rescale, preprocess)
        evaluation = comparison.evaluate(model, dataset, unsafe=unsafe, head=head, preprocess=chosen)
        result.document(evaluation, form, table=terminal.render_evaluation, markdown=document.evaluation_to_markdown)
