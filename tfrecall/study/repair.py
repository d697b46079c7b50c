"""Making a study whole again: what is damaged is moved into its folder ``damaged``, and so it is missing and done again."""

from __future__ import annotations

import os
from collections.abc import Callable

from tfrecall.study import manifest
from tfrecall.study.cell import Cell
from tfrecall.study.inspection import Inspection, digest, inspect
from tfrecall.study.plan import Plan
from tfrecall.study.store import FOLDERS, Store


def repair(store: Store, plan: Plan, inspection: Inspection, tell: Callable[[str], None]) -> None:
    """Move what is damaged out of the way, and give what is whole the checksums that it may lack.

    Parameters
    ----------
    store : Store
    plan : Plan
    inspection : Inspection
        Of the plan's cells, thorough.
    tell : callable
        Called with a line for each damaged result.
    """
    cells = {key: cell for cell in plan.cells for key in (cell.baseline_key, cell.key)}
    for key, damage in inspection.damaged.items():
        if not store.exists(key):
            tell(f"{damage}; it is made again")
        elif key in FOLDERS:
            tell(f"{damage}; moved to {store.set_aside(key)}")
        else:
            with store.claim(key) as mine:  # another runner may have repaired it since
                if mine and key in inspect(store, [cells[key]], thorough=True).damaged:
                    tell(f"{damage}; moved to {store.set_aside(key)}, and done again")
    _sign(store, plan, inspection)


def retire_baseline(store: Store, cell: Cell, retired: set[str]) -> bool:
    """Set a cell's baseline aside if it is damaged, so that it is trained again; say whether that was done.

    Once for each in `retired`, since a disk may spoil whatever is written.
    """
    key = cell.baseline_key
    if key in retired or not inspect(store, [cell], thorough=True).damaged.get(key):
        return False
    with store.claim(key) as mine:
        if mine and inspect(store, [cell], thorough=True).damaged.get(key):
            retired.add(key)
            store.set_aside(key)
            return True
    return False  # another runner repairs it


def set_misfits_aside(store: Store, cells: list[Cell]) -> None:
    """Set aside the cells that were measured against another baseline than the one that is there now."""
    for key in inspect(store, cells).damaged:
        with store.claim(key) as mine:
            if mine:
                store.set_aside(key)


def _sign(store: Store, plan: Plan, inspection: Inspection) -> None:
    """Give the results of version 0.1, which were looked at thoroughly just now, the checksums that they lack."""
    for cell in plan.cells:
        for key, identity in ((cell.baseline_key, cell.baseline_identity), (cell.key, cell.identity)):
            if key in inspection.unsigned and not os.path.lexists(store.path(key) / manifest.NAME):
                against = digest(store.predictions(cell.baseline_key)) if key == cell.key else None
                with store.claim(key) as mine:
                    if mine:
                        manifest.write(store.path(key), key, identity, against)
