"""Backbones of keras.applications, as a user has them: trained a little, pruned, fine-tuned, saved and served."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfrecall
from tfrecall import datasets, models, pruning, weights

BACKBONES = {
    "MobileNetV3Small": keras.applications.MobileNetV3Small,  # squeeze-and-excitation, depthwise kernels, hard swish
    "ResNet50": keras.applications.ResNet50,  # 23.6 million parameters
}


@pytest.fixture(scope="module")
def digits():
    """A few of the digits, resized to the smallest images that the backbones take, in colour."""
    data = datasets.load("digits", image_shape=(32, 32, 3))
    return data.train.sample(96, seed=0)


@pytest.fixture(scope="module", params=BACKBONES)
def tuned(request, digits):
    """(the model, its weights right after pruning, the losses of fine-tuning by epoch)."""
    keras.utils.set_random_seed(0)
    model = BACKBONES[request.param](input_shape=(32, 32, 3), weights=None, classes=10)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(*digits, epochs=1, verbose=0)
    # By layer: trained this little, one ranking over all would prune the first convolution whole.
    assert tfrecall.prune(model, 0.8, "undecayed", digits, scope="layer") is model
    pruned = {path: weight.value for path, weight in weights.prunable(model).items()}
    history = model.fit(*digits, epochs=3, verbose=0)
    return model, pruned, history.history["loss"]


@pytest.mark.slow
def test_it_is_pruned_exactly_and_stays_so(tuned):
    model, pruned, losses = tuned
    total = weights.total_parameters(model)
    assert pruning.remaining_parameters(model) == total - round(0.8 * total)
    for path, weight in weights.prunable(model).items():
        np.testing.assert_array_equal(weight.value == 0, pruned[path] == 0)
        assert (weight.value != pruned[path]).any(), path
    assert not any("depthwise" in path for path in pruned)  # tfmot's registry leaves them alone
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_it_is_saved_and_served(tuned, digits, tmp_path):
    model, images = tuned[0], digits[0][:5]
    expected = model.predict(images, verbose=0)
    model.save(tmp_path / "backbone.keras")
    np.testing.assert_allclose(models.load(tmp_path / "backbone.keras").predict(images, verbose=0), expected, atol=1e-5)
    served = tf.saved_model.load(str(tfrecall.report.export(model, tmp_path / "served")))
    np.testing.assert_allclose(served(images)["probabilities"], expected, atol=1e-5)
