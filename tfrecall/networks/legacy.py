"""tf_keras models, plain or wrapped by tfmot."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from textwrap import shorten
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrecall.errors import InputError, PruningWarning
from tfrecall.networks.graph import last_marks
from tfrecall.tfmot import PruneLowMagnitude

#: the Keras itself, with its optimizers, losses and layers
library = tf_keras

# What Keras's own layers call their kernels.
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings")
# tfmot's registry leaves depthwise kernels alone, and so does this.
_DEPTHWISE = tuple(
    getattr(tf_keras.layers, name) for name in ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
)
# Classes of Keras's that a user derives layers from, whose weights may be anything.
_BASES = (tf_keras.layers.Layer, tf_keras.layers.Wrapper, tf_keras.layers.AbstractRNNCell)


def require_backend() -> None:
    """Do nothing: there is TensorFlow alone."""


def is_built(model) -> bool:
    """Say whether a model has its weights."""
    return model.built


def walk(model) -> Iterator[tuple[str, Any]]:
    """Yield (path, layer) for every layer in a model, outermost first, each once, without tfmot's wrappers.

    Recurrent cells go by the name of the layer around them.
    """
    seen: set[int] = {id(model)}

    def visit(outer, prefix):
        for layer in map(unwrapped, _inside(outer)):
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            path = prefix.removesuffix("/") if isinstance(outer, tf_keras.layers.RNN) else prefix + layer.name
            yield path, layer
            yield from visit(layer, path + "/")

    yield from visit(model, "")


def units(model) -> Iterator[tuple[str, Any]]:
    """Yield (path, layer) for what tfmot can wrap: the layers of a model and of the models in it, each once, unopened."""
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
    """Return (name, variable) of every weight that a layer made itself, without the layers in it; frozen ones too."""
    inner = unwrapped(layer)
    within = {id(variable) for sublayer in _inside(inner) for variable in sublayer.weights}
    # Keras's lists of what a layer was made with: its trainable_weights change with its trainable.
    own = [*inner._trainable_weights, *inner._non_trainable_weights]
    return [(_name(variable), variable) for variable in own if id(variable) not in within]


def all_variables(layer) -> list:
    """Return every weight of a layer and of the layers in it, in an order that only its class and arguments determine."""
    layers = [unwrapped(layer), *(inner for _, inner in walk(unwrapped(layer)))]
    unique = {id(variable): variable for each in layers for _, variable in variables(each)}
    return list(unique.values())


def kernels(layer) -> list:
    """Return what can be pruned in a layer and the layers in it; frozen kernels too.

    Those are what a layer's own ``get_prunable_weights`` returns, which speaks for the layers in it as well, and the kernels
    of Keras's layers.
    """
    inner = unwrapped(layer)
    own = _own_kernels(inner)
    return own if hasattr(inner, "get_prunable_weights") else own + [v for sub in _inside(inner) for v in kernels(sub)]


def prunable(model) -> list:
    """Return the trainable variables that can be pruned: kernels, and what holds a mask."""
    trainable = {id(variable) for variable in model.trainable_weights}
    return [variable for variable in [*kernels(model), *held(model)] if id(variable) in trainable]


def nameable(model) -> list:
    """Return what `prunable` returns."""
    return prunable(model)


def held(model) -> list:
    """Return the variables for which tfmot's wrappers have masks, frozen ones too."""
    wrappers = [layer for _, layer in units(model) if isinstance(layer, PruneLowMagnitude)]
    return [variable for wrapper in wrappers for variable, *_ in wrapper.pruning_vars]


def skipped(model) -> list:
    """Return the trainable tensors of two axes or more in a user's own layers that are neither biases nor prunable.

    A layer with a ``get_prunable_weights`` has said so of all that is in it.
    """
    trainable = {id(variable) for variable in model.trainable_weights}
    layers = [layer for _, layer in walk(model)]
    said = {id(v) for layer in layers if hasattr(layer, "get_prunable_weights") for v in layer.weights}
    said |= {id(v) for v in prunable(model)}
    own = [entry for layer in layers if not _is_builtin(layer) for entry in variables(layer)]
    return [v for name, v in own if len(v.shape) > 1 and "bias" not in name and id(v) in trainable and id(v) not in said]


def regularizer(layer, variable):
    """Return the Keras regularizer on a layer's weight, or None."""
    name = _name(variable)
    for attribute in (f"{name}_regularizer", f"{name.removesuffix('_kernel')}_regularizer"):
        if getattr(layer, attribute, None) is not None:
            return getattr(layer, attribute)
    return None


def output_layers(model) -> list[Any]:
    """Return the layers with kernels from which an output is reached without passing another such layer.

    In a user's own layer any tensor of two axes or more counts as a kernel here.
    """
    if not getattr(model, "outputs", None):  # subclassed
        return _last_owners(model, lambda: _symbols(model))[0]
    found: list[Any] = []
    _collect_output_layers(model.outputs, found)
    return found


def matrices(model) -> list:
    """Return the variables whose zeros may be pruned ones, frozen or not: kernels, and what holds a mask."""
    return [*kernels(model), *held(model)]


def total_parameters(model) -> int:
    """Count the parameters of a model, shared ones once: what its layers train, frozen or not."""
    # A layer keeps here what it made trainable, whatever its own `trainable` says today. Moving statistics are state.
    variables = {id(variable): variable for layer in model._flatten_layers() for variable in layer._trainable_weights}
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
    terms = [penalty() for layer in model._flatten_layers() for penalty in layer._callable_losses]
    return [term for term in terms if term is not None]


def activity_losses(model) -> list:
    """Return what the last call of a model added to the objective, each as the mean over the batch."""
    return [loss for layer in model._flatten_layers() for loss in layer._eager_losses]


def clear_losses(model) -> None:
    """Forget what calls of a model added to the objective."""
    model._clear_losses()


def graph_of(model) -> tuple[list, set[str]]:
    """Return the outputs of TensorFlow's graph of a call of a model with one input, and the names of its inputs."""
    return _traced(model, (tf.TensorSpec(shapes(model)[0][0], tf.float32),), {})[1:]


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
    return {layer.compute_dtype for layer in model._flatten_layers() if getattr(layer, "compute_dtype", None)}


def components(variable) -> tuple:
    """Return the plain variables under a mixed-precision or distributed one."""
    return getattr(variable, "_values", None) or (getattr(variable, "_variable", variable),)


def _name(variable) -> str:
    return variable.name.split(":")[0].rsplit("/", 1)[-1]


def _inside(layer) -> list:
    """Return the layers directly in a layer, in the order in which they were made its own."""
    return list(layer._flatten_layers(recursive=False, include_self=False))


def _is_builtin(layer) -> bool:
    """Say whether a layer is one of Keras's own, or derived from one: there a kernel is a kernel."""
    bases = [base for base in type(layer).__mro__ if issubclass(base, tf_keras.layers.Layer) and base not in _BASES]
    return not isinstance(layer, tf_keras.Model) and any(base.__module__.partition(".")[0] == "tf_keras" for base in bases)


def _own_kernels(layer) -> list:
    """Return what can be pruned in a layer, without the layers in it unless it speaks for them."""
    if hasattr(layer, "get_prunable_weights"):
        return list(layer.get_prunable_weights())
    if not _is_builtin(layer):
        return []
    skipped = ("kernel", "depthwise_kernel") if isinstance(layer, _DEPTHWISE) else ()
    return [variable for name, variable in variables(layer) if name in _KERNELS and name not in skipped]


def _forming(layer) -> list:
    """Return the variables by which a layer counts as one with kernels: in a user's own, all tensors of two axes or more."""
    own = _own_kernels(layer)
    if own or _is_builtin(layer):
        return own
    return [v for _, v in variables(layer) if len(v.shape) > 1 and any(v is made for made in layer._trainable_weights)]


def _owners(layer) -> list:
    """Return a layer and the layers in it, as far as they have kernels."""
    return [inner for inner in (layer, *(inner for _, inner in walk(layer))) if _forming(inner)]


def _collect_output_layers(outputs, found: list) -> bool:
    """Add the layers that make these outputs to those found; say whether an input is reached without passing any."""
    open_ways: dict[int, bool] = {}

    def visit(node) -> bool:
        if id(node) in open_ways:
            return open_ways[id(node)]
        layer = unwrapped(node.layer)
        if isinstance(layer, tf_keras.Model) and getattr(layer, "outputs", None):
            is_open = _collect_output_layers(layer.outputs, found)
        else:
            owners, is_open = _last_owners(layer, lambda: (node.call_args, node.call_kwargs))
            found.extend(owner for owner in owners if not any(owner is other for other in found))
        if is_open and node.parent_nodes:
            is_open = any([visit(parent) for parent in node.parent_nodes])  # a list: all of them are to be seen
        open_ways[id(node)] = is_open
        return is_open

    # Keras's own record of which call of which layer made a tensor.
    records = [tensor._keras_history for tensor in tf.nest.flatten(outputs)]
    return any([visit(record.layer._inbound_nodes[record.node_index]) for record in records])


def _last_owners(layer, arguments: Callable) -> tuple[list, bool]:
    """Return the layers in a layer whose kernels come last, and whether its input also gets past all kernels.

    What has several is called on symbols in a graph of TensorFlow's own. Where that fails, the layer that was made last is
    taken, with a warning.
    """
    owners = _owners(layer)
    if len(owners) < 2:
        return owners, not owners
    try:
        return _last_in_graph(layer, owners, *arguments())
    except Exception as error:  # whatever a call of the user's own raises when it is given symbols
        paths = {id(inner): path for path, inner in walk(layer)}
        said = re.sub(r"Exception encountered when calling [^.]*\.", "", str(error))
        reason = shorten(said.strip() or type(error).__name__, 120, placeholder=" …")
        warnings.warn(
            f"which layers make the output of {layer.name} cannot be seen ({reason}): {paths[id(owners[-1])]} is taken "
            "for it. Say what is to be pruned by only= or exclude= if that is wrong.",
            PruningWarning,
            stacklevel=2,
        )
        return owners[-1:], False


def _symbols(model) -> tuple[tuple, dict]:
    """Return symbolic arguments, positional ones and others, like those with which a model was built."""
    specification = model.save_spec()
    if specification is not None:
        args, kwargs = specification
        return tuple(args), kwargs
    if model._build_input_shape is None:
        raise InputError("it was never called itself")
    return (_symbol(model._build_input_shape),), {}


def _symbol(shape):
    """Return a symbol, or a list or dictionary of symbols, for what a model was built with."""
    if isinstance(shape, dict):
        return {name: _symbol(inner) for name, inner in shape.items()}
    return [_symbol(inner) for inner in shape] if isinstance(shape, list) else tf.TensorSpec(shape, tf.float32)


def _last_in_graph(layer, owners: list, args: tuple, kwargs: dict) -> tuple[list, bool]:
    """Return what `_last_owners` does, from the graph of a call."""
    graph, outputs, entries = _traced(layer, args, kwargs)
    owner_of = {id(copy.handle): owner for owner in owners for variable in _forming(owner) for copy in components(variable)}
    marked = {inner.op.name: owner_of[id(outer)] for outer, inner in graph.captures if id(outer) in owner_of}
    found, is_open = last_marks(outputs, entries, marked)
    last = {id(owner) for owner in found}
    return [owner for owner in owners if id(owner) in last], is_open


def _traced(layer, args: tuple, kwargs: dict) -> tuple[Any, list, set[str]]:
    """Return the graph of a call on symbols, its outputs, and the names of its inputs.

    Symbols are Keras's and TensorFlow's tensor specifications. Nothing is computed, and the layer is not changed.
    """
    graph = tf.__internal__.FuncGraph("look")
    entries: set[str] = set()

    def placeholder(symbol):
        if not (isinstance(symbol, tf.TensorSpec) or tf_keras.backend.is_keras_tensor(symbol)):
            return symbol
        tensor = tf.compat.v1.placeholder(symbol.dtype, symbol.shape)
        entries.add(tensor.op.name)
        return tensor

    inside = list(layer._flatten_layers())
    losses = [(inner, list(inner._losses), list(inner._eager_losses)) for inner in inside]  # this call clears them
    uncalled = [inner for inner in inside if inner._saved_model_inputs_spec is None]
    inline = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # a decorated call is to be seen, not one operation
    try:
        with graph.as_default():
            args, kwargs = tf.nest.map_structure(placeholder, (args, kwargs))
            # Keras takes it from a call that has no such argument, and the layers inside go by it.
            outputs = layer(*args, **{**kwargs, "training": False})
    finally:
        tf.config.run_functions_eagerly(inline)
        for inner, symbolic, eager in losses:
            inner._losses[:], inner._eager_losses = symbolic, eager
        for inner in uncalled:  # what it is saved with comes from its first real call
            inner._saved_model_inputs_spec = inner._saved_model_arg_spec = None
    return graph, tf.nest.flatten(outputs), entries
