"""Keras 3 models on TensorFlow: Sequential, Functional and subclassed, as they are."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from textwrap import shorten
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfrecall.errors import InputError, PruningWarning
from tfrecall.networks.graph import last_marks

#: the Keras itself, with its optimizers, losses and layers
library = keras

# What Keras's own layers call their kernels.
_KERNELS = (
    "kernel",
    "depthwise_kernel",
    "pointwise_kernel",
    "recurrent_kernel",
    "embeddings",
    "reverse_embeddings",
)
# What else Keras's own layers make with two axes or more: shifts and scales, which pruning leaves alone, and LoRA's factors.
_SPARED = re.compile(r"bias|gamma|beta|alpha|scale|lora_.*")
# Where tfmot's registry says something, it is followed: it leaves depthwise kernels alone.
_DEPTHWISE = tuple(
    getattr(keras.layers, name) for name in ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
)


class Mask(keras.constraints.Constraint):
    """A Keras constraint that holds a mask m on a weight θ: m ⊙ θ, or around the weight's own constraint c, m ⊙ c(m ⊙ θ).

    Parameters
    ----------
    mask : ndarray of bool
        Of the weight's shape, True where it is kept.
    inner : callable, optional
        The weight's own constraint. It sees the weight as it is with its mask, so that a norm is one of what is kept.
    """

    def __init__(self, mask: np.ndarray, inner: Callable | None = None):
        self.inner = inner
        self.mask = tf.Variable(mask, trainable=False, name="mask")

    def __call__(self, weight):
        """Return the weight with what is pruned exactly 0, whatever it was."""
        value = self._masked(weight)
        return value if self.inner is None else self._masked(self.inner(value))

    def _masked(self, weight):
        value = tf.convert_to_tensor(weight)
        return tf.where(self.mask, value, tf.zeros([], value.dtype))


def require_backend() -> None:
    """Raise InputError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Keras runs on {keras.backend.backend()} here, and tfrecall prunes on TensorFlow: set KERAS_BACKEND=tensorflow "
            "before Keras is imported."
        )


def is_built(model) -> bool:
    """Say whether a model has its weights; one that was never called itself may have them in its layers."""
    return model.built or bool(model.trainable_variables)


def walk(model) -> Iterator[tuple[str, Any]]:
    """Yield (path, layer) for a model, whose path is empty, and every layer in it, outermost first, each once.

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

    yield "", model
    yield from visit(model, "")


def unwrapped(layer):
    """Return the layer: nothing wraps it."""
    return layer


def shapes(model) -> tuple[list[tuple], list[tuple]]:
    """Return the shapes of a model's inputs and of its outputs, None where a length is open; none if it was never called."""
    if not model.built:
        return [], []
    if _has_graph(model):
        return tuple([tuple(tensor.shape) for tensor in tensors or []] for tensors in (model.inputs, model.outputs))
    built = getattr(model, "_build_shapes_dict", None) or {}  # of the call that built it
    inputs = [(None, *shape[1:]) for shape in built.values() if all(isinstance(length, int | None) for length in shape)]
    if not inputs:
        return [], []
    outputs = model.compute_output_spec(*(keras.KerasTensor(shape) for shape in inputs))
    return inputs, [tuple(tensor.shape) for tensor in tf.nest.flatten(outputs)]


def for_pruning(model):
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


def variables(layer) -> list[tuple[str, Any]]:
    """Return (name, variable) of every weight that a layer made itself, without the layers in it; frozen ones too."""
    within = {id(variable) for inner in _inside(layer) for variable in inner.variables}
    return [(variable.name, variable) for variable in layer.weights if id(variable) not in within]


def prunable(model) -> list:
    """Return the trainable variables that can be pruned: kernels, what layers say themselves, and what holds a mask."""
    return [variable for variable in kernels(model) if variable.trainable]


def kernels(model) -> list:
    """Return what `prunable` does, frozen and quantized variables included."""
    return [kernel for layer in _speaking(model) for kernel in _kernels(layer)] + held(model)


def skipped(model) -> list:
    """Return the trainable variables of two axes or more that are no kernels to `prunable`: those of a user's own layers.

    What Keras's layers themselves spare is not among them: biases, scales, depthwise kernels.
    """
    chosen = {id(variable) for variable in prunable(model)}
    layers = [layer for layer in _speaking(model) if not hasattr(layer, "get_prunable_weights")]
    tensors = [variable for layer in layers for variable in _tensors(layer)]
    return [variable for variable in tensors if variable.trainable and id(variable) not in chosen]


def matrices(model) -> list:
    """Return the parameters of two axes or more, each once, frozen or not, without biases and scales: see `_spares`."""
    found = [(layer, variable) for _, layer in walk(model) for variable in _trained(layer)]
    return [variable for layer, variable in found if len(variable.shape) > 1 and not _spares(layer, variable)]


def nameable(model) -> list:
    """Return the variables that can be pruned when they are named: all trainable ones."""
    return list(model.trainable_variables)


def held(model) -> list:
    """Return the variables that hold a mask, frozen ones too."""
    return [variable for variable in model.variables if isinstance(variable.constraint, Mask)]


def regularizer(layer, variable):
    """Return the Keras regularizer on a layer's weight, or None."""
    return getattr(variable, "regularizer", None)


def output_layers(model) -> list[Any]:
    """Return the layers with matrices from which an output is reached without passing another such layer."""
    if _has_graph(model):
        found: list[Any] = []
        _collect_output_layers(model.outputs, found)
        return found
    return _last_owners(model, lambda: _symbols(model))[0]


def total_parameters(model) -> int:
    """Count the parameters of a model, shared ones once: what its layers train, frozen or quantized or not.

    What else they hold is state: moving statistics, a normalization's mean, the seeds of random numbers, and the scales and
    zero points of quantized kernels.
    """
    sizes = {id(variable): shape(layer, variable) for _, layer in walk(model) for variable in _trained(layer)}
    return sum(int(np.prod(size)) for size in sizes.values())


def shape(layer, variable) -> tuple[int, ...]:
    """Return the shape of a weight; of one that is packed several to a byte, the shape unpacked."""
    return value(layer, variable).shape if _is_quantized(layer, variable) else tuple(variable.shape)


def value(layer, variable) -> np.ndarray:
    """Return what a weight holds; of a quantized one its integers, one for each parameter, 0 where the parameter is 0."""
    if not _is_quantized(layer, variable):
        return np.asarray(variable.numpy())
    name = variable.name.removeprefix("quantized_")
    if name == "reverse_embeddings" and layer.quantization_mode == "int4":  # Keras unpacks this one in its call
        integers = keras.quantizers.unpack_int4(variable, layer.output_dim, axis=0)
    else:
        integers = getattr(layer, name, variable)  # a property, which unpacks
    integers, shift = np.asarray(integers), getattr(layer, f"{name}_zero", None)
    if shift is None:
        return integers
    by_column = name == "embeddings" or variable.name.startswith("quantized_")
    groups = np.asarray(layer.g_idx).astype(int)
    shift = np.take(np.asarray(shift).astype(int), groups, axis=-1 if by_column else 0)
    return (integers.reshape(shift.shape).astype(int) - shift).reshape(integers.shape)


def traced(variable):
    """Return what a gradient tape knows of a variable: of a distributed one, the first replica's copy."""
    return _copies(variable)[0]


def loss_weights(model):
    """Return the factors of its outputs' losses with which a model was compiled, or None."""
    return getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)


def penalties(model) -> list:
    """Return the weight regularizers' terms of the objective, as tensors of the weights."""
    return [v.regularizer(v) for v in model.trainable_variables if getattr(v, "regularizer", None) is not None]


def activity_losses(model) -> list:
    """Return what the last call of a model added to the objective, as Keras adds it for the batch."""
    return [loss for layer in model._flatten_layers() for loss in layer._get_own_losses()]


def clear_losses(model) -> None:
    """Forget what calls of a model added to the objective."""
    model._clear_losses()


def graph_of(model) -> tuple[list, set[str]]:
    """Return the outputs of TensorFlow's graph of a call of a model with one input, and the names of its inputs."""
    symbol = keras.KerasTensor(shapes(model)[0][0], dtype="float32")
    return _traced(model, (symbol,), {})[1:]


def random_state(model) -> list:
    """Return TensorFlow's variables that hold the state of random layers: TensorFlow finds the weights alone by itself."""
    weights = {id(variable) for variable in model.weights}
    return [copy for variable in model.variables if id(variable) not in weights for copy in _copies(variable)]


@contextlib.contextmanager
def in_float32(model) -> Iterator[None]:
    """Let a model of mixed precision compute in float32, in which its weights are, for as long as this lasts."""
    policies = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    try:
        for layer, policy in policies:
            if policy.compute_dtype != policy.variable_dtype == "float32":
                layer.dtype_policy = "float32"
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy


def compute_dtypes(model) -> set[str]:
    """Return the types in which the layers of a model compute."""
    return {layer.compute_dtype for layer in model._flatten_layers()}


def _inside(layer) -> list:
    """Return the layers directly in a layer, in the order in which they were made its own."""
    return layer._flatten_layers(include_self=False, recursive=False)


def _is_builtin(layer) -> bool:
    """Say whether a layer is one of Keras's own, or derived from one: there a kernel is a kernel."""
    bases = [base for base in type(layer).__mro__ if issubclass(base, keras.layers.Layer) and base is not keras.layers.Layer]
    return not isinstance(layer, keras.Model) and any(base.__module__.partition(".")[0] == "keras" for base in bases)


def _kernels(layer) -> list:
    """Return what can be pruned in a layer, without the layers in it unless it speaks for them; frozen kernels too."""
    if hasattr(layer, "get_prunable_weights"):
        return list(layer.get_prunable_weights())
    if not _is_builtin(layer):
        return []
    depthwise = _depthwise(layer)
    return [
        variable
        for name, variable in variables(layer)
        if (name in _KERNELS or _is_quantized(layer, variable)) and name not in depthwise
    ]


def _depthwise(layer) -> tuple[str, ...]:
    """Return the names of a layer's depthwise kernels."""
    return ("kernel", "depthwise_kernel") if isinstance(layer, _DEPTHWISE) else ()


def _speaking(layer) -> Iterator:
    """Yield a layer and the layers in it, without those for which the layer around them speaks."""
    yield layer
    if not hasattr(layer, "get_prunable_weights"):
        for inner in _inside(layer):
            yield from _speaking(inner)


def _trained(layer) -> list:
    """Return what a layer made to be trained, without the layers in it: frozen or not, quantized meanwhile or not."""
    # A layer keeps here what it made trainable, whatever its own or the variable's `trainable` says today.
    made = {id(variable) for variable in layer._trainable_variables}
    return [
        variable
        for _, variable in variables(layer)
        # What its gradient overwrites is state of float8 training.
        if (id(variable) in made and not getattr(variable, "overwrite_with_gradient", False))
        or _is_quantized(layer, variable)
    ]


def _is_quantized(layer, variable) -> bool:
    """Say whether a variable holds a layer's kernel in integers, as Keras's ``quantize`` leaves it."""
    if getattr(layer, "quantization_mode", None) is None or "int" not in variable.dtype:
        return False
    calibrated = getattr(layer, "is_gptq_calibrated", False) or getattr(layer, "is_awq_calibrated", False)
    return variable.name in _KERNELS or (variable.name == "quantized_kernel" and calibrated)


def _spares(layer, variable) -> bool:
    """Say whether a layer's weight is a bias, a scale or the like, which may have two axes and starts at 0 or 1."""
    return bool(_SPARED.fullmatch(variable.name)) if _is_builtin(layer) else "bias" in variable.name


def _tensors(layer) -> list:
    """Return what a layer trains of two axes or more, without the layers in it, biases, scales and depthwise kernels."""
    depthwise = _depthwise(layer)
    tensors = [variable for variable in _trained(layer) if len(variable.shape) > 1 and variable.name not in depthwise]
    return [variable for variable in tensors if not _spares(layer, variable)]


def _matrices(layer) -> list:
    """Return what a layer may make an output with: kernels, and own tensors that are more than a scale or a shift."""
    return _kernels(layer) + [variable for variable in _tensors(layer) if np.prod(variable.shape[:-1]) > 1]


def _has_graph(model) -> bool:
    if not isinstance(model, keras.Sequential):
        return hasattr(model, "_operations_by_depth")
    return getattr(model, "_functional", None) is not None


def _owners(layer) -> list:
    """Return a layer and the layers in it, as far as they have matrices."""
    return [inner for _, inner in walk(layer) if _matrices(inner)]


def _symbols(layer) -> tuple[tuple, dict]:
    """Return symbolic arguments, positional ones and others, of the shapes with which a layer was built."""
    built = getattr(layer, "_build_shapes_dict", None)
    if not built:
        raise InputError("it was never called itself")
    shapes = {name.removesuffix("_shape"): shape for name, shape in built.items() if shape is not None}
    symbols = {
        name: keras.tree.map_shape_structure(lambda shape: keras.KerasTensor((None, *shape[1:])), shape)
        for name, shape in shapes.items()
    }
    return (tuple(symbols.values()), {}) if len(symbols) == 1 else ((), symbols)


def _collect_output_layers(outputs, found: list) -> bool:
    """Add the layers that make these outputs to those found; say whether an input is reached without passing any."""
    open_ways: dict[int, bool] = {}

    def visit(tensor) -> bool:
        operation = tensor._keras_history.operation
        node = operation._inbound_nodes[tensor._keras_history.node_index]
        if id(node) in open_ways:
            return open_ways[id(node)]
        if isinstance(operation, keras.Model) and _has_graph(operation):
            is_open = _collect_output_layers(operation.outputs, found)
        else:
            owners, is_open = _last_owners(operation, lambda: (node.arguments.args, node.arguments.kwargs))
            found.extend(owner for owner in owners if not any(owner is other for other in found))
        if is_open and node.input_tensors:
            is_open = any([visit(before) for before in node.input_tensors])  # a list: all of them are to be seen
        open_ways[id(node)] = is_open
        return is_open

    return any([visit(tensor) for tensor in tf.nest.flatten(outputs)])


def _last_owners(operation, arguments: Callable) -> tuple[list, bool]:
    """Return the layers in an operation whose matrices come last, and whether its input also gets past all of them.

    What has several is called on symbols in a graph of TensorFlow's own. Where that fails, the layer that was made last is
    taken, with a warning.
    """
    owners = _owners(operation) if isinstance(operation, keras.layers.Layer) else []
    if len(owners) < 2:
        return owners, not owners
    try:
        return _last_in_graph(operation, owners, *arguments())
    except Exception as error:  # whatever a call of the user's own raises when it is given symbols
        paths = {id(layer): path for path, layer in walk(operation)}
        said = re.sub(r"\x1b\[\d*m|Exception encountered when calling \S+ ", "", str(error))  # Keras paints its errors
        reason = shorten(said.strip() or type(error).__name__, 120, placeholder=" …")
        warnings.warn(
            f"which layers make the output of {operation.name} cannot be seen ({reason}): {paths[id(owners[-1])]} is taken "
            "for it. Say what is to be pruned by only= or exclude= if that is wrong.",
            PruningWarning,
            stacklevel=2,
        )
        return owners[-1:], False


def _last_in_graph(layer, owners: list, args: tuple, kwargs: dict) -> tuple[list, bool]:
    """Return what `_last_owners` does, from the graph of a call."""
    graph, outputs, entries = _traced(layer, args, kwargs)
    owner_of = {id(copy.handle): owner for owner in owners for matrix in _matrices(owner) for copy in _copies(matrix)}
    marked = {inner.op.name: owner_of[id(outer)] for outer, inner in graph.captures if id(outer) in owner_of}
    found, is_open = last_marks(outputs, entries, marked)
    last = {id(owner) for owner in found}
    return [owner for owner in owners if id(owner) in last], is_open


def _traced(layer, args: tuple, kwargs: dict) -> tuple[Any, list, set[str]]:
    """Return the graph of a call on symbols, its outputs, and the names of its inputs.

    Nothing is computed, and the layer is not changed.
    """
    graph = tf.__internal__.FuncGraph("look")
    entries: set[str] = set()

    def placeholder(symbol):
        if not isinstance(symbol, keras.KerasTensor):
            return symbol
        tensor = tf.compat.v1.placeholder(symbol.dtype, symbol.shape)
        entries.add(tensor.op.name)
        return tensor

    losses = [(inner, list(inner._losses)) for inner in layer._flatten_layers()]  # of the last call, which this one clears
    inline = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # a decorated call is to be seen, not one operation
    try:
        with keras.StatelessScope(), graph.as_default():
            args, kwargs = keras.tree.map_structure(placeholder, (args, kwargs))
            training = {"training": False} if layer._call_has_training_arg else {}
            outputs = layer(*args, **{**kwargs, **training})
    finally:
        tf.config.run_functions_eagerly(inline)
        for inner, own in losses:
            inner._losses[:] = own
    return graph, tf.nest.flatten(outputs), entries


def _copies(variable) -> tuple:
    """Return TensorFlow's variables under one of Keras's: one, or one a replica."""
    return getattr(variable.value, "values", None) or (variable.value,)
