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
@options.custom
@options.unsafe
@options.verbose
def command(model, dataset, form, head, rescale, preprocess, custom, unsafe, verbose):
    """Print the accuracy, recall, precision and F1 of MODEL, a saved Keras model, on the test images of a data set."""
    with session(verbose=verbose) as result:
        from tfrecall import comparison, models
        from tfrecall.report import document, terminal

        evaluation = comparison.evaluate(
            model,
            dataset,
            unsafe=unsafe,
            custom_objects=models.named_objects(custom),
            head=head,
            preprocess=options.chosen_preprocessing(rescale, preprocess),
        )
        result.document(evaluation, form, table=terminal.render_evaluation, markdown=document.evaluation_to_markdown)
