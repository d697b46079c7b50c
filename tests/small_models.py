"""The small classifier that several tests train, prune and report on."""

from tfrecall import training


def small_classifier(shape, hidden, classes, seed=0, keras=None):
    """A compiled model of dense layers of `hidden` units, on raw pixels; the same weights for the same seed."""
    if keras is None:
        import tf_keras as keras

    training.seed_everything(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            *(layers.Dense(units, activation="relu", name=f"hidden{index}") for index, units in enumerate(hidden, start=1)),
            layers.Dense(classes, activation="softmax", name="last"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def small_digits():
    """Pixels [image, row, column] as bytes, and labels."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.round(digits.images * 15.9).astype(np.uint8), digits.target
