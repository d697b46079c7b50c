"""Pruned zeros are held, initial zeros are trained, and a warning says which weights are which."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tf_keras
from hypothesis import given
from hypothesis import strategies as st

import tfrecall
from tfrecall import criteria, pruning, schedules, weights
from tfrecall.errors import InputError, PruningWarning
from tfrecall.pruning import bindings, zeros

RNG = np.random.default_rng(0)
IDS, LABELS = RNG.integers(0, 40, (64, 6)), RNG.integers(0, 2, 64)
VECTORS = RNG.normal(size=(40, 8)).astype("f")
VECTORS[20:] = 0
BOTH = pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras", "tf_keras"])


def recurrent(library):
    """Word vectors, half of them 0, given after building; an identity; and a dense layer without zeros."""
    library.utils.set_random_seed(0)
    layers = library.layers
    model = library.Sequential(
        [
            layers.Input((6,)),
            layers.Embedding(40, 8, name="words"),
            layers.SimpleRNN(16, recurrent_initializer="identity", name="rnn"),
            layers.Dense(16, name="dense"),
            layers.Dense(2, activation="softmax", name="out"),
        ]
    )
    model.get_layer("words").set_weights([VECTORS])
    return model


def fitted(model, *callbacks, epochs=1):
    library = keras if isinstance(model, keras.Model) else tf_keras
    model.compile(library.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(IDS, LABELS, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def said(call):
    """Return the result of a call, and what it says in warnings of pruning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [str(entry.message) for entry in caught if issubclass(entry.category, PruningWarning)]


def where_zero(model):
    return {path: weight.value == 0 for path, weight in weights.prunable(model, classifiers=False).items()}


def all_kept(model):
    return all(mask.all() for mask in bindings.of(model).masks(model).values())


def scattered(seed, shape, share):
    """Values of which a share is 0 here and there."""
    rng = np.random.default_rng(seed)
    value = rng.normal(size=shape)
    value.flat[rng.permutation(value.size)[: round(share * value.size)]] = 0
    return value


class TestPattern:
    @given(st.integers(0, 10**6), st.integers(8, 30), st.integers(8, 30), st.floats(0.1, 0.9))
    def test_what_pruning_leaves_is_scattered(self, seed, rows, columns, share):
        value = scattered(seed, (rows, columns), share)
        assert zeros.is_scattered(value == 0, value)

    @given(st.integers(0, 10**6), st.integers(1, 4), st.data())
    def test_whole_slices_are_not(self, seed, axes, data):
        value = np.random.default_rng(seed).uniform(1, 2, size=(6, 5, 4, 3)[:axes])
        axis = data.draw(st.integers(0, axes - 1))
        rows = data.draw(st.sets(st.integers(0, value.shape[axis] - 1), min_size=1))
        np.moveaxis(value, axis, 0)[sorted(rows)] = 0
        assert not zeros.is_scattered(value == 0, value)

    @pytest.mark.parametrize("value", [np.eye(16), 0.5 * np.eye(4, 16), np.tile(np.eye(4), 4), np.zeros((3, 4)), np.ones(5)])
    def test_neither_is_an_identity_nor_what_is_all_0_or_has_no_zeros(self, value):
        assert not zeros.is_scattered(value == 0, value)

    def test_nor_an_identity_in_the_middle_of_a_convolution(self):
        kernel = np.zeros((3, 3, 8, 8))
        kernel[1, 1] = np.eye(8)
        assert not zeros.is_scattered(kernel == 0, kernel)


@BOTH
class TestInitial:
    def test_are_trained_and_named(self, library):
        prepared, told = said(lambda: tfrecall.prepare(recurrent(library)))
        assert len(told) == 1
        assert "zeros of words/embeddings (160 of 320), rnn/recurrent_kernel (240 of 256) are trained" in told[0]
        assert all_kept(prepared)
        schedule = schedules.OneShot(0.01, 10**6)
        _, told = said(lambda: fitted(prepared, tfrecall.PruningCallback("magnitude", schedule)))
        assert told == []
        left = where_zero(tfrecall.strip(prepared))
        assert not left["rnn/recurrent_kernel"].any()
        assert left["words/embeddings"].mean() < 0.3

    def test_the_user_may_say_so_or_say_otherwise(self, library):
        trained, told = said(lambda: tfrecall.prepare(recurrent(library), hold_zeros=False))
        assert told == []
        assert all_kept(trained)
        held, told = said(lambda: tfrecall.prepare(recurrent(library), hold_zeros=True))
        assert told == []
        before = where_zero(held)
        assert before["words/embeddings"].sum() == 160
        after = where_zero(tfrecall.strip(fitted(held, tfrecall.PruningCallback())))
        for path, zero in before.items():
            np.testing.assert_array_equal(after[path], zero)

    def test_scattered_ones_that_the_user_calls_initial_stay_free_in_fit(self, library):
        model = recurrent(library)
        model.get_layer("words").set_weights([scattered(0, (40, 8), 0.5)])
        prepared = tfrecall.prepare(model, hold_zeros=False)
        _, told = said(lambda: fitted(prepared, tfrecall.PruningCallback()))
        assert told == []
        assert all_kept(prepared)

    def test_scattered_ones_are_held_with_a_word(self, library):
        """They may be pruned: then to train them would lose what was done."""
        model = recurrent(library)
        model.get_layer("words").set_weights([scattered(0, (40, 8), 0.5)])
        prepared, told = said(lambda: tfrecall.prepare(model))
        assert len(told) == 1
        assert "are held at 0, as pruned weights. Pass hold_zeros=True if they were pruned, or hold_zeros=False" in told[0]
        assert not bindings.of(prepared).masks(prepared)["words/embeddings"].all()

    def test_count_as_removed_with_a_word_or_are_ranked(self, library):
        model = recurrent(library)
        total = weights.total_parameters(model)
        pruned, told = said(lambda: tfrecall.prune(model, 0.5))
        assert any(
            "zeros of words/embeddings (160 of 320), rnn/recurrent_kernel (240 of 256) count as removed" in t for t in told
        )
        assert pruning.remaining_parameters(tfrecall.strip(pruned)) == total - round(0.5 * total)
        pruned, told = said(lambda: tfrecall.prune(recurrent(library), 0.5, criteria.Random(0), hold_zeros=False))
        masks = bindings.of(pruned).masks(pruned)
        assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.5 * total)
        assert masks["words/embeddings"][20:].any()
        assert [text[:37] for text in told] == ["weights that were 0, such as initial v"[:37]]

    def test_a_schedule_that_prunes_them_says_so(self, library):
        prepared, _ = said(lambda: tfrecall.prepare(recurrent(library)))
        callback = tfrecall.PruningCallback("magnitude", schedules.OneShot(0.2, 1))
        _, told = said(lambda: fitted(prepared, callback))
        assert [text.split(":")[0] for text in told] == [
            "weights that were 0, such as initial values, are pruned, and held at 0 from now on"
        ]

    def test_hold_zeros_takes_three_values(self, library):
        for call in (tfrecall.prepare, lambda model, **options: tfrecall.prune(model, 0.5, **options)):
            with pytest.raises(InputError, match='hold_zeros must be True, False or "auto"; got 1'):
                call(recurrent(library), hold_zeros=1)


@BOTH
class TestPruned:
    def pruned(self, library):
        """A model that was trained, pruned, and stripped."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PruningWarning)
            return tfrecall.strip(tfrecall.prune(fitted(recurrent(library), epochs=3), 0.5))

    def test_a_loaded_model_goes_on_with_its_zeros(self, library, tmp_path):
        model = self.pruned(library)
        before = where_zero(model)
        model.save(tmp_path / "model.keras")
        loaded = library.models.load_model(tmp_path / "model.keras")
        prepared, told = said(lambda: tfrecall.prepare(loaded))
        assert len(told) == 1
        assert "are held at 0, as pruned weights" in told[0]
        after = where_zero(tfrecall.strip(fitted(prepared, tfrecall.PruningCallback())))
        for path, zero in before.items():
            np.testing.assert_array_equal(after[path] & zero, zero)

    def test_zeros_that_are_not_held_are_pruned_no_more(self, library):
        model = self.pruned(library)
        before = where_zero(model)["dense/kernel"]
        prepared = tfrecall.prepare(model, hold_zeros=False)
        assert all_kept(prepared)
        left = tfrecall.strip(fitted(prepared, tfrecall.PruningCallback()))
        assert where_zero(left)["dense/kernel"].sum() < before.sum() / 2

    def test_weights_that_come_after_preparing_stay_pruned(self, library):
        """Also where they come into a model with initial zeros, some of which the pruned one shares."""
        model = self.pruned(library)
        prepared, _ = said(lambda: tfrecall.prepare(recurrent(library)))
        for path, weight in weights.prunable(prepared).items():
            weight.variable.assign(weights.prunable(model)[path].value)
        before = where_zero(prepared)
        _, told = said(lambda: fitted(prepared, tfrecall.PruningCallback()))
        assert len(told) == 1
        assert "since they came after the model was prepared" in told[0]
        after = where_zero(tfrecall.strip(prepared))
        for path, mask in bindings.of(prepared).masks(prepared).items():
            np.testing.assert_array_equal(mask, ~before[path])
            np.testing.assert_array_equal(after[path] & before[path], before[path])

    def test_initial_values_that_come_after_preparing_are_trained(self, library):
        model = recurrent(library)
        model.get_layer("words").set_weights([VECTORS + 1])
        prepared, _ = said(lambda: tfrecall.prepare(model))
        weights.prunable(prepared)["words/embeddings"].variable.assign(VECTORS)
        _, told = said(lambda: fitted(prepared, tfrecall.PruningCallback()))
        assert len(told) == 1
        assert "are trained, as initial values, though they came after" in told[0]
        assert all_kept(prepared)
        _, told = said(lambda: fitted(prepared, tfrecall.PruningCallback()))
        assert told == []  # once is enough


def test_a_dense_checkpoint_does_not_bring_back_what_is_pruned(tmp_path):
    """In Keras 3 the masks win; in tf_keras the checkpoint brings its own, and a warning says what was lost."""
    fitted(recurrent(keras)).save_weights(tmp_path / "dense.weights.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        model = fitted(tfrecall.prune(recurrent(keras), 0.5, "random"))
    masks = bindings.of(model).masks(model)
    model.load_weights(tmp_path / "dense.weights.h5")
    _, told = said(lambda: model.fit(IDS, LABELS, verbose=0, callbacks=[tfrecall.PruningCallback()]))
    assert any("had come back, and were set to 0 again" in text for text in told)
    for path, mask in masks.items():
        assert where_zero(model)[path][~mask].all()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        dense = tfrecall.prepare(recurrent(tf_keras), hold_zeros=False)
        model = tfrecall.prune(recurrent(tf_keras), 0.5, "random")
    removed = sum(int((~mask).sum()) for mask in bindings.of(model).masks(model).values())
    model.set_weights(dense.get_weights())
    _, told = said(lambda: fitted(model, tfrecall.PruningCallback()))
    assert any(text.startswith(f"{removed} weights that were pruned are no longer: the masks changed") for text in told)


def test_the_callback_alone_holds_pruned_zeros_and_refuses_initial_ones(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        model = tfrecall.prune(fitted(recurrent(keras), epochs=3), 0.5)
    before = where_zero(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    fitted(again, tfrecall.PruningCallback())
    for path, zero in where_zero(again).items():
        np.testing.assert_array_equal(zero & before[path], before[path])
    with pytest.raises(InputError, match="PruningCallback needs a prepared model"):
        fitted(recurrent(keras), tfrecall.PruningCallback())
