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

from tfrecall import datasets, fingerprints, models, networks, plausibility, sparsity, training
from tfrecall.draft import Draft, drafting, unfinished
from tfrecall.errors import IncompleteError, InputError, unknown
from tfrecall.publishing import output_path, require_own_folder, require_place, shown, whole
from tfrecall.report import document, figures, html
from tfrecall.report.distortion import distortion
from tfrecall.report.export import export
from tfrecall.report.performance import performance
from tfrecall.settings import Settings, read_settings, stem
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
    scope = training.strategy(settings.strategy)
    with scope.scope():
        # A model saved while it was being pruned would be pruned further in place, and the baseline lost.
        model = pruning.strip(load_model(settings, settings.model))
    models.require_image_classifier(model, settings.model)
    data = load_data(settings, partial(models.input_shape, model))
    models.require_classes(model, settings.model, data.name, len(data.class_names))
    return data, model, scope


def load_model(settings: Settings, path):
    """Load a saved model as the settings allow: the one that they name, or one that their run has saved."""
    return models.load(path, unsafe=settings.unsafe, custom_objects=models.named_objects(settings.custom))


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
    # What is random from here on, such as dropout, must not depend on whether the baseline was trained in this process.
    training.seed_everything(settings.seed)
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
    settings: Settings,
    output: str | os.PathLike | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: str = "none",
) -> dict:
    """Do the main job, from data to a folder with the pruned model and the report.

    What is finished is kept in ``.partial`` in the folder until the end, so that a run that is stopped, or cannot write
    everything, loses none of it.

    Parameters
    ----------
    settings : Settings
    output : path-like, optional
        The folder to leave; ``runs/MODEL-DATASET-ALGO-RATIO-seedN`` by default. Its files appear at the end.
    overwrite : bool
        Whether to replace what an earlier run wrote there; anything else in the folder stays.
    resume : bool
        Whether to continue a run with the same settings that did not end, after the last phase that it finished: the result
        has the same bytes as if it had not been stopped. Without such a run this changes nothing; of one that is complete,
        the report is returned.
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
    IncompleteError
        If a file could not be written. Its `report` is the report, and the other files are there.
    """
    output = run_folder(settings, output)
    if resume and not overwrite and (report := _finished_report(settings, output)) is not None:
        _say(progress, f"{output} is complete: there is nothing to resume.")
        return report
    identity = dataclasses.asdict(settings) | {"contents": contents(settings)}
    with drafting(output, WRITTEN, identity, resume=resume, overwrite=overwrite) as draft:
        with models.custom_scope(models.named_objects(settings.custom)):
            report, data, pruned, head = _report(settings, draft, progress)
            _write_results(settings, draft, report, data, pruned, head)
        try:
            draft.publish()
        except IncompleteError as error:
            error.report = report
            raise
    return report


def run_folder(settings: Settings, output: str | os.PathLike | None = None) -> Path:
    """Return the folder that a run with these settings writes.

    Raises
    ------
    InputError
        If `output` cannot be a folder of its own.
    """
    folder = output_path(settings.folder if output is None else output)
    require_own_folder(folder)
    return folder


def contents(settings: Settings) -> dict[str, str]:
    """Return hashes of the files that the settings name, by their path: of the model, and of the data."""
    hashes = {
        settings.model: "" if settings.trained_here else fingerprints.of_path(Path(settings.model)),
        settings.dataset: datasets.fingerprint(settings.dataset),
    }
    return {path: hash_ for path, hash_ in hashes.items() if hash_}


def kept(folder: Path) -> str:
    """Say in a sentence what is kept of an unfinished run in a folder; nothing if there is none."""
    return f"What is finished is kept in {folder}: --resume goes on." if unfinished(folder) is not None else ""


def _report(settings: Settings, draft: Draft, progress: str):
    """Return the report of a run, its data, the pruned model and its head: by the work that is still to be done."""
    phases = ("baseline.keras", "pruned.keras", "predictions.npz", "one_shot.npy")
    if draft.has(*phases):
        data, pruned, _ = _reload(settings, draft, "pruned.keras")
        head = models.head_of(pruned, settings.head, draft.path("pruned.keras"))
        with np.load(draft.path("predictions.npz")) as file:
            labels, before, after = file["y_true"], file["before"], file["after"]
        one_shot = np.load(draft.path("one_shot.npy"))
        if not np.array_equal(labels, data.test.labels):
            raise InputError(f"{settings.dataset} has changed since the run began: start over with --overwrite.")
    else:
        data, baseline, scope, head = _baseline(settings, draft, progress)
        before = training.predict(baseline, data.test, head=head)
        if not settings.trained_here:
            plausibility.warn_if_misread(baseline, settings.model, data.test, before, head)
        nothing = settings.ratio is None
        doing = "Pruning nothing" if nothing else f"Pruning by {settings.algorithm} to a ratio of {settings.ratio:g}"
        _say(progress, f"{doing}, and fine-tuning: {_epochs(settings.recipe.fine_tune_epochs)}")
        model = prune(settings, data, baseline, scope)
        one_shot = training.predict(model, data.test, head=head)
        pruned = fine_tune(settings, data, model, scope, progress)
        after = training.predict(pruned, data.test, head=head)
        arrays = {"y_true": data.test.labels, "before": before, "after": after}
        # Part of this may be finished, by a run that was stopped while it wrote: the parts must be of one run.
        draft.restart(*(["baseline.keras"] if settings.trained_here else []))
        draft.write("pruned.keras", pruned.save)
        draft.write("predictions.npz", lambda path: np.savez(path, **arrays))
        draft.write("one_shot.npy", lambda path: np.save(path, one_shot))
        draft.write("baseline.keras", baseline.save)
    return measure(settings, data, before, one_shot, after, pruned), data, pruned, head


def _baseline(settings: Settings, draft: Draft, progress: str):
    """Return the data, the compiled baseline, its strategy and its head: loaded, or trained and written."""
    from tfrecall import weights

    trained = settings.trained_here and draft.has("baseline.keras")
    data, baseline, scope = _reload(settings, draft, "baseline.keras") if trained else start(settings)
    removable = weights.removable(baseline, settings.include_classifier)  # raises if there is nothing to prune
    available = sum(weight.size for weight in removable.values()) + weights.frozen_zeros(baseline)
    require_feasible(settings, parameters(baseline) | {"prunable": available, "classifier": 0})
    head = models.head_of(baseline, settings.head, None if settings.trained_here else settings.model)
    if settings.trained_here and not trained:
        _say(progress, f"Training {settings.model} on {data.name}: {_epochs(settings.recipe.epochs)}")
        train(settings, data, baseline, scope, progress)
        draft.restart()
        draft.write("baseline.keras", baseline.save)
    else:
        with scope.scope():
            training.compile_model(baseline, settings.recipe, 1, head=head)
    return data, baseline, scope, head


def _reload(settings: Settings, draft: Draft, name: str):
    """Return the data, a model that the run has saved, and the strategy."""
    training.seed_everything(settings.seed)
    scope = training.strategy(settings.strategy)
    with scope.scope():
        model = load_model(settings, draft.path(name))
    shape = None if settings.trained_here else partial(models.input_shape, model)
    return load_data(settings, shape), model, scope


def _write_results(settings: Settings, draft: Draft, report: dict, data, pruned, head: models.Head) -> None:
    """Write what is made of the report, the pruned model last: the more there is that can fail, the later."""
    hashes = draft.identity["contents"]
    about = describe(settings, data) | ({"contents": hashes} if hashes else {})
    draft.write("config.json", lambda path: write_json(path, about))
    texts = {"report.json": document.to_json, "report.md": document.to_markdown, "report.html": html.to_html}
    for name, render in texts.items():
        draft.write(name, lambda path, render=render: write_text(path, render(report)))
    for name in figures.NAMES:
        draft.write(f"figures/{name}", partial(figures.write_one, report))
    served = {"class_names": data.class_names, "head": head, "preprocess": settings.preprocess}
    draft.write("saved_model", partial(export, pruned, **served))


def _finished_report(settings: Settings, output: Path) -> dict | None:
    """Return the report of a complete run with these settings, if it is what is in a folder."""
    config, report = output / "config.json", output / "report.json"
    if unfinished(output) is not None or not (os.path.isfile(config) and os.path.isfile(report)):
        return None
    if read_settings(config) != settings:
        raise InputError(
            f"{output} holds a run with other settings: choose another --output, or replace it with --overwrite."
        )
    recorded = json.loads(config.read_text(encoding="utf-8")).get("contents", {})
    changed = [path for path, hash_ in contents(settings).items() if recorded.get(path, hash_) != hash_]
    if changed:
        raise InputError(f"{shown(changed[0])} has changed since the run in {output}: replace it with --overwrite.")
    return json.loads(report.read_text(encoding="utf-8"))


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
    default = f"runs/{settings.model}-{stem(settings.dataset)}-seed{settings.seed}.keras"
    path = output_path(default if output is None else output)
    if path.suffix != ".keras":
        raise InputError(f"the trained model is written as a .keras file; got {shown(path)}.")
    require_place(path.parent, [path.name])
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"{path} exists already: choose another file with --output, or replace it with --overwrite.")
    if os.path.lexists(path) and not path.is_file():
        raise InputError(f"{path} is no file that could be replaced: choose another file with --output.")
    data, model, scope = start(settings)
    _say(progress, f"Training {settings.model} on {data.name}: {_epochs(settings.recipe.epochs)}")
    train(settings, data, model, scope, progress)
    with whole(path.parent, [path.name]) as folder:
        model.save(folder / path.name)
    evaluation = document.evaluation(
        performance(data.test.labels, training.predict(model, data.test), data.class_names),
        model=str(path),
        dataset=data.name,
    )
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
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    r"""Write UTF-8, with what has no code in it (part of a file's name that is not UTF-8) as ``\udcff``, as in JSON."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count != 1)}"


def _steps(split, recipe: Recipe) -> int:
    return -(-len(split) // recipe.batch_size)


def _say(progress: str, line: str) -> None:
    if progress != "none":
        print(one_line(line), flush=True)
