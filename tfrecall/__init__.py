"""Prune Keras models and know, class by class, what pruning does to recall.

Names are resolved when first used, so that ``import tfrecall`` loads no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_FROM = {
    "prune": "tfrecall.pruning",
    "prepare": "tfrecall.pruning",
    "strip": "tfrecall.pruning",
    "PruningCallback": "tfrecall.pruning",
    "UndecayedL2": "tfrecall.regularizers",
    "InputError": "tfrecall.errors",
    "TrainingError": "tfrecall.errors",
    "DataWarning": "tfrecall.errors",
    "PruningWarning": "tfrecall.errors",
    "TfrecallWarning": "tfrecall.errors",
}
_MODULES = (
    "comparison",
    "criteria",
    "datasets",
    "errors",
    "experiment",
    "models",
    "pruning",
    "regularizers",
    "report",
    "schedules",
    "settings",
    "sparsity",
    "study",
    "training",
    "weights",
)

__all__ = ["__version__", *_FROM, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"tfrecall.{name}")
    raise AttributeError(f"module 'tfrecall' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
