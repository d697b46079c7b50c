"""Weight decay as a Keras regularizer, and the coefficient ε that a regularizer stands for."""

from __future__ import annotations

import math

import keras
import tf_keras

from tfrecall.errors import InputError


@keras.saving.register_keras_serializable(package="tfrecall")
@tf_keras.utils.register_keras_serializable(package="tfrecall")
class UndecayedL2(keras.regularizers.Regularizer, tf_keras.regularizers.Regularizer):
    """Weight decay in the papers' notation: adds (ε/2)‖θ‖² to the objective. For layers of either Keras.

    Its gradient is εθ, so ε here is the coefficient that optimizers and papers call weight decay. Keras's ``L2(l2)`` adds
    l2·Σθ², whose gradient is 2·l2·θ: ``UndecayedL2(weight_decay)`` equals ``L2(weight_decay / 2)``.

    Parameters
    ----------
    weight_decay : float
        ε, finite and at least 0.

    Raises
    ------
    InputError
        If `weight_decay` is negative or not finite.

    References
    ----------
    Good et al., NeurIPS 2022, section 4: T(θ) = L(θ) − (ε/2)‖θ‖².
    """

    def __init__(self, weight_decay: float):
        if not (math.isfinite(weight_decay) and weight_decay >= 0):
            raise InputError(f"weight_decay must be a finite number of at least 0, such as 5e-4; got {weight_decay}.")
        self.weight_decay = float(weight_decay)

    def __call__(self, weight):
        """Return (ε/2)‖θ‖², a scalar tensor."""
        import tensorflow as tf

        return 0.5 * self.weight_decay * tf.reduce_sum(tf.square(weight))

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {"weight_decay": self.weight_decay}


# Keras's HDF5 format writes a regularizer's bare name, without the package it is registered under.
tf_keras.utils.get_custom_objects()["UndecayedL2"] = UndecayedL2


def decay(regularizer) -> float:
    """Return the ε of the (ε/2)‖θ‖² that a regularizer holds.

    Parameters
    ----------
    regularizer : Keras regularizer or None
        `UndecayedL2` gives its coefficient; ``L2`` and ``L1L2`` give 2·l2.

    Returns
    -------
    float
        0 for None and for regularizers that have no such term.
    """
    if isinstance(regularizer, UndecayedL2):
        return regularizer.weight_decay
    return 2 * float(getattr(regularizer, "l2", 0.0))
