"""One run: train → prune → fine-tune → measure → save. The command line and studies are made of these steps."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np

from tfrecall import datasets, models, networks, plausibility, sparsity, training
from tfrecall.errors import InputError, unknown
from tfrecall.publishing import require_place, whole
from tfrecall.report import document, figures, html
from tfrecall.report.distortion import distortion
from tfrecall.report.export import export
from tfrecall.report.performance import performance
from tfrecall.settings import Settings, stem
from tfrecall.text import one_line
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
    "report.html",
    *(f"figures/{name}" for name in figures.NAMES),
)
_PACKAGES = (
    "tfrecall",
    "tensorflow",
    "tf_keras",
    "keras",
    "tensorflow-model-optimization",
    "tensorflow-datasets",
    "numpy",
    "scipy",
    "scikit-learn",
)


def start(settings: Settings):
    """Seed everything; load the data and the model, the model under the strategy's scope.

    Returns
    -------
    data : tfrecall.datasets.Dataset
        Its images resized to what the model takes.
    model : tf_keras.Model or keras.Model
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
    if settings.trained_here:
        data = load_data(settings)
        model, scope = new_model(settings, data)
        return data, model, scope
    custom = models.named_objects(settings.custom)
    scope = training.strategy(settings.strategy)
    with scope.scope():
        # A model saved while it was being pruned would be pruned further in place, and the baseline lost.
        model = pruning.strip(models.load(settings.model, unsafe=settings.unsafe, custom_objects=custom))
    models.require_image_classifier(model, settings.model)
    data = load_data(settings, partial(models.input_shape, model))
    models.require_classes(model, settings.model, data.name, len(data.class_names))
    return data, model, scope


def load_data(settings: Settings, image_shape=None):
    """Load the data, with images of what `image_shape` makes of their shape, or of the architecture's size."""
    return datasets.load(
        settings.dataset,
        image_shape=image_shape or partial(models.image_shape, settings.model),
        validation_fraction=settings.recipe.validation_fraction,
        seed=settings.seed,
        preprocess=settings.preprocess,
    )


def new_model(settings: Settings, data):
    """Build a model by name, to be trained on the data; returns it, and the strategy under whose scope it was built."""
    scope = training.strategy(settings.strategy)
    mean, variance = data.pixel_moments()
    with scope.scope():
        model = models.build(
            settings.model,
            data.image_shape,
            len(data.class_names),
            mean=mean,
            variance=variance,
            weight_decay=settings.recipe.penalty,
            initializer=settings.recipe.initializer,
        )
    models.require_classes(model, settings.model, data.name, len(data.class_names))
    return model, scope


def train(settings: Settings, data, model, scope, progress: str = "none"):
    """Train a baseline in place, by the recipe; returns it compiled."""
    recipe = settings.recipe
    steps = recipe.epochs * _steps(data.train, recipe)
    with scope.scope():
        training.compile_model(model, recipe, steps)
    training.fit(model, data.train, data.validation, recipe, epochs=recipe.epochs, seed=settings.seed, progress=progress)
    return model


def prune(settings: Settings, data, baseline, scope):
    """Prune a compiled baseline, once.

    Returns
    -------
    tf_keras.Model or keras.Model
        With its masks, and compiled for fine-tuning. The baseline stays as it is. Without a ratio nothing is pruned.
    """
    from tfrecall import pruning

    recipe = settings.recipe
    head = models.head_of(baseline, settings.head)
    with scope.scope():
        model = networks.of(baseline).for_pruning(baseline)
        if settings.ratio is None:
            model = pruning.prepare(model, settings.include_classifier)
        else:
            images, labels = data.train.sample(recipe.score_examples, settings.seed)
            model = pruning.prune(
                model,
                settings.ratio,
                settings.algorithm,
                (images, head.targets(labels)),
                scope=settings.scope,
                seed=settings.seed,
                include_classifier=settings.include_classifier,
            )
        training.compile_model(
            model, recipe, recipe.fine_tune_epochs * _steps(data.train, recipe), fine_tune=True, head=head
        )
    return model


def fine_tune(settings: Settings, data, model, scope, progress: str = "none"):
    """Train a model from `prune` with its masks held; returns it plain and compiled."""
    from tfrecall import pruning

    recipe = settings.recipe
    head = models.head_of(model, settings.head)
    training.fit(
        model,
        data.train,
        data.validation,
        recipe,
        epochs=recipe.fine_tune_epochs,
        seed=settings.seed + 1,
        callbacks=[pruning.PruningCallback()],
        progress=progress,
        head=head,
    )
    with scope.scope():
        plain = pruning.strip(model)
        training.compile_model(
            plain, recipe, recipe.fine_tune_epochs * _steps(data.train, recipe), fine_tune=True, head=head
        )
    return plain


def measure(settings: Settings, data, before, one_shot, after, pruned) -> dict:
    """Report what happened to each class.

    Parameters
    ----------
    settings : Settings
    data : tfrecall.datasets.Dataset
    before, one_shot, after : array_like, shape (images,) or (images, classes)
        Predictions on the test images before pruning, right after it, and at the end.
    pruned : tf_keras.Model or keras.Model
        The model at the end, plain.

    Returns
    -------
    dict
        As `tfrecall.report.document.report` returns it.
    """
    counts = parameters(pruned)
    prunable = counts["prunable"] + (counts["classifier"] if settings.include_classifier else 0)
    return document.report(
        distortion(data.test.labels, before, after, class_names=data.class_names, one_shot=one_shot, seed=settings.seed),
        model=stem(settings.model),
        dataset=data.name,
        algorithm=None if settings.ratio is None else settings.algorithm,
        scope=settings.scope,
        seed=settings.seed,
        **remains(pruned, counts["total"], prunable, settings.ratio),
    )


def remains(pruned, total: int, prunable: int, requested: float | None) -> dict:
    """Return what a report says of a pruned model's parameters: ``ratio``, ``parameters`` and ``layers``."""
    from tfrecall import pruning

    remaining = pruning.remaining_parameters(pruned)
    return {
        "ratio": {"requested": requested, "compression": total / remaining, "sparsity": 1 - remaining / total},
        "parameters": {"total": total, "prunable": prunable, "remaining": remaining},
        "layers": layer_rows(pruned),
    }


def parameters(model) -> dict[str, int]:
    """Count a model's parameters: ``total``, ``prunable`` without the classifier's, and ``classifier``.

    Frozen and quantized ones count: what a kernel is does not depend on what is trained today.
    """
    from tfrecall import weights

    sizes = {False: 0, True: 0}
    for weight in weights.kernels(model).values():
        sizes[weight.classifier] += weight.size
    return {"total": weights.total_parameters(model), "prunable": sizes[False], "classifier": sizes[True]}


def require_feasible(settings: Settings, counts: dict[str, int]) -> None:
    """Raise InputError unless a model with these `parameters` can be pruned to the ratio: before hours of training."""
    if settings.ratio is not None:
        removable = counts["prunable"] + (counts["classifier"] if settings.include_classifier else 0)
        sparsity.budget(sparsity.sparsity(settings.ratio), counts["total"], removable)


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
    output = Path(output or settings.folder)
    require_free(output, overwrite)
    with models.custom_scope(models.named_objects(settings.custom)):
        return _run(settings, output, progress)


def _run(settings: Settings, output: Path, progress: str) -> dict:
    from tfrecall import weights

    data, baseline, scope = start(settings)
    removable = weights.removable(baseline, settings.include_classifier)  # raises if there is nothing to prune
    available = sum(weight.size for weight in removable.values()) + weights.frozen_zeros(baseline)
    require_feasible(settings, parameters(baseline) | {"prunable": available, "classifier": 0})
    head = models.head_of(baseline, settings.head, None if settings.trained_here else settings.model)
    if settings.trained_here:
        _say(progress, f"Training {settings.model} on {data.name}: {_epochs(settings.recipe.epochs)}")
        train(settings, data, baseline, scope, progress)
    else:
        with scope.scope():
            training.compile_model(baseline, settings.recipe, 1, head=head)
    before = training.predict(baseline, data.test, head=head)
    if not settings.trained_here:
        plausibility.warn_if_misread(baseline, settings.model, data.test, before, head)
    doing = (
        "Pruning nothing" if settings.ratio is None else f"Pruning by {settings.algorithm} to a ratio of {settings.ratio:g}"
    )
    _say(progress, f"{doing}, and fine-tuning: {_epochs(settings.recipe.fine_tune_epochs)}")
    model = prune(settings, data, baseline, scope)
    one_shot = training.predict(model, data.test, head=head)
    pruned = fine_tune(settings, data, model, scope, progress)
    after = training.predict(pruned, data.test, head=head)
    result = measure(settings, data, before, one_shot, after, pruned)
    with whole(output, WRITTEN) as folder:
        write_json(folder / "config.json", describe(settings, data))
        baseline.save(folder / "baseline.keras")
        pruned.save(folder / "pruned.keras")
        export(pruned, folder / "saved_model", class_names=data.class_names, head=head, preprocess=settings.preprocess)
        np.savez(folder / "predictions.npz", y_true=data.test.labels, before=before, after=after)
        (folder / "report.json").write_text(document.to_json(result), encoding="utf-8")
        (folder / "report.md").write_text(document.to_markdown(result), encoding="utf-8")
        (folder / "report.html").write_text(html.to_html(result), encoding="utf-8")
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
    path = Path(output or f"runs/{settings.model}-{stem(settings.dataset)}-seed{settings.seed}.keras")
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
    """Return path, size, kept weights, sparsity and whether it is the classifier's, of each kernel, frozen or not."""
    from tfrecall import weights

    rows = []
    for path, weight in weights.kernels(model).items():
        values = weight.value
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


def _say(progress: str, line: str) -> None:
    if progress != "none":
        print(one_line(line), flush=True)
