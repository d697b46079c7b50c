"""Measuring models that exist already: one, or two against each other."""

from __future__ import annotations

import os
from functools import partial

from tfrecall import datasets, models, plausibility, training
from tfrecall.errors import InputError
from tfrecall.experiment import parameters, remains
from tfrecall.report import document
from tfrecall.report.distortion import distortion
from tfrecall.report.performance import performance
from tfrecall.report.predictions import Predictions, aligned, is_predictions, read


def evaluate(path: str | os.PathLike, dataset: str, *, unsafe: bool = False, preprocess: str | None = None) -> dict:
    """Measure a saved model on a data set's test images.

    Parameters
    ----------
    path : path-like
        A saved Keras model.
    dataset : str
        As `tfrecall.datasets.load` takes it.
    unsafe : bool
        Whether the file may run code on loading.
    preprocess : str, optional
        What is done to raw pixels before the model, as in `tfrecall.settings.Settings`.

    Returns
    -------
    dict
        ``accuracy``, and ``support``, ``recall``, ``precision`` and ``f1`` of each of the ``classes``.
    """
    predictions = _tested(_model(path, unsafe), path, dataset, preprocess)
    return document.evaluation(
        performance(predictions.y_true, predictions.y_pred, predictions.class_names), model=str(path), dataset=dataset
    )


def compare(
    before: str | os.PathLike,
    after: str | os.PathLike,
    *,
    dataset: str | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    unsafe: bool = False,
    preprocess: str | None = None,
) -> dict:
    """Report what happened to each class between two models, or files of predictions, or one of each.

    Parameters
    ----------
    before, after : path-like
        A saved Keras model, or a file that `tfrecall.report.predictions.read` reads.
    dataset : str, optional
        What to test models on; needed if either side is one.
    level, resamples, seed
        As in `tfrecall.report.distortion`.
    unsafe : bool
        Whether model files may run code on loading.
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
    if dataset is not None and is_predictions(before) and is_predictions(after):
        raise InputError("--dataset is for testing models, but both sides are files of predictions: leave it out.")
    if preprocess is not None and is_predictions(before) and is_predictions(after):
        raise InputError("--rescale and --preprocess are for testing models, but both sides are files of predictions.")
    opened = []  # both sides before either is tested: what cannot be read is found at once
    for path in (before, after):
        if is_predictions(path):
            opened.append(read(path))
        elif dataset is None:
            raise InputError(
                f"{path} is no .npz or .csv file of predictions: for a model, name the data to test it on with --dataset."
            )
        else:
            opened.append(_model(path, unsafe))
    loaded = [side for side in opened if not isinstance(side, Predictions)]
    sides = [
        side if isinstance(side, Predictions) else _tested(side, path, dataset, preprocess)
        for side, path in zip(opened, (before, after))
    ]
    y_true, y_before, y_after, names = aligned(*sides)
    measured = distortion(y_true, y_before, y_after, class_names=names, level=level, resamples=resamples, seed=seed)
    identity = {"before_source": str(before), "after_source": str(after), "dataset": dataset, "seed": seed}
    if len(loaded) < 2:
        return document.report(measured, **identity)
    totals, pruned = (parameters(model) for model in loaded)
    return document.report(measured, **remains(loaded[1], totals["total"], pruned["prunable"], None), **identity)


def _model(path: str | os.PathLike, unsafe: bool):
    model = models.load(path, unsafe=unsafe)
    models.require_image_classifier(model, str(path))
    return model


def _tested(model, path: str | os.PathLike, dataset: str, preprocess: str | None) -> Predictions:
    data = datasets.load(dataset, image_shape=partial(models.input_shape, model), preprocess=preprocess)
    models.require_classes(model, str(path), data.name, len(data.class_names))
    predicted = training.predict(model, data.test)
    plausibility.warn_if_misread(model, str(path), data.test, predicted)
    return Predictions(data.test.labels, predicted, data.class_names)
