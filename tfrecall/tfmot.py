"""What is taken of tfmot, imported here alone, so that ``tf.keras`` stays what its user expects.

Where ``tf.keras`` was not used before, tfmot makes it stand for tf_keras, in this process and those it starts. Here it is
settled by the user's own ``TF_USE_LEGACY_KERAS`` first, and the variable is put back afterwards.
"""

from __future__ import annotations

import os

import tensorflow as tf

_VARIABLE = "TF_USE_LEGACY_KERAS"
_own = os.environ.get(_VARIABLE)
tf.keras.Model  # noqa: B018  the first look settles which Keras it is
try:
    from tensorflow_model_optimization.python.core.sparsity.keras.prune import prune_scope
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_callbacks import UpdatePruningStep
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_schedule import PruningSchedule
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import PruneLowMagnitude
finally:
    if _own is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = _own

__all__ = [
    "PruneLowMagnitude",
    "PruningSchedule",
    "UpdatePruningStep",
    "prune_scope",
]
