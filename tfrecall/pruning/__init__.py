"""Holding masks on a model while it trains: `prune`, `prepare`, `strip` and `PruningCallback`.

The kind of model chooses the binding that holds its masks: tf_keras models are wrapped by tfmot (`tfrecall.pruning.tfmot`).
"""

from __future__ import annotations

import tf_keras

from tfrecall import criteria, sparsity, weights
from tfrecall.errors import InputError
from tfrecall.pruning import choice, tfmot
from tfrecall.pruning.tfmot import PruningCallback

__all__ = ["PruningCallback", "prepare", "prune", "strip"]


def prune(
    model,
    ratio: float,
    criterion="magnitude",
    data=None,
    *,
    loss=None,
    scope: str = "global",
    seed: int = 0,
    include_classifier: bool = False,
):
    """Prune a model once, to a ratio of all its trainable parameters.

    Parameters
    ----------
    model : tf_keras.Model
        Sequential or Functional, built. A plain model is left as it is; one from `prune` or `prepare` is pruned further, in
        place, and keeps what was pruned.
    ratio : float
        Below 1 the fraction of parameters removed; above 1 parameters before / after. 0.5 and 2 mean the same. Only kernels
        of the layers that tfmot can prune are removed. Weights that are 0 count as removed, and stay so: a model that is
        sparser already keeps its own ratio.
    criterion : str or Criterion
        ``"magnitude"``, ``"gradient"``, ``"undecayed"``, ``"random"``, ``"undecayed-sum"``, their short names, or an object
        with a ``scores`` method.
    data : tuple (x, y) or tf.data.Dataset of (x, y) batches, optional
        The examples over which gradients are averaged, for the criteria that need them.
    loss : str, Keras loss or callable, optional
        The compiled model's by default.
    scope : {"global", "layer"}
        One ranking over all weights, or the same share of each.
    seed : int
        Of random pruning.
    include_classifier : bool
        Whether the layers that make the outputs may be pruned.

    Returns
    -------
    tf_keras.Model
        Wrapped; compile it and ``fit`` it with `PruningCallback`, then `strip` it.

    Raises
    ------
    InputError
        If the ratio is invalid or infeasible, a name is unknown, or data or a loss are missing.
    """
    binding = _binding(model)
    target = sparsity.sparsity(ratio)
    criterion = criteria.get(criterion, seed)
    # The scores come from the model as it was given, since that one is compiled.
    pruned = model if binding.is_prepared(model) else binding.prepare(model, include_classifier)
    # A weight that is 0 was pruned before, by whatever means: it stays so.
    zeros = {path: weight.variable.numpy() == 0 for path, weight in weights.prunable(pruned).items()}
    held = {path: mask & ~zeros[path] for path, mask in binding.masks(pruned).items()}
    kept, thresholds = choice.choose(model, target, held, criterion, data, loss, scope)
    binding.set_masks(pruned, kept, thresholds)
    return pruned


def prepare(model, include_classifier: bool = False):
    """Return a copy of a model that `PruningCallback` can prune while it trains.

    Parameters
    ----------
    model : tf_keras.Model
        Sequential or Functional, built. It is not changed.
    include_classifier : bool
        Whether the layers that make the outputs may be pruned.

    Returns
    -------
    tf_keras.Model
        Not compiled.

    Raises
    ------
    InputError
        If the model is of a kind that cannot be wrapped, or has nothing to prune.
    """
    return _binding(model).prepare(model, include_classifier)


def strip(model):
    """Return the plain Keras model of a pruned one, its pruned weights exactly 0."""
    return _binding(model).strip(model)


def remaining_parameters(model) -> int:
    """Count the trainable parameters of a plain model that are not pruned: all but the zeros of prunable kernels."""
    zeros = sum(int((weight.variable.numpy() == 0).sum()) for weight in weights.prunable(model).values())
    return weights.total_parameters(model) - zeros


def _binding(model):
    if isinstance(model, tf_keras.Model):
        return tfmot
    raise InputError(
        f"expected a tf_keras model (Sequential or Functional); got {type(model).__module__}.{type(model).__name__}. "
        "Build or load it with tf_keras: tfmot's wrappers take no Keras 3 model."
    )
