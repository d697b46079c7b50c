"""Made-up studies, written into a store in no time: known slopes, and predictions simulated for them."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfrecall.report import document
from tfrecall.report.distortion import distortion
from tfrecall.report.slope import outcomes
from tfrecall.report.slope import slope as corrected_slope
from tfrecall.study import manifest
from tfrecall.study.cell import Cell
from tfrecall.study.frames import compression
from tfrecall.study.inspection import digest
from tfrecall.study.plan import Plan
from tfrecall.study.store import Store

PLAN = Plan(datasets=("mnist", "fashion_mnist"), algorithms=("magnitude", "random"), ratios=(2, 10), seeds=(0, 1, 2))
NAMES = ("ankle boot", "bag", "coat", "dress")
HOSTILE = ("comma, and 'quotes' \"", "<script>alert(1)</script>", "line\nbreak | $x^$ \\", "魚" * 40)

#: α after pruning, from the lowest ratio to the highest
SLOPES = {"magnitude": (0.9, 1.4), "random": (1.2, 1.7)}

VERSIONS = {"python": "3.11.7", "tensorflow": "2.21.0"}

CONFIG = {"versions": VERSIONS, "machine": {"system": "Linux", "processor": "x86_64"}}

RESAMPLES = 200  # of the test images

UNBIASED = True  # False: the correction of α that version 0.1 made

_PARAMETERS = 61_706

COUNTS = {"total": _PARAMETERS, "prunable": 60_000, "classifier": 1_000}


def study(
    root,
    plan: Plan = PLAN,
    *,
    names: Sequence[str] = NAMES,
    slopes: Mapping[str, Sequence[float]] = SLOPES,
    lost: Mapping[str, Sequence[float]] | None = None,
    control: float = 1.0,
    images: int = 400,
    recalls: Sequence[float] | None = None,
    done: Callable[[Cell], bool] = lambda cell: True,
    alike: int | None = None,
) -> Store:
    """Write a study's results.

    Parameters
    ----------
    root : path-like
    plan : Plan
    names : sequence of str
        The classes'.
    slopes : mapping
        By algorithm, α at each ratio of the plan, up to what chance makes of it.
    lost : mapping, optional
        By algorithm, the share of the accuracy that each ratio costs; a little by default.
    control : float
        α of the control arm.
    images : int
        Test images of each class.
    recalls : sequence of float, optional
        Of the classes before pruning; from 0.6 to 0.95 by default. NaN for a class without test images.
    done : callable
        Which cells are there.
    alike : int, optional
        Which images all seeds find hard, as a random seed; by default each seed has its own.
    """
    # statsmodels collects garbage whenever it adjusts p-values, which takes long if it looks through all of TensorFlow.
    gc.freeze()
    store = Store.create(root, plan)
    recalls = np.linspace(0.95, 0.6, len(names)) if recalls is None else np.array(recalls, float)
    for cell in filter(done, plan.cells):
        settings = cell.settings
        if not store.done(cell.key):  # algorithms may share a result
            at = 0 if cell.control else plan.ratios.index(settings.ratio)
            slope = control if cell.control else slopes[settings.algorithm][at]
            share = 0.0 if cell.control else 0.02 * (1 + at) if lost is None else lost[settings.algorithm][at]
            labels, *predictions = _predictions(cell, recalls, slope, share, images, alike)
            before, one_shot, after = predictions
            config = {**CONFIG, "settings": dataclasses.asdict(settings), "class_names": list(names)}
            _write(store, cell.baseline_key, config | {"parameters": COUNTS}, "config.json", 2.0)
            np.savez(store.path(cell.baseline_key) / "predictions.npz", y_true=labels, y_pred=before)
            with zipfile.ZipFile(store.path(cell.baseline_key) / "baseline.keras", "w") as model:
                model.writestr("weights", cell.baseline_key)
            manifest.write(store.path(cell.baseline_key), cell.baseline_key, cell.baseline_identity)
            _write(store, cell.key, _report(cell, names, labels, *predictions), "report.json", 1.0)
            np.savez(store.path(cell.key) / "predictions.npz", one_shot=one_shot, after=after)
            _write(store, cell.key, config, "config.json", 1.0)
            against = digest({"y_true": labels, "y_pred": before})
            manifest.write(store.path(cell.key), cell.key, cell.identity, against)
    return store


def resign(store: Store, plan: Plan) -> None:
    """Give results that were changed on purpose the manifests of what they are now."""
    for cell in plan.cells:
        manifest.write(store.path(cell.baseline_key), cell.baseline_key, cell.baseline_identity)
        manifest.write(store.path(cell.key), cell.key, cell.identity, digest(store.predictions(cell.baseline_key)))


def _predictions(
    cell: Cell, recalls: np.ndarray, slope: float, lost: float, images: int, alike: int | None
) -> tuple[np.ndarray, ...]:
    """Return the true classes, and the predicted ones before pruning, right after it, and at the end."""
    trained, pruned = (np.random.default_rng(int(key.rpartition("/")[2], 16)) for key in (cell.baseline_key, cell.key))
    there = ~np.isnan(recalls)
    before = np.clip(recalls + trained.normal(0, 0.01, recalls.size), 0, 1)
    mean = before[there].mean()
    after = np.clip((1 - lost) * (mean + slope * (before - mean)) + pruned.normal(0, 0.01, recalls.size), 0, 1)
    labels = np.repeat(np.arange(recalls.size)[there], images)
    hard = (trained if alike is None else np.random.default_rng(alike)).random(labels.size)
    predictions = (
        _predicted(labels, hard + pruned.normal(0, noise, hard.size) < recall[labels], recalls.size)
        for recall, noise in ((before, 0.0), (after - 0.1, 0.05), (after, 0.02))
    )
    return labels, *predictions


def _report(cell: Cell, names: Sequence[str], labels: np.ndarray, first, one_shot, last) -> dict:
    settings = cell.settings
    measured = distortion(labels, first, last, class_names=names, one_shot=one_shot, resamples=RESAMPLES, seed=settings.seed)
    if not UNBIASED:
        counts = outcomes(labels, first, last, len(names))
        alpha = corrected_slope(counts, resamples=RESAMPLES, seed=settings.seed, unbiased=False)
        measured = dataclasses.replace(measured, alpha=alpha)
    t = compression(settings.ratio)
    return document.report(
        measured,
        ratio={"requested": settings.ratio, "compression": t, "sparsity": 1 - 1 / t},
        parameters={"total": _PARAMETERS, "prunable": 60_000, "remaining": math.floor(_PARAMETERS / t)},
    )


def _predicted(labels: np.ndarray, right: np.ndarray, classes: int) -> np.ndarray:
    return np.where(right, labels, (labels + 1) % classes)


def _write(store: Store, key: str, content: dict, name: str, seconds: float) -> None:
    folder = store.path(key)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(document.to_json(content), encoding="utf-8")
    (folder / "seconds.json").write_text(json.dumps({"seconds": seconds}))
