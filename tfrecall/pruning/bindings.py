"""Which module holds the masks of a model: the kind of model chooses.

Each has ``is_prepared``, ``prepare``, ``strip``, ``plain``, ``masks``, ``set_masks`` and ``constrained``, and for the
callback ``begin`` and ``remask``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tfrecall import networks


def of(model) -> ModuleType:
    """Return `tfrecall.pruning.tfmot` for a tf_keras model, and `tfrecall.pruning.keras3` for one of Keras 3."""
    return import_module(f"tfrecall.pruning.{'tfmot' if networks.is_legacy(model) else 'keras3'}")
