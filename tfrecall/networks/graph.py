"""TensorFlow's graph of a call, walked back from its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

# What leaves every value as it is, and what joins values as they are or weighs them with one another.
_UNCHANGED = {"Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "PreventGradient", "EnsureShape"}
_JOINED = {"ConcatV2", "Pack"}
_ARITHMETIC = {"Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "Neg", "Mean", "Sum"}


def last_marks(outputs: Sequence, entries: set[str], marked: Mapping[str, Any]) -> tuple[list, bool]:
    """Return what is met first on the ways back from the outputs of a graph to its inputs.

    Parameters
    ----------
    outputs : sequence of tf.Tensor
        Of one graph; what is no tensor is passed over.
    entries : set of str
        The names of the operations that stand for the inputs.
    marked : mapping of str to object
        A mark for the names of some operations that no input reaches, such as those that read a weight. What is computed
        from these alone bears their marks.

    Returns
    -------
    marks : list
        The marks of what first joins each way, each once.
    is_open : bool
        Whether an input is reached without meeting any.
    """
    tensors = [tensor for tensor in outputs if tf.is_tensor(tensor)]
    fed, marks = set(entries), {name: {id(mark): mark} for name, mark in marked.items()}
    for operation in tensors[0].graph.get_operations() if tensors else ():
        before = [tensor.op.name for tensor in operation.inputs]
        if fed.intersection(before):
            fed.add(operation.name)
        elif operation.name not in marks:
            marks[operation.name] = {key: mark for name in before for key, mark in marks[name].items()}
    found: dict[int, Any] = {}
    ways, seen = [tensor.op for tensor in tensors if tensor.op.name in fed], set()
    while ways:
        operation = ways.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        joined = [marks[tensor.op.name] for tensor in operation.inputs if marks.get(tensor.op.name)]
        for some in joined:
            found |= some
        if not joined:
            ways += [tensor.op for tensor in operation.inputs if tensor.op.name in fed]
    return list(found.values()), bool(entries & seen)


def last_operations(outputs: Sequence, entries: set[str]) -> tuple[frozenset[str], bool]:
    """Return the types of the operations that made the outputs of a graph, such as Softmax.

    Parameters
    ----------
    outputs : sequence of tf.Tensor
        Of one graph, whose last axis is that of the classes.
    entries : set of str
        The names of the operations that stand for the inputs.

    Returns
    -------
    types : frozenset of str
        What is met first on the ways back, through operations that leave values as they are, join them, or only add and
        weigh them.
    exact : bool
        Whether nothing is added or weighed after them, and they end in the axis of the outputs or are joined along it.
    """
    fed = set(entries)
    for operation in outputs[0].graph.get_operations():
        if fed.intersection(tensor.op.name for tensor in operation.inputs):
            fed.add(operation.name)
    types, exact, seen = set(), True, set()
    ways = [(tensor, False) for tensor in outputs]
    while ways:
        tensor, joined = ways.pop()
        operation = tensor.op
        if operation.name in seen or operation.name not in fed:
            continue
        seen.add(operation.name)
        if operation.type in _UNCHANGED | _JOINED | _ARITHMETIC:
            exact = exact and operation.type not in _ARITHMETIC
            joined = joined or operation.type in _JOINED
            before = operation.inputs[:1] if operation.type in _UNCHANGED else operation.inputs  # not a shape
            ways += [(tensor, joined) for tensor in before]
            continue
        if operation.type == "Softmax":  # of a part of the classes, or along another axis, it is none of the outputs
            exact = exact and not joined and tensor.shape[-1] == outputs[0].shape[-1]
        types.add(operation.type)
    return frozenset(types), exact
