"""The models of the paper, by name, and saved models from files.

Every model takes raw pixels: its first layer normalizes them. Importing this loads no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfrecall.errors import InputError, unknown
from tfrecall.models.classifier import (
    classes_of,
    gives_probabilities,
    input_shape,
    probabilities,
    require_classes,
    require_image_classifier,
)
from tfrecall.models.heads import HEADS, Head, head_of
from tfrecall.models.lenet import lenet5
from tfrecall.models.loading import custom_scope, load, named_objects
from tfrecall.models.resnet import resnet20, resnet32, resnet44, resnet56, resnet110
from tfrecall.models.vgg import vgg16

__all__ = [
    "ARCHITECTURES",
    "HEADS",
    "INITIALIZERS",
    "Architecture",
    "Head",
    "build",
    "classes_of",
    "custom_scope",
    "gives_probabilities",
    "head_of",
    "image_shape",
    "input_shape",
    "load",
    "named_objects",
    "probabilities",
    "require_classes",
    "require_image_classifier",
]


#: how the weights of models by name may start: see `build`
INITIALIZERS = ("keras", "pytorch")


@dataclass(frozen=True)
class Architecture:
    """A model that can be built by name.

    Attributes
    ----------
    build : callable
        ``build(input_shape, classes, *, mean, variance, weight_decay, initializer, keras)``.
    sizes : tuple of int
        Smallest and largest height and width in pixels; smaller and larger images are resized to these.
    parameters : int
        Trainable parameters at the published input and 10 classes.
    description : str
        One line.
    """

    build: Callable[..., Any]
    sizes: tuple[int, int]
    parameters: int
    description: str


ARCHITECTURES: dict[str, Architecture] = {
    "lenet5": Architecture(lenet5, (28, 28), 61_706, "LeCun et al. 1998, ReLU and max pooling; 28×28"),
    "resnet20": Architecture(resnet20, (32, 32), 269_722, "He et al. 2016, CIFAR form; 32×32"),
    "resnet32": Architecture(resnet32, (32, 32), 464_154, "He et al. 2016, CIFAR form; 32×32"),
    "resnet44": Architecture(resnet44, (32, 32), 658_586, "He et al. 2016, CIFAR form; 32×32"),
    "resnet56": Architecture(resnet56, (32, 32), 853_018, "He et al. 2016, CIFAR form; 32×32"),
    "resnet110": Architecture(resnet110, (32, 32), 1_727_962, "He et al. 2016, CIFAR form; 32×32"),
    "vgg16": Architecture(vgg16, (28, 224), 14_728_266, "Simonyan & Zisserman 2015, batch norm, one dense layer; 28–224"),
}


def build(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
    weight_decay: float = 0.0,
    initializer: str = "keras",
    keras=None,
):
    """Build a model by name, with new weights.

    Parameters
    ----------
    name : str
        One of `ARCHITECTURES`.
    input_shape : tuple of int
        (height, width, channels) of the raw pixels.
    classes : int
        At least 2.
    mean, variance : sequence of float, optional
        Of the training pixels, by channel, for the first layer. By default it maps 0–255 to −1–1.
    weight_decay : float
        ε of (ε/2)‖θ‖² on every trainable parameter, at least 0.
    initializer : {"keras", "pytorch"}
        How kernels and biases start in the layers whose initializer the publication leaves open: LeNet-5's, and the
        classifiers'. ``"keras"`` is Keras's default, Glorot's; ``"pytorch"`` is PyTorch's, uniform in ±1/√fan_in, biases
        too. Which weights global magnitude pruning removes depends on it. The other convolutions start as He et al. have it.
    keras : module, optional
        The Keras to build with; tf_keras by default.

    Returns
    -------
    Keras model
        Functional, its outputs probabilities (batch, classes); not compiled.

    Raises
    ------
    InputError
        If a name is unknown, there are fewer than two classes, or the images have another size than the model takes.
    """
    if name not in ARCHITECTURES:
        raise unknown("model", name, ARCHITECTURES, "A path to a saved Keras model is accepted too.")
    if initializer not in INITIALIZERS:
        raise unknown("initializer", initializer, INITIALIZERS)
    if classes < 2:
        raise InputError(f"a classifier needs at least 2 classes; got {classes}.")
    if tuple(image_shape(name, input_shape)) != tuple(input_shape):
        low, high = ARCHITECTURES[name].sizes
        size = f"{low}" if low == high else f"{low} to {high}"
        raise InputError(f"{name} takes images of {size} pixels a side; got {input_shape[0]}×{input_shape[1]}.")
    if keras is None:
        import tf_keras as keras
    return ARCHITECTURES[name].build(
        tuple(input_shape),
        classes,
        mean=mean,
        variance=variance,
        weight_decay=weight_decay,
        initializer=initializer,
        keras=keras,
    )


def image_shape(name: str, native: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the image shape to which a model's images are resized, given the data's own (height, width, channels)."""
    low, high = ARCHITECTURES[name].sizes
    height, width, channels = native
    return min(max(height, low), high), min(max(width, low), high), channels
