"""When to prune and how much: schedules in ratios, for tfrecall's callback and for tfmot alone.

Steps are training steps counted from 1, as tfmot's ``pruning_step`` counts them; a step of 0 means the first. Ratios are in
either notation: 0.9 and 10 are the same. Inside `tfrecall.PruningCallback` a ratio is the whole model's; in a model wrapped
by tfmot alone it is each wrapped layer's sparsity, since that is all tfmot knows.
"""

from __future__ import annotations

import math
import numbers
from functools import cached_property

import tensorflow as tf
import tf_keras

from tfrecall import sparsity
from tfrecall.errors import InputError
from tfrecall.tfmot import PruningSchedule


class Schedule(PruningSchedule):
    """A finite list of pruning events. Subclass it, set `settings`, and override `events`."""

    #: names of the constructor's arguments, which are attributes of the same names too
    settings: tuple[str, ...] = ()

    def events(self) -> list[tuple[int, float]]:
        """Return (step, sparsity) of each pruning event, steps rising from 1, sparsity in [0, 1)."""
        raise NotImplementedError(f"{type(self).__name__} must override events().")

    def __call__(self, step):
        """Return (should_prune, sparsity) at a step, as tfmot asks for them.

        Parameters
        ----------
        step : int tensor, scalar

        Returns
        -------
        tuple of bool tensor and float32 tensor
            True exactly at an event; the sparsity of the latest event, 0 before the first.
        """
        steps, sparsities = zip(*self._events)
        at = tf.reduce_sum(tf.cast(tf.constant(steps, tf.int64) <= tf.cast(step, tf.int64), tf.int32))
        now = tf.reduce_any(tf.equal(tf.constant(steps, tf.int64), tf.cast(step, tf.int64)))
        return now, tf.gather(tf.constant((0.0, *sparsities), tf.float32), at)

    def at(self, step: int) -> float | None:
        """Return the sparsity to prune to at a step, or None if the step is no event."""
        return self._by_step.get(int(step))

    def latest(self, step: int) -> float | None:
        """Return the sparsity of the latest event at or before a step, or None if there is none."""
        past = [sparsity for event, sparsity in self._events if event <= step]
        return past[-1] if past else None

    @cached_property
    def _events(self) -> list[tuple[int, float]]:
        return self.events()

    @cached_property
    def _by_step(self) -> dict[int, float]:
        return dict(self._events)

    def get_config(self) -> dict:
        """Return the class's registered name and the constructor's arguments, in the form that tfmot saves."""
        return {
            "class_name": tf_keras.utils.get_registered_name(type(self)),
            "config": {name: getattr(self, name) for name in self.settings},
        }

    @classmethod
    def from_config(cls, config: dict) -> Schedule:
        """Return the schedule of what `get_config` returned, whole or its ``config`` alone."""
        return cls(**config.get("config", config))


@tf_keras.utils.register_keras_serializable(package="tfrecall")
class OneShot(Schedule):
    """Prune once.

    Parameters
    ----------
    ratio : float
        Fraction removed in (0, 1), or compression above 1.
    begin_step : int
        The step before which to prune.
    """

    settings = ("ratio", "begin_step")

    def __init__(self, ratio: float, begin_step: int = 0):
        self.ratio, self.begin_step = ratio, begin_step
        self._sparsity = sparsity.sparsity(ratio)
        _check_steps(begin_step=begin_step)

    def events(self) -> list[tuple[int, float]]:
        """Return the one event."""
        return [(max(1, self.begin_step), self._sparsity)]


class _Ramp(Schedule):
    """From one ratio to another over a range of steps, at every `frequency`-th and the last."""

    settings = ("ratio", "begin_step", "end_step", "initial_ratio", "frequency")

    def __init__(self, ratio, begin_step, end_step, initial_ratio=0.0, frequency=100):
        self.ratio, self.begin_step, self.end_step = ratio, begin_step, end_step
        self.initial_ratio, self.frequency = initial_ratio, frequency
        self._last = sparsity.sparsity(ratio)
        self._first = 0.0 if initial_ratio in (0, 1) else sparsity.sparsity(initial_ratio)
        _check_steps(begin_step=begin_step, end_step=end_step)
        _check_counts(frequency=frequency)
        if end_step <= max(1, begin_step):
            raise InputError(f"end_step must come after begin_step ({begin_step}) and after step 1; got {end_step}.")
        if self._first > self._last:
            raise InputError(f"initial_ratio must remove no more than ratio ({ratio:g}); got {initial_ratio:g}.")

    def remaining(self, progress: float) -> float:
        """Return how much of the way is still to go, from 1 at progress 0 to 0 at progress 1."""
        raise NotImplementedError(f"{type(self).__name__} must override remaining(progress).")

    def events(self) -> list[tuple[int, float]]:
        """Return the events of the ramp."""
        begin = max(1, self.begin_step)
        steps = [*range(begin, self.end_step, self.frequency), self.end_step]
        return [
            (step, self._last + (self._first - self._last) * self.remaining((step - begin) / (self.end_step - begin)))
            for step in steps
        ]


@tf_keras.utils.register_keras_serializable(package="tfrecall")
class Polynomial(_Ramp):
    """Prune fast at first and slower toward the end (Zhu & Gupta 2017, arXiv 1710.01878).

    s(τ) = s₁ + (s₀ − s₁)(1 − τ)^p, with progress τ from 0 at `begin_step` to 1 at `end_step`.

    Parameters
    ----------
    ratio : float
        The last ratio, reached exactly.
    begin_step, end_step : int
        Steps before which the first and the last pruning take place.
    initial_ratio : float
        The first ratio; 0 or 1 for nothing.
    power : float
        p, above 0.
    frequency : int
        Steps between two prunings.
    """

    settings = ("ratio", "begin_step", "end_step", "initial_ratio", "power", "frequency")

    def __init__(
        self,
        ratio: float,
        begin_step: int,
        end_step: int,
        initial_ratio: float = 0.0,
        power: float = 3.0,
        frequency: int = 100,
    ):
        super().__init__(ratio, begin_step, end_step, initial_ratio, frequency)
        self.power = power
        _check_positive(power=power)

    def remaining(self, progress: float) -> float:
        """Return (1 − τ)^p."""
        return (1 - progress) ** self.power


@tf_keras.utils.register_keras_serializable(package="tfrecall")
class Cosine(_Ramp):
    """Prune slowly at first and toward the end, fast between.

    s(τ) = s₁ + (s₀ − s₁)(1 + cos πτ)/2, with progress τ from 0 at `begin_step` to 1 at `end_step`.

    Parameters
    ----------
    ratio : float
        The last ratio, reached exactly.
    begin_step, end_step : int
        Steps before which the first and the last pruning take place.
    initial_ratio : float
        The first ratio; 0 or 1 for nothing.
    frequency : int
        Steps between two prunings.
    """

    def remaining(self, progress: float) -> float:
        """Return (1 + cos πτ)/2."""
        return 0.0 if progress == 1 else (1 + math.cos(math.pi * progress)) / 2


@tf_keras.utils.register_keras_serializable(package="tfrecall")
class Iterative(Schedule):
    """Prune in rounds, the same share of what is left in each (Frankle & Carbin 2019, arXiv 1803.03635).

    After round i of n the sparsity is 1 − (1 − s)^(i/n), and after the last exactly s.

    Parameters
    ----------
    ratio : float
        The ratio after the last round.
    rounds : int
        n, at least 1.
    begin_step : int
        The step before which the first round takes place.
    frequency : int
        Steps between two rounds.
    """

    settings = ("ratio", "rounds", "begin_step", "frequency")

    def __init__(self, ratio: float, rounds: int, begin_step: int = 0, frequency: int = 100):
        self.ratio, self.rounds, self.begin_step, self.frequency = ratio, rounds, begin_step, frequency
        self._sparsity = sparsity.sparsity(ratio)
        _check_steps(begin_step=begin_step)
        _check_counts(rounds=rounds, frequency=frequency)

    def events(self) -> list[tuple[int, float]]:
        """Return one event a round."""
        begin = max(1, self.begin_step)
        shares = [1 - (1 - self._sparsity) ** (done / self.rounds) for done in range(1, self.rounds)]
        return [(begin + i * self.frequency, share) for i, share in enumerate([*shares, self._sparsity])]


def _check_steps(**steps: int) -> None:
    for name, value in steps.items():
        if not isinstance(value, numbers.Integral) or value < 0:
            raise InputError(f"{name} must be a whole number of steps, at least 0; got {value!r}.")


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, numbers.Integral) or value < 1:
            raise InputError(f"{name} must be a whole number, at least 1; got {value!r}.")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"{name} must be above 0; got {value!r}.")
