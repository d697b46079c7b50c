"""Classifiers whose last layer is no softmax, through the work of every command: loss, predictions, report and files."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn import metrics
from small_models import small_digits

from tfrecall import comparison, experiment, models, training
from tfrecall.errors import InputError
from tfrecall.experiment import Settings
from tfrecall.training import Recipe

RECIPE = Recipe(optimizer="adam", batch_size=64, score_examples=200, fine_tune_epochs=2, fine_tune_learning_rate=0.003)
BOTH = pytest.mark.parametrize("library", [tf_keras, keras])


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Digits of ten classes, and of two: 5 and above."""
    folder = tmp_path_factory.mktemp("shelf")
    x, y = small_digits()
    for name, labels in (("ten", y), ("two", (y >= 5).astype(int))):
        np.savez(folder / f"{name}.npz", x_train=x[:900], y_train=labels[:900], x_test=x[900:], y_test=labels[900:])
    return folder


def saved(shelf, library, classes, units, activation, loss):
    """A model that its user trained with a loss of his own, saved with it."""
    path = shelf / f"{library.__name__}-{classes}-{units}-{activation}.keras"
    if not path.exists():
        library.utils.set_random_seed(0)
        layers = library.layers
        model = library.Sequential(
            [
                library.Input((8, 8, 1)),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(32, "relu"),
                layers.Dense(units, activation),
            ]
        )
        model.compile(library.optimizers.Adam(0.01), "binary_crossentropy" if loss == "mse" else loss)
        with np.load(shelf / f"{classes}.npz") as data:
            x, y = data["x_train"][..., None].astype(np.float32), data["y_train"]
        model.fit(x, y if units == 1 else np.eye(units)[y], epochs=8, verbose=0)
        if loss == "mse":  # a file that does not say with which loss it was trained
            model.compile(loss=loss)
        model.save(path)
    return path


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


@pytest.mark.parametrize(
    ("library", "classes", "units", "activation", "from_logits"),
    [
        (keras, "ten", 10, "sigmoid", False),
        (tf_keras, "ten", 10, None, True),
        (tf_keras, "two", 1, "sigmoid", False),
        (keras, "two", 1, None, True),
    ],
)
def test_pruning_a_file(shelf, library, classes, units, activation, from_logits, tmp_path):
    loss = library.losses.BinaryCrossentropy(from_logits=from_logits)
    path = saved(shelf, library, classes, units, activation, loss)
    data = shelf / f"{classes}.npz"
    settings = Settings(model=str(path), dataset=str(data), ratio=0.5, algorithm="gradient", recipe=RECIPE)
    report = experiment.run(settings, tmp_path / "run")
    with np.load(data) as arrays:
        x, y = arrays["x_test"][..., None].astype(np.float32), arrays["y_test"]

    def own_classes(model):
        outputs = model.predict(x, verbose=0)
        return outputs.argmax(axis=1) if units > 1 else (outputs[:, 0] > (0.0 if from_logits else 0.5)).astype(int)

    for side, file in (("before", path), ("after", tmp_path / "run" / "pruned.keras")):
        model = library.models.load_model(file)  # compiled, without tfrecall's help
        predicted = own_classes(model)
        assert report[side]["accuracy"] == pytest.approx(metrics.accuracy_score(y, predicted))
        recalls = [row[f"recall_{side}"] for row in report["classes"]]
        assert recalls == pytest.approx(metrics.recall_score(y, predicted, average=None).tolist())
    assert type(model.loss).__name__ == "BinaryCrossentropy"
    assert model.loss.get_config()["from_logits"] == from_logits
    assert report["before"]["accuracy"] > 0.85
    assert report["after"]["accuracy"] > 0.8

    served = tf.saved_model.load(str(tmp_path / "run" / "saved_model"))(x)
    outputs = model.predict(x, verbose=0)
    expected = sigmoid(outputs) if from_logits else outputs
    expected = expected if units > 1 else np.hstack([1 - expected, expected])
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
    assert [int(name) for name in served["prediction"].numpy()] == own_classes(model).tolist()

    again = comparison.evaluate(tmp_path / "run" / "pruned.keras", str(data))
    assert again["accuracy"] == pytest.approx(report["after"]["accuracy"])
    assert len(again["classes"]) == len(report["classes"]) == (10 if classes == "ten" else 2)
    compared = comparison.compare(path, tmp_path / "run" / "pruned.keras", dataset=str(data), resamples=200)
    assert compared["classes"] == report["classes"]


@BOTH
def test_fine_tuning_lowers_the_loss_with_which_the_user_trained(shelf, library):
    """Binary cross-entropy on one-hot labels, as the user's own compile had it; computed here by NumPy."""
    path = saved(shelf, library, "ten", 10, "sigmoid", "binary_crossentropy")
    settings = Settings(model=str(path), dataset=str(shelf / "ten.npz"), recipe=RECIPE)
    data, model, scope = experiment.start(settings)
    with scope.scope():
        training.compile_model(model, RECIPE, 1)
    x, y = data.train.sample(2000, 0)
    own = np.eye(10)[y]

    def binary_cross_entropy():
        p = np.clip(model.predict(x, verbose=0).astype(np.float64), 1e-7, 1 - 1e-7)
        return -(own * np.log(p) + (1 - own) * np.log(1 - p)).mean()

    before = binary_cross_entropy()
    evaluated = model.evaluate(x, own, verbose=0)
    assert evaluated[0] == pytest.approx(before, rel=1e-3)
    history = training.fit(model, data.train, data.validation, RECIPE, epochs=2, seed=0)
    assert binary_cross_entropy() < before
    assert history["val_accuracy"][-1] > 0.85


def test_a_head_that_is_not_clear_is_asked_for_and_taken(shelf, tmp_path):
    path = saved(shelf, keras, "ten", 10, "hard_sigmoid", "mse")
    data = str(shelf / "ten.npz")
    with pytest.raises(InputError, match=r"not clear.*--head"):
        comparison.evaluate(path, data)
    assert comparison.evaluate(path, data, head="sigmoid")["accuracy"] > 0.6
    settings = Settings(model=str(path), dataset=data, recipe=RECIPE)
    with pytest.raises(InputError, match=r"not clear.*--head"):
        experiment.run(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    named = Settings(model=str(path), dataset=data, recipe=RECIPE, head="sigmoid")
    report = experiment.run(named, tmp_path / "run")
    loaded = keras.models.load_model(tmp_path / "run" / "pruned.keras")
    assert report["after"]["accuracy"] > 0.6
    assert models.head_of(loaded).kind == "sigmoid"  # its own loss says it now


def test_a_head_is_for_saved_models():
    with pytest.raises(InputError, match="for a saved model; lenet5"):
        Settings(head="softmax")
    with pytest.raises(InputError, match="did you mean sigmoid"):
        Settings(head="sigmod")
    with pytest.raises(InputError, match="both sides are files of predictions"):
        comparison.compare("a.csv", "b.csv", head="sigmoid")


def test_the_commands_take_a_head(shelf, tmp_path):
    path = saved(shelf, keras, "ten", 10, "hard_sigmoid", "mse")
    data = str(shelf / "ten.npz")

    def answer(*arguments):
        command = [sys.executable, "-c", "from tfrecall.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    refused = answer("export", path, "--output", tmp_path / "m")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "--head" in refused.stderr
    both = answer("report", path, path, "--dataset", data, "--head", "sigmoid", "--resamples", "200", "--format", "json")
    assert both.returncode == 0, both.stderr
