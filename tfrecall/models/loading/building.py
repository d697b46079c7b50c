"""A model built from a rewritten configuration, with its weights, and with no more memory than its file accounts for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tfrecall.errors import InputError
from tfrecall.models.loading.containers import Container

# Numbers that a model may have without its file: states of random generators, counters, what layers of one's own leave out.
_UNSAVED = 2**24


def build(container: Container, library, config: dict, registry: Mapping[str, Any]):
    """Build a model and load its weights.

    Parameters
    ----------
    container : Container
    library : module
        ``keras`` or ``tf_keras``.
    config : dict
        The model's configuration, rewritten.
    registry : mapping of str to object
        All that the configuration names.

    Returns
    -------
    keras.Model or tf_keras.Model
        Not compiled.

    Raises
    ------
    InputError
        If it needs more weights than the file holds, or the file holds larger ones than it needs.
    """
    builders = {
        ("keras", "keras"): _build_keras3,
        ("keras", "h5"): _build_keras3_h5,
        ("tf_keras", "keras"): _build_legacy,
        ("tf_keras", "h5"): _build_legacy_h5,
        ("tf_keras", "savedmodel"): _build_saved_model,
    }
    with library.saving.custom_object_scope(dict(registry)):
        with _limited_to(sum(container.sizes.values())):
            model = builders[library.__name__, container.kind](config, dict(registry))
        if not isinstance(model, library.Model):
            raise InputError(f"it holds no model but a {type(model).__name__}.")
        _require_needed(container, model)
        _load_weights(container, library, model)
    return model


def _build_keras3(config: dict, registry: dict):
    from keras.src.saving import serialization_lib

    with serialization_lib.ObjectSharingScope():
        return serialization_lib.deserialize_keras_object(config, custom_objects=registry, safe_mode=True)


def _build_keras3_h5(config: dict, registry: dict):
    from keras.src.legacy.saving import json_utils, saving_options, saving_utils
    from keras.src.saving.serialization_lib import SafeModeScope

    config = json_utils.decode(json.dumps(config))  # its tuples and shapes are written in a way of its own
    with saving_options.keras_option_scope(use_legacy_config=True), SafeModeScope(True):
        return saving_utils.model_from_config(config, custom_objects=registry)


def _build_legacy(config: dict, registry: dict):
    from tf_keras.src.saving import serialization_lib

    with serialization_lib.ObjectSharingScope(), serialization_lib.SafeModeScope(True):
        return serialization_lib.deserialize_keras_object(config, custom_objects=registry, safe_mode=True)


def _build_legacy_h5(config: dict, registry: dict):
    import tf_keras
    from tf_keras.src.saving.legacy.saved_model import json_utils
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    with SafeModeScope(True):
        return tf_keras.models.model_from_config(json_utils.decode(json.dumps(config)), custom_objects=registry)


def _build_saved_model(config: dict, registry: dict):
    """Build a SavedModel's Keras model from its configuration: its graph, which may do anything, is never loaded."""
    model = _build_legacy_h5(config, registry)
    if not model.built:
        model.build(config["build_input_shape"])
    return model


def _load_weights(container: Container, library, model) -> None:
    if container.kind == "h5":
        if library.__name__ == "keras":
            from keras.src.legacy.saving.legacy_h5_format import load_weights_from_hdf5_group
        else:
            from tf_keras.src.saving.legacy.hdf5_format import load_weights_from_hdf5_group
        load_weights_from_hdf5_group(container.weights, model)
    elif container.kind == "savedmodel":
        model.load_weights(str(container.weights)).expect_partial().assert_existing_objects_matched()
    else:
        model.load_weights(str(container.weights))
        if container.assets is not None:
            _load_assets(container, library, model)


def _load_assets(container: Container, library, model) -> None:
    if library.__name__ == "keras":
        from keras.src.saving import saving_lib
    else:
        from tf_keras.src.saving import saving_lib
    store = saving_lib.DiskIOStore(str(container.assets), mode="r")
    saving_lib._load_state(model, None, store, "", False, set())


@contextmanager
def _limited_to(numbers: int) -> Iterator[None]:
    """Refuse variables that hold more numbers, all together, than a file has, before memory is asked for them."""
    import tensorflow as tf

    total, refusal, scratch = 0, None, tf.Graph()

    def create(next_creator, **options):
        nonlocal total, refusal
        total += _size(options, scratch)
        if total > numbers + _UNSAVED:
            refusal = InputError(
                f"its configuration needs more weights than it holds: at least {total:,} numbers, and {numbers:,} are in it."
            )
            raise refusal
        return next_creator(**options)

    try:
        with tf.variable_creator_scope(create):
            yield
    except Exception:
        if refusal is not None:  # whatever Keras made of it
            raise refusal from None
        raise


def _size(options: dict, scratch) -> int:
    """Return how many numbers a variable holds that is about to be created; in a scratch graph nothing is computed."""
    import tensorflow as tf

    shape, value = options.get("shape"), options.get("initial_value")
    if shape is None and callable(value):
        with scratch.as_default():
            shape = value().shape
    elif shape is None:
        shape = getattr(value, "shape", ())
    shape = tf.TensorShape(shape)
    return shape.num_elements() or 0 if shape.rank is not None else 0


def _require_needed(container: Container, model) -> None:
    """Refuse a file whose weights are much larger than the model's: Keras would read them before it compares the shapes."""
    shapes = [getattr(weight, "shape", ()) for weight in model.weights]  # a table of words has none
    largest = max((math.prod(shape) for shape in shapes), default=0)
    name, size = max(container.sizes.items(), key=lambda item: item[1], default=("", 0))
    if size > 4 * largest + _UNSAVED:
        raise InputError(
            f"it declares larger weights than its model has: {size:,} numbers in {name}, and at most {largest:,} are needed."
        )
