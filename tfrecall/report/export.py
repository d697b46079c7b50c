"""Handing a model on for serving: SavedModel and TFLite files that need neither tfrecall nor tfmot."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tfrecall import datasets, models
from tfrecall.errors import InputError, unknown
from tfrecall.publishing import whole

FORMATS = ("savedmodel", "tflite")


def export(
    model,
    path: str | os.PathLike,
    *,
    format: str = "savedmodel",
    class_names: Sequence[str] | None = None,
    overwrite: bool = False,
    preprocess: str | None = None,
) -> Path:
    """Write an image classifier in a form that is served without Keras.

    Parameters
    ----------
    model : keras.Model or tf_keras.Model
        One image input (batch, height, width, channels) of raw pixels, one output (batch, classes) of probabilities or
        logits. A wrapped model is stripped first; a Keras 3 model keeps its masks.
    path : path-like
        The folder (SavedModel) or file (TFLite) to write; written whole or not at all.
    format : {"savedmodel", "tflite"}
        The SavedModel's default signature takes ``images``, float32 raw pixels of any batch size, and returns
        ``probabilities`` and ``class_names``, both (batch, classes), and ``prediction`` (batch,), the likeliest class's
        name. The signature ``by_name`` returns one vector (batch,) of probabilities under each class's name. Calling the
        loaded object takes uint8 or float32. The TFLite file takes ``images`` and returns ``probabilities``; the class
        names lie beside it in a ``.labels.txt``.
    class_names : sequence of str, optional
        One name a class; ``"0"``, ``"1"``, … by default.
    overwrite : bool
        Whether to replace what is at `path`.
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
    """
    from tfrecall import pruning

    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)
    path = Path(path)
    names = [path.name] + ([path.with_suffix(".labels.txt").name] if format == "tflite" else [])
    for place in (path.parent / name for name in names):
        if place.exists() and not overwrite:
            raise InputError(f"{place} exists already: choose another path, or overwrite it (overwrite=True, --overwrite).")
        if place.is_dir() and any(place.iterdir()) and not (place / "saved_model.pb").exists():
            raise InputError(f"{place} is a folder with something else than a SavedModel in it: choose another path.")
    models.require_image_classifier(model)
    models.require_several_classes(model, "the model")
    classes = _class_names(model, class_names)
    prepared = datasets.preprocessing(preprocess)
    prepared.require_channels(models.input_shape(model, (None, None, None))[2])
    model = pruning.plain(model)
    with whole(path.parent, names) as folder:
        if format == "savedmodel":
            _write_saved_model(model, folder / names[0], classes, prepared)
        else:
            _write_saved_model(model, folder / "unconverted", classes, prepared)
            _convert(folder / "unconverted", folder / names[0])
            (folder / names[1]).write_text("\n".join(classes) + "\n", encoding="utf-8")
            shutil.rmtree(folder / "unconverted")  # a folder that is new would take it along
    return path


def _class_names(model, class_names: Sequence[str] | None) -> list[str]:
    classes = models.classes_of(model)
    names = [str(name) for name in class_names] if class_names is not None else [str(c) for c in range(classes)]
    if len(names) != classes or len(set(names)) != classes:
        raise InputError(
            f"expected {classes} different class names, one for each output; got {len(names)}: {json.dumps(names)[:80]}."
        )
    return names


def _write_saved_model(model, path: Path, names: list[str], prepared: datasets.Preprocessing) -> None:
    import tensorflow as tf

    shape = [None, *models.input_shape(model, (None, None, None))]
    module = tf.Module()
    module.model = model
    module.class_names = tf.Variable(names, trainable=False)

    activate = tf.identity if models.gives_probabilities(model) else tf.nn.softmax

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="images")])
    def serve(images):
        scores = activate(tf.cast(model(prepared(images), training=False), tf.float32))
        images_of_batch = tf.shape(scores)[0]
        return {
            "probabilities": scores,
            # Once an image: a server that batches requests cuts every output along its first axis.
            "class_names": tf.tile(module.class_names[tf.newaxis], [images_of_batch, 1]),
            "prediction": tf.gather(module.class_names, tf.argmax(scores, axis=1)),
        }

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="images")])
    def by_name(images):
        return dict(zip(names, tf.unstack(serve(images)["probabilities"], num=len(names), axis=1)))

    @tf.function
    def call(images):
        return serve(tf.cast(images, tf.float32))

    for dtype in (tf.float32, tf.uint8):
        call.get_concrete_function(tf.TensorSpec(shape, dtype, name="images"))
    module.__call__ = call
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve, "by_name": by_name})


def _convert(saved_model: Path, path: Path) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(saved_model))
    shape = loaded.signatures["serving_default"].structured_input_signature[1]["images"].shape

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="images")])
    def serve(images):
        return {"probabilities": loaded(images)["probabilities"]}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], loaded)
    path.write_bytes(converter.convert())
