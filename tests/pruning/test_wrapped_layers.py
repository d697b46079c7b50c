"""tf_keras layers of every kind in tfmot's wrapper: called as the layer itself, pruned inside, saved and loaded."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from tfrecall import pruning, weights
from tfrecall.errors import InputError, PruningWarning
from tfrecall.pruning import PruningCallback
from tfrecall.pruning.tfmot import masks

LOSS = "sparse_categorical_crossentropy"
N, STEPS = 8, 6


@tf_keras.utils.register_keras_serializable(package="tests")
class Block(layers.Layer):
    """Layers in a layer, whose names Keras counts on; built when they are called."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.down, self.up = layers.Dense(units), layers.Dense(2 * units, "relu")  # not in the order of their calls

    def call(self, inputs, scale=1.0, *, shift=0.0):
        return inputs + scale * self.down(self.up(inputs)) + shift

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Named(Block):
    """A block that says itself what can be pruned: one of its two kernels."""

    def get_prunable_weights(self):
        return [self.up.kernel]


class Centres(layers.Layer):
    """A head of a user's own: similarity to learnt centres of classes."""

    def build(self, shape):
        self.centres = self.add_weight(name="centres", shape=(shape[-1], 2))

    def call(self, inputs):
        return tf.nn.softmax(inputs @ self.centres)


class Whole(layers.Layer):
    """A network in a layer, its head made first."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head, self.body = layers.Dense(2, "softmax"), layers.Dense(6, "relu")

    def call(self, inputs):
        return self.head(self.body(inputs))


def chain(*middle):
    return tf_keras.Sequential(
        [
            layers.Input((STEPS,)),
            layers.Embedding(20, 4, mask_zero=True, name="e"),
            *middle,
            layers.GlobalAveragePooling1D(),
            layers.Dense(2, "softmax", name="out"),
        ]
    )


def attention():
    inputs = layers.Input((STEPS,))
    embedded = layers.Embedding(20, 4, mask_zero=True, name="e")(inputs)
    tensor, scores = layers.MultiHeadAttention(2, 3, name="m")(
        embedded, embedded, return_attention_scores=True, use_causal_mask=True
    )
    pooled = layers.Concatenate()([layers.GlobalAveragePooling1D()(tensor), layers.Flatten()(scores)])
    return tf_keras.Model(inputs, layers.Dense(2, "softmax", name="out")(pooled))


def states():
    inputs = layers.Input((STEPS,))
    embedded = layers.Embedding(20, 4, mask_zero=True, name="e")(inputs)
    _, *last = layers.LSTM(4, return_state=True, name="encoder")(embedded)
    decoded = layers.LSTM(4, return_sequences=True, name="decoder")(embedded, initial_state=last)
    both = layers.Bidirectional(layers.LSTM(4, name="lstm"), name="two")(decoded, initial_state=last + last)
    return tf_keras.Model(inputs, layers.Dense(2, "softmax", name="out")(both))


def called_with_more():
    inputs = layers.Input((STEPS,))
    embedded = layers.Embedding(20, 4, name="e")(inputs)
    tensor = Block(name="b")(Block(name="a")(embedded, 0.5), scale=2.0, shift=embedded)
    return tf_keras.Model(inputs, layers.Dense(2, "softmax", name="out")(layers.Flatten()(tensor)))


def frames():
    inner = tf_keras.Sequential([layers.Dense(5, name="a"), layers.Dense(3, name="b")], name="frame")
    return chain(layers.TimeDistributed(inner, name="l"))


def ways(outer, inner):
    return [
        f"{outer}/{way}_{inner}/{kernel}" for way in ("forward", "backward") for kernel in ("kernel", "recurrent_kernel")
    ]


def lstm(name):
    return [f"{name}/kernel", f"{name}/recurrent_kernel"]


MODELS = {
    "dense": (lambda: chain(layers.Dense(5, "relu", name="l")), ["l/kernel"]),
    "conv1d": (lambda: chain(layers.Conv1D(5, 3, padding="same", name="l")), ["l/kernel"]),
    "einsum": (lambda: chain(layers.EinsumDense("abc,cd->abd", (None, 5), name="l")), ["l/kernel"]),
    "lstm": (
        lambda: chain(layers.LSTM(4, return_sequences=True, dropout=0.3, recurrent_dropout=0.3, name="l")),
        lstm("l"),
    ),
    "cells": (
        lambda: chain(
            layers.RNN([layers.LSTMCell(3, name="a"), layers.GRUCell(4, name="b")], return_sequences=True, name="l")
        ),
        [*lstm("l/a"), *lstm("l/b")],
    ),
    "bidirectional": (
        lambda: chain(layers.Bidirectional(layers.GRU(3, return_sequences=True, name="gru"), merge_mode="sum", name="l")),
        ways("l", "gru"),
    ),
    "time distributed": (lambda: chain(layers.TimeDistributed(layers.Dense(3, name="d"), name="l")), ["l/d/kernel"]),
    "time distributed model": (frames, ["l/frame/a/kernel", "l/frame/b/kernel"]),
    "attention": (attention, [f"m/{part}/kernel" for part in ("query", "key", "value", "attention_output")]),
    "states": (states, [*lstm("encoder"), *lstm("decoder"), *ways("two", "lstm")]),
    "blocks": (called_with_more, None),
}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.integers(1, 20, (N, STEPS))
    x[np.arange(STEPS) >= rng.integers(2, STEPS, (N, 1))] = 0  # padded
    return x, rng.integers(0, 2, N)


def made(name):
    tf_keras.utils.set_random_seed(0)
    return MODELS[name][0]()


def zeros(model):
    return sum(int((weight.value == 0).sum()) for weight in weights.prunable(model).values())


@pytest.mark.parametrize("name", MODELS)
def test_wrapped_layers_predict_and_prune_as_they_are(name, data, tmp_path):
    model = made(name)
    x, _ = data
    wrapped = pruning.prepare(model)
    np.testing.assert_array_equal(wrapped(x), model(x))
    if MODELS[name][1] is not None:
        assert [path for path in masks(wrapped) if path != "e/embeddings"] == MODELS[name][1]

    model.compile("sgd", LOSS)
    pruned = pruning.prune(model, 0.4, "gradient", data, include_classifier=True)
    in_a_graph = name in ("bidirectional", "attention", "blocks")  # which takes long to be traced
    pruned.compile(tf_keras.optimizers.Adam(0.01), LOSS, run_eagerly=not in_a_graph)
    pruned.fit(*data, epochs=2, batch_size=4, verbose=0, callbacks=[PruningCallback()])
    expected, k = pruned(x), round(0.4 * model.count_params())
    assert zeros(pruned) == sum(int((~mask).sum()) for mask in masks(pruned).values()) == k
    plain = pruning.strip(pruned)
    assert zeros(plain) == k
    assert list(weights.prunable(plain)) == list(weights.prunable(model))
    np.testing.assert_array_equal(plain(x), expected)

    for suffix in (".keras", ".h5"):
        pruned.save(tmp_path / f"model{suffix}")
        loaded = tf_keras.models.load_model(tmp_path / f"model{suffix}")
        np.testing.assert_allclose(loaded(x), expected, atol=1e-6)
        assert sum(int((~mask).sum()) for mask in masks(loaded).values()) == k
    for suffix in (".h5", ".weights.h5", ".ckpt") if name == "bidirectional" else (".h5",):
        pruned.save_weights(tmp_path / f"weights{suffix}")
        other = pruning.prepare(model, include_classifier=True)
        other.load_weights(tmp_path / f"weights{suffix}")
        np.testing.assert_allclose(other(x), expected, atol=1e-6)
        assert sum(int((~mask).sum()) for mask in masks(other).values()) == k


def test_masks_hold_in_a_checkpointed_fit_of_recurrent_layers(data, tmp_path):
    pruned = pruning.prune(made("bidirectional"), 0.4)
    pruned.compile("adam", LOSS)
    save = tf_keras.callbacks.ModelCheckpoint(str(tmp_path / "best.h5"), save_weights_only=True, monitor="loss")
    pruned.fit(*data, epochs=2, verbose=0, callbacks=[PruningCallback(), save])
    k = zeros(pruned)
    pruned.load_weights(tmp_path / "best.h5")
    assert zeros(pruned) == k == sum(int((~mask).sum()) for mask in masks(pruned).values())


def test_states_are_kept_and_reset(data):
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [layers.Input(batch_shape=(N, STEPS, 2)), layers.LSTM(4, stateful=True), layers.Dense(2, "softmax")]
    )
    wrapped = pruning.prepare(model)
    x = np.random.default_rng(0).normal(size=(N, STEPS, 2)).astype(np.float32)
    assert wrapped.stateful
    first, second = model(x), model(x)
    np.testing.assert_array_equal(wrapped(x), first)
    np.testing.assert_array_equal(wrapped(x), second)
    wrapped.reset_states()
    np.testing.assert_array_equal(wrapped(x), first)
    assert not np.allclose(first, second)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("legacy", [False, True])
def test_an_embedding_is_trained_as_it_would_be_unwrapped(data, optimizer, legacy):
    """Nothing is pruned yet, so that both must end at the same weights."""
    make = getattr(tf_keras.optimizers.legacy if legacy else tf_keras.optimizers, optimizer)
    model = made("dense")
    wrapped = pruning.prepare(model)
    for each in (model, wrapped):
        each.compile(make(0.05), LOSS)
        each.fit(*data, epochs=2, batch_size=4, shuffle=False, verbose=0)
    for trained, expected in zip(wrapped.trainable_weights, model.trainable_weights):
        np.testing.assert_allclose(trained, expected, atol=1e-5)
    pruned = pruning.prune(wrapped, 0.4)
    pruned.fit(*data, epochs=2, verbose=0)
    assert zeros(pruned) == round(0.4 * model.count_params())


@pytest.mark.parametrize("strategy", [None, "mirrored"])
def test_an_embedding_in_half_precision_on_two_replicas(data, strategy):
    from tfrecall import training

    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        with training.strategy("mirrored").scope() if strategy else tf.distribute.get_strategy().scope():
            pruned = pruning.prune(made("dense"), 0.4)
            pruned.compile("adam", LOSS)
        pruned.fit(*data, epochs=1, batch_size=4, verbose=0)
        assert zeros(pruned) == round(0.4 * weights.total_parameters(pruned))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


def flat(*middle):
    tf_keras.utils.set_random_seed(0)
    return tf_keras.Sequential([layers.Input((5,)), layers.Dense(4, name="first"), *middle])


def classifiers(model):
    return [path for path, weight in weights.prunable(model).items() if weight.classifier]


def test_what_makes_the_outputs_is_seen_in_and_behind_layers_of_ones_own():
    assert classifiers(flat(layers.Dense(3, name="embedding"), Centres())) == []
    assert list(weights.removable(flat(Centres()))) == ["first/kernel"]
    whole = flat(Whole(name="net"))
    head, body = (f"net/{layer.name}/kernel" for layer in (whole.layers[-1].head, whole.layers[-1].body))
    assert classifiers(whole) == [head]
    assert list(weights.removable(whole)) == ["first/kernel", body]
    assert not any(layer._losses for layer in whole._flatten_layers())
    assert classifiers(flat(layers.Reshape((4, 1)), layers.Bidirectional(layers.LSTM(2, name="l"), name="b"))) == ways(
        "b", "l"
    )


@pytest.mark.parametrize("skips", [False, True])
def test_what_a_nested_model_lets_past_its_kernels_makes_the_outputs_too(skips):
    """The same function of the input in one graph and with its end in a model of its own: the same classifier."""

    def end(tensor):
        dense = layers.Dense(4, name="inner")(tensor)
        return layers.Add()([tensor, dense]) if skips else dense

    def made(nested):
        inputs, within = layers.Input((5,)), layers.Input((4,))
        tensor = layers.Dense(4, name="first")(layers.Dense(3, name="before")(inputs))
        return tf_keras.Model(inputs, tf_keras.Model(within, end(within), name="end")(tensor) if nested else end(tensor))

    expected = ["first/kernel"] * skips + ["inner/kernel"]
    assert classifiers(made(nested=False)) == expected
    assert [path.removeprefix("end/") for path in classifiers(made(nested=True))] == expected


def test_weights_of_ones_own_layers_are_named_in_a_warning():
    class LowRank(layers.Layer):
        def build(self, shape):
            self.u = self.add_weight(name="u", shape=(shape[-1], 2))
            self.v = self.add_weight(name="v", shape=(2, 4))
            self.scale = self.add_weight(name="scale", shape=(4,))

        def call(self, inputs):
            return inputs @ self.u @ self.v * self.scale

    model = flat(LowRank(name="own"), Centres())
    with pytest.warns(PruningWarning, match=r"are not pruned: own/u, own/v\. .* get_prunable_weights\(\)"):
        pruning.prepare(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PruningWarning)
        pruning.prepare(model, exclude="own/*")
        pruning.prepare(model, exclude=["own/u", "own/v"])
        with pytest.raises(InputError, match="nothing to prune"):
            pruning.prepare(model, exclude=["own/*", "first/*"])
        with pytest.raises(InputError, match="nothing to prune"):
            pruning.prepare(model, exclude="*")
        pruning.prepare(model, only="first/kernel")
        pruning.prepare(flat(Named(name="own"), layers.Dense(2)))
        LowRank.get_prunable_weights = lambda self: [self.v]
        assert list(masks(pruning.prepare(model))) == ["first/kernel", "own/v"]


def test_a_layer_that_speaks_for_those_in_it_is_pruned_so():
    model = flat(Named(name="own"), layers.Dense(2, name="out"))
    up = f"own/{model.get_layer('own').up.name}/kernel"
    assert list(masks(pruning.prepare(model))) == ["first/kernel", up]
    assert list(masks(pruning.prepare(model, only=up))) == [up]


def test_a_layer_that_cannot_be_copied_is_refused():
    class Sized(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(units)

        def call(self, inputs):
            return self.dense(inputs)

        def get_config(self):
            return {"name": self.name}  # forgets its units

    with pytest.raises(InputError, match="the model cannot be copied; is the get_config of its layers complete"):
        pruning.prepare(flat(Sized(3), layers.Dense(2)))
