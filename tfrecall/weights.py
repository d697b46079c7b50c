"""Which weights of a model can be pruned, and what they are called.

A weight's *path* is the names of the layers that hold it, outermost first, and its own: ``block1/conv/kernel``. It is the
same for a model, for its wrapped form and for its stripped form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import PruneLowMagnitude

from tfrecall.errors import InputError


@dataclass(frozen=True)
class Prunable:
    """One trainable kernel that can be pruned.

    Attributes
    ----------
    path : str
    variable : tf.Variable
    layer : Keras layer
        The layer that owns it, without tfmot's wrapper.
    classifier : bool
        True if the layer makes an output of the model.
    """

    path: str
    variable: Any
    layer: Any
    classifier: bool

    @property
    def size(self) -> int:
        """The number of weights in it."""
        return int(self.variable.shape.num_elements())

    @property
    def regularizer(self):
        """The Keras regularizer on this weight, or None."""
        name = self.variable.name.split(":")[0].rsplit("/", 1)[-1]
        for attribute in (f"{name}_regularizer", f"{name.removesuffix('_kernel')}_regularizer"):
            if getattr(self.layer, attribute, None) is not None:
                return getattr(self.layer, attribute)
        return None


def prunable(model) -> dict[str, Prunable]:
    """List the trainable kernels of the layers that tfmot can prune.

    Parameters
    ----------
    model : tf_keras.Model
        Built; plain or wrapped by tfmot.

    Returns
    -------
    dict of str to Prunable
        By path, in the model's order. A layer used several times stands once.

    Raises
    ------
    InputError
        If the model has no weights yet.
    """
    if not model.built:
        raise InputError("the model has no weights yet: build it, or call it on a batch, before pruning it.")
    classifiers = {id(layer) for layer in _output_layers(model)}
    found = {}
    for path, layer in walk(model):
        inner = unwrapped(layer)
        if not inner.trainable:
            continue
        for name, variable in _kernels(inner):
            found[f"{path}/{name}"] = Prunable(f"{path}/{name}", variable, inner, id(inner) in classifiers)
    return found


def removable(model, include_classifier: bool = False) -> dict[str, Prunable]:
    """List the weights that pruning may remove: those of `prunable`, by default without the classifier's.

    Raises
    ------
    InputError
        If there are none.
    """
    found = {path: weight for path, weight in prunable(model).items() if include_classifier or not weight.classifier}
    if not found:
        raise InputError(
            "the model has nothing to prune: it has no trainable kernel of a layer that tfmot can prune, other than the "
            "classifier's (which include_classifier, or --prune-classifier, adds)."
        )
    return found


def total_parameters(model) -> int:
    """Count the trainable parameters of a model, shared ones once."""
    return sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)


def walk(model, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, layer) for every layer of a model and of the models in it, each layer once, wrappers unopened."""
    seen: set[int] = set()

    def visit(model, prefix):
        for layer in model.layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            path = prefix + unwrapped(layer).name
            if isinstance(layer, tf_keras.Model):
                yield from visit(layer, path + "/")
            else:
                yield path, layer

    yield from visit(model, prefix)


def unwrapped(layer):
    """Return the layer inside tfmot's wrapper, or the layer itself."""
    return layer.layer if isinstance(layer, PruneLowMagnitude) else layer


def _kernels(layer) -> list[tuple[str, Any]]:
    if hasattr(layer, "get_prunable_weights"):
        variables = layer.get_prunable_weights()
    elif PruneRegistry.supports(layer) and layer.weights:
        variables = PruneRegistry.make_prunable(layer).get_prunable_weights()
        del layer.get_prunable_weights  # the registry leaves its answer on the layer: reading must not change a model
    else:
        return []
    names: list[str] = []
    for variable in variables:
        name = variable.name.split(":")[0].rsplit("/", 1)[-1]
        names.append(name if name not in names else f"{name}_{len(names)}")
    return list(zip(names, variables))


def _output_layers(model) -> list[Any]:
    """Return the layers with prunable kernels from which an output is reached without passing another such layer."""
    if not getattr(model, "outputs", None):  # subclassed: no graph to follow, so the last kernel is taken for the classifier
        owners = [unwrapped(layer) for _, layer in walk(model) if _kernels(unwrapped(layer))]
        return owners[-1:]
    found, seen = [], set()

    def visit(node):
        if id(node) in seen:
            return
        seen.add(id(node))
        layer = node.layer
        inner = unwrapped(layer)
        if isinstance(layer, tf_keras.Model):
            owners = _output_layers(layer)
            found.extend(owners)
            if owners:
                return
        elif _kernels(inner):
            found.append(inner)
            return
        for parent in node.parent_nodes:
            visit(parent)

    for tensor in model.outputs:
        history = tensor._keras_history  # Keras's own record of which call of which layer made the tensor
        visit(history.layer._inbound_nodes[history.node_index])
    return found
