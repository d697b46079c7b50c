"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import click

_LONGEST_NAME = 255  # of a file or folder, on every file system in use


class _Place(click.ParamType):
    """A path, or a name in its place: not empty, no pipe or device, and with ~ replaced by the home that it stands for."""

    name = "path"

    def convert(self, value, param, ctx):
        if not value.strip() or "\0" in value:
            self.fail(f"expected a name or a path; got {value!r}.", param, ctx)
        if any(len(os.fsencode(name)) > _LONGEST_NAME for name in value.split(os.sep)):
            self.fail(f"{value}: a file's name may have {_LONGEST_NAME} bytes at most.", param, ctx)
        try:
            mode = os.stat(value).st_mode
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):  # nothing can be read or written there
                self.fail(f"{value}: {error.strerror}.", param, ctx)
            mode = stat.S_IFREG  # whoever reads the path says what is wrong with it
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a pipe would be waited for, a device never ends
            self.fail(f"{value} is a pipe or a device; expected a file or a folder.", param, ctx)
        if not value.startswith("~") or os.path.lexists(value):
            return value
        expanded = os.path.expanduser(value)
        if expanded == value:
            self.fail(f"'{value}' is in the home of a user that does not exist.", param, ctx)
        return expanded


place = _Place()

# Fields of a Recipe that can be overridden, in both phases, in training alone, and in fine-tuning alone.
_BOTH = (
    click.option(
        "--recipe", "recipe_name", default="default", metavar="NAME", help="Training recipe: default or paper.  [default]"
    ),
    click.option("--optimizer", metavar="NAME", help="sgd, adam or adamw."),
    click.option("--learning-rate-schedule", metavar="NAME", help="constant, cosine or step."),
    click.option("--momentum", type=float, help="Nesterov momentum of SGD, in [0, 1)."),
    click.option("--batch-size", type=int, help="Images a training step."),
    click.option(
        "--validation-fraction", type=float, help="Share of the training images held out to choose the best epoch."
    ),
)
_TRAINING = (
    click.option("--epochs", type=int, help="Epochs of training."),
    click.option("--learning-rate", type=float, help="Learning rate at the start of training."),
    click.option("--weight-decay", type=float, help="Coefficient of (ε/2)‖θ‖² on models built by name."),
    click.option("--initializer", metavar="NAME", help="Initial weights of models built by name: keras or pytorch."),
)
_FINE_TUNING = (
    click.option("--fine-tune-epochs", type=int, help="Epochs of fine-tuning after pruning."),
    click.option("--fine-tune-learning-rate", type=float, help="Learning rate at the start of fine-tuning."),
    click.option("--score-examples", type=int, help="Training images over which gradients are averaged."),
)

dataset = click.option(
    "--dataset",
    type=place,
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


def recipe(*, fine_tuning: bool) -> Callable:
    """Return the decorator that adds --recipe and the options that override its values."""

    def decorate(command: Callable) -> Callable:
        for option in reversed((*_BOTH, *_TRAINING, *(_FINE_TUNING if fine_tuning else ()))):
            command = option(command)
        return command

    return decorate


def chosen_recipe(model: str, options: dict):
    """Take a recipe's options out of a command's, and return the recipe that they give; none is ignored silently."""
    from tfrecall import models, training
    from tfrecall.errors import InputError

    fields = [field.name for field in dataclasses.fields(training.Recipe) if field.name in options]
    given = {name: value for name in fields if (value := options.pop(name)) is not None}
    chosen = training.recipe(options.pop("recipe_name"), model, **given)
    if "momentum" in given and chosen.optimizer != "sgd":
        raise InputError(f"--momentum is for sgd; {chosen.optimizer} has its own.")
    trained_already = model not in models.ARCHITECTURES and Path(model).exists()
    for name in ("epochs", "learning_rate", "initializer", *(["weight_decay"] if chosen.optimizer != "adamw" else [])):
        if name in given and trained_already:
            raise InputError(
                f"--{name.replace('_', '-')} is for training a model by name; a saved model is pruned as it is, and then "
                "fine-tuned."
            )
    return chosen
