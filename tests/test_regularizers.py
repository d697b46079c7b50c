"""Weight decay as a regularizer: its value, its gradient, and its way through Keras's file formats."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from tfrecall.errors import InputError
from tfrecall.regularizers import UndecayedL2, decay

THETA = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def test_value_and_gradient_are_the_papers():
    """(ε/2)‖θ‖², whose gradient is εθ."""
    theta = tf.Variable(THETA)
    with tf.GradientTape() as tape:
        value = UndecayedL2(0.3)(theta)
    np.testing.assert_allclose(value, 0.15 * np.linalg.norm(THETA.astype(np.float64)) ** 2, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(value, theta), 0.3 * THETA, rtol=1e-6)


def test_is_keras_l2_of_half_the_coefficient():
    np.testing.assert_allclose(UndecayedL2(0.3)(THETA), tf_keras.regularizers.L2(0.15)(THETA), rtol=1e-6)


def test_descent_on_it_is_the_optimizers_weight_decay():
    """One SGD step with the regularizer alone, and one with weight_decay alone, leave the same weights."""
    results = []
    for regularizer, optimizer_decay in ((UndecayedL2(0.3), None), (None, 0.3)):
        model = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, use_bias=False, kernel_regularizer=regularizer)])
        model.set_weights([THETA])
        model.compile(tf_keras.optimizers.SGD(0.1, weight_decay=optimizer_decay), "mse")
        model.train_on_batch(np.ones((2, 4), np.float32), np.zeros((2, 3), np.float32))
        results.append(model.get_weights()[0])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_float16_weights_keep_their_type():
    assert UndecayedL2(0.3)(tf.constant(THETA, tf.float16)).dtype == tf.float16


def test_config_round_trip():
    again = UndecayedL2.from_config(UndecayedL2(5e-4).get_config())
    assert again.weight_decay == 5e-4
    serialized = tf_keras.regularizers.serialize(UndecayedL2(5e-4))
    assert tf_keras.regularizers.deserialize(serialized).weight_decay == 5e-4


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "saved_model"])
def test_saved_models_keep_it(tmp_path, name):
    model = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, kernel_regularizer=UndecayedL2(0.3), name="d")])
    model.save(tmp_path / name)
    loaded = tf_keras.models.load_model(tmp_path / name)
    regularizer = loaded.get_layer("d").kernel_regularizer
    assert isinstance(regularizer, UndecayedL2)
    assert regularizer.weight_decay == 0.3
    np.testing.assert_allclose(tf.add_n(loaded.losses), tf.add_n(model.losses), rtol=1e-6)


def test_cloned_models_keep_it():
    model = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, kernel_regularizer=UndecayedL2(0.3), name="d")])
    assert tf_keras.models.clone_model(model).get_layer("d").kernel_regularizer.weight_decay == 0.3


@pytest.mark.parametrize("bad", [-1e-4, float("nan"), float("inf")])
def test_bad_coefficients(bad):
    with pytest.raises(InputError, match="weight_decay"):
        UndecayedL2(bad)


@pytest.mark.parametrize(
    ("regularizer", "epsilon"),
    [
        (UndecayedL2(0.3), 0.3),
        (tf_keras.regularizers.L2(0.3), 0.6),
        (tf_keras.regularizers.L1L2(0.1, 0.3), 0.6),
        (tf_keras.regularizers.L1(0.3), 0.0),
        (tf_keras.regularizers.OrthogonalRegularizer(0.3), 0.0),
        (None, 0.0),
    ],
)
def test_decay_is_the_gradients_share_of_theta(regularizer, epsilon):
    assert decay(regularizer) == pytest.approx(epsilon)
    if epsilon:
        theta = tf.Variable(THETA)
        with tf.GradientTape() as tape:
            value = regularizer(theta)
        gradient = tape.gradient(value, theta) - getattr(regularizer, "l1", 0.0) * tf.sign(theta)
        np.testing.assert_allclose(gradient, decay(regularizer) * THETA, rtol=1e-5)
