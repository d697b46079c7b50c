"""The data of a criterion as batches: read once, to their end, and never without end.

What has a length is read for one epoch. What has none, and is made by Python code, may never end: it is read ahead within
bounds before anything is computed, and refused if it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import tensorflow as tf

from tfrecall.errors import InputError

BATCH_SIZE = 256  # of data given as arrays; it changes the speed alone

# How far data without a length are read ahead. An end that comes later is not waited for.
AHEAD_BATCHES = 2000
AHEAD_BYTES = 2**30

_ENDLESS = "the data for the criterion never end: pass the dataset before repeat(), or take(n) batches of it."


def batches(data) -> Iterator[tuple]:
    """Yield (x, y, sample_weight) batches as tensors, one epoch of them.

    Parameters
    ----------
    data : tuple or iterable
        (x, y) or (x, y, sample_weight) of arrays; or a tf.data.Dataset, a sequence (a list, tf_keras's ``Sequence``,
        Keras 3's ``PyDataset``, ``ImageDataGenerator.flow``) or another iterable of such batches. As in Keras, x, y and
        sample_weight may be lists or dictionaries, one entry for each input or output of the model.

    Yields
    ------
    tuple
        x, y and sample_weight, which is None where there is none.

    Raises
    ------
    InputError
        If the data never end, or have neither a length nor an end within `AHEAD_BATCHES` batches and `AHEAD_BYTES` bytes; or
        do not consist of such batches.
    """
    if isinstance(data, tuple):
        data = _of_arrays(data)
    if isinstance(data, tf.data.Dataset):
        if _never_ends(data):
            raise InputError(_ENDLESS)
        return _read_ahead(data, "data.take(n)") if _is_python(data) else map(_batch, data)
    length = _length(data)
    if length is None:
        return _read_ahead(data, "list(itertools.islice(data, n))")
    # Keras's sequences are read by index: iterating over one may never stop, or start in the middle of an epoch.
    by_index = hasattr(data, "on_epoch_end") and hasattr(data, "__getitem__")
    return map(_batch, (data[index] for index in range(length)) if by_index else islice(data, length))


def require_readable(data, times: int) -> None:
    """Raise InputError if it is clear without reading that data cannot be read as often as they will be.

    Parameters
    ----------
    data : object
        As `batches` takes them.
    times : int
        How often they will be read.
    """
    if isinstance(data, tf.data.Dataset) and _never_ends(data):
        raise InputError(_ENDLESS)
    if times > 1 and isinstance(data, Iterator) and _length(data) is None:
        raise InputError(
            f"the data for the criterion are read {times} times, and a {type(data).__name__} can be read only once: pass "
            "arrays, a tf.data.Dataset, or list(data)."
        )


def _of_arrays(data: tuple) -> tf.data.Dataset:
    if len(data) not in (2, 3):
        raise InputError(f"data must be (x, y) or (x, y, sample_weight); got a tuple of {len(data)}.")
    x, y, *rest = data
    sample_weight = _without_gaps(rest[0], y) if rest else None
    # As in Keras, a list of arrays stands for several inputs or outputs.
    parts = [
        tuple(part) if isinstance(part, list) and part and isinstance(part[0], np.ndarray | tf.Tensor) else part
        for part in (x, y, sample_weight)
        if part is not None
    ]
    try:
        return tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(BATCH_SIZE)
    except ValueError as error:
        raise InputError(f"data must hold as many labels as examples: {str(error).splitlines()[0]}") from error


def _without_gaps(sample_weight, y):
    """Return the sample weights with ones for the outputs that have None."""
    if not isinstance(sample_weight, list | tuple | dict):
        return sample_weight
    examples = np.shape(tf.nest.flatten(y)[0])[0]
    return tf.nest.map_structure(lambda part: np.ones(examples, np.float32) if part is None else part, sample_weight)


def _length(data) -> int | None:
    for measure in (len, lambda sequence: sequence.num_batches):  # Keras 3's PyDataset may define either
        try:
            return measure(data)
        except (TypeError, AttributeError, NotImplementedError):
            continue
    return None


def _batch(batch) -> tuple:
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise InputError("data must yield (x, y) or (x, y, sample_weight) batches.")
    parts = tf.nest.map_structure(lambda part: None if part is None else tf.convert_to_tensor(part), tuple(batch))
    return (*parts, None)[:3]


def _read_ahead(data: Iterable, remedy: str) -> Iterator[tuple]:
    """Return the batches of data whose end is not known, once they have ended.

    Nothing is computed before, so that data without an end are refused within seconds.
    """
    try:
        source = iter(data)
    except TypeError:
        raise InputError(
            f"the data for the criterion must be (x, y), a tf.data.Dataset or another iterable of batches; "
            f"got {type(data).__name__}."
        ) from None
    ahead, size = [], 0
    for batch in map(_batch, source):
        ahead.append(batch)
        size += sum(part.dtype.size * int(tf.size(part)) for part in tf.nest.flatten(batch) if part is not None)
        if len(ahead) > AHEAD_BATCHES or size > AHEAD_BYTES:
            raise InputError(
                f"the data for the criterion have no length and have not ended after {len(ahead):,} batches: pass the n "
                f"batches to use, {remedy}, or data that have a length."
            )
    return iter(ahead)


def _never_ends(dataset: tf.data.Dataset) -> bool:
    """Say whether a dataset repeats without end, also where filters hide that from its cardinality."""
    cardinality = dataset.cardinality()
    if cardinality != tf.data.UNKNOWN_CARDINALITY or _is_cut(dataset):
        return bool(cardinality == tf.data.INFINITE_CARDINALITY)
    endless = [_never_ends(source) for source in dataset._inputs()]  # there is no public way to a dataset's sources
    return all(endless) and bool(endless) if type(dataset).__name__ == "_ZipDataset" else any(endless)


def _is_python(dataset: tf.data.Dataset) -> bool:
    """Say whether a dataset of unknown length comes from a Python generator, which may never end."""
    if dataset.cardinality() != tf.data.UNKNOWN_CARDINALITY or _is_cut(dataset):
        return False
    graphs = [function.function.graph.as_graph_def() for function in dataset._functions()]
    nodes = [node for graph in graphs for node in graph.node]
    nodes += [node for graph in graphs for function in graph.library.function for node in function.node_def]
    return any(node.op == "GeneratorDataset" for node in nodes) or any(map(_is_python, dataset._inputs()))


def _is_cut(dataset: tf.data.Dataset) -> bool:
    return type(dataset).__name__ in ("_TakeDataset", "_TakeWhileDataset")
