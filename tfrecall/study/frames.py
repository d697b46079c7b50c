"""A study's results as tables of plain numbers: a row a cell, and a row a cell and class. All analysis starts from these."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from tfrecall import sparsity
from tfrecall.errors import InputError
from tfrecall.report.document import COLUMNS
from tfrecall.study.cell import Cell
from tfrecall.study.inspection import Inspection, inspect
from tfrecall.study.plan import Plan
from tfrecall.study.store import Store

if TYPE_CHECKING:
    import pandas as pd

#: what the column ``algorithm`` says of the control arm, whose ratio is 1
CONTROL = "control"

#: what tells one cell from another
IDENTITY = ("dataset", "model", "algorithm", "ratio", "seed")

_ALPHA = {
    "value": "alpha",
    "low": "alpha_low",
    "high": "alpha_high",
    "corrected": "alpha_corrected",
    "corrected_low": "alpha_corrected_low",
    "corrected_high": "alpha_corrected_high",
    "level": "alpha_level",
    "verdict": "verdict",
    "covariation": "covariation",
    "signal": "signal",
}
_CLASS = ("support", *(name for name in COLUMNS if not name.startswith("balance_")))


def frames(store: Store, plan: Plan, inspection: Inspection | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what a study has measured so far.

    Parameters
    ----------
    store : Store
    plan : Plan
        Its cells that are done and whole, in its order of data sets, models, algorithms, ratios and seeds, whatever is
        missing or damaged.
    inspection : Inspection, optional
        Which are whole, where that is known already.

    Returns
    -------
    cells : DataFrame
        A row a cell: dataset, model, algorithm (``"control"`` for the control arm), ratio (compression t, 1 for the
        control arm), seed; parameters, accuracies, the slope α with its intervals over test images; the settings.
    classes : DataFrame
        A row a cell and class: the same five first, then the class, its test images, recall, precision and F1 before and
        after, normalized recall balances, intensification ratio. Empty where there is none.

    Raises
    ------
    InputError
        If nothing is done yet, or all of it is damaged.
    """
    import pandas as pd

    inspection = inspection or inspect(store, plan.cells, thorough=True)
    cells, classes = [], []
    for cell in sorted(plan.cells, key=_in_order_of(plan)):
        if cell.key in inspection.sound:
            report, identity = store.read(f"{cell.key}/report.json"), _identity(cell)
            cells.append({**identity, **_cell(cell, report)})
            classes += [
                {**identity, "class": row["class"], **{name: row[name] for name in _CLASS}} for row in report["classes"]
            ]
    if not cells and inspection.damaged:
        damage = next(iter(inspection.damaged.values()))
        more = f" (and {len(inspection.damaged) - 1} more)" if len(inspection.damaged) > 1 else ""
        raise InputError(f"no result in {store.root} can be used: {damage}{more}; run the study again, which does it again.")
    if not cells:
        raise InputError(f"no cell of the plan in {store.root} is done yet: run the study first.")
    return pd.DataFrame(cells), pd.DataFrame(classes)


def compression(ratio: float | None) -> float:
    """Return a ratio as the compression t ≥ 1 that tables show; None, the control arm, is 1."""
    return 1.0 if ratio is None else float(f"{sparsity.compression(sparsity.sparsity(ratio)):.6g}")


def _in_order_of(plan: Plan) -> Callable:
    """Return a key that sorts cells by combination, the control arm first.

    Tests depend on which of two data sets or models comes first: no seed that lacks one may change that.
    """
    places = [{name: at for at, name in enumerate(names)} for names in (plan.datasets, plan.models, plan.algorithms)]
    seeds = {seed: at for at, seed in enumerate(plan.seeds)}

    def key(cell: Cell) -> tuple:
        settings = cell.settings
        arm = (-1, 0.0) if cell.control else (places[2][settings.algorithm], compression(settings.ratio))
        return places[0][settings.dataset], places[1][settings.model], *arm, seeds[settings.seed]

    return key


def _identity(cell: Cell) -> dict:
    settings = cell.settings
    return {
        "dataset": settings.dataset,
        "model": settings.model,
        "algorithm": CONTROL if cell.control else settings.algorithm,
        "ratio": compression(settings.ratio),
        "seed": settings.seed,
    }


def _cell(cell: Cell, report: dict) -> dict:
    settings, ratio = cell.settings, report["ratio"]
    return {
        "parameters": report["parameters"]["total"],
        "parameters_left": report["parameters"]["remaining"],
        "compression": ratio["compression"],
        "sparsity": ratio["sparsity"],
        "accuracy_before": report["before"]["accuracy"],
        "accuracy_one_shot": report["one_shot"]["accuracy"],
        "accuracy_after": report["after"]["accuracy"],
        "stability": report["one_shot"]["stability"],
        **{column: report["alpha"][name] for name, column in _ALPHA.items()},
        "scope": settings.scope,
        "include_classifier": settings.include_classifier,
        **dataclasses.asdict(settings.recipe),
        "strategy": settings.strategy,
        "key": cell.key,
        "baseline_key": cell.baseline_key,
    }
