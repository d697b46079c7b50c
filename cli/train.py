"""``tfrecall train``: train a baseline and save it."""

from __future__ import annotations

import click
from tfrecall.cli import options
from tfrecall.cli.printing import say
from tfrecall.cli.session import progress, session


@click.command(short_help="Train a model by name and save it.")
@click.option(
    "--model",
    type=options.place,
    default="lenet5",
    show_default=True,
    metavar="NAME",
    help="A model's name: see tfrecall models.",
)
@options.dataset
@options.seed
@click.option(
    "--output", type=options.place, metavar="FILE", help="The .keras file to write.  [runs/MODEL-DATASET-seedN.keras]"
)
@options.overwrite
@options.strategy
@options.recipe(fine_tuning=False)
@options.quiet
@options.verbose
def command(model, dataset, seed, output, overwrite, strategy, quiet, verbose, **others):
    """Train a model by name, keep the weights of its best epoch, and save it for `prune --model FILE`."""
    with session(verbose=verbose) as result:
        from tfrecall import experiment
        from tfrecall.report import terminal

        recipe = options.chosen_recipe(model, others)
        settings = experiment.Settings(model=model, dataset=dataset, seed=seed, strategy=strategy, recipe=recipe)
        path, evaluation = experiment.train_to_file(settings, output, overwrite=overwrite, progress=progress(quiet))
        result.elsewhere = f"the model is in {path}"
        result.show(terminal.render_evaluation(evaluation))
    if not quiet:
        say(f"Written to {path}")
