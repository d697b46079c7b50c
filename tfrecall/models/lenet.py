"""LeNet-5 (LeCun et al., Proceedings of the IEEE, 1998), in today's form: ReLU, max pooling, softmax."""

from __future__ import annotations

from tfrecall.models.layers import classifier, decay, initializers, normalized_input


def lenet5(
    input_shape, classes: int, *, mean=None, variance=None, weight_decay: float = 0.0, initializer: str = "keras", keras
):
    """Build LeNet-5 for 28×28 images, padded to the 32×32 of the publication: 61,706 parameters on grey images.

    See `tfrecall.models.build` for the arguments.
    """
    layers = keras.layers

    def common(fan_in: int) -> dict:
        weights = {**decay(keras, weight_decay, "kernel", "bias"), **initializers(keras, initializer, fan_in)}
        return {"activation": "relu", **weights}

    images, tensor = normalized_input(keras, input_shape, mean, variance)
    tensor = layers.Conv2D(6, 5, padding="same", name="conv1", **common(25 * input_shape[-1]))(tensor)
    tensor = layers.MaxPooling2D(name="pool1")(tensor)
    tensor = layers.Conv2D(16, 5, name="conv2", **common(25 * 6))(tensor)
    tensor = layers.MaxPooling2D(name="pool2")(tensor)
    tensor = layers.Flatten(name="flatten")(tensor)
    tensor = layers.Dense(120, name="dense1", **common(tensor.shape[-1]))(tensor)
    tensor = layers.Dense(84, name="dense2", **common(120))(tensor)
    return keras.Model(images, classifier(keras, tensor, classes, weight_decay, initializer), name="lenet5")
