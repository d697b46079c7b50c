"""Holding masks on a model while it trains: `prune`, `prepare`, `strip` and `PruningCallback`.

The kind of model chooses the binding that holds its masks: tf_keras models are wrapped by tfmot (`tfrecall.pruning.tfmot`),
Keras 3 models are pruned as they are (`tfrecall.pruning.keras3`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tfrecall import criteria, sparsity, weights
from tfrecall.errors import InputError
from tfrecall.pruning import bindings, choice, zeros
from tfrecall.pruning.callback import PruningCallback

__all__ = ["PruningCallback", "plain", "prepare", "prune", "remaining_parameters", "strip"]


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
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    hold_zeros: bool | str = "auto",
):
    """Prune a model once, to a ratio of all its parameters.

    Parameters
    ----------
    model : keras.Model or tf_keras.Model
        Built. A Keras 3 model of any kind is pruned in place, and is what is returned. A tf_keras model, Sequential or
        Functional, is left as it is and a wrapped copy returned; one from `prune` or `prepare` is pruned further, in place.
        What was pruned stays so.
    ratio : float
        Below 1 the fraction of parameters removed; above 1 parameters before / after. 0.5 and 2 mean the same. Only the
        weights of `tfrecall.weights.prunable`, or `only` those named, are removed. Weights that are 0 count as removed, and
        stay so (see `hold_zeros`): a model that is sparser already keeps its own ratio. So do the zeros of frozen weights,
        which are not pruned. Zeros in other weights that may not be removed come on top.
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
    only, exclude : str or sequence of str, optional
        Paths or patterns of weights, as in `tfrecall.weights.removable`; for a model that is not prepared yet.
    hold_zeros : bool or "auto", default "auto"
        Whether weights that are 0 already count as removed, and are held at 0. With False they are ranked by their scores
        like all others. With ``"auto"`` they count, and a warning names them where they are 0.1 % of the weights or more:
        they may be initial values, such as vectors of unknown words. Of a prepared model, only zeros that came since count.

    Returns
    -------
    keras.Model or tf_keras.Model
        Train it with `PruningCallback`, in either Keras; a Keras 3 model in any loop. A wrapped copy has to be compiled, and
        in the end to be stripped.

    Raises
    ------
    InputError
        If the ratio is invalid or infeasible, a name is unknown, or data or a loss are missing. Nothing is changed then.
    """
    binding = bindings.of(model)
    target = sparsity.sparsity(ratio)
    criterion = criteria.get(criterion, seed)
    zeros.require_choice(hold_zeros)
    # The scores come from the model as it was given, since that one is compiled.
    prepared = binding.is_prepared(model)
    if prepared:
        _require_settled(model, binding, include_classifier, only, exclude)
    pruned = model if prepared else binding.prepare(model, include_classifier, only, exclude)
    try:
        held = zeros.at_prune(pruned, binding.masks(pruned), hold_zeros, not prepared, binding.constrained(pruned))
        kept, thresholds = choice.choose(model, target, held, criterion, data, loss, scope)
    except BaseException:
        if pruned is model and not prepared:
            binding.strip(model)
        raise
    binding.set_masks(pruned, kept, thresholds)
    return pruned


def prepare(
    model,
    include_classifier: bool = False,
    *,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    hold_zeros: bool | str = "auto",
):
    """Return a model that `PruningCallback` can prune while it trains: a copy, or in Keras 3 the model itself.

    Parameters
    ----------
    model : keras.Model or tf_keras.Model
        Built.
    include_classifier : bool
        Whether the layers that make the outputs may be pruned.
    only, exclude : str or sequence of str, optional
        Paths or patterns of weights, as in `tfrecall.weights.removable`.
    hold_zeros : bool or "auto", default "auto"
        Whether weights that are 0 already are held at 0, so that a model that was pruned, saved and loaded goes on as it
        was. With ``"auto"`` they are held if the zeros of some weight are scattered, as pruning leaves them, and not if all
        are whole rows, an identity, or a weight that is 0 altogether: initial values look so. A warning says which it is.

    Returns
    -------
    keras.Model or tf_keras.Model
        A tf_keras copy is not compiled.

    Raises
    ------
    InputError
        If the model is of a kind that cannot be wrapped, is prepared already, or has nothing to prune.
    """
    zeros.require_choice(hold_zeros)
    binding = bindings.of(model)
    prepared = binding.prepare(model, include_classifier, only, exclude)
    binding.set_masks(prepared, zeros.at_prepare(prepared, binding.masks(prepared), hold_zeros), {})
    return prepared


def _require_settled(model, binding, include_classifier: bool, only, exclude) -> None:
    """Raise InputError if a prepared model is asked to prune other weights than it was prepared for."""
    settled = only is None and exclude is None
    if settled and include_classifier:
        classifier = {path for path, weight in weights.prunable(model).items() if weight.classifier}
        settled = not classifier or not classifier.isdisjoint(binding.masks(model))
    if not settled:
        raise InputError(
            "only, exclude and include_classifier are for a model that is not prepared yet: strip it first, and prune it "
            "with them."
        )


def strip(model):
    """Return the plain model of a pruned one, its pruned weights exactly 0.

    Of a tf_keras model that is a copy without tfmot's wrappers; a Keras 3 model is plain already, and only stops being held.
    """
    return bindings.of(model).strip(model)


def plain(model):
    """Return what is handed on of a model: plain, its pruned weights exactly 0. The model itself keeps its masks."""
    return bindings.of(model).plain(model)


def remaining_parameters(model) -> int:
    """Count the parameters of a plain model that are not pruned: without the zeros of `tfrecall.weights.sparse`.

    Those of biases and other vectors are not counted as pruned, since nothing tells them from initial ones. In a quantized
    model, what rounding made 0 counts as pruned.
    """
    removed = sum(int((weight.value == 0).sum()) for weight in weights.sparse(model).values())
    return weights.total_parameters(model) - removed
