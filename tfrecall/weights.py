"""Which weights of a model can be pruned, and what they are called.

A weight's *path* is the names of the layers that hold it, outermost first, and its own: ``block1/conv/kernel``. It is the
same for a model, for its wrapped form and for its stripped form, and in either Keras.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any

import numpy as np

from tfrecall import networks
from tfrecall.errors import InputError, PruningWarning, unknown


@dataclass(frozen=True)
class Prunable:
    """A weight that can be pruned: a kernel, or another tensor that was named.

    Attributes
    ----------
    path : str
    variable : tf.Variable or keras.Variable
    layer : Keras layer
        The layer that owns it, without tfmot's wrapper.
    classifier : bool
        True if the layer makes an output of the model.
    network : module
        The module of `tfrecall.networks` that knows the layer.
    regularizer : Keras regularizer or None
        The one on this weight.
    """

    path: str
    variable: Any
    layer: Any
    classifier: bool
    network: ModuleType
    regularizer: Any = None

    @property
    def size(self) -> int:
        """The number of parameters in it; of a quantized one, too, where several may share a byte."""
        return int(np.prod(self.network.shape(self.layer, self.variable)))

    @property
    def value(self) -> np.ndarray:
        """What it holds, one number for each parameter; of a quantized one its integers, 0 where the parameter is 0."""
        return self.network.value(self.layer, self.variable)


def prunable(model, *, classifiers: bool = True) -> dict[str, Prunable]:
    """List the trainable kernels that can be pruned.

    Those of Keras's own layers, and of layers derived from them, but for depthwise ones; what a layer's own
    ``get_prunable_weights`` returns; and weights that hold a mask already.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        Built; plain, pruned, or wrapped by tfmot.
    classifiers : bool
        Whether to look for the layers that make the outputs. Without the look at the model's graph, no weight is said to be
        one of theirs.

    Returns
    -------
    dict of str to Prunable
        By path, in the model's order. A weight that is used several times stands once.

    Raises
    ------
    InputError
        If the model has no weights yet, or is no Keras model.
    """
    return by_path(model, networks.of(model).prunable, classifiers=classifiers)


def kernels(model, *, classifiers: bool = True) -> dict[str, Prunable]:
    """List what `prunable` lists, frozen and quantized weights included: what a report has rows for."""
    return by_path(model, networks.of(model).kernels, classifiers=classifiers)


def removable(
    model,
    include_classifier: bool = False,
    *,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
) -> dict[str, Prunable]:
    """List the weights that pruning may remove: those of `prunable`, by default without the classifier's.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
    include_classifier : bool
        Whether the layers that make the outputs may be pruned.
    only : str or sequence of str, optional
        Paths, or patterns such as ``"block?/*/kernel"``, of the weights to prune; in Keras 3 any trainable weight can be
        named so. The classifier's, and biases and other vectors, are among them where they are named in full; the zeros of
        vectors are not found again in a model that was saved and loaded.
    exclude : str or sequence of str, optional
        Paths or patterns of weights to leave alone.

    Raises
    ------
    InputError
        If there are none, or a path or pattern fits no weight.
    """
    network = networks.of(model)
    found = by_path(model, network.nameable)
    if only is None:
        chosen = list(prunable(model, classifiers=False))
    else:
        chosen = _matching(model, "only", only, found, patterns_fit=sparse(model))
    left_out = _excluded(model, exclude)
    named = set() if only is None else {only} if isinstance(only, str) else set(only)
    result = {
        path: found[path]
        for path in chosen
        if path not in left_out and (include_classifier or not found[path].classifier or path in named)
    }
    if not result:
        others = list(skipped(model, include_classifier=True, exclude=exclude))
        raise InputError(
            "the model has nothing to prune: no trainable kernel of a layer that can be pruned is left, other than the "
            "classifier's (which include_classifier, or --prune-classifier, adds). Frozen and quantized weights are left "
            "alone." + (f" There are weights of layers of your own, {few(others)}: {_remedy(model)}." if others else "")
        )
    return result


def skipped(model, include_classifier: bool = False, *, exclude: str | Sequence[str] | None = None) -> dict[str, Prunable]:
    """List the trainable tensors of two axes or more that could be kernels, and that are pruned only where the user says so.

    These are weights of a user's own layers, which do not say what can be pruned. Those of the layers that make the outputs
    are among them only with `include_classifier`, and those that `exclude` names are not.
    """
    choose = networks.of(model).skipped
    tensors = by_path(model, choose, classifiers=False)
    if tensors and not include_classifier:
        tensors = {path: weight for path, weight in by_path(model, choose).items() if not weight.classifier}
    left_out = _excluded(model, exclude) if tensors else []
    return {path: weight for path, weight in tensors.items() if path not in left_out}


def warn_of_skipped(model, include_classifier: bool, only, exclude) -> None:
    """Warn of the weights of `skipped` in a model that is about to be pruned, unless the user named what to prune."""
    paths = [] if only is not None else list(skipped(model, include_classifier, exclude=exclude))
    if paths:
        warnings.warn(
            f"weights of layers of your own are not pruned: {few(paths)}. To have them pruned, {_remedy(model)}; to leave "
            "them as they are, name them in exclude=.",
            PruningWarning,
            stacklevel=4,
        )


def _remedy(model) -> str:
    """Say what makes weights of `skipped` prunable."""
    method = "give their layer a method get_prunable_weights() that returns them"
    return method if networks.is_legacy(model) else f"name them in only=, or {method}"


def total_parameters(model) -> int:
    """Count the parameters of a model, shared ones once: all that its layers train, frozen or quantized or not.

    Not counted are moving statistics and other state, and the scales and zero points of quantized kernels. So a model has
    the same number before and after it is frozen or quantized.
    """
    return networks.of(model).total_parameters(model)


def sparse(model) -> dict[str, Prunable]:
    """List the weights whose zeros count as pruned: all kernels, and in Keras 3 other parameters of two axes or more.

    So a weight that was pruned because it was named counts in a Keras 3 model that was saved and loaded, too, and so does
    one that is frozen. In tf_keras only kernels can be named. Biases, also those of two axes, and vectors do not count:
    they often begin at 0.
    """
    network = networks.of(model)
    return by_path(model, lambda model: network.kernels(model) + network.matrices(model), classifiers=False)


def frozen_zeros(model) -> int:
    """Count the zeros of frozen kernels and matrices, which count as removed: training cannot change them."""
    trained = {id(variable) for variable in model.trainable_variables}
    frozen = [weight for weight in sparse(model).values() if id(weight.variable) not in trained]
    return sum(int((weight.value == 0).sum()) for weight in frozen)


def few(paths: list[str]) -> str:
    """Name weights in a message: three of them, and that there are others."""
    return ", ".join(paths[:3]) + " and others" * (len(paths) > 3)


def by_path(model, choose: Callable[..., list], *, classifiers: bool = True) -> dict[str, Prunable]:
    """Return the variables that a function chooses of a built model by path, in the model's order, each once.

    Without `classifiers`, none is said to be the classifier's (see `prunable`).
    """
    network = networks.of(model)
    if not network.is_built(model):
        raise InputError("the model has no weights yet: build it, or call it on a batch, before pruning it.")
    chosen = {id(variable) for variable in choose(model)}
    outer = network.output_layers(model) if classifiers else []
    # A weight that an output's layer shares with one before it makes the output, too.
    last = {id(layer) for layer in outer} | {id(variable) for layer in outer for _, variable in network.variables(layer)}
    found: dict[str, Prunable | None] = {}
    seen: set[int] = set()
    for path, layer in network.walk(model):
        inner = network.unwrapped(layer)
        for name, variable in network.variables(layer):
            if id(variable) in seen:
                continue
            seen.add(id(variable))
            place = _free(f"{path}/{name}".lstrip("/"), found)
            is_last = id(inner) in last or id(variable) in last
            weight = Prunable(place, variable, inner, is_last, network, network.regularizer(inner, variable))
            found[place] = weight if id(variable) in chosen else None  # all take a place, so that paths stay what they are
    return {place: weight for place, weight in found.items() if weight is not None}


def _free(path: str, taken) -> str:
    """Return a path, numbered where another weight has it: layers that are no neighbours in a graph may share a name."""
    number, free = 1, path
    while free in taken:
        free = f"{path}_{number}"
        number += 1
    return free


def _excluded(model, exclude) -> list[str]:
    """Return the paths that `exclude` names, of weights that can be pruned and of those that are skipped."""
    if exclude is None:
        return []
    network = networks.of(model)
    known = by_path(model, lambda model: network.nameable(model) + network.skipped(model), classifiers=False)
    return _matching(model, "exclude", exclude, known, patterns_fit=known)


def _matching(model, option: str, wanted: str | Sequence[str], found, patterns_fit) -> list[str]:
    """Return the paths in `found` that are named in full, or by a pattern if they are in `patterns_fit`."""
    wanted = list(wanted) if isinstance(wanted, list | tuple | set) else [wanted]
    if not wanted or not all(isinstance(pattern, str) for pattern in wanted):
        raise InputError(f"{option} takes paths or patterns of weights, such as {next(iter(found), 'dense/kernel')!r}.")
    fitting = {pattern: [path for path in found if _fits(path, pattern, patterns_fit)] for pattern in wanted}
    for pattern, paths in fitting.items():
        if paths:
            continue
        if any(fnmatchcase(path, pattern) for path in found):
            raise InputError(f"{option} {pattern!r} fits biases and other vectors alone: name such weights in full.")
        if any(fnmatchcase(path, pattern) for path in by_path(model, lambda model: model.variables, classifiers=False)):
            raise InputError(f"{option} {pattern!r} fits frozen or other untrainable weights alone: they are not pruned.")
        raise unknown(f"weight in {option}", pattern, found)
    return [path for path in found if any(path in paths for paths in fitting.values())]


def _fits(path: str, pattern: str, patterns_fit) -> bool:
    return path == pattern or (path in patterns_fit and fnmatchcase(path, pattern))
