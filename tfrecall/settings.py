"""All that determines a run's result, as data. Importing this loads no TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from dataclasses import dataclass
from pathlib import Path

from tfrecall import criteria, datasets, models, sparsity
from tfrecall.errors import InputError, unknown
from tfrecall.publishing import expanded
from tfrecall.training import STRATEGIES, Recipe

# What every config.json holds, version 0.1's too. Of a field that came later and is missing, the default says what was done.
_ALWAYS = {
    *("model", "dataset", "ratio", "algorithm", "scope", "include_classifier", "seed", "recipe", "strategy", "unsafe"),
    *("optimizer", "learning_rate", "fine_tune_learning_rate", "learning_rate_schedule", "momentum", "weight_decay"),
    *("batch_size", "epochs", "fine_tune_epochs", "validation_fraction", "score_examples"),
}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", types.NoneType: "null"}


@dataclass(frozen=True)
class Settings:
    """All that determines a run's result.

    Attributes
    ----------
    model : str
        A name of `tfrecall.models.ARCHITECTURES`, or the path of a saved Keras model, which is pruned as it is.
    dataset : str
        As `tfrecall.datasets.load` takes it.
    ratio : float or None
        Below 1 the fraction of parameters removed, above 1 parameters before / after. None prunes nothing: the control
        arm (t = 1), which is fine-tuned like the others.
    algorithm : str
        Full or short name of a criterion.
    scope : {"global", "layer"}
    include_classifier : bool
        Whether the classifier may be pruned.
    seed : int
        Of the weights, the order of the images, the validation split and random pruning.
    recipe : Recipe
    strategy : str
        As `tfrecall.training.strategy` takes it.
    unsafe : bool
        Whether a model file may run code on loading.
    custom : sequence of str
        Classes and functions that a model file may name besides those of Keras: each ``module:object``, as
        `tfrecall.models.named_objects` takes it.
    head : str or None
        What the outputs of a model file are, one of `tfrecall.models.HEADS`; None leaves it to `tfrecall.models.head_of`.
    preprocess : str or None
        What a saved model's user did to raw pixels outside the model, as `tfrecall.datasets.preprocessing` takes it:
        ``"1/255"``, ``"1/127.5,-1"``, ``"caffe"``, ``"tf"`` or ``"torch"``. None hands the model raw pixels.
    """

    model: str = "lenet5"
    dataset: str = "digits"
    ratio: float | None = 0.5
    algorithm: str = "undecayed"
    scope: str = "global"
    include_classifier: bool = False
    seed: int = 0
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    strategy: str = "auto"
    unsafe: bool = False
    custom: tuple[str, ...] = ()
    head: str | None = None
    preprocess: str | None = None

    def __post_init__(self):
        if self.ratio is not None:
            sparsity.sparsity(self.ratio)
        object.__setattr__(self, "algorithm", criteria.canonical(self.algorithm))
        if isinstance(self.custom, str):
            raise InputError(f"custom takes a list of names; got the text {self.custom!r}: write [{self.custom!r}].")
        object.__setattr__(self, "custom", tuple(self.custom))
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES)
        if self.scope not in sparsity.SCOPES:
            raise unknown("scope", self.scope, sparsity.SCOPES)
        if not (isinstance(self.seed, int) and 0 <= self.seed < 2**31):
            raise InputError(f"seed must be a whole number between 0 and {2**31 - 1}; got {self.seed}.")
        if self.head is not None and self.head not in models.HEADS:
            raise unknown("head", self.head, models.HEADS)
        if self.head is not None and self.trained_here:
            raise InputError(f"head (--head) is for a saved model; {self.model} is built here, with softmax.")
        datasets.require_name(self.dataset)
        datasets.preprocessing(self.preprocess)
        if self.preprocess is not None and self.trained_here:
            raise InputError(
                f"{self.model} takes raw pixels, which its first layer normalizes: --rescale and --preprocess are for saved "
                "models."
            )
        if not self.trained_here:
            object.__setattr__(self, "model", expanded(self.model))
        if self.model not in models.ARCHITECTURES and not Path(self.model).exists():
            if Path(self.model).suffix or os.sep in self.model:
                raise InputError(
                    f"no model file at {self.model}: give a .keras or .h5 file, a SavedModel folder, or a name."
                )
            raise unknown("model", self.model, models.ARCHITECTURES, "A path to a saved Keras model is accepted too.")

    @property
    def trained_here(self) -> bool:
        """Whether the baseline is built by name and trained, not loaded from a file."""
        return self.model in models.ARCHITECTURES

    @property
    def folder(self) -> Path:
        """Where a run is written by default."""
        model, data = stem(self.model), stem(self.dataset)
        arm = "control" if self.ratio is None else f"{self.algorithm}-{self.ratio:g}"
        return Path("runs") / f"{model}-{data}-{arm}-seed{self.seed}"


def read_settings(path: str | os.PathLike) -> Settings:
    """Read the settings of a run from its ``config.json``.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Settings
        Those that the run had. Fields that its version of tfrecall did not have yet get their defaults.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, or it holds no settings that this version understands.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the config.json in it.")
    if not path.is_file():
        raise InputError(f"no file at {path}: give the config.json of a run.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged, or no config.json of a run: {error}") from error
    if not isinstance(content, dict) or "settings" not in content:
        raise InputError(f"{path} is no config.json of a run: expected an object with 'settings'.")
    try:
        return _from_json(content["settings"], Settings, "settings")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _from_json(value, kind: type, name: str):
    """Return a dataclass made from JSON, after checking that each field is known, there, and of its type."""
    if not isinstance(value, dict):
        raise InputError(f"{name} must be an object; got {_shown(value)}.")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            raise unknown(f"field of {name}", key, hints)
    missing = [key for key in hints if key in _ALWAYS and key not in value]
    if missing:
        raise InputError(f"{name} lacks {', '.join(missing)}: give the config.json of a run as it was written.")
    return kind(**{key: _value(item, hints[key], f"{name}.{key}") for key, item in value.items()})


def _value(value, hint, name: str):
    """Return a value of JSON as a field of this type holds it, or raise InputError."""
    if dataclasses.is_dataclass(hint):
        return _from_json(value, hint, name)
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if isinstance(value, list):
        for kind in kinds:
            if typing.get_origin(kind) is tuple:
                return tuple(_value(item, typing.get_args(kind)[0], name) for item in value)
    if type(value) in kinds or (type(value) is int and float in kinds and abs(value) < 2**53):
        return value
    expected = " or ".join(_KINDS.get(kind, "a list") for kind in kinds)
    raise InputError(f"{name} must be {expected}; got {_shown(value)}.")


def _shown(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def stem(name: str) -> str:
    """Return what a model or data set is called in the names of files."""
    path = Path(name)
    if path.suffix in (".keras", ".h5", ".hdf5", ".npz"):
        return path.stem
    plain = path.absolute().name if path.exists() else name  # TFDS has names like emnist/balanced:3.0.1
    return plain.replace("/", "-").replace(":", "-")
