"""Masks on Keras 3 models: held through whatever trains, the same as in tf_keras, and nothing foreign left behind."""

from __future__ import annotations

import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrecall
from tfrecall import criteria, pruning, regularizers, schedules, training, weights
from tfrecall.errors import InputError
from tfrecall.pruning import keras3

layers = keras.layers
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(96, 8, 8, 1)).astype(np.float32), RNG.integers(0, 3, 96)
LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(autouse=True)
def _the_same_weights():
    """Make every model with the same weights in every run: one in some thousands has a weight that is exactly 0."""
    keras.utils.set_random_seed(0)


class Subclassed(keras.Model):
    """A model that no graph describes: two layers in a list share their name."""

    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(4, 3, name="conv")
        self.flat = layers.Flatten()
        self.blocks = [layers.Dense(16, activation="relu", name="block") for _ in range(2)]
        self.head = layers.Dense(3, activation="softmax", name="head")

    def call(self, inputs):
        tensor = self.flat(self.conv(inputs))
        for block in self.blocks:
            tensor = block(tensor)
        return self.head(tensor)


def subclassed():
    model = Subclassed()
    model(X[:1])
    return model


def sequential(kernel_constraint=None):
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(16, activation="relu", kernel_constraint=kernel_constraint, name="dense"),
            layers.Dense(3, activation="softmax", name="head"),
        ]
    )


def nested():
    inner = keras.Sequential(
        [layers.Input((144,)), layers.Dense(16, name="dense"), layers.Dense(8, name="last")], name="inner"
    )
    inputs = layers.Input((8, 8, 1))
    tensor = inner(layers.Flatten()(layers.Conv2D(4, 3, name="conv")(inputs)))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(tensor))


def shared_and_two_inputs():
    one, other, shared = layers.Input((8, 8, 1)), layers.Input((8, 8, 1)), layers.Dense(8, name="shared")
    both = layers.Concatenate()([shared(layers.Flatten()(one)), shared(layers.Flatten()(other))])
    return keras.Model([one, other], layers.Dense(3, activation="softmax", name="head")(both))


KINDS = {"subclassed": subclassed, "sequential": sequential, "nested": nested}


def compiled(model, optimizer=None, **options):
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), LOSS, **options)
    return model


def zeros(model):
    """{path: which weights are 0}, of all weights that can be pruned."""
    return {path: weight.value == 0 for path, weight in weights.prunable(model).items()}


def share_of_zeros(model):
    return sum(int(found.sum()) for found in zeros(model).values()) / model.count_params()


def assert_held(model, before):
    after = zeros(model)
    assert before.keys() == after.keys()
    for path, held in before.items():
        assert (after[path] | ~held).all(), path  # what was pruned is
    moved = sum(int((after[path] & ~held).sum()) for path, held in before.items())
    assert moved == 0  # and nothing else


class TestHolding:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_model_itself_is_pruned_and_stays_so_in_fit(self, kind):
        model = compiled(KINDS[kind]())
        total = weights.total_parameters(model)
        assert tfrecall.prune(model, 0.5) is model
        assert pruning.remaining_parameters(model) == total - round(0.5 * total)
        before, first = zeros(model), model.get_weights()
        model.fit(X, Y, epochs=2, verbose=0)
        assert_held(model, before)
        assert any((a != b).any() for a, b in zip(first, model.get_weights()))
        assert not zeros(model)["head/kernel"].any()

    def test_a_train_function_that_is_traced_already_holds_too(self):
        model = compiled(sequential())
        model.fit(X, Y, verbose=0)
        tfrecall.prune(model, 0.5)
        before = zeros(model)
        model.fit(X, Y, verbose=0)
        model.train_on_batch(X[:8], Y[:8])
        assert_held(model, before)

    @pytest.mark.parametrize(
        "optimizer",
        [
            lambda: keras.optimizers.Adam(0.01),
            lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
            lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda: keras.optimizers.RMSprop(0.01, momentum=0.5),
            lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=2),
            lambda: keras.optimizers.Adam(0.01, clipnorm=0.1),
        ],
        ids=["adam", "adamw", "sgd", "rmsprop", "accumulation", "clipped"],
    )
    def test_what_an_optimizer_remembers_brings_nothing_back(self, optimizer):
        model = compiled(sequential(), optimizer())
        model.fit(X, Y, epochs=2, verbose=0)  # momenta of weights that are pruned later
        tfrecall.prune(model, 0.7)
        before = zeros(model)
        model.fit(X, Y, epochs=2, verbose=0)
        assert_held(model, before)

    @pytest.mark.parametrize("frequency", [None, 3])
    def test_a_moving_average_that_replaces_the_weights_is_masked(self, frequency):
        model = compiled(sequential(), keras.optimizers.Adam(0.05, use_ema=True, ema_overwrite_frequency=frequency))
        model.fit(X, Y, verbose=0)
        tfrecall.prune(model, 0.7)
        before = zeros(model)
        model.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        assert_held(model, before)

    @pytest.mark.parametrize("options", [{"jit_compile": True}, {"steps_per_execution": 3}, {"run_eagerly": True}], ids=str)
    def test_however_a_step_is_run(self, options):
        model = tfrecall.prune(compiled(sequential(), **options), 0.5)
        before = zeros(model)
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
        assert_held(model, before)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_in_mixed_precision(self, policy):
        keras.mixed_precision.set_global_policy(policy)
        try:
            model = compiled(sequential())
        finally:
            keras.mixed_precision.set_global_policy("float32")
        tfrecall.prune(model, 0.5, "undecayed", (X, Y))
        before = zeros(model)
        model.fit(X, Y, epochs=2, verbose=0)
        assert_held(model, before)

    def test_under_a_mirrored_strategy(self):
        strategy = training.strategy("mirrored")
        with strategy.scope():
            model = compiled(sequential())
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
        callback = tfrecall.PruningCallback("gradient", schedules.OneShot(0.5, 3), (X, Y), loss=LOSS)
        tfrecall.prepare(model).fit(data, epochs=2, verbose=0, callbacks=[callback])
        assert share_of_zeros(model) == pytest.approx(0.5, abs=0.01)
        before = zeros(model)
        model.fit(data, verbose=0)
        assert_held(model, before)
        for replica in (0, 1):
            kernel = model.get_layer("dense").kernel.value.values[replica].numpy()
            np.testing.assert_array_equal(kernel == 0, before["dense/kernel"])

    def test_in_a_loop_of_ones_own(self):
        model, optimizer = subclassed(), keras.optimizers.Adam(0.01)
        tfrecall.prune(model, 0.5, "gradient", (X, Y), loss=LOSS)
        before = zeros(model)

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x, training=True)))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

        for _ in range(5):
            step(X[:32], Y[:32])
        assert_held(model, before)

    def test_a_constraint_of_the_weights_own_is_kept_and_comes_back(self):
        norm = keras.constraints.MaxNorm(0.5)
        model = tfrecall.prune(compiled(sequential(norm), keras.optimizers.SGD(1.0)), 0.5)
        before = zeros(model)
        model.fit(X, Y, verbose=0)
        assert_held(model, before)
        kernel = model.get_layer("dense").kernel
        assert np.linalg.norm(kernel.numpy(), axis=0).max() <= 0.5 + 1e-6
        assert kernel.constraint is not norm
        tfrecall.strip(model)
        assert kernel.constraint is norm

    def test_a_shared_layer_and_several_inputs(self):
        model = compiled(shared_and_two_inputs())
        data = (tuple([X, X[::-1]]), Y)
        assert list(weights.prunable(model)) == ["shared/kernel", "head/kernel"]
        tfrecall.prune(model, 0.5)
        before = zeros(model)
        model.fit(list(data[0]), Y, verbose=0)
        assert_held(model, before)


class TestFiles:
    @pytest.mark.parametrize("name", ["model.keras", "model.h5"])
    def test_a_pruned_model_is_saved_as_a_plain_one_and_goes_on(self, name, tmp_path):
        model = tfrecall.prune(compiled(sequential(keras.constraints.NonNeg())), 0.5)
        model.fit(X, Y, verbose=0)
        before = zeros(model)
        model.save(tmp_path / name)
        if name.endswith(".keras"):
            with zipfile.ZipFile(tmp_path / name) as archive:
                assert b"tfrecall" not in archive.read("config.json")
        again = keras.models.load_model(tmp_path / name)
        assert not keras3.is_prepared(again)
        np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
        compiled(again)  # from .h5 Keras 3 loads an optimizer that knows other variables
        again.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        for path, held in before.items():
            assert (zeros(again)[path] | ~held).all()

    def test_prepare_goes_on_with_the_zeros_that_are_there(self):
        model = tfrecall.strip(tfrecall.prune(sequential(), 0.5))
        assert not keras3.is_prepared(model)
        masks = keras3.masks(tfrecall.prepare(model))
        held = zeros(model)
        assert set(masks) == {"conv/kernel", "dense/kernel"}
        for path, mask in masks.items():
            np.testing.assert_array_equal(mask, ~held[path])

    def test_after_strip_nothing_is_held(self):
        model = tfrecall.strip(tfrecall.prune(compiled(sequential()), 0.5))
        before = zeros(model)
        model.fit(X, Y, verbose=0)
        assert sum(int((before[path] & ~found).sum()) for path, found in zeros(model).items()) > 100


class TestCallback:
    def test_a_schedule_prunes_as_in_tf_keras(self):
        model = compiled(sequential())
        schedule = schedules.Polynomial(0.8, 2, 10, frequency=2)
        callback = tfrecall.PruningCallback("undecayed", schedule, (X, Y))
        seen = []

        class Watch(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                seen.append(share_of_zeros(self.model))

        tfrecall.prepare(model).fit(X, Y, batch_size=8, verbose=0, callbacks=[callback, Watch()])
        assert seen[0] == 0
        assert seen == sorted(seen)
        total = weights.total_parameters(model)
        for step, target in schedule.events():
            assert seen[step - 1] * model.count_params() == pytest.approx(target * total, abs=1.5)
        assert pruning.remaining_parameters(model) == total - round(0.8 * total)

    def test_a_model_that_is_not_pruned_is_refused(self):
        with pytest.raises(InputError, match="needs a prepared model"):
            compiled(sequential()).fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        callback = tfrecall.PruningCallback("magnitude", schedules.OneShot(0.5))
        with pytest.raises(InputError, match="needs a prepared model"):
            compiled(sequential()).fit(X, Y, verbose=0, callbacks=[callback])


def pair(decay=0.0):
    """The same model in both Kerases, with the same weights."""
    models = []
    for library in (keras, tf_keras):
        options = {"kernel_regularizer": regularizers.UndecayedL2(decay)} if decay else {}
        models.append(
            library.Sequential(
                [
                    library.layers.Input((8, 8, 1)),
                    library.layers.Conv2D(4, 3, name="conv", **options),
                    library.layers.Flatten(),
                    library.layers.Dense(16, activation="relu", name="dense", **options),
                    library.layers.Dense(3, activation="softmax", name="head"),
                ]
            )
        )
        models[-1].compile("sgd", LOSS)
    models[1].set_weights(models[0].get_weights())
    return models


class TestBothKerases:
    @pytest.mark.parametrize("criterion", list(criteria.CRITERIA))
    @pytest.mark.parametrize("scope", ["global", "layer"])
    def test_the_same_weights_and_data_give_the_same_masks(self, criterion, scope):
        masks = []
        for model in pair(decay=0.05):
            pruned = tfrecall.prune(model, 0.6, criterion, (X, Y), scope=scope, seed=3)
            masks.append({path: weight.value != 0 for path, weight in weights.prunable(tfrecall.strip(pruned)).items()})
        assert masks[0].keys() == masks[1].keys()
        for path, mask in masks[0].items():
            np.testing.assert_array_equal(mask, masks[1][path])

    @pytest.mark.parametrize("criterion", ["gradient", "undecayed", "undecayed-sum"])
    def test_the_same_scores(self, criterion):
        one, other = (criteria.get(criterion).scores(model, (X, Y)) for model in pair(decay=0.05))
        for path, scores in one.items():
            np.testing.assert_allclose(scores, other[path], rtol=1e-4, atol=1e-7)

    def test_attention_and_recurrent_kernels_have_the_same_names(self):
        found = []
        for library in (keras, tf_keras):
            inputs = library.layers.Input((5, 8))
            tensor = library.layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs)
            tensor = library.layers.LSTM(3, name="lstm")(tensor)
            found.append(list(weights.prunable(library.Model(inputs, library.layers.Dense(2, name="out")(tensor)))))
        assert found[0] == found[1]
        assert found[0][:2] == ["mha/query/kernel", "mha/key/kernel"]

    @pytest.mark.parametrize("library", [0, 1], ids=["keras", "tf_keras"])
    def test_a_tensor_of_which_nothing_is_left_is_told_of(self, library):
        class DenseFirst:
            def scores(self, model, data=None, *, loss=None):
                return {
                    path: np.full(weight.value.shape, float(path != "conv/kernel"))
                    for path, weight in weights.prunable(model).items()
                }

        model = pair()[library]
        with pytest.warns(UserWarning, match=r"nothing is left of conv/kernel, so nothing.*scope=\"layer\""):
            tfrecall.prune(model, 0.05, DenseFirst())
