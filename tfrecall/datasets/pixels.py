"""The shape that images have and the shape that a model needs."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING

from tfrecall.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

Shape = tuple[int, int, int]  # rows, columns, channels


def resolve_shape(native: Shape, request: Shape | Callable[[Shape], Shape] | None) -> Shape:
    """Return the shape to bring images to, checked.

    Parameters
    ----------
    native : tuple of int
        (rows, columns, channels) that the images have.
    request : tuple of int, or callable, or None
        The shape they shall have, or a function of `native` that returns it. None keeps `native`.

    Returns
    -------
    tuple of int
        (rows, columns, channels).

    Raises
    ------
    InputError
        When that is no shape, or has other channels than 1 for 3 or 3 for 1.
    """
    shape = request(native) if callable(request) else native if request is None else request
    if len(shape) != 3 or not all(isinstance(n, Integral) and n >= 1 for n in shape):
        raise InputError(f"an image shape is (rows, columns, channels), each at least 1, not {shape!r}.")
    if shape[2] != native[2] and shape[0] == native[2] and shape[0] in (1, 3):
        raise InputError(
            f"the model takes channels first, {shape}, but images are {native}, channels last: put a layer "
            "Permute((3, 1, 2)) before it."
        )
    if shape[2] != native[2] and {shape[2], native[2]} != {1, 3}:
        raise InputError(
            f"images with {native[2]} channels cannot become images with {shape[2]}: ask for {native[2]} channels "
            "(only 1 and 3 can be turned into one another)."
        )
    return tuple(int(n) for n in shape)


def fit(images: tf.Tensor, shape: Shape, *, antialias: bool = True) -> tf.Tensor:
    """Return one image or a batch of them in another shape: bytes stay bytes, everything else becomes float32.

    Parameters
    ----------
    images : tf.Tensor
        ``images[..., row, column, channel]``; how many rows and columns may be known only when it runs.
    shape : tuple of int
        (rows, columns, channels), with channels as they are, or 1 for 3, or 3 for 1.
    antialias : bool
        Whether shrinking averages, instead of interpolating between the nearest pixels.

    Returns
    -------
    tf.Tensor
        ``images[..., row, column, channel]``, uint8 or float32.
    """
    import tensorflow as tf

    if images.dtype != tf.uint8:
        images = tf.cast(images, tf.float32)
    if images.shape[-1] != shape[2]:
        recolour = tf.image.rgb_to_grayscale if shape[2] == 1 else tf.image.grayscale_to_rgb
        images = recolour(images)
    if images.shape[-3:] != shape:
        resized = tf.image.resize(images, shape[:2], antialias=antialias)
        images = tf.saturate_cast(tf.round(resized), tf.uint8) if images.dtype == tf.uint8 else resized
    return images
