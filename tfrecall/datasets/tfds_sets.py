"""Image classification sets from TensorFlow Datasets (TFDS)."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np

from tfrecall.datasets.catalogue import tfds_folder
from tfrecall.datasets.pixels import Shape
from tfrecall.datasets.sources import Opened, Streamed
from tfrecall.errors import InputError, unknown

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

_NETWORK_SECONDS = 4.0
_SHUFFLE_WINDOW = 10_000


def is_tfds_name(name: str) -> bool:
    """Return whether TFDS has a set of that name, whatever configuration or version follows it."""
    import tensorflow_datasets as tfds

    return _base(name) in tfds.list_builders()


def open_tfds(name: str) -> Opened:
    """Open a TFDS set, downloading it if it is not in `tfds_folder`.

    Parameters
    ----------
    name : str
        As TFDS takes it: ``name``, ``name/config``, ``name:version`` or ``name/config:version``.

    Returns
    -------
    Opened
        Its test split, else its validation split, is the test set.

    Raises
    ------
    InputError
        When TFDS has no such set, it is not for image classification, or it can neither be read nor downloaded.
    """
    import tensorflow as tf

    with _hushed():
        builder = _builder(name)
        image_key, label_key = _supervised_keys(builder)
        _prepare(builder)
        try:
            labels = _published_labels(builder, label_key)
        except tf.errors.OpError as error:
            raise InputError(
                f"data set '{name}' in {builder.data_dir} cannot be read ({_reason(error)}): delete that folder and "
                f"prepare it again with `{_build_command(builder)}`."
            ) from error
        if "train" not in labels:
            raise InputError(f"data set '{name}' has no labelled images to train on: choose another.")
        shape = _native_shape(builder, image_key)
        train, *held_out = (_source(builder, split, image_key, found, shape) for split, found in labels.items())
        return Opened(tuple(builder.info.features[label_key].names), train, held_out[0] if held_out else None)


def _base(name: str) -> str:
    return re.split("[/:]", name, maxsplit=1)[0]


def _reason(error: Exception) -> str:
    """Return the first line of what TFDS or TensorFlow says, without what they put before it."""
    text = re.sub(r"\{\{.*?\}\} ?|Failed to construct dataset .*, builder_kwargs \"\{.*?\}\": ", "", str(error)).strip()
    return text.partition("\n")[0][:200].rstrip(".")


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep TFDS's log and progress quiet, and what it prints out of the standard output that may be piped somewhere."""
    import absl.logging
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.FATAL)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        absl.logging.set_verbosity(verbosity)


def _builder(name: str) -> tfds.core.DatasetBuilder:
    """Return the TFDS builder, prepared or not."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=str(tfds_folder()))
    except Exception as error:
        if not is_tfds_name(name):
            paths = "A path to an .npz file or to a folder of class folders is accepted as well."
            raise unknown("data set", name, ["digits", *tfds.list_builders()], paths) from None
        raise InputError(
            f"data set '{name}' cannot be opened ({_reason(error)}): name a configuration and a version that TFDS has, or "
            "leave them out."
        ) from error


def _supervised_keys(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Return what TFDS calls the image and the label of this set."""
    import tensorflow_datasets as tfds

    keys = builder.info.supervised_keys
    if isinstance(keys, tuple) and len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (builder.info.features[key] for key in keys)
        if isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel):
            return keys
    raise InputError(
        f"data set '{builder.name}' is not an image classification set: expected an image and a class label for "
        f"supervised training, but TFDS declares {keys}. Choose another, such as mnist or cifar10."
    )


def _build_command(builder: tfds.core.DatasetBuilder) -> str:
    # Without a configuration `tfds build` would prepare all of them.
    config = f"/{builder.builder_config.name}" if builder.builder_config else ""
    return f"tfds build {builder.name}{config}:{builder.version} --data_dir {tfds_folder()}"


def _prepare(builder: tfds.core.DatasetBuilder) -> None:
    """Download the set if it is not on the disk; without a network say at once how to get it."""
    if builder.is_prepared():
        return
    try:
        if not _reachable(builder.url_infos or ()):
            raise ConnectionError("its hosts cannot be reached")
        builder.download_and_prepare()
    except Exception as error:
        raise InputError(
            f"data set '{builder.name}' is not in {tfds_folder()} and could not be downloaded ({_reason(error)}): on a "
            f"machine with network run `{_build_command(builder)}`, and set TFDS_DATA_DIR to that folder here."
        ) from error


def _reachable(urls: Iterable[str]) -> bool:
    """Return whether any of the hosts answers soon; TFDS itself would try for minutes.

    True also if that cannot be told: behind a proxy, or without an address.
    """
    parts = [part for part in map(urlsplit, urls) if part.hostname]
    addresses = {(part.hostname, part.port or (80 if part.scheme == "http" else 443)) for part in parts}
    return bool(getproxies()) or not addresses or any(map(_answers, addresses))


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=_NETWORK_SECONDS).close()
        return True
    except OSError:
        return False


def _published_labels(builder: tfds.core.DatasetBuilder, label_key: str) -> dict[str, np.ndarray]:
    """Return ``labels[split][image]`` in reading order, without decoding images.

    TFDS labels the images of unpublished test sets, such as ImageNet's, with -1: such splits are left out.
    """
    import tensorflow_datasets as tfds

    published = {}
    for split in ("train", "test", "validation"):
        if split in builder.info.splits:
            records = _records(builder, split, decoders=tfds.decode.PartialDecoding({label_key: True}))
            batches = records.map(lambda record: record[label_key]).batch(4096).as_numpy_iterator()
            labels = np.concatenate([np.empty(0, np.int64), *batches])
            if len(labels) and labels.min() >= 0:
                published[split] = labels
    return published


def _records(builder: tfds.core.DatasetBuilder, split: str, **how: object) -> tf.data.Dataset:
    """Return the records of a split in an order that never changes, whatever is decoded of them."""
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, skip_prefetch=True)
    return builder.as_dataset(split=split, shuffle_files=False, read_config=config, **how)


def _native_shape(builder: tfds.core.DatasetBuilder, image_key: str) -> Shape:
    """Return the shape that TFDS declares, or the first training image's where they differ in size."""
    feature = builder.info.features[image_key]
    if None not in feature.shape:
        return tuple(feature.shape)
    first = next(iter(_undecoded(builder, "train", image_key)))[0]
    return tuple(feature.decode_example(first).shape)


def _source(builder: tfds.core.DatasetBuilder, split: str, image_key: str, labels: np.ndarray, shape: Shape) -> Streamed:
    def read(rows: np.ndarray) -> tf.data.Dataset:
        pairs = _undecoded(builder, split, image_key)
        return pairs if len(rows) == len(labels) else _pick(pairs, rows)

    return Streamed(read, builder.info.features[image_key].decode_example, labels, shape, window=_SHUFFLE_WINDOW)


def _undecoded(builder: tfds.core.DatasetBuilder, split: str, image_key: str) -> tf.data.Dataset:
    """Return (undecoded image, label) of a split."""
    import tensorflow_datasets as tfds

    return _records(builder, split, as_supervised=True, decoders={image_key: tfds.decode.SkipDecoding()})


def _pick(pairs: tf.data.Dataset, rows: np.ndarray) -> tf.data.Dataset:
    """Return the elements at ascending rows: records can only be read one after the other, up to the last one wanted."""
    import tensorflow as tf

    wanted = np.zeros(rows[-1] + 1, bool)
    wanted[rows] = True
    wanted = tf.data.Dataset.from_tensor_slices(wanted)
    picked = tf.data.Dataset.zip(pairs, wanted).filter(lambda _, is_wanted: is_wanted).map(lambda pair, _: pair)
    return picked.apply(tf.data.experimental.assert_cardinality(len(rows)))
