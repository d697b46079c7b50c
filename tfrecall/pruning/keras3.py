"""Holding masks on Keras 3 models, as they are: no wrapper, nothing to strip, nothing foreign in a saved file.

A mask is held by its weight's constraint, which Keras 3's optimizers apply after each update: in ``fit`` and in loops of
one's own, whatever the optimizer remembers or adds. What replaces weights by other means, such as an optimizer's moving
average, is masked by the callback and by `strip`. A step that was traced before the model was prepared knows no constraint:
the model's own `train_function` is rebuilt; for others, a warning names the weights that came back.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np

from tfrecall import weights
from tfrecall.errors import InputError, PruningWarning
from tfrecall.networks import keras3
from tfrecall.networks.keras3 import Mask
from tfrecall.pruning import zeros


def prepare(model, include_classifier: bool = False, only=None, exclude=None):
    """Put masks on a model, in place. Nothing is pruned yet.

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
    chosen = weights.removable(model, include_classifier, only=only, exclude=exclude)
    weights.warn_of_skipped(model, include_classifier, only, exclude)
    rest = [path for path, weight in weights.sparse(model).items() if path not in chosen and _is_sparse(weight)]
    if rest and exclude is None:
        warnings.warn(
            f"{weights.few(rest)} has zeros that are not held: name it in only=, or include the classifier.",
            PruningWarning,
            stacklevel=3,
        )
    for weight in chosen.values():
        variable = weight.variable
        with _where(variable):
            variable.constraint = Mask(np.ones(variable.shape, bool), variable.constraint)
    _forget_traces(model)
    return model


def strip(model):
    """Take the masks off a model, in place; its pruned weights are exactly 0 and nothing holds them there any more."""
    remask(model)
    for weight in _held(model).values():
        mask = weight.variable.constraint
        mask.mask.assign(np.ones(mask.mask.shape, bool))  # a step that was traced meanwhile goes on with it
        weight.variable.constraint = mask.inner
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
    """Return the masks of a model's trainable weights by path: bool, of the weight's shape, True where it is kept."""
    return {path: _mask(weight) for path, weight in _held(model).items() if weight.variable.trainable}


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
    _zero(model)


def begin(model, scheduled: bool) -> None:
    """See that masks are held while a model trains: those that it has, and its zeros.

    Raises
    ------
    InputError
        If the model is not pruned, and nobody said what may be.
    """
    if is_prepared(model):
        remask(model)  # weights may have been loaded since it was pruned
        return
    values = {path: weight.value for path, weight in weights.sparse(model).items() if weight.variable.trainable}
    pruned = zeros.zeros_of(values)
    if scheduled or not zeros.look_pruned(pruned, values):
        raise InputError("PruningCallback needs a prepared model: use tfrecall.prune or tfrecall.prepare first.")
    prepare(model, only=list(pruned))
    set_masks(model, {path: ~some.where for path, some in pruned.items()}, {})


def constrained(model) -> set[str]:
    """Return the paths of the masked weights that have a constraint of their own, which may set values to 0."""
    return {path for path, weight in _held(model).items() if weight.variable.constraint.inner is not None}


def remask(model) -> None:
    """Set what the masks remove to exactly 0; warn if it was not, and no moving average is the reason."""
    revived = [path for path, weight in _held(model).items() if weight.value[~_mask(weight)].any()]
    if revived and not _averages(model):
        warnings.warn(
            f"pruned weights of {weights.few(revived)} had come back, and were set to 0 again. Something else than an "
            "optimizer wrote them, such as load_weights or a train_step of your own; or a training step was traced before "
            "the model was prepared, which must come first.",
            PruningWarning,
            stacklevel=3,
        )
    _zero(model)


def _zero(model) -> None:
    """Set what the masks remove to exactly 0, in the optimizer's moving averages too."""
    averages = _averages(model)
    for weight in _held(model).values():
        for variable in (weight.variable, averages.get(id(weight.variable))):
            if variable is not None:
                variable.assign(np.where(_mask(weight), variable.numpy(), 0))


def _averages(model) -> dict[int, object]:
    """Return the optimizer's moving averages of a model's weights, by the weight's id; empty if it has none."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # inside a loss-scaling one
    if not getattr(optimizer, "use_ema", False):
        return {}
    own = zip(getattr(optimizer, "_trainable_variables", []), getattr(optimizer, "_model_variables_moving_average", []))
    return {id(variable): average for variable, average in own}


def _held(model) -> dict[str, weights.Prunable]:
    return weights.by_path(model, keras3.held, classifiers=False)


def _mask(weight: weights.Prunable) -> np.ndarray:
    return weight.variable.constraint.mask.numpy()


def _is_sparse(weight: weights.Prunable) -> bool:
    """Say whether a weight that is trained has many zeros, scattered as pruning leaves them."""
    value = weight.value
    where = value == 0
    return weight.variable.trainable and where.mean() >= zeros.SHARE and zeros.is_scattered(where, value)


def _where(variable):
    """Return a scope in which a mask is made where its weight is: on each replica of a distributed one."""
    return variable.value.distribute_strategy.scope() if hasattr(variable.value, "distribute_strategy") else nullcontext()


def _forget_traces(model) -> None:
    """Have the train function rebuilt: one that is traced keeps the constraints that it saw."""
    if getattr(model, "train_function", None) is not None:
        model.train_function = None
        model.make_train_function()  # at once, since `fit` may be running
