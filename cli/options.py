"""Options that several commands share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import click

from tfrecall.errors import InputError
from tfrecall.publishing import expanded


class _Place(click.ParamType):
    """A path, or a name in its place, as `tfrecall.publishing.expanded` takes it."""

    name = "path"

    def convert(self, value, param, ctx):
        try:
            return expanded(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


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
head = click.option(
    "--head",
    metavar="NAME",
    help="What the model's outputs are: softmax, logits, sigmoid, sigmoid-logits, binary or binary-logits.  [found out]",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote there, and nothing else.")
_rescale = click.option(
    "--rescale", metavar="SCALE[,OFFSET]", help="For a saved model that was trained on pixels·SCALE + OFFSET, such as 1/255."
)
_preprocess = click.option(
    "--preprocess", metavar="MODE", help="For one that was trained on Keras's preprocess_input: caffe, tf or torch."
)
unsafe = click.option("--unsafe", is_flag=True, help="Load model files that run code on loading (Lambda layers).")
custom = click.option(
    "--custom",
    multiple=True,
    metavar="MODULE:OBJECT",
    help="A layer or function of your own that the model file names: layers.py:Scale or package.layers:Scale. Repeatable.",
)
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


def preprocessing(command: Callable) -> Callable:
    """Add --rescale and --preprocess."""
    return _rescale(_preprocess(command))


def chosen_preprocessing(rescale: str | None, preprocess: str | None) -> str | None:
    """Return the library's one argument for what the two options say."""
    from tfrecall import datasets
    from tfrecall.errors import InputError, unknown

    if rescale is not None and preprocess is not None:
        raise InputError("--rescale and --preprocess exclude each other: leave one out.")
    if preprocess is not None and preprocess not in datasets.MODES:
        raise unknown("mode for --preprocess", preprocess, datasets.MODES)
    if rescale in datasets.MODES:
        raise InputError(f"--rescale takes numbers, such as 1/255; {rescale} is a mode: use --preprocess {rescale}.")
    return preprocess if rescale is None else rescale


def recipe(*, fine_tuning: bool) -> Callable:
    """Return the decorator that adds --recipe and the options that override its values."""

    def decorate(command: Callable) -> Callable:
        for option in reversed((*_BOTH, *_TRAINING, *(_FINE_TUNING if fine_tuning else ()))):
            command = option(command)
        return command

    return decorate


def chosen_settings(config: str | None, options: dict):
    """Return the settings that a command's options give, or those of a config.json with the options that were given.

    Parameters
    ----------
    config : str or None
        The path of a run's config.json.
    options : dict
        Options by name: of each setting, and of what `recipe` adds.
    """
    from tfrecall.errors import InputError
    from tfrecall.settings import Settings, read_settings

    if config is None:
        chosen = chosen_recipe(options["model"], options)
        return Settings(recipe=chosen, **options)
    repeated = read_settings(config)
    # --rescale and --preprocess are two options for one setting, None where neither was given.
    given = {n: value for n, value in options.items() if (value is not None if n == "preprocess" else _is_given(n))}
    # A file that came from elsewhere must not decide that its model may run code.
    if repeated.unsafe and not given.get("unsafe"):
        raise InputError(f"the run of {config} loaded its model with --unsafe: give --unsafe again if you trust it.")
    if repeated.custom and not given.get("custom"):
        names = " ".join(f"--custom {name}" for name in repeated.custom)
        raise InputError(f"the run of {config} imported code for its model: give {names} again if you trust it.")
    given.setdefault("recipe_name", None)
    chosen = chosen_recipe(given.get("model", repeated.model), given, repeated.recipe)
    return dataclasses.replace(repeated, recipe=chosen, **given)


def _is_given(name: str) -> bool:
    """Say whether an option of the current command was given, and is not its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def chosen_recipe(model: str, options: dict, base=None):
    """Take a recipe's options out of a command's, and return the recipe that they give; none is ignored silently.

    Without a recipe's name, they replace values of `base`.
    """
    from tfrecall import models, training
    from tfrecall.errors import InputError

    fields = [field.name for field in dataclasses.fields(training.Recipe) if field.name in options]
    given = {name: value for name in fields if (value := options.pop(name)) is not None}
    name = options.pop("recipe_name")
    chosen = training.recipe(name, model, **given) if name is not None else dataclasses.replace(base, **given)
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
