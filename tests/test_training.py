"""Recipes, strategies, and training that keeps the best epoch and stops at a loss that is not finite."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrecall import datasets, models, training
from tfrecall.errors import InputError, TrainingError
from tfrecall.training import Recipe, recipe


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", image_shape=(28, 28, 1))


BOTH = pytest.mark.parametrize("library", [tf_keras, keras])


def small_model(activation="softmax", library=tf_keras):
    library.utils.set_random_seed(0)
    layers = library.layers
    return library.Sequential(
        [library.Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10, activation=activation)]
    )


def test_the_paper_recipe_is_the_papers():
    lenet = recipe("paper", "lenet5")
    assert (lenet.optimizer, lenet.learning_rate, lenet.momentum, lenet.batch_size) == ("sgd", 0.01, 0.9, 128)
    assert (lenet.epochs, lenet.fine_tune_epochs, lenet.weight_decay, lenet.score_examples) == (30, 15, 0, 128)
    assert lenet.initializer == "pytorch"  # in which the paper's models were trained
    assert recipe("default", "lenet5").initializer == "keras"
    resnet = recipe("paper", "resnet56")
    assert (resnet.epochs, resnet.batch_size, resnet.weight_decay, resnet.learning_rate_schedule) == (60, 128, 5e-4, "step")


def test_every_value_of_a_recipe_can_be_overridden():
    changed = {
        "optimizer": "adam",
        "learning_rate": 0.5,
        "fine_tune_learning_rate": 0.25,
        "learning_rate_schedule": "step",
        "momentum": 0.1,
        "weight_decay": 0.125,
        "initializer": "pytorch",
        "batch_size": 7,
        "epochs": 3,
        "fine_tune_epochs": 2,
        "validation_fraction": 0.3,
        "score_examples": 11,
    }
    assert set(changed) == {field.name for field in dataclasses.fields(Recipe)}
    assert dataclasses.asdict(recipe("default", "lenet5", **changed)) == changed
    assert recipe("default", "lenet5", epochs=None) == recipe("default", "lenet5")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "sgdd"),
        ("learning_rate_schedule", "cosin"),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("momentum", 1),
        ("weight_decay", -1),
        ("batch_size", 0),
        ("epochs", 0),
        ("validation_fraction", 1),
    ],
)
def test_values_out_of_range_are_errors(name, value):
    with pytest.raises(InputError, match=name.split("_")[0]):
        recipe("default", **{name: value})


def test_an_unknown_recipe_is_answered_with_the_known():
    with pytest.raises(InputError, match="did you mean paper"):
        recipe("papers")


@pytest.mark.parametrize(
    ("schedule", "expected"), [("constant", [1, 1, 1]), ("cosine", [1, 0.5, 0]), ("step", [1, 0.1, 0.01])]
)
@BOTH
def test_the_learning_rate_follows_its_schedule(schedule, expected, library):
    chosen = recipe("default", learning_rate=1.0, learning_rate_schedule=schedule)
    model = training.compile_model(small_model(library=library), chosen, 100)
    rates = []
    for step in (0, 50 if schedule != "step" else 51, 100):
        model.optimizer.iterations.assign(step)
        rate = model.optimizer._learning_rate if schedule == "constant" else model.optimizer._learning_rate(step)
        rates.append(float(rate))
    np.testing.assert_allclose(rates, expected, atol=1e-6)


@BOTH
def test_momentum_is_nesterovs(library):
    model = training.compile_model(small_model(library=library), Recipe(), 10)
    assert model.optimizer.nesterov
    assert model.optimizer.momentum == 0.9


@pytest.mark.parametrize(("activation", "from_logits"), [("softmax", False), (None, True)])
@BOTH
def test_the_loss_knows_logits_from_probabilities(digits, activation, from_logits, library):
    model = training.compile_model(small_model(activation, library), Recipe(), 10)
    assert model.loss.get_config()["from_logits"] == from_logits
    probabilities = training.predict(model, digits.test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert probabilities.shape == (len(digits.test), 10)


@BOTH
def test_the_weights_of_the_epoch_with_the_lowest_validation_loss_are_left(digits, library):
    """A learning rate that grows until it ruins the model: the best epoch is neither the first nor the last."""
    model = small_model(library=library)
    model.compile(
        library.optimizers.SGD(library.optimizers.schedules.ExponentialDecay(0.003, 17, 5.0)),
        "sparse_categorical_crossentropy",
    )
    history = training.fit(model, digits.train, digits.validation, recipe("default"), epochs=8, seed=0)
    best = int(np.argmin(history["val_loss"]))
    assert 0 < best < 7
    loss = model.evaluate(digits.validation.batches(64), verbose=0)
    assert loss == pytest.approx(history["val_loss"][best], rel=1e-4)
    assert loss < history["val_loss"][-1] * 0.99


@BOTH
def test_a_loss_that_is_not_finite_ends_training_with_an_error(digits, library):
    model = models.build("lenet5", (28, 28, 1), 10, keras=library)
    training.compile_model(model, recipe("default", learning_rate=1e30), 100)
    with pytest.raises(TrainingError, match=r"the loss is .* at epoch 1, step \d+: lower the learning rate"):
        training.fit(model, digits.train, digits.validation, recipe("default"), epochs=2, seed=0)


@BOTH
def test_lines_print_one_plain_line_an_epoch(digits, capsys, library):
    model = training.compile_model(small_model(library=library), Recipe(), 10)
    training.fit(model, digits.train, digits.validation, Recipe(), epochs=3, seed=0, progress="lines")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    training.fit(model, digits.train, digits.validation, Recipe(), epochs=1, seed=0)
    assert capsys.readouterr().out == ""


@BOTH
def test_the_same_seed_trains_the_same_weights(digits, library):
    runs = []
    for _ in range(2):
        training.seed_everything(5)
        model = training.compile_model(models.build("lenet5", (28, 28, 1), 10, keras=library), Recipe(), 10)
        training.fit(model, digits.train, digits.validation, Recipe(), epochs=1, seed=5)
        runs.append(model.get_weights())
    for first, second in zip(*runs):
        np.testing.assert_array_equal(first, second)


def test_strategies_by_name():
    assert isinstance(training.strategy("cpu"), tf.distribute.OneDeviceStrategy)
    assert training.strategy("mirrored").num_replicas_in_sync == 2  # conftest's two logical devices
    with pytest.raises(InputError, match="did you mean mirrored"):
        training.strategy("miror")
    if not tf.config.list_logical_devices("GPU"):
        with pytest.raises(InputError, match="needs a GPU"):
            training.strategy("gpu")


def test_mirrored_training_averages_over_the_whole_batch(digits):
    """One step of two replicas moves the weights as one step of one device does."""
    results = []
    for name in ("cpu", "mirrored"):
        with training.strategy(name).scope():
            model = small_model()
            model.compile(tf_keras.optimizers.SGD(0.1), tf_keras.losses.SparseCategoricalCrossentropy())
        one_batch = digits.validation
        chosen = recipe("default", batch_size=len(one_batch))
        training.fit(model, one_batch, one_batch, chosen, epochs=1, seed=0)
        results.append(model.get_weights())
    for first, second in zip(*results):
        np.testing.assert_allclose(first, second, atol=1e-5)
