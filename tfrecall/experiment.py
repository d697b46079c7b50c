"""One run: train → prune → fine-tune → measure → save. The command line and studies are made of these steps."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np

from tfrecall import criteria, datasets, models, sparsity, training
from tfrecall.errors import InputError, unknown
from tfrecall.publishing import require_place, whole
from tfrecall.report import document, figures
from tfrecall.report.distortion import distortion
from tfrecall.report.export import export
from tfrecall.report.performance import performance
from tfrecall.training import Recipe

#: what a run writes into its folder, and all that overwriting replaces
WRITTEN = (
    "config.json",
    "baseline.keras",
    "pruned.keras",
    *(f"saved_model/{name}" for name in ("saved_model.pb", "fingerprint.pb", "variables", "assets")),
    "predictions.npz",
    "report.json",
    "report.md",
    *(f"figures/{name}" for name in figures.NAMES),
)
_PACKAGES = (
    "tfrecall",
    "tensorflow",
    "tf_keras",
    "tensorflow-model-optimization",
    "tensorflow-datasets",
    "numpy",
    "scipy",
    "scikit-learn",
)


@dataclass(frozen=True)
class Settings:
    """All that determines a run's result.

    Attributes
    ----------
    model : str
        A name of `tfrecall.models.ARCHITECTURES`, or the path of a saved Keras model, which is pruned as it is.
    dataset : str
        As `tfrecall.datasets.load` takes it.
    ratio : float
        Below 1 the fraction of parameters removed, above 1 parameters before / after.
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
    """

    model: str = "lenet5"
    dataset: str = "digits"
    ratio: float = 0.5
    algorithm: str = "undecayed"
    scope: str = "global"
    include_classifier: bool = False
    seed: int = 0
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    strategy: str = "auto"
    unsafe: bool = False

    def __post_init__(self):
        sparsity.sparsity(self.ratio)
        object.__setattr__(self, "algorithm", criteria.canonical(self.algorithm))
        if self.scope not in sparsity.SCOPES:
            raise unknown("scope", self.scope, sparsity.SCOPES)
        if not (isinstance(self.seed, int) and 0 <= self.seed < 2**31):
            raise InputError(f"seed must be a whole number between 0 and {2**31 - 1}; got {self.seed}.")
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
        model, data = _stem(self.model), _stem(self.dataset)
        return Path("runs") / f"{model}-{data}-{self.algorithm}-{self.ratio:g}-seed{self.seed}"


def start(settings: Settings):
    """Seed everything; load the data and the model, the model under the strategy's scope.

    Returns
    -------
    data : tfrecall.datasets.Dataset
        Its images resized to what the model takes.
    model : tf_keras.Model
        New, or loaded from its file.
    scope : tf.distribute.Strategy
        Under whose ``scope()`` whatever is built next is to be built.

    Raises
    ------
    InputError
        If the model or the data cannot be had, or do not fit each other.
    """
    from tfrecall import pruning

    training.seed_everything(settings.seed)
    scope = training.strategy(settings.strategy)
    fraction = settings.recipe.validation_fraction
    if settings.trained_here:
        resize = partial(models.image_shape, settings.model)
        data = datasets.load(settings.dataset, image_shape=resize, validation_fraction=fraction, seed=settings.seed)
        mean, variance = data.pixel_moments()
        with scope.scope():
            model = models.build(
                settings.model,
                data.image_shape,
                len(data.class_names),
                mean=mean,
                variance=variance,
                weight_decay=settings.recipe.penalty,
            )
    else:
        with scope.scope():
            # A model saved while it was being pruned would be pruned further in place, and the baseline lost.
            model = pruning.strip(models.load(settings.model, unsafe=settings.unsafe))
        models.require_image_classifier(model, settings.model)
        resize = partial(models.input_shape, model)
        data = datasets.load(settings.dataset, image_shape=resize, validation_fraction=fraction, seed=settings.seed)
    models.require_classes(model, settings.model, data.name, len(data.class_names))
    return data, model, scope


def train(settings: Settings, data, model, scope, progress: str = "none"):
    """Train a baseline in place, by the recipe; returns it compiled."""
    recipe = settings.recipe
    steps = recipe.epochs * _steps(data.train, recipe)
    with scope.scope():
        training.compile_model(model, recipe, steps)
    training.fit(model, data.train, data.validation, recipe, epochs=recipe.epochs, seed=settings.seed, progress=progress)
    return model


def prune_and_fine_tune(settings: Settings, data, baseline, scope, progress: str = "none"):
    """Prune a compiled baseline and fine-tune the result with its masks held.

    Returns
    -------
    pruned : tf_keras.Model
        Plain, compiled.
    one_shot : ndarray of float32, shape (images, classes)
        Probabilities on the test images right after pruning.
    """
    from tfrecall import pruning

    recipe = settings.recipe
    steps = recipe.fine_tune_epochs * _steps(data.train, recipe)
    with scope.scope():
        wrapped = pruning.prune(
            baseline,
            settings.ratio,
            settings.algorithm,
            data.train.sample(recipe.score_examples, settings.seed),
            scope=settings.scope,
            seed=settings.seed,
            include_classifier=settings.include_classifier,
        )
        training.compile_model(wrapped, recipe, steps, fine_tune=True)
    one_shot = training.predict(wrapped, data.test)
    training.fit(
        wrapped,
        data.train,
        data.validation,
        recipe,
        epochs=recipe.fine_tune_epochs,
        seed=settings.seed + 1,
        callbacks=[pruning.PruningCallback()],
        progress=progress,
    )
    with scope.scope():
        pruned = pruning.strip(wrapped)
        training.compile_model(pruned, recipe, steps, fine_tune=True)
    return pruned, one_shot


def require_feasible(settings: Settings, model) -> None:
    """Raise InputError unless the model can be pruned to the ratio: before hours of training, not after."""
    from tfrecall import weights

    sparsity.budget(
        sparsity.sparsity(settings.ratio),
        weights.total_parameters(model),
        sum(weight.size for weight in weights.removable(model, settings.include_classifier).values()),
    )


def run(
    settings: Settings, output: str | os.PathLike | None = None, *, overwrite: bool = False, progress: str = "none"
) -> dict:
    """Do the main job, from data to a folder with the pruned model and the report.

    Parameters
    ----------
    settings : Settings
    output : path-like, optional
        The folder to leave; ``runs/MODEL-DATASET-ALGO-RATIO-seedN`` by default. It appears whole, at the end.
    overwrite : bool
        Whether to replace what an earlier run wrote there; anything else in the folder stays.
    progress : {"bar", "lines", "none"}
        What training prints.

    Returns
    -------
    dict
        The report, as in its ``report.json``.

    Raises
    ------
    InputError
        If the settings, the model, the data and the folder do not go together.
    TrainingError
        If the loss is no longer finite.
    """
    from tfrecall import pruning, weights

    output = Path(output or settings.folder)
    require_free(output, overwrite)
    data, baseline, scope = start(settings)
    require_feasible(settings, baseline)
    if settings.trained_here:
        _say(progress, f"Training {settings.model} on {data.name}: {_epochs(settings.recipe.epochs)}")
        train(settings, data, baseline, scope, progress)
    else:
        with scope.scope():
            training.compile_model(baseline, settings.recipe, 1)
    before = training.predict(baseline, data.test)
    _say(
        progress,
        f"Pruning by {settings.algorithm} to a ratio of {settings.ratio:g}, and fine-tuning: "
        f"{_epochs(settings.recipe.fine_tune_epochs)}",
    )
    pruned, one_shot = prune_and_fine_tune(settings, data, baseline, scope, progress)
    after = training.predict(pruned, data.test)
    measured = distortion(
        data.test.labels, before, after, class_names=data.class_names, one_shot=one_shot, seed=settings.seed
    )
    total, remaining = weights.total_parameters(baseline), pruning.remaining_parameters(pruned)
    layers = layer_rows(pruned)
    result = document.report(
        measured,
        model=_stem(settings.model),
        dataset=data.name,
        algorithm=settings.algorithm,
        scope=settings.scope,
        seed=settings.seed,
        ratio={"requested": settings.ratio, "compression": total / remaining, "sparsity": 1 - remaining / total},
        parameters={
            "total": total,
            "prunable": sum(weight.size for weight in weights.removable(pruned, settings.include_classifier).values()),
            "remaining": remaining,
        },
        layers=layers,
    )
    with whole(output, WRITTEN) as folder:
        write_json(folder / "config.json", describe(settings, data))
        baseline.save(folder / "baseline.keras")
        pruned.save(folder / "pruned.keras")
        export(pruned, folder / "saved_model", class_names=data.class_names)
        np.savez(folder / "predictions.npz", y_true=data.test.labels, before=before, after=after)
        (folder / "report.json").write_text(document.to_json(result), encoding="utf-8")
        (folder / "report.md").write_text(document.to_markdown(result), encoding="utf-8")
        figures.write(result, folder / "figures")
    return result


def train_to_file(settings: Settings, output=None, *, overwrite: bool = False, progress: str = "none") -> tuple[Path, dict]:
    """Train a baseline by name and save it, whole or not at all.

    Parameters
    ----------
    settings : Settings
    output : path-like, optional
        The ``.keras`` file; ``runs/MODEL-DATASET-seedN.keras`` by default.
    overwrite : bool
        Whether to replace a file that is there.
    progress : {"bar", "lines", "none"}
        What training prints.

    Returns
    -------
    path : Path
    evaluation : dict
        As `tfrecall.comparison.evaluate` returns it.
    """
    if not settings.trained_here:
        raise unknown("model", settings.model, models.ARCHITECTURES)
    path = Path(output or f"runs/{settings.model}-{_stem(settings.dataset)}-seed{settings.seed}.keras")
    if path.suffix != ".keras":
        raise InputError(f"the trained model is written as a .keras file; got {path}.")
    require_place(path.parent, [path.name])
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another file with --output, or replace it with --overwrite.")
    data, model, scope = start(settings)
    _say(progress, f"Training {settings.model} on {data.name}: {_epochs(settings.recipe.epochs)}")
    train(settings, data, model, scope, progress)
    evaluation = document.evaluation(
        performance(data.test.labels, training.predict(model, data.test), data.class_names),
        model=str(path),
        dataset=data.name,
    )
    with whole(path.parent, [path.name]) as folder:
        model.save(folder / path.name)
    return path, evaluation


def layer_rows(model) -> list[dict]:
    """Return path, size, kept weights, sparsity and whether it is the classifier's, of each prunable weight."""
    from tfrecall import weights

    rows = []
    for path, weight in weights.prunable(model).items():
        values = weight.variable.numpy()
        kept = int(np.count_nonzero(values))
        rows.append(
            {
                "path": path,
                "weights": values.size,
                "kept": kept,
                "sparsity": 1 - kept / values.size,
                "classifier": weight.classifier,
            }
        )
    return rows


def describe(settings: Settings, data) -> dict:
    """Return all that is needed to repeat a run: settings, versions, the machine's kind, the classes."""
    return {
        "settings": dataclasses.asdict(settings),
        "class_names": list(data.class_names),
        "image_shape": list(data.image_shape),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
        "machine": {"system": platform.system(), "processor": platform.machine()},
    }


def write_json(path: Path, content: dict) -> None:
    """Write a dictionary as readable JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def require_free(output: Path, overwrite: bool) -> None:
    """Raise InputError if a folder cannot take what a run writes."""
    require_place(output, WRITTEN)
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise InputError(
            f"{output} is not empty: choose another --output, or replace an earlier run's files with --overwrite."
        )


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count != 1)}"


def _steps(split, recipe: Recipe) -> int:
    return -(-len(split) // recipe.batch_size)


def _stem(name: str) -> str:
    path = Path(name)
    if path.suffix in (".keras", ".h5", ".hdf5", ".npz"):
        return path.stem
    stem = path.absolute().name if path.exists() else name  # TFDS has names like emnist/balanced:3.0.1
    return stem.replace("/", "-").replace(":", "-")


def _say(progress: str, line: str) -> None:
    if progress != "none":
        print(line, flush=True)
