"""Reading saved Keras models without running what is in them."""

from __future__ import annotations

import builtins
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tfrecall.errors import InputError

# Modules whose classes a model file may name. Keras would import any other, and so run it.
_TRUSTED = ("keras", "tf_keras", "tfrecall", "tensorflow_model_optimization", "builtins")
# Functions of TensorFlow that a file may name in an op layer, but that read, write or run things outside the graph.
_UNTRUSTED_OPS = ("io.", "py_function", "numpy_function", "raw_ops", "load_op_library", "load_library", "saved_model")


def load(path: str | os.PathLike, *, unsafe: bool = False):
    """Load a saved Keras model: ``.keras``, ``.h5`` or a SavedModel folder that Keras wrote.

    Parameters
    ----------
    path : path-like
    unsafe : bool
        Whether to load models that run code of their own on loading: Lambda layers, and classes of modules that are not
        Keras's or tfrecall's.

    Returns
    -------
    tf_keras.Model
        Not compiled.

    Raises
    ------
    InputError
        If there is no such file, it is no Keras model or a damaged one, or loading it would run code.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no model file at {path}: give a .keras or .h5 file, or a SavedModel folder.")
    configs = _configs(path)
    if not unsafe:
        for config in configs:
            reason = next(_suspicions(config), None)
            if reason:
                raise InputError(
                    f"{path} would run code on loading ({reason}): pass --unsafe (unsafe=True) if you trust its source."
                )
    import tf_keras
    from tensorflow_model_optimization.sparsity.keras import prune_scope

    import tfrecall.pruning
    import tfrecall.schedules  # noqa: F401  both register the classes that a wrapped model's file names

    try:
        with prune_scope():  # a model saved while tfmot or tfrecall was pruning it loads too
            return tf_keras.models.load_model(path, compile=False, safe_mode=not unsafe)
    except Exception as error:  # whatever a damaged or foreign file makes Keras raise, its user needs one line
        raise InputError(f"{path} cannot be loaded as a Keras model: {_first_line(error)}") from error


def _configs(path: Path) -> list:
    """Return the configurations in a model file, read as data."""
    try:
        if path.is_dir():
            return _saved_model_configs(path)
        head = path.read_bytes()[:8]
        if head.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
                if damaged:
                    raise InputError(f"{path} is damaged: its part {damaged} does not match its checksum.")
                _require_tf_keras(path, json.loads(archive.read("metadata.json")).get("keras_version", ""))
                return [json.loads(archive.read("config.json"))]
        if head == b"\x89HDF\r\n\x1a\n":
            import h5py

            with h5py.File(path) as file:
                if "model_config" not in file.attrs:
                    raise InputError(f"{path} holds weights without a model: save the whole model, with model.save(path).")
                return [json.loads(file.attrs["model_config"])]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} is truncated, or no Keras model file: {_first_line(error)}") from error
    kind = "a pickle, which would run code on loading" if head[:1] == b"\x80" else "of another kind"
    raise InputError(f"{path} is {kind}: expected a .keras or .h5 file, or a SavedModel folder.")


def _require_tf_keras(path: Path, version: str) -> None:
    if version.startswith("3"):
        raise InputError(
            f"{path} was written by Keras {version}, and only models of tf_keras (Keras 2) can be pruned: "
            "build the model with tf_keras, load its weights there, and save it again."
        )


def _saved_model_configs(path: Path) -> list:
    if not (path / "saved_model.pb").is_file():
        raise InputError(f"{path} is no SavedModel folder: it has no saved_model.pb.")
    metadata = path / "keras_metadata.pb"
    if not metadata.is_file():
        raise InputError(
            f"{path} is a SavedModel for serving, not one of Keras: give the .keras file that it was exported from."
        )
    from tf_keras.protobuf import saved_metadata_pb2

    return [json.loads(node.metadata) for node in saved_metadata_pb2.SavedMetadata.FromString(metadata.read_bytes()).nodes]


def _suspicions(config) -> Iterator[str]:
    """Yield why loading a configuration would run code, looking at every part of it."""
    if isinstance(config, list):
        for part in config:
            yield from _suspicions(part)
    if not isinstance(config, dict):
        return
    name, inner = config.get("class_name"), config.get("config")
    if name in ("Lambda", "__lambda__") or config.get("function_type") == "lambda":
        yield "it has a Lambda layer"
    function = inner.get("function") if isinstance(inner, dict) else None
    if name in ("TFOpLambda", "SlicingOpLambda") and isinstance(function, str) and _untrusted_op(function):
        yield f"it calls {function}"
    module = config.get("module")
    if isinstance(module, str) and name is not None:
        named = inner if name == "function" else name
        if module.split(".")[0] not in _TRUSTED or (name == "function" and _untrusted_function(module, str(inner))):
            yield f"it names {named} of the module {module}"
    for part in config.values():
        yield from _suspicions(part)


def _untrusted_function(module: str, function: str) -> bool:
    # Keras writes "builtins" for its own activations and the like; its utilities download, unpack and unmarshal.
    return bool(set(module.split(".")) & {"utils", "saving"}) or (module == "builtins" and hasattr(builtins, function))


def _untrusted_op(function: str) -> bool:
    return any(word in function for word in _UNTRUSTED_OPS)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
