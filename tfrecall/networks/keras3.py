"""Keras 3 models on TensorFlow: Sequential, Functional and subclassed, as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from tfrecall.errors import InputError

#: the Keras itself, with its optimizers, losses and layers
library = keras

# What Keras's own layers call their kernels.
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings")
# Where tfmot's registry says something, it is followed: it leaves depthwise kernels alone.
_DEPTHWISE = tuple(
    getattr(keras.layers, name) for name in ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
)


def require_backend() -> None:
    """Raise InputError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Keras runs on {keras.backend.backend()} here, and tfrecall prunes on TensorFlow: set KERAS_BACKEND=tensorflow "
            "before Keras is imported."
        )


def walk(model) -> Iterator[tuple[str, Any]]:
    """Yield (path, layer) for every layer below a model, outermost first, each layer once.

    Recurrent cells go by the name of the layer around them, as they do in tf_keras.
    """
    seen: set[int] = {id(model)}

    def visit(layer, prefix):
        for inner in _inside(layer):
            if id(inner) in seen:
                continue
            seen.add(id(inner))
            hidden = isinstance(layer, keras.layers.RNN)
            path = prefix.removesuffix("/") if hidden else prefix + inner.name
            yield path, inner
            yield from visit(inner, path + "/")

    yield from visit(model, "")


def unwrapped(layer):
    """Return the layer: nothing wraps it."""
    return layer


def shapes(model) -> tuple[list[tuple], list[tuple]]:
    """Return the shapes of a model's inputs and of its outputs, None where a length is open; none if it was never called."""
    if not model.built:
        return [], []
    if isinstance(model, keras.Sequential) or _is_functional(model):
        return tuple([tuple(tensor.shape) for tensor in tensors or []] for tensors in (model.inputs, model.outputs))
    built = getattr(model, "_build_shapes_dict", None) or {}  # of the call that built it
    inputs = [(None, *shape[1:]) for shape in built.values() if all(isinstance(length, int | None) for length in shape)]
    if not inputs:
        return [], []
    outputs = model.compute_output_spec(*(keras.KerasTensor(shape) for shape in inputs))
    return inputs, [tuple(tensor.shape) for tensor in tf.nest.flatten(outputs)]


def copied(model):
    """Return a model to prune that leaves this one as it is: a copy, compiled alike, since Keras 3 models change in place.

    Raises
    ------
    InputError
        If its class does not say how to make another: a subclassed model without ``get_config``.
    """
    try:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        if model.compiled:
            copy.compile_from_config(model.get_compile_config())
    except Exception as error:  # whatever a class of the user's own raises
        raise InputError(f"{type(model).__name__} cannot be copied; is its get_config complete? {error}") from error
    return copy


def kernels(layer) -> list[tuple[str, Any]]:
    """Return (name, variable) of what can be pruned in a layer by itself, without the layers in it."""
    if hasattr(layer, "get_prunable_weights"):
        named = [id(variable) for variable in layer.get_prunable_weights()]
    else:
        skipped = ("kernel", "depthwise_kernel") if isinstance(layer, _DEPTHWISE) else ()
        names = [name for name in _KERNELS if name not in skipped] if _is_builtin(layer) else []
        named = [id(variable) for variable in _own(layer) if variable.name in names]
    return [(v.name, v) for v in _own(layer) if id(v) in named or hasattr(v.constraint, "mask")]


def trainable(layer) -> list[tuple[str, Any]]:
    """Return (name, variable) of every trainable weight that a layer made itself."""
    return [(variable.name, variable) for variable in _own(layer)]


def regularizer(layer, variable):
    """Return the Keras regularizer on a layer's weight, or None."""
    return getattr(variable, "regularizer", None)


def output_layers(model) -> list[Any]:
    """Return the layers with kernels from which an output is reached without passing another such layer."""
    if not isinstance(model, keras.Sequential) and not _is_functional(model):
        # Subclassed: no graph to follow, so the last kernel is taken for the classifier.
        return [layer for _, layer in walk(model) if kernels(layer)][-1:]
    found, seen = [], set()

    def visit(operation, node_index):
        node = operation._inbound_nodes[node_index]
        if id(node) in seen:
            return
        seen.add(id(node))
        owners = output_layers(operation) if isinstance(operation, keras.Model) else _last_owners(operation)
        found.extend(owner for owner in owners if not any(owner is other for other in found))
        if not owners:
            for tensor in node.input_tensors:
                visit(tensor._keras_history.operation, tensor._keras_history.node_index)

    for tensor in tf.nest.flatten(model.outputs):
        visit(tensor._keras_history.operation, tensor._keras_history.node_index)
    return found


def total_parameters(model) -> int:
    """Count the trainable parameters of a model, shared ones once."""
    return sum(_size(variable) for variable in model.trainable_variables)


def traced(variable):
    """Return what a gradient tape knows of a variable: of a distributed one, the first replica's copy."""
    values = getattr(variable.value, "values", None)
    return values[0] if isinstance(values, tuple) else variable.value


def penalties(model) -> list:
    """Return the weight regularizers' terms of the objective, as tensors of the weights."""
    return [v.regularizer(v) for v in model.trainable_variables if getattr(v, "regularizer", None) is not None]


def activity_losses(model) -> list:
    """Return what the last call of a model added to the objective, as Keras adds it for the batch."""
    return [loss for layer in model._flatten_layers() for loss in layer._get_own_losses()]


def clear_losses(model) -> None:
    """Forget what calls of a model added to the objective."""
    for layer in model._flatten_layers():
        layer._clear_losses()


def compute_dtypes(model) -> set[str]:
    """Return the types in which the layers of a model compute."""
    return {layer.compute_dtype for layer in model._flatten_layers()}


def _inside(layer) -> list:
    """Return the layers directly in a layer, in the order in which they were made its own."""
    return layer._flatten_layers(include_self=False, recursive=False)


def _own(layer) -> list:
    """Return the trainable variables that a layer made itself."""
    within = {id(variable) for inner in _inside(layer) for variable in inner.variables}
    return [variable for variable in layer.trainable_variables if id(variable) not in within]


def _is_builtin(layer) -> bool:
    """Say whether a layer is one of Keras's own, or derived from one: there a kernel is a kernel."""
    bases = [base for base in type(layer).__mro__ if issubclass(base, keras.layers.Layer) and base is not keras.layers.Layer]
    return not isinstance(layer, keras.Model) and any(base.__module__.partition(".")[0] == "keras" for base in bases)


def _is_functional(model) -> bool:
    return getattr(model, "_functional", None) is not None or hasattr(model, "_operations_by_depth")


def _last_owners(operation) -> list:
    """Return the layers with kernels in a layer that is no model: itself, or in it, such as the last of an attention."""
    if not isinstance(operation, keras.layers.Layer):
        return []
    if kernels(operation):
        return [operation]
    return [layer for _, layer in walk(operation) if kernels(layer)][-1:]


def _size(variable) -> int:
    size = 1
    for length in variable.shape:
        size *= int(length)
    return size
