"""Which weights are found, under which paths, and which layers are taken for the classifier."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from tfrecall import pruning, weights
from tfrecall.errors import InputError, PruningWarning
from tfrecall.networks import legacy


def sequential(*stack, name=None):
    return tf_keras.Sequential(list(stack), name=name)


def nested():
    """A functional model around two blocks whose layers have the same names, one of them holding a third model."""
    inner = sequential(layers.Input((8,)), layers.Dense(8, name="dense"), name="inner")
    first = sequential(layers.Input((8,)), layers.Dense(8, name="dense"), inner, name="first")
    second = sequential(layers.Input((8,)), layers.Dense(8, name="dense"), name="second")
    inputs = layers.Input((8,))
    return tf_keras.Model(inputs, layers.Dense(3, name="dense")(second(first(inputs))))


def siamese():
    """One tower called on two inputs, and one dense layer called twice."""
    tower = sequential(layers.Input((8,)), layers.Dense(8, name="tower_dense"), name="tower")
    left, right = layers.Input((8,)), layers.Input((8,))
    shared = layers.Dense(8, name="shared")
    joined = layers.Concatenate()([shared(tower(left)), shared(tower(right))])
    return tf_keras.Model([left, right], layers.Dense(1, name="head")(joined))


def classifiers(model):
    return {path for path, weight in weights.prunable(model).items() if weight.classifier}


class TestPaths:
    def test_nested_models(self):
        assert list(weights.prunable(nested())) == [
            "first/dense/kernel",
            "first/inner/dense/kernel",
            "second/dense/kernel",
            "dense/kernel",
        ]

    def test_shared_layers_stand_once(self):
        model = siamese()
        assert set(weights.prunable(model)) == {"tower/tower_dense/kernel", "shared/kernel", "head/kernel"}
        assert weights.total_parameters(model) == (8 * 8 + 8) * 2 + 16 + 1

    @pytest.mark.parametrize("make", [nested, siamese])
    @pytest.mark.parametrize("include_classifier", [False, True])
    def test_same_for_plain_wrapped_and_stripped(self, make, include_classifier):
        model = make()
        wrapped = pruning.prepare(model, include_classifier)
        expected = {path: (weight.classifier, weight.variable.shape) for path, weight in weights.prunable(model).items()}
        for other in (wrapped, pruning.strip(wrapped)):
            found = weights.prunable(other)
            assert {path: (weight.classifier, weight.variable.shape) for path, weight in found.items()} == expected
            assert list(found) == list(expected)
            for path in found:
                np.testing.assert_array_equal(found[path].variable, weights.prunable(model)[path].variable)

    def test_each_variable_is_the_one_at_its_path(self):
        model = nested()
        found = weights.prunable(model)
        assert (
            found["first/inner/dense/kernel"].variable
            is model.get_layer("first").get_layer("inner").get_layer("dense").kernel
        )
        assert found["dense/kernel"].layer is model.get_layer("dense")

    def test_reading_leaves_nothing_on_the_layers(self):
        model = nested()
        weights.prunable(model)
        assert not any(hasattr(layer, "get_prunable_weights") for _, layer in legacy.walk(model))

    def test_reading_a_wrapped_model_leaves_it_prunable(self):
        wrapped = pruning.prepare(nested())
        weights.prunable(wrapped)
        assert all(
            weights.prunable(wrapped)[path].variable.shape == mask.shape
            for path, mask in pruning.tfmot.masks(wrapped).items()
        )

    def test_an_unbuilt_model_is_refused(self):
        with pytest.raises(InputError, match="no weights yet"):
            weights.prunable(sequential(layers.Dense(3)))


def image_head(*head):
    return sequential(layers.Input((8, 8, 1)), layers.Conv2D(4, 3, name="conv"), *head)


CLASSIFIERS = {
    "softmax in the layer": (lambda: image_head(layers.Flatten(), layers.Dense(3, "softmax", name="last")), {"last/kernel"}),
    "softmax activation": (
        lambda: image_head(layers.Flatten(), layers.Dense(3, name="last"), layers.Activation("softmax")),
        {"last/kernel"},
    ),
    "softmax layer": (lambda: image_head(layers.Flatten(), layers.Dense(3, name="last"), layers.Softmax()), {"last/kernel"}),
    "dropout after": (
        lambda: image_head(layers.Flatten(), layers.Dense(3, name="last"), layers.Dropout(0.5), layers.Reshape((3,))),
        {"last/kernel"},
    ),
    "nested head": (
        lambda: image_head(
            layers.Flatten(),
            sequential(layers.Input((144,)), layers.Dense(5, name="a"), layers.Dense(3, name="b"), name="head"),
            layers.Softmax(),
        ),
        {"head/b/kernel"},
    ),
    "nested head without kernels": (
        lambda: image_head(
            layers.Flatten(),
            layers.Dense(3, name="last"),
            sequential(layers.Input((3,)), layers.Softmax(), name="head"),
        ),
        {"last/kernel"},
    ),
    "all convolutional": (
        lambda: image_head(layers.Conv2D(3, 1, name="last"), layers.GlobalAveragePooling2D(), layers.Softmax()),
        {"last/kernel"},
    ),
    "one layer": (lambda: sequential(layers.Input((4,)), layers.Dense(3, name="only")), {"only/kernel"}),
    "two layers, the second alone": (
        lambda: sequential(
            layers.Input((4,)), layers.Dense(4, name="a"), layers.BatchNormalization(), layers.Dense(3, name="b")
        ),
        {"b/kernel"},
    ),
}


def two_outputs():
    inputs = layers.Input((4,))
    hidden = layers.Dense(6, name="hidden")(inputs)
    deeper = layers.Dense(6, name="deeper")(hidden)
    outputs = [layers.Softmax()(layers.Dense(3, name="kind")(deeper)), layers.Dense(1, name="size")(hidden)]
    return tf_keras.Model(inputs, outputs)


def summed_heads():
    inputs = layers.Input((4,))
    hidden = layers.Dense(6, name="hidden")(inputs)
    return tf_keras.Model(inputs, layers.Add()([layers.Dense(3, name="a")(hidden), layers.Dense(3, name="b")(hidden)]))


class HeadFirst(tf_keras.Model):
    """A subclassed model whose last layer is made first, and whose call knows no `training`."""

    def __init__(self, **options):
        super().__init__(**options)
        self.head, self.body = layers.Dense(2, "softmax", name="head"), layers.Dense(4, name="body")

    def call(self, inputs):
        return self.head(self.body(inputs))


class TestClassifier:
    @pytest.mark.parametrize("name", CLASSIFIERS)
    def test_is_found(self, name):
        make, expected = CLASSIFIERS[name]
        assert classifiers(make()) == expected

    def test_every_output_has_one(self):
        assert classifiers(two_outputs()) == {"kind/kernel", "size/kernel"}

    def test_branches_that_are_added_both_count(self):
        assert classifiers(summed_heads()) == {"a/kernel", "b/kernel"}

    @pytest.mark.parametrize("built", ["called", "by its shape"])
    def test_in_a_subclassed_model_is_what_makes_its_outputs(self, built):
        model = HeadFirst()
        if built == "called":
            model(tf.zeros([1, 3]))
        else:
            model.build((None, 3))
        before = model.save_spec()
        assert classifiers(model) == {"head/kernel"}
        assert (model.save_spec() is None) == (before is None)

    def test_in_a_subclassed_part_of_a_graph(self):
        inputs = layers.Input((3,))
        assert classifiers(tf_keras.Model(inputs, HeadFirst(name="part")(inputs))) == {"part/head/kernel"}

    def test_that_cannot_be_seen_is_the_last_kernel_with_a_warning(self):
        class Opaque(HeadFirst):
            def call(self, inputs):
                return self.head(tf.constant(self.body(inputs).numpy()))

        model = Opaque(name="opaque")
        model(tf.zeros([1, 3]))
        with pytest.warns(PruningWarning, match="which layers make the output of opaque cannot be seen .*: body is taken"):
            assert classifiers(model) == {"body/kernel"}


class TestTrainable:
    def test_frozen_layers_are_left_out(self):
        model = image_head(layers.Flatten(), layers.Dense(4, name="a"), layers.Dense(3, name="b"))
        model.get_layer("conv").trainable = False
        assert set(weights.prunable(model)) == {"a/kernel", "b/kernel"}
        assert weights.total_parameters(model) == 9 * 4 + 4 + 144 * 4 + 4 + 4 * 3 + 3  # they are parameters all the same
        assert set(weights.kernels(model)) == {"conv/kernel", "a/kernel", "b/kernel"}

    def test_a_frozen_nested_model(self):
        model = nested()
        model.get_layer("first").trainable = False
        assert set(weights.prunable(model)) == {"second/dense/kernel", "dense/kernel"}

    def test_batch_norm_statistics_are_no_parameters(self):
        model = sequential(layers.Input((4,)), layers.Dense(4, use_bias=False), layers.BatchNormalization())
        assert weights.total_parameters(model) == 16 + 8


class Scaled(layers.Layer):
    """A layer of a user's own, which names one of its two weights as prunable."""

    def build(self, input_shape):
        self.mix = self.add_weight("mix", (input_shape[-1], 4))
        self.scale = self.add_weight("scale", (4,))

    def call(self, inputs):
        return inputs @ self.mix * self.scale

    def get_prunable_weights(self):
        return [self.mix]


def attention():
    inputs = layers.Input((5, 8))
    return tf_keras.Model(inputs, layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs))


LAYERS = {
    "conv1d": ((9, 2), lambda: layers.Conv1D(3, 2, name="l"), {"l/kernel": (2, 2, 3)}),
    "conv2d": ((9, 9, 2), lambda: layers.Conv2D(3, 2, name="l"), {"l/kernel": (2, 2, 2, 3)}),
    "conv3d": ((5, 5, 5, 2), lambda: layers.Conv3D(3, 2, name="l"), {"l/kernel": (2, 2, 2, 2, 3)}),
    "transpose": ((5, 5, 2), lambda: layers.Conv2DTranspose(3, 2, name="l"), {"l/kernel": (2, 2, 3, 2)}),
    "separable": ((5, 5, 2), lambda: layers.SeparableConv2D(3, 2, name="l"), {"l/pointwise_kernel": (1, 1, 2, 3)}),
    "depthwise": ((5, 5, 2), lambda: layers.DepthwiseConv2D(2, name="l"), {}),
    "batch norm": ((5,), lambda: layers.BatchNormalization(name="l"), {}),
    "embedding": ((5,), lambda: layers.Embedding(7, 3, name="l"), {"l/embeddings": (7, 3)}),
    "lstm": ((5, 2), lambda: layers.LSTM(3, name="l"), {"l/kernel": (2, 12), "l/recurrent_kernel": (3, 12)}),
    "gru": ((5, 2), lambda: layers.GRU(3, name="l"), {"l/kernel": (2, 9), "l/recurrent_kernel": (3, 9)}),
    "custom": ((5,), lambda: Scaled(name="l"), {"l/mix": (5, 4)}),
}


class TestLayers:
    @pytest.mark.parametrize("name", LAYERS)
    def test_kernels_of_the_registry(self, name):
        shape, make, expected = LAYERS[name]
        model = sequential(layers.Input(shape), make())
        assert {path: tuple(weight.variable.shape) for path, weight in weights.prunable(model).items()} == expected

    def test_attention_has_four(self):
        model = attention()
        found = weights.prunable(model)
        assert len(found) == 4
        expected = [getattr(model.get_layer("mha"), f"_{part}_dense").kernel for part in ("query", "key", "value", "output")]
        assert [id(weight.variable) for weight in found.values()] == [id(kernel) for kernel in expected]

    def test_regularizers_are_those_of_the_weight(self):
        model = sequential(
            layers.Input((5, 2)),
            layers.LSTM(3, kernel_regularizer="l1", recurrent_regularizer="l2", bias_regularizer="l1_l2", name="l"),
        )
        found = weights.prunable(model)
        assert isinstance(found["l/kernel"].regularizer, tf_keras.regularizers.L1)
        assert isinstance(found["l/recurrent_kernel"].regularizer, tf_keras.regularizers.L2)
        separable = sequential(
            layers.Input((5, 5, 2)), layers.SeparableConv2D(3, 2, depthwise_regularizer="l1", pointwise_regularizer="l2")
        )
        (weight,) = weights.prunable(separable).values()
        assert isinstance(weight.regularizer, tf_keras.regularizers.L2)
        embedding = sequential(layers.Input((5,)), layers.Embedding(4, 2, embeddings_regularizer="l2"))
        (weight,) = weights.prunable(embedding).values()
        assert isinstance(weight.regularizer, tf_keras.regularizers.L2)
