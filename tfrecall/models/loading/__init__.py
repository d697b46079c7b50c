"""Reading saved Keras models without running what is in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tfrecall.errors import InputError
from tfrecall.models.loading.containers import Container, open_container
from tfrecall.models.loading.custom import custom_scope, named_objects
from tfrecall.models.loading.failures import essence, missing_object
from tfrecall.publishing import expanded

__all__ = ["custom_scope", "load", "named_objects"]


def load(
    path: str | os.PathLike,
    *,
    unsafe: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
):
    """Load a saved Keras model: ``.keras``, ``.h5`` or a SavedModel folder that Keras wrote.

    Only what computes is built: the layers, initializers and operations of Keras that `tfrecall.models.loading.harmless`
    lists, the custom objects named here, and classes and functions that this process registered with
    ``keras.saving.register_keras_serializable`` or a ``custom_object_scope``. What packages registered that tfrecall
    imports does not count as registered by this process.

    Parameters
    ----------
    path : path-like
    unsafe : bool
        Whether to load models that run code of their own on loading, such as Lambda layers. Default False.
    custom_objects : mapping of str to class or function, optional
        What the file may name besides: layers of one's own, by their names.

    Returns
    -------
    tf_keras.Model or keras.Model
        Of the Keras that wrote the file; not compiled.

    Raises
    ------
    InputError
        If there is no such file, it is no Keras model or a damaged one, it declares more than it holds, or loading it would
        run code.

    Examples
    --------
    >>> import tempfile, keras, tfrecall
    >>> folder = tempfile.mkdtemp()
    >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> model.save(f"{folder}/small.keras")
    >>> tfrecall.models.load(f"{folder}/small.keras").count_params()
    650
    """
    path = Path(expanded(path))
    if not path.exists():
        raise InputError(f"no model file at {path}: give a .keras or .h5 file, or a SavedModel folder.")
    with ExitStack() as stack:
        try:
            container = open_container(path, stack)
        except InputError:
            raise
        except Exception as error:  # whatever a damaged or foreign file makes the readers raise, its user needs one line
            raise InputError(f"{path} is truncated, or no Keras model file: {essence(error)}") from error
        try:
            return (_load_unsafe if unsafe else _load)(path, container, dict(custom_objects or {}))
        except InputError:
            raise
        except Exception as error:
            name = missing_object(error)
            reason = f"it needs {name}, which Keras does not know. {_name_it(name)}." if name else essence(error)
            raise InputError(f"{path} cannot be loaded as a Keras model: {reason}") from error


def _name_it(name: str) -> str:
    plain = name.rpartition(">")[2]
    return f"If you have the code of {plain}, name it with --custom MODULE:{plain} (custom_objects={{'{plain}': …}})"


def _load(path: Path, container: Container, custom: dict):
    from tfrecall.models.loading.building import build
    from tfrecall.models.loading.configuration import RefusedError, Rewriter

    rewriter = Rewriter(_library(container), custom)
    config = container.config
    if container.kind == "savedmodel" and config.get("class_name") not in ("Sequential", "Functional"):
        raise InputError(
            f"{path} holds a subclassed model ({config.get('class_name')}), whose code is in the file: expected a "
            "Sequential or Functional one; --unsafe (unsafe=True) loads it."
        )
    try:
        return build(container, rewriter.library, rewriter.model(config), rewriter.registry)
    except RefusedError as refusal:
        hint = f". {_name_it(refusal.missing)}. If" if refusal.missing else ": if"
        raise InputError(f"{path} would {refusal}{hint} you trust its source, pass --unsafe (unsafe=True).") from None
    except InputError as error:
        raise InputError(f"{path} cannot be loaded as a Keras model: {error}") from None


def _load_unsafe(path: Path, container: Container, custom: dict):
    library = _library(container)
    if library.__name__ == "keras":
        return library.models.load_model(path, compile=False, safe_mode=False, custom_objects=custom)
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    from tfrecall.tfmot import prune_scope

    with prune_scope(), SafeModeScope(False):
        return library.models.load_model(path, compile=False, safe_mode=False, custom_objects=custom)


def _library(container: Container):
    """Return the Keras that wrote a file, with what tfrecall adds to its registry."""
    if container.version.startswith("3"):
        import keras

        import tfrecall.regularizers  # registers a class that a file may name

        return keras
    import tf_keras

    import tfrecall.pruning.tfmot
    import tfrecall.schedules  # noqa: F401  both register the classes that a wrapped model's file names

    return tf_keras
