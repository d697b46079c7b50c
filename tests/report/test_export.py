"""Exported models answer as the Keras model does, in a Python that imports TensorFlow alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from tfrecall import models, pruning
from tfrecall.errors import InputError
from tfrecall.report.export import export

NAMES = ["T-shirt/top", "b é", "0", "class:3 (?)"]
SHAPE = (9, 9, 2)


def classifier(*head, seed=0):
    tf_keras.utils.set_random_seed(seed)
    stack = [
        layers.Input(SHAPE),
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation="relu", name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.Flatten(),
        layers.Dropout(0.5),
    ]
    model = tf_keras.Sequential([*stack, *(head or (layers.Dense(len(NAMES), "softmax", name="out"),))])
    model.get_layer("norm").moving_mean.assign([0.1, 0.2, -0.1, 0.05])
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            layer.kernel.assign(layer.kernel * 3)  # so that classes differ clearly
    return model


def keras3_classifier():
    keras.utils.set_random_seed(0)
    new = keras.layers
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            new.Rescaling(1 / 255),
            new.Conv2D(4, 3, activation="relu"),
            new.BatchNormalization(),
            new.Flatten(),
            new.Dropout(0.5),
            new.Dense(len(NAMES), "softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=1.0)),
        ]
    )


def subclassed():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.stem = keras.layers.Conv2D(4, 3, name="stem")
            self.flat = keras.layers.Flatten()
            self.out = keras.layers.Dense(4, name="out")

        def call(self, images):
            return self.out(self.flat(self.stem(images / 255)))

    model = Own()
    model(np.zeros((1, *SHAPE), np.float32))
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, *SHAPE), dtype=np.uint8)


def softmax(logits):
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


@pytest.fixture(scope="module", params=["tf_keras", "keras"])
def exported(request, tmp_path_factory, images):
    """A pruned model, trained with its masks held, exported while they still are."""
    model = pruning.prune(classifier() if request.param == "tf_keras" else keras3_classifier(), 0.05)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(images.astype(np.float32), np.arange(7) % 4, verbose=0, callbacks=[pruning.PruningCallback()])
    expected = model.predict(images.astype(np.float32), verbose=0)
    path = tmp_path_factory.mktemp("export") / "saved_model"
    assert export(model, path, class_names=NAMES) == path
    return path, expected


ELSEWHERE = """
import json, sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
images = np.load(folder + "/images.npy")
model = tf.saved_model.load(folder + "/saved_model")
answers = {}
for size in (1, 7):
    for kind in ("uint8", "float32"):
        answer = model(tf.constant(images[:size].astype(kind)))
        answers[f"{kind} {size}"] = answer["probabilities"].numpy().tolist()
default = model.signatures["serving_default"](images=tf.constant(images.astype("float32")))
by_name = model.signatures["by_name"](images=tf.constant(images.astype("float32")))
foreign = [n for n in sys.modules if n.split(".")[0] in ("tf_keras", "tensorflow_model_optimization", "tfrecall")]
assert not foreign, foreign[:5]
print(json.dumps({
    "answers": answers,
    "default": default["probabilities"].numpy().tolist(),
    "class_names": [name.decode() for name in default["class_names"].numpy()[-1]],
    "prediction": [name.decode() for name in default["prediction"].numpy()],
    "by_name": {name: values.numpy().tolist() for name, values in by_name.items()},
}))
"""


class TestSavedModel:
    def test_answers_in_a_python_with_tensorflow_alone(self, exported, images, tmp_path):
        path, expected = exported
        np.save(tmp_path / "images.npy", images)
        (tmp_path / "saved_model").symlink_to(path)
        result = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", ELSEWHERE, tmp_path],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            # tfmot sets this in our own environment; with it, TensorFlow imports tf_keras by itself.
            env={name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"},
            check=False,
        )
        assert result.returncode == 0, result.stderr[-2000:]
        answer = json.loads(result.stdout)
        for size in (1, 7):
            for kind in ("uint8", "float32"):
                np.testing.assert_allclose(answer["answers"][f"{kind} {size}"], expected[:size], atol=1e-6)
        np.testing.assert_allclose(answer["default"], expected, atol=1e-6)
        assert answer["class_names"] == NAMES
        assert answer["prediction"] == [NAMES[i] for i in expected.argmax(1)]
        assert len(set(answer["prediction"])) > 1
        assert set(answer["by_name"]) == set(NAMES)
        for i, name in enumerate(NAMES):
            np.testing.assert_allclose(answer["by_name"][name], expected[:, i], atol=1e-6, err_msg=name)

    def test_nothing_is_left_beside_it(self, exported):
        assert [file.name for file in exported[0].parent.iterdir()] == ["saved_model"]

    @pytest.mark.parametrize(
        "head",
        [
            lambda: [layers.Dense(4)],
            lambda: [layers.Dense(4), layers.Activation("linear")],
            lambda: [layers.Dense(4, "relu")],
            lambda: [layers.Dense(4), layers.Reshape((4,))],
        ],
    )
    def test_logits_get_a_softmax(self, head, images, tmp_path):
        model = classifier(*head())
        logits = model.predict(images.astype(np.float32), verbose=0)
        answer = tf.saved_model.load(str(export(model, tmp_path / "m")))(images)
        np.testing.assert_allclose(answer["probabilities"], softmax(logits), atol=1e-6)
        assert [name.decode() for name in answer["class_names"].numpy()[0]] == ["0", "1", "2", "3"]

    @pytest.mark.parametrize(
        "head",
        [
            lambda: [layers.Dense(4, "softmax")],
            lambda: [layers.Dense(4), layers.Softmax()],
            lambda: [layers.Dense(4), layers.Activation("softmax"), layers.Activation("linear", dtype="float32")],
            lambda: [layers.Dense(4, "softmax"), layers.Reshape((4,))],
            lambda: [layers.Dense(4, "softmax"), layers.Dropout(0.5)],
            lambda: [layers.Dense(4), layers.Lambda(tf.nn.softmax)],
            lambda: [tf_keras.Sequential([layers.Input((196,)), layers.Dense(4), layers.Softmax()])],
        ],
    )
    def test_probabilities_get_no_second_softmax(self, head, images):
        model = classifier(*head())
        expected = model.predict(images.astype(np.float32), verbose=0)
        np.testing.assert_allclose(expected.sum(1), 1, atol=1e-5)
        assert models.gives_probabilities(model)
        np.testing.assert_allclose(models.probabilities(model, expected), expected, atol=1e-6)

    def test_wrapped_models_are_seen_through(self, images):
        wrapped = pruning.prune(classifier(), 0.5, include_classifier=True)
        assert models.gives_probabilities(wrapped)
        assert not models.gives_probabilities(pruning.prune(classifier(layers.Dense(4)), 0.5, include_classifier=True))

    def test_mixed_precision_answers_in_float32(self, images, tmp_path):
        tf_keras.mixed_precision.set_global_policy("mixed_float16")
        try:
            model = classifier(layers.Dense(4))
        finally:
            tf_keras.mixed_precision.set_global_policy("float32")
        answer = tf.saved_model.load(str(export(model, tmp_path / "m")))(images)["probabilities"]
        assert answer.dtype == tf.float32
        np.testing.assert_allclose(
            answer, softmax(model.predict(images.astype(np.float32), verbose=0).astype(np.float32)), atol=2e-3
        )


class TestKeras3:
    @pytest.mark.parametrize("make", [subclassed, keras3_classifier])
    @pytest.mark.parametrize("form", ["savedmodel", "tflite"])
    def test_answers_as_the_model_does_and_leaves_its_masks(self, make, form, images, tmp_path):
        model = pruning.prune(make(), 0.05)
        expected = models.probabilities(model, model.predict(images.astype(np.float32), verbose=0)).numpy()
        np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
        path = export(model, tmp_path / "m", format=form, class_names=NAMES)
        if form == "savedmodel":
            answer = tf.saved_model.load(str(path))(images)
            np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
            assert [name.decode() for name in answer["class_names"].numpy()[0]] == NAMES
        else:
            runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
            np.testing.assert_allclose(runner(images=images.astype(np.float32))["probabilities"], expected, atol=1e-5)
        assert pruning.keras3.is_prepared(model)

    def test_what_was_never_called_is_no_image_classifier(self, tmp_path):
        model = keras.Sequential([keras.layers.Dense(3)])
        with pytest.raises(InputError, match="image classifier"):
            export(model, tmp_path / "m")


class TestTFLite:
    def test_agrees_with_keras(self, images, tmp_path):
        model = classifier(layers.Dense(len(NAMES)))
        expected = softmax(model.predict(images.astype(np.float32), verbose=0))
        path = export(model, tmp_path / "model.tflite", format="tflite", class_names=NAMES)
        interpreter = tf.lite.Interpreter(model_path=str(path))
        (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
        for size in (1, 7):
            interpreter.resize_tensor_input(given["index"], [size, *SHAPE])
            interpreter.allocate_tensors()
            interpreter.set_tensor(given["index"], images[:size].astype(np.float32))
            interpreter.invoke()
            np.testing.assert_allclose(interpreter.get_tensor(returned["index"]), expected[:size], atol=1e-5)
        assert (tmp_path / "model.labels.txt").read_text(encoding="utf-8").splitlines() == NAMES
        assert {file.name for file in tmp_path.iterdir()} == {"model.tflite", "model.labels.txt"}

    def test_signature_names(self, tmp_path):
        path = export(classifier(), tmp_path / "model.tflite", format="tflite")
        runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
        assert list(runner.get_input_details()) == ["images"]
        assert list(runner.get_output_details()) == ["probabilities"]


class TestRefusals:
    def test_what_exists(self, tmp_path):
        path = tmp_path / "there"
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
        for overwrite in (False, True):  # even then: it replaces exports, not a folder of something else
            with pytest.raises(InputError, match="there"):
                export(classifier(), path, overwrite=overwrite)
        assert (path / "thesis.txt").read_text() == "mine"
        file = tmp_path / "model.tflite"
        file.write_bytes(b"old")
        with pytest.raises(InputError, match="exists already"):
            export(classifier(), file, format="tflite")
        assert file.read_bytes() == b"old"

    def test_overwrites_when_told(self, images, tmp_path):
        path = tmp_path / "m"
        export(classifier(seed=0), path)
        (path / "left over").write_text("from the old one")
        other = classifier(seed=1)
        export(other, path, overwrite=True)
        answer = tf.saved_model.load(str(path))(images)["probabilities"]
        np.testing.assert_allclose(answer, other.predict(images.astype(np.float32), verbose=0), atol=1e-6)
        assert not (path / "left over").exists()
        assert [file.name for file in tmp_path.iterdir()] == ["m"]

    @pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c", "c"], ["a"] * 4, list("abcde"), []])
    def test_class_names_that_do_not_fit(self, names, tmp_path):
        with pytest.raises(InputError, match="4 different class names"):
            export(classifier(), tmp_path / "m", class_names=names)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "make",
        [
            lambda: tf_keras.Sequential([layers.Input((4,)), layers.Dense(3)]),
            lambda: tf_keras.Sequential([layers.Input(SHAPE), layers.Conv2D(3, 1)]),
            lambda: tf_keras.Sequential([layers.Dense(3)]),
            lambda: (lambda x: tf_keras.Model(x, [layers.Flatten()(x), layers.Flatten()(x)]))(layers.Input(SHAPE)),
        ],
        ids=["no images", "image to image", "not built", "two outputs"],
    )
    def test_what_is_no_image_classifier(self, make, tmp_path):
        with pytest.raises(InputError, match="image classifier"):
            export(make(), tmp_path / "m")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("library", [keras, tf_keras])
    def test_a_softmax_of_one_unit(self, library, tmp_path):
        layers = library.layers
        model = library.Sequential([layers.Input(SHAPE), layers.Flatten(), layers.Dense(1, "softmax")])
        with pytest.raises(InputError, match="softmax of one unit, which is always 1"):
            export(model, tmp_path / "m")
        assert not list(tmp_path.iterdir())

    def test_unknown_format(self, tmp_path):
        with pytest.raises(InputError, match=r"unknown export format 'tflight'.*tflite"):
            export(classifier(), tmp_path / "m", format="tflight")


class TestNothingHalfWritten:
    @staticmethod
    def unsavable():
        # A resource that nobody tracks.
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([0, 1], [1.0, 2.0]), 0.0)
        return classifier(layers.Dense(4), layers.Lambda(lambda x: x * table.lookup(tf.constant(1))))

    @staticmethod
    def inconvertible():
        return classifier(layers.Dense(4), layers.Lambda(lambda x: tf.math.betainc(tf.abs(x) + 1, 1.0 + x * 0, x * 0 + 0.5)))

    def test_saved_model(self, tmp_path):
        with pytest.raises(Exception, match="untracked"):
            export(self.unsavable(), tmp_path / "m")
        assert not list(tmp_path.iterdir())

    def test_what_was_there_stays(self, images, tmp_path):
        model = classifier()
        export(model, tmp_path / "m")
        with pytest.raises(Exception, match="untracked"):
            export(self.unsavable(), tmp_path / "m", overwrite=True)
        answer = tf.saved_model.load(str(tmp_path / "m"))(images)["probabilities"]
        np.testing.assert_allclose(answer, model.predict(images.astype(np.float32), verbose=0), atol=1e-6)
        assert [file.name for file in tmp_path.iterdir()] == ["m"]

    def test_tflite(self, tmp_path):
        with pytest.raises(Exception, match="Betainc"):
            export(self.inconvertible(), tmp_path / "model.tflite", format="tflite", head="logits")
        assert not list(tmp_path.iterdir())
