"""Image classification sets: the embedded digits, TFDS names, .npz files and image folders, all as one `Dataset`.

Pixels are handed out raw (0 to 255 where the images are bytes): normalizing them is the model's first layer's work.
TensorFlow, TFDS and scikit-learn are imported inside the functions that need them, so that a command line can list
the data sets without waiting for them.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tfrecall.errors import InputError, unknown

if TYPE_CHECKING:
    import tensorflow as tf

Shape = tuple[int, int, int]
ShapeRequest = Shape | Callable[[Shape], Shape] | None

# The test set has to stay the same whatever seed the user picks: reports would not be comparable otherwise.
_TEST_SEED = 20190707
_MOMENT_IMAGES = 10_000
_SHUFFLE_WINDOW = 10_000
_NETWORK_SECONDS = 4.0
_READ_BATCH = 256
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_HELD_OUT = ("test", "validation", "val")
_OTHER_SOURCES = "A path to an .npz file or to a folder of class folders is accepted as well."


# ---------------------------------------------------------------------------------------------------- public types


@dataclass(frozen=True, eq=False)
class Split:
    """The images of one split and their classes.

    Attributes
    ----------
    labels : numpy.ndarray
        ``labels[image]``, int64, in the order in which ``batches()`` without shuffling yields the images.
    """

    labels: np.ndarray
    _source: _Source = field(repr=False)
    _rows: np.ndarray = field(repr=False)  # which images of the source, ascending

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, batch_size: int, *, shuffle_seed: int | None = None) -> tf.data.Dataset:
        """Return the images and labels in batches, once around.

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

        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise InputError(f"the batch size must be a whole number above 0, not {batch_size!r}.")
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        options.deterministic = True
        pairs = self._source.batches(self._rows, int(batch_size), shuffle_seed)
        return pairs.prefetch(tf.data.AUTOTUNE).with_options(options)

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
        batches = list(self._only(np.sort(drawn)).batches(_READ_BATCH).as_numpy_iterator())
        return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])

    def _only(self, picks: np.ndarray) -> Split:
        return _split(self._source, self._rows[picks])


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
        Disjoint. The validation images are taken from the training images, never from the test images.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: Shape
    train: Split
    validation: Split
    test: Split

    def pixel_moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the mean and the variance of the raw training pixels, by channel.

        Accumulated in float64 while streaming, after resizing. A training split of more than 10 000 images is
        represented by 10 000 of them, evenly spaced over it (over, not from the start: folders come class by class).

        Returns
        -------
        mean, variance : tuple of float
            One number a channel, in pixel units and squared pixel units. The variance divides by the count.
        """
        spaced = np.linspace(0, len(self.train) - 1, min(len(self.train), _MOMENT_IMAGES)).round().astype(np.int64)
        count, mean, scatter = 0, 0.0, 0.0
        for images, _ in self.train._only(spaced).batches(_READ_BATCH).as_numpy_iterator():
            pixels = images.reshape(-1, images.shape[-1]).astype(np.float64)
            # Chan, Golub and LeVeque's update: sums of squares would cancel for pixels far from zero.
            step, total = pixels.mean(axis=0) - mean, count + len(pixels)
            scatter = scatter + pixels.var(axis=0) * len(pixels) + step**2 * (count * len(pixels) / total)
            mean, count = mean + step * (len(pixels) / total), total
        return tuple(map(float, mean)), tuple(map(float, scatter / count))


@dataclass(frozen=True)
class Known:
    """A data set that `load` takes by name.

    Attributes
    ----------
    name : str
        What to hand to `load`.
    description : str
        What is on the images.
    classes : int
        How many classes it has.
    image_shape : tuple of int, or None
        (rows, columns, channels); None where the images differ in size.
    ready : bool
        Whether it can be loaded on this machine without a download.
    """

    name: str
    description: str
    classes: int
    image_shape: Shape | None
    ready: bool


# ------------------------------------------------------------------------------------------------------- public door


def load(
    name: str | os.PathLike,
    *,
    image_shape: ShapeRequest = None,
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
        Bytes. A set whose decoded and resized images need more is decoded anew in each epoch.

    Returns
    -------
    Dataset
        Train, validation and test. Sets that come without a test split are tested on a fixed stratified part: a
        third of the digits and of TFDS sets, a fifth of a folder.

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
    train, test, class_names, shape = _COLLECTORS[_kind(name)](name, image_shape, memory_limit)
    rest = np.arange(len(train.labels))
    if isinstance(test, float):
        rest, test_rows = stratified_split(train.labels, test, _TEST_SEED)
        test_split = _split(train, test_rows)
    else:
        test_split = _split(test, np.arange(len(test.labels)))
    fit, held_out = stratified_split(train.labels[rest], validation_fraction, seed)
    return Dataset(name, class_names, shape, _split(train, rest[fit]), _split(train, rest[held_out]), test_split)


def known() -> list[Known]:
    """Return the embedded digits and well-known TFDS sets, without importing TensorFlow or TFDS.

    Returns
    -------
    list of Known
        ``digits`` first. Ready is what ``$TFDS_DATA_DIR`` (else ~/tensorflow_datasets) holds prepared. Every other
        TFDS image classification set can be loaded as well.
    """
    root = _tfds_folder()
    embedded = Known("digits", "handwritten digits, in scikit-learn", 10, (8, 8, 1), True)
    return [embedded] + [Known(*facts, _prepared(root, facts[0])) for facts in _WELL_KNOWN]


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split images in two, with every class in both parts in proportion.

    A class of n images gives ⌊fraction·n⌋ or one more, the one more going to the largest remainders until
    round(fraction·N) of all N images are held out. Each class keeps at least one image in training. Where
    round(fraction·N) is no less than the number of classes with two images or more, each of those classes also has
    at least one image held out, even if that makes the part held out a little larger.

    Parameters
    ----------
    labels : numpy.ndarray
        ``labels[image]``, integers.
    fraction : float
        Share to hold out, in (0, 1).
    seed : int
        Which images of a class are held out, and which class wins between equal remainders.

    Returns
    -------
    train, held_out : numpy.ndarray
        Positions in `labels`, int64, ascending, disjoint, together all of them.

    Raises
    ------
    InputError
        When `fraction` is outside (0, 1) or leaves one of the parts empty.
    """
    labels = np.asarray(labels)
    if not 0 < fraction < 1:
        raise InputError(f"the fraction to hold out must lie between 0 and 1, both excluded, not {fraction}.")
    generator = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    quotas = _quotas(counts, fraction, generator.permutation(len(classes)))
    held = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas, strict=True)
    ]
    held_out = np.sort(np.concatenate([np.empty(0, np.int64), *held]))
    if not 0 < len(held_out) < len(labels):
        raise InputError(
            f"a fraction of {fraction:g} of {len(labels)} images in {len(classes)} classes leaves one part without "
            "images: hold out a larger fraction, or use more images (each class keeps one for training)."
        )
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def _quotas(counts: np.ndarray, fraction: float, preference: np.ndarray) -> np.ndarray:
    """Return how many images of each class to hold out: largest remainders, ties by `preference` (lower first)."""
    # Shares such as 0.1 * 30 = 3.0000000000000004 are whole numbers that went astray.
    shares = np.round(fraction * counts, 9)
    quotas = np.floor(shares).astype(np.int64)
    remainders = shares - quotas
    total = math.floor(round(fraction * int(counts.sum()), 9) + 0.5)
    splittable = counts >= 2
    if total >= splittable.sum():
        lifted = splittable & (quotas == 0)
        quotas[lifted] = 1
        remainders[lifted] = 0
    for label in np.lexsort((preference, -remainders)):
        if quotas.sum() < total and remainders[label] > 0 and quotas[label] + 1 < counts[label]:
            quotas[label] += 1
    return quotas


# ---------------------------------------------------------------------------------------- where the images come from


class _Source(Protocol):
    """Labelled images in a fixed order, some of whose rows make a split."""

    labels: np.ndarray

    def batches(self, rows: np.ndarray, batch_size: int, shuffle_seed: int | None) -> tf.data.Dataset: ...


@dataclass(frozen=True, eq=False)
class _Held:
    """Images in memory: only their row numbers are shuffled, and each batch is gathered at once."""

    images: tf.Tensor  # images[image, row, column, channel], uint8 or float32
    labels: np.ndarray

    def batches(self, rows: np.ndarray, batch_size: int, shuffle_seed: int | None) -> tf.data.Dataset:
        import tensorflow as tf

        labels = _tensor(self.labels)
        order = tf.data.Dataset.from_tensor_slices(_tensor(rows))
        if shuffle_seed is not None:
            order = order.shuffle(max(1, len(rows)), seed=shuffle_seed, reshuffle_each_iteration=True)
        return order.batch(batch_size).map(
            lambda batch: (tf.cast(tf.gather(self.images, batch), tf.float32), tf.gather(labels, batch)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )


@dataclass(frozen=True, eq=False)
class _Streamed:
    """Images that are read and decoded when they are asked for; they are shuffled before decoding, while small."""

    read: Callable[[np.ndarray], tf.data.Dataset]  # ascending rows -> (undecoded image, int64 label) in that order
    decode: Callable[[Any], tf.Tensor]  # undecoded image -> image[row, column, channel], uint8 or float32
    labels: np.ndarray
    window: int  # how many undecoded images the shuffling may hold

    def elements(self, rows: np.ndarray, shuffle_seed: int | None) -> tf.data.Dataset:
        import tensorflow as tf

        pairs = self.read(rows)
        if shuffle_seed is not None:
            window = max(1, min(len(rows), self.window))
            pairs = pairs.shuffle(window, seed=shuffle_seed, reshuffle_each_iteration=True)
        return pairs.map(lambda image, label: (self.decode(image), label), num_parallel_calls=tf.data.AUTOTUNE)

    def batches(self, rows: np.ndarray, batch_size: int, shuffle_seed: int | None) -> tf.data.Dataset:
        import tensorflow as tf

        return (
            self.elements(rows, shuffle_seed)
            .batch(batch_size)
            .map(lambda images, labels: (tf.cast(images, tf.float32), labels), num_parallel_calls=tf.data.AUTOTUNE)
        )


_Collected = tuple[_Source, "_Source | float", tuple[str, ...], Shape]  # train, test or its share, names, shape


def _split(source: _Source, rows: np.ndarray) -> Split:
    return Split(source.labels[rows], source, rows)


def _tensor(array: np.ndarray) -> tf.Tensor:
    """Return the array as a tensor in main memory: a data set must not take an accelerator's."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        return tf.convert_to_tensor(array)


def _hold(source: _Streamed, shape: Shape, dtype: np.dtype) -> _Held:
    """Decode every image of the source once, into memory."""
    images = np.empty((len(source.labels), *shape), dtype)
    start = 0
    for batch, _ in source.elements(np.arange(len(images)), None).batch(_READ_BATCH).as_numpy_iterator():
        images[start : start + len(batch)] = batch
        start += len(batch)
    return _Held(_tensor(images), source.labels)


def _too_large(images: int, shape: Shape, dtype: np.dtype, memory_limit: int) -> bool:
    return images * math.prod(shape) * np.dtype(dtype).itemsize > memory_limit


def _from_array(images: np.ndarray, labels: np.ndarray, shape: Shape, too_large: bool) -> _Source:
    """Return the source for raw ``images[image, row, column, channel]`` that are in memory already."""
    import tensorflow as tf

    raw = _tensor(images)
    if images.shape[1:] == shape:
        return _Held(raw, labels)
    streamed = _Streamed(
        read=lambda rows: tf.data.Dataset.from_tensor_slices((_tensor(rows), _tensor(labels[rows]))),
        decode=lambda row: _fit(raw[row], shape),
        labels=labels,
        window=max(1, len(labels)),
    )
    return streamed if too_large else _hold(streamed, shape, images.dtype)


def _fit(image: tf.Tensor, shape: Shape) -> tf.Tensor:
    """Return ``image[row, column, channel]`` in another shape and the same type."""
    import tensorflow as tf

    if image.shape != shape:
        image = _recolour(image, shape[2])
        resized = tf.image.resize(image, shape[:2], antialias=True)  # has no effect where images grow
        image = tf.saturate_cast(tf.round(resized), tf.uint8) if image.dtype == tf.uint8 else resized
    return tf.ensure_shape(image, shape)


def _recolour(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Return the image with 1 or 3 channels instead of 3 or 1; how many come may be known only at run time."""
    import tensorflow as tf

    present = tf.shape(image)[2]
    if image.shape[2] == channels or channels not in (1, 3):
        return image
    if channels == 3:
        return tf.tile(image, [1, 1, 3 // present])
    return tf.cond(
        present == 3, lambda: tf.image.rgb_to_grayscale(tf.ensure_shape(image, (None, None, 3))), lambda: image
    )


def _resolve(native: Shape, request: ShapeRequest) -> Shape:
    """Return the shape that the images shall have, checked."""
    shape = request(native) if callable(request) else native if request is None else request
    whole = isinstance(shape, (tuple, list)) and len(shape) == 3
    if not whole or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 for n in shape):
        raise InputError(f"an image shape is (rows, columns, channels), each at least 1, not {shape!r}.")
    shape = tuple(int(n) for n in shape)
    if shape[2] != native[2] and {shape[2], native[2]} != {1, 3}:
        raise InputError(
            f"images with {native[2]} channels cannot become images with {shape[2]}: ask for {native[2]} channels "
            "(only 1 and 3 can be turned into one another)."
        )
    return shape


def _line(error: BaseException | str) -> str:
    """Return the first line of what an error says, short enough for a message of one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")


# ---------------------------------------------------------------------------------------------------- which source


def _kind(name: str) -> str:
    """Return which collector reads `name`: a set's name wins over a folder of the same name below the current one."""
    path = Path(name).expanduser()
    if name == "digits":
        return "digits"
    if path.suffix.lower() == ".npz" or path.is_file():
        return "npz"
    if name.startswith((".", "~")) or path.is_absolute():
        return "folder"
    if path.is_dir() and _base(name) not in _tfds().list_builders():
        return "folder"
    return "tfds"


# ----------------------------------------------------------------------------------------------------------- digits


def _collect_digits(name: str, request: ShapeRequest, memory_limit: int) -> _Collected:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    shape = _resolve(images.shape[1:], request)
    too_large = _too_large(len(images), shape, images.dtype, memory_limit)
    source = _from_array(images, digits.target.astype(np.int64), shape, too_large)
    return source, 1 / 3, tuple(str(label) for label in digits.target_names), shape


# ------------------------------------------------------------------------------------------------------------- TFDS


_WELL_KNOWN = (
    ("mnist", "handwritten digits", 10, (28, 28, 1)),
    ("fashion_mnist", "clothes", 10, (28, 28, 1)),
    ("kmnist", "cursive Japanese characters", 10, (28, 28, 1)),
    ("emnist/balanced", "handwritten digits and letters", 47, (28, 28, 1)),
    ("cmaterdb", "handwritten Bangla digits", 10, (32, 32, 3)),
    ("svhn_cropped", "house numbers", 10, (32, 32, 3)),
    ("cifar10", "animals and vehicles", 10, (32, 32, 3)),
    ("cifar100", "things of all kinds", 100, (32, 32, 3)),
    ("stl10", "animals and vehicles", 10, (96, 96, 3)),
    ("eurosat/rgb", "land use, from satellites", 10, (64, 64, 3)),
    ("oxford_flowers102", "flowers", 102, None),
    ("tf_flowers", "flowers", 5, None),
    ("food101", "dishes", 101, None),
    ("imagenette", "ten easy classes of ImageNet", 10, None),
    ("imagenet_resized/32x32", "ImageNet, small", 1000, (32, 32, 3)),
    ("imagenet2012", "ImageNet (its archives are downloaded by hand)", 1000, None),
)


def _tfds_folder() -> Path:
    # TFDS reads the variable only once, when it is imported.
    return Path(os.environ.get("TFDS_DATA_DIR") or Path("~") / "tensorflow_datasets").expanduser()


def _prepared(root: Path, name: str) -> bool:
    """Return whether a version of the set, or of one of its configurations, lies complete below the folder."""
    return any(next((root / name).glob(pattern), None) for pattern in ("*/dataset_info.json", "*/*/dataset_info.json"))


def _base(name: str) -> str:
    return re.split("[/:]", name, maxsplit=1)[0]


def _tfds() -> Any:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    return tfds


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep TFDS's log quiet, and what it prints out of the standard output that may be piped somewhere."""
    import absl.logging

    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.FATAL)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        absl.logging.set_verbosity(verbosity)


def _collect_tfds(name: str, request: ShapeRequest, memory_limit: int) -> _Collected:
    import tensorflow as tf

    with _hushed():
        builder = _builder(name)
        image_key, label_key = _supervised_keys(builder, name)
        _prepare(builder, name)
        try:
            return _read_tfds(builder, name, image_key, label_key, request, memory_limit)
        except tf.errors.OpError as error:
            raise InputError(
                f"data set '{name}' in {builder.data_dir} cannot be read ({_line(error)}): delete that folder and "
                f"prepare it again with `{_build_command(builder, name)}`."
            ) from error


def _builder(name: str) -> Any:
    """Return the TFDS builder, prepared or not."""
    tfds = _tfds()
    try:
        return tfds.builder(name, data_dir=str(_tfds_folder()))
    except Exception as error:
        names, base = tfds.list_builders(), _base(name)
        if base not in names:
            raise unknown("data set", name, ["digits", *names], _OTHER_SOURCES) from None
        configs = tfds.builder_cls(base).builder_configs
        config = re.sub(":.*", "", name).partition("/")[2]
        if config and config not in configs:
            raise unknown(f"configuration of data set '{base}'", config, configs) from None
        reason = _line(re.sub('Failed to construct dataset .*, builder_kwargs "{.*}": ', "", str(error)))
        raise InputError(
            f"data set '{name}' cannot be opened ({reason}): name a version that TFDS has, or leave it out."
        ) from error


def _supervised_keys(builder: Any, name: str) -> tuple[str, str]:
    """Return what TFDS calls the image and the label of this set."""
    features = _tfds().features
    keys = builder.info.supervised_keys
    if isinstance(keys, tuple) and len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (builder.info.features[key] for key in keys)
        if isinstance(image, features.Image) and isinstance(label, features.ClassLabel) and label.num_classes:
            return keys
    raise InputError(
        f"data set '{name}' is not an image classification set: expected an image and a class label for supervised "
        f"training, but TFDS declares {keys}. Choose another, such as mnist or cifar10."
    )


def _build_command(builder: Any, name: str) -> str:
    # Without a configuration `tfds build` would prepare all of them.
    config = builder.builder_config
    full = name if config is None or "/" in name else name.replace(_base(name), f"{_base(name)}/{config.name}", 1)
    return f"tfds build {full} --data_dir {_tfds_folder()}"


def _prepare(builder: Any, name: str) -> None:
    """Download the set if it is not on the disk; without a network say at once how to get it."""
    if builder.is_prepared():
        return
    if not _reachable(builder.url_infos or ()):
        raise _not_prepared(builder, name, "its hosts cannot be reached")
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise _not_prepared(builder, name, _line(error)) from error


def _not_prepared(builder: Any, name: str, reason: str) -> InputError:
    return InputError(
        f"data set '{name}' is not in {_tfds_folder()} and could not be downloaded ({reason}): on a machine with "
        f"network run `{_build_command(builder, name)}`, and set TFDS_DATA_DIR to that folder here."
    )


def _reachable(urls: Iterable[str]) -> bool:
    """Return whether any of the hosts answers soon; TFDS itself would try for minutes.

    True also if that cannot be told: behind a proxy, or without an address.
    """
    from urllib.parse import urlsplit

    proxies = ("https_proxy", "http_proxy", "all_proxy")
    if any(os.environ.get(name) or os.environ.get(name.upper()) for name in proxies):
        return True
    addresses = {(part.hostname, part.port or {"http": 80}.get(part.scheme, 443)) for part in map(urlsplit, urls)}
    addresses = {address for address in addresses if address[0]}
    return not addresses or _any_answers(addresses)


def _any_answers(addresses: set[tuple[str, int]]) -> bool:
    import socket

    pending, settled, answered = len(addresses), threading.Condition(), False

    def knock(address: tuple[str, int]) -> None:
        nonlocal pending, answered
        try:
            socket.create_connection(address, timeout=_NETWORK_SECONDS).close()
            success = True
        except OSError:
            success = False
        with settled:
            pending, answered = pending - 1, answered or success
            settled.notify()

    # Looking up a host's name takes as long as it takes: threads that may be left behind keep to the limit.
    for address in addresses:
        threading.Thread(target=knock, args=(address,), daemon=True).start()
    with settled:
        settled.wait_for(lambda: answered or not pending, timeout=_NETWORK_SECONDS)
        return answered


def _read_tfds(
    builder: Any, name: str, image_key: str, label_key: str, request: ShapeRequest, memory_limit: int
) -> _Collected:
    if "train" not in builder.info.splits:
        raise InputError(
            f"data set '{name}' has no split 'train', only {', '.join(builder.info.splits)}: choose another."
        )
    feature = builder.info.features[image_key]
    labels = {"train": _tfds_labels(builder, "train", label_key)}
    if not len(labels["train"]) or labels["train"].min() < 0:
        raise InputError(f"data set '{name}' has no labelled images in its split 'train': choose another.")
    for split in _HELD_OUT[:2]:
        found = _tfds_labels(builder, split, label_key) if split in builder.info.splits else np.empty(0)
        # TFDS labels the images of unpublished test sets, such as ImageNet's, with -1.
        if len(found) and found.min() >= 0:
            labels[split] = found
            break

    native = tuple(feature.shape)
    if None in native:
        first, _ = next(iter(_tfds_records(builder, "train", image_key, np.arange(1), len(labels["train"]))))
        native = tuple(feature.decode_example(first).shape)
    shape = _resolve(native, request)
    dtype = np.dtype(np.uint8 if feature.np_dtype == np.uint8 else np.float32)
    too_large = _too_large(sum(map(len, labels.values())), shape, dtype, memory_limit)
    sources = [
        _tfds_source(builder, split, image_key, found, shape, dtype, too_large) for split, found in labels.items()
    ]
    class_names = tuple(builder.info.features[label_key].names)
    return sources[0], sources[1] if len(sources) == 2 else 1 / 3, class_names, shape


def _tfds_source(
    builder: Any, split: str, image_key: str, labels: np.ndarray, shape: Shape, dtype: np.dtype, too_large: bool
) -> _Source:
    import tensorflow as tf

    feature = builder.info.features[image_key]

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        image = feature.decode_example(encoded)
        return _fit(image if dtype == np.uint8 else tf.cast(image, tf.float32), shape)

    streamed = _Streamed(
        read=lambda rows: _tfds_records(builder, split, image_key, rows, len(labels)),
        decode=decode,
        labels=labels,
        window=_SHUFFLE_WINDOW,
    )
    return streamed if too_large else _hold(streamed, shape, dtype)


def _tfds_read(builder: Any, split: str, **how: Any) -> tf.data.Dataset:
    """Return the records of a split in an order that never changes, whatever is decoded of them."""
    tfds = _tfds()
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, skip_prefetch=True)
    return builder.as_dataset(split=split, shuffle_files=False, read_config=config, **how)


def _tfds_labels(builder: Any, split: str, label_key: str) -> np.ndarray:
    """Return ``labels[image]`` in reading order, without decoding images."""
    records = _tfds_read(builder, split, decoders=_tfds().decode.PartialDecoding({label_key: True}))
    batches = records.map(lambda record: record[label_key]).batch(4096).as_numpy_iterator()
    return np.concatenate([np.empty(0, np.int64), *batches]).astype(np.int64)


def _tfds_records(builder: Any, split: str, image_key: str, rows: np.ndarray, count: int) -> tf.data.Dataset:
    """Return (undecoded image, label) for ascending rows of the `count` records of a split."""
    import tensorflow as tf

    records = _tfds_read(builder, split, as_supervised=True, decoders={image_key: _tfds().decode.SkipDecoding()})
    if len(rows) < count:
        chosen = np.zeros(count, bool)
        chosen[rows] = True
        chosen = _tensor(chosen)
        # Records can only be read one after the other; those behind the last one wanted need no reading.
        last = int(rows[-1]) + 1 if len(rows) else 0
        records = records.take(last).enumerate().filter(lambda row, _: chosen[row]).map(lambda _, pair: pair)
        records = records.apply(tf.data.experimental.assert_cardinality(len(rows)))
    return records


# -------------------------------------------------------------------------------------------------------- .npz files


def _collect_npz(name: str, request: ShapeRequest, memory_limit: int) -> _Collected:
    path = Path(name).expanduser()
    arrays = _read_npz(path)
    images = {part: _npz_images(arrays[f"x_{part}"], f"x_{part}", path) for part in ("train", "test")}
    labels = {part: _npz_labels(arrays[f"y_{part}"], f"y_{part}", path) for part in ("train", "test")}
    for part in ("train", "test"):
        if len(images[part]) != len(labels[part]):
            raise InputError(
                f"{path}: x_{part} holds {len(images[part])} images but y_{part} {len(labels[part])} labels: "
                "each image needs one label."
            )
    native = images["train"].shape[1:]
    if images["test"].shape[1:] != native:
        raise InputError(
            f"{path}: the images of x_train are {_by(native)} but those of x_test {_by(images['test'].shape[1:])}: "
            "save both with one shape."
        )
    if images["train"].dtype != images["test"].dtype:
        raise InputError(
            f"{path}: x_train is {arrays['x_train'].dtype} but x_test {arrays['x_test'].dtype}: save both with one "
            "type and one range of values."
        )
    class_names = _npz_class_names(arrays.get("class_names"), labels, path)
    shape, dtype = _resolve(native, request), images["train"].dtype
    too_large = _too_large(sum(map(len, images.values())), shape, dtype, memory_limit)
    train, test = (_from_array(images[part], labels[part], shape, too_large) for part in ("train", "test"))
    return train, test, class_names, shape


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file, with all four that are needed."""
    needed = ("x_train", "y_train", "x_test", "y_test")
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected an .npz file with {', '.join(needed)}.")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise zipfile.BadZipFile("it holds a single array")
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path} is not a whole .npz file ({_line(error)}): write it with "
            "np.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)."
        ) from error
    with archive:
        missing = [key for key in needed if key not in archive]
        if missing:
            raise InputError(
                f"{path} lacks {', '.join(missing)}: expected {', '.join(needed)}, found "
                f"{', '.join(archive.files) or 'nothing'}."
            )
        return {key: _read_member(archive, key, path) for key in (*needed, "class_names") if key in archive}


def _read_member(archive: Any, key: str, path: Path) -> np.ndarray:
    try:
        return np.asarray(archive[key])
    except (ValueError, zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        if "pickle" in str(error):
            raise InputError(
                f"{path}: {key} holds Python objects, which could run code when read: save it as an array of numbers "
                "(or of strings, for class_names)."
            ) from error
        raise InputError(
            f"{path}: {key} cannot be read ({_line(error)}): the file is damaged, save it again."
        ) from error


def _npz_images(images: np.ndarray, key: str, path: Path) -> np.ndarray:
    """Return ``images[image, row, column, channel]`` as uint8 or float32, checked."""
    if images.dtype.kind not in "buif":
        raise InputError(f"{path}: {key} must hold numbers, not {images.dtype}: save the pixels as uint8 or float32.")
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise InputError(
            f"{path}: {key} must have the shape (images, rows, columns) or (images, rows, columns, channels) with no "
            f"axis empty, not {images.shape}."
        )
    images = images if images.ndim == 4 else images[..., np.newaxis]
    if images.dtype.kind == "f":
        images = images.astype(np.float32)
        if not np.isfinite(images).all():
            raise InputError(f"{path}: {key} holds pixels that are NaN or infinite in float32: replace them.")
        return images
    # Bytes that were saved as wider integers, as np.array([...]) does, are bytes all the same.
    return images.astype(np.uint8 if images.min() >= 0 and images.max() <= 255 else np.float32)


def _npz_labels(labels: np.ndarray, key: str, path: Path) -> np.ndarray:
    """Return ``labels[image]``, int64, from numbers or from one-hot rows."""
    fix = "number the classes 0, 1, 2, …"
    if labels.dtype.kind not in "buif":
        raise InputError(
            f"{path}: {key} must hold whole numbers, not {labels.dtype}: {fix}, with names in class_names."
        )
    if labels.ndim not in (1, 2) or 0 in labels.shape:
        raise InputError(f"{path}: {key} must have the shape (images,) with at least one image, not {labels.shape}.")
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
        raise InputError(f"{path}: {key} holds labels that are not whole numbers: {fix}.")
    if labels.ndim == 2 and labels.shape[1] > 1:
        one_hot = ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()
        if not one_hot:
            raise InputError(
                f"{path}: {key} with the shape {labels.shape} must hold one 1 a row and zeros else (one-hot): save "
                "the class numbers with the shape (images,) instead."
            )
        return labels.argmax(axis=1).astype(np.int64)
    labels = labels.reshape(-1)
    if labels.min() < 0:
        raise InputError(f"{path}: {key} holds the negative label {int(labels.min())}: {fix}.")
    return labels.astype(np.int64)


def _npz_class_names(names: np.ndarray | None, labels: dict[str, np.ndarray], path: Path) -> tuple[str, ...]:
    """Return ``class_names[class]``, with every label in range."""
    top = {part: int(values.max()) for part, values in labels.items()}
    if names is None:
        if top["train"] >= len(labels["train"]):
            raise InputError(
                f"{path}: y_train counts up to {top['train']} with only {len(labels['train'])} images: number the "
                "classes 0, 1, 2, … without gaps."
            )
        names = np.arange(top["train"] + 1).astype(str)
    if names.ndim != 1 or names.dtype.kind not in "US" or len(set(names.tolist())) != len(names):
        raise InputError(f"{path}: class_names must be a list of distinct strings, one a class.")
    for part, label in top.items():
        if label >= len(names):
            raise InputError(
                f"{path}: y_{part} holds the label {label} but there are {len(names)} classes, 0 to {len(names) - 1}: "
                "correct the labels, or save class_names for all classes."
            )
    if len(names) < 2:
        raise InputError(f"{path}: expected two classes or more, found {len(names)}.")
    return tuple(names.astype(str).tolist())


# ----------------------------------------------------------------------------------------------------- image folders


def _collect_folder(name: str, request: ShapeRequest, memory_limit: int) -> _Collected:
    root = Path(name).expanduser()
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a folder of class folders, or a name from TFDS.")
    nested = (root / "train").is_dir()
    train_root = root / "train" if nested else root
    class_names = tuple(path.name for path in _children(train_root) if path.is_dir())
    if len(class_names) < 2:
        raise InputError(
            f"{train_root}: expected a folder for each class, two or more, found {len(class_names)}: arrange the "
            "images as CLASS/IMAGE."
        )
    listings = [_list_images(train_root, class_names)]
    held_out = next((root / part for part in _HELD_OUT if nested and (root / part).is_dir()), None)
    if held_out is not None:
        extra = sorted({path.name for path in _children(held_out) if path.is_dir()} - set(class_names))
        if extra:
            raise InputError(
                f"{held_out}: class {extra[0]} is not among the classes of {train_root}: move or remove it."
            )
        listings.append(_list_images(held_out, class_names, partly=True))

    for paths, _ in listings:
        _check_files(paths)
    native = _decode_file(listings[0][0][0]).shape
    shape = _resolve(tuple(native), request)
    too_large = _too_large(sum(len(paths) for paths, _ in listings), shape, np.dtype(np.uint8), memory_limit)
    sources = [_folder_source(paths, labels, shape, too_large) for paths, labels in listings]
    return sources[0], sources[1] if len(sources) == 2 else 1 / 5, class_names, shape


def _children(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _list_images(root: Path, class_names: tuple[str, ...], partly: bool = False) -> tuple[list[str], np.ndarray]:
    """Return the image files below the class folders, class by class, and ``labels[file]``."""
    paths, labels = [], []
    for label, name in enumerate(class_names):
        folder = root / name
        found = [str(path) for path in _children(folder) if _is_image(path)] if folder.is_dir() else []
        if not found and not partly:
            raise InputError(f"{folder}: no images ({', '.join(_IMAGE_SUFFIXES)}): add some or remove the folder.")
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise InputError(f"{root}: no images ({', '.join(_IMAGE_SUFFIXES)}) in class folders: add some or remove it.")
    return paths, np.array(labels, np.int64)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _IMAGE_SUFFIXES and path.is_file()


def _folder_source(paths: list[str], labels: np.ndarray, shape: Shape, too_large: bool) -> _Source:
    import tensorflow as tf

    files = np.array([path.encode() for path in paths], object)
    streamed = _Streamed(
        read=lambda rows: tf.data.Dataset.from_tensor_slices((_tensor(files[rows]), _tensor(labels[rows]))),
        decode=lambda path: _fit(_decode(tf.io.read_file(path)), shape),
        labels=labels,
        window=len(paths),  # a folder comes class by class, and paths are small: shuffle all of them
    )
    if too_large:
        return streamed
    try:
        return _hold(streamed, shape, np.dtype(np.uint8))
    except tf.errors.OpError:
        for path in paths:
            _decode_file(path)
        raise


def _decode(encoded: tf.Tensor) -> tf.Tensor:
    """Return ``image[row, column, channel]``, uint8, grey or RGB: the alpha channel that may follow is dropped."""
    import tensorflow as tf

    image = tf.io.decode_image(encoded, expand_animations=False)
    image = tf.ensure_shape(image, (None, None, None))
    return image[..., : tf.where(tf.shape(image)[2] < 3, 1, 3)]


def _decode_file(path: str) -> tf.Tensor:
    import tensorflow as tf

    try:
        return _decode(tf.io.read_file(path))
    except tf.errors.OpError as error:
        raise _unreadable(path, _line(error)) from error


def _unreadable(path: str, reason: str) -> InputError:
    return InputError(f"{path} cannot be read as an image ({reason}): replace or remove it.")


def _check_files(paths: list[str]) -> None:
    """Raise for images that cannot be read, looking at a few bytes of each: all of a large folder would take hours.

    A failure later, in the middle of training, could not name the file.
    """
    for path in paths:
        try:
            head, tail = _ends(path)
        except OSError as error:
            raise _unreadable(path, error.strerror or _line(error)) from error
        if not head:
            raise _unreadable(path, "it is empty")
        endings = [ending for start, ending in _SIGNATURES if head.startswith(start)]
        if not endings:
            raise _unreadable(path, "it is no PNG, JPEG, GIF or BMP file")
        # Some cameras write more behind the end of the image, so only decoding can tell those from files cut short.
        if not tail.endswith(endings[0]):
            _decode_file(path)


def _ends(path: str) -> tuple[bytes, bytes]:
    with open(path, "rb") as file:
        head = file.read(8)
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8))
        return head, file.read(8)


_SIGNATURES = (  # first bytes, last bytes
    (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    (b"\xff\xd8\xff", b"\xff\xd9"),
    (b"GIF8", b";"),
    (b"BM", b""),
)

_COLLECTORS = {
    "digits": _collect_digits,
    "tfds": _collect_tfds,
    "npz": _collect_npz,
    "folder": _collect_folder,
}
