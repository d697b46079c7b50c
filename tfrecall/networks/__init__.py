"""What tfrecall asks of a model, whichever Keras made it: its layers, its kernels, its losses.

One module a Keras, with the same functions: `tfrecall.networks.legacy` for tf_keras (Keras 2), tfmot's wrappers included,
and `tfrecall.networks.keras3` for Keras 3 on TensorFlow. Neither Keras is imported before a model of it is at hand.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tfrecall.errors import InputError

_MODULES = {"tf_keras": "legacy", "keras": "keras3"}


def of(model) -> ModuleType:
    """Return the module that knows a model's Keras.

    Raises
    ------
    InputError
        If it is no Keras model, or one of Keras 3 on another backend than TensorFlow.
    """
    for base in type(model).__mro__:
        root = base.__module__.partition(".")[0]
        if base.__name__ == "Model" and root in _MODULES:
            found = import_module(f"{__name__}.{_MODULES[root]}")
            found.require_backend()
            return found
    raise InputError(
        f"expected a Keras model; got {type(model).__module__}.{type(model).__name__}. "
        "Build or load it with keras or tf_keras."
    )


def is_legacy(model) -> bool:
    """Say whether a model is of tf_keras (Keras 2)."""
    return of(model).__name__.endswith(".legacy")
