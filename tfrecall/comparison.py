"""Measuring models that exist already: one, or two against each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from tfrecall import datasets, models, plausibility, training
from tfrecall.errors import InputError
from tfrecall.experiment import parameters, remains
from tfrecall.report import document
from tfrecall.report.distortion import distortion
from tfrecall.report.performance import performance
from tfrecall.report.predictions import Predictions, aligned, is_predictions, read, run_file


def evaluate(
    path: str | os.PathLike,
    dataset: str,
    *,
    unsafe: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    head: str | None = None,
    preprocess: str | None = None,
) -> dict:
    """Measure a saved model on a data set's test images.

    Parameters
    ----------
    path : path-like
        A saved Keras model.
    dataset : str
        As `tfrecall.datasets.load` takes it.
    unsafe : bool
        Whether the file may run code on loading.
    custom_objects : mapping of str to class or function, optional
        As `tfrecall.models.load` takes them.
    head : str, optional
        What the model's outputs are, one of `tfrecall.models.HEADS`; as `tfrecall.models.head_of` decides by default.
    preprocess : str, optional
        What is done to raw pixels before the model, as in `tfrecall.settings.Settings`.

    Returns
    -------
    dict
        ``accuracy``, and ``support``, ``recall``, ``precision`` and ``f1`` of each of the ``classes``.
    """
    datasets.preprocessing(preprocess)  # a mistake is found before a model is loaded
    predictions = _tested(_model(path, unsafe, custom_objects), path, dataset, head, preprocess)
    return document.evaluation(
        performance(predictions.y_true, predictions.y_pred, predictions.class_names), model=str(path), dataset=dataset
    )


def compare(
    before: str | os.PathLike,
    after: str | os.PathLike | None = None,
    *,
    dataset: str | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    unsafe: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    head: str | None = None,
    preprocess: str | None = None,
) -> dict:
    """Report what happened to each class between two models, or files of predictions, or one of each.

    Parameters
    ----------
    before, after : path-like
        A saved Keras model, or what `tfrecall.report.predictions.read` reads: a file of predictions, or a run's folder,
        which stands for its pruned model. One run alone, or on both sides, is compared with its own baseline.
    dataset : str, optional
        What to test models on; needed if either side is one.
    level, resamples, seed
        As in `tfrecall.report.distortion`.
    unsafe : bool
        Whether model files may run code on loading.
    custom_objects : mapping of str to class or function, optional
        As `tfrecall.models.load` takes them.
    head : str, optional
        What the outputs of the models are, as in `evaluate`.
    preprocess : str, optional
        What is done to raw pixels before either model, as in `tfrecall.settings.Settings`.

    Returns
    -------
    dict
        A report with the keys of a run's ``report.json``.

    Raises
    ------
    InputError
        If a side cannot be read, or the two are not about the same images and classes.
    """
    if after is None:
        if run_file(before) is None:
            raise InputError(
                "Missing argument 'AFTER': alone, only a run's folder, or its predictions.npz, can be reported on."
            )
        after = before
    runs = [run_file(path) for path in (before, after)]
    own_baseline = None not in runs and os.path.samefile(*runs)
    if dataset is not None and is_predictions(before) and is_predictions(after):
        raise InputError("--dataset is for testing models, but both sides are files of predictions: leave it out.")
    if is_predictions(before) and is_predictions(after):
        for_models = {
            "--head": head,
            "--rescale or --preprocess": preprocess,
            "--custom": custom_objects,
            "--unsafe": unsafe,
        }
        if useless := [option for option, value in for_models.items() if value]:
            raise InputError(f"{useless[0]} is for models, but both sides are files of predictions: leave it out.")
    opened = []  # both sides before either is tested: what cannot be read is found at once
    for path, side in ((before, "before" if own_baseline else "after"), (after, "after")):
        if is_predictions(path):
            opened.append(read(path, side))
        elif dataset is None:
            raise InputError(
                f"{path} is no file of predictions (.npz or .csv) and no run's folder: for a model, name its test data with "
                "--dataset."
            )
        else:
            opened.append(_model(path, unsafe, custom_objects))
    loaded = [side for side in opened if not isinstance(side, Predictions)]
    sides = [
        side if isinstance(side, Predictions) else _tested(side, path, dataset, head, preprocess)
        for side, path in zip(opened, (before, after))
    ]
    y_true, y_before, y_after, names = aligned(*sides)
    measured = distortion(y_true, y_before, y_after, class_names=names, level=level, resamples=resamples, seed=seed)
    identity = {"before_source": str(before), "after_source": str(after), "dataset": dataset, "seed": seed}
    if len(loaded) < 2:
        return document.report(measured, **identity)
    totals, pruned = (parameters(model) for model in loaded)
    return document.report(measured, **remains(loaded[1], totals["total"], pruned["prunable"], None), **identity)


def _model(path: str | os.PathLike, unsafe: bool, custom_objects: Mapping[str, Any] | None):
    model = models.load(path, unsafe=unsafe, custom_objects=custom_objects)
    models.require_image_classifier(model, str(path))
    return model


def _tested(model, path: str | os.PathLike, dataset: str, head: str | None, preprocess: str | None) -> Predictions:
    data = datasets.load(dataset, image_shape=partial(models.input_shape, model), preprocess=preprocess)
    models.require_classes(model, str(path), data.name, len(data.class_names))
    chosen = models.head_of(model, head, path)
    predicted = training.predict(model, data.test, head=chosen)
    plausibility.warn_if_misread(model, str(path), data.test, predicted, chosen)
    return Predictions(data.test.labels, predicted, data.class_names)
