"""What a classifier's outputs are, decided in one place: probabilities or logits, of one class in several or of each class.

The last operation of the model's graph decides; where it leaves the answer open, the loss with which the model was compiled
does; and only where there is none, the outputs on random images.
"""

from __future__ import annotations

import functools
import json
import os
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrecall import networks
from tfrecall.errors import DataWarning, InputError, unknown

#: what a model's outputs can be: see `Head`
HEADS = ("softmax", "logits", "sigmoid", "sigmoid-logits", "binary", "binary-logits")

# Operations of TensorFlow whose values have no bounds: scores, which a softmax or a sigmoid turns into probabilities.
_LINEAR = {"BiasAdd", "MatMul", "BatchMatMulV2", "Einsum", "Conv2D", "DepthwiseConv2dNative", "FusedBatchNormV3"}
_RECTIFIED = {"Relu", "LeakyRelu", "Elu", "Selu", "Softplus", "Tanh", "LogSoftmax"}


@dataclass(frozen=True)
class Head:
    """What a classifier's outputs are, and what follows from it.

    Attributes
    ----------
    kind : str
        ``"softmax"``: probabilities that sum to 1. ``"logits"``: scores before a softmax. ``"sigmoid"``: a probability for
        each class on its own. ``"sigmoid-logits"``: scores before such sigmoids. ``"binary"``: one output, the probability
        of class 1 of two. ``"binary-logits"``: one output, the score before its sigmoid.
    outputs : int
        Units of the last layer.
    """

    kind: str
    outputs: int

    def __post_init__(self):
        if self.kind not in HEADS:
            raise unknown("head", self.kind, HEADS)
        if (self.outputs == 1) != self.kind.startswith("binary"):
            fitting = ", ".join(kind for kind in HEADS if (self.outputs == 1) == kind.startswith("binary"))
            raise InputError(
                f"head '{self.kind}' does not fit a model with {self.outputs} output{'s' * (self.outputs != 1)}: choose "
                f"{fitting}."
            )

    @property
    def classes(self) -> int:
        """How many classes it tells apart: one output tells two."""
        return max(2, self.outputs)

    @property
    def gives_probabilities(self) -> bool:
        """Whether the outputs are probabilities, and not logits."""
        return not self.kind.endswith("logits")

    @property
    def _one_by_one(self) -> bool:
        return self.kind.startswith(("sigmoid", "binary"))

    def loss(self, keras):
        """Return the loss of the outputs against `targets`, as one of a Keras's own."""
        cross_entropy = keras.losses.BinaryCrossentropy if self._one_by_one else keras.losses.SparseCategoricalCrossentropy
        return cross_entropy(from_logits=not self.gives_probabilities)

    def metric(self, keras):
        """Return Keras's metric for the share of images whose class is predicted rightly."""
        if not self._one_by_one:
            return "accuracy"
        if self.outputs > 1:
            return keras.metrics.CategoricalAccuracy(name="accuracy")
        return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.5 if self.gives_probabilities else 0.0)

    def targets(self, labels):
        """Return integer labels, ndarray or tf.Tensor, in the form that `loss` takes.

        A softmax's are the labels; a sigmoid's have a column a class (one-hot); a binary head's have one column.
        """
        if not self._one_by_one:
            return labels
        import tensorflow as tf

        one = self.outputs == 1
        targets = tf.cast(labels, tf.float32)[:, tf.newaxis] if one else tf.one_hot(labels, self.outputs)
        return targets if tf.is_tensor(labels) else targets.numpy()

    def probabilities(self, outputs, dtype: str = "float32"):
        """Return outputs as probabilities, tf.Tensor [image, class]: the model's own where it gives them.

        A binary head's have two columns, the first 1 − p. In float32, sigmoids of scores above 17 are all 1.
        """
        import tensorflow as tf

        outputs = tf.cast(outputs, dtype)
        if self.kind == "logits":
            return tf.nn.softmax(outputs)
        if self.kind == "binary":
            return tf.concat([1 - outputs, outputs], axis=1)
        if self.kind == "binary-logits":
            return tf.sigmoid(tf.concat([-outputs, outputs], axis=1))
        return tf.sigmoid(outputs) if self.kind == "sigmoid-logits" else outputs

    def predictions(self, outputs):
        """Return the predicted classes, tf.Tensor of int64 [image]: the highest output, or p > 0.5 of a binary head."""
        import tensorflow as tf

        if self.outputs > 1:
            return tf.argmax(outputs, axis=1)
        return tf.cast(outputs[:, 0] > (0.5 if self.gives_probabilities else 0.0), tf.int64)


def head_of(model, head: Head | str | None = None, source: str | os.PathLike | None = None) -> Head:
    """Decide what a classifier's outputs are.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        With one output (batch, classes), or (batch, 1).
    head : Head or str, optional
        One of `HEADS`, where the user says it. It must not contradict the outputs.
    source : path-like, optional
        The file from which the model was loaded: it says with which loss it was compiled.

    Returns
    -------
    Head

    Raises
    ------
    InputError
        If the outputs can be neither, the answer is open, or a `head` that was named cannot be right.

    Warns
    -----
    DataWarning
        If the loss contradicts the last layer.
    """
    if isinstance(head, Head):
        return head
    width = networks.of(model).shapes(model)[1][0][1]
    last, exact = _last_operations(model)
    if head is not None:
        return _named(model, Head(head, width), last if exact else frozenset())
    family, from_logits = _cross_entropy(getattr(model, "loss", None) or (None if source is None else _saved_loss(source)))
    if width == 1 and last and last <= {"Softmax", "LogSoftmax"}:
        raise InputError(
            "the model's one output is a softmax of one unit, which is always 1 and predicts nothing: give it a sigmoid, "
            "or a unit for each class."
        )
    if exact and last == {"Softmax"}:
        return Head("softmax", width)
    if exact and last == {"Sigmoid"}:
        return Head("binary" if width == 1 else "sigmoid", width)
    if last and last <= (_LINEAR if width == 1 else _LINEAR | _RECTIFIED):
        return _of_scores(width, family, from_logits)
    return _of_outputs(_on_noise(model), width, family, from_logits)


def _of_scores(width: int, family: str | None, from_logits: bool) -> Head:
    """Return the head of a model that ends without an activation: logits, of which the loss says which."""
    one_by_one = family == "binary"
    head = Head("binary-logits" if width == 1 else "sigmoid-logits" if one_by_one else "logits", width)
    if width == 1 and family not in (None, "binary"):
        raise _unclear(f"its one output has no activation, and its loss is no binary cross-entropy ({family})")
    if family is not None and not from_logits:
        warnings.warn(
            f"the model's last layer has no activation, but its loss ({family}) is not one of logits: its outputs are taken "
            f"for {head.kind}. Say what they are by head= (--head) if that is wrong.",
            DataWarning,
            stacklevel=3,
        )
    return head


def _of_outputs(outputs: np.ndarray, width: int, family: str | None, from_logits: bool) -> Head:
    """Return the head of a model whose last operation says nothing, from its loss or its outputs on random images."""
    if from_logits:
        return Head("binary-logits" if width == 1 else "sigmoid-logits" if family == "binary" else "logits", width)
    within, sums_to_1, vary = _within(outputs), _sums_to_1(outputs), np.ptp(outputs, axis=0).max() > 1e-6
    if family == "binary" and within:
        return Head("binary" if width == 1 else "sigmoid", width)
    if width > 1 and within and sums_to_1 and (vary or family == "categorical"):
        return Head("softmax", width)
    if width > 1 and outputs.min() < 0 and family in (None, "categorical"):
        return Head("logits", width)
    raise _unclear(f"on random images they lie between {outputs.min():.3g} and {outputs.max():.3g}")


def _named(model, head: Head, last: frozenset[str]) -> Head:
    """Return a head that the user named, unless the model's last operation or its outputs contradict it."""
    if last in ({"Softmax"}, {"Sigmoid"}) and not head.gives_probabilities:
        raise InputError(
            f"head '{head.kind}' means outputs without an activation, but the model ends in {next(iter(last))}: choose "
            f"{head.kind.removesuffix('-logits') if head.kind != 'logits' else next(iter(last)).lower()}."
        )
    if head.gives_probabilities:
        outputs = _on_noise(model)
        if not _within(outputs):
            raise InputError(
                f"head '{head.kind}' means probabilities, but outputs lie between {outputs.min():.3g} and "
                f"{outputs.max():.3g} on random images: choose {'binary-logits' if head.outputs == 1 else 'logits'}."
            )
        if head.kind == "softmax" and not _sums_to_1(outputs):
            raise InputError(
                f"head 'softmax' means probabilities that sum to 1, but outputs sum to {outputs.sum(axis=1)[0]:.3g} on a "
                "random image: choose sigmoid, or logits."
            )
    return head


def _unclear(why: str) -> InputError:
    return InputError(f"what the model's outputs are is not clear: {why}. Say it by head= (--head): {', '.join(HEADS)}.")


def _within(outputs: np.ndarray) -> bool:
    return bool((outputs >= -1e-6).all() and (outputs <= 1 + 1e-3).all())


def _sums_to_1(outputs: np.ndarray) -> bool:
    return bool(np.allclose(outputs.sum(axis=1), 1, atol=1e-2))  # float16 rounds ten probabilities so far


def _last_operations(model) -> tuple[frozenset[str], bool]:
    """Return the types of the last operations, and whether nothing is computed after them; none if no call can be traced."""
    from tfrecall.networks.graph import last_operations

    try:
        return last_operations(*networks.of(model).graph_of(model))
    except Exception:  # whatever a call of the user's own raises when it is given symbols
        return frozenset(), False


def _on_noise(model) -> np.ndarray:
    """Return a model's outputs on random images, float32 [image, output]."""
    import tensorflow as tf

    batch, height, width, channels = networks.of(model).shapes(model)[0][0]
    shape = (batch or 4, height or 64, width or 64, channels)
    noise = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    return tf.cast(model(noise, training=False), tf.float32).numpy()


def _cross_entropy(loss) -> tuple[str | None, bool]:
    """Return a loss's family, "binary" or "categorical", or else its name, and whether it is one of logits; None without."""
    if isinstance(loss, list | tuple | set) and len(loss) == 1:
        return _cross_entropy(next(iter(loss)))
    if isinstance(loss, dict) and "class_name" not in loss:
        return _cross_entropy(list(loss.values())) if len(loss) == 1 else (None, False)
    name, config = _described(loss)
    if name is None:
        return None, False
    plain = name.replace("_", "").lower()
    entropy = "crossentropy" in plain or plain == "bce"
    family = next((family for family in ("binary", "categorical") if entropy and family in plain), None)
    family = "binary" if plain == "bce" else family
    return family or name, bool(config.get("from_logits", False))


def _described(loss) -> tuple[str | None, dict]:
    """Return the name of a loss and its configuration, of an object, a function, a name, or what a file holds of one."""
    if loss is None or isinstance(loss, str):
        return loss, {}
    if isinstance(loss, dict):
        config = loss.get("config")
        if isinstance(config, str):
            return config, {}
        config = config if isinstance(config, dict) else {}
        return loss["class_name"] if "fn" not in config else _described(config["fn"])[0], config
    if isinstance(loss, functools.partial):
        return _described(loss.func)[0], loss.keywords
    if hasattr(loss, "get_config"):
        try:
            config = loss.get_config()
        except Exception:  # of a class of the user's own
            config = {}
        return type(loss).__name__, config
    return getattr(loss, "__name__", type(loss).__name__), {}


def _saved_loss(path: str | os.PathLike):
    """Return what a model file says of the loss with which its model was compiled, as data; None if it says nothing."""
    path = Path(path)
    try:
        if path.is_dir():
            from tf_keras.protobuf import saved_metadata_pb2

            nodes = saved_metadata_pb2.SavedMetadata.FromString((path / "keras_metadata.pb").read_bytes()).nodes
            return json.loads(nodes[0].metadata)["training_config"]["loss"]
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))["compile_config"]["loss"]
        import h5py

        with h5py.File(path) as file:
            return json.loads(file.attrs["training_config"])["loss"]
    except (OSError, KeyError, TypeError, IndexError, ValueError, zipfile.BadZipFile):
        return None
