"""Image classification sets: the embedded digits, TFDS names, .npz files and image folders, all as one `Dataset`.

Pixels are handed out raw (0 to 255 where the images are bytes) unless a preprocessing is asked for: normalizing them is
the work of the model's first layer.
TensorFlow, TFDS and scikit-learn are imported inside the functions that need them, so that a command line can list
the data sets without waiting for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfrecall import fingerprints
from tfrecall.datasets.arrays import open_digits, open_npz
from tfrecall.datasets.catalogue import Known, known
from tfrecall.datasets.dataset import Dataset, Split
from tfrecall.datasets.folders import open_folder
from tfrecall.datasets.listing import list_folder, printable
from tfrecall.datasets.pixels import Shape, resolve_shape
from tfrecall.datasets.rescaling import MODES, RAW, Preprocessing, preprocessing
from tfrecall.datasets.sources import Opened, decoded_bytes, hold, reading
from tfrecall.datasets.stratified import stratified_split
from tfrecall.datasets.tfds_sets import is_tfds_name, open_tfds
from tfrecall.errors import InputError

__all__ = [
    "MODES",
    "RAW",
    "Dataset",
    "Known",
    "Preprocessing",
    "Split",
    "files",
    "fingerprint",
    "known",
    "load",
    "place",
    "preprocessing",
    "reading",
    "require_name",
    "stratified_split",
]

# The test set has to stay the same whatever seed the user picks: reports would not be comparable otherwise.
_TEST_SEED = 20190707
_TEST_FRACTION = 1 / 3

_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, on common file systems


def load(
    name: str | os.PathLike,
    *,
    image_shape: Shape | Callable[[Shape], Shape] | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    memory_limit: int = 2**30,
    preprocess: str | None = None,
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name : str or path
        ``"digits"`` (scikit-learn's 8×8 digits, always there); a TFDS image classification set, also as
        ``"name/config"`` or ``"name:version"``, read from ``$TFDS_DATA_DIR`` and downloaded when it is not there; an
        .npz file with x_train, y_train, x_test, y_test and perhaps class_names, channels last or first; or a folder of
        class folders, perhaps below ``train``, ``validation`` and ``test``. Write ``./mnist`` for a folder that is called
        like a TFDS set.
    image_shape : tuple of int, or callable, optional
        (rows, columns, channels) to bring the images to, or a function of the native shape that returns it. None
        keeps the native shape, which is the first image's where sizes differ. Channels go from 1 to 3 and back; an
        alpha channel in a folder's images is dropped.
    validation_fraction : float
        Share of the training images held out for validation, in (0, 1), stratified by class. A folder with both
        ``validation`` and ``test`` has its own validation images, and needs none.
    seed : int
        Which training images become validation images. It never touches the test set.
    memory_limit : int
        Bytes. A set whose decoded and resized images need more is decoded and resized anew in each epoch.
    preprocess : str, optional
        What a saved model's user did to raw pixels outside the model, as
        `tfrecall.datasets.preprocessing` takes it: ``"1/255"``, ``"1/127.5,-1"``, ``"torch"``. None hands
        pixels out raw.

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
    chosen = preprocessing(preprocess)
    opened = _open(name)
    shape = resolve_shape(opened.train.shape, image_shape)
    chosen.require_channels(shape[2])
    parts = {"train": opened.train, "validation": opened.validation, "test": opened.test}
    sources = {part: replace(source, shape=shape) for part, source in parts.items() if source is not None}
    if sum(map(decoded_bytes, sources.values())) <= memory_limit:
        sources = {part: hold(source) for part, source in sources.items()}

    rows = {part: np.arange(len(source.labels)) for part, source in sources.items()}
    labels = sources["train"].labels
    if "test" not in rows:
        rows["train"], rows["test"] = stratified_split(labels, _TEST_FRACTION, _TEST_SEED)
    if "validation" not in rows:
        fit, held_out = stratified_split(labels[rows["train"]], validation_fraction, seed)
        rows["train"], rows["validation"] = rows["train"][fit], rows["train"][held_out]
    splits = {part: Split(sources.get(part, sources["train"]), rows[part], chosen) for part in parts}
    return Dataset(name, opened.class_names, shape, **splits)


def place(name: str) -> Path | None:
    """Return the path whose files `load` reads, or None where it takes a name; raises InputError if it can be neither."""
    require_name(name)
    path = Path(name).expanduser()
    if name.startswith((".", "~")) or path.is_absolute() or path.suffix.lower() in (".npz", ".npy"):
        return path
    if any(name == one.name for one in known()) or not path.exists():
        return None
    return None if is_tfds_name(name) else path


def files(name: str) -> list[Path]:
    """Return the files that `load` reads at a path, in a fixed order; none for a name, or where nothing is.

    Raises
    ------
    InputError
        When there is a file or folder that is no data set: nothing is read, nor the disk walked, to find that out.
    """
    path = place(name)
    if path is None or not path.exists():
        return []
    return [path] if _is_array_file(path) else [Path(file) for file in list_folder(path).files]


def fingerprint(name: str, *, of_folder: bytes = b"") -> str:
    """Return a hash of the files that `load` reads at a path; empty for a name, or where nothing is.

    Raises
    ------
    InputError
        As `files` does.
    """
    listed = files(name)
    if not listed:
        return ""
    path = Path(name).expanduser()
    return fingerprints.of_files(path, listed, b"" if path.is_file() else of_folder)


def require_name(name: str) -> None:
    """Raise InputError for a text that can name no data set: empty, too long, of another encoding, or of nobody's home."""
    if not name:
        raise InputError("the name of the data set is empty: give a name, such as digits, or a path.")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise InputError(f"the name of the data set is not UTF-8: {printable(name)}: rename it.") from None
    if b"\0" in encoded or len(encoded) > _LONGEST_PATH or any(len(p) > _LONGEST_NAME for p in encoded.split(b"/")):
        raise InputError(f"{name[:40]!r}… can be no data set's name: it is too long, or holds a NUL: give a name or a path.")
    try:
        Path(name).expanduser()
    except RuntimeError:
        raise InputError(f"{name}: there is no such user whose home folder this could be: give the path in full.") from None


def _open(name: str) -> Opened:
    path = place(name)
    if path is None:
        return open_digits() if name == "digits" else open_tfds(name)
    return open_npz(path) if _is_array_file(path) else open_folder(path)


def _is_array_file(path: Path) -> bool:
    """Return whether a path is to be read as an .npz file; raises InputError for other files, pipes and devices."""
    array_file = path.suffix.lower() == ".npz" and not path.is_dir()
    if path.exists() and not (path.is_dir() or (array_file and path.is_file())):
        raise InputError(
            f"{path} is no data set: give an .npz file with x_train, y_train, x_test, y_test, or a folder of class folders."
        )
    return array_file
