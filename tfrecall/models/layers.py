"""What the models share: the normalizing input, and weight decay as a regularizer that every Keras can load."""

from __future__ import annotations

from collections.abc import Sequence


def normalized_input(keras, input_shape, mean: Sequence[float] | None, variance: Sequence[float] | None):
    """Return (input tensor of raw pixels, the normalized tensor)."""
    images = keras.Input(input_shape, name="images")
    channels = input_shape[-1]
    normalization = keras.layers.Normalization(
        mean=[127.5] * channels if mean is None else [float(value) for value in mean],
        variance=[127.5**2] * channels if variance is None else [float(value) for value in variance],
        name="normalization",
    )
    return images, normalization(images)


def decay(keras, weight_decay: float, *names: str) -> dict:
    """Return the keyword arguments that put (ε/2)‖θ‖² on a layer's weights, such as ``kernel`` and ``bias``.

    It is Keras's own L2 with l2 = ε/2, so that the saved model loads where tfrecall is not installed.
    """
    return {f"{name}_regularizer": keras.regularizers.L2(weight_decay / 2) for name in names} if weight_decay else {}


def initializers(keras, initializer: str, fan_in: int) -> dict:
    """Return the keyword arguments that initialize a layer's kernel and bias.

    Parameters
    ----------
    keras : module
    initializer : {"keras", "pytorch"}
        ``"keras"`` leaves the layer's default (Glorot uniform, zero bias). ``"pytorch"`` is what ``torch.nn.Conv2d`` and
        ``torch.nn.Linear`` do: kernel and bias uniform in ±1/√fan_in.
    fan_in : int
        Inputs of one unit: input channels times the size of the kernel's window.
    """
    if initializer == "keras":
        return {}
    limit = fan_in**-0.5
    # One object a weight: an unseeded one that is used twice gives the same values twice.
    return {f"{name}_initializer": keras.initializers.RandomUniform(-limit, limit) for name in ("kernel", "bias")}


def conv_norm(keras, tensor, filters: int, *, strides: int = 1, bias: bool, weight_decay: float, name: str):
    """Apply a 3×3 convolution and batch normalization; no activation."""
    layers = keras.layers
    weights = ("kernel", "bias") if bias else ("kernel",)
    tensor = layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        use_bias=bias,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
        **decay(keras, weight_decay, *weights),
    )(tensor)
    # A momentum of 0.9 (Keras: 0.99) lets the statistics settle within the few hundred steps of a short training.
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm", **decay(keras, weight_decay, "gamma", "beta"))(
        tensor
    )


def classifier(keras, tensor, classes: int, weight_decay: float, initializer: str):
    """Apply the dense layer that gives the probabilities."""
    return keras.layers.Dense(
        classes,
        activation="softmax",
        dtype="float32",
        name="classifier",
        **decay(keras, weight_decay, "kernel", "bias"),
        **initializers(keras, initializer, tensor.shape[-1]),
    )(tensor)
