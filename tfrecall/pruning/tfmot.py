"""Holding masks on tf_keras models, inside tfmot's wrappers.

tfmot's own wrapper multiplies weight and mask at every forward pass, and fails under mixed precision, where the two come
in different types. `MaskedLayer` is that wrapper with its masks held by a constraint on the weight, which Keras's optimizers
apply after each update: it costs one multiplication a step, and holds in custom training loops, under ``tf.distribute``, and
with several steps per execution too.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from weakref import WeakKeyDictionary

import numpy as np
import tensorflow as tf
import tf_keras

from tfrecall import weights
from tfrecall.errors import InputError, PruningWarning
from tfrecall.networks import legacy
from tfrecall.tfmot import PruneLowMagnitude, PruningSchedule

# By model and path, how many weights the masks removed when they were last set.
_removed: WeakKeyDictionary[object, dict[str, int]] = WeakKeyDictionary()


@tf_keras.utils.register_keras_serializable(package="tfrecall")
class Never(PruningSchedule):
    """tfmot's schedule for a wrapper whose masks are set from outside: it never says "prune"."""

    def __call__(self, step):
        """Return (False, 0)."""
        return tf.constant(False), tf.constant(0.0)

    def get_config(self) -> dict:
        """Return the registered name; there is nothing to configure."""
        return {"class_name": tf_keras.utils.get_registered_name(type(self)), "config": {}}


@tf_keras.utils.register_keras_serializable(package="tfrecall")
class MaskedLayer(PruneLowMagnitude):
    """tfmot's wrapper around a layer, its masks set by tfrecall and held by the weights' constraints.

    Parameters
    ----------
    layer : tf_keras.layers.Layer
        A layer that tfmot can prune.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **{"dtype": layer.dtype_policy, **kwargs, "pruning_schedule": Never()})

    def build(self, input_shape):
        """Make the masks, and the constraints that hold them."""
        super().build(input_shape)
        for weight, mask, _ in self.pruning_vars:
            _constrain(weight, mask)

    def call(self, inputs, training=None, **kwargs):
        """Call the layer inside; its weights are masked already."""
        if "training" in inspect.signature(self.layer.call).parameters:
            kwargs["training"] = training
        return self.layer(inputs, **kwargs)  # not .call, as tfmot does: that would lose its activity regularizer and dtype


def prepare(model, include_classifier: bool = False, only=None, exclude=None):
    """Return a copy of a model with its prunable layers wrapped and nothing pruned yet.

    Parameters
    ----------
    model : tf_keras.Model
        Sequential or Functional. It is not changed, and shares nothing with the copy.
    include_classifier : bool
        Whether the layers that make the outputs may be pruned.
    only, exclude : str or sequence of str, optional
        As in `tfrecall.weights.removable`; of a layer's weights all or none.

    Returns
    -------
    tf_keras.Model
        Not compiled.

    Raises
    ------
    InputError
        If the model is subclassed, or has nothing to prune.
    """
    _require_graph(model)
    if is_prepared(model):
        raise InputError("the model is prepared already: prune it as it is, or strip it first.")
    wrapped = weights.removable(model, include_classifier, only=only, exclude=exclude)
    names = _layers_of(model, wrapped)
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    chosen = {id(layer) for path, layer in legacy.walk(copy) if path in names}
    return _clone(copy, lambda layer: MaskedLayer(layer) if id(layer) in chosen else layer)


def _layers_of(model, wanted: Mapping[str, weights.Prunable]) -> set[str]:
    """Return the paths of the layers of these weights; tfmot wraps whole layers."""
    owners = {id(weight.layer) for weight in wanted.values()}
    rest = [path for path, weight in weights.prunable(model).items() if id(weight.layer) in owners and path not in wanted]
    if rest:
        raise InputError(
            f"tfmot prunes all weights of a layer or none: {rest[0]} belongs to a layer of which others are to be pruned. "
            "Name all of them, or build the model with Keras 3."
        )
    return {path for path, layer in legacy.walk(model) if id(legacy.unwrapped(layer)) in owners}


def strip(model):
    """Return the plain model inside the wrappers, its pruned weights exactly 0.

    Parameters
    ----------
    model : tf_keras.Model
        Wrapped, or plain already. It is not changed, and shares nothing with the result.

    Returns
    -------
    tf_keras.Model
        Not compiled. Neither tfmot nor tfrecall is needed to save or load it, unless it names a class of theirs itself,
        such as `UndecayedL2`.
    """
    _require_graph(model)
    originals = dict(legacy.walk(model))
    plain = _clone(model, _plain_copy)
    for path, layer in legacy.walk(plain):
        layer.set_weights(legacy.unwrapped(originals[path]).get_weights())
    _warn_of_lost_masks(model)
    held, kernels = masks(model), weights.prunable(plain)
    for path, kept in held.items():
        kernels[path].variable.assign(kernels[path].variable.numpy() * kept)
    return plain


def plain(model):
    """Return a copy of the model without wrappers, its pruned weights exactly 0."""
    return strip(model)


def is_prepared(model) -> bool:
    """Say whether any layer of a model is wrapped."""
    return bool(_wrappers(model))


def masks(model) -> dict[str, np.ndarray]:
    """Return the masks of a wrapped model by path: arrays of bool, True where the weight is kept."""
    return {path: mask.numpy() != 0 for path, (_, mask, _) in _pruning_vars(model).items()}


def set_masks(model, new: Mapping[str, np.ndarray], thresholds: Mapping[str, float]) -> None:
    """Put masks on a wrapped model and zero what they remove.

    Parameters
    ----------
    model : tf_keras.Model
        Wrapped.
    new : mapping of str to ndarray of bool
        Masks by path, True where the weight is kept.
    thresholds : mapping of str to float
        The highest score removed from each weight, which ``tfmot.sparsity.keras.PruningSummaries`` shows.
    """
    disarm(model)
    variables = _pruning_vars(model)
    for path, kept in new.items():
        weight, mask, threshold = variables[path]
        mask.assign(kept.astype(mask.dtype.as_numpy_dtype))
        weight.assign(weight.numpy() * kept)
        if path in thresholds:
            threshold.assign(thresholds[path])
    _removed[model] = {**_removed.get(model, {}), **_counts_removed(new)}


def begin(model, scheduled: bool) -> None:
    """Raise InputError unless a model is wrapped; with a schedule, see that tfmot changes no masks by itself."""
    if not is_prepared(model):
        raise InputError("PruningCallback needs a prepared model: use tfrecall.prune or tfrecall.prepare first.")
    _warn_of_lost_masks(model)
    if scheduled:
        disarm(model)


def constrained(model) -> set[str]:
    """Return the paths of the masked weights that have a constraint of their own, which may set values to 0."""
    constraints = {path: _components(weight)[0].constraint for path, (weight, _, _) in _pruning_vars(model).items()}
    return {path for path, held in constraints.items() if getattr(held, "inner", None) is not None}


def remask(model) -> None:
    """Do nothing: tfmot's callback masks the weights that it wraps."""


def disarm(model) -> None:
    """Keep tfmot's own magnitude update from overriding masks, in models that tfmot itself wrapped."""
    changed = False
    for wrapper in _wrappers(model).values():
        if not isinstance(wrapper.pruning_schedule, Never):
            wrapper.pruning_schedule = wrapper.pruning_obj._pruning_schedule = Never()
            changed = True
    if changed and model.train_function is not None:
        # One that is traced would go on asking the old schedule. `fit`, which may be running, needs a new one at once.
        model.train_function = model.make_train_function(force=True)


def _counts_removed(masks: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {path: mask.size - int(np.count_nonzero(mask)) for path, mask in masks.items()}


def _warn_of_lost_masks(model) -> None:
    """Warn if a model has fewer weights masked than when it was pruned: a checkpoint brings its own masks with it."""
    before, now = _removed.get(model, {}), _counts_removed(masks(model))
    lost = sum(before.values()) - sum(now.get(path, 0) for path in before)
    if lost > 0:
        warnings.warn(
            f"{lost:,} weights that were pruned are no longer: the masks changed, as they do when load_weights "
            "or set_weights brings back those of a checkpoint. Prune the model again if it is to stay sparse.",
            PruningWarning,
            stacklevel=3,
        )
    _removed[model] = now


class _Held:
    """A Keras constraint that holds a mask m on a weight θ: m ⊙ θ, or around the weight's own constraint c, m ⊙ c(m ⊙ θ)."""

    def __init__(self, mask, inner: Callable | None):
        self.mask, self.inner = mask, inner

    def __call__(self, weight):
        value = weight * tf.cast(self.mask, weight.dtype)
        return value if self.inner is None else self.inner(value) * tf.cast(self.mask, weight.dtype)


def _constrain(weight, mask) -> None:
    for component in _components(weight):
        # A variable takes its constraint at creation only, and the layer inside made this one: there is no public setter.
        component._constraint = _Held(mask, component.constraint)


def _components(weight) -> tuple:
    """Return the plain variables under a mixed-precision or distributed one."""
    return getattr(weight, "_values", None) or (getattr(weight, "_variable", weight),)


def _wrappers(model) -> dict[str, PruneLowMagnitude]:
    return {path: layer for path, layer in legacy.walk(model) if isinstance(layer, PruneLowMagnitude)}


def _pruning_vars(model) -> dict[str, tuple]:
    held = {
        id(weight): entry for wrapper in _wrappers(model).values() for entry in wrapper.pruning_vars for weight in entry[:1]
    }
    return {
        path: held[id(weight.variable)] for path, weight in weights.prunable(model).items() if id(weight.variable) in held
    }


def _plain_copy(layer):
    inner = legacy.unwrapped(layer)
    copy = type(inner).from_config(inner.get_config())
    if not hasattr(copy, "_batch_input_shape") and hasattr(layer, "_batch_input_shape"):
        copy._batch_input_shape = layer._batch_input_shape  # a Sequential model is built from its first layer's
    return copy


def _clone(model, replace: Callable):
    """Rebuild a model's graph over the layers that `replace` returns, in nested models too."""

    def visit(layer):
        return _clone(layer, replace) if isinstance(layer, tf_keras.Model) else replace(layer)

    return tf_keras.models.clone_model(model, clone_function=visit)


def _require_graph(model) -> None:
    if not (isinstance(model, tf_keras.Sequential) or getattr(model, "_is_graph_network", False)):
        raise InputError(
            f"tfmot can wrap Sequential and Functional models only; got the subclassed {type(model).__name__}. "
            "Build it with tf_keras.Sequential or tf_keras.Model(inputs, outputs)."
        )
    for layer in model.layers:
        if isinstance(layer, tf_keras.Model):
            _require_graph(layer)
