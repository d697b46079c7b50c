"""tf_keras models, plain or wrapped by tfmot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrecall.tfmot import PruneLowMagnitude, PruneRegistry

#: the Keras itself, with its optimizers, losses and layers
library = tf_keras


def require_backend() -> None:
    """Do nothing: there is TensorFlow alone."""


def is_built(model) -> bool:
    """Say whether a model has its weights."""
    return model.built


def walk(model) -> Iterator[tuple[str, Any]]:
    """Yield (path, layer) for every layer of a model and of the models in it, each layer once, wrappers unopened."""
    seen: set[int] = set()

    def visit(model, prefix):
        for layer in model.layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            path = prefix + unwrapped(layer).name
            if isinstance(layer, tf_keras.Model):
                yield from visit(layer, path + "/")
            else:
                yield path, layer

    yield from visit(model, "")


def unwrapped(layer):
    """Return the layer inside tfmot's wrapper, or the layer itself."""
    return layer.layer if isinstance(layer, PruneLowMagnitude) else layer


def shapes(model) -> tuple[list[tuple], list[tuple]]:
    """Return the shapes of a model's inputs and of its outputs, None where a length is open; none if it has no graph."""
    return tuple([tuple(tensor.shape) for tensor in tensors or []] for tensors in (model.inputs, model.outputs))


def for_pruning(model):
    """Return a model to prune that leaves this one as it is: itself, since it is wrapped in a copy then."""
    return model


def variables(layer) -> list[tuple[str, Any]]:
    """Return (name, variable) of what tfmot's registry, or the layer itself, says can be pruned; frozen ones too."""
    inner = unwrapped(layer)
    if hasattr(inner, "get_prunable_weights"):
        variables = inner.get_prunable_weights()
    elif PruneRegistry.supports(inner) and inner.weights:
        variables = PruneRegistry.make_prunable(inner).get_prunable_weights()
        del inner.get_prunable_weights  # the registry leaves its answer on the layer: reading must not change a model
    else:
        return []
    names = [variable.name.split(":")[0].split("/") for variable in variables]
    depth = 1 if len({name[-1] for name in names}) == len(names) else 2  # attention has four kernels: query/kernel, …
    return [("/".join(name[-depth:]), variable) for name, variable in zip(names, variables)]


def prunable(model) -> list:
    """Return the trainable variables that can be pruned."""
    return [variable for _, layer in walk(model) if unwrapped(layer).trainable for _, variable in variables(layer)]


def nameable(model) -> list:
    """Return what `prunable` returns: tfmot's wrappers hold masks on nothing else."""
    return prunable(model)


def regularizer(layer, variable):
    """Return the Keras regularizer on a layer's weight, or None."""
    name = variable.name.split(":")[0].rsplit("/", 1)[-1]
    for attribute in (f"{name}_regularizer", f"{name.removesuffix('_kernel')}_regularizer"):
        if getattr(layer, attribute, None) is not None:
            return getattr(layer, attribute)
    return None


def output_layers(model) -> list[Any]:
    """Return the layers with kernels from which an output is reached without passing another such layer."""
    if not getattr(model, "outputs", None):  # subclassed: no graph to follow, so the last kernel is taken for the classifier
        return [unwrapped(layer) for _, layer in walk(model) if _has_kernels(layer)][-1:]
    found, seen = [], set()

    def visit(node):
        if id(node) in seen:
            return
        seen.add(id(node))
        layer = node.layer
        if isinstance(layer, tf_keras.Model):
            owners = output_layers(layer)
            found.extend(owners)
            if owners:
                return
        elif _has_kernels(layer):
            found.append(unwrapped(layer))
            return
        for parent in node.parent_nodes:
            visit(parent)

    for tensor in model.outputs:
        history = tensor._keras_history  # Keras's own record of which call of which layer made the tensor
        visit(history.layer._inbound_nodes[history.node_index])
    return found


def kernels(model) -> list:
    """Return what `prunable` does, frozen variables included."""
    return [variable for _, layer in walk(model) for _, variable in variables(layer)]


def matrices(model) -> list:
    """Return what `kernels` does: tfmot's wrappers hold masks on nothing else."""
    return kernels(model)


def total_parameters(model) -> int:
    """Count the parameters of a model, shared ones once: what its layers train, frozen or not."""
    # A layer keeps here what it made trainable, whatever its own `trainable` says today. Moving statistics are state.
    variables = {id(variable): variable for layer in _submodules(model) for variable in layer._trainable_weights}
    return sum(int(variable.shape.num_elements()) for variable in variables.values())


def shape(layer, variable) -> tuple[int, ...]:
    """Return the shape of a layer's weight."""
    return tuple(variable.shape)


def value(layer, variable) -> np.ndarray:
    """Return what a layer's weight holds."""
    return variable.numpy()


def traced(variable):
    """Return what a gradient tape knows of a variable: of a distributed one, the first replica's copy."""
    values = getattr(variable, "values", None)
    return values[0] if isinstance(values, tuple) else variable


def loss_weights(model):
    """Return the factors of its outputs' losses with which a model was compiled, or None."""
    return getattr(getattr(model, "compiled_loss", None), "_user_loss_weights", None)


def penalties(model) -> list:
    """Return the weight regularizers' terms of the objective, as tensors of the weights."""
    # model.losses mixes these with what the last call left there; Keras keeps them apart in this list alone.
    terms = [penalty() for layer in _submodules(model) for penalty in layer._callable_losses]
    return [term for term in terms if term is not None]


def activity_losses(model) -> list:
    """Return what the last call of a model added to the objective, each as the mean over the batch."""
    return [loss for layer in _submodules(model) for loss in layer._eager_losses]


def clear_losses(model) -> None:
    """Forget what calls of a model added to the objective."""
    model._clear_losses()


def graph_of(model) -> tuple[list, set[str]]:
    """Return the outputs of TensorFlow's graph of a call of a model with one input, and the names of its inputs."""
    losses = [(layer, list(layer._losses), list(layer._eager_losses)) for layer in _submodules(model)]
    inline = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # a decorated call is to be seen, not one operation
    try:
        with tf.__internal__.FuncGraph("look").as_default():
            images = tf.compat.v1.placeholder(tf.float32, shapes(model)[0][0])
            outputs = tf.nest.flatten(model(images, training=False))
    finally:
        tf.config.run_functions_eagerly(inline)
        for layer, symbols, values in losses:  # of the last call, which this one clears
            layer._losses[:], layer._eager_losses[:] = symbols, values
    return outputs, {images.op.name}


def random_state(model) -> list:
    """Return nothing: TensorFlow finds the state of tf_keras's random layers by itself."""
    return []


@contextlib.contextmanager
def in_float32(model) -> Iterator[None]:
    """Let a model of mixed precision compute in float32, in which its weights are, for as long as this lasts."""
    layers = [layer for layer in [*model.submodules, model] if isinstance(layer, tf_keras.layers.Layer)]
    policies = [(layer, layer.dtype_policy) for layer in layers]
    try:
        for layer, policy in policies:
            if policy.compute_dtype != policy.variable_dtype == "float32":
                layer._set_dtype_policy("float32")
        yield
    finally:
        for layer, policy in policies:
            layer._set_dtype_policy(policy)


def compute_dtypes(model) -> set[str]:
    """Return the types in which the layers of a model compute."""
    return {layer.compute_dtype for layer in _submodules(model) if getattr(layer, "compute_dtype", None)}


def _has_kernels(layer) -> bool:
    return bool(variables(layer))


def _submodules(model) -> list:
    # Wrappers and cells hold layers of their own, whose regularizers count too: the submodules reach all of them.
    return [module for module in model.submodules if hasattr(module, "_callable_losses")] + [model]
