"""``tfrecall report``: compare any two models or files of predictions."""

from __future__ import annotations

import click
from tfrecall.cli import options
from tfrecall.cli.printing import print_report
from tfrecall.cli.session import session


@click.command(short_help="Compare two models, or predictions from anywhere, class by class.")
@click.argument("before")
@click.argument("after")
@click.option("--dataset", metavar="NAME|PATH", help="Where BEFORE or AFTER is a model: the data to test it on.")
@click.option("--level", type=float, default=0.95, show_default=True, help="Confidence level of the intervals.")
@click.option("--resamples", type=int, default=10_000, show_default=True, help="Bootstrap resamples of the test images.")
@options.seed
@options.format
@options.unsafe
@options.verbose
def command(before, after, dataset, level, resamples, seed, form, unsafe, verbose):
    """Report what happened to each class between BEFORE and AFTER.

    Each is a saved Keras model (then name the --dataset), or a file of predictions from anywhere: an .npz with y_true and
    y_pred or probabilities, or a .csv with the columns y_true,y_pred.
    """
    from tfrecall.report.predictions import is_predictions

    with session(verbose=verbose, tensorflow=not (is_predictions(before) and is_predictions(after))) as results:
        from tfrecall import comparison

        report = comparison.compare(
            before, after, dataset=dataset, level=level, resamples=resamples, seed=seed, unsafe=unsafe
        )
        with results():
            print_report(report, form)
