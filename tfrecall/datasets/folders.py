"""Folders of class folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfrecall.datasets.pixels import Shape
from tfrecall.datasets.sources import Opened, Streamed
from tfrecall.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_TEST_FOLDERS = ("test", "validation", "val")


def open_folder(root: Path) -> Opened:
    """Open a folder of class folders, or one with such a folder in ``train`` and perhaps another in ``test``.

    Parameters
    ----------
    root : Path
        The folder. Where it has ``train`` but no ``test``, ``validation`` or ``val`` serves as the test set.

    Returns
    -------
    Opened
        Class names are the names of the training folders, in alphabetical order. Images become RGB unless the first
        one is grey.

    Raises
    ------
    InputError
        When there is no such folder, it holds fewer than two classes or a class without training images, the test
        set holds another class, or the first image cannot be decoded.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a folder of class folders, or a name from TFDS.")
    nested = (root / "train").is_dir()
    train = root / "train" if nested else root
    test = next((root / part for part in _TEST_FOLDERS if nested and (root / part).is_dir()), None)

    class_names = _class_names(train)
    if len(class_names) < 2:
        raise InputError(
            f"{train}: expected a folder for each class, two or more, found {len(class_names)}: arrange the images as "
            "CLASS/IMAGE."
        )
    files = [_images(train / name) for name in class_names]
    for name, found in zip(class_names, files):
        if not found:
            raise InputError(f"{train / name}: no images ({', '.join(_SUFFIXES)}): add some or remove the folder.")
    shape = _native_shape(files[0][0])
    test_source = None if test is None else _source(_test_files(test, class_names), shape)
    return Opened(class_names, _source(files, shape), test_source)


def _class_names(root: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))


def _images(folder: Path) -> list[str]:
    paths = folder.iterdir() if folder.is_dir() else []
    return sorted(str(path) for path in paths if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))


def _test_files(root: Path, class_names: tuple[str, ...]) -> list[list[str]]:
    """Return ``files[class][image]``, of which some classes may have none."""
    extra = sorted(set(_class_names(root)) - set(class_names))
    if extra:
        raise InputError(f"{root}: class {extra[0]} is not among the training classes: move or remove it.")
    files = [_images(root / name) for name in class_names]
    if not any(files):
        raise InputError(f"{root}: no images ({', '.join(_SUFFIXES)}) in class folders: add some or remove it.")
    return files


def _native_shape(path: str) -> Shape:
    rows, columns, channels = _read(path.encode()).shape
    return rows, columns, 1 if channels < 3 else 3


def _source(files: list[list[str]], shape: Shape) -> Streamed:
    """Return the source for ``files[class][image]``."""
    import tensorflow as tf

    paths = np.array([path for found in files for path in found], object)
    labels = np.repeat(np.arange(len(files)), [len(found) for found in files])
    return Streamed(
        read=lambda chosen: tf.data.Dataset.from_tensor_slices((paths[chosen], labels[chosen])),
        decode=_decode,
        labels=labels,
        shape=shape,
        window=len(paths),  # a folder comes class by class, and paths are small: shuffle all of them
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

    try:
        with tf.device("CPU:0"):
            return tf.io.decode_image(tf.io.read_file(path), expand_animations=False).numpy()
    except tf.errors.OpError:
        raise InputError(f"{path.decode()} cannot be read as an image: replace or remove it.") from None
