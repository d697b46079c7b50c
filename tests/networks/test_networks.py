"""What can be pruned in a Keras 3 model, what it is called, and who is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrecall
from tfrecall import networks, weights
from tfrecall.errors import InputError, PruningWarning
from tfrecall.networks import keras3, legacy

layers = keras.layers


class Scaled(layers.Layer):
    """A layer of a user's own, which names one of its two weights as prunable."""

    def build(self, shape):
        self.mix = self.add_weight(name="mix", shape=(shape[-1], 4))
        self.scale = self.add_weight(name="scale", shape=(4,))

    def call(self, inputs):
        return inputs @ self.mix * self.scale

    def get_prunable_weights(self):
        return [self.mix]


class Unnamed(layers.Layer):
    """A layer of a user's own that says nothing: its kernel may be anything."""

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 4))

    def call(self, inputs):
        return inputs @ self.kernel


LAYERS = {
    "dense": ((5,), lambda: layers.Dense(3, name="l"), {"l/kernel": 15}),
    "einsum": ((5,), lambda: layers.EinsumDense("ab,bc->ac", 3, name="l"), {"l/kernel": 15}),
    "conv1d": ((9, 2), lambda: layers.Conv1D(3, 2, name="l"), {"l/kernel": 12}),
    "conv2d": ((9, 9, 2), lambda: layers.Conv2D(3, 2, name="l"), {"l/kernel": 24}),
    "conv3d": ((5, 5, 5, 2), lambda: layers.Conv3D(3, 2, name="l"), {"l/kernel": 48}),
    "transposed": ((5, 5, 2), lambda: layers.Conv2DTranspose(3, 2, name="l"), {"l/kernel": 24}),
    "depthwise": ((5, 5, 2), lambda: layers.DepthwiseConv2D(2, name="l"), {}),
    "separable": ((5, 5, 2), lambda: layers.SeparableConv2D(3, 2, name="l"), {"l/pointwise_kernel": 6}),
    "embedding": ((5,), lambda: layers.Embedding(7, 3, name="l"), {"l/embeddings": 21}),
    "lstm": ((5, 2), lambda: layers.LSTM(3, name="l"), {"l/kernel": 24, "l/recurrent_kernel": 36}),
    "gru": ((5, 2), lambda: layers.GRU(3, name="l"), {"l/kernel": 18, "l/recurrent_kernel": 27}),
    "simple rnn": ((5, 2), lambda: layers.SimpleRNN(3, name="l"), {"l/kernel": 6, "l/recurrent_kernel": 9}),
    "two cells": (
        (5, 2),
        lambda: layers.RNN([layers.SimpleRNNCell(2, name="a"), layers.SimpleRNNCell(3, name="b")], name="l"),
        {"l/a/kernel": 4, "l/a/recurrent_kernel": 4, "l/b/kernel": 6, "l/b/recurrent_kernel": 9},
    ),
    "time distributed": ((5, 2), lambda: layers.TimeDistributed(layers.Dense(3, name="d"), name="l"), {"l/d/kernel": 6}),
    "batch norm": ((5,), lambda: layers.BatchNormalization(name="l"), {}),
    "frozen": ((5,), lambda: layers.Dense(3, trainable=False, name="l"), {}),
    "named by itself": ((5,), lambda: Scaled(name="l"), {"l/mix": 20}),
    "a user's own": ((5,), lambda: Unnamed(name="l"), {}),
}


def sizes(model, **options):
    found = weights.removable(model, include_classifier=True, **options) if options else weights.prunable(model)
    return {path: weight.size for path, weight in found.items()}


@pytest.mark.parametrize("name", LAYERS)
def test_kernels_of_a_layer(name):
    shape, make, expected = LAYERS[name]
    assert sizes(keras.Sequential([layers.Input(shape), make()])) == expected


def test_attention_has_four_and_a_bidirectional_layer_two_of_each():
    inputs = layers.Input((5, 8))
    tensor = layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs)
    model = keras.Model(inputs, layers.Bidirectional(layers.GRU(3, name="gru"), name="two")(tensor))
    parts = [f"mha/{part}/kernel" for part in ("query", "key", "value", "attention_output")]
    ways = [f"two/{way}_gru/{kernel}" for way in ("forward", "backward") for kernel in ("kernel", "recurrent_kernel")]
    assert list(sizes(model)) == parts + ways


CLASSIFIERS = {
    "one": (lambda x: layers.Dense(3, name="last")(x), {"last/kernel"}),
    "activation after": (lambda x: layers.Softmax()(layers.Dropout(0.5)(layers.Dense(3, name="last")(x))), {"last/kernel"}),
    "nested": (
        lambda x: keras.Sequential([layers.Dense(5, name="a"), layers.Dense(3, name="b")], name="head")(x),
        {"head/b/kernel"},
    ),
    "two outputs": (lambda x: [layers.Dense(3, name="a")(x), layers.Dense(2, name="b")(x)], {"a/kernel", "b/kernel"}),
    "a sum": (lambda x: layers.Dense(3, name="a")(x) + layers.Dense(3, name="b")(x), {"a/kernel", "b/kernel"}),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_classifier_is_what_makes_the_outputs(name):
    make, expected = CLASSIFIERS[name]
    inputs = layers.Input((8,))
    model = keras.Model(inputs, make(layers.Dense(4, name="first")(inputs)))
    found = weights.prunable(model)
    assert {path for path, weight in found.items() if weight.classifier} == expected
    assert "first/kernel" in weights.removable(model)


class HeadFirst(keras.Model):
    """Its head is made before its body, and it adds an operation of Keras's at the end."""

    def __init__(self):
        super().__init__()
        self.heads = [layers.Dense(3, name="one"), layers.Dense(2, name="other")]
        self.body = keras.Sequential([layers.Dense(8, name="a"), layers.Dense(8, name="b")], name="body")

    def call(self, inputs):
        return [keras.ops.softmax(head(self.body(inputs))) for head in self.heads]


class Two(keras.Model):
    """The head is made before the body, so that the order of making tells nothing; `call` is the subclasses'."""

    def __init__(self, **options):
        super().__init__(**options)
        self.head, self.body = layers.Dense(3, name="head"), layers.Dense(8, name="body")


class Opaque(Two):
    def call(self, inputs):  # TensorFlow's functions, which take no symbols of Keras's
        return tf.nn.softmax(self.head(tf.nn.relu(self.body(tf.reshape(inputs, [-1, 8])))))


class Listed(Two):
    def call(self, inputs):
        return self.head(self.body(keras.ops.concatenate(inputs, -1)))


class Keyed(Two):
    def call(self, inputs):
        return {"out": self.head(self.body(inputs["a"] + inputs["b"]))}


class Told(Two):
    def call(self, inputs, training):
        return self.head(self.body(inputs))


class Decorated(Two):
    @tf.function
    def call(self, inputs):
        return self.head(self.body(inputs))


class Lossy(Two):
    def call(self, inputs):
        hidden = self.body(inputs)
        self.add_loss(keras.ops.mean(hidden**2))
        return self.head(hidden)


class Moving(Two):
    """What is random, and what counts its calls."""

    def __init__(self):
        super().__init__()
        self.noise = layers.GaussianNoise(1.0)
        self.seed, self.calls = keras.random.SeedGenerator(1), self.add_weight(name="calls", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        hidden = self.noise(self.body(inputs))
        return self.head(hidden + keras.random.normal((8,), seed=self.seed))


class Tied(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.words = layers.Dense(4, name="dense"), layers.Embedding(9, 4, name="words")

    def call(self, inputs):
        return self.dense(self.words(inputs)) @ keras.ops.transpose(self.words.embeddings)


class Outer(keras.Model):
    def __init__(self):
        super().__init__()
        self.after, self.inner = layers.Dropout(0.5), Told(name="inner")

    def call(self, inputs):
        return self.after(self.inner(inputs, training=False))


X = np.zeros((2, 8), "f")
SUBCLASSED = {
    "head first": (HeadFirst, X, {"one/kernel", "other/kernel"}),
    "opaque": (Opaque, X, {"head/kernel"}),
    "a list": (Listed, [X, X], {"head/kernel"}),
    "dictionaries": (Keyed, {"a": X, "b": X}, {"head/kernel"}),
    "training is told": (Told, X, {"head/kernel"}),
    "decorated": (Decorated, X, {"head/kernel"}),
    "a loss": (Lossy, X, {"head/kernel"}),
    "changes": (Moving, X, {"head/kernel"}),
    "tied": (Tied, X.astype(int), {"words/embeddings"}),
    "nested": (Outer, X, {"inner/head/kernel"}),
}


def classifiers(model):
    return {path for path, weight in weights.prunable(model).items() if weight.classifier}


@pytest.mark.parametrize(("make", "inputs", "expected"), SUBCLASSED.values(), ids=SUBCLASSED)
@pytest.mark.filterwarnings("error::UserWarning:tfrecall")
def test_the_classifier_of_a_subclassed_model_is_what_makes_its_outputs(make, inputs, expected):
    model = make()
    model(inputs, training=False)
    nodes = [len(layer._inbound_nodes) + len(layer._outbound_nodes) for _, layer in keras3.walk(model)]
    before, losses = [variable.numpy() for variable in model.variables], list(map(float, model.losses))
    assert classifiers(model) == expected
    assert nodes == [len(layer._inbound_nodes) + len(layer._outbound_nodes) for _, layer in keras3.walk(model)]
    for variable, was in zip(model.variables, before):
        np.testing.assert_array_equal(variable, was)
    assert list(map(float, model.losses)) == losses


def test_the_classifier_in_a_subclassed_part_of_a_graph():
    inputs = layers.Input((8,))
    assert classifiers(keras.Model(inputs, layers.Softmax()(Told(name="part")(inputs, training=False)))) == {
        "part/head/kernel"
    }
    words = layers.Input((5, 8))
    attention = layers.MultiHeadAttention(2, 4, name="attention")(words, words)
    assert classifiers(keras.Model(words, attention)) == {"attention/attention_output/kernel"}


def test_a_classifier_that_cannot_be_seen_is_told_of():
    class Numeric(Two):
        def call(self, inputs):
            return self.head(self.body(np.asarray(inputs)))

    model = Numeric()
    model(X)
    with pytest.warns(
        PruningWarning, match=r"make the output of numeric cannot be seen \(.*numpy.*\): body is taken for it"
    ):
        assert classifiers(model) == {"body/kernel"}
    model = Told()
    for layer in (model.head, model.body):
        layer.build((None, 8))
    with pytest.warns(PruningWarning, match=r"cannot be seen \(it was never called itself\): body is taken"):
        assert classifiers(model) == {"body/kernel"}


def test_the_classifier_behind_other_ways_to_the_output():
    """A way around a nested model's kernels, a frozen head, a layer of two ways: what makes the outputs is found."""
    inputs, inner = layers.Input((8,)), layers.Input((8,))
    around = keras.Model(inner, layers.Add()([inner, layers.Dense(8, name="in")(inner)]), name="around")
    model = keras.Model(inputs, around(layers.Dense(8, name="first")(inputs)))
    assert {path for path, weight in weights.prunable(model).items() if weight.classifier} == {
        "first/kernel",
        "around/in/kernel",
    }
    frozen = keras.Sequential([layers.Input((8,)), layers.Dense(4, name="d"), layers.Dense(3, name="h", trainable=False)])
    assert [(path, weight.classifier) for path, weight in weights.prunable(frozen).items()] == [("d/kernel", False)]
    two = keras.Sequential([layers.Input((5, 8)), layers.Dense(4, name="d"), layers.Bidirectional(layers.GRU(2), name="b")])
    assert {path.split("/")[0] for path, weight in weights.prunable(two).items() if weight.classifier} == {"b"}
    assert sum(weight.classifier for weight in weights.prunable(two).values()) == 4


class Block(layers.Layer):
    """A layer that speaks for a layer in it, and leaves its other one out."""

    def __init__(self, **options):
        super().__init__(**options)
        self.u, self.v = layers.Dense(4, name="u"), layers.Dense(4, name="v")

    def build(self, shape):
        self.u.build(shape)
        self.v.build((shape[0], 4))

    def call(self, inputs):
        return self.v(self.u(inputs))

    def get_prunable_weights(self):
        return [self.u.kernel]


class Rooted(keras.Model):
    """A model with a weight of its own beside its layers."""

    def build(self, shape):
        self.mix = self.add_weight(name="mix", shape=(shape[-1], 4))
        self.head = layers.Dense(3, name="head")
        self.head.build((None, 4))

    def call(self, inputs):
        return self.head(inputs @ self.mix)


def test_a_layer_speaks_for_the_layers_in_it():
    model = keras.Sequential([layers.Input((5,)), Block(name="block"), layers.Dense(3, name="head")])
    assert sizes(model) == {"block/u/kernel": 20, "head/kernel": 12}


def test_the_weights_of_a_model_itself_can_be_named():
    model = Rooted()
    model(np.zeros((2, 5), "f"))
    assert sizes(model) == {"head/kernel": 12}
    assert sizes(model, only="mix") == {"mix": 20}


def test_a_users_constraint_with_a_mask_of_its_own_is_not_taken_for_ours():
    class Autoregressive(keras.constraints.Constraint):
        mask = np.tril(np.ones((4, 4)))

        def __call__(self, weight):
            return weight * self.mask

    own = Unnamed(name="own")
    model = keras.Sequential([layers.Input((4,)), own, layers.Dense(3, name="head")])
    own.kernel.constraint = Autoregressive()
    assert sizes(model) == {"head/kernel": 12}
    assert keras3.held(model) == []


def test_what_is_no_pattern_is_refused():
    model = mixture()
    for only in (model.layers[1], [model.layers[1].pointwise_kernel], []):
        with pytest.raises(InputError, match="only takes paths or patterns of weights, such as 'block1/"):
            weights.removable(model, only=only)


def test_paths_stay_what_they_are_when_a_layer_is_frozen():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.pair = [layers.Dense(8, name="block"), layers.Dense(8, name="block")]

        def call(self, inputs):
            return self.pair[1](self.pair[0](inputs))

    model = Twins()
    model(np.zeros((2, 8), "f"))
    assert list(weights.prunable(model)) == ["block/kernel", "block/kernel_1"]
    model.pair[0].trainable = False
    assert list(weights.prunable(model)) == ["block/kernel_1"]


class Cosine(layers.Layer):
    """A head of a user's own: similarity to centres of the classes."""

    def build(self, shape):
        self.centres = self.add_weight(name="centres", shape=(shape[-1], 3))

    def call(self, inputs):
        return keras.ops.normalize(inputs, axis=-1) @ keras.ops.normalize(self.centres, axis=0)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 3)


class Temperature(layers.Layer):
    """A head that scales each output: a vector, or a matrix of one row."""

    def __init__(self, *before, **options):
        super().__init__(**options)
        self.before = before

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(*self.before, shape[-1]), initializer="ones")

    def call(self, inputs):
        return inputs * self.scale


class Around(layers.Layer):
    """A block of a user's own that holds other layers, and a matrix of its own."""

    def __init__(self, *inner, **options):
        super().__init__(**options)
        self.inner = list(inner)

    def build(self, shape):
        self.mix = self.add_weight(name="mix", shape=(shape[-1], shape[-1]))
        for layer in self.inner:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs):
        tensor = inputs @ self.mix
        for layer in self.inner:
            tensor = layer(tensor)
        return tensor

    def compute_output_shape(self, shape):
        for layer in self.inner:
            shape = layer.compute_output_shape(shape)
        return shape


class Extended(layers.Dense):
    """Derived from one of Keras's, with a matrix more."""

    def build(self, shape):
        super().build(shape)
        self.extra = self.add_weight(name="extra", shape=(self.units, self.units))

    def call(self, inputs):
        return super().call(inputs) @ self.extra


class Cell(layers.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.state_size = units

    def build(self, shape):
        self.into = self.add_weight(name="into", shape=(shape[-1], self.state_size))
        self.on = self.add_weight(name="on", shape=(self.state_size, self.state_size))

    def call(self, inputs, states):
        state = keras.ops.tanh(inputs @ self.into + states[0] @ self.on)
        return state, [state]


class Shares(layers.Layer):
    """A head that takes the weight of a layer before it."""

    def __init__(self, words, **options):
        super().__init__(**options)
        self.kernel = words.embeddings

    def call(self, inputs):
        return inputs @ keras.ops.transpose(self.kernel)


def tied():
    words, inputs = layers.Embedding(9, 8, name="words"), layers.Input((5,))
    hidden = layers.Dense(8, name="mid")(words(inputs))
    return keras.Model(inputs, Shares(words, name="head")(hidden))


def reversible():
    words, inputs = layers.ReversibleEmbedding(9, 8, name="words"), layers.Input((5,), dtype="int32")
    return keras.Model(inputs, words(layers.Dense(8, name="mid")(words(inputs)), reverse=True))


def headed(head):
    return lambda: keras.Sequential([layers.Input((8,)), layers.Dense(6, name="mid"), *head()])


def two_heads():
    inputs = layers.Input((8,))
    hidden = layers.Dense(6, name="mid")(inputs)
    return keras.Model(
        inputs, [Cosine(name="own")(layers.Dense(5, name="inner")(hidden)), layers.Dense(2, name="b")(hidden)]
    )


class OwnHead(keras.Model):
    def __init__(self):
        super().__init__()
        self.head, self.body = Cosine(name="head"), layers.Dense(6, name="mid")

    def call(self, inputs):
        return self.head(self.body(inputs))


def called(model, inputs):
    model(inputs)
    return model


# by name: the model; what may be pruned by default; what is left alone, with and without the layers that make the outputs
OWN = {
    "a head": (headed(lambda: [Cosine(name="own")]), ["mid/kernel"], [], ["own/centres"]),
    "a head, then a scale": (headed(lambda: [Cosine(name="own"), Temperature()]), ["mid/kernel"], [], ["own/centres"]),
    "a scale alone": (headed(lambda: [layers.Dense(3, name="out"), Temperature()]), ["mid/kernel"], [], []),
    "a row alone": (
        headed(lambda: [layers.Dense(3, name="out"), Temperature(1, name="t")]),
        ["mid/kernel"],
        ["t/scale"],
        ["t/scale"],
    ),
    "two heads": (two_heads, ["mid/kernel", "inner/kernel"], [], ["own/centres"]),
    "a subclassed model": (lambda: called(OwnHead(), X), ["mid/kernel"], [], ["head/centres"]),
    "in the middle": (
        headed(lambda: [Unnamed(name="own"), layers.Dense(3, name="out")]),
        ["mid/kernel"],
        ["own/kernel"],
        ["own/kernel"],
    ),
    "a block around Keras's": (
        headed(lambda: [Around(layers.Dense(5, name="in"), name="block"), layers.Dense(3, name="out")]),
        ["mid/kernel", "block/in/kernel"],
        ["block/mix"],
        ["block/mix"],
    ),
    "a block in a block": (
        headed(lambda: [Around(Around(layers.Dense(5, name="in"), name="b"), name="a"), layers.Dense(3, name="out")]),
        ["mid/kernel", "a/b/in/kernel"],
        ["a/mix", "a/b/mix"],
        ["a/mix", "a/b/mix"],
    ),
    "a block as the head": (
        headed(lambda: [Around(layers.Dense(5, name="in"), Cosine(name="last"), name="block")]),
        ["mid/kernel", "block/in/kernel"],
        ["block/mix"],
        ["block/mix", "block/last/centres"],
    ),
    "derived from Dense": (
        headed(lambda: [Extended(4, name="own"), layers.Dense(3, name="out")]),
        ["mid/kernel", "own/kernel"],
        ["own/extra"],
        ["own/extra"],
    ),
    "a cell": (
        lambda: keras.Sequential(
            [layers.Input((5, 8)), layers.RNN(Cell(4), name="rnn"), layers.Dense(4, name="mid"), layers.Dense(3)]
        ),
        ["mid/kernel"],
        ["rnn/into", "rnn/on"],
        ["rnn/into", "rnn/on"],
    ),
    "a wrapper": (
        headed(lambda: [layers.SpectralNormalization(layers.Dense(4, name="in"), name="norm"), layers.Dense(3, name="out")]),
        ["mid/kernel", "norm/in/kernel"],
        [],
        [],
    ),
    "what speaks for itself": (
        headed(lambda: [Block(name="block"), layers.Dense(3)]),
        ["mid/kernel", "block/u/kernel"],
        [],
        [],
    ),
    "frozen": (headed(lambda: [Unnamed(name="own", trainable=False), layers.Dense(3)]), ["mid/kernel"], [], []),
    "a shared weight": (tied, ["mid/kernel"], [], []),
    "a layer that is called both ways": (reversible, ["mid/kernel"], [], []),
}


@pytest.mark.parametrize(("make", "expected", "named", "with_heads"), OWN.values(), ids=OWN)
def test_layers_of_a_users_own_make_outputs_and_are_named_when_they_are_left_alone(make, expected, named, with_heads):
    model = make()
    assert list(weights.removable(model)) == expected
    assert list(weights.skipped(model)) == named
    assert list(weights.skipped(model, include_classifier=True)) == with_heads
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfrecall.prune(model, 0.05)
    messages = [str(entry.message) for entry in caught if "layers of your own are not pruned" in str(entry.message)]
    assert len(messages) == bool(named)
    assert all(path in message for path in named for message in messages)


def test_what_is_left_alone_is_not_named_where_the_user_chose():
    for options in ({"only": "own/kernel"}, {"exclude": "own/*"}):
        model = OWN["in the middle"][0]()
        with warnings.catch_warnings():
            warnings.simplefilter("error", PruningWarning)
            tfrecall.prepare(model, **options)
    only_own = keras.Sequential([layers.Input((8,)), Unnamed(name="own"), layers.Dense(3, name="out")])
    with pytest.raises(InputError, match=r"nothing to prune.* layers of your own, own/kernel: name them in only="):
        tfrecall.prune(only_own, 0.5)


def everything():
    """Layers with weights, statistics, seeds, and a table; and how many parameters they have, by hand."""
    layer = layers.Normalization(name="normal")
    model = keras.Sequential(
        [
            layers.Input((5, 8)),
            layer,
            layers.Bidirectional(layers.GRU(3)),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=1),
            Unnamed(name="own"),
            layers.Dense(7, name="dense"),
        ]
    )
    return model, 2 * (8 * 9 + 3 * 9 + 2 * 9) + 2 * 6 + 6 * 4 + 4 * 7 + 7


class TestParameters:
    """A model's parameters are what its layers train, whatever is trained today and in which type it is stored."""

    def test_freezing_changes_no_count(self, tmp_path):
        model, total = everything()
        counts = [weights.total_parameters(model)]
        for freeze in (model.get_layer("own"), model.layers[1], model):
            freeze.trainable = False
            counts.append(weights.total_parameters(model))
        model.save(tmp_path / "frozen.keras")
        loaded = keras.models.load_model(tmp_path / "frozen.keras", custom_objects={"Unnamed": Unnamed})
        counts.append(weights.total_parameters(loaded))
        loaded.trainable = True
        assert [*counts, weights.total_parameters(loaded)] == [total] * 6
        frozen = keras.Sequential(
            [layers.Input((4,)), layers.Dense(5, trainable=False), layers.BatchNormalization(trainable=False)]
        )
        assert weights.total_parameters(frozen) == 4 * 5 + 5 + 10

    def test_an_adapter_adds_its_own(self):
        model = keras.Sequential([layers.Input((8,)), layers.Dense(6, name="d"), layers.Dense(3)])
        model.get_layer("d").enable_lora(2)
        assert weights.total_parameters(model) == 8 * 6 + 6 + 6 * 3 + 3 + 2 * (8 + 6)
        assert [path.split("/")[1] for path in weights.kernels(model)] == ["kernel", "kernel"]
        assert tfrecall.pruning.remaining_parameters(model) == weights.total_parameters(model)  # lora_kernel_b starts at 0

    def test_biases_of_two_axes_that_start_at_0_are_not_pruned(self):
        inputs = layers.Input((5, 8))
        attention = layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs)
        model = keras.Model(inputs, layers.Dense(2)(layers.GRU(3)(attention)))
        assert tfrecall.pruning.remaining_parameters(model) == weights.total_parameters(model)

    def test_state_of_float8_training_is_none(self):
        model = keras.Sequential([layers.Input((8,)), layers.Dense(6, dtype="float8_from_float32"), layers.Dense(3)])
        assert weights.total_parameters(model) == 8 * 6 + 6 + 6 * 3 + 3

    @pytest.mark.parametrize("mode", ["int8", "int4", "grouped"])
    @pytest.mark.filterwarnings("ignore:.*quantize.*:UserWarning")
    def test_quantizing_changes_no_count_and_no_path(self, mode):
        inputs = layers.Input((7,))
        tensor = layers.Embedding(30, 9, name="words")(inputs)
        tensor = layers.MultiHeadAttention(2, 5, name="mha")(tensor, tensor)
        tensor = layers.Dense(33, name="dense")(layers.GlobalAveragePooling1D()(tensor))
        model = keras.Model(inputs, layers.Dense(3, name="out")(layers.BatchNormalization()(tensor)))
        tfrecall.strip(tfrecall.prune(model, 0.5, scope="layer"))
        before = {path: weight.value for path, weight in weights.kernels(model).items()}
        total, left = weights.total_parameters(model), tfrecall.pruning.remaining_parameters(model)
        if mode != "grouped":
            model.quantize(mode)
        elif hasattr(keras.quantizers, "Int4QuantizationConfig"):
            model.quantize(config=keras.quantizers.Int4QuantizationConfig(block_size=4))
        else:
            pytest.skip("this Keras does not quantize in groups")
        assert weights.total_parameters(model) == total
        after = weights.kernels(model)
        assert {path: weight.size for path, weight in after.items()} == {path: value.size for path, value in before.items()}
        rounded = 0
        for path, value in before.items():
            assert not after[path].value[value == 0].any()
            rounded += int((after[path].value == 0).sum() - (value == 0).sum())
        assert tfrecall.pruning.remaining_parameters(model) == left - rounded
        assert rounded < 0.1 * total
        with pytest.raises(InputError, match=r"nothing to prune.*quantized weights are left alone"):
            weights.removable(model)

    def test_a_ratio_is_one_of_all_parameters_and_frozen_zeros_count(self):
        for library in (keras, tf_keras):
            model = library.Sequential(
                [
                    library.layers.Input((8,)),
                    library.layers.Dense(20, name="a"),
                    library.layers.Dense(20, name="b"),
                    library.layers.Dense(3, name="c"),
                ]
            )
            total = 8 * 20 + 20 + 20 * 20 + 20 + 20 * 3 + 3
            model = tfrecall.strip(tfrecall.prune(model, 0.3, "random"))
            model.get_layer("a").trainable = False
            frozen = weights.kernels(model)["a/kernel"].value
            pruned = tfrecall.prune(model, 0.6, "random", hold_zeros=True)
            plain = tfrecall.strip(pruned)
            assert tfrecall.pruning.remaining_parameters(plain) == total - round(0.6 * total)
            np.testing.assert_array_equal(weights.kernels(plain)["a/kernel"].value, frozen)
            possible = 400 + int((frozen == 0).sum())
            with pytest.raises(InputError, match=f"of {total} parameters only {possible} can be removed"):
                tfrecall.prune(pruned, 0.9)


def test_a_shared_weight_counts_once():
    inputs, shared = layers.Input((8,)), layers.Dense(8, name="shared")
    model = keras.Model(inputs, layers.Dense(3, name="head")(shared(shared(inputs))))
    assert sizes(model) == {"shared/kernel": 64, "head/kernel": 24}
    assert weights.total_parameters(model) == 64 + 8 + 24 + 3


def mixture():
    inputs = layers.Input((6, 6, 2))
    tensor = layers.SeparableConv2D(4, 3, name="block1")(inputs)
    tensor = layers.Flatten()(layers.Conv2D(4, 2, name="block2")(tensor))
    return keras.Model(inputs, layers.Dense(3, name="head")(Unnamed(name="own")(tensor)))


def test_only_and_exclude_choose_by_path_or_pattern():
    model = mixture()
    assert list(weights.removable(model)) == ["block1/pointwise_kernel", "block2/kernel"]
    assert list(weights.removable(model, only="block2/kernel")) == ["block2/kernel"]
    kernels = ["block1/depthwise_kernel", "block1/pointwise_kernel", "block2/kernel"]
    assert list(weights.removable(model, only="block*")) == kernels
    assert list(weights.removable(model, only=["block*", "block1/bias"])) == [*kernels[:2], "block1/bias", kernels[2]]
    assert list(weights.removable(model, only=["own/kernel", "head/kernel"])) == ["own/kernel", "head/kernel"]
    assert list(weights.removable(model, only="*/kernel")) == ["block2/kernel", "own/kernel"]  # not the classifier's
    assert list(weights.removable(model, exclude="block2/*")) == ["block1/pointwise_kernel"]
    assert list(weights.removable(model, only="block*", exclude=["*/bias", "block2/kernel"])) == [
        "block1/depthwise_kernel",
        "block1/pointwise_kernel",
    ]
    with pytest.raises(InputError, match="unknown weight in only 'block3/kernel': did you mean block"):
        weights.removable(model, only="block3/kernel")
    with pytest.raises(InputError, match="unknown weight in exclude 'tail'"):
        weights.removable(model, exclude="tail")
    assert list(weights.removable(model, exclude=["*/bias", "block2/*"])) == ["block1/pointwise_kernel"]
    with pytest.raises(InputError, match="only '\\*/bias' fits biases and other vectors alone: name such weights in full"):
        weights.removable(model, only="*/bias")
    model.get_layer("block2").trainable = False
    with pytest.raises(InputError, match="only 'block2/kernel' fits frozen or other untrainable weights alone"):
        weights.removable(model, only="block2/kernel")
    with pytest.raises(InputError, match="nothing to prune"):
        weights.removable(model, exclude="*")


def test_what_only_names_is_pruned_and_counted():
    model = mixture()
    total = weights.total_parameters(model)
    tfrecall.prune(model, 0.1, "gradient", (np.ones((4, 6, 6, 2), "f"), np.zeros(4)), loss="sparse_categorical_crossentropy",
                   only=["own/kernel", "block1/depthwise_kernel"])  # fmt: skip
    zeros = {path: int((weight.value == 0).sum()) for path, weight in weights.prunable(model).items()}
    assert zeros["own/kernel"] + zeros["block1/depthwise_kernel"] == sum(zeros.values()) == round(0.1 * total)


def test_a_model_that_cannot_be_pruned_so_far_is_left_as_it_was():
    model = mixture()
    before = model.get_weights()
    for call in (
        lambda: tfrecall.prune(model, 0.99),
        lambda: tfrecall.prune(model, 0.5, "gradient"),
        lambda: tfrecall.prune(model, 0.5, scope="tensor"),
    ):
        with pytest.raises(InputError):
            call()
        assert not any(hasattr(variable.constraint, "mask") for variable in model.trainable_variables)
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))


def test_some_weights_of_a_tf_keras_layer_are_pruned_and_the_others_left():
    shape, names = tf_keras.layers.Input((5, 2)), {"name": "l"}
    model = tf_keras.Sequential([shape, tf_keras.layers.LSTM(3, **names), tf_keras.layers.Dense(2)])
    kernel, recurrent = tfrecall.strip(tfrecall.prune(model, 0.2, only="l/kernel")).get_layer("l").get_weights()[:2]
    assert (kernel == 0).sum() == round(0.2 * model.count_params())
    assert recurrent.all()
    both = tfrecall.strip(tfrecall.prune(model, 0.2, "random", only="l/*")).get_layer("l").get_weights()
    assert all((weight == 0).any() for weight in both[:2])


def test_a_model_without_weights_is_refused():
    for library in (keras, tf_keras):
        with pytest.raises(InputError, match="the model has no weights yet"):
            weights.prunable(library.Sequential([library.layers.Dense(3)]))


def test_each_keras_has_its_module_and_others_none():
    assert networks.of(keras.Sequential()) is keras3
    assert networks.of(tf_keras.Sequential()) is legacy
    assert {name for name in dir(keras3) if callable(getattr(keras3, name)) and name[0] != "_"} - {"InputError"} >= {
        name
        for name in dir(legacy)
        if getattr(getattr(legacy, name), "__module__", "") == legacy.__name__ and name[0] != "_"
    } - {"units", "all_variables", "kernels", "unknown", "components"}  # which tfmot's wrappers need
    with pytest.raises(InputError, match=r"expected a Keras model; got builtins\.dict"):
        networks.of({})


@pytest.mark.parametrize(("name", "shape"), [("lenet5", (28, 28, 1)), ("resnet20", (32, 32, 3))])
def test_the_zoo_is_the_same_in_both(name, shape):
    """Same paths, same classifier, and with the same weights the same masks."""
    one, other = (tfrecall.models.build(name, shape, 10, keras=library) for library in (keras, tf_keras))
    assert weights.total_parameters(one) == weights.total_parameters(other)
    other.set_weights(one.get_weights())
    found = [weights.prunable(model) for model in (one, other)]
    assert [(path, weight.classifier) for path, weight in found[0].items()] == [
        (path, weight.classifier) for path, weight in found[1].items()
    ]
    pruned = [tfrecall.strip(tfrecall.prune(model, 10)) for model in (one, other)]
    kept = [{path: weight.value != 0 for path, weight in weights.prunable(model).items()} for model in pruned]
    for path, mask in kept[0].items():
        np.testing.assert_array_equal(mask, kept[1][path])


def test_a_copy_is_pruned_in_the_models_place():
    model = mixture()
    model.compile(keras.optimizers.AdamW(0.1, weight_decay=0.25), "sparse_categorical_crossentropy")
    copy = networks.of(model).for_pruning(model)
    before = model.get_weights()
    tfrecall.prune(copy, 0.1)
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))
    assert not any(hasattr(variable.constraint, "mask") for variable in model.trainable_variables)
    assert [weight.shape for weight in copy.get_weights()] == [weight.shape for weight in before]
    assert sum(int((a != b).sum()) for a, b in zip(before, copy.get_weights())) == round(
        0.1 * weights.total_parameters(model)
    )
    assert copy.loss == model.loss
    assert copy.optimizer is not model.optimizer
    assert copy.optimizer.weight_decay == 0.25


class Subclassed(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, images):
        return self.dense(layers.Flatten()(images))


def test_the_shapes_of_a_subclassed_model_are_those_of_its_first_call():
    model = Subclassed(3)
    assert keras3.shapes(model) == ([], [])
    model(np.zeros((2, 4, 4, 1), "f"))
    assert keras3.shapes(model) == ([(None, 4, 4, 1)], [(None, 3)])
    assert keras3.shapes(mixture()) == ([(None, 6, 6, 2)], [(None, 3)])
    with pytest.raises(InputError, match="Subclassed cannot be copied; is its get_config complete"):
        keras3.for_pruning(model)


def test_another_backend_is_refused():
    pytest.importorskip("jax", reason="another backend than TensorFlow is needed to refuse one")
    code = (
        "import keras, tfrecall\n"
        "model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])\n"
        "tfrecall.prune(model, 0.5)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert "InputError: Keras runs on jax here, and tfrecall prunes on TensorFlow: set KERAS_BACKEND" in done.stderr


class WithoutTraining(tf_keras.Model):
    """A Functional model with a call of its own, which takes no `training`."""

    def call(self, inputs):
        return super().call(inputs) * 1.0


def test_the_graph_of_a_tf_keras_model_whose_call_takes_no_training_is_seen():
    inputs = tf_keras.layers.Input((5,))
    dense = tf_keras.layers.Dense(2, "softmax", activity_regularizer="l2")
    model = WithoutTraining(inputs, dense(tf_keras.layers.Dropout(0.5)(inputs)))
    model(np.ones((3, 5), np.float32))
    losses = [float(loss) for loss in legacy.activity_losses(model)]
    outputs, entries = legacy.graph_of(model)
    assert [tuple(tensor.shape) for tensor in outputs] == [(None, 2)]
    types = {operation.type for operation in outputs[0].graph.get_operations()}
    assert types >= {"Placeholder", "Softmax", "Mul"}
    assert not types & {"RandomUniform", "If", "StatelessIf", "PlaceholderWithDefault"}  # the dropout inside is off
    assert len(entries) == 1
    assert [float(loss) for loss in legacy.activity_losses(model)] == losses != []


class Legacy(tf_keras.layers.Layer):
    """`Unnamed`, with a bias of two axes, in tf_keras."""

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 4))
        self.bias = self.add_weight(name="bias", shape=(1, 4))

    def call(self, inputs):
        return inputs @ self.kernel + self.bias


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_both_kerases_name_what_they_leave_alone_and_how_to_have_it_pruned(library):
    def sequential(*stack):
        return library.Sequential([library.layers.Input((8,)), *stack, library.layers.Dense(3, name="out")])

    own = Unnamed if library is keras else Legacy
    model = sequential(own(name="own"), library.layers.Dense(4, name="mid"), own(name="other"))
    assert list(weights.skipped(model)) == ["own/kernel", "other/kernel"]
    assert list(weights.skipped(model, exclude="other/*")) == ["own/kernel"]
    with pytest.raises(InputError, match="unknown weight in exclude"):
        weights.removable(model, exclude="missing/*")
    with pytest.warns(PruningWarning, match="^weights of layers of your own are not pruned: own/kernel. To have") as caught:
        pruned = tfrecall.prepare(model, exclude="other/kernel")
    (warning,) = [entry for entry in caught if "of your own" in str(entry.message)]
    assert warning.filename == __file__
    assert ("only=" in str(warning.message)) == (library is keras)
    assert "get_prunable_weights()" in str(warning.message)
    with pytest.raises(InputError, match="prepared already"):
        tfrecall.prepare(pruned)
    alone = sequential(own(name="own"))
    if library is keras:  # what the messages say is true
        assert list(weights.removable(alone, only="own/kernel")) == ["own/kernel"]
    with pytest.raises(InputError, match=r"layers of your own, own/kernel: .*get_prunable_weights"):
        tfrecall.prune(alone, 0.1)
    alone.get_layer("own").get_prunable_weights = lambda: [alone.get_layer("own").kernel]
    assert list(weights.removable(alone)) == ["own/kernel"]
