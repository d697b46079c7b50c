"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

_RECIPE = (
    click.option(
        "--recipe", "recipe_name", default="default", metavar="NAME", help="Training recipe: default or paper.  [default]"
    ),
    click.option("--epochs", type=int, help="Epochs of training."),
    click.option("--fine-tune-epochs", type=int, help="Epochs of fine-tuning after pruning."),
    click.option("--batch-size", type=int, help="Images a training step."),
    click.option("--optimizer", metavar="NAME", help="sgd, adam or adamw."),
    click.option("--learning-rate", type=float, help="Learning rate at the start of training."),
    click.option("--fine-tune-learning-rate", type=float, help="Learning rate at the start of fine-tuning."),
    click.option("--learning-rate-schedule", metavar="NAME", help="constant, cosine or step."),
    click.option("--momentum", type=float, help="Nesterov momentum of SGD, in [0, 1)."),
    click.option("--weight-decay", type=float, help="Coefficient of (ε/2)‖θ‖² on models built by name."),
    click.option(
        "--validation-fraction", type=float, help="Share of the training images held out to choose the best epoch."
    ),
    click.option("--score-examples", type=int, help="Training images over which gradients are averaged."),
)
RECIPE_FIELDS = (
    "epochs",
    "fine_tune_epochs",
    "batch_size",
    "optimizer",
    "learning_rate",
    "fine_tune_learning_rate",
    "learning_rate_schedule",
    "momentum",
    "weight_decay",
    "validation_fraction",
    "score_examples",
)
_TRAINING_FIELDS = ("epochs", "learning_rate", "weight_decay")  # which a saved model, trained already, has no use for

dataset = click.option(
    "--dataset",
    default="digits",
    show_default=True,
    metavar="NAME|PATH",
    help="Embedded digits, a TFDS name, an .npz file or a folder of class folders.",
)
seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
strategy = click.option(
    "--strategy", default="auto", show_default=True, metavar="NAME", help="auto (all GPUs, else CPU), cpu, gpu or mirrored."
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote there, and nothing else.")
unsafe = click.option("--unsafe", is_flag=True, help="Load model files that run code on loading (Lambda layers).")
quiet = click.option("--quiet", "-q", is_flag=True, help="Print the result alone.")
verbose = click.option("--verbose", "-v", is_flag=True, help="Let TensorFlow's log messages through, and show tracebacks.")
format = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "markdown"]),
    default="table",
    show_default=True,
    help="What to print on standard output.",
)


def recipe(command: Callable) -> Callable:
    """Add --recipe and the options that override its values."""
    for option in reversed(_RECIPE):
        command = option(command)
    return command


def chosen_recipe(model: str, options: dict):
    """Take a recipe's options out of a command's, and return the recipe that they give."""
    from tfrecall import models, training
    from tfrecall.errors import InputError

    overrides = {name: options.pop(name) for name in RECIPE_FIELDS}
    idle = [name for name in _TRAINING_FIELDS if overrides[name] is not None]
    if idle and model not in models.ARCHITECTURES and Path(model).exists():
        option = f"--{idle[0].replace('_', '-')}"
        raise InputError(f"{option} is for training a model by name; a saved model is pruned as it is, and then fine-tuned.")
    return training.recipe(options.pop("recipe_name"), model, **overrides)
