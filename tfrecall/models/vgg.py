"""VGG-16 (Simonyan & Zisserman, ICLR 2015, configuration D) with batch normalization and one dense classifier."""

from __future__ import annotations

from tfrecall.models.layers import classifier, conv_norm, normalized_input

_FILTERS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg16(
    input_shape, classes: int, *, mean=None, variance=None, weight_decay: float = 0.0, initializer: str = "keras", keras
):
    """Build VGG-16 for images of 28 to 224 pixels: 14,728,266 parameters on colour images with 10 classes.

    Global average pooling ends the convolutions, so that the classifier does not depend on the image size. See
    `tfrecall.models.build` for the arguments.
    """
    layers = keras.layers
    images, tensor = normalized_input(keras, input_shape, mean, variance)
    for block, widths in enumerate(_FILTERS, start=1):
        for index, filters in enumerate(widths, start=1):
            name = f"block{block}_{index}"
            tensor = conv_norm(keras, tensor, filters, bias=True, weight_decay=weight_decay, name=name)
            tensor = layers.ReLU(name=f"{name}_relu")(tensor)
        tensor = layers.MaxPooling2D(padding="same", name=f"block{block}_pool")(tensor)
    tensor = layers.GlobalAveragePooling2D(name="pool")(tensor)
    return keras.Model(images, classifier(keras, tensor, classes, weight_decay, initializer), name="vgg16")
