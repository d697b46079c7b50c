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

from tfrecall import datasets, models, pruning, training
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


def small(library, *last, before=(), shape=SHAPE):
    library.utils.set_random_seed(0)
    new = library.layers
    scaled = [library.Input(shape), *before, new.Rescaling(1 / 255)]
    return library.Sequential([*scaled, new.Conv2D(4, 3), new.GlobalMaxPooling2D(), *last])


def answers_of(path, images, form):
    """Probabilities by the program that will read the file."""
    if form == "tflite":
        runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
        return runner(images=images.astype(np.float32))["probabilities"]
    default = tf.saved_model.load(str(path)).signatures["serving_default"]
    return default(images=tf.constant(images.astype(np.float32)))["probabilities"].numpy()


EACH = pytest.mark.parametrize("library", [keras, tf_keras])
FORM = pytest.mark.parametrize("form", ["savedmodel", "tflite"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


class TestHeads:
    @EACH
    @FORM
    @pytest.mark.parametrize(
        ("units", "activation", "loss", "expected"),
        [
            (4, "sigmoid", None, lambda own: own),
            (4, None, "binary", sigmoid),
            (1, "sigmoid", None, lambda own: np.hstack([1 - own, own])),
            (1, None, "binary", lambda own: np.hstack([1 - sigmoid(own), sigmoid(own)])),
        ],
    )
    def test_probabilities_are_those_of_the_sigmoids(
        self, units, activation, loss, expected, form, library, images, tmp_path
    ):
        model = small(library, library.layers.Dense(units, activation, kernel_initializer="random_normal"))
        if loss:
            model.compile(loss=library.losses.BinaryCrossentropy(from_logits=True))
        probabilities = expected(model.predict(images.astype(np.float32), verbose=0))
        path = export(model, tmp_path / "m", format=form)
        np.testing.assert_allclose(answers_of(path, images, form), probabilities, atol=1e-5)

    @EACH
    def test_the_prediction_is_the_highest_score_where_float32_rounds_all_to_1(self, library, images, tmp_path):
        dense = library.layers.Dense(3, kernel_initializer="zeros")
        model = small(library, dense)
        dense.bias.assign([25.0, 18.0, 30.0])
        path = export(model, tmp_path / "m", class_names=["a", "b", "c"], head="sigmoid-logits")
        answer = tf.saved_model.load(str(path))(images)
        assert set(answer["prediction"].numpy()) == {b"c"}

    @EACH
    def test_one_output_predicts_two_classes_by_name(self, library, images, tmp_path):
        dense = library.layers.Dense(1, "sigmoid")
        model = small(library, dense)
        own = model.predict(images.astype(np.float32), verbose=0)[:, 0]
        dense.bias.assign([-np.sort(np.log(own / (1 - own)))[2:4].mean()])  # so that both are predicted
        own = model.predict(images.astype(np.float32), verbose=0)[:, 0]
        path = export(model, tmp_path / "m", class_names=["cat", "dog"])
        loaded = tf.saved_model.load(str(path))
        predicted = loaded(images)["prediction"].numpy().tolist()
        assert predicted == [b"dog" if p > 0.5 else b"cat" for p in own]
        assert len(set(predicted)) == 2
        by_name = loaded.signatures["by_name"](images=tf.constant(images.astype(np.float32)))
        np.testing.assert_allclose(by_name["dog"], own, atol=1e-6)


@keras.saving.register_keras_serializable("tests")
class OwnNoise(keras.layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.generator = keras.random.SeedGenerator(3)

    def call(self, images, training=False):
        return images + keras.random.normal(tf.shape(images), seed=self.generator) if training else images


class TestRandomLayers:
    @FORM
    @pytest.mark.parametrize(
        ("library", "names"),
        [
            (library, names)
            for library in (keras, tf_keras)
            for names in ("RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast", "GaussianNoise Dropout")
        ]
        + [(keras, "own")],
    )
    def test_do_nothing_when_served(self, library, names, form, images, tmp_path):
        shape = (9, 9, 3)
        new = library.layers
        options = {"RandomFlip": (), "RandomTranslation": (0.2, 0.2)}
        before = [OwnNoise() if name == "own" else getattr(new, name)(*options.get(name, (0.2,))) for name in names.split()]
        model = small(library, new.Dense(3, "softmax"), before=before, shape=shape)
        pixels = np.concatenate([images, images[..., :1]], axis=-1)
        path = export(model, tmp_path / "m", format=form)
        expected = model.predict(pixels.astype(np.float32), verbose=0)
        np.testing.assert_allclose(answers_of(path, pixels, form), expected, atol=1e-5)
        np.testing.assert_allclose(answers_of(path, pixels, form), expected, atol=1e-5)


class TestMixedPrecision:
    @EACH
    @FORM
    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_is_converted_in_float32_and_stays_mixed(self, policy, form, library, images, tmp_path):
        mixed = library.mixed_precision
        mixed.set_global_policy(policy)
        try:
            new = library.layers
            inner = library.Sequential([library.Input((4,)), new.Dense(8, "gelu"), new.LayerNormalization()])
            model = small(library, inner, new.Dense(3, "softmax"))
        finally:
            mixed.set_global_policy("float32")
        own = np.asarray(tf.cast(model.predict(images.astype(np.float32), verbose=0), tf.float32))
        policies = [layer.compute_dtype for layer in model.layers]
        path = export(model, tmp_path / "m", format=form)
        np.testing.assert_allclose(answers_of(path, images, form), own, atol=2e-3 if policy == "mixed_float16" else 2e-2)
        assert [layer.compute_dtype for layer in model.layers] == policies
        assert policies[-1] != "float32"
        again = np.asarray(tf.cast(model.predict(images.astype(np.float32), verbose=0), tf.float32))
        np.testing.assert_array_equal(again, own)
        if form == "tflite":  # what it computes is the model in float32
            library.utils.set_random_seed(0)
            new = library.layers
            inner = library.Sequential([library.Input((4,)), new.Dense(8, "gelu"), new.LayerNormalization()])
            plain = small(library, inner, new.Dense(3, "softmax"))
            plain.set_weights(model.get_weights())
            expected = plain.predict(images.astype(np.float32), verbose=0)
            np.testing.assert_allclose(answers_of(path, images, form), expected, atol=1e-5)


@pytest.fixture(scope="module", params=[(7, 7), (9, 9), (14, 11)])
def native(request, tmp_path_factory):
    """Images as bytes in their own size, and the data set of them."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, *request.param, 3), dtype=np.uint8)
    labels = np.arange(12) % 3
    path = tmp_path_factory.mktemp("native") / "data.npz"
    np.savez(path, x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    return pixels, path


class TestSizes:
    @EACH
    def test_a_saved_model_resizes_as_for_training(self, library, native, tmp_path):
        pixels, data = native
        model = small(library, library.layers.Dense(3, "softmax", kernel_initializer="random_normal"), shape=(9, 9, 3))
        dataset = datasets.load(data, image_shape=(9, 9, 3), validation_fraction=0.5)
        expected = training.predict(model, dataset.test)
        path = export(model, tmp_path / "m")
        np.testing.assert_array_equal(answers_of(path, pixels, "savedmodel"), expected)
        np.testing.assert_array_equal(tf.saved_model.load(str(path))(pixels)["probabilities"], expected)
        if pixels.shape[1] != 9:  # or this test could not fail
            assert np.abs(model.predict(pixels.astype(np.float32), verbose=0) - expected).max() > 1e-3

    def test_fractions_are_not_rounded(self, native, tmp_path):
        pixels = (native[0] / 255).astype(np.float32)
        model = small(keras, keras.layers.Dense(3, "softmax"), before=[keras.layers.Rescaling(255.0)], shape=(9, 9, 3))
        resized = tf.image.resize(pixels, (9, 9), antialias=True).numpy()
        path = export(model, tmp_path / "m")
        expected = model.predict(resized, verbose=0)
        np.testing.assert_allclose(answers_of(path, pixels, "savedmodel"), expected, atol=1e-6)
        black_and_white = np.round(pixels)
        resized = tf.image.resize(black_and_white, (9, 9), antialias=True).numpy()
        expected = model.predict(resized, verbose=0)
        np.testing.assert_allclose(answers_of(path, black_and_white, "savedmodel"), expected, atol=1e-6)

    @EACH
    def test_tflite_refuses_another_size(self, library, native, tmp_path):
        pixels, _ = native
        model = small(library, library.layers.Dense(3, "softmax"), shape=(9, 9, 3))
        path = export(model, tmp_path / "m", format="tflite")
        if pixels.shape[1] == 9:
            expected = model.predict(pixels.astype(np.float32), verbose=0)
            np.testing.assert_allclose(answers_of(path, pixels, "tflite"), expected, atol=1e-5)
        else:
            with pytest.raises(RuntimeError):
                answers_of(path, pixels, "tflite")

    @EACH
    def test_other_channels_are_refused(self, library, tmp_path):
        path = export(small(library, library.layers.Dense(3, "softmax"), shape=(9, 9, 1)), tmp_path / "m")
        with pytest.raises(tf.errors.InvalidArgumentError):
            answers_of(path, np.ones((2, 9, 9, 3)), "savedmodel")

    @EACH
    @FORM
    def test_a_model_of_any_size_is_served_so(self, library, form, tmp_path):
        model = small(library, library.layers.Dense(3, "softmax"), shape=(None, None, 3))
        path = export(model, tmp_path / "m", format=form)
        for size in (7, 12):
            pixels = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3))
            expected = model.predict(pixels.astype(np.float32), verbose=0)
            np.testing.assert_allclose(answers_of(path, pixels, form), expected, atol=1e-5)


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
