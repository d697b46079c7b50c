"""Masks on tf_keras models: chosen exactly, held through every way of training, saved, loaded, and taken off again."""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import PruneLowMagnitude
from tf_keras import layers

from tfrecall import criteria, pruning, schedules, training, weights
from tfrecall.errors import InputError
from tfrecall.pruning import PruningCallback
from tfrecall.pruning.tfmot import disarm, masks, set_masks
from tfrecall.regularizers import UndecayedL2

N, FEATURES, CLASSES = 32, 6, 3
TOTAL = 6 * 16 + 16 + 16 * 16 + 16 + 16 * 3 + 3  # of mlp()
LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, N)


@pytest.fixture
def policy():
    yield tf_keras.mixed_precision.set_global_policy
    tf_keras.mixed_precision.set_global_policy("float32")


def mlp(seed=0, constraint=None, regularizer=None):
    tf_keras.utils.set_random_seed(seed)
    return tf_keras.Sequential(
        [
            layers.Input((FEATURES,)),
            layers.Dense(16, "relu", kernel_constraint=constraint, kernel_regularizer=regularizer, name="a"),
            layers.Dense(16, "relu", name="b"),
            layers.Dense(CLASSES, "softmax", dtype="float32", name="out"),
        ]
    )


def compiled(model, optimizer="sgd", **arguments):
    model.compile(optimizer, LOSS, **arguments)
    return model


def count(total, ratio):
    """How many of all parameters a ratio removes, in exact fractions."""
    exact = Fraction(str(ratio))
    share = exact if exact < 1 else 1 - 1 / exact
    return int(share * total + Fraction(1, 2))


def kernels(model):
    return {path: weight.variable.numpy() for path, weight in weights.prunable(model).items()}


def zeros(model):
    return sum(int((kernel == 0).sum()) for kernel in kernels(model).values())


def removed(model):
    return sum(int((~mask).sum()) for mask in masks(model).values())


def assert_masks_hold(model):
    values = kernels(model)
    for path, mask in masks(model).items():
        assert (values[path][~mask] == 0).all(), path
        assert (values[path][mask] != 0).all(), path


class Watch(tf_keras.callbacks.Callback):
    """Record how many weights are removed after each batch; see that nothing removed comes back."""

    def __init__(self, hold=True):
        super().__init__()
        self.removed, self.hold, self.before = [], hold, None

    def on_train_batch_end(self, batch, logs=None):
        now = masks(self.model)
        if self.hold:
            assert_masks_hold(self.model)
        if self.before is not None:
            for path, mask in now.items():
                assert not (mask & ~self.before[path]).any(), f"{path}: a pruned weight came back"
        self.before = now
        self.removed.append(removed(self.model))


def fit(model, data, *callbacks, epochs=1, batch_size=8, **arguments):
    return model.fit(
        *data, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **arguments
    )


class TestOneShot:
    @pytest.mark.parametrize("scope", ["global", "layer"])
    @pytest.mark.parametrize("include_classifier", [False, True])
    @pytest.mark.parametrize("ratio", [0.3, 0.5, 2, 3, 0.777])
    def test_removes_the_exact_share_of_all_parameters(self, ratio, scope, include_classifier):
        model = mlp()
        pruned = pruning.prune(model, ratio, scope=scope, include_classifier=include_classifier)
        k = count(TOTAL, ratio)
        assert sum(weight.numpy().size for weight in pruned.trainable_weights) == TOTAL
        assert removed(pruned) == zeros(pruned) == k
        assert set(masks(pruned)) == {"a/kernel", "b/kernel", *(["out/kernel"] if include_classifier else [])}
        assert pruning.remaining_parameters(pruning.strip(pruned)) == TOTAL - k
        if scope == "layer":
            sizes = {path: mask.size for path, mask in masks(pruned).items()}
            for path, mask in masks(pruned).items():
                assert abs((~mask).sum() - k * sizes[path] / sum(sizes.values())) < 1

    def test_global_magnitude_is_a_sort_of_everything(self):
        model = mlp()
        flat = np.concatenate([np.abs(kernel).ravel() for path, kernel in kernels(model).items() if path != "out/kernel"])
        threshold = np.sort(flat)[count(TOTAL, 0.6) - 1]
        for path, mask in masks(pruning.prune(model, 0.6)).items():
            np.testing.assert_array_equal(mask, np.abs(kernels(model)[path]) > threshold)

    @pytest.mark.parametrize("name", criteria.CRITERIA)
    @pytest.mark.parametrize("scope", ["global", "layer"])
    def test_what_goes_scores_lowest(self, data, name, scope):
        model = compiled(mlp(regularizer=UndecayedL2(0.1)), tf_keras.optimizers.SGD(weight_decay=0.1))
        scores = criteria.get(name, seed=3).scores(model, data)
        kept = masks(pruning.prune(model, 2, name, data, scope=scope, seed=3))
        groups = [list(kept)] if scope == "global" else [[path] for path in kept]
        for group in groups:
            gone = np.concatenate([scores[path][~kept[path]] for path in group])
            stayed = np.concatenate([scores[path][kept[path]] for path in group])
            assert gone.max() <= stayed.min()

    def test_kept_weights_keep_their_values(self):
        model = mlp()
        pruned = pruning.prune(model, 2)
        for path, mask in masks(pruned).items():
            np.testing.assert_array_equal(kernels(pruned)[path], kernels(model)[path] * mask)
        np.testing.assert_array_equal(kernels(pruned)["out/kernel"], kernels(model)["out/kernel"])

    def test_the_original_is_untouched_and_shares_nothing(self, data):
        model = compiled(mlp(), tf_keras.optimizers.Adam())
        fit(model, data)
        before = [value.copy() for value in model.get_weights()]
        attributes = {layer.name: set(vars(layer)) for layer in model.layers}
        constraints = [variable.constraint for variable in model.weights]
        pruned = compiled(pruning.prune(model, 3, "undecayed", data), tf_keras.optimizers.SGD(0.1))
        fit(pruned, data, PruningCallback())
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        assert {id(variable) for variable in model.variables}.isdisjoint(id(variable) for variable in pruned.variables)
        assert {id(layer) for layer in model.layers}.isdisjoint(id(layer) for layer in pruned.layers)
        assert {layer.name: set(vars(layer)) for layer in model.layers} == attributes
        assert [variable.constraint for variable in model.weights] == constraints
        fit(model, data)  # it trains on, unpruned
        assert zeros(model) == 0

    def test_batch_norm_statistics_come_along(self):
        model = tf_keras.Sequential(
            [layers.Input((4,)), layers.Dense(8), layers.BatchNormalization(name="n"), layers.Dense(2)]
        )
        model.get_layer("n").moving_mean.assign(np.arange(8.0))
        assert pruning.prune(model, 0.2).get_layer("n").moving_mean.numpy().tolist() == list(range(8))

    def test_seeded(self):
        first, again, other = (masks(pruning.prune(mlp(), 2, "random", seed=seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first["b/kernel"], again["b/kernel"])
        assert not np.array_equal(first["b/kernel"], other["b/kernel"])


OPTIMIZERS = {
    "sgd momentum": lambda: tf_keras.optimizers.SGD(0.1, 0.9, nesterov=True),
    "sgd decay": lambda: tf_keras.optimizers.SGD(0.1, 0.9, weight_decay=0.1),
    "adam": lambda: tf_keras.optimizers.Adam(0.01),
    "adamw": lambda: tf_keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "legacy adam": lambda: tf_keras.optimizers.legacy.Adam(0.01),
    "average": lambda: tf_keras.optimizers.SGD(0.1, 0.9, use_ema=True),
    "average, overwriting": lambda: tf_keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=2),
    "compiled": lambda: tf_keras.optimizers.SGD(0.1, 0.9, jit_compile=True),
}


class TestHolding:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_through_every_optimizer(self, data, name):
        """Moments gathered before pruning would move pruned weights, so each model trains unpruned first."""
        model = compiled(pruning.prepare(mlp()), OPTIMIZERS[name]())
        fit(model, data, PruningCallback())
        model = compiled(pruning.prune(model, 2, "random"), model.optimizer)
        kept, before = masks(model), kernels(model)
        watch = Watch(hold="average" not in name)
        fit(model, data, PruningCallback(), watch, epochs=2)
        assert watch.removed == [count(TOTAL, 2)] * 8
        for path, mask in kept.items():
            np.testing.assert_array_equal(masks(model)[path], mask)
            assert (kernels(model)[path][mask] != before[path][mask]).mean() > 0.5, "the kept weights do not learn"
        assert_masks_hold(model)

    @pytest.mark.parametrize("optimizer", [None, "compiled"])
    def test_compiled_by_xla(self, data, optimizer):
        arguments = {"jit_compile": True} if optimizer is None else {}
        model = compiled(pruning.prune(mlp(), 2), OPTIMIZERS[optimizer or "sgd momentum"](), **arguments)
        watch = Watch()
        fit(model, data, PruningCallback(), watch)
        assert watch.removed == [count(TOTAL, 2)] * 4

    @pytest.mark.parametrize("graph", [False, True])
    def test_in_a_loop_of_ones_own(self, data, graph):
        model = pruning.prune(mlp(), 2)
        before = kernels(model)
        optimizer = tf_keras.optimizers.Adam(0.01)

        def step(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf_keras.losses.sparse_categorical_crossentropy(y, model(x, training=True)))
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))

        step = tf.function(step) if graph else step
        for _ in range(3):
            step(*map(tf.constant, data))
            assert_masks_hold(model)
        assert not np.allclose(before["b/kernel"], kernels(model)["b/kernel"])

    def test_eagerly(self, data):
        model = compiled(pruning.prune(mlp(), 2), run_eagerly=True)
        watch = Watch()
        fit(model, data, PruningCallback(), watch)
        assert len(watch.removed) == 4

    def test_several_steps_an_execution(self, data):
        schedule = schedules.Iterative(4, 3, begin_step=2, frequency=3)  # events at 2, 5 and 8, executions at 1, 5, 9 …
        model = compiled(pruning.prepare(mlp()), OPTIMIZERS["sgd momentum"](), steps_per_execution=4)
        watch = Watch()
        fit(model, data, PruningCallback("magnitude", schedule), watch, epochs=3)
        assert watch.removed == [0, count(TOTAL, schedule.at(5)), count(TOTAL, 4)]
        assert_masks_hold(model)

    @pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
    def test_mixed_precision(self, data, policy, name):
        policy(name)
        model = compiled(mlp(), "adam")
        assert model.layers[0].compute_dtype == name.removeprefix("mixed_")
        schedule = schedules.Iterative(3, 2, begin_step=3, frequency=2)
        pruned = compiled(pruning.prune(model, 2, "undecayed", data), "adam")
        watch = Watch()
        fit(pruned, data, PruningCallback("undecayed", schedule, data), watch, epochs=2)
        assert watch.removed[-1] == count(TOTAL, 3)
        assert_masks_hold(pruned)
        plain = pruning.strip(pruned)
        assert plain.layers[0].compute_dtype == name.removeprefix("mixed_")
        np.testing.assert_allclose(plain.predict(data[0], verbose=0), pruned.predict(data[0], verbose=0), atol=1e-6)
        assert zeros(plain) == count(TOTAL, 3)

    @pytest.mark.parametrize("name", ["float32", "mixed_float16"])
    def test_two_replicas(self, data, policy, name):
        policy(name)
        strategy = training.strategy("mirrored")
        assert strategy.num_replicas_in_sync == 2
        schedule = schedules.Iterative(4, 2, begin_step=2, frequency=3)
        with strategy.scope():
            plain = compiled(mlp(), "adam")
            model = compiled(pruning.prune(plain, 0.2, "undecayed", data), "adam")
        watch = Watch()
        callback = PruningCallback("undecayed", schedule, data)
        fit(model, data, callback, watch, epochs=2)
        assert watch.removed[0] == count(TOTAL, 0.2)
        assert watch.removed[-1] == count(TOTAL, 4)
        for wrapper in [layer for layer in model.layers if isinstance(layer, PruneLowMagnitude)]:
            for weight, mask, _ in wrapper.pruning_vars:
                left, right = (value.numpy() for value in strategy.experimental_local_results(mask))
                assert left.size == mask.shape.num_elements()
                np.testing.assert_array_equal(left, right)
                left, right = (value.numpy() for value in strategy.experimental_local_results(weight))
                np.testing.assert_array_equal(left, right)
                np.testing.assert_array_equal(left == 0, mask.numpy() == 0)
        stripped = pruning.strip(model)
        np.testing.assert_allclose(stripped.predict(data[0], verbose=0), model.predict(data[0], verbose=0), atol=1e-6)

    def test_constraints_of_the_layers_are_composed(self, data):
        constraint = tf_keras.constraints.MaxNorm(0.4, axis=0)
        model = compiled(pruning.prune(mlp(constraint=constraint), 2), tf_keras.optimizers.SGD(0.5))
        fit(model, data, PruningCallback(), Watch())
        norms = np.linalg.norm(kernels(model)["a/kernel"], axis=0)
        assert 0.2 < norms.max() <= 0.4 + 1e-5
        plain = pruning.strip(model)
        assert isinstance(plain.get_layer("a").kernel_constraint, tf_keras.constraints.MaxNorm)
        assert isinstance(plain.get_layer("a").kernel.constraint, tf_keras.constraints.MaxNorm)
        assert plain.get_layer("b").kernel.constraint is None
        fit(compiled(plain, tf_keras.optimizers.SGD(0.5)), data)
        assert np.linalg.norm(kernels(plain)["a/kernel"], axis=0).max() <= 0.4 + 1e-5
        assert zeros(plain) < count(TOTAL, 2), "a stripped model is free to grow back"


class TestGradual:
    SCHEDULE = schedules.Polynomial(3, 2, 7, initial_ratio=0.2, frequency=2)  # events at 2, 4, 6 and 7

    @pytest.mark.parametrize("name", criteria.CRITERIA)
    @pytest.mark.parametrize("scope", ["global", "layer"])
    def test_every_criterion_follows_the_schedule(self, data, name, scope):
        model = compiled(pruning.prepare(mlp()), OPTIMIZERS["sgd momentum"]())
        watch = Watch()
        fit(model, data, PruningCallback(name, self.SCHEDULE, data, scope=scope), watch, epochs=2)
        events = dict(self.SCHEDULE.events())
        wanted, expected = 0, []
        for step in range(1, 9):
            wanted = count(TOTAL, round(events[step], 9)) if step in events else wanted
            expected.append(wanted)
        assert watch.removed == expected
        assert watch.removed[-1] == count(TOTAL, 3)
        assert_masks_hold(model)

    def test_scores_are_taken_when_the_event_is_due(self, data):
        """Pruning after three steps must rank the weights of that moment."""
        model = compiled(pruning.prepare(mlp()), tf_keras.optimizers.SGD(0.5))
        twin = compiled(mlp(), tf_keras.optimizers.SGD(0.5))
        first = tuple(part[:24] for part in data)
        fit(twin, first)
        fit(model, data, PruningCallback("undecayed", schedules.OneShot(2, 4), data))
        expected = masks(pruning.prune(twin, 2, "undecayed", data))
        for path, mask in masks(model).items():
            assert (mask != expected[path]).mean() < 0.02
        at_start = masks(pruning.prune(compiled(mlp()), 2, "undecayed", data))
        assert any((masks(model)[path] != mask).mean() > 0.02 for path, mask in at_start.items())

    def test_tfmots_schedules_serve_too(self, data):
        model = compiled(pruning.prepare(mlp()))
        schedule = tfmot.sparsity.keras.PolynomialDecay(0.2, 0.5, 1, 5, frequency=2)
        watch = Watch()
        fit(model, data, PruningCallback("magnitude", schedule), watch, epochs=2)
        assert watch.removed[0] == count(TOTAL, 0.2)
        assert watch.removed[-1] == count(TOTAL, 0.5)
        assert watch.removed == sorted(watch.removed)

    def test_with_a_moving_average(self, data):
        """The average remembers weights from before they were pruned, and Keras puts it in their place at the end."""
        model = compiled(pruning.prepare(mlp()), tf_keras.optimizers.SGD(0.1, use_ema=True))
        fit(model, data, PruningCallback("magnitude", self.SCHEDULE), epochs=2)
        assert zeros(model) == count(TOTAL, 3)
        assert_masks_hold(model)

    def test_a_second_fit_goes_on_where_the_first_stopped(self, data):
        halves, whole = (compiled(pruning.prepare(mlp()), OPTIMIZERS["sgd momentum"]()) for _ in range(2))
        callback = PruningCallback("undecayed", self.SCHEDULE, data)
        fit(halves, data, callback)
        fit(halves, data, callback)
        fit(whole, data, PruningCallback("undecayed", self.SCHEDULE, data), epochs=2)
        for path, kernel in kernels(whole).items():
            np.testing.assert_allclose(kernels(halves)[path], kernel, atol=1e-6)

    def test_an_event_that_training_went_past_is_caught_up_on(self, data):
        model = compiled(pruning.prepare(mlp()))
        fit(model, data, epochs=2)
        fit(model, data, PruningCallback("magnitude", schedules.OneShot(4)))
        assert removed(model) == count(TOTAL, 4)

    def test_any_object_with_scores(self, data):
        class Largest:
            def scores(self, model, data=None, *, loss=None):
                return {path: -np.abs(kernel) for path, kernel in kernels(model).items()}

        model = mlp()
        kept = masks(pruning.prune(model, 0.3, Largest()))
        gone = np.concatenate([np.abs(kernels(model)[path][~mask]) for path, mask in kept.items()])
        stayed = np.concatenate([np.abs(kernels(model)[path][mask]) for path, mask in kept.items()])
        assert gone.min() >= stayed.max()


class TestFurther:
    @pytest.mark.parametrize("scopes", [("global", "global"), ("layer", "layer"), ("global", "layer"), ("layer", "global")])
    @pytest.mark.parametrize("name", ["magnitude", "random", "undecayed"])
    def test_keeps_what_was_pruned(self, data, scopes, name):
        model = mlp()
        model.get_layer("a").kernel.assign(model.get_layer("a").kernel * 0.01)  # which global pruning empties first
        once = compiled(pruning.prune(model, 0.3, scope=scopes[0]))
        before = masks(once)
        twice = pruning.prune(once, 2, name, data, scope=scopes[1], seed=1)
        assert twice is once
        assert removed(twice) == zeros(twice) == count(TOTAL, 2)
        for path, mask in masks(twice).items():
            assert not (mask & ~before[path]).any()

    def test_a_lower_ratio_brings_nothing_back(self):
        pruned = pruning.prune(mlp(), 3)
        pruning.prune(pruned, 2)
        assert removed(pruned) == count(TOTAL, 3)

    def test_an_infeasible_ratio_leaves_the_masks(self):
        pruned = pruning.prune(mlp(), 2)
        with pytest.raises(InputError, match="largest feasible ratio"):
            pruning.prune(pruned, 50)
        assert removed(pruned) == zeros(pruned) == count(TOTAL, 2)

    def test_zeros_of_a_plain_model_stay_pruned(self, data):
        sparse = pruning.strip(pruning.prune(mlp(), 4, "magnitude"))
        pruned = compiled(pruning.prune(sparse, 2, "undecayed", data, loss=LOSS))
        fit(pruned, data, PruningCallback(), epochs=2)
        assert zeros(pruned) == count(TOTAL, 4)
        for path, kernel in kernels(sparse).items():
            assert not kernels(pruned)[path][kernel == 0].any()

    def test_a_stripped_model(self, data):
        model = pruning.strip(pruning.prune(mlp(), 2))
        again = pruning.prune(model, 3)
        assert zeros(again) == count(TOTAL, 3)
        for path, kernel in kernels(model).items():
            assert (kernels(again)[path][kernel == 0] == 0).all()


class TestModelsThatTfmotWrapped:
    """A wrapper that wants to prune at every step, by magnitude, layer by layer, to 90 %: it must not get its way."""

    @staticmethod
    def wrapped():
        eager = tfmot.sparsity.keras.ConstantSparsity(0.9, begin_step=0, frequency=1)
        return tfmot.sparsity.keras.prune_low_magnitude(mlp(), pruning_schedule=eager)

    @pytest.mark.parametrize("traced", [False, True])
    def test_the_callback_alone_sets_masks(self, data, traced):
        model = compiled(self.wrapped(), tf_keras.optimizers.SGD(0.05))
        if traced:  # by a fit in which the wrapper had its way
            fit(model, data, tfmot.sparsity.keras.UpdatePruningStep())
            assert 0.85 < removed(model) / sum(mask.size for mask in masks(model).values()) < 0.95
            set_masks(model, {path: np.ones_like(mask) for path, mask in masks(model).items()}, {})
            tf_keras.utils.set_random_seed(1)
            for weight in weights.prunable(model).values():
                weight.variable.assign(tf.random.normal(weight.variable.shape))
            model.optimizer.iterations.assign(0)
        schedule = schedules.Iterative(0.5, 2, begin_step=2, frequency=3)
        watch = Watch(hold=False)
        fit(model, data, PruningCallback("undecayed", schedule, data), watch, epochs=2)
        first, last = count(TOTAL, schedule.at(2)), count(TOTAL, 0.5)
        assert watch.removed == [0, first, first, first, last, last, last, last]
        assert_masks_hold(model)

    def test_a_callback_takes_over_in_the_middle_of_training(self, data):
        """`fit` made its training function before it asks callbacks: it must go on with one that asks the new schedule."""
        model = compiled(self.wrapped(), tf_keras.optimizers.SGD(0.05))
        fit(model, data, tfmot.sparsity.keras.UpdatePruningStep())
        before = removed(model)
        watch = Watch(hold=False)
        fit(model, data, PruningCallback("magnitude", schedules.OneShot(0.9, 6), data), watch)
        assert watch.removed == [before, *[max(before, count(TOTAL, 0.9))] * 3]
        assert_masks_hold(model)

    def test_masks_of_prune_hold(self, data):
        model = compiled(self.wrapped())
        model = compiled(pruning.prune(model, 2, "undecayed", data))
        kept = masks(model)
        fit(model, data, PruningCallback(), epochs=2)
        for path, mask in masks(model).items():
            np.testing.assert_array_equal(mask, kept[path])
        plain = pruning.strip(model)
        assert zeros(plain) == count(TOTAL, 2)
        assert not any(isinstance(layer, PruneLowMagnitude) for layer in plain.layers)

    def test_without_a_schedule_the_wrappers_keep_their_own(self, data):
        """As with tfmot's own callback, from the same start: what it prunes is what tfmot's schedule says."""
        models = [compiled(self.wrapped(), tf_keras.optimizers.SGD(0.05)) for _ in range(2)]
        for model, callback in zip(models, (PruningCallback(), tfmot.sparsity.keras.UpdatePruningStep())):
            tf_keras.utils.set_random_seed(1)
            fit(model, data, callback)
        assert removed(models[0]) > 0
        for path, mask in masks(models[0]).items():
            np.testing.assert_array_equal(mask, masks(models[1])[path])

    def test_no_new_masks_change_no_schedule(self):
        model = self.wrapped()
        before = [layer.pruning_schedule for layer in model.layers]
        set_masks(model, {}, {})
        assert [layer.pruning_schedule for layer in model.layers] == before

    def test_disarming_twice_does_nothing_more(self, data):
        model = compiled(self.wrapped())
        disarm(model)
        fit(model, data, PruningCallback())
        function = model.train_function
        disarm(model)
        assert model.train_function is function


def nested():
    tf_keras.utils.set_random_seed(0)
    inner = tf_keras.Sequential([layers.Input((8,)), layers.Dense(8, "relu", name="dense")], name="inner")
    block = tf_keras.Sequential([layers.Input((FEATURES,)), layers.Dense(8, "relu", name="dense"), inner], name="block")
    inputs = layers.Input((FEATURES,))
    return tf_keras.Model(inputs, layers.Dense(CLASSES, "softmax", name="dense")(block(inputs)))


def shared():
    tf_keras.utils.set_random_seed(0)
    tower = tf_keras.Sequential([layers.Input((3,)), layers.Dense(8, "relu", name="dense")], name="tower")
    inputs = layers.Input((FEATURES,))
    joined = layers.Concatenate()([tower(inputs[:, :3]), tower(inputs[:, 3:])])
    return tf_keras.Model(inputs, layers.Dense(CLASSES, "softmax", name="out")(joined))


def residual():
    tf_keras.utils.set_random_seed(0)
    inputs = layers.Input((FEATURES,))
    x = layers.Reshape((FEATURES, 1))(inputs)
    x = layers.Conv1D(8, 3, padding="same", use_bias=False, name="conv1")(x)
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.SeparableConv1D(8, 3, padding="same", name="conv2")(y)
    y = layers.GlobalAveragePooling1D()(layers.Add()([x, y]))
    return tf_keras.Model(inputs, layers.Dense(CLASSES, "softmax", name="out")(y))


def recurrent():
    tf_keras.utils.set_random_seed(0)
    return tf_keras.Sequential(
        [
            layers.Input((FEATURES,)),
            layers.Reshape((FEATURES, 1)),
            layers.Masking(),
            layers.LSTM(8),
            layers.Dense(CLASSES, "softmax"),
        ]
    )


def attention():
    tf_keras.utils.set_random_seed(0)
    inputs = layers.Input((FEATURES,))
    x = layers.Reshape((FEATURES // 2, 2))(inputs)
    y = layers.Conv1D(4, 1, name="conv")(x)
    z = layers.MultiHeadAttention(2, 3, name="mha")(y, x)  # two tensors by position
    z = layers.MultiHeadAttention(2, 3, name="mha2")(query=z, value=y)
    return tf_keras.Model(inputs, layers.Dense(CLASSES, "softmax")(layers.Flatten()(z)))


class TestArchitectures:
    @pytest.mark.parametrize("make", [nested, shared, residual, recurrent, attention])
    def test_wrapping_changes_no_prediction_and_everything_prunes(self, data, make):
        model = compiled(make())
        wrapped = compiled(pruning.prepare(model), OPTIMIZERS["sgd momentum"]())
        np.testing.assert_allclose(wrapped.predict(data[0], verbose=0), model.predict(data[0], verbose=0), atol=1e-6)
        expected = {path for path, weight in weights.prunable(model).items() if not weight.classifier}
        assert set(masks(wrapped)) == expected
        total = weights.total_parameters(model)
        watch = Watch(hold=False)
        fit(wrapped, data, PruningCallback("undecayed", schedules.Iterative(0.25, 2, frequency=2), data), watch)
        assert watch.removed[-1] == count(total, 0.25)
        values = kernels(wrapped)
        assert all((values[path][~mask] == 0).all() for path, mask in masks(wrapped).items())
        plain = pruning.strip(wrapped)
        np.testing.assert_allclose(plain.predict(data[0], verbose=0), wrapped.predict(data[0], verbose=0), atol=1e-6)
        assert pruning.remaining_parameters(plain) == total - count(total, 0.25)

    def test_masks_of_embeddings_reach_the_layers_after(self, data):
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential(
            [layers.Input((5,)), layers.Embedding(7, 4, mask_zero=True), layers.LSTM(4), layers.Dense(2, "softmax")]
        )
        x = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0], [1, 1, 2, 2, 3]])
        wrapped = pruning.prepare(model)
        np.testing.assert_allclose(wrapped.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)

    def test_activity_regularizers_count_once(self, data):
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential(
            [layers.Input((FEATURES,)), layers.Dense(8, activity_regularizer="l2"), layers.Dense(3, "softmax")]
        )
        wrapped = compiled(pruning.prepare(model))
        assert wrapped.evaluate(*data, verbose=0) == pytest.approx(compiled(model).evaluate(*data, verbose=0), rel=1e-6)


def read_scalars(folder):
    """Return {(tag, step): value} of TensorBoard's event files."""
    found = {}
    for file in folder.glob("**/*tfevents*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tensor.dtype == tf.float32.as_datatype_enum and not value.tensor.tensor_shape.dim:
                    content = value.tensor.tensor_content
                    found[value.tag, event.step] = struct.unpack("<f", content)[0] if content else value.tensor.float_val[0]
    return found


class TestSummaries:
    def test_pruning_summaries_show_the_masks(self, data, tmp_path):
        schedule = schedules.Iterative(4, 2, begin_step=3, frequency=4)
        model = compiled(pruning.prepare(mlp()))
        seen = {}

        class Note(tf_keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                for wrapper in [layer for layer in self.model.layers if isinstance(layer, PruneLowMagnitude)]:
                    for _, mask, threshold in wrapper.pruning_vars:
                        step = int(self.model.optimizer.iterations)
                        seen[mask.name + "/sparsity", step] = float((mask.numpy() == 0).mean())
                        seen[threshold.name + "/threshold", step] = float(threshold.numpy())

        summaries = tfmot.sparsity.keras.PruningSummaries(log_dir=str(tmp_path))
        fit(model, data, PruningCallback("magnitude", schedule), summaries, Note(), epochs=3)
        written = read_scalars(tmp_path)
        assert len(seen) == 2 * 2 * 3
        for key, value in seen.items():
            assert written[key] == pytest.approx(value, abs=1e-6), key
        assert {value for (tag, step), value in seen.items() if step == 0} == {0.0}
        last = [value for (tag, step), value in seen.items() if step == 8 and tag.endswith("/sparsity")]
        assert min(last) > 0.3
        thresholds = [value for (tag, step), value in seen.items() if step == 8 and tag.endswith("/threshold")]
        assert min(thresholds) > 0


class TestCheckpoints:
    SCHEDULE = schedules.Iterative(4, 3, begin_step=2, frequency=3)  # events at 2, 5 and 8; saved after step 4

    @staticmethod
    def start():
        return compiled(pruning.prepare(mlp(regularizer=UndecayedL2(0.01))), OPTIMIZERS["sgd momentum"]())

    def uninterrupted(self, data):
        model, watch = self.start(), Watch()
        fit(model, data, PruningCallback("undecayed", self.SCHEDULE, data), watch, epochs=2)
        return model, watch.removed

    def check(self, loaded, data, halfway):
        whole, removals = self.uninterrupted(data)
        assert removed(loaded) == removals[3] == count(TOTAL, self.SCHEDULE.at(2))
        for path, kernel in kernels(halfway).items():
            np.testing.assert_array_equal(kernels(loaded)[path], kernel)
        watch = Watch()
        fit(loaded, data, PruningCallback("undecayed", self.SCHEDULE, data), watch)
        assert watch.removed == removals[4:]
        assert watch.removed[-1] == count(TOTAL, 4)
        for path, mask in masks(whole).items():
            np.testing.assert_array_equal(masks(loaded)[path], mask)
            np.testing.assert_allclose(kernels(loaded)[path], kernels(whole)[path], atol=1e-6)

    @pytest.mark.parametrize("suffix", ["keras", "h5"])
    def test_files(self, data, tmp_path, suffix):
        model = self.start()
        fit(model, data, PruningCallback("undecayed", self.SCHEDULE, data))
        model.save(tmp_path / f"model.{suffix}")
        self.check(tf_keras.models.load_model(tmp_path / f"model.{suffix}"), data, model)

    def test_train_checkpoint(self, data, tmp_path):
        model = self.start()
        fit(model, data, PruningCallback("undecayed", self.SCHEDULE, data))
        saved = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(tmp_path / "checkpoint"))
        other = self.start()
        fit(other, tuple(part[::-1] for part in data), PruningCallback())  # elsewhere, so that everything must be restored
        tf.train.Checkpoint(model=other, optimizer=other.optimizer).restore(saved).assert_consumed()
        self.check(other, data, model)

    @pytest.mark.parametrize("name", ["weights.ckpt", "model.weights.h5"])
    def test_weights_alone_hold_the_masks(self, data, tmp_path, name):
        model = compiled(pruning.prune(mlp(), 2))
        fit(model, data, PruningCallback())
        model.save_weights(tmp_path / name)
        other = compiled(pruning.prepare(mlp(seed=1)), OPTIMIZERS["sgd momentum"]())
        other.load_weights(tmp_path / name)
        assert removed(other) == zeros(other) == count(TOTAL, 2)
        fit(other, data, PruningCallback(), Watch())

    def test_a_saved_model_needs_no_scope_to_load_and_strips(self, data, tmp_path):
        pruned = pruning.prune(nested(), 2)
        pruned.save(tmp_path / "m.keras")
        loaded = tf_keras.models.load_model(tmp_path / "m.keras")
        plain = pruning.strip(loaded)
        np.testing.assert_allclose(plain.predict(data[0], verbose=0), pruned.predict(data[0], verbose=0), atol=1e-6)


LOAD = """
import sys
import numpy as np
import tf_keras
folder = sys.argv[1]
x, expected = np.load(folder + "/x.npy"), np.load(folder + "/y.npy")
for name in ("m.keras", "m.h5", "m"):
    model = tf_keras.models.load_model(folder + "/" + name)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-6)
    print(sum(int((w.numpy() == 0).sum()) for w in model.trainable_weights if "kernel" in w.name))
foreign = [name for name in sys.modules if name.split(".")[0] in ("tfrecall", "tensorflow_model_optimization")]
assert not foreign, foreign
"""


class TestStrip:
    def test_the_plain_model_loads_where_only_tf_keras_is(self, data, tmp_path):
        pruned = compiled(pruning.prune(residual(), 0.25))
        fit(pruned, data, PruningCallback())
        expected = pruned.predict(data[0], verbose=0)
        k = count(weights.total_parameters(pruned), 0.25)
        plain = pruning.strip(pruned)
        for layer in plain._flatten_layers():
            for cls in type(layer).__mro__:
                assert cls.__module__.split(".")[0] not in ("tfrecall", "tensorflow_model_optimization")
        for variable in plain.variables:
            assert variable.constraint is None
        assert zeros(plain) == k
        np.testing.assert_array_equal(plain.predict(data[0], verbose=0), expected)
        np.save(tmp_path / "x.npy", data[0])
        np.save(tmp_path / "y.npy", expected)
        for name in ("m.keras", "m.h5", "m"):
            plain.save(tmp_path / name)
        result = subprocess.run(
            [sys.executable, "-c", LOAD, tmp_path], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert result.returncode == 0, result.stderr[-2000:]
        assert result.stdout.split() == [str(k)] * 3

    def test_the_wrapped_model_keeps_its_masks_and_shares_nothing(self, data):
        pruned = compiled(pruning.prune(mlp(), 0.5, "magnitude"))
        plain = compiled(pruning.strip(pruned))
        before = kernels(pruned)
        fit(plain, data)
        for path, kernel in kernels(pruned).items():
            np.testing.assert_array_equal(kernel, before[path])
        pruned.fit(*data, verbose=0)
        assert zeros(pruned) == count(TOTAL, 0.5)

    def test_a_sequential_model_stays_built(self):
        plain = pruning.strip(pruning.prune(mlp(), 2))
        assert isinstance(plain, tf_keras.Sequential)
        assert plain.input_shape == (None, FEATURES)
        assert [layer.name for layer in plain.layers] == ["a", "b", "out"]

    def test_a_model_that_is_plain_already(self, data):
        model = mlp()
        plain = pruning.strip(model)
        np.testing.assert_allclose(plain.predict(data[0], verbose=0), model.predict(data[0], verbose=0), atol=1e-6)

    def test_weights_that_training_left_unmasked_are_zero(self, data):
        model = pruning.prune(mlp(), 2)
        for weight in weights.prunable(model).values():
            weight.variable.assign(tf.ones_like(weight.variable))
        assert zeros(pruning.strip(model)) == count(TOTAL, 2)


class TestErrors:
    def test_what_is_no_model(self):
        for call in (
            lambda: pruning.prune("lenet5", 2),
            lambda: pruning.prepare(None),
            lambda: pruning.strip(layers.Dense(2)),
        ):
            with pytest.raises(InputError, match="expected a Keras model; got "):
                call()

    def test_subclassed_models(self):
        class Subclassed(tf_keras.Model):
            def __init__(self):
                super().__init__()
                self.dense = layers.Dense(4)

            def call(self, inputs):
                return self.dense(inputs)

        model = Subclassed()
        model(tf.zeros([1, 3]))
        with pytest.raises(InputError, match="subclassed Subclassed"):
            pruning.prune(model, 2)
        outer = tf_keras.Sequential([layers.Input((3,)), model, layers.Dense(4), layers.Dense(2)])
        with pytest.raises(InputError, match="subclassed Subclassed"):
            pruning.prune(outer, 1.2)

    def test_nothing_to_prune(self):
        only = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3)])
        with pytest.raises(InputError, match="nothing to prune"):
            pruning.prune(only, 2)
        with pytest.raises(InputError, match="nothing to prune"):
            pruning.prepare(only)
        assert removed(pruning.prune(only, 2, include_classifier=True)) == 8
        frozen = mlp()
        frozen.trainable = False
        with pytest.raises(InputError, match="nothing to prune"):
            pruning.prune(frozen, 2)

    def test_an_infeasible_ratio_names_the_largest(self):
        largest = (6 * 16 + 16 * 16) / TOTAL
        with pytest.raises(InputError, match=f"largest feasible ratio is {int(largest * 10000) / 10000}"):
            pruning.prune(mlp(), 50)

    @pytest.mark.parametrize("ratio", [0, 1, -0.5, float("nan"), float("inf"), "half", None])
    def test_bad_ratios(self, ratio):
        with pytest.raises(InputError, match="ratio must be"):
            pruning.prune(mlp(), ratio)

    @pytest.mark.parametrize(
        "bad", [{"scope": "everything"}, {"criterion": "magnitud"}, {"criterion": 3}, {"criterion": "up"}]
    )
    def test_bad_arguments(self, bad):
        with pytest.raises(InputError):
            pruning.prune(compiled(mlp()), 2, **bad)

    def test_unbuilt_models(self):
        with pytest.raises(InputError, match="no weights yet"):
            pruning.prune(tf_keras.Sequential([layers.Dense(3), layers.Dense(2)]), 2)

    @pytest.mark.parametrize("schedule", [None, schedules.OneShot(2)])
    def test_the_callback_needs_a_prepared_model(self, data, schedule):
        callback = PruningCallback() if schedule is None else PruningCallback("magnitude", schedule)
        with pytest.raises(InputError, match=r"tfrecall\.prepare"):
            fit(compiled(mlp()), data, callback)

    def test_a_model_that_is_prepared_is_not_prepared_again(self):
        with pytest.raises(InputError, match="prepared already"):
            pruning.prepare(pruning.prepare(mlp()))

    def test_the_callback_says_at_once_what_cannot_be(self, data):
        with pytest.raises(InputError, match="unknown scope 'gobal': did you mean global"):
            PruningCallback("mp", schedules.OneShot(2), scope="gobal")
        with pytest.raises(InputError, match="schedule must be an object"):
            PruningCallback("mp", "one-shot")
        callback = PruningCallback("mp", schedules.Polynomial(1000, 1, 10**6))
        with pytest.raises(InputError, match="infeasible"):
            fit(compiled(pruning.prepare(mlp())), data, callback)

    def test_the_callback_takes_both_or_neither(self, data):
        for arguments in ({"criterion": "magnitude"}, {"schedule": schedules.OneShot(2)}):
            with pytest.raises(InputError, match="together"):
                PruningCallback(**arguments)
        with pytest.raises(InputError, match="needs data"):
            PruningCallback("undecayed", schedules.OneShot(2))
        with pytest.raises(InputError, match="undecayed"):
            PruningCallback("undecay", schedules.OneShot(2), data)

    def test_criteria_that_answer_wrongly(self):
        class Bad:
            def __init__(self, change):
                self.change = change

            def scores(self, model, data=None, *, loss=None):
                return {path: self.change(path, np.abs(kernel)) for path, kernel in kernels(model).items()}

        with pytest.raises(InputError, match="a/kernel"):
            pruning.prune(mlp(), 2, Bad(lambda path, kernel: kernel.ravel() if path == "a/kernel" else kernel))
        with pytest.raises(InputError, match="b/kernel hold NaN"):
            pruning.prune(mlp(), 2, Bad(lambda path, kernel: kernel * np.nan if path == "b/kernel" else kernel))
