"""Holding masks on tf_keras models, inside tfmot's wrappers.

tfmot's own wrapper multiplies weight and mask at every forward pass, and fails under mixed precision, where the two come
in different types. `MaskedLayer` is that wrapper with its masks held by a constraint on the weight, which Keras's optimizers
apply after each update: it costs one multiplication a step, and holds in custom training loops, under ``tf.distribute``, and
with several steps per execution too. Since masks do not depend on the wrapper's call, it may wrap any layer and hold masks
on the kernels of the layers in it: those of a Bidirectional, a TimeDistributed, a stack of cells, or a user's own block.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

    It is called as the layer inside is: with the same arguments, masks of padded steps and states.

    Parameters
    ----------
    layer : tf_keras.layers.Layer
        Any layer.
    masked : sequence of int, optional
        Which of its weights have masks, as places in `tfrecall.networks.legacy.all_variables`. All kernels by default.
    """

    def __init__(self, layer, masked=None, **kwargs):
        with _answering(layer, []):  # tfmot asks here only whether it is a layer that can be pruned
            super().__init__(layer, **{"dtype": layer.dtype_policy, **kwargs, "pruning_schedule": Never()})
        self._places = None if masked is None else frozenset(masked)  # Keras would track a list in checkpoints
        self._call_spec = layer._call_spec  # by which Keras passes masks, `training` and other arguments, or does not
        self.supports_masking = layer.supports_masking
        self.stateful = layer.stateful

    def build(self, input_shape):
        """Build the layer inside; make the masks, and the constraints that hold them."""
        tf_keras.layers.Wrapper.build(self, input_shape)
        self._make_masks()

    def _make_masks(self) -> None:
        variables = legacy.all_variables(self.layer)
        places = self._places if self._places is not None else _places(variables, legacy.kernels(self.layer))
        if not places or max(places) >= len(variables):
            return  # some layers, such as MultiHeadAttention, make their weights when they are called first
        masked = [variables[place] for place in sorted(places)]
        self._several = len(masked) > 1
        with _answering(self.layer, masked):
            super().build(self._build_input_shape)
        for weight, mask, _ in self.pruning_vars:
            _constrain(weight, mask)

    def add_weight(self, name=None, *args, **kwargs):
        """Add a weight; number the masks of several, as tfmot does not: HDF5 files need a name for each."""
        if self._several and name in ("mask", "threshold"):
            name = f"{name}_{len(self._non_trainable_weights) // 2 + 1}"
        return super().add_weight(name, *args, **kwargs)

    def call(self, inputs, *args, **kwargs):
        """Call the layer inside; its weights are masked already."""
        if self._call_spec.full_argspec.varargs is None:
            # By name: a recurrent layer's __call__ has other places for them than its call, as which Keras saves them.
            args, kwargs = (), dict(zip(self._call_spec.arg_names[1:], args)) | kwargs
        # Not layer.call, as tfmot does: that would lose its activity regularizer and dtype.
        outputs = self.layer(inputs, *args, **kwargs)
        if not self.pruning_vars:
            with tf.init_scope():
                self._make_masks()
        return outputs

    def compute_mask(self, inputs, mask=None):
        """Return the mask that the layer inside passes on."""
        return self.layer.compute_mask(inputs, mask)

    def reset_states(self, *args, **kwargs):
        """Reset the states of a stateful recurrent layer inside."""
        self.layer.reset_states(*args, **kwargs)

    @classmethod
    def from_config(cls, config):
        """Make it again, around a layer of any registered class."""
        arguments = {name: value for name, value in config.items() if name not in ("layer", "pruning_schedule")}
        inner = config["layer"]
        registered = tf_keras.utils.get_registered_object(inner.get("registered_name") or "")
        # Out of an HDF5 file Keras looks for the bare name of the class, and does not find a registered one.
        with tf_keras.utils.custom_object_scope({} if registered is None else {inner["class_name"]: registered}):
            layer = tf_keras.layers.deserialize(inner, use_legacy_format="module" not in inner)
        return cls(layer, **arguments)

    def get_config(self) -> dict:
        """Return what makes it again."""
        return super().get_config() | ({} if self._places is None else {"masked": sorted(self._places)})


@contextmanager
def _answering(layer, variables: list) -> Iterator[None]:
    """Have a layer answer for a moment that these of its variables can be pruned, which is how tfmot asks for them."""
    before = vars(layer).get("get_prunable_weights")
    layer.get_prunable_weights = lambda: variables
    try:
        yield
    finally:
        del layer.get_prunable_weights
        if before is not None:
            layer.get_prunable_weights = before


def prepare(model, include_classifier: bool = False, only=None, exclude=None):
    """Return a copy of a model with its prunable layers wrapped and nothing pruned yet.

    Parameters
    ----------
    model : tf_keras.Model
        Sequential or Functional. It is not changed, and shares nothing with the copy.
    include_classifier : bool
        Whether the layers that make the outputs may be pruned.
    only, exclude : str or sequence of str, optional
        As in `tfrecall.weights.removable`.

    Returns
    -------
    tf_keras.Model
        Not compiled.

    Raises
    ------
    InputError
        If the model is subclassed or cannot be copied, or has nothing to prune.
    """
    _require_graph(model)
    if is_prepared(model):
        raise InputError("the model is prepared already: prune it as it is, or strip it first.")
    chosen = weights.removable(model, include_classifier, only=only, exclude=exclude)
    weights.warn_of_skipped(model, include_classifier, only, exclude)
    variables = [weight.variable for weight in chosen.values()]
    places = {path: _places(legacy.all_variables(layer), variables) for path, layer in legacy.units(model)}
    with _classes(model):
        copy = _copied(model)
        wanted = {id(layer): places[path] for path, layer in legacy.units(copy) if places[path]}
        return _clone(copy, lambda layer: MaskedLayer(layer, wanted[id(layer)]) if id(layer) in wanted else layer)


def _places(variables: list, chosen: list) -> list[int]:
    """Return which of these variables are among the chosen ones."""
    ids = {id(variable) for variable in chosen}
    return [place for place, variable in enumerate(variables) if id(variable) in ids]


def _copied(model):
    """Return a copy of a model, under the same names."""
    try:
        copy = tf_keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    except (NotImplementedError, TypeError, ValueError) as error:  # what Keras and classes of the user's own raise
        reason = " ".join(str(error).split())
        raise InputError(f"the model cannot be copied; is the get_config of its layers complete? {reason}") from error
    _rename(copy, model)
    return copy


def _rename(copy, model) -> None:
    """Give the layers in a copy's layers the names of the model's: those that a class makes are numbered anew each time."""
    for (_, layer), (_, original) in zip(legacy.walk(copy), legacy.walk(model)):
        layer._name = original.name


@contextmanager
def _classes(model) -> Iterator[None]:
    """Let Keras find the user's own classes when it makes layers from their configurations."""
    own = {type(layer).__name__: type(layer) for _, layer in legacy.walk(model)}
    with tf_keras.utils.custom_object_scope(
        {name: c for name, c in own.items() if not c.__module__.startswith("tf_keras.")}
    ):
        yield


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
    originals = dict(legacy.units(model))
    with _classes(model):
        plain = _clone(model, _plain_copy)
    _rename(plain, model)
    for path, layer in legacy.units(plain):
        layer.set_weights(legacy.unwrapped(originals[path]).get_weights())
    _warn_of_lost_masks(model)
    values = weights.by_path(plain, lambda model: model.variables, classifiers=False)
    for path, (_, mask, _) in _pruning_vars(model).items():
        values[path].variable.assign(values[path].value * mask.numpy())
    return plain


def plain(model):
    """Return a copy of the model without wrappers, its pruned weights exactly 0."""
    return strip(model)


def is_prepared(model) -> bool:
    """Say whether any layer of a model is wrapped."""
    return bool(_wrappers(model))


def masks(model) -> dict[str, np.ndarray]:
    """Return the masks of a wrapped model's trainable weights by path: bool, True where the weight is kept."""
    trainable = weights.prunable(model, classifiers=False)
    return {path: mask.numpy() != 0 for path, (_, mask, _) in _pruning_vars(model).items() if path in trainable}


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
    if new:
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
    constraints = {path: legacy.components(weight)[0].constraint for path, (weight, _, _) in _pruning_vars(model).items()}
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
    for component in legacy.components(weight):
        # A variable takes its constraint at creation only, and the layer inside made this one: there is no public setter.
        component._constraint = _Held(mask, component.constraint)
        component.sparse_read = _dense_gather(component)


def _dense_gather(variable) -> Callable:
    """Return what looks up rows of a variable, as `tf.gather` and embeddings do, with a dense gradient.

    Keras's legacy optimizers refuse a constraint together with a sparse gradient.
    """

    @tf.custom_gradient
    def gather(value, indices):
        def gradient(upstream):
            rows = tf.reshape(upstream, [-1, *value.shape[1:]])
            return tf.math.unsorted_segment_sum(rows, tf.reshape(indices, [-1]), value.shape[0]), None

        return tf.gather(value, indices), gradient

    return lambda indices, name=None: gather(variable.read_value(), indices)


def _wrappers(model) -> dict[str, PruneLowMagnitude]:
    return {path: layer for path, layer in legacy.units(model) if isinstance(layer, PruneLowMagnitude)}


def _pruning_vars(model) -> dict[str, tuple]:
    """Return tfmot's (weight, mask, threshold) by path."""
    entries = {id(entry[0]): entry for wrapper in _wrappers(model).values() for entry in wrapper.pruning_vars}
    found = weights.by_path(model, legacy.held, classifiers=False)
    return {path: entries[id(weight.variable)] for path, weight in found.items()}


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
