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
    "--algo",
    "algorithm",
    default="undecayed",
    show_default=True,
    metavar="NAME",
    help="What ranks the weights: see tfrecall algorithms.",
)
@click.option(
    "--scope", default="global", show_default=True, metavar="global|layer", help="One ranking, or the same share a layer."
)
@click.option("--prune-classifier", "include_classifier", is_flag=True, help="Let the classifier layer be pruned too.")
@options.seed
@click.option(
    "--config",
    type=options.place,
    metavar="FILE",
    help="Repeat the run whose config.json this is; options that are given too replace what it says.",
)
@click.option("--output", type=options.place, metavar="DIR", help="Where to write.  [runs/MODEL-DATASET-ALGO-RATIO-seedN]")
@options.overwrite
@click.option("--resume", is_flag=True, help="Continue a run with the same settings that was stopped, or start it.")
@options.format
@options.strategy
@options.head
@options.preprocessing
@options.custom
@options.unsafe
@options.recipe(fine_tuning=True)
@options.quiet
@options.verbose
def command(config, output, overwrite, resume, form, rescale, preprocess, quiet, verbose, **chosen):
    """Train or load a model, prune it, fine-tune it with the masks held, and report what that did to each class.

    Leaves a folder with the pruned model (Keras and SavedModel), the baseline, the predictions, the report and its figures.
    """
    folder = None

    def kept() -> str:
        from tfrecall import experiment

        return "" if folder is None else experiment.kept(folder)

    with session(verbose=verbose, kept=kept) as result:
        from tfrecall import experiment
        from tfrecall.errors import IncompleteError

        chosen["preprocess"] = options.chosen_preprocessing(rescale, preprocess)
        settings = options.chosen_settings(config, chosen)
        folder = experiment.run_folder(settings, output)
        try:
            report = experiment.run(settings, folder, overwrite=overwrite, resume=resume, progress=progress(quiet))
        except IncompleteError as error:
            result.report(error.report, form)
            raise
        result.elsewhere = f"the files are in {folder}"
        result.report(report, form)
    if not quiet:
        say(f"Written to {folder}/: open report.html there.")
