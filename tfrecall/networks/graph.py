"""TensorFlow's graph of a call, walked back from its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf


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
