"""Doing a study's work: training a baseline, and running a cell on it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrecall import datasets, experiment, models, training
from tfrecall.experiment import write_json
from tfrecall.publishing import whole
from tfrecall.report import document
from tfrecall.study.cell import Cell
from tfrecall.study.store import Store

_BASELINE = ("config.json", "baseline.keras", "predictions.npz", "seconds.json")
_CELL = ("config.json", "report.json", "predictions.npz", "seconds.json")


@dataclass
class Bench:
    """What one process keeps from a cell to the next: the data of the baseline it worked on last."""

    key: str = ""
    data: datasets.Dataset | None = None

    def take(self, cell: Cell) -> datasets.Dataset:
        """Return the data of a cell, loaded anew if the last ones were another baseline's."""
        if self.key != cell.baseline_key:
            self.data, self.key = experiment.load_data(cell.settings), cell.baseline_key
        return self.data


def train_baseline(store: Store, cell: Cell, bench: Bench) -> None:
    """Train a cell's baseline and store it with its predictions on the test images."""
    started = time.monotonic()
    _fresh(cell)
    data = bench.take(cell)
    model, scope = experiment.new_model(cell.settings, data)
    experiment.train(cell.settings, data, model, scope)
    predicted = _classes(training.predict(model, data.test))
    with whole(store.path(cell.baseline_key), _BASELINE) as folder:
        config = experiment.describe(cell.settings, data) | {"parameters": experiment.parameters(model)}
        write_json(folder / "config.json", config)
        model.save(folder / "baseline.keras")
        _write_predictions(folder, y_true=data.test.labels, y_pred=predicted)
        write_json(folder / "seconds.json", {"seconds": time.monotonic() - started})


def run_cell(store: Store, cell: Cell, bench: Bench) -> None:
    """Prune a stored baseline, fine-tune it, and store what became of its predictions on the test images.

    The result is the same whatever the process did before, and the same as `tfrecall.experiment.run` gives.
    """
    started = time.monotonic()
    _fresh(cell)
    settings, data = cell.settings, bench.take(cell)
    scope = training.strategy(settings.strategy)
    with scope.scope():
        baseline = models.load(store.path(cell.baseline_key) / "baseline.keras")
        training.compile_model(baseline, settings.recipe, 1)
    with np.load(store.path(cell.baseline_key) / "predictions.npz") as stored:
        before = stored["y_pred"].astype(np.int64)
    model = experiment.prune(settings, data, baseline, scope)
    one_shot = _classes(training.predict(model, data.test))
    pruned = experiment.fine_tune(settings, data, model, scope)
    after = _classes(training.predict(pruned, data.test))
    report = experiment.measure(settings, data, before, one_shot, after, pruned)
    with whole(store.path(cell.key), _CELL) as folder:
        write_json(folder / "config.json", experiment.describe(settings, data))
        (folder / "report.json").write_text(document.to_json(report), encoding="utf-8")
        _write_predictions(folder, one_shot=one_shot, after=after)
        write_json(folder / "seconds.json", {"seconds": time.monotonic() - started})


def _fresh(cell: Cell) -> None:
    """Forget what earlier cells left in TensorFlow: their graphs, their names, their random state."""
    import tf_keras

    tf_keras.backend.clear_session()
    training.seed_everything(cell.settings.seed)


def _classes(probabilities: np.ndarray) -> np.ndarray:
    return probabilities.argmax(axis=1)


def _write_predictions(folder: Path, **arrays: np.ndarray) -> None:
    smallest = {name: array.astype(np.min_scalar_type(int(array.max()))) for name, array in arrays.items()}
    np.savez_compressed(folder / "predictions.npz", **smallest)
