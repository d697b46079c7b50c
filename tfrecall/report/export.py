"""Handing a model on for serving: SavedModel and TFLite files that need neither tfrecall nor tfmot."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tfrecall.errors import InputError, unknown

FORMATS = ("savedmodel", "tflite")


def export(
    model,
    path: str | os.PathLike,
    *,
    format: str = "savedmodel",
    class_names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an image classifier in a form that is served without Keras.

    Parameters
    ----------
    model : tf_keras.Model
        One image input (batch, height, width, channels) of raw pixels, one output (batch, classes) of probabilities or
        logits. A wrapped model is stripped first.
    path : path-like
        The folder (SavedModel) or file (TFLite) to write; written whole or not at all.
    format : {"savedmodel", "tflite"}
        The SavedModel's default signature takes ``images``, float32 raw pixels of any batch size, and returns
        ``probabilities`` (batch, classes), ``class_names`` (classes,) and ``prediction`` (batch,), the likeliest class's
        name. The signature ``by_name`` returns one vector (batch,) of probabilities under each class's name. Calling the
        loaded object takes uint8 or float32. The TFLite file takes ``images`` and returns ``probabilities``; the class
        names lie beside it in a ``.labels.txt``.
    class_names : sequence of str, optional
        One name a class; ``"0"``, ``"1"``, … by default.
    overwrite : bool
        Whether to replace what is at `path`.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    InputError
        If the model is not an image classifier, the names do not fit it, or something is at `path`.
    """
    from tfrecall import pruning
    from tfrecall.pruning.tfmot import is_prepared

    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another path, or overwrite it (overwrite=True, --overwrite).")
    if path.is_dir() and any(path.iterdir()) and not (path / "saved_model.pb").exists():
        raise InputError(f"{path} is a folder with something else than a SavedModel in it: choose another path.")
    if is_prepared(model):
        model = pruning.strip(model)
    names = _class_names(model, class_names)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        whole = Path(scratch) / "saved_model"
        _write_saved_model(model, whole, names)
        if format == "tflite":
            whole = _convert(whole, Path(scratch) / "model.tflite")
            labels = Path(scratch) / "labels.txt"
            labels.write_text("\n".join(names) + "\n", encoding="utf-8")
            os.replace(labels, path.with_suffix(".labels.txt"))
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(whole, path)
    return path


def probabilities(model, images):
    """Return a classifier's probabilities [image, class], applying softmax where the model gives logits.

    Parameters
    ----------
    model : tf_keras.Model
    images : tensor of float32, shape (images, height, width, channels)
        Raw pixels.

    Returns
    -------
    tensor of float32
    """
    import tensorflow as tf

    outputs = tf.cast(model(images, training=False), tf.float32)
    return outputs if gives_probabilities(model) else tf.nn.softmax(outputs)


def gives_probabilities(model) -> bool:
    """Say whether a model ends in a softmax, by following its output back through layers that only reshape or cast."""
    import tf_keras

    history = model.outputs[0]._keras_history
    layer, node = history.layer, history.layer._inbound_nodes[history.node_index]
    while True:
        if isinstance(layer, tf_keras.Model):
            return gives_probabilities(layer)
        layer = getattr(layer, "layer", layer)
        activation = getattr(layer, "activation", None)
        if isinstance(layer, tf_keras.layers.Softmax) or getattr(activation, "__name__", "") == "softmax":
            return True
        passes = isinstance(layer, tf_keras.layers.Reshape | tf_keras.layers.Flatten) or (
            isinstance(layer, tf_keras.layers.Activation) and getattr(activation, "__name__", "") == "linear"
        )
        if not passes or len(node.parent_nodes) != 1:
            return False
        node = node.parent_nodes[0]
        layer = node.layer


def _class_names(model, class_names: Sequence[str] | None) -> list[str]:
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or len(inputs) != 1 or len(outputs) != 1 or inputs[0].shape.rank != 4 or outputs[0].shape.rank != 2:
        raise InputError(
            "expected an image classifier, one input (batch, height, width, channels) and one output (batch, classes); got "
            f"inputs {[tuple(t.shape) for t in inputs or []]} and outputs {[tuple(t.shape) for t in outputs or []]}."
        )
    classes = outputs[0].shape[1]
    names = [str(name) for name in class_names] if class_names is not None else [str(c) for c in range(classes)]
    if len(names) != classes or len(set(names)) != classes:
        raise InputError(
            f"expected {classes} different class names, one for each output; got {len(names)}: {json.dumps(names)[:80]}."
        )
    return names


def _write_saved_model(model, path: Path, names: list[str]) -> None:
    import tensorflow as tf

    shape = [None, *model.inputs[0].shape[1:]]
    module = tf.Module()
    module.model = model
    module.class_names = tf.Variable(names, trainable=False)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="images")])
    def serve(images):
        scores = probabilities(model, images)
        likeliest = tf.gather(module.class_names, tf.argmax(scores, axis=1))
        return {"probabilities": scores, "class_names": tf.identity(module.class_names), "prediction": likeliest}

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="images")])
    def by_name(images):
        return dict(zip(names, tf.unstack(probabilities(model, images), num=len(names), axis=1)))

    @tf.function
    def call(images):
        return serve(tf.cast(images, tf.float32))

    for dtype in (tf.float32, tf.uint8):
        call.get_concrete_function(tf.TensorSpec(shape, dtype, name="images"))
    module.__call__ = call
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve, "by_name": by_name})


def _convert(saved_model: Path, path: Path) -> Path:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(saved_model))
    shape = loaded.signatures["serving_default"].structured_input_signature[1]["images"].shape

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="images")])
    def serve(images):
        return {"probabilities": loaded(images)["probabilities"]}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], loaded)
    path.write_bytes(converter.convert())
    return path
