"""The data sets that are listed by name, without waiting for TensorFlow or TFDS."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tfrecall.datasets.pixels import Shape

_TFDS_SETS = (
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


def known() -> list[Known]:
    """Return the embedded digits and well-known TFDS sets, without importing TensorFlow or TFDS.

    Returns
    -------
    list of Known
        ``digits`` first. Ready is what `tfds_folder` holds prepared. Every other TFDS image classification set can be
        loaded as well.
    """
    embedded = Known("digits", "handwritten digits, in scikit-learn", 10, (8, 8, 1), True)
    return [embedded] + [Known(*facts, _is_prepared(facts[0])) for facts in _TFDS_SETS]


def tfds_folder() -> Path:
    """Return where TFDS sets are prepared: ``$TFDS_DATA_DIR``, else ~/tensorflow_datasets."""
    # TFDS itself reads the variable only once, when it is imported.
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _is_prepared(name: str) -> bool:
    """Return whether a version of the set, or of one of its configurations, lies complete in the folder."""
    patterns = ("*/dataset_info.json", "*/*/dataset_info.json")
    return any(next((tfds_folder() / name).glob(pattern), None) for pattern in patterns)
