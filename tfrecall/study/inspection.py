"""Which results of a study can be used: there, whole, and those of their key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tfrecall.study import manifest, unsigned
from tfrecall.study.cell import Cell
from tfrecall.study.manifest import DamageError
from tfrecall.study.store import FOLDERS, Store

BASELINE = ("config.json", "baseline.keras", "predictions.npz")
CELL = ("config.json", "report.json", "predictions.npz")


@dataclass(frozen=True)
class Inspection:
    """What a look at a study's results showed.

    Attributes
    ----------
    sound : frozenset of str
        Keys of baselines that are whole, and of cells that are and whose baselines are.
    damaged : dict of str to DamageError
        What is wrong, by key, or by the name of one of the study's own folders.
    unsigned : frozenset of str
        Those of the sound that have no checksums, as version 0.1 wrote them.
    """

    sound: frozenset[str]
    damaged: dict[str, DamageError]
    unsigned: frozenset[str]


def inspect(store: Store, cells: Iterable[Cell], *, thorough: bool = False) -> Inspection:
    """Look at what is stored of some cells and of their baselines.

    Parameters
    ----------
    store : Store
    cells : iterable of Cell
    thorough : bool
        Whether to read large files too, and to repeat the bootstrap of results that have no checksums.

    Raises
    ------
    InputError
        If a file may not be read, or a newer version of tfrecall wrote it.
    """
    by_key = {cell.key: cell for cell in cells}
    look = _Look(store, thorough)
    for name in FOLDERS:
        path = store.root / name
        if os.path.lexists(path) and not path.is_dir():
            look.damaged[name] = DamageError(path, "is no folder")
    resting: dict[str, list[Cell]] = {}
    for cell in by_key.values():
        resting.setdefault(cell.baseline_key, []).append(cell)
    stored = {key: [cell for cell in cells if store.exists(cell.key)] for key, cells in resting.items()}
    for key, cells in resting.items():
        look.at_baseline(key, cells[0], len(stored[key]))
    for cell in (cell for cells in stored.values() for cell in cells):
        look.at_cell(cell.key, cell)
    look.blame_baselines(stored)
    return Inspection(frozenset(look.sound), look.damaged, frozenset(look.unsigned & look.sound))


def digest(predictions: dict[str, np.ndarray]) -> str:
    """Return a checksum of predictions, whichever way they are stored."""
    total = hashlib.sha256()
    for name, array in sorted(predictions.items()):
        total.update(f"{name} {array.size}\n".encode())
        total.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return total.hexdigest()


class _Look:
    """What has been seen so far."""

    def __init__(self, store: Store, thorough: bool):
        self.store, self.thorough = store, thorough
        self.sound: set[str] = set()
        self.unsigned: set[str] = set()
        self.damaged: dict[str, DamageError] = {}
        self.misfits: set[str] = set()  # cells that are whole, and were measured against another baseline
        self.predictions: dict[str, dict[str, np.ndarray]] = {}
        self.digests: dict[str, str] = {}

    def at_baseline(self, key: str, cell: Cell, needed: int) -> None:
        folder = self.store.path(key)
        if not self.store.exists(key):
            if needed:
                self.damaged[key] = DamageError(
                    folder, f"is missing, and {needed} finished cell{'s' * (needed > 1)} need it"
                )
            return
        try:
            if manifest.verify(folder, key, BASELINE, thorough=self.thorough) is None:
                unsigned.check_baseline(folder, cell, thorough=self.thorough)
                self.unsigned.add(key)
            self.predictions[key] = manifest.read_predictions(folder / "predictions.npz", ("y_true", "y_pred"))
        except DamageError as damage:
            self.damaged[key] = damage
            return
        self.digests[key] = digest(self.predictions[key])
        self.sound.add(key)

    def at_cell(self, key: str, cell: Cell) -> None:
        folder, baseline = self.store.path(key), cell.baseline_key
        try:
            written = manifest.verify(folder, key, CELL, thorough=self.thorough)
            if baseline not in self.sound:
                return  # what it was measured against is not there to be compared
            if written is None:
                unsigned.check_cell(folder, cell, self.predictions[baseline], thorough=self.thorough)
                self.unsigned.add(key)
            elif written["baseline"] != self.digests[baseline]:
                raise unsigned.MisfitError(folder, f"was measured against other predictions than those of {baseline}")
        except DamageError as damage:
            self.damaged[key] = damage
            if isinstance(damage, unsigned.MisfitError):
                self.misfits.add(key)
            return
        self.sound.add(key)

    def blame_baselines(self, stored: dict[str, list[Cell]]) -> None:
        """Where nothing fits a baseline that has no checksums, it is the one that changed."""
        for key in self.unsigned & self.sound:
            resting = {cell.key for cell in stored.get(key, ())}
            if resting and resting <= self.misfits:
                folder = self.store.path(key)
                self.damaged[key] = DamageError(folder, "fits none of the cells that were measured against it")
                self.sound.discard(key)
                if len(resting) > 1:
                    for other in resting:
                        del self.damaged[other]
