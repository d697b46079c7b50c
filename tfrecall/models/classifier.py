"""What the rest of the library asks of a model: that it is an image classifier, and its probabilities."""

from __future__ import annotations

from tfrecall import networks
from tfrecall.errors import InputError
from tfrecall.models.heads import head_of


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
    own = classes_of(model)
    if own != classes:
        raise InputError(
            f"{name} tells {own} classes apart, but {data} has {classes}: choose the data set that it was trained on."
        )


def input_shape(model, native: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the (height, width, channels) that a classifier takes, the data's own where it takes any."""
    own_shape = networks.of(model).shapes(model)[0][0][1:]
    return tuple(given if own is None else own for own, given in zip(own_shape, native))


def classes_of(model) -> int:
    """Return how many classes a classifier tells apart: one output tells two."""
    return max(2, networks.of(model).shapes(model)[1][0][1])


def gives_probabilities(model) -> bool:
    """Say whether a classifier's outputs are probabilities, and not logits."""
    return head_of(model).gives_probabilities


def probabilities(model, outputs):
    """Return a classifier's outputs as probabilities [image, class], float32: a softmax or sigmoid is applied to logits."""
    return head_of(model).probabilities(outputs)
