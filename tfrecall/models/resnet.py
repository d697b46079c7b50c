"""The residual networks for CIFAR (He et al., CVPR 2016, section 4.2): 6n + 2 layers, stages of 16, 32, 64 filters."""

from __future__ import annotations

from functools import partial

from tfrecall.models.layers import classifier, conv_norm, normalized_input


def resnet(
    depth: int,
    input_shape,
    classes: int,
    *,
    mean=None,
    variance=None,
    weight_decay: float = 0.0,
    initializer: str = "keras",
    keras,
):
    """Build a ResNet of 6n + 2 layers with parameter-free shortcuts (the publication's option A).

    See `tfrecall.models.build` for the other arguments.
    """
    layers = keras.layers
    norm = partial(conv_norm, keras, bias=False, weight_decay=weight_decay)
    images, tensor = normalized_input(keras, input_shape, mean, variance)
    tensor = layers.ReLU(name="stem_relu")(norm(tensor, 16, name="stem"))
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range(1, (depth - 2) // 6 + 1):
            name = f"stage{stage}_block{block}"
            halve = stage > 1 and block == 1
            shortcut = _halved(keras, tensor, name) if halve else tensor
            tensor = layers.ReLU(name=f"{name}_a_relu")(norm(tensor, filters, strides=1 + halve, name=f"{name}_a"))
            tensor = layers.Add(name=f"{name}_add")([norm(tensor, filters, name=f"{name}_b"), shortcut])
            tensor = layers.ReLU(name=f"{name}_relu")(tensor)
    tensor = layers.GlobalAveragePooling2D(name="pool")(tensor)
    return keras.Model(images, classifier(keras, tensor, classes, weight_decay, initializer), name=f"resnet{depth}")


def _halved(keras, tensor, name: str):
    """Take every second pixel and double the channels with zeros, in layers that any Keras loads without custom code."""
    layers = keras.layers
    pixels = layers.MaxPooling2D(1, strides=2, name=f"{name}_skip")(tensor)
    zeros = layers.Rescaling(0.0, name=f"{name}_zeros")(pixels)
    return layers.Concatenate(name=f"{name}_pad")([pixels, zeros])


resnet20 = partial(resnet, 20)
resnet32 = partial(resnet, 32)
resnet44 = partial(resnet, 44)
resnet56 = partial(resnet, 56)
resnet110 = partial(resnet, 110)
