"""``tfrecall report``: compare any two models or files of predictions."""

from __future__ import annotations

import click
from tfrecall.cli import options
from tfrecall.cli.session import session


@click.command(short_help="Compare two models, or predictions from anywhere, class by class.")
@click.argument("before", type=options.place)
@click.argument("after", type=options.place, required=False)
@click.option(
    "--dataset", type=options.place, metavar="NAME|PATH", help="Where BEFORE or AFTER is a model: the data to test it on."
)
@click.option("--level", type=float, default=0.95, show_default=True, help="Confidence level of the intervals.")
@click.option("--resamples", type=int, default=10_000, show_default=True, help="Bootstrap resamples of the test images.")
@options.seed
@options.format
@options.head
@options.preprocessing
@options.custom
@options.unsafe
@options.verbose
def command(before, after, dataset, level, resamples, seed, form, head, rescale, preprocess, custom, unsafe, verbose):
    """Report what happened to each class between BEFORE and AFTER.

    Each is a saved Keras model (then name the --dataset), or a file of predictions from anywhere: an .npz with y_true and
    y_pred or probabilities, or a .csv with the columns y_true,y_pred.

    Each may also be the folder of a `tfrecall prune` run, which stands for its pruned model. One such folder alone is
    compared with its own baseline.
    """
    from tfrecall.report.predictions import is_predictions

    files = is_predictions(before) and (after is None or is_predictions(after))
    with session(verbose=verbose, tensorflow=not files) as result:
        from tfrecall import comparison, models

        report = comparison.compare(
            before,
            after,
            dataset=dataset,
            level=level,
            resamples=resamples,
            seed=seed,
            unsafe=unsafe,
            custom_objects=models.named_objects(custom),
            head=head,
            preprocess=options.chosen_preprocessing(rescale, preprocess),
        )
        result.report(report, form)
