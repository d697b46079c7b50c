"""Masks on Keras 3 models: held through whatever trains, the same as in tf_keras, and nothing foreign left behind."""

from __future__ import annotations

import warnings
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrecall
from tfrecall import criteria, pruning, regularizers, schedules, training, weights
from tfrecall.errors import InputError, PruningWarning
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


def traced_step(model, optimizer=None):
    """A step of one's own, which is traced when it is first called."""
    optimizer = optimizer or keras.optimizers.SGD(0.05)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    return step


def values(model):
    """{path: array}, of all weights in which zeros count as pruned."""
    return {path: weight.value.copy() for path, weight in weights.sparse(model).items()}


def zeros(model):
    return {path: value == 0 for path, value in values(model).items()}


def share_of_zeros(model):
    return sum(int(found.sum()) for found in zeros(model).values()) / model.count_params()


def revived(model, before):
    return sum(int(((before[path] == 0) & (value != 0)).sum()) for path, value in values(model).items())


def assert_held(model, before):
    """What was pruned is, nothing else is, and what was kept has been trained."""
    after = values(model)
    assert before.keys() == after.keys()
    for path, was in before.items():
        np.testing.assert_array_equal(after[path] == 0, was == 0, err_msg=path)
    assert sum(int((after[path] != was).sum()) for path, was in before.items()) > 10


class TestHolding:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_model_itself_is_pruned_and_stays_so_in_fit(self, kind):
        model = compiled(KINDS[kind]())
        total = weights.total_parameters(model)
        assert tfrecall.prune(model, 0.5) is model
        assert pruning.remaining_parameters(model) == total - round(0.5 * total)
        before = values(model)
        model.fit(X, Y, epochs=2, verbose=0)
        assert_held(model, before)
        assert not zeros(model)["head/kernel"].any()

    def test_a_train_function_that_is_traced_already_holds_too(self):
        model = compiled(sequential())
        model.fit(X, Y, verbose=0)
        tfrecall.prune(model, 0.5)
        before = values(model)
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
        before = values(model)
        model.fit(X, Y, epochs=2, verbose=0)
        assert_held(model, before)

    @pytest.mark.parametrize("frequency", [None, 3])
    def test_a_moving_average_that_replaces_the_weights_is_masked(self, frequency):
        model = compiled(sequential(), keras.optimizers.Adam(0.05, use_ema=True, ema_overwrite_frequency=frequency))
        model.fit(X, Y, verbose=0)
        tfrecall.prune(model, 0.7)
        before = values(model)
        model.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        assert_held(model, before)

    @pytest.mark.parametrize("options", [{"jit_compile": True}, {"steps_per_execution": 3}, {"run_eagerly": True}], ids=str)
    def test_however_a_step_is_run(self, options):
        model = tfrecall.prune(compiled(sequential(), **options), 0.5)
        before = values(model)
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
        before = values(model)
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
        before = values(model)
        model.fit(data, verbose=0)
        assert_held(model, before)
        for replica in (0, 1):
            kernel = model.get_layer("dense").kernel.value.values[replica].numpy()
            np.testing.assert_array_equal(kernel == 0, before["dense/kernel"] == 0)

    def test_in_a_loop_of_ones_own(self):
        model = subclassed()
        tfrecall.prune(model, 0.5, "gradient", (X, Y), loss=LOSS)
        before = values(model)
        step = traced_step(model, keras.optimizers.Adam(0.01))
        for _ in range(5):
            step(X[:32], Y[:32])
        assert_held(model, before)

    def test_a_constraint_of_the_weights_own_is_kept_and_comes_back(self):
        norm = keras.constraints.MaxNorm(0.5)
        model = tfrecall.prune(compiled(sequential(norm), keras.optimizers.SGD(1.0)), 0.5)
        before = values(model)
        model.fit(X, Y, verbose=0)
        assert_held(model, before)
        kernel = model.get_layer("dense").kernel
        assert np.linalg.norm(kernel.numpy(), axis=0).max() <= 0.5 + 1e-6
        assert kernel.constraint is not norm
        tfrecall.strip(model)
        assert kernel.constraint is norm

    def test_a_constraint_that_lifts_zeros_lifts_none_that_are_pruned(self):
        class AtLeast(keras.constraints.Constraint):
            def __call__(self, weight):
                return keras.ops.maximum(weight, 0.01)

        model = tfrecall.prune(compiled(sequential(AtLeast())), 0.5)
        before = values(model)
        model.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        after = values(model)
        assert revived(model, before) == 0
        assert after["dense/kernel"][before["dense/kernel"] != 0].min() >= 0.01

    @pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras", "tf_keras"])
    def test_a_norm_is_one_of_what_is_kept(self, library):
        """The weight's own constraint sees the masked weight: what the update moved and the mask removes takes no part."""
        model = library.Sequential(
            [
                library.layers.Input((8, 8, 1)),
                library.layers.Flatten(),
                library.layers.Dense(16, kernel_constraint=library.constraints.UnitNorm(), name="dense"),
                library.layers.Dense(3, activation="softmax", name="head"),
            ]
        )
        pruned = tfrecall.prune(model, 0.5)
        pruned.compile(library.optimizers.SGD(50.0), LOSS)
        pruned.fit(X, Y, verbose=0)
        kernel = weights.prunable(tfrecall.strip(pruned))["dense/kernel"].value
        assert 0.4 < (kernel == 0).mean() < 0.7
        np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1, atol=1e-3)

    def test_freezing_changes_nothing_of_what_is_held(self):
        model = tfrecall.prune(compiled(sequential()), 0.5)
        before = values(model)
        dense = model.get_layer("dense")
        dense.trainable = False
        assert "dense/kernel" not in keras3.masks(model)
        model.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        for layer in model.layers:
            layer.trainable = False
        model.get_layer("head").trainable = True
        compiled(model).fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        for layer in model.layers:
            layer.trainable = True
        compiled(model).fit(X, Y, verbose=0)
        assert_held(model, before)
        dense.trainable = False
        tfrecall.strip(model)
        dense.trainable = True
        assert dense.kernel.constraint is None
        assert not keras3.is_prepared(model)

    @pytest.mark.parametrize("callbacks", [[], [keras.callbacks.SwapEMAWeights()]], ids=["alone", "swapped"])
    @pytest.mark.parametrize("first", [True, False])
    def test_validation_sees_a_moving_average_that_is_masked(self, callbacks, first):
        model = compiled(sequential(), keras.optimizers.Adam(0.05, use_ema=True))
        tfrecall.prune(model, 0.7)
        before, seen = values(model), []

        class Watch(keras.callbacks.Callback):
            def on_test_batch_end(self, batch, logs=None):
                seen.append(revived(self.model, before))

        held = [tfrecall.PruningCallback()]
        order = [*held, *callbacks, Watch()] if first else [*callbacks, *held, Watch()]
        model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y), callbacks=order)
        assert seen == [0] * len(seen) != []
        assert_held(model, before)

    def test_what_a_step_that_was_traced_before_brings_back_is_told_of(self):
        model = compiled(sequential())
        step = traced_step(model)
        step(X, Y)
        tfrecall.prune(model, 0.5)
        before = values(model)
        step(X, Y)
        assert revived(model, before) > 100
        with pytest.warns(
            PruningWarning, match="had come back, and were set to 0 again.*traced before the model was prepared"
        ):
            tfrecall.strip(model)
        assert revived(model, before) == 0

    def test_strip_lets_go_in_a_step_that_was_traced_meanwhile(self):
        model = compiled(sequential())
        tfrecall.prune(model, 0.5)
        step = traced_step(model)
        step(X, Y)
        before = values(tfrecall.strip(model))
        step(X, Y)
        assert revived(model, before) > 100

    def test_a_step_that_was_traced_after_preparing_holds_what_is_pruned_later(self):
        inner = sequential()
        outer = compiled(keras.Sequential([layers.Input((8, 8, 1)), inner]))
        tfrecall.prepare(inner)
        outer.fit(X, Y, verbose=0)
        tfrecall.prune(inner, 0.5)
        before = values(inner)
        outer.fit(X, Y, verbose=0)
        assert_held(inner, before)

    def test_a_train_function_of_the_models_own(self):
        class Own(keras.Sequential):
            def make_train_function(self):  # without `force`
                if self.train_function is None:
                    super().make_train_function()

            def train_step(self, data):
                x, y = data
                with tf.GradientTape() as tape:
                    loss = self.compute_loss(x, y, self(x, training=True))
                self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
                return {"loss": loss}

        model = compiled(Own([layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(16), layers.Dense(3, "softmax")]))
        model.fit(X, Y, verbose=0)
        tfrecall.prune(model, 0.5)
        before = values(model)
        model.fit(X, Y, verbose=0)
        assert_held(model, before)

    def test_a_zero_kernel_is_told_of(self):
        model = keras.Sequential(
            [layers.Input((8,)), layers.Dense(4, kernel_initializer="zeros", name="zero"), layers.Dense(3), layers.Dense(2)]
        )
        with pytest.warns(PruningWarning, match=r"zeros of zero/kernel \(32 of 32\) are trained, as initial values"):
            tfrecall.prepare(model)

    def test_a_prepared_model_is_not_asked_for_other_weights(self):
        model = tfrecall.prune(sequential(), 0.2)
        for options in ({"include_classifier": True}, {"only": "dense/kernel"}, {"exclude": "conv/kernel"}):
            with pytest.raises(InputError, match="for a model that is not prepared yet"):
                tfrecall.prune(model, 0.5, **options)
        with_head = tfrecall.prune(sequential(), 0.2, include_classifier=True)
        tfrecall.prune(with_head, 0.9, include_classifier=True)
        assert zeros(with_head)["head/kernel"].any()
        frozen = sequential()
        frozen.get_layer("head").trainable = False
        for ratio in (0.2, 0.5):
            tfrecall.prune(frozen, ratio, include_classifier=True)
        assert share_of_zeros(frozen) > 0.4

    def test_a_shared_layer_and_several_inputs(self):
        model = compiled(shared_and_two_inputs())
        data = (tuple([X, X[::-1]]), Y)
        assert list(weights.prunable(model)) == ["shared/kernel", "head/kernel"]
        tfrecall.prune(model, 0.5)
        before = values(model)
        model.fit(list(data[0]), Y, verbose=0)
        assert_held(model, before)


class TestFiles:
    @pytest.mark.parametrize("name", ["model.keras", "model.h5"])
    def test_a_pruned_model_is_saved_as_a_plain_one_and_goes_on(self, name, tmp_path):
        model = tfrecall.prune(compiled(sequential(keras.constraints.NonNeg())), 0.5)
        model.fit(X, Y, verbose=0)
        before = values(model)
        model.save(tmp_path / name)
        if name.endswith(".keras"):
            with zipfile.ZipFile(tmp_path / name) as archive:
                assert b"tfrecall" not in archive.read("config.json")
        again = keras.models.load_model(tmp_path / name)
        assert not keras3.is_prepared(again)
        np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
        compiled(again)  # from .h5 Keras 3 loads an optimizer that knows other variables
        again.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        assert revived(again, before) == 0

    def test_what_was_named_or_made_the_outputs_goes_on_too(self, tmp_path):
        """Weights that only= named are found again by their zeros, whatever they are called."""
        model = compiled(
            keras.Sequential(
                [
                    layers.Input((8, 8, 1)),
                    layers.DepthwiseConv2D(3, depth_multiplier=4, name="depth"),
                    layers.Flatten(),
                    layers.Dense(16, name="dense"),
                    layers.Dense(3, activation="softmax", name="head"),
                ]
            )
        )
        tfrecall.prune(model, 0.5, "random", only=["depth/kernel", "dense/kernel", "head/kernel"])
        before, remaining = values(model), pruning.remaining_parameters(model)
        assert all((before[path] == 0).any() for path in ("depth/kernel", "dense/kernel", "head/kernel"))
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        assert pruning.remaining_parameters(again) == remaining
        again.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        assert_held(again, before)
        with pytest.warns(PruningWarning, match="depth/kernel, head/kernel has zeros that are not held: name it in only="):
            tfrecall.prepare(keras.models.load_model(tmp_path / "model.keras"))

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
        before = values(model)
        model.fit(X, Y, verbose=0)
        assert revived(model, before) > 100


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

    @pytest.mark.parametrize("steps", [1, 8])
    def test_the_last_event_is_not_missed_where_several_steps_are_one_execution(self, steps):
        model = compiled(sequential(), steps_per_execution=steps)
        callback = tfrecall.PruningCallback("magnitude", schedules.Polynomial(0.8, 0, 6, frequency=3))
        tfrecall.prepare(model).fit(X, Y, batch_size=len(X) // 8, verbose=0, callbacks=[callback])
        total = weights.total_parameters(model)
        assert pruning.remaining_parameters(model) == total - round(0.8 * total)

    def test_weights_that_were_loaded_into_a_prepared_model_stay_pruned(self, tmp_path):
        tfrecall.prune(compiled(sequential()), 0.5).save_weights(tmp_path / "pruned.weights.h5")
        model = tfrecall.prepare(compiled(sequential()))
        model.load_weights(tmp_path / "pruned.weights.h5")
        before = values(model)
        model.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        assert_held(model, before)

    def test_loaded_zeros_are_held_until_a_schedule_goes_on(self, tmp_path):
        tfrecall.prune(compiled(sequential()), 0.5).save_weights(tmp_path / "pruned.weights.h5")
        model = tfrecall.prepare(compiled(sequential()))
        model.load_weights(tmp_path / "pruned.weights.h5")
        before = values(model)
        callback = tfrecall.PruningCallback("random", schedules.OneShot(0.6, 3))
        model.fit(X, Y, verbose=0, batch_size=16, callbacks=[callback])
        total = weights.total_parameters(model)
        assert revived(model, before) == 0
        assert pruning.remaining_parameters(model) == total - round(0.6 * total)

    def test_what_may_start_at_0_is_not_taken_for_loaded(self):
        """A weight that is all 0, or that its own constraint sets to 0 for now, is trained."""
        dense, norm = layers.Dense(16, name="dense"), layers.Dense(16, kernel_constraint="non_neg", name="norm")
        model = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), dense, norm, layers.Dense(3, "softmax")])
        tfrecall.prepare(compiled(model))
        dense.kernel.assign(np.zeros(dense.kernel.shape))
        norm.kernel.assign(np.maximum(norm.kernel, 0))
        model.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        assert dense.kernel.numpy().all()
        assert all(mask.all() for mask in keras3.masks(model).values())

    def test_a_schedule_needs_an_optimizer(self):
        callback = tfrecall.PruningCallback("magnitude", schedules.OneShot(0.5))
        callback.set_model(tfrecall.prepare(subclassed()))
        with pytest.raises(InputError, match=r"in a loop of your own, call tfrecall\.prune"):
            callback.on_train_begin()

    def test_zeros_by_chance_are_not_taken_for_pruned(self):
        model = compiled(sequential())
        kernel = model.get_layer("dense").kernel.numpy()
        kernel[0, :2] = 0  # of 2,300
        model.get_layer("dense").kernel.assign(kernel)
        with pytest.raises(InputError, match="needs a prepared model"):
            model.fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])

    def test_a_model_that_is_not_pruned_is_refused(self):
        with pytest.raises(InputError, match="needs a prepared model"):
            compiled(sequential()).fit(X, Y, verbose=0, callbacks=[tfrecall.PruningCallback()])
        callback = tfrecall.PruningCallback("magnitude", schedules.OneShot(0.5))
        with pytest.raises(InputError, match="needs a prepared model"):
            compiled(sequential()).fit(X, Y, verbose=0, callbacks=[callback])


def pair(decay=0.0, **options):
    """The same model in both Kerases, with the same weights."""
    models = []
    for library in (keras, tf_keras):
        if decay:
            options["kernel_regularizer"] = regularizers.UndecayedL2(decay)
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
    def test_every_output_of_a_subclassed_model_counts(self):
        """Its scores are those of the Functional model of the same layers."""

        class Two(keras.Model):
            def __init__(self, trunk, heads):
                super().__init__()
                self.trunk, self.heads, self.flat = trunk, heads, layers.Flatten()

            def call(self, images):
                tensor = self.trunk(self.flat(images))
                return [head(tensor) for head in self.heads]

        trunk, heads = layers.Dense(8, name="trunk"), [layers.Dense(3, activation="softmax", name=name) for name in "ab"]
        own, inputs = Two(trunk, heads), layers.Input((8, 8, 1))
        own(X[:1])
        functional = keras.Model(inputs, [head(trunk(layers.Flatten()(inputs))) for head in heads])
        scores = []
        for model in (own, functional):
            model.compile("sgd", [LOSS, LOSS], loss_weights=[1.0, 0.5])
            scores.append(criteria.get("undecayed").scores(model, (X, [Y, 2 - Y])))
        assert scores[0].keys() == scores[1].keys() == {"trunk/kernel", "a/kernel", "b/kernel"}
        for path, found in scores[0].items():
            np.testing.assert_allclose(found, scores[1][path], rtol=1e-4, atol=1e-8)
            assert found.sum() > 0
        with pytest.raises(InputError, match="expected one loss for each of the model's 2 outputs; got 3"):
            criteria.get("undecayed").scores(own, (X, [Y, Y]), loss=[LOSS] * 3)

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

    @pytest.mark.parametrize("criterion", ["gradient", "undecayed", "undecayed-sum"])
    def test_the_same_scores_with_a_decay_of_the_optimizers_and_activity_regularizers(self, criterion):
        found = []
        for library, model in zip((keras, tf_keras), pair(decay=0.05, activity_regularizer="l2")):
            optimizer = library.optimizers.AdamW(0.01, weight_decay=0.3)
            optimizer.exclude_from_weight_decay(var_list=[model.get_layer("conv").kernel])
            model.compile(optimizer, LOSS)
            found.append(criteria.get(criterion).scores(model, (X, Y)))
        for path, scores in found[0].items():
            np.testing.assert_allclose(scores, found[1][path], rtol=1e-4, atol=1e-7)

    def test_the_same_masks_of_attention_and_recurrent_kernels(self):
        kept = []
        for library in (keras, tf_keras):
            inputs = library.layers.Input((8, 8))
            tensor = library.layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs)
            tensor = library.layers.LSTM(3, name="lstm")(tensor)
            model = library.Model(inputs, library.layers.Dense(3, activation="softmax", name="out")(tensor))
            model.compile("sgd", LOSS)
            rng = np.random.default_rng(0)
            for weight in weights.prunable(model).values():
                weight.variable.assign(rng.normal(size=weight.variable.shape))
            pruned = tfrecall.strip(tfrecall.prune(model, 0.5, "gradient", (X[..., 0], Y)))
            kept.append({path: weight.value != 0 for path, weight in weights.prunable(pruned).items()})
        assert kept[0].keys() == kept[1].keys()
        for path, mask in kept[0].items():
            np.testing.assert_array_equal(mask, kept[1][path], err_msg=path)

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
        with pytest.warns(PruningWarning, match=r"nothing is left of conv/kernel, so nothing.*scope=\"layer\""):
            tfrecall.prune(model, 0.05, DenseFirst())

    @pytest.mark.parametrize("library", [0, 1], ids=["keras", "tf_keras"])
    def test_a_tensor_with_less_than_one_weight_a_unit_is_named_with_its_count(self, library):
        class AllButOneOfConv:
            def scores(self, model, data=None, *, loss=None):
                found = {path: np.ones(weight.value.shape) for path, weight in weights.prunable(model).items()}
                found["conv/kernel"][:] = 0
                found["conv/kernel"].flat[0] = 2
                return found

        model = pair()[library]
        size = weights.prunable(model)["conv/kernel"].size
        ratio = (size - 1) / weights.total_parameters(model)
        with pytest.warns(PruningWarning, match=rf"almost nothing is left of conv/kernel \(1 of {size} weights left\)"):
            tfrecall.prune(model, ratio, AllButOneOfConv())
        with warnings.catch_warnings():  # nothing new is lost by pruning to the same ratio again
            warnings.simplefilter("error", PruningWarning)
            tfrecall.prune(pair()[library], 0.01, AllButOneOfConv())
