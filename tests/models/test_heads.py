"""What a model's outputs are taken for: from its last operation, its loss, or its outputs, in either Keras."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrecall import models, pruning
from tfrecall.errors import DataWarning, InputError
from tfrecall.models import Head, head_of

BOTH = pytest.mark.parametrize("library", [tf_keras, keras])
SHAPE = (6, 6, 1)


def model(library, *head, loss=None):
    library.utils.set_random_seed(0)
    layers = library.layers
    built = library.Sequential([library.Input(SHAPE), layers.Rescaling(1 / 255), layers.Flatten(), *head])
    if loss is not None:
        built.compile("sgd", loss)
    return built


def kind(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        return head_of(*arguments, **options).kind


@BOTH
@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (lambda new: [new.Dense(3, "softmax")], "softmax"),
        (lambda new: [new.Dense(3), new.Rescaling(10.0), new.Softmax()], "softmax"),  # a temperature
        (lambda new: [new.Dense(3, "softmax"), new.Reshape((3,)), new.Dropout(0.5)], "softmax"),
        (lambda new: [new.Dense(3, "softmax", dtype="mixed_float16")], "softmax"),
        (lambda new: [new.Reshape(SHAPE), new.Conv2D(3, 3, activation="softmax"), new.GlobalAveragePooling2D()], "softmax"),
        (lambda new: [new.Dense(3)], "logits"),
        (lambda new: [new.Dense(3, use_bias=False)], "logits"),
        (lambda new: [new.Dense(3, "relu")], "logits"),
        (lambda new: [new.Dense(3), new.Rescaling(0.1)], "logits"),
        (lambda new: [new.Dense(3, "log_softmax")], "logits"),
        (lambda new: [new.Dense(3), new.BatchNormalization()], "logits"),
        (lambda new: [new.Dense(4, kernel_initializer="zeros", bias_initializer="ones"), new.Rescaling(0.25)], "logits"),
        (lambda new: [new.Dense(3, "sigmoid")], "sigmoid"),
        (lambda new: [new.Dense(2, "sigmoid")], "sigmoid"),
        (lambda new: [new.Dense(3, "sigmoid"), new.Activation("linear", dtype="float32")], "sigmoid"),
        (lambda new: [new.Dense(3, kernel_initializer="zeros"), new.Rescaling(1, 40), new.Activation("sigmoid")], "sigmoid"),
        (lambda new: [new.Dense(1, "sigmoid")], "binary"),
        (lambda new: [new.Dense(1)], "binary-logits"),
    ],
)
def test_the_last_operation_decides(head, expected, library):
    assert kind(model(library, *head(library.layers))) == expected


@BOTH
def test_sigmoids_that_sum_to_1_are_no_softmax(library):
    """Each is 1/4 on every image."""
    dense = library.layers.Dense(4, "sigmoid", kernel_initializer="zeros")
    built = model(library, dense)
    dense.bias.assign(np.full(4, -np.log(3), np.float32))
    np.testing.assert_allclose(built(np.ones((2, *SHAPE))).numpy().sum(axis=1), 1, rtol=1e-5)
    assert kind(built) == "sigmoid"


@BOTH
def test_nested_and_branched_models_are_seen_through(library):
    layers = library.layers
    images = library.Input(SHAPE)
    flat = layers.Flatten()(images)
    nested = library.Sequential([library.Input((36,)), layers.Dense(3, "sigmoid")])
    assert kind(library.Model(images, nested(flat))) == "sigmoid"
    one_each = layers.Concatenate()([layers.Dense(1, "sigmoid")(flat) for _ in range(3)])
    assert kind(library.Model(images, one_each)) == "sigmoid"
    ensemble = layers.Average()([layers.Dense(3, "softmax")(flat) for _ in range(2)])
    assert kind(library.Model(images, ensemble)) == "softmax"
    two_softmaxes = layers.Concatenate()([layers.Dense(2, "softmax")(flat) for _ in range(2)])
    with pytest.raises(InputError, match=r"not clear.*--head"):
        head_of(library.Model(images, two_softmaxes))


def test_a_models_own_code_is_seen_through():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = keras.layers.Dense(3)

        @tf.function
        def call(self, images):
            return tf.sigmoid(self.out(tf.reshape(images, [tf.shape(images)[0], 36])))

    built = Own()
    built(np.zeros((1, *SHAPE), np.float32))
    assert kind(built) == "sigmoid"


def test_wrapped_models_are_seen_through():
    for activation, expected in (("sigmoid", "sigmoid"), (None, "logits"), ("softmax", "softmax")):
        wrapped = pruning.prune(model(tf_keras, tf_keras.layers.Dense(3, activation)), 0.5, include_classifier=True)
        assert kind(wrapped) == expected


@BOTH
@pytest.mark.parametrize(
    ("units", "activation", "loss", "expected"),
    [
        (3, None, lambda k: k.losses.BinaryCrossentropy(from_logits=True), "sigmoid-logits"),
        (3, None, lambda k: k.losses.BinaryFocalCrossentropy(from_logits=True), "sigmoid-logits"),
        (3, None, lambda k: k.losses.CategoricalCrossentropy(from_logits=True), "logits"),
        (1, None, lambda k: k.losses.BinaryCrossentropy(from_logits=True), "binary-logits"),
        (3, "softmax", lambda k: "categorical_crossentropy", "softmax"),
        (3, "softmax", lambda k: "bce", "softmax"),
        (3, "sigmoid", lambda k: k.losses.binary_crossentropy, "sigmoid"),
        (3, "sigmoid", lambda k: "categorical_crossentropy", "sigmoid"),
        (3, "hard_sigmoid", lambda k: "binary_crossentropy", "sigmoid"),
        (3, "hard_sigmoid", lambda k: ["binary_crossentropy"], "sigmoid"),
        (1, "hard_sigmoid", lambda k: "binary_crossentropy", "binary"),
    ],
)
def test_the_loss_decides_what_the_layers_leave_open(units, activation, loss, expected, library, tmp_path):
    built = model(library, library.layers.Dense(units, activation), loss=loss(library))
    assert kind(built) == expected
    for ending in ("keras", "h5"):  # and what a file says of it
        built.save(tmp_path / f"m.{ending}")
        loaded = models.load(tmp_path / f"m.{ending}")
        assert kind(loaded, source=tmp_path / f"m.{ending}") == expected


def test_a_saved_models_folder_says_the_loss(tmp_path):
    built = model(tf_keras, tf_keras.layers.Dense(3), loss=tf_keras.losses.BinaryCrossentropy(from_logits=True))
    built.save(tmp_path / "m")
    loaded = models.load(tmp_path / "m")
    assert (kind(loaded), kind(loaded, source=tmp_path / "m")) == ("logits", "sigmoid-logits")


@BOTH
@pytest.mark.parametrize(("loss", "expected"), [("binary_crossentropy", "sigmoid-logits"), ("mse", "logits")])
def test_a_loss_that_contradicts_the_last_layer_is_a_warning(loss, expected, library):
    with pytest.warns(DataWarning, match=f"has no activation, but its loss .*{expected}.*--head"):
        assert head_of(model(library, library.layers.Dense(3), loss=loss)).kind == expected


@BOTH
@pytest.mark.parametrize(
    ("head", "loss"),
    [
        (lambda new: [new.Dense(3, "softmax"), new.Rescaling(100.0)], None),
        (lambda new: [new.Dense(3, "sigmoid"), new.Rescaling(0.5)], None),
        (lambda new: [new.Dense(3, "hard_sigmoid")], None),
        (lambda new: [new.Dense(4), new.Reshape((2, 2)), new.Softmax(), new.Reshape((4,))], None),
        (lambda new: [new.Dense(1, "tanh")], None),
        (lambda new: [new.Dense(1)], "mse"),  # a regression
    ],
)
def test_what_is_not_clear_is_an_error_that_names_the_heads(head, loss, library):
    with pytest.raises(InputError, match=r"not clear.*--head.*sigmoid-logits") as raised:
        head_of(model(library, *head(library.layers), loss=loss))
    assert "\n" not in str(raised.value)


@BOTH
def test_a_named_head_is_taken_unless_the_outputs_contradict_it(library):
    new = library.layers
    assert kind(model(library, new.Dense(3, "hard_sigmoid")), "sigmoid") == "sigmoid"
    assert kind(model(library, new.Dense(3)), "sigmoid-logits") == "sigmoid-logits"
    for head, layer, says in [
        ("softmax", new.Dense(3), "between .* logits"),
        ("softmax", new.Dense(3, "sigmoid"), "sum to"),
        ("logits", new.Dense(3, "softmax"), "Softmax"),
        ("binary-logits", new.Dense(1, "sigmoid"), "Sigmoid"),
        ("binary", new.Dense(3, "softmax"), "does not fit a model with 3 outputs: choose softmax, logits"),
        ("sigmoid", new.Dense(1, "sigmoid"), "does not fit a model with 1 output: choose binary"),
        ("sigmod", new.Dense(3, "sigmoid"), "did you mean sigmoid"),
    ]:
        with pytest.raises(InputError, match=says):
            head_of(model(library, layer), head)


@BOTH
def test_looking_leaves_the_model_as_it_was(library):
    layers = library.layers
    built = model(
        library, layers.Dense(5, activity_regularizer="l2"), layers.BatchNormalization(), layers.Dense(3), loss="mse"
    )
    images = np.random.default_rng(0).random((4, *SHAPE))
    built.fit(images, np.eye(3)[[0, 1, 2, 0]], verbose=0)
    built(images)
    before, losses = built.get_weights(), [float(loss) for loss in built.losses]
    with pytest.warns(DataWarning):
        head_of(built)
    for one, other in zip(before, built.get_weights()):
        np.testing.assert_array_equal(one, other)
    assert [float(loss) for loss in built.losses] == losses != []
    built.fit(images, np.eye(3)[[0, 1, 2, 0]], verbose=0)


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


@BOTH
@pytest.mark.parametrize("name", models.HEADS)
def test_the_loss_is_the_negative_log_likelihood_of_the_labels(name, library):
    rng = np.random.default_rng(1)
    outputs = 1 if name.startswith("binary") else 4
    scores, labels = rng.normal(size=(50, outputs)), rng.integers(0, max(2, outputs), 50)
    if name in ("softmax", "logits"):
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        expected = -logs[np.arange(50), labels].mean()
    else:
        own = labels[:, None] == ([1] if outputs == 1 else np.arange(outputs))
        expected = -np.where(own, log_sigmoid(scores), log_sigmoid(-scores)).mean()
    head = Head(name, outputs)
    given = scores if not head.gives_probabilities else np.exp(logs if name == "softmax" else log_sigmoid(scores))
    targets = head.targets(labels)
    assert float(head.loss(library)(targets, tf.constant(given, tf.float32))) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(head.targets(tf.constant(labels)), targets)
    assert head.classes == max(2, outputs)

    probabilities = head.probabilities(given).numpy()
    expected_classes = scores.argmax(axis=1) if outputs > 1 else (scores[:, 0] > 0).astype(int)
    np.testing.assert_array_equal(head.predictions(tf.constant(given)), expected_classes)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), expected_classes)
    if name in ("sigmoid", "sigmoid-logits"):
        np.testing.assert_allclose(probabilities, np.exp(log_sigmoid(scores)), rtol=1e-5)
    else:
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)

    layers = library.layers
    echo = library.Sequential([library.Input((outputs,)), layers.Activation("linear")])
    echo.compile(loss=head.loss(library), metrics=[head.metric(library)])
    accuracy = echo.evaluate(given, targets, verbose=0)[1]
    assert accuracy == pytest.approx(np.mean(expected_classes == labels))


def test_confident_sigmoids_keep_their_order():
    scores = tf.constant([[25.0, 18.0, 30.0]])  # in float32 their sigmoids are all 1
    head = Head("sigmoid-logits", 3)
    assert head.probabilities(scores, "float64").numpy().argmax() == 2
    assert head.predictions(scores).numpy() == [2]
