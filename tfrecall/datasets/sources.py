"""Where labelled images come from: memory, or something that is read and decoded as it is needed."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from tfrecall.datasets.pixels import Shape, fit
from tfrecall.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

READ_BATCH = 256


class Source(Protocol):
    """Labelled images in a fixed order, all brought to one shape.

    Attributes
    ----------
    labels : numpy.ndarray
        ``labels[row]``, int64.
    shape : tuple of int
        (rows, columns, channels) that the images are brought to. Replace it to have them in another shape.
    """

    labels: np.ndarray
    shape: Shape

    def batches(self, rows: np.ndarray, batch_size: int, shuffle_seed: int | None) -> tf.data.Dataset:
        """Return (``images[image, row, column, channel]``, uint8 or float32, and ``labels[image]``) of ascending rows."""
        ...


class Opened(NamedTuple):
    """A data set as it was found, in its native shape; `test` and `validation` are None where it has none of its own."""

    class_names: tuple[str, ...]
    train: Source
    test: Source | None
    validation: Source | None = None


@dataclass(frozen=True, eq=False)
class Held:
    """Images in memory: row numbers are shuffled, and each batch is gathered and resized at once."""

    images: tf.Tensor  # images[row, image row, column, channel]
    labels: np.ndarray
    shape: Shape

    def batches(self, rows: np.ndarray, batch_size: int, shuffle_seed: int | None) -> tf.data.Dataset:
        """See `Source`."""
        import tensorflow as tf

        pairs = tf.data.Dataset.from_tensor_slices((rows, self.labels[rows]))
        if shuffle_seed is not None:
            pairs = pairs.shuffle(len(rows), seed=shuffle_seed, reshuffle_each_iteration=True)
        return pairs.batch(batch_size).map(
            lambda rows, labels: (fit(tf.gather(self.images, rows), self.shape), labels),
            num_parallel_calls=tf.data.AUTOTUNE,
        )


@dataclass(frozen=True, eq=False)
class Streamed:
    """Images that are read and decoded when they are asked for; they are shuffled before decoding, while small."""

    read: Callable[[np.ndarray], tf.data.Dataset]  # ascending rows -> (undecoded image, label), in that order
    decode: Callable[[tf.Tensor], tf.Tensor]  # undecoded image -> image[row, column, channel]
    labels: np.ndarray
    shape: Shape
    window: int  # how many undecoded images the shuffling may hold
    antialias: bool = True  # whether shrinking averages

    def batches(self, rows: np.ndarray, batch_size: int, shuffle_seed: int | None) -> tf.data.Dataset:
        """See `Source`."""
        import tensorflow as tf

        pairs = self.read(rows)
        if shuffle_seed is not None:
            pairs = pairs.shuffle(min(len(rows), self.window), seed=shuffle_seed, reshuffle_each_iteration=True)
        return pairs.map(
            lambda image, label: (fit(self.decode(image), self.shape, antialias=self.antialias), label),
            num_parallel_calls=tf.data.AUTOTUNE,
        ).batch(batch_size)


def held(images: np.ndarray, labels: np.ndarray) -> Held:
    """Return the source for ``images[row, image row, column, channel]`` in their native shape."""
    import tensorflow as tf

    with tf.device("CPU:0"):  # a data set must not take an accelerator's memory
        return Held(tf.convert_to_tensor(images), labels, images.shape[1:])


def decoded_bytes(source: Source) -> int:
    """Return how many bytes the source's images take when they are held in their `shape`."""
    dtype = _every(source).element_spec[0].dtype
    return len(source.labels) * math.prod(source.shape) * dtype.size


def hold(source: Source) -> Held:
    """Return a source with every image decoded and resized, once and for all, in memory."""
    if isinstance(source, Held) and source.images.shape[1:] == source.shape:
        return source
    batches = _every(source)
    images = np.empty((len(source.labels), *source.shape), batches.element_spec[0].dtype.as_numpy_dtype)
    start = 0
    for batch, _ in numpy_batches(batches):
        images[start : start + len(batch)] = batch
        start += len(batch)
    return held(images, source.labels)


def _every(source: Source) -> tf.data.Dataset:
    return source.batches(np.arange(len(source.labels)), READ_BATCH, None)


def numpy_batches(batches: tf.data.Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Iterate over batches as arrays, in the scope of `reading`."""
    with reading():
        yield from batches.as_numpy_iterator()


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Read batches, and raise as it was the InputError that decoding raised, such as for a damaged image.

    TensorFlow wraps it in an error of many lines.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        message = re.search(rf"{InputError.__name__}: (.+)", error.message)
        if message:
            raise InputError(message[1]) from error
        raise
