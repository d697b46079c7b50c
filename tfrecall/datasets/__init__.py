"""Image classification sets: the embedded digits, TFDS names, .npz files and image folders, all as one `Dataset`.

Pixels are handed out raw (0 to 255 where the images are bytes): normalizing them is the model's first layer's work.
TensorFlow, TFDS and scikit-learn are imported inside the functions that need them, so that a command line can list
the data sets without waiting for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfrecall.datasets.arrays import open_digits, open_npz
from tfrecall.datasets.catalogue import Known, known
from tfrecall.datasets.dataset import Dataset, Split
from tfrecall.datasets.folders import open_folder
from tfrecall.datasets.pixels import Shape, resolve_shape
from tfrecall.datasets.sources import Opened, decoded_bytes, hold, reading
from tfrecall.datasets.stratified import stratified_split
from tfrecall.datasets.tfds_sets import is_tfds_name, open_tfds

__all__ = ["Dataset", "Known", "Split", "is_path", "known", "load", "reading", "stratified_split"]

# The test set has to stay the same whatever seed the user picks: reports would not be comparable otherwise.
_TEST_SEED = 20190707
_TEST_FRACTION = 1 / 3


def load(
    name: str | os.PathLike,
    *,
    image_shape: Shape | Callable[[Shape], Shape] | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    memory_limit: int = 2**30,
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name : str or path
        ``"digits"`` (scikit-learn's 8×8 digits, always there); a TFDS image classification set, also as
        ``"name/config"`` or ``"name:version"``, read from ``$TFDS_DATA_DIR`` and downloaded when it is not there; an
        .npz file with x_train, y_train, x_test, y_test and perhaps class_names; or a folder of class folders,
        perhaps below ``train`` and ``test``. Write ``./mnist`` for a folder that is called like a TFDS set.
    image_shape : tuple of int, or callable, optional
        (rows, columns, channels) to bring the images to, or a function of the native shape that returns it. None
        keeps the native shape, which is the first image's where sizes differ. Channels go from 1 to 3 and back; an
        alpha channel in a folder's images is dropped.
    validation_fraction : float
        Share of the training images held out for validation, in (0, 1), stratified by class.
    seed : int
        Which training images become validation images. It never touches the test set.
    memory_limit : int
        Bytes. A set whose decoded and resized images need more is decoded and resized anew in each epoch.

    Returns
    -------
    Dataset
        Train, validation and test. A set that comes without a test split is tested on a fixed stratified third.

    Raises
    ------
    InputError
        When nothing has that name, the data cannot be read or used, or an argument is out of range.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.image_shape, len(digits.class_names)
    ((8, 8, 1), 10)
    """
    name = os.fspath(name)
    opened = _open(name)
    shape = resolve_shape(opened.train.shape, image_shape)
    sources = [replace(source, shape=shape) for source in (opened.train, opened.test) if source is not None]
    if sum(map(decoded_bytes, sources)) <= memory_limit:
        sources = [hold(source) for source in sources]

    train, test = sources[0], sources[-1]
    rest, test_rows = np.arange(len(train.labels)), np.arange(len(test.labels))
    if opened.test is None:
        rest, test_rows = stratified_split(train.labels, _TEST_FRACTION, _TEST_SEED)
    fit, held_out = stratified_split(train.labels[rest], validation_fraction, seed)
    return Dataset(
        name,
        opened.class_names,
        shape,
        train=Split(train, rest[fit]),
        validation=Split(train, rest[held_out]),
        test=Split(test, test_rows),
    )


def is_path(name: str) -> bool:
    """Say whether `load` reads the files at a path: a set's name wins over a folder that is called like it."""
    path = Path(name).expanduser()
    if name.startswith((".", "~")) or path.is_absolute() or path.suffix.lower() == ".npz":
        return True
    if any(name == one.name for one in known()) or not path.is_dir():
        return False
    return not is_tfds_name(name)


def _open(name: str) -> Opened:
    if name == "digits":
        return open_digits()
    if not is_path(name):
        return open_tfds(name)
    path = Path(name).expanduser()
    return open_npz(path) if path.suffix.lower() == ".npz" else open_folder(path)
