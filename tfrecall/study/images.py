"""What other test images would have made of a study's slopes, from the predictions that its cells keep."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from tfrecall.errors import InputError
from tfrecall.report.resampling import RESAMPLES, Terms, resampled
from tfrecall.study.cell import Cell
from tfrecall.study.plan import Plan
from tfrecall.study.store import Store


def redrawn(store: Store, plan: Plan, resamples: int = RESAMPLES) -> dict[str, Terms]:
    """Return the terms of each cell's slope on resampled test images.

    Parameters
    ----------
    store : Store
    plan : Plan
        Its cells that are done.
    resamples : int

    Returns
    -------
    dict of str to Terms
        By the cell's key, of one model. All cells of a data set have the same resamples.

    Raises
    ------
    InputError
        If predictions cannot be read, or are not about the same images.
    """
    found = {}
    for dataset in plan.datasets:
        cells = {cell.key: cell for cell in plan.cells if cell.settings.dataset == dataset and store.done(cell.key)}
        if cells:
            found |= _of_one_dataset(store, cells, resamples)
    return found


def _of_one_dataset(store: Store, cells: Mapping[str, Cell], resamples: int) -> dict[str, Terms]:
    baselines = {key: store.predictions(key) for key in dict.fromkeys(cell.baseline_key for cell in cells.values())}
    labels = next(iter(baselines.values()))["y_true"].astype(np.int64)
    for key, stored in baselines.items():
        if not np.array_equal(stored["y_true"], labels):
            raise InputError(
                f"{store.path(key)} was tested on other images than the rest: delete it and run the study again."
            )
    before = np.stack([baselines[cell.baseline_key]["y_pred"] == labels for cell in cells.values()])
    after = np.stack([store.predictions(key)["after"] == labels for key in cells])
    name = next(iter(cells.values())).settings.dataset
    terms = resampled(labels, before, after, resamples=resamples, seed=zlib.crc32(name.encode()))
    rows = zip(cells, terms.numerators, terms.denominators)
    return {key: Terms(numerators[None], denominators[None]) for key, numerators, denominators in rows}
