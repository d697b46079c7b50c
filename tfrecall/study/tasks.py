"""Doing a study's work: training a baseline, and running a cell on it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrecall import datasets, experiment, models, training
from tfrecall.errors import InputError
from tfrecall.experiment import write_json
from tfrecall.publishing import whole
from tfrecall.report import document
from tfrecall.study import inspection, manifest
from tfrecall.study.cell import Cell, fingerprint
from tfrecall.study.store import Store

_BASELINE = (*inspection.BASELINE, manifest.SECONDS, manifest.NAME)
_CELL = (*inspection.CELL, manifest.SECONDS, manifest.NAME)


@dataclass
class Bench:
    """What one process keeps from a cell to the next: the data of the baseline it worked on last."""

    key: str = ""
    data: datasets.Dataset | None = None

    def take(self, cell: Cell) -> datasets.Dataset:
        """Return the data of a cell, loaded again if the last ones were another baseline's.

        Raises
        ------
        InputError
            If the data's files are not those that the plan was made from: the result would not be the key's.
        """
        if self.key != cell.baseline_key:
            self.key = ""
            self.data = experiment.load_data(cell.settings)
            require_unchanged(cell)  # after loading, so that files that change meanwhile are noticed too
            self.key = cell.baseline_key
        return self.data


def require_unchanged(cell: Cell) -> None:
    """Raise InputError if the files of a cell's data set are not those that the plan was made from."""
    if cell.fingerprint and fingerprint(cell.settings.dataset) != cell.fingerprint:
        raise InputError(
            f"the files of data set {cell.settings.dataset} have changed since the plan was read: "
            "run the plan again, and other images are other cells."
        )


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
        write_json(folder / manifest.SECONDS, {"seconds": time.monotonic() - started})
        manifest.write(folder, cell.baseline_key, cell.baseline_identity)


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
    stored = store.predictions(cell.baseline_key)
    if not np.array_equal(stored["y_true"], data.test.labels):
        raise InputError(f"the test images of {cell.settings.dataset} are others than those of {cell.baseline_key}.")
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
        write_json(folder / manifest.SECONDS, {"seconds": time.monotonic() - started})
        manifest.write(folder, cell.key, cell.identity, inspection.digest(stored))


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
