"""``tfrecall prune``: train or load a model, prune it, fine-tune it, report on it."""

from __future__ import annotations

import click
from tfrecall.cli import options
from tfrecall.cli.printing import say
from tfrecall.cli.session import progress, session


@click.command(short_help="Train or load, prune, fine-tune, and report on each class.")
@click.option(
    "--model",
    type=options.place,
    default="lenet5",
    show_default=True,
    metavar="NAME|PATH",
    help="A model's name, or a saved Keras model.",
)
@options.dataset
@click.option(
    "--ratio", type=float, default=0.5, show_default=True, help="Fraction removed (0.9), or parameters before/after (10)."
)
@click.option(
    "--algo", default="undecayed", show_default=True, metavar="NAME", help="What ranks the weights: see tfrecall algorithms."
)
@click.option(
    "--scope", default="global", show_default=True, metavar="global|layer", help="One ranking, or the same share a layer."
)
@click.option("--prune-classifier", is_flag=True, help="Let the classifier layer be pruned too.")
@options.seed
@click.option("--output", type=options.place, metavar="DIR", help="Where to write.  [runs/MODEL-DATASET-ALGO-RATIO-seedN]")
@options.overwrite
@options.format
@options.strategy
@options.head
@options.preprocessing
@options.custom
@options.unsafe
@options.recipe(fine_tuning=True)
@options.quiet
@options.verbose
def command(model, algo, prune_classifier, output, overwrite, form, rescale, preprocess, quiet, verbose, **others):
    """Train or load a model, prune it, fine-tune it with the masks held, and report what that did to each class.

    Leaves a folder with the pruned model (Keras and SavedModel), the baseline, the predictions, the report and its figures.
    """
    with session(verbose=verbose) as result:
        from tfrecall import experiment

        recipe = options.chosen_recipe(model, others)
        settings = experiment.Settings(
            model=model,
            algorithm=algo,
            include_classifier=prune_classifier,
            recipe=recipe,
            preprocess=options.chosen_preprocessing(rescale, preprocess),
            **others,
        )
        report = experiment.run(settings, output, overwrite=overwrite, progress=progress(quiet))
        result.report(report, form)
    if not quiet:
        say(f"Written to {output or settings.folder}/: open report.html there.")
