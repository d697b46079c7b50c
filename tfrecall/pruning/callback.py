"""The callback that holds masks while a model trains, and prunes it by a schedule: for the ``fit`` of either Keras."""

from __future__ import annotations

import tensorflow as tf

from tfrecall import criteria, sparsity, weights
from tfrecall.batches import require_readable
from tfrecall.errors import InputError, unknown
from tfrecall.pruning import bindings, choice, zeros
from tfrecall.tfmot import PruningSchedule, UpdatePruningStep


class PruningCallback(UpdatePruningStep):
    """Hold masks while a model trains, and prune it further when a schedule says so.

    Without arguments it holds the masks that are there; a Keras 3 model that was saved and loaded needs no more than that,
    as its zeros are its masks. With a criterion and a schedule it prunes a model from `tfrecall.prepare` gradually, by any
    criterion and scope. It works in the ``fit`` of either Keras. Steps are the optimizer's iterations: to go on after a
    checkpoint, save it with the optimizer, as ``.keras``, ``.h5`` or by ``tf.train.Checkpoint`` (tf_keras's SavedModel
    format loses them). It belongs before the callbacks that save or swap weights. One that brings back earlier weights,
    such as ``EarlyStopping(restore_best_weights=True)``, has to start after the schedule's last event
    (``start_from_epoch``): what it brings back is as dense as it was then.

    Parameters
    ----------
    criterion : str or Criterion, optional
        What decides which weights go, such as ``"undecayed"``.
    schedule : tfmot PruningSchedule, optional
        When and how much: tfrecall's or any other. Its sparsity is a fraction of all parameters.
    data : tuple of arrays or tf.data.Dataset, optional
        What the criterion needs, as in `tfrecall.prune`. It is read at every event of the schedule.
    loss : str, Keras loss or callable, optional
        The compiled model's by default.
    scope : {"global", "layer"}
    seed : int
        Of random pruning.

    Raises
    ------
    InputError
        If only one of criterion and schedule is given, or one is of the wrong kind. At the start of training: if the model
        is not prepared, or cannot be pruned as far as the schedule goes.

    Examples
    --------
    >>> callback = PruningCallback("undecayed", schedules.Polynomial(0.9, 0, 2000), (x, y))  # doctest: +SKIP
    >>> tfrecall.prepare(model).fit(x, y, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, criterion=None, schedule=None, data=None, *, loss=None, scope: str = "global", seed: int = 0):
        super().__init__()
        self._supports_tf_logs = True  # Keras would fetch every batch's logs for it, which it does not read
        if (criterion is None) != (schedule is None):
            raise InputError("PruningCallback takes a criterion and a schedule together, or neither.")
        self.criterion = None if criterion is None else criteria.get(criterion, seed)
        if scope not in sparsity.SCOPES:
            raise unknown("scope", scope, sparsity.SCOPES)
        if schedule is not None and not isinstance(schedule, PruningSchedule):
            raise InputError(f"schedule must be an object, such as tfrecall.schedules.OneShot(0.5); got {schedule!r}.")
        self.schedule, self.data, self.loss, self.scope = schedule, data, loss, scope
        if getattr(self.criterion, "needs_data", False):
            criteria.require_data(data)
            require_readable(data, len(schedule.events()) if hasattr(schedule, "events") else 2)

    def on_train_begin(self, logs=None):
        """Find the masks; see that nothing but this callback changes them."""
        super().on_train_begin(logs)
        self._binding = bindings.of(self.model)
        self._binding.begin(self.model, scheduled=self.schedule is not None)
        since = zeros.at_fit(self.model, self._binding.masks(self.model), self._binding.constrained(self.model))
        if since:
            self._binding.set_masks(self.model, since, {})
        if self.schedule is not None:
            if getattr(self.model, "optimizer", None) is None:
                raise InputError(
                    "a schedule counts the iterations of a compiled model's optimizer; in a loop of your own, call "
                    "tfrecall.prune(model, ratio) at the steps that it names."
                )
            self._require_feasible()
            self._done = int(self.model.optimizer.iterations.numpy())
            # The optimizer may have gone past events without this callback; one that was there changes nothing now.
            missed = self.schedule.latest(self._done) if hasattr(self.schedule, "latest") else None
            if missed is not None:
                self._prune_to(missed)

    def on_train_batch_begin(self, batch, logs=None):
        """Prune if the schedule has an event at the coming step, or had one since the last look."""
        self._catch_up(1)

    def on_epoch_end(self, epoch, logs=None):
        """Mask the weights once more, so that what is saved here is pruned whatever else writes into a model."""
        super().on_epoch_end(epoch, logs)
        self._catch_up(0)  # of several steps in one execution, the last may have had an event
        self._binding.remask(self.model)

    def on_test_begin(self, logs=None):
        """Mask the weights before validation, for which a callback may have put an optimizer's moving average in."""
        if hasattr(self, "_binding"):
            self._binding.remask(self.model)

    def on_train_end(self, logs=None):
        """Mask the weights once more: an optimizer's moving average may have replaced them."""
        self.on_epoch_end(None)

    def _catch_up(self, ahead: int) -> None:
        """Prune to the last event up to `ahead` steps from now that was not seen yet."""
        if self.schedule is None:
            return
        upto = int(self.model.optimizer.iterations.numpy()) + ahead
        due = [target for step in range(self._done + 1, upto + 1) if (target := _target(self.schedule, step)) is not None]
        self._done = max(self._done, upto)
        if due:
            self._prune_to(due[-1])

    def _prune_to(self, target: float) -> None:
        held = self._binding.masks(self.model)
        new, thresholds = choice.choose(self.model, target, held, self.criterion, self.data, self.loss, self.scope)
        self._binding.set_masks(self.model, new, thresholds)

    def _require_feasible(self) -> None:
        removable = sum(mask.size for mask in self._binding.masks(self.model).values())
        available = removable + weights.frozen_zeros(self.model)
        for _, target in self.schedule.events()[-1:] if hasattr(self.schedule, "events") else ():
            sparsity.budget(target, weights.total_parameters(self.model), available)


def _target(schedule, step: int) -> float | None:
    if hasattr(schedule, "at"):
        return schedule.at(step)
    now, target = schedule(tf.constant(step, tf.int64))
    return float(target) if bool(now) else None
