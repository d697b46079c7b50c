"""What the rest of the library asks of a model: that it is an image classifier, and its probabilities."""

from __future__ import annotations

from tfrecall import networks
from tfrecall.errors import InputError


def require_image_classifier(model, name: str = "the model") -> None:
    """Raise InputError unless a model has one image input and one output of class scores."""
    shapes = networks.of(model).shapes(model)
    if [len(shape) for part in shapes for shape in part] != [4, 2] or None in (shapes[0][0][3], shapes[1][0][1]):
        raise InputError(
            f"{name} is no image classifier: expected one input (batch, height, width, channels) and one output "
            f"(batch, classes); got inputs {shapes[0]} and outputs {shapes[1]}."
        )


def require_classes(model, name: str, data: str, classes: int) -> None:
    """Raise InputError unless a classifier tells as many classes apart as a data set has."""
    require_several_classes(model, name)
    own = classes_of(model)
    if own != classes:
        raise InputError(
            f"{name} tells {own} classes apart, but {data} has {classes}: choose the data set that it was trained on."
        )


def require_several_classes(model, name: str) -> None:
    """Raise InputError if a classifier has one output alone."""
    if classes_of(model) == 1:
        raise InputError(f"{name} has one output: give it one for each class (two with softmax, not one with sigmoid).")


def input_shape(model, native: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the (height, width, channels) that a classifier takes, the data's own where it takes any."""
    own_shape = networks.of(model).shapes(model)[0][0][1:]
    return tuple(given if own is None else own for own, given in zip(own_shape, native))


def classes_of(model) -> int:
    """Return how many classes a classifier tells apart."""
    return networks.of(model).shapes(model)[1][0][1]


def gives_probabilities(model) -> bool:
    """Say whether a classifier's outputs are probabilities, and not logits.

    What its last layers are called would not tell: it is run on noise, and asked whether each output is at least 0 and each
    image's outputs sum to 1.
    """
    import numpy as np
    import tensorflow as tf

    height, width, channels = input_shape(model, (64, 64, 3))
    noise = np.random.default_rng(0).uniform(0, 255, (4, height, width, channels)).astype(np.float32)
    outputs = tf.cast(model(noise, training=False), tf.float32).numpy()
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-2))


def probabilities(model, outputs):
    """Return a classifier's outputs as probabilities [image, class], float32: softmax is applied where they are logits."""
    import tensorflow as tf

    outputs = tf.cast(outputs, tf.float32)
    return outputs if gives_probabilities(model) else tf.nn.softmax(outputs)
