"""Checking results that have no checksums, as version 0.1 wrote them: whether all that they say follows from the rest.

The settings must give the folder's key, and the report must be what its predictions give. What follows from nothing else in
the folder, such as the versions that it was run with, is not checked.
"""

from __future__ import annotations

import dataclasses
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path

import numpy as np

from tfrecall.errors import InputError
from tfrecall.report import document
from tfrecall.report.distortion import distortion
from tfrecall.report.slope import outcomes, slope
from tfrecall.settings import Settings
from tfrecall.study.cell import Cell
from tfrecall.study.manifest import DamageError, read_json, read_predictions, size
from tfrecall.training import Recipe

_VERSION = "0.1."  # all later ones write a manifest
_TOLERANCE = 1e-12  # sums may be rounded otherwise elsewhere
_FEW = 100  # resamples: the least that may be had, where the intervals are not compared
_ALL = 10_000


class MisfitError(DamageError):
    """A result is whole, and was measured against another baseline, or is not what it was measured from."""


def check_baseline(folder: Path, cell: Cell, *, thorough: bool) -> None:
    """Raise DamageError unless a folder holds the baseline of a cell, as far as can be told."""
    with _values_that_fit(folder):
        _check_baseline(folder, cell, thorough)


def _check_baseline(folder: Path, cell: Cell, thorough: bool) -> None:
    config = _config(folder, cell, "baseline_key")
    counts = config.get("parameters")
    if not (isinstance(counts, dict) and all(_is_count(counts.get(name)) for name in ("total", "prunable", "classifier"))):
        raise DamageError(folder / "config.json", "counts no parameters")
    if counts["prunable"] + counts["classifier"] > counts["total"]:
        raise DamageError(folder / "config.json", "counts more parameters in part than in total")
    stored = read_predictions(folder / "predictions.npz", ("y_true", "y_pred"))
    _require_classes(folder / "predictions.npz", stored, config)
    model = folder / "baseline.keras"
    size(model)
    if thorough:
        try:
            with zipfile.ZipFile(model) as archive:
                broken = archive.testzip()
        except Exception as error:  # as above
            raise DamageError(model, f"cannot be read: {' '.join(str(error).split())[:100]}") from error
        if broken:
            raise DamageError(model, f"cannot be read: {broken} does not have its checksum")


def check_cell(folder: Path, cell: Cell, baseline: dict[str, np.ndarray], *, thorough: bool) -> None:
    """Raise DamageError unless a folder holds the result of a cell, and its report is what the predictions give.

    Parameters
    ----------
    folder : Path
    cell : Cell
    baseline : dict of ndarray
        ``y_true`` and ``y_pred`` of its baseline.
    thorough : bool
        Whether to repeat the bootstrap too, which takes a tenth of a second.
    """
    with _values_that_fit(folder):
        _check_cell(folder, cell, baseline, thorough)


def _check_cell(folder: Path, cell: Cell, baseline: dict[str, np.ndarray], thorough: bool) -> None:
    config, path = _config(folder, cell, "key"), folder / "report.json"
    report = read_json(path)
    stored = read_predictions(folder / "predictions.npz", ("one_shot", "after"))
    _require_classes(folder / "predictions.npz", stored, config)
    resamples = _ALL if thorough else _FEW
    if len(stored["after"]) != len(baseline["y_true"]):
        raise MisfitError(folder / "predictions.npz", "is about another number of images than its baseline's")
    try:
        measured = distortion(
            baseline["y_true"],
            baseline["y_pred"],
            stored["after"],
            class_names=config["class_names"],
            one_shot=stored["one_shot"],
            resamples=_FEW,
            seed=config["settings"]["seed"],
        )
    except InputError as error:
        raise MisfitError(folder / "predictions.npz", f"does not fit its baseline: {error}") from error
    # The correction was another in version 0.1.
    counts = outcomes(baseline["y_true"], baseline["y_pred"], stored["after"], len(config["class_names"]))
    alpha = slope(counts, resamples=resamples, seed=config["settings"]["seed"], unbiased=False)
    expected = document.report(dataclasses.replace(measured, alpha=alpha))
    _require_measured(path, report, expected, thorough)
    _require_counted(path, report, config["settings"]["ratio"])


@contextmanager
def _values_that_fit(folder: Path) -> Iterator[None]:
    """Make an error that names the folder of whatever a value of another type or size makes of the checks."""
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise DamageError(folder, f"holds a value that no result has: {' '.join(str(error).split())[:100]}") from error


def _config(folder: Path, cell: Cell, key: str) -> dict:
    """Return the configuration of a folder, whose settings give the cell's key."""
    path = folder / "config.json"
    config = read_json(path)
    try:
        settings = config["settings"]
        recipe = Recipe(**settings["recipe"])
        found = getattr(Cell(Settings(**settings | {"recipe": recipe}), cell.fingerprint), key)
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(path, f"has no such settings as a cell has: {' '.join(str(error).split())[:100]}") from error
    if found != getattr(cell, key):
        raise DamageError(path, f"has the settings of {found}")
    for name, many in (("class_names", list), ("versions", dict), ("machine", dict)):
        values = config.get(name)
        if not (isinstance(values, many) and values and all(isinstance(item, str) for item in _values(values))):
            raise DamageError(path, f"names no {name}")
    if len(set(config["class_names"])) != len(config["class_names"]):
        raise DamageError(path, "names a class twice")
    if not config["versions"].get("tfrecall", "").startswith(_VERSION):
        raise DamageError(folder, "has lost its manifest.json, which every version after 0.1 writes")
    return config


def _require_classes(path: Path, stored: dict[str, np.ndarray], config: dict) -> None:
    most = max(int(array.max()) for array in stored.values())
    if most >= len(config["class_names"]):
        raise DamageError(path, f"names class {most}, and there are {len(config['class_names'])}")


def _require_measured(path: Path, report: dict, expected: dict, thorough: bool) -> None:
    rows = report.get("classes")
    if not (isinstance(rows, list) and len(rows) == len(expected["classes"])):
        raise DamageError(path, f"does not have a row for each of {len(expected['classes'])} classes")
    for row, right in zip(rows, expected["classes"]):
        _require_alike(path, row, right, ("class", "support", *document.COLUMNS))
    for part in ("before", "after", "one_shot"):
        _require_alike(path, report.get(part), expected[part], tuple(expected[part]))
    names = tuple(expected["alpha"]) if thorough else ("value", "level")
    _require_alike(path, report.get("alpha"), expected["alpha"], names)
    others = (name for name in expected["alpha"] if name not in ("verdict", *names))
    if any(not _is_finite(report["alpha"].get(name)) for name in others):
        raise DamageError(path, "does not hold a number for each end of an interval")
    _require_verdict(path, report["alpha"])


def _require_alike(path: Path, values, expected: dict, names: tuple[str, ...]) -> None:
    if not isinstance(values, dict):
        raise DamageError(path, f"lacks {', '.join(names)}"[:200])
    for name in names:
        value, right = values.get(name, ...), expected[name]
        same = type(value) is type(right) and value == right
        if isinstance(right, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
            same = math.isclose(value, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        if not same:
            said = "nothing" if value is ... else repr(value)[:40]
            raise MisfitError(path, f"says {said} of {name}, and its predictions give {right!r}"[:200])


def _require_verdict(path: Path, alpha: dict) -> None:
    low, high, ratio = alpha.get("corrected_low"), alpha.get("corrected_high"), alpha.get("corrected")
    verdict = "not identifiable" if ratio is None else "inconclusive"
    if ratio is not None and low is not None and low > 1:
        verdict = "intensified"
    elif ratio is not None and high is not None and high < 1:
        verdict = "de-intensified"
    if alpha.get("verdict") != verdict:
        raise DamageError(path, f"says {alpha.get('verdict')!r}, and its interval says {verdict}"[:200])
    if ratio is not None:
        sums = alpha.get("covariation"), alpha.get("signal")
        if None in sums or not sums[1] or not math.isclose(ratio, sums[0] / sums[1], rel_tol=_TOLERANCE):
            raise DamageError(path, "has a corrected α that is not covariation / signal")


def _require_counted(path: Path, report: dict, requested) -> None:
    """Check what became of the parameters: the numbers, and the layers that they add up to."""
    ratio, counts, layers = report.get("ratio"), report.get("parameters"), report.get("layers")
    try:
        total, remaining, prunable = (counts[name] for name in ("total", "remaining", "prunable"))
        sizes = [(row["weights"], row["kept"], row["sparsity"]) for row in layers]
    except (KeyError, TypeError) as error:
        raise DamageError(path, "does not count its parameters") from error
    if not (all(map(_is_count, (total, remaining, prunable))) and 0 < remaining <= total and prunable <= total):
        raise DamageError(path, "counts impossible numbers of parameters")
    right = {"requested": requested, "compression": total / remaining, "sparsity": 1 - remaining / total}
    _require_alike(path, ratio, right, tuple(right))
    if not all(_is_count(n) and _is_count(kept) and kept <= n and _is_finite(share) for n, kept, share in sizes):
        raise DamageError(path, "counts impossible numbers of weights")
    if sizes and total - sum(n - kept for n, kept, _ in sizes) != remaining:
        raise DamageError(path, f"says that {remaining:,} parameters remain, and its layers say otherwise")


def _values(many) -> list:
    return list(many.values()) if isinstance(many, dict) else many


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_finite(value) -> bool:
    return value is None or (isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value))
