"""Schedules: their formulas, their events, and each of them inside tfmot without anything else of tfrecall."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from tf_keras import layers

from tfrecall import schedules
from tfrecall.errors import InputError
from tfrecall.schedules import Cosine, Iterative, OneShot, Polynomial

EXAMPLES = {
    "one shot": OneShot(4, begin_step=3),
    "polynomial": Polynomial(0.8, 2, 9, initial_ratio=0.2, power=2, frequency=3),
    "cosine": Cosine(5, 1, 7, frequency=2),
    "iterative": Iterative(0.75, rounds=3, begin_step=2, frequency=3),
}


class TestFormulas:
    def test_one_shot(self):
        assert OneShot(4).events() == [(1, 0.75)]
        assert OneShot(0.9, begin_step=7).events() == [(7, 0.9)]

    def test_polynomial_is_zhu_and_guptas(self):
        schedule = Polynomial(0.9, 10, 110, initial_ratio=0.3, power=3, frequency=20)
        expected = [(step, 0.9 + (0.3 - 0.9) * (1 - (step - 10) / 100) ** 3) for step in (10, 30, 50, 70, 90, 110)]
        assert [step for step, _ in schedule.events()] == [step for step, _ in expected]
        np.testing.assert_allclose([s for _, s in schedule.events()], [s for _, s in expected], atol=1e-12)

    def test_polynomial_is_tfmots_polynomial_decay(self):
        ours = Polynomial(0.9, 10, 110, initial_ratio=0.3, power=3, frequency=20)
        theirs = tfmot.sparsity.keras.PolynomialDecay(0.3, 0.9, 10, 110, power=3, frequency=20)
        for step in range(1, 130):
            (now, target), (their_now, their_target) = ours(tf.constant(step)), theirs(tf.constant(step))
            assert bool(now) == bool(their_now), step
            if now:
                assert float(target) == pytest.approx(float(their_target), abs=1e-6), step

    def test_cosine(self):
        schedule = Cosine(0.8, 0, 101, initial_ratio=0.2, frequency=25)
        steps = [1, 26, 51, 76, 101]
        expected = [0.2 + 0.6 * math.sin(math.pi / 2 * (step - 1) / 100) ** 2 for step in steps]  # (1 − cos x)/2 = sin²(x/2)
        assert [step for step, _ in schedule.events()] == steps
        np.testing.assert_allclose([s for _, s in schedule.events()], expected, atol=1e-12)

    @pytest.mark.parametrize(("ratio", "rounds"), [(10, 4), (0.5, 1), (0.75, 2), (50, 7)])
    def test_iterative_removes_the_same_share_of_what_is_left(self, ratio, rounds):
        sparsities = [s for _, s in Iterative(ratio, rounds).events()]
        left = [1.0, *(1 - s for s in sparsities)]
        shares = [1 - after / before for before, after in itertools.pairwise(left)]
        assert len(shares) == rounds
        np.testing.assert_allclose(shares, shares[0], rtol=1e-9)
        assert sparsities[-1] == (ratio if ratio < 1 else 1 - 1 / ratio)

    def test_iterative_steps(self):
        assert [step for step, _ in Iterative(0.5, 3, begin_step=5, frequency=10).events()] == [5, 15, 25]
        assert [step for step, _ in Iterative(0.5, 2, frequency=10).events()] == [1, 11]

    @pytest.mark.parametrize(
        "make",
        [
            lambda r: OneShot(r),
            lambda r: Polynomial(r, 0, 100),
            lambda r: Cosine(r, 0, 100),
            lambda r: Iterative(r, 3),
            lambda r: Polynomial(0.9, 0, 100, initial_ratio=r),
        ],
    )
    def test_both_notations(self, make):
        assert make(4).events() == make(0.75).events()
        assert make(2).events() == make(0.5).events()

    @pytest.mark.parametrize("nothing", [0, 1, 0.0])
    def test_ramps_from_nothing(self, nothing):
        assert Polynomial(0.5, 0, 100, initial_ratio=nothing).events()[0] == (1, 0.0)

    def test_the_last_step_is_an_event_off_the_beat_too(self):
        assert [step for step, _ in Polynomial(0.5, 10, 35, frequency=10).events()] == [10, 20, 30, 35]
        assert [step for step, _ in Polynomial(0.5, 10, 30, frequency=10).events()] == [10, 20, 30]
        assert [step for step, _ in Cosine(0.5, 10, 12, frequency=10).events()] == [10, 12]


fractions = st.floats(0.01, 0.99)
ratios = fractions | st.floats(1.01, 1000.0)


@st.composite
def any_schedules(draw):
    """Return (schedule, initial sparsity, final sparsity, last step)."""
    last, begin = draw(ratios), draw(st.integers(0, 50))
    final = last if last < 1 else 1 - 1 / last
    kind = draw(st.sampled_from(["one shot", "polynomial", "cosine", "iterative"]))
    if kind == "one shot":
        return OneShot(last, begin), 0.0, final, max(1, begin)
    frequency = draw(st.integers(1, 40))
    if kind == "iterative":
        rounds = draw(st.integers(1, 12))
        return Iterative(last, rounds, begin, frequency), 0.0, final, max(1, begin) + (rounds - 1) * frequency
    end, initial = max(1, begin) + draw(st.integers(1, 60)), draw(st.floats(0.0, 1.0)) * final
    if initial < 1e-6:
        initial = 0.0
    if kind == "polynomial":
        power = draw(st.floats(0.1, 6.0))
        return Polynomial(last, begin, end, initial, power, frequency), initial, final, end
    return Cosine(last, begin, end, initial, frequency), initial, final, end


class TestInvariants:
    @settings(max_examples=200, deadline=None)
    @given(any_schedules())
    def test_steps_rise_sparsity_never_falls_and_ends_exactly(self, drawn):
        schedule, initial, final, end = drawn
        steps, sparsities = zip(*schedule.events())
        assert steps[0] >= 1
        assert all(a < b for a, b in itertools.pairwise(steps))
        assert all(a <= b + 1e-12 for a, b in itertools.pairwise(sparsities))
        assert all(initial - 1e-9 <= s <= final + 1e-9 for s in sparsities)
        assert all(0 <= s < 1 for s in sparsities)
        assert (steps[-1], sparsities[-1]) == (end, final)

    @settings(max_examples=25, deadline=None)
    @given(any_schedules(), st.sampled_from([tf.int32, tf.int64]))
    def test_tensors_agree_with_at(self, drawn, dtype):
        schedule, *_, end = drawn
        call = tf.function(schedule.__call__)
        latest = 0.0
        events = {step for step, _ in schedule.events()}
        for step in sorted({0, 1, end - 1, end, end + 1, *list(events)[:6]}):
            latest = max([s for at, s in schedule.events() if at <= step], default=0.0)
            now, target = call(tf.constant(step, dtype))
            assert bool(now) == (step in events)
            assert target.dtype == tf.float32
            assert float(target) == pytest.approx(latest, abs=1e-6)
            at = schedule.at(step)
            assert (at is not None) == bool(now)
            if at is not None:
                assert at == latest

    @settings(max_examples=50, deadline=None)
    @given(any_schedules())
    def test_config_round_trip(self, drawn):
        schedule = drawn[0]
        config = schedule.get_config()
        for again in (
            type(schedule).from_config(config),
            type(schedule).from_config(config["config"]),
            tf_keras.utils.deserialize_keras_object(config),
        ):
            assert type(again) is type(schedule)
            assert again.events() == schedule.events()


class TestInsideTfmotAlone:
    """The wrapper's own magnitude update, driven by tfmot's own callback, follows these schedules."""

    @staticmethod
    def model():
        tf_keras.utils.set_random_seed(0)
        return tf_keras.Sequential([layers.Input((10,)), layers.Dense(20, "relu", name="a"), layers.Dense(10, name="b")])

    @staticmethod
    def wrap(schedule):
        wrapped = tfmot.sparsity.keras.prune_low_magnitude(TestInsideTfmotAlone.model(), pruning_schedule=schedule)
        wrapped.compile("sgd", "mse")
        return wrapped

    @staticmethod
    def fit(model, epochs=1):
        seen = []

        class Watch(tf_keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                wrappers = [layer for layer in self.model.layers if hasattr(layer, "pruning_vars")]
                seen.append([1 - float(np.mean(mask)) for wrapper in wrappers for _, mask, _ in wrapper.pruning_vars])

        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(24, 10)).astype(np.float32), rng.normal(size=(24, 10)).astype(np.float32)
        callbacks = [tfmot.sparsity.keras.UpdatePruningStep(), Watch()]
        model.fit(x, y, batch_size=2, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks)
        return seen

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_layers_reach_the_sparsity_at_the_step(self, name):
        schedule = EXAMPLES[name]
        for step, layer_sparsities in enumerate(self.fit(self.wrap(schedule)), 1):
            wanted = max([s for at, s in schedule.events() if at <= step], default=0.0)
            for size, got in zip((200, 200), layer_sparsities, strict=True):
                assert got == pytest.approx(wanted, abs=1 / size), step

    @pytest.mark.parametrize("suffix", ["keras", "h5"])
    @pytest.mark.parametrize("name", EXAMPLES)
    def test_saving_and_loading(self, name, suffix, tmp_path):
        schedule = EXAMPLES[name]
        wrapped = self.wrap(schedule)
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(8, 10)).astype(np.float32), rng.normal(size=(8, 10)).astype(np.float32)
        wrapped.fit(x, y, batch_size=2, verbose=0, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
        path = tmp_path / f"model.{suffix}"
        wrapped.save(path)
        with tfmot.sparsity.keras.prune_scope():
            loaded = tf_keras.models.load_model(path)
        for layer in loaded.layers:
            assert type(layer.pruning_schedule) is type(schedule)
            assert layer.pruning_schedule.get_config() == schedule.get_config()
            assert int(layer.pruning_step) == 4
        for step, layer_sparsities in enumerate(self.fit(loaded), 5):  # it goes on at step 5
            wanted = max([s for at, s in schedule.events() if at <= step], default=0.0)
            assert layer_sparsities == pytest.approx([wanted] * 2, abs=1 / 200), step

    def test_a_schedule_of_ones_own(self):
        class Twice(schedules.Schedule):
            def events(self):
                return [(2, 0.25), (5, 0.5)]

        sparsities = [first for first, _ in self.fit(self.wrap(Twice()))]
        np.testing.assert_allclose(sparsities[:6], [0, 0.25, 0.25, 0.25, 0.5, 0.5], atol=1e-6)


class TestBadArguments:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: OneShot(1), "ratio"),
            (lambda: OneShot(-2), "ratio"),
            (lambda: OneShot(float("nan")), "ratio"),
            (lambda: OneShot(0.5, -1), "begin_step"),
            (lambda: OneShot(0.5, 1.5), "begin_step"),
            (lambda: Polynomial(0.5, 10, 10), "end_step"),
            (lambda: Polynomial(0.5, 10, 5), "end_step"),
            (lambda: Polynomial(0.5, 0, 1), "end_step"),
            (lambda: Polynomial(0.5, 0, -1), "end_step"),
            (lambda: Polynomial(0.5, 0, 10, initial_ratio=0.6), "initial_ratio"),
            (lambda: Polynomial(0.5, 0, 10, initial_ratio=4), "initial_ratio"),
            (lambda: Polynomial(0.5, 0, 10, power=0), "power"),
            (lambda: Polynomial(0.5, 0, 10, frequency=0), "frequency"),
            (lambda: Polynomial(0.5, 0, 10, frequency=2.5), "frequency"),
            (lambda: Cosine(0.5, 0, 10, initial_ratio=-0.5), "ratio"),
            (lambda: Cosine(0, 0, 10), "ratio"),
            (lambda: Iterative(0.5, 0), "rounds"),
            (lambda: Iterative(0.5, 2.5), "rounds"),
            (lambda: Iterative(0.5, 3, frequency=0), "frequency"),
            (lambda: Iterative(0.5, 3, begin_step=-3), "begin_step"),
        ],
    )
    def test_are_named(self, make, message):
        with pytest.raises(InputError, match=message):
            make()

    def test_numpy_integers_are_whole_numbers(self):
        assert OneShot(0.5, np.int64(7)).events() == [(7, 0.5)]
        assert Polynomial(0.5, np.int64(0), np.int32(10), frequency=np.int64(5)).events()[-1] == (10, 0.5)
