"""Holding masks on Keras 3 models, as they are: no wrapper, nothing to strip, nothing foreign in a saved file.

A mask is held by its weight's constraint, which Keras 3's optimizers apply after each update: in ``fit`` and in loops of
one's own, whatever the optimizer remembers or adds. An existing constraint is kept, and applied first. What replaces weights
after training, such as an optimizer's moving average, is masked by the callback and by `strip`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext

import keras
import numpy as np
import tensorflow as tf

from tfrecall import weights
from tfrecall.errors import InputError


class Mask(keras.constraints.Constraint):
    """A Keras constraint: first the weight's own, if any, then a mask.

    Parameters
    ----------
    mask : ndarray of bool
        True where the weight is kept.
    inner : callable, optional
        The weight's own constraint.
    """

    def __init__(self, mask: np.ndarray, inner: Callable | None = None):
        self.inner = inner
        self.mask = tf.Variable(mask, trainable=False, name="mask")

    def __call__(self, weight):
        """Return the weight with what is pruned exactly 0, whatever it was."""
        value = tf.convert_to_tensor(weight if self.inner is None else self.inner(weight))
        return tf.where(self.mask, value, tf.zeros([], value.dtype))


def prepare(model, include_classifier: bool = False, only=None, exclude=None):
    """Put masks on a model, in place. What is 0 already is held at 0.

    Parameters
    ----------
    model : keras.Model
        Built.
    include_classifier : bool
        Whether the layers that make the outputs may be pruned.
    only, exclude : str or sequence of str, optional
        As in `tfrecall.weights.removable`.

    Returns
    -------
    keras.Model
        The same.

    Raises
    ------
    InputError
        If the model has masks already, or nothing to prune.
    """
    if is_prepared(model):
        raise InputError("the model is prepared already: prune it as it is, or strip it first.")
    for weight in weights.removable(model, include_classifier, only=only, exclude=exclude).values():
        variable = weight.variable
        with _where(variable):
            variable.constraint = Mask(weight.value != 0, variable.constraint)
    _forget_traces(model)
    return model


def strip(model):
    """Take the masks off a model, in place; its pruned weights are exactly 0 and nothing holds them there any more."""
    remask(model)
    for weight in _held(model).values():
        weight.variable.constraint = weight.variable.constraint.inner
    _forget_traces(model)
    return model


def plain(model):
    """Return the model itself, its pruned weights exactly 0: it is plain, and keeps its masks."""
    remask(model)
    return model


def is_prepared(model) -> bool:
    """Say whether any weight of a model has a mask."""
    return bool(_held(model))


def masks(model) -> dict[str, np.ndarray]:
    """Return the masks of a model by path: arrays of bool, True where the weight is kept."""
    return {path: weight.variable.constraint.mask.numpy() for path, weight in _held(model).items()}


def set_masks(model, new: Mapping[str, np.ndarray], thresholds: Mapping[str, float]) -> None:
    """Change the masks of a model and zero what they remove.

    Parameters
    ----------
    model : keras.Model
        With masks.
    new : mapping of str to ndarray of bool
        Masks by path, True where the weight is kept.
    thresholds : mapping of str to float
        Not used: there is no summary that shows them.
    """
    held = _held(model)
    for path, kept in new.items():
        held[path].variable.constraint.mask.assign(kept)
    remask(model)


def begin(model, scheduled: bool) -> None:
    """See that masks are held while a model trains: those that it has, or after loading, its zeros.

    Raises
    ------
    InputError
        If the model is not pruned, and nobody said what may be.
    """
    if not is_prepared(model):
        pruned = {path: weight for path, weight in weights.prunable(model).items() if not weight.value.all()}
        if scheduled or not pruned:
            raise InputError("PruningCallback needs a prepared model: use tfrecall.prune or tfrecall.prepare first.")
        prepare(model, include_classifier=any(weight.classifier for weight in pruned.values()))


def remask(model) -> None:
    """Set what the masks remove to exactly 0."""
    for weight in _held(model).values():
        weight.variable.assign(np.where(weight.variable.constraint.mask.numpy(), weight.value, 0))


def _held(model) -> dict[str, weights.Prunable]:
    return {path: weight for path, weight in weights.prunable(model).items() if isinstance(weight.variable.constraint, Mask)}


def _where(variable):
    """Return a scope in which a mask is made where its weight is: on each replica of a distributed one."""
    return variable.value.distribute_strategy.scope() if hasattr(variable.value, "distribute_strategy") else nullcontext()


def _forget_traces(model) -> None:
    """Have the train function made anew: one that is traced goes on with the constraints that it saw."""
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)
