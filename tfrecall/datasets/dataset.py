"""What a data set is to the rest of the library: three splits that hand out batches, samples and pixel moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from tfrecall.datasets.pixels import Shape
from tfrecall.datasets.rescaling import RAW, Preprocessing
from tfrecall.datasets.sources import READ_BATCH, Source, numpy_batches
from tfrecall.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

_MOMENT_IMAGES = 10_000


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """The images of one split and their classes: some rows of a source, ascending, and what is done to their pixels."""

    _source: Source
    _rows: np.ndarray
    preprocessing: Preprocessing = RAW

    @property
    def labels(self) -> np.ndarray:
        """``labels[image]``, int64, in the order in which ``batches()`` without shuffling yields the images."""
        return self._source.labels[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, batch_size: int, *, shuffle_seed: int | None = None) -> tf.data.Dataset:
        """Return the images, preprocessed if `load` was asked to, and the labels in batches, once around.

        Parameters
        ----------
        batch_size : int
            Images a batch, at least 1. The last batch holds what is left.
        shuffle_seed : int, optional
            None yields the order of `labels`. A seed yields another order in each iteration, and the same sequence
            of orders for the same seed (and the same ``tf.random.set_seed``, where one was set).

        Returns
        -------
        tf.data.Dataset
            Of pairs (float32 ``images[image, row, column, channel]``, int64 ``labels[image]``). Across replicas it
            is sharded by data.

        Raises
        ------
        InputError
            When `batch_size` is no whole number above 0.
        """
        import tensorflow as tf

        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise InputError(f"the batch size must be a whole number above 0, not {batch_size!r}.")
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        options.deterministic = True
        return (
            self._source.batches(self._rows, batch_size, shuffle_seed)
            .map(
                lambda images, labels: (self.preprocessing(tf.cast(images, tf.float32)), labels),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .prefetch(tf.data.AUTOTUNE)
            .with_options(options)
        )

    def sample(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw images without replacement.

        Parameters
        ----------
        n : int
            How many, at least 1. A split that holds fewer gives all it has.
        seed : int
            The same seed draws the same images.

        Returns
        -------
        images : numpy.ndarray
            ``images[image, row, column, channel]``, float32, min(n, len(self)) of them, in the split's order.
        labels : numpy.ndarray
            ``labels[image]``, int64.

        Raises
        ------
        InputError
            When `n` is below 1.
        """
        if n < 1:
            raise InputError(f"at least one image must be drawn, not {n}.")
        drawn = np.random.default_rng(seed).choice(len(self), size=min(n, len(self)), replace=False)
        batches = list(numpy_batches(self.at(np.sort(drawn)).batches(READ_BATCH)))
        return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])

    def at(self, positions: np.ndarray) -> Split:
        """Return the split of the images at ascending positions."""
        return replace(self, _rows=self._rows[positions])

    def preprocessed(self, preprocessing: Preprocessing) -> Split:
        """Return the split with this preprocessing of its raw pixels in place of its own."""
        return replace(self, preprocessing=preprocessing)


@dataclass(frozen=True, eq=False)
class Dataset:
    """An image classification set, split three ways.

    Attributes
    ----------
    name : str
        What `load` was asked for, so that it can be loaded again.
    class_names : tuple of str
        ``class_names[class]``.
    image_shape : tuple of int
        (rows, columns, channels) of every image.
    train, validation, test : Split
        Disjoint. Without a validation folder the validation images are taken from the training images, never from the
        test images.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: Shape
    train: Split
    validation: Split
    test: Split

    def pixel_moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the mean and the variance of the training pixels, by channel.

        Computed in float64 while streaming, after resizing. A training split of more than 10 000 images is
        represented by 10 000 of them, evenly spaced over it (over, not from the start: folders come class by class).

        Returns
        -------
        mean, variance : tuple of float
            One number a channel, in pixel units and squared pixel units. The variance divides by the count.
        """
        last, count = len(self.train) - 1, min(len(self.train), _MOMENT_IMAGES)
        spaced = np.linspace(0, last, count).round().astype(np.int64)
        counts, means, variances = [], [], []
        for images, _ in numpy_batches(self.train.at(spaced).batches(READ_BATCH)):
            pixels = images.reshape(-1, images.shape[-1]).astype(np.float64)
            counts.append(len(pixels))
            means.append(pixels.mean(axis=0))
            variances.append(pixels.var(axis=0))
        # Within batches and between them: a difference of sums of squares would cancel for pixels far from zero.
        mean = np.average(means, axis=0, weights=counts)
        variance = np.average(variances + (means - mean) ** 2, axis=0, weights=counts)
        return tuple(mean.tolist()), tuple(variance.tolist())
