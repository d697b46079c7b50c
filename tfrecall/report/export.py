"""Handing a model on for serving: SavedModel and TFLite files that need neither tfrecall nor tfmot."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfrecall import datasets, models, networks
from tfrecall.datasets.pixels import Shape, fit
from tfrecall.errors import InputError, unknown
from tfrecall.publishing import output_path, require_place, whole

FORMATS = ("savedmodel", "tflite")


def export(
    model,
    path: str | os.PathLike,
    *,
    format: str = "savedmodel",
    class_names: Sequence[str] | None = None,
    overwrite: bool = False,
    head: models.Head | str | None = None,
    preprocess: str | None = None,
) -> Path:
    """Write an image classifier in a form that is served without Keras.

    Parameters
    ----------
    model : keras.Model or tf_keras.Model
        One image input (batch, height, width, channels) of raw pixels, one output (batch, classes) of probabilities or
        logits, or (batch, 1) for two classes. A wrapped model is stripped first; a Keras 3 model keeps its masks.
    path : path-like
        The folder (SavedModel) or file (TFLite) to write; written whole or not at all.
    format : {"savedmodel", "tflite"}
        The SavedModel's default signature takes ``images``, float32 raw pixels of any batch size, and returns
        ``probabilities`` and ``class_names``, both (batch, classes), and ``prediction`` (batch,), the predicted class's
        name. The signature ``by_name`` returns one vector (batch,) of probabilities under each class's name. Calling the
        loaded object takes uint8 or float32. The TFLite file takes ``images`` and returns ``probabilities``, in float32
        where the model computes in mixed precision; the class names lie beside it in a ``.labels.txt``.
    class_names : sequence of str, optional
        One name a class; ``"0"``, ``"1"``, … by default.
    overwrite : bool
        Whether to replace what is at `path`.
    head : Head or str, optional
        What the outputs are, one of `tfrecall.models.HEADS`; as `tfrecall.models.head_of` decides by default.
    preprocess : str, optional
        What the model expects to be done to raw pixels before it, as in `tfrecall.settings.Settings`: it becomes part of
        what is written, which takes raw pixels all the same.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    InputError
        If the model is not an image classifier, the names do not fit it, or something is at `path`.

    Notes
    -----
    ``probabilities`` are the model's own outputs where those are probabilities: of sigmoids, one for each class, they need
    not sum to 1. A model with one output has two columns, 1 − p and p.

    A SavedModel resizes images of another height and width than the model takes, as `tfrecall.datasets` does for training;
    float32 images that hold bytes (whole numbers up to 255) are rounded to bytes again, as uint8 images are. A TFLite file
    takes the model's own height and width: its interpreter fails on images of another size, and does not check how many
    channels they have. A model that takes images of any size is served so in both.
    """
    from tfrecall import pruning

    path = export_place(path, format, overwrite=overwrite)
    names = _names(path, format)
    models.require_image_classifier(model)
    classes = _class_names(model, class_names)
    head = models.head_of(model, head)
    prepared = datasets.preprocessing(preprocess)
    prepared.require_channels(models.input_shape(model, (None, None, None))[2])
    model = pruning.plain(model)
    with whole(path.parent, names) as folder:
        if format == "savedmodel":
            _write_saved_model(model, head, prepared, folder / names[0], classes)
        else:
            _write_for_conversion(model, head, prepared, folder / "unconverted")
            _convert(folder / "unconverted", folder / names[0])
            (folder / names[1]).write_text("\n".join(classes) + "\n", encoding="utf-8")
            shutil.rmtree(folder / "unconverted")  # a folder that is new would take it along
    return path


def export_place(path: str | os.PathLike, format: str, *, overwrite: bool = False) -> Path:
    """Return the path that `export` writes to, with ``~`` expanded.

    Raises
    ------
    InputError
        If there is no such format, something is there, or nothing can be written there.
    """
    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)
    path = output_path(path)
    require_place(path.parent, [])
    for place in (path.parent / name for name in _names(path, format)):
        if place.exists() and not overwrite:
            raise InputError(f"{place} exists already: choose another path, or overwrite it (overwrite=True, --overwrite).")
        if place.is_dir() and any(place.iterdir()) and not (place / "saved_model.pb").exists():
            raise InputError(f"{place} is a folder with something else than a SavedModel in it: choose another path.")
    return path


def _names(path: Path, format: str) -> list[str]:
    return [path.name] + ([path.with_suffix(".labels.txt").name] if format == "tflite" else [])


def _class_names(model, class_names: Sequence[str] | None) -> list[str]:
    classes = models.classes_of(model)
    names = [str(name) for name in class_names] if class_names is not None else [str(c) for c in range(classes)]
    if len(names) != classes or len(set(names)) != classes:
        raise InputError(
            f"expected {classes} different class names, one for each output; got {len(names)}: {json.dumps(names)[:80]}."
        )
    return names


def _write_saved_model(model, head: models.Head, prepared: datasets.Preprocessing, path: Path, names: list[str]) -> None:
    import tensorflow as tf

    height, width, channels = models.input_shape(model, (None, None, None))
    any_size = [None, None, None, channels]
    module = _module(model)
    module.class_names = tf.Variable(names, trainable=False)

    def answer(images):
        outputs = model(prepared(_brought_to(images, (height, width, channels))), training=False)
        probabilities = head.probabilities(outputs)
        return {
            "probabilities": probabilities,
            # Once an image: a server that batches requests cuts every output along its first axis.
            "class_names": tf.tile(module.class_names[tf.newaxis], [tf.shape(probabilities)[0], 1]),
            "prediction": tf.gather(module.class_names, head.predictions(tf.cast(outputs, tf.float32))),
        }

    @tf.function(input_signature=[tf.TensorSpec(any_size, tf.float32, name="images")])
    def serve(images):
        return answer(images)

    @tf.function(input_signature=[tf.TensorSpec(any_size, tf.float32, name="images")])
    def by_name(images):
        return dict(zip(names, tf.unstack(answer(images)["probabilities"], num=len(names), axis=1)))

    @tf.function
    def call(images):
        return answer(images)

    for dtype in (tf.float32, tf.uint8):
        call.get_concrete_function(tf.TensorSpec(any_size, dtype, name="images"))
    module.__call__ = call
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve, "by_name": by_name})


def _write_for_conversion(model, head: models.Head, prepared: datasets.Preprocessing, path: Path) -> None:
    """Write the SavedModel that becomes a TFLite file: in float32, of one size."""
    import tensorflow as tf

    shape = models.input_shape(model, (None, None, None))
    module = _module(model)

    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.float32, name="images")])
    def serve(images):
        return {"probabilities": head.probabilities(model(prepared(_refusing_others(images, shape)), training=False))}

    with networks.of(model).in_float32(model):
        tf.saved_model.save(module, str(path), signatures={"serving_default": serve})


def _module(model):
    """Return what a SavedModel is written of, with all the variables that a call of the model may need."""
    import tensorflow as tf

    module = tf.Module()
    module.model = model
    module.random_state = networks.of(model).random_state(model)
    return module


def _brought_to(images, shape: tuple[int | None, ...]):
    """Return float32 images of the size that a model takes, resized as for training where they have another."""
    import tensorflow as tf

    height, width, channels = shape
    # Called as a signature, TensorFlow checks no shape, and a model may compute something for images of any.
    images = tf.ensure_shape(images, [None, None, None, channels])
    if height is None or width is None:
        return tf.ensure_shape(tf.cast(images, tf.float32), [None, *shape])
    fits = tf.reduce_all(tf.shape(images)[1:3] == [height, width])
    sized = tf.cond(fits, lambda: tf.cast(images, tf.float32), lambda: _resized(images, shape))
    return tf.ensure_shape(sized, [None, *shape])


def _resized(images, shape: Shape):
    """Return float32 images, resized as `tfrecall.datasets` does it: to bytes where they are bytes, whatever their type."""
    import tensorflow as tf

    resized = tf.cast(fit(images, shape), tf.float32)
    if images.dtype == tf.uint8:
        return resized
    axes = [1, 2, 3]
    bytes_ = tf.reduce_all((images == tf.round(images)) & (images >= 0) & (images <= 255), axes, keepdims=True)
    bytes_ &= tf.reduce_max(images, axes, keepdims=True) > 1  # 0 and 1 alone may be pixels that were scaled
    return tf.where(bytes_, tf.round(resized), resized)


def _refusing_others(images, shape: tuple[int | None, ...]):
    """Return images as they are; TFLite fails on another height or width, which cannot be broadcast against these bounds."""
    import tensorflow as tf

    height, width, _ = shape
    largest = np.finfo(np.float32).max
    if height is not None:
        images = tf.minimum(images, tf.fill([1, height, 1, 1], largest))
    if width is not None:
        images = tf.maximum(images, tf.fill([1, 1, width, 1], -largest))
    return images


def _convert(saved_model: Path, path: Path) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(saved_model))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([loaded.signatures["serving_default"]], loaded)
    path.write_bytes(converter.convert())
