"""Folders of class folders of images."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfrecall.datasets.listing import list_folder, printable
from tfrecall.datasets.pixels import Shape
from tfrecall.datasets.sources import Opened, Streamed
from tfrecall.errors import DataWarning, InputError

if TYPE_CHECKING:
    import tensorflow as tf
    from PIL import Image

# How many images are asked for their colours, evenly spaced over the training images.
_COLOUR_SAMPLE = 16


def open_folder(root: Path) -> Opened:
    """Open a folder that `tfrecall.datasets.listing.list_folder` reads.

    Images are decoded and resized as ``keras.utils.image_dataset_from_directory`` does (bilinear, without antialiasing;
    EXIF's orientation is ignored), but rounded to bytes. Beyond Keras's formats WebP and TIFF are read, and files without
    an ending. Of an animation the first picture counts; an alpha channel is dropped.

    Parameters
    ----------
    root : Path

    Returns
    -------
    Opened
        Images become RGB unless they are grey. Their native size is the first one's.

    Raises
    ------
    InputError
        When there is no such folder, it holds no data set, or the first image cannot be decoded.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a folder of class folders, or a name from TFDS.")
    listing = list_folder(root)
    if listing.left_out:
        parts = (f"{what} ({count})" for what, count in sorted(listing.left_out.items()))
        warnings.warn(f"{root}: not used: {printable(', '.join(parts))}.", DataWarning, stacklevel=4)
    shape = _native_shape([path for paths in listing.train for path in paths])
    train, validation, test = (
        None if files is None else _source(files, shape) for files in (listing.train, listing.validation, listing.test)
    )
    return Opened(listing.class_names, train, test, validation)


def _native_shape(paths: list[str]) -> Shape:
    rows, columns, channels = _read(os.fsencode(paths[0])).shape
    spaced = np.linspace(0, len(paths) - 1, min(len(paths), _COLOUR_SAMPLE)).astype(int)
    coloured = channels >= 3 or any(_has_colours(paths[index]) for index in spaced)
    return rows, columns, 3 if coloured else 1


def _source(files: list[list[str]], shape: Shape) -> Streamed:
    """Return the source for ``files[class][image]``."""
    import tensorflow as tf

    paths = np.array([os.fsencode(path) for found in files for path in found], object)
    labels = np.repeat(np.arange(len(files)), [len(found) for found in files])
    return Streamed(
        read=lambda chosen: tf.data.Dataset.from_tensor_slices((paths[chosen], labels[chosen])),
        decode=_decode,
        labels=labels,
        shape=shape,
        window=len(paths),  # a folder comes class by class, and paths are small: shuffle all of them
        antialias=False,
    )


def _decode(path: tf.Tensor) -> tf.Tensor:
    """Return ``image[row, column, channel]``, uint8, RGB."""
    import tensorflow as tf

    # Only Python can name the file that could not be decoded; it costs a few percent of the decoding.
    image = tf.ensure_shape(tf.numpy_function(_read, [path], tf.uint8), (None, None, None))
    grey = tf.shape(image)[2] < 3
    return tf.gather(image, tf.where(grey, [0, 0, 0], [0, 1, 2]), axis=2)  # leaves alpha behind


def _read(path: bytes) -> np.ndarray:
    """Return ``image[row, column, channel]``, uint8, with 1 (grey), 2 (and alpha), 3 (RGB) or 4 channels."""
    import tensorflow as tf

    name = printable(os.fsdecode(path))
    try:
        with open(path, "rb") as stream:
            content = stream.read()
        if _is_for_pillow(content):
            return _read_by_pillow(content)
        with tf.device("CPU:0"):
            return tf.io.decode_image(content, expand_animations=False).numpy()
    except _TooDeepError:
        raise InputError(f"{name} has pixels of 32 bits, whose range is not known: save it with 8 bits a channel.") from None
    except Exception:  # whatever damaged files make the decoders raise
        raise InputError(f"{name} cannot be read as an image: replace or remove it.") from None


class _TooDeepError(Exception):
    pass


def _is_for_pillow(content: bytes) -> bool:
    """Return whether TensorFlow does not read a format, or reads a palette's indices as shades."""
    if content[:4] in (b"II*\0", b"MM\0*") or content[8:12] == b"WEBP":
        return True
    return content[:2] == b"BM" and int.from_bytes(content[28:30], "little") not in (24, 32)


def _read_by_pillow(content: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        if image.mode.startswith("I;16"):
            # As TensorFlow does with PNG files of 16 bits. Pillow itself would cut at 255.
            return (np.asarray(image) >> 8).astype(np.uint8)[..., np.newaxis]
        if image.mode in ("I", "F"):
            raise _TooDeepError
        pixels = np.asarray(image.convert("L" if _is_grey(image) else "RGB"))
        return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _has_colours(path: str) -> bool:
    """Return whether an image's header says that it has colours; damaged ones are named when they are decoded."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return not _is_grey(image)
    except Exception:
        return False


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")
