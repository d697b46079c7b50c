"""What other test images would have made of a study's slopes, from the predictions that its cells keep."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from tfrecall.errors import InputError
from tfrecall.report.resampling import RESAMPLES, Terms, resampled
from tfrecall.study.cell import Cell
from tfrecall.study.inspection import Inspection, inspect
from tfrecall.study.plan import Plan
from tfrecall.study.store import Store


def redrawn(store: Store, plan: Plan, resamples: int = RESAMPLES, inspection: Inspection | None = None) -> dict[str, Terms]:
    """Return the terms of each cell's slope on resampled test images.

    Parameters
    ----------
    store : Store
    plan : Plan
        Its cells that are done and whole.
    resamples : int
    inspection : Inspection, optional
        Which are whole, where that is known already.

    Returns
    -------
    dict of str to Terms
        By the cell's key, of one model. All cells of a data set have the same resamples.

    Raises
    ------
    InputError
        If predictions are not about the same images.
    """
    sound = (inspection or inspect(store, plan.cells, thorough=True)).sound
    found = {}
    for dataset in plan.datasets:
        cells = {cell.key: cell for cell in plan.cells if cell.settings.dataset == dataset and cell.key in sound}
        if cells:
            found |= _of_one_dataset(store, cells, resamples)
    return found


def _of_one_dataset(store: Store, cells: Mapping[str, Cell], resamples: int) -> dict[str, Terms]:
    baselines = {key: store.predictions(key) for key in dict.fromkeys(cell.baseline_key for cell in cells.values())}
    after = {key: store.predictions(key)["after"] for key in cells}
    labels = next(iter(baselines.values()))["y_true"].astype(np.int64)
    for key, cell in cells.items():
        if not (np.array_equal(baselines[cell.baseline_key]["y_true"], labels) and len(after[key]) == len(labels)):
            first, remedy = next(iter(cells.values())), _again(store, cell.baseline_key, cells)
            raise InputError(f"{cell} was tested on other images than {first}. {remedy}")
    before = np.stack([baselines[cell.baseline_key]["y_pred"] == labels for cell in cells.values()])
    right = np.stack([after[key] == labels for key in cells])
    name = next(iter(cells.values())).settings.dataset
    terms = resampled(labels, before, right, resamples=resamples, seed=zlib.crc32(name.encode()))
    return {key: terms.of(model) for model, key in enumerate(cells)}


def _again(store: Store, key: str, cells: Mapping[str, Cell]) -> str:
    """Say what to delete so that a baseline is trained again."""
    resting = [cell for cell in cells if cells[cell].baseline_key == key]
    return f"Where it is wrong, delete {', '.join([key, *resting])} in {store.root} and run the study again."
