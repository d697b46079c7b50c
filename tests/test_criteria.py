"""Scores against formulas worked out in NumPy, and against what Keras's own training step does to the weights."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from tfrecall import criteria, training, weights
from tfrecall.batches import BATCH_SIZE
from tfrecall.errors import InputError
from tfrecall.regularizers import UndecayedL2

N, FEATURES, HIDDEN, CLASSES = 40, 5, 4, 3
HIDDEN_KERNEL, OUT_KERNEL = "hidden/kernel", "out/kernel"


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, N)


def mlp(hidden=None, out=None, *, activity=None, seed=0, **compile_arguments):
    """Tanh units and a softmax, whose objective is written down below without TensorFlow."""
    tf_keras.utils.set_random_seed(seed)
    model = tf_keras.Sequential(
        [
            layers.Input((FEATURES,)),
            layers.Dense(
                HIDDEN,
                "tanh",
                kernel_regularizer=hidden,
                activity_regularizer=activity,
                bias_initializer="normal",
                name="hidden",
            ),
            layers.Dense(CLASSES, "softmax", kernel_regularizer=out, name="out"),
        ]
    )
    model.compile(**{"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", **compile_arguments})
    return model


def forward(theta, x):
    hidden = np.tanh(x @ theta[HIDDEN_KERNEL] + theta["hidden/bias"])
    logits = hidden @ theta[OUT_KERNEL] + theta["out/bias"]
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return hidden, exponents / exponents.sum(1, keepdims=True)


def cross_entropy(theta, x, y):
    _, probabilities = forward(theta, x)
    return -np.log(probabilities[np.arange(len(y)), y]).mean()


def parameters(model):
    return {
        f"{layer.name}/{name}": value.astype(np.float64)
        for layer in model.layers
        for name, value in zip(("kernel", "bias"), layer.get_weights())
    }


def numeric_gradient(function, theta, path, step=1e-6):
    gradient = np.zeros_like(theta[path])
    for index in np.ndindex(gradient.shape):
        values = []
        for sign in (1, -1):
            moved = dict(theta, **{path: theta[path].copy()})
            moved[path][index] += sign * step
            values.append(function(moved))
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient


def expected_scores(function, theta):
    return {path: np.abs(theta[path] * numeric_gradient(function, theta, path)) for path in (HIDDEN_KERNEL, OUT_KERNEL)}


def assert_scores(actual, expected, rtol=2e-4, atol=2e-7):
    assert list(actual) == list(expected)
    for path in expected:
        np.testing.assert_allclose(actual[path], expected[path], rtol, atol, err_msg=path)


def step_gradient(model, x, y, sample_weight=None):
    """Return what one plain SGD step of Keras subtracts from each prunable weight, at a learning rate of 1."""
    before = {path: weight.variable.numpy() for path, weight in weights.prunable(model).items()}
    others = model.get_weights()
    model.train_on_batch(x, y, sample_weight=sample_weight)
    after = {path: weight.variable.numpy() for path, weight in weights.prunable(model).items()}
    model.set_weights(others)
    return {path: before[path].astype(np.float64) - after[path] for path in before}


def assert_scores_are_of_the_training_step(model, x, y, criterion=None, sample_weight=None, rtol=1e-3, atol=2e-6):
    """|θ ⊙ g|, with g from Keras's own `train_step`. SGD with a learning rate of 1 subtracts ∇L itself."""
    theta = {path: weight.variable.numpy() for path, weight in weights.prunable(model).items()}
    gradient = step_gradient(model, x, y, sample_weight)
    assert any(np.abs(value).max() > 1e-3 for value in gradient.values())
    batch = (x, y) if sample_weight is None else (x, y, sample_weight)
    actual = (criterion or criteria.Gradient()).scores(model, batch)
    assert_scores(actual, {path: np.abs(theta[path] * gradient[path]) for path in theta}, rtol, atol)


class TestMagnitudeAndRandom:
    def test_magnitude_is_the_absolute_value(self):
        model = mlp()
        scores = criteria.Magnitude().scores(model)
        assert_scores(scores, {path: np.abs(parameters(model)[path]) for path in (HIDDEN_KERNEL, OUT_KERNEL)})

    def test_random_is_seeded_uniform_and_blind_to_the_weights(self):
        first = criteria.Random(3).scores(mlp(seed=0))
        again = criteria.Random(3).scores(mlp(seed=1))
        other = criteria.Random(4).scores(mlp(seed=0))
        for path in first:
            np.testing.assert_array_equal(first[path], again[path])
            assert not np.array_equal(first[path], other[path])
        big = tf_keras.Sequential([layers.Input((100,)), layers.Dense(100, name="d"), layers.Dense(1)])
        noise = criteria.Random(0).scores(big)["d/kernel"].ravel()
        assert 0 <= noise.min() < noise.max() < 1
        np.testing.assert_allclose(np.histogram(noise, 10, (0, 1))[0], 1000, atol=150)

    def test_random_layers_differ(self):
        model = tf_keras.Sequential(
            [layers.Input((4,)), layers.Dense(4, name="a"), layers.Dense(4, name="b"), layers.Dense(1)]
        )
        scores = criteria.Random(0).scores(model)
        assert not np.array_equal(scores["a/kernel"], scores["b/kernel"])


class TestUndecayed:
    @pytest.mark.parametrize("make", [UndecayedL2, lambda e: tf_keras.regularizers.L2(e / 2), lambda e: f"l2:{e / 2}"])
    def test_is_the_papers_formula_with_known_epsilon(self, data, make):
        """|−θ∇L + εθ²|, ∇L by hand: (2/nm) Xᵀ(Xθ − Y) + εθ for a linear model under the mean squared error."""
        epsilon = 0.3
        regularizer = make(epsilon)
        if isinstance(regularizer, str):
            regularizer = tf_keras.regularizers.L1L2(l1=0.0, l2=float(regularizer.split(":")[1]))
        x = data[0]
        y = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32)
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential(
            [layers.Input((FEATURES,)), layers.Dense(2, use_bias=False, kernel_regularizer=regularizer, name="only")]
        )
        model.compile("sgd", "mse")
        theta = model.get_weights()[0].astype(np.float64)
        whole = 2 / (N * 2) * x.T.astype(np.float64) @ (x @ theta - y) + epsilon * theta
        gp = criteria.Gradient().scores(model, (x, y))["only/kernel"]
        up = criteria.Undecayed().scores(model, (x, y))["only/kernel"]
        np.testing.assert_allclose(gp, np.abs(-theta * whole), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(up, np.abs(-theta * whole + epsilon * theta**2), rtol=1e-4, atol=1e-6)
        assert not np.allclose(up, np.abs(-theta * whole + epsilon / 2 * theta**2), rtol=1e-2), "ε would be l2, not 2·l2"

    def test_ranks_like_magnitude_where_the_whole_gradient_is_zero(self, data):
        """At the solution of the ridge normal equations ∇L = 0, hence UP = εθ²: the paper's argument."""
        epsilon, outputs = 0.5, 2
        x = data[0].astype(np.float64)
        y = np.random.default_rng(2).normal(size=(N, outputs)) + x[:, :outputs]
        theta = np.linalg.solve(x.T @ x + N * outputs * epsilon / 2 * np.eye(FEATURES), x.T @ y)
        model = tf_keras.Sequential(
            [
                layers.Input((FEATURES,)),
                layers.Dense(outputs, use_bias=False, kernel_regularizer=UndecayedL2(epsilon), name="only"),
            ]
        )
        model.compile("sgd", "mse")
        model.set_weights([theta])
        batch = (x.astype(np.float32), y.astype(np.float32))
        gp, up, mp = (
            criterion.scores(model, batch)["only/kernel"]
            for criterion in (criteria.Gradient(), criteria.Undecayed(), criteria.Magnitude())
        )
        np.testing.assert_allclose(up, epsilon * theta**2, rtol=1e-3, atol=1e-7)
        np.testing.assert_array_equal(np.argsort(up, axis=None), np.argsort(mp, axis=None))
        assert gp.max() < 1e-3 * up.max()

    def test_ranks_like_magnitude_at_a_stationary_point_of_a_decaying_optimizer(self, data):
        """There UP is |θ ⊙ g| with g = −εθ, the gradient of the data loss alone."""
        epsilon = 0.5
        x = data[0].astype(np.float64)
        y = x[:, :1] + 0.1
        theta = np.linalg.solve(x.T @ x + N * epsilon / 2 * np.eye(FEATURES), x.T @ y)
        model = tf_keras.Sequential([layers.Input((FEATURES,)), layers.Dense(1, use_bias=False, name="only")])
        model.compile(tf_keras.optimizers.SGD(weight_decay=epsilon), "mse")
        model.set_weights([theta])
        batch = (x.astype(np.float32), y.astype(np.float32))
        up = criteria.Undecayed().scores(model, batch)["only/kernel"]
        np.testing.assert_allclose(up, epsilon * theta**2, rtol=1e-3, atol=1e-7)
        assert criteria.Gradient().scores(model, batch)["only/kernel"].max() < 1e-3 * up.max()


def orthogonal(matrix, factor):
    """Factor times the mean |cosine| over pairs of rows."""
    rows = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    pairs = [abs(rows[i] @ rows[j]) for i in range(len(rows)) for j in range(i)]
    return factor * np.mean(pairs)


PENALTIES = {
    "none": (lambda: None, lambda w: 0.0),
    "undecayed": (lambda: UndecayedL2(0.2), lambda w: 0.1 * (w**2).sum()),
    "l2": (lambda: tf_keras.regularizers.L2(0.2), lambda w: 0.2 * (w**2).sum()),
    "l1": (lambda: tf_keras.regularizers.L1(0.2), lambda w: 0.2 * np.abs(w).sum()),
    "l1l2": (lambda: tf_keras.regularizers.L1L2(0.2, 0.1), lambda w: 0.2 * np.abs(w).sum() + 0.1 * (w**2).sum()),
    "orthogonal": (lambda: tf_keras.regularizers.OrthogonalRegularizer(0.7), lambda w: orthogonal(w, 0.7)),
}


class TestAgainstFiniteDifferences:
    @pytest.mark.parametrize("name", PENALTIES)
    def test_gradient_takes_and_undecayed_deducts_every_regularizer(self, data, name):
        make, penalty = PENALTIES[name]
        model = mlp(make(), make())
        theta = parameters(model)

        def whole(values):
            return cross_entropy(values, *data) + penalty(values[HIDDEN_KERNEL]) + penalty(values[OUT_KERNEL])

        np.testing.assert_allclose(model.evaluate(*data, verbose=0), whole(theta), rtol=1e-5)  # this is Keras's objective
        deducted = expected_scores(
            lambda values: whole(values) - penalty(values[HIDDEN_KERNEL]) - penalty(values[OUT_KERNEL]), theta
        )
        assert_scores(criteria.Gradient().scores(model, data), expected_scores(whole, theta))
        assert_scores(criteria.Undecayed().scores(model, data), deducted)

    def test_activity_regularizer_stays_in_t(self, data):
        model = mlp(tf_keras.regularizers.L2(0.2), activity=tf_keras.regularizers.L2(0.6))

        def deducted(values):
            return cross_entropy(values, *data) + 0.6 * (forward(values, data[0])[0] ** 2).sum() / N

        def whole(values):
            return deducted(values) + 0.2 * (values[HIDDEN_KERNEL] ** 2).sum()

        assert_scores(criteria.Undecayed().scores(model, data), expected_scores(deducted, parameters(model)))
        assert_scores(criteria.Gradient().scores(model, data), expected_scores(whole, parameters(model)))

    @pytest.mark.parametrize("kind", [tf_keras.optimizers.SGD, tf_keras.optimizers.AdamW, tf_keras.optimizers.Adam])
    def test_the_optimizers_decoupled_decay_belongs_to_l_and_not_to_t(self, data, kind):
        epsilon = 0.4
        model = mlp(optimizer=kind(weight_decay=epsilon))

        def whole(values):
            return cross_entropy(values, *data) + epsilon / 2 * sum(
                (values[p] ** 2).sum() for p in (HIDDEN_KERNEL, OUT_KERNEL)
            )

        theta = parameters(model)
        assert_scores(criteria.Gradient().scores(model, data), expected_scores(whole, theta))
        assert_scores(criteria.Undecayed().scores(model, data), expected_scores(lambda v: cross_entropy(v, *data), theta))

    def test_weights_that_the_optimizer_excludes_do_not_decay(self, data):
        epsilon = 0.4
        optimizer = tf_keras.optimizers.AdamW(weight_decay=epsilon)
        optimizer.exclude_from_weight_decay(var_names=["hidden"])
        model = mlp(optimizer=optimizer)

        def whole(values):
            return cross_entropy(values, *data) + epsilon / 2 * (values[OUT_KERNEL] ** 2).sum()

        assert_scores(criteria.Gradient().scores(model, data), expected_scores(whole, parameters(model)))

    def test_decay_of_an_optimizer_under_mixed_precision(self, data):
        epsilon = 0.4
        inner = tf_keras.optimizers.SGD(weight_decay=epsilon)
        model = mlp(optimizer=tf_keras.mixed_precision.LossScaleOptimizer(inner))

        def whole(values):
            return cross_entropy(values, *data) + epsilon / 2 * sum(
                (values[p] ** 2).sum() for p in (HIDDEN_KERNEL, OUT_KERNEL)
            )

        assert_scores(criteria.Gradient().scores(model, data), expected_scores(whole, parameters(model)))

    def test_undecayed_sum_is_its_formula(self, data):
        """|−θg + εθ²|: the sign counts, so that it is neither UP nor GP."""
        theta = parameters(mlp())
        gradient = {
            path: numeric_gradient(lambda v: cross_entropy(v, *data), theta, path) for path in (HIDDEN_KERNEL, OUT_KERNEL)
        }

        def formula(*epsilons):
            return {
                path: np.abs(-theta[path] * gradient[path] + epsilon * theta[path] ** 2)
                for path, epsilon in zip(gradient, epsilons)
            }

        decaying = {"optimizer": tf_keras.optimizers.SGD(weight_decay=0.1)}
        assert_scores(criteria.UndecayedSum(0.3).scores(mlp(), data), formula(0.3, 0.3))
        assert_scores(criteria.UndecayedSum(0.0).scores(mlp(**decaying), data), formula(0.0, 0.0))
        assert_scores(criteria.UndecayedSum().scores(mlp(**decaying), data), formula(0.1, 0.1))
        both = mlp(tf_keras.regularizers.L2(0.1), UndecayedL2(0.5), **decaying)
        assert_scores(criteria.UndecayedSum().scores(both, data), formula(0.1 + 2 * 0.1, 0.1 + 0.5))

    def test_undecayed_sum_is_undecayed_of_the_same_decay_with_the_other_sign(self, data):
        """The two readings differ wherever g ≠ 0, so a comparison with PyTorch must name which one it takes."""
        model = mlp(UndecayedL2(0.3), UndecayedL2(0.3))
        up, sum_ = criteria.Undecayed().scores(model, data), criteria.UndecayedSum().scores(model, data)
        assert not np.allclose(up[HIDDEN_KERNEL], sum_[HIDDEN_KERNEL], rtol=0.1)


class TestAgainstKerasTrainingStep:
    """GP with SGD at a learning rate of 1 must be |θ ⊙ what the step subtracts|, whatever the loss and its options."""

    @pytest.mark.parametrize("exclude", [None, "hidden", "out"])
    def test_decoupled_decay(self, data, exclude):
        optimizer = tf_keras.optimizers.SGD(1.0, weight_decay=0.3)
        if exclude:
            optimizer.exclude_from_weight_decay(var_names=[exclude])
        assert_scores_are_of_the_training_step(mlp(optimizer=optimizer), *data)

    def test_excluded_variable_objects(self, data):
        model = mlp()
        optimizer = tf_keras.optimizers.SGD(1.0, weight_decay=0.3)
        optimizer.exclude_from_weight_decay(var_list=[model.layers[1].kernel])
        model.compile(optimizer, "sparse_categorical_crossentropy")
        assert_scores_are_of_the_training_step(model, *data)

    def test_sample_weights(self, data):
        sample_weight = np.random.default_rng(3).uniform(0, 3, N).astype(np.float32)
        assert_scores_are_of_the_training_step(
            mlp(optimizer=tf_keras.optimizers.SGD(1.0)), *data, sample_weight=sample_weight
        )

    @pytest.mark.parametrize("loss", ["binary_crossentropy", "mse", "binary_focal_crossentropy", "hinge"])
    @pytest.mark.parametrize("dtype", [np.int64, np.float32])
    def test_flat_labels_with_one_column_of_outputs(self, data, loss, dtype):
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential([layers.Input((FEATURES,)), layers.Dense(4, "tanh"), layers.Dense(1, "sigmoid")])
        model.compile(tf_keras.optimizers.SGD(1.0), loss)
        assert_scores_are_of_the_training_step(model, data[0], (data[1] > 0).astype(dtype))

    def test_column_labels_of_a_sparse_loss(self, data):
        assert_scores_are_of_the_training_step(mlp(optimizer=tf_keras.optimizers.SGD(1.0)), data[0], data[1][:, np.newaxis])

    def test_one_hot_labels_and_label_smoothing(self, data):
        model = mlp(
            optimizer=tf_keras.optimizers.SGD(1.0), loss=tf_keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
        )
        assert_scores_are_of_the_training_step(model, data[0], np.eye(CLASSES, dtype=np.float32)[data[1]])

    def test_logits(self, data):
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential([layers.Input((FEATURES,)), layers.Dense(4, "tanh"), layers.Dense(CLASSES)])
        model.compile(tf_keras.optimizers.SGD(1.0), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        assert_scores_are_of_the_training_step(model, *data)

    def test_custom_loss_function_and_class(self, data):
        def cubic(y_true, y_pred):
            return tf.reduce_sum(tf.abs(tf.one_hot(tf.cast(y_true, tf.int32), CLASSES) - y_pred) ** 3, axis=-1)

        class Cubic(tf_keras.losses.Loss):
            def call(self, y_true, y_pred):
                return cubic(tf.reshape(y_true, [-1]), y_pred)

        flat = data[0], data[1].astype(np.int32)
        model = mlp(optimizer=tf_keras.optimizers.SGD(1.0), loss=Cubic())
        assert_scores_are_of_the_training_step(model, *flat)
        by_class = criteria.Undecayed().scores(model, flat)
        by_function = criteria.Undecayed().scores(model, flat, loss=cubic)
        assert_scores(by_function, by_class)

    def test_custom_loss_that_averages_over_the_batch_itself(self, data):
        def mean(y_true, y_pred):
            return tf.reduce_mean(tf.square(y_true - y_pred))

        one_hot = np.eye(CLASSES, dtype=np.float32)[data[1]]
        model = mlp(optimizer=tf_keras.optimizers.SGD(1.0), loss=mean)
        assert_scores_are_of_the_training_step(model, data[0], one_hot)
        batches = tf.data.Dataset.from_tensor_slices((data[0], one_hot)).batch(7)
        assert_scores(criteria.Gradient().scores(model, batches), criteria.Gradient().scores(model, (data[0], one_hot)))

    def test_an_output_for_every_pixel(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(6, 5, 5, 2)).astype(np.float32), rng.integers(0, 3, (6, 5, 5))
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential([layers.Input((5, 5, 2)), layers.Conv2D(4, 3, padding="same"), layers.Conv2D(3, 1)])
        model.compile(tf_keras.optimizers.SGD(1.0), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        assert_scores_are_of_the_training_step(model, x, y)

    @pytest.mark.parametrize("form", [list, dict])
    def test_several_outputs_with_loss_weights(self, data, form):
        tf_keras.utils.set_random_seed(0)
        inputs = layers.Input((FEATURES,))
        hidden = layers.Dense(HIDDEN, "tanh", kernel_regularizer="l2")(inputs)
        outputs = [layers.Dense(CLASSES, "softmax", name="kind")(hidden), layers.Dense(1, name="size")(hidden)]
        model = tf_keras.Model(inputs, outputs)
        losses, factors = ["sparse_categorical_crossentropy", "mse"], [0.7, 2.5]
        targets = [data[1], data[0][:, 0] ** 2]
        if form is dict:
            losses, factors, targets = (dict(zip(("kind", "size"), values)) for values in (losses, factors, targets))
        model.compile(tf_keras.optimizers.SGD(1.0), losses, loss_weights=factors)
        theta = {path: weight.variable.numpy() for path, weight in weights.prunable(model).items()}
        gradient = step_gradient(model, data[0], targets)
        dataset = tf.data.Dataset.from_tensor_slices((data[0], tuple(targets) if form is list else targets)).batch(16)
        assert_scores(
            criteria.Gradient().scores(model, dataset),
            {path: np.abs(theta[path] * gradient[path]) for path in theta},
            1e-3,
            2e-6,
        )
        assert_scores(
            criteria.Gradient().scores(model, (data[0], targets)), criteria.Gradient().scores(model, dataset), 1e-4
        )

    def test_a_model_wrapped_for_pruning_has_the_scores_of_the_plain_one(self, data):
        from tfrecall import pruning

        model = mlp(tf_keras.regularizers.L1(0.2), UndecayedL2(0.1), activity=tf_keras.regularizers.L2(0.6))
        wrapped = pruning.prepare(model, include_classifier=True)
        wrapped.compile("sgd", "sparse_categorical_crossentropy")
        for criterion in (criteria.Gradient(), criteria.Undecayed(), criteria.UndecayedSum(), criteria.Magnitude()):
            assert_scores(criterion.scores(wrapped, data), criterion.scores(model, data), 1e-5)


def of_keras_own_loss(model, x, y, sample_weight=None):
    """|θ ⊙ ∇L| of the loss that Keras itself computes for a batch."""
    model(x)  # Keras masks are left by a call
    found = weights.prunable(model)
    variables = [getattr(weight.variable, "value", None) for weight in found.values()]
    variables = [weight.variable if callable(value) else value for weight, value in zip(found.values(), variables)]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=False), sample_weight)
    gradients = tape.gradient(loss, variables)
    return {
        path: np.abs(weight.value * tf.convert_to_tensor(gradient).numpy())
        for (path, weight), gradient in zip(found.items(), gradients)
    }


@pytest.mark.parametrize("library", [keras, tf_keras])
class TestAgainstKerasOwnLoss:
    def two_headed(self, library, single=False):
        library.utils.set_random_seed(0)
        inputs = library.layers.Input((FEATURES,))
        tensor = library.layers.Dense(HIDDEN, "tanh", name="hidden")(inputs)
        one = library.layers.Dense(CLASSES, "softmax", name="out")(tensor)
        other = library.layers.Dense(2, name="side")(tensor)
        return library.Model(inputs, {"kind": one} if single else {"kind": one, "size": other})

    def test_a_dictionary_of_outputs(self, data, library):
        x, y = data
        model, targets = self.two_headed(library), {"kind": y, "size": x[:, :2]}
        losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
        model.compile("sgd", losses, loss_weights={"kind": 0.5, "size": 2.0})
        found = criteria.Undecayed().scores(model, (x, targets))
        assert_scores(found, of_keras_own_loss(model, x, {name: tf.constant(value) for name, value in targets.items()}))
        with pytest.raises(InputError, match=r"^the data have no target for the model's output 'size'"):
            criteria.Undecayed().scores(model, (x, {"kind": y}))
        with pytest.raises(InputError, match="a loss is given for 'side'; the model's outputs are 'kind', 'size'"):
            criteria.Undecayed().scores(model, (x, targets), loss={"kind": "mse", "side": "mse"})

    @pytest.mark.parametrize("form", ["dictionary", "list", "one for all", "column"])
    def test_sample_weights_of_each_output(self, data, library, form):
        x, y = data
        model, targets = self.two_headed(library), {"kind": y, "size": x[:, :2]}
        if form == "list":  # as the outputs are
            model = library.Model(model.inputs, [model.outputs[0], model.outputs[1]])
            targets = list(targets.values())
        model.compile("sgd", ["sparse_categorical_crossentropy", "mse"] if form == "list" else
                      {"kind": "sparse_categorical_crossentropy", "size": "mse"})  # fmt: skip
        rng = np.random.default_rng(5)
        kind, size = (rng.uniform(0, 3, N).astype(np.float32) for _ in range(2))
        sample_weight = {
            "dictionary": {"kind": kind, "size": size},
            "list": [kind, size],
            "one for all": kind,
            "column": {"kind": kind[:, np.newaxis], "size": size[:, np.newaxis]},
        }[form]
        y_true, weight = tf.nest.map_structure(tf.constant, (targets, sample_weight))
        if form == "one for all":  # to each loss, which tf_keras does with a dictionary's outputs only if it is spelled out
            weight = {"kind": weight, "size": weight}
        expected = of_keras_own_loss(model, tf.constant(x), y_true, weight)
        assert_scores(criteria.Undecayed().scores(model, (x, targets, sample_weight)), expected)
        rows = tf.nest.map_structure(lambda part: part, (targets, sample_weight))
        rows = tuple(tuple(part) if isinstance(part, list) else part for part in rows)
        assert_scores(criteria.Undecayed().scores(model, tf.data.Dataset.from_tensor_slices((x, *rows)).batch(16)), expected)
        unweighted = criteria.Undecayed().scores(model, (x, targets))
        assert not np.allclose(unweighted["hidden/kernel"], expected["hidden/kernel"], rtol=0.05)

    def test_outputs_without_sample_weights_count_once(self, data, library):
        x, y = data
        model, targets = self.two_headed(library), {"kind": y, "size": x[:, :2]}
        model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
        some, ones = np.linspace(0, 3, N, dtype=np.float32), np.ones(N, np.float32)
        expected = criteria.Undecayed().scores(model, (x, targets, {"kind": some, "size": ones}))
        for partial in ({"kind": some}, {"kind": some, "size": None}):
            assert_scores(criteria.Undecayed().scores(model, (x, targets, partial)), expected)
        assert_scores(criteria.Undecayed().scores(model, [(x, targets, {"kind": some, "size": None})]), expected)
        with pytest.raises(InputError, match="a sample weight is given for 'side'; the model's outputs are 'kind', 'size'"):
            criteria.Undecayed().scores(model, (x, targets, {"side": some}))

    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("axes", [1, 2, 3])
    def test_sample_weights_of_each_step(self, library, masked, axes):
        library.utils.set_random_seed(0)
        chain = [
            library.layers.Input((6,)),
            library.layers.Embedding(9, 4, mask_zero=masked),
            library.layers.LSTM(5, return_sequences=True),
            library.layers.Dense(CLASSES, "softmax", name="head"),
        ]
        model = library.Sequential(chain)
        model.compile("sgd", "sparse_categorical_crossentropy")
        rng = np.random.default_rng(0)
        x, y = rng.integers(1, 9, (16, 6)), rng.integers(0, CLASSES, (16, 6))
        x[np.arange(6) >= rng.integers(1, 6, (16, 1))] = 0
        sample_weight = rng.uniform(0, 3, (16, 6, 1)[:axes]).astype(np.float32)
        given = sample_weight[:, np.newaxis] if axes == 1 else sample_weight  # Keras wants it spelled out here
        expected = of_keras_own_loss(model, tf.constant(x), tf.constant(y), tf.constant(given))
        assert_scores(criteria.Undecayed().scores(model, (x, y, sample_weight)), expected)
        with pytest.raises(InputError, match="sample weights of shape"):
            criteria.Undecayed().scores(model, (x, y, np.ones((16, 6, 2))))

    def test_a_loss_that_averages_over_the_batch_itself_is_weighted_as_a_whole(self, data, library):
        def mean(y_true, y_pred):
            return tf.reduce_mean(tf.square(y_true - y_pred))

        x, _ = data
        model = self.two_headed(library, single=True)
        y, sample_weight = np.ones((N, CLASSES), np.float32), np.linspace(0, 3, N, dtype=np.float32)
        once = criteria.Undecayed().scores(model, (x, y), loss=mean)
        for weight in (sample_weight, sample_weight[:, np.newaxis]):
            found = criteria.Undecayed().scores(model, (x, y, weight), loss=mean)
            assert_scores(found, {path: 1.5 * score for path, score in once.items()})

    def test_a_dictionary_of_one_output(self, data, library):
        x, y = data
        model = self.two_headed(library, single=True)
        loss = "sparse_categorical_crossentropy"
        assert_scores(
            criteria.Undecayed().scores(model, (x, y), loss=loss),
            criteria.Undecayed().scores(model, (x, {"kind": y}), loss={"kind": loss}),
        )

    def test_what_keras_cannot_write_down(self, data, library):
        class Metric(library.metrics.Metric):
            def update_state(self, y_true, y_pred, sample_weight=None):
                pass

            def result(self):
                return 0.0

        class Loss:  # a callable that has no configuration
            def __call__(self, y_true, y_pred):
                return library.losses.sparse_categorical_crossentropy(y_true, y_pred)

        x, y = data
        model = self.two_headed(library, single=True)
        model.compile("sgd", Loss(), metrics=[Metric()])
        found = criteria.Undecayed().scores(model, (x, {"kind": y}))
        assert_scores(found, criteria.Undecayed().scores(model, (x, y), loss="sparse_categorical_crossentropy"))

    def test_padded_steps_do_not_count(self, library):
        library.utils.set_random_seed(0)
        model = library.Sequential(
            [
                library.layers.Input((6,)),
                library.layers.Embedding(9, 4, mask_zero=True),
                library.layers.LSTM(5, return_sequences=True),
                library.layers.Dense(CLASSES, "softmax", name="head"),
            ]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        rng = np.random.default_rng(0)
        x, y = rng.integers(1, 9, (16, 6)), rng.integers(0, CLASSES, (16, 6))
        x[np.arange(6) >= rng.integers(1, 6, (16, 1))] = 0
        assert_scores(criteria.Undecayed().scores(model, (x, y)), of_keras_own_loss(model, tf.constant(x), tf.constant(y)))

    def test_an_ignored_class_does_not_count(self, library):
        library.utils.set_random_seed(0)
        model = library.Sequential(
            [
                library.layers.Input((4, FEATURES)),
                library.layers.Dense(HIDDEN, "tanh"),
                library.layers.Dense(CLASSES, "softmax"),
            ]
        )
        model.compile("sgd", library.losses.SparseCategoricalCrossentropy(ignore_class=2))
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(16, 4, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, (16, 4))
        assert_scores(criteria.Undecayed().scores(model, (x, y)), of_keras_own_loss(model, tf.constant(x), tf.constant(y)))

    def test_the_states_of_recurrent_layers_stay(self, library):
        model = library.Sequential(
            [
                library.layers.Input(batch_shape=(4, 3, 2)),
                library.layers.LSTM(5, stateful=True),
                library.layers.Dense(CLASSES),
            ]
        )
        x = np.ones((4, 3, 2), np.float32)
        model(x)
        before = [state.numpy() for state in model.layers[-2].states]
        assert all(state.any() for state in before)
        criteria.Undecayed().scores(model, tf.data.Dataset.from_tensors((x, np.zeros((4, CLASSES)))), loss="mse")
        for state, was in zip(model.layers[-2].states, before):
            np.testing.assert_array_equal(state.numpy(), was)


class TestData:
    def test_batch_sizes_do_not_matter_and_unequal_ones_weigh_right(self, data):
        model = mlp(activity=tf_keras.regularizers.L2(0.6))
        whole = criteria.Undecayed().scores(model, data)
        for size in (1, 7, 16, N):
            batches = tf.data.Dataset.from_tensor_slices(data).batch(size)
            assert_scores(criteria.Undecayed().scores(model, batches), whole, 1e-4)
        edges = [0, 1, 3, 30, N]
        unequal = [(data[0][a:b], data[1][a:b]) for a, b in itertools.pairwise(edges)]
        assert_scores(criteria.Undecayed().scores(model, unequal), whole, 1e-4)

    def test_arrays_larger_than_a_batch(self):
        rng = np.random.default_rng(0)
        n = BATCH_SIZE + 37
        x, y = rng.normal(size=(n, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, n)
        model = mlp()
        assert_scores(
            criteria.Undecayed().scores(model, (x, y)),
            expected_scores(lambda values: cross_entropy(values, x, y), parameters(model)),
        )

    def test_sample_weights_in_a_dataset(self, data):
        sample_weight = np.random.default_rng(3).uniform(0, 3, N)
        model = mlp()
        losses = -np.log(forward(parameters(model), data[0])[1][np.arange(N), data[1]])

        def weighted(values):
            return (sample_weight * -np.log(forward(values, data[0])[1][np.arange(N), data[1]])).mean()

        assert abs(losses.mean() - weighted(parameters(model))) > 0.01
        batches = tf.data.Dataset.from_tensor_slices((*data, sample_weight)).batch(7)
        assert_scores(criteria.Undecayed().scores(model, batches), expected_scores(weighted, parameters(model)))

    def test_loss_argument_goes_before_the_compiled_one(self, data):
        one_hot = np.eye(CLASSES, dtype=np.float32)[data[1]]
        compiled, uncompiled = mlp(loss="mse"), mlp()
        uncompiled = tf_keras.models.clone_model(compiled)
        uncompiled.set_weights(compiled.get_weights())
        expected = criteria.Undecayed().scores(compiled, (data[0], one_hot))
        assert_scores(criteria.Undecayed().scores(uncompiled, (data[0], one_hot), loss="mse"), expected)
        other = criteria.Undecayed().scores(compiled, data, loss="sparse_categorical_crossentropy")
        assert not np.allclose(other[HIDDEN_KERNEL], expected[HIDDEN_KERNEL], rtol=0.1)

    @pytest.mark.parametrize("criterion", [criteria.Gradient(), criteria.Undecayed(), criteria.UndecayedSum()])
    def test_missing_data_and_loss(self, data, criterion):
        model = mlp()
        with pytest.raises(InputError, match="needs data"):
            criterion.scores(model)
        with pytest.raises(InputError, match="needs a loss"):
            criterion.scores(tf_keras.models.clone_model(model), data)

    @pytest.mark.parametrize(
        "bad",
        [
            lambda x, y: (x,),
            lambda x, y: (x, y[:-1]),
            lambda x, y: [],
            lambda x, y: tf.data.Dataset.from_tensor_slices((x, y)).batch(4).take(0),
            lambda x, y: tf.data.Dataset.from_tensor_slices(x).batch(4),
            lambda x, y: tf.data.Dataset.from_tensor_slices((x, y)).batch(4).repeat(),
        ],
        ids=["one array", "lengths", "no batches", "empty dataset", "no labels", "endless"],
    )
    def test_bad_data(self, data, bad):
        with pytest.raises(InputError):
            criteria.Undecayed().scores(mlp(), bad(*data))


def busy_model():
    tf_keras.utils.set_random_seed(0)
    return tf_keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, kernel_regularizer=UndecayedL2(0.1), activity_regularizer="l2", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.SpatialDropout2D(0.5),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(8, "relu", kernel_regularizer="l1", name="dense"),
            layers.Dense(CLASSES, "softmax", name="out"),
        ]
    )


class TestNothingChanges:
    @pytest.fixture
    def images(self):
        rng = np.random.default_rng(0)
        return rng.normal(size=(N, 8, 8, 1)).astype(np.float32), rng.integers(0, CLASSES, N)

    @pytest.mark.parametrize("name", criteria.CRITERIA)
    def test_in_the_model(self, images, name):
        model = busy_model()
        model.compile(tf_keras.optimizers.Adam(weight_decay=0.1), "sparse_categorical_crossentropy", ["accuracy"])
        model.fit(*images, batch_size=8, verbose=0)
        attributes = {layer.name: set(vars(layer)) for layer in model.layers}
        state = {
            "weights": [value.copy() for value in model.get_weights()],
            "optimizer": [variable.numpy() for variable in model.optimizer.variables],
            "metrics": [float(metric.result()) for metric in model.metrics],
            "trainable": [layer.trainable for layer in model.layers],
        }
        penalties = len(model.losses)
        before = model.predict(images[0], verbose=0)
        criteria.get(name).scores(model, images)
        assert len(model.losses) == penalties
        assert {layer.name: set(vars(layer)) for layer in model.layers} == attributes
        after = {
            "weights": model.get_weights(),
            "optimizer": [variable.numpy() for variable in model.optimizer.variables],
            "metrics": [float(metric.result()) for metric in model.metrics],
            "trainable": [layer.trainable for layer in model.layers],
        }
        for key, values in state.items():
            for old, new in zip(values, after[key], strict=True):
                np.testing.assert_array_equal(old, new, err_msg=key)
        np.testing.assert_array_equal(model.predict(images[0], verbose=0), before)
        model.fit(*images, batch_size=8, verbose=0)  # and it still trains

    def test_in_the_losses_of_a_model_that_was_never_called(self, images):
        model = busy_model()
        model.compile("sgd", "sparse_categorical_crossentropy")
        before = [tf.is_symbolic_tensor(loss) for loss in model.losses]
        assert before == [True, False, False]  # the activity regularizer's, which no call has given a value yet
        criteria.Gradient().scores(model, images)
        assert [tf.is_symbolic_tensor(loss) for loss in model.losses] == before, "the last batch's was left there"

    def test_dropout_is_off_and_batch_norm_uses_its_statistics(self, images):
        """In training mode the batch's own statistics would make an example's loss depend on its batch."""
        model = busy_model()
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.get_layer("norm").moving_mean.assign([0.3, -0.2, 0.1, 0.0])
        first = criteria.Undecayed().scores(model, images)
        again = criteria.Undecayed().scores(model, tf.data.Dataset.from_tensor_slices(images).batch(3))
        assert_scores(again, first, 1e-3, 1e-7)


class TestNumerics:
    @pytest.fixture
    def half(self):
        tf_keras.mixed_precision.set_global_policy("mixed_float16")
        yield
        tf_keras.mixed_precision.set_global_policy("float32")

    @pytest.mark.parametrize("factor", [1.0, 1e-6, 1e3], ids=["plain", "underflows unscaled", "overflows scaled"])
    def test_float16_is_close_to_float32(self, data, half, factor):
        one_hot = np.eye(CLASSES, dtype=np.float32)[data[1]]

        def loss(y_true, y_pred):
            return factor * tf_keras.losses.categorical_crossentropy(y_true, tf.cast(y_pred, tf.float32))

        mixed = mlp(UndecayedL2(0.1))
        tf_keras.mixed_precision.set_global_policy("float32")
        full = mlp(UndecayedL2(0.1))
        full.set_weights(mixed.get_weights())
        assert mixed.layers[0].compute_dtype == "float16"
        low = criteria.Undecayed().scores(mixed, (data[0], one_hot), loss=loss)
        high = criteria.Undecayed().scores(full, (data[0], one_hot), loss=loss)
        for path in high:
            assert np.isfinite(low[path]).all()
            assert low[path].dtype == np.float32
            np.testing.assert_allclose(low[path], high[path], rtol=0.05, atol=0.02 * high[path].max())

    def test_a_generator_is_read_once_where_gradients_overflow(self, data, half):
        """A scale that is too large is found in a batch: the batches before it are gone by then."""
        one_hot = np.eye(CLASSES, dtype=np.float32)[data[1]]

        def loss(y_true, y_pred):
            return 1e3 * tf_keras.losses.categorical_crossentropy(y_true, tf.cast(y_pred, tf.float32))

        model = mlp()
        batches = [(data[0][a : a + 8], one_hot[a : a + 8]) for a in range(0, N, 8)]
        found = criteria.Undecayed().scores(model, (batch for batch in batches), loss=loss)
        assert_scores(found, criteria.Undecayed().scores(model, (data[0], one_hot), loss=loss), rtol=0.02, atol=1e-2)
        assert all(score.any() and np.isfinite(score).all() for score in found.values())

    def test_inside_a_mirrored_strategy(self, data):
        strategy = training.strategy("mirrored")
        plain = mlp(UndecayedL2(0.1), activity="l2", optimizer=tf_keras.optimizers.SGD(weight_decay=0.1))
        with strategy.scope():
            mirrored = mlp(UndecayedL2(0.1), activity="l2", optimizer=tf_keras.optimizers.SGD(weight_decay=0.1))
        mirrored.set_weights(plain.get_weights())
        for name in ("gradient", "undecayed", "undecayed-sum", "magnitude"):
            criterion = criteria.get(name)
            expected = criterion.scores(plain, data)
            with strategy.scope():
                assert_scores(criterion.scores(mirrored, data), expected, 1e-4)
            assert_scores(criterion.scores(mirrored, data), expected, 1e-4)

    def test_embeddings_have_dense_scores(self):
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential(
            [
                layers.Input((3,), dtype="int32"),
                layers.Embedding(6, 2, name="e"),
                layers.Flatten(),
                layers.Dense(1, name="out"),
            ]
        )
        model.compile(tf_keras.optimizers.SGD(1.0), "mse")
        x, y = np.array([[0, 1, 1], [2, 1, 0]]), np.array([1.0, 2.0], np.float32)
        assert_scores_are_of_the_training_step(model, x, y)
        scores = criteria.Gradient().scores(model, (x, y))["e/embeddings"]
        assert (scores[3:] == 0).all()
        assert (scores[:3] > 0).all()


class TestNames:
    @pytest.mark.parametrize(
        ("short", "full"),
        [("mp", "magnitude"), ("GP", "gradient"), ("up", "undecayed"), ("rp", "random"), ("Undecayed", "undecayed")],
    )
    def test_short_and_full(self, short, full):
        assert criteria.canonical(short) == full
        assert type(criteria.get(short)) is criteria.CRITERIA[full]

    def test_seed_goes_to_random(self):
        assert criteria.get("rp", seed=5).seed == 5

    def test_objects_pass_through(self):
        criterion = criteria.UndecayedSum(0.1)
        assert criteria.get(criterion) is criterion

    def test_unknown_suggests_the_nearest(self):
        with pytest.raises(InputError, match=r"unknown algorithm 'undecay'.*undecayed"):
            criteria.get("undecay")
        with pytest.raises(InputError, match="magnitude"):
            criteria.get("magnitud")

    def test_neither_name_nor_criterion(self):
        with pytest.raises(InputError, match="scores method"):
            criteria.get(3)

    def test_a_subclass_must_override_scores(self):
        with pytest.raises(NotImplementedError, match="scores"):
            criteria.Criterion().scores(None)
