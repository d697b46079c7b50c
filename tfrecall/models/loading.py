"""Reading saved Keras models without running what is in them."""

from __future__ import annotations

import builtins
import importlib
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tfrecall.errors import InputError

# Modules whose classes a model file may name. Keras would import any other, and so run it.
_TRUSTED = ("keras", "tf_keras", "tfrecall", "tensorflow_model_optimization", "builtins")
# Where Keras keeps the functions that a file may name: activations and the like, which a file says are "builtins".
_FUNCTIONS = {"activations", "constraints", "initializers", "losses", "metrics", "regularizers", "builtins"}
# Layers that hold code, or call what the file says.
_CODE = {
    "Lambda",
    "__lambda__",
    "ClassMethod",
    "InstanceMethod",
    "TensorFlowOpLayer",
    "TFSMLayer",
    "JaxLayer",
    "FlaxLayer",
    "TorchModuleWrapper",
}
# TensorFlow's functions that an op layer may call: those that only compute.
_OPS = re.compile(
    r"(compat\.v1\.)?((math|nn|image|linalg|signal|strings|__operators__)\.\w+(\.\w+)?|add|abs|argmax|argmin|broadcast_to|cast|"
    r"clip_by_value|concat|convert_to_tensor|divide|einsum|exp|expand_dims|eye|fill|gather|gather_nd|identity|matmul|"
    r"maximum|minimum|meshgrid|multiply|negative|norm|one_hot|ones|ones_like|pad|pow|range|rank|reduce_\w+|repeat|"
    r"reshape|reverse|roll|round|shape|sigmoid|sign|size|slice|split|sqrt|square|squeeze|stack|stop_gradient|"
    r"strided_slice|subtract|tanh|tensordot|tile|transpose|unstack|where|zeros|zeros_like)"
)
_SIGNATURES = {".keras": b"PK\x03\x04", ".h5": b"\x89HDF\r\n\x1a\n", ".hdf5": b"\x89HDF\r\n\x1a\n"}


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
    tf_keras.Model or keras.Model
        Of the Keras that wrote the file; not compiled.

    Raises
    ------
    InputError
        If there is no such file, it is no Keras model or a damaged one, or loading it would run code.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no model file at {path}: give a .keras or .h5 file, or a SavedModel folder.")
    version, suspicions = _looked_at(path)
    for reason in () if unsafe else suspicions:
        raise InputError(f"{path} would {reason}: pass --unsafe (unsafe=True) if you trust its source.")
    try:
        return _load_keras3(path, unsafe) if version.startswith("3") else _load_legacy(path, unsafe)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged or foreign file makes Keras raise, its user needs one line
        raise InputError(f"{path} cannot be loaded as a Keras model: {_first_line(error)}") from error


def _load_keras3(path: Path, unsafe: bool):
    import keras

    import tfrecall.regularizers  # noqa: F401  registers a class that a file may name

    return keras.models.load_model(path, compile=False, safe_mode=not unsafe)


def _load_legacy(path: Path, unsafe: bool):
    import tf_keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    import tfrecall.pruning.tfmot
    import tfrecall.schedules  # noqa: F401  both register the classes that a wrapped model's file names
    from tfrecall.tfmot import prune_scope

    # A model saved while it was pruned loads too. Keras's own guard would cover .keras alone.
    with prune_scope(), SafeModeScope(not unsafe):
        if path.is_dir() and not unsafe:
            return _rebuild(path)
        return tf_keras.models.load_model(path, compile=False, safe_mode=not unsafe)


def _rebuild(path: Path):
    """Build a SavedModel's Keras model from its configuration: its graph, which may do anything, is never loaded."""
    import tf_keras
    from tf_keras.src.saving.legacy.saved_model import json_utils

    root = json_utils.decode(_saved_model_metadata(path)[0])  # its tuples and shapes are written in a way of its own
    kinds = {"Sequential": tf_keras.Sequential, "Functional": tf_keras.Model}
    if root.get("class_name") not in kinds:
        raise InputError(
            f"{path} holds a subclassed model ({root.get('class_name')}), whose code is in the file: expected a Sequential "
            "or Functional one; --unsafe (unsafe=True) loads it."
        )
    model = kinds[root["class_name"]].from_config(root["config"])
    if not model.built:
        model.build(root["build_input_shape"])
    model.load_weights(str(path / "variables" / "variables")).expect_partial().assert_existing_objects_matched()
    return model


def _looked_at(path: Path) -> tuple[str, list[str]]:
    """Return the version of the Keras that wrote a model file, and why loading it would do more than read this file."""
    try:
        if path.is_dir():
            return "2", [reason for text in _saved_model_metadata(path) for reason in _suspicions(json.loads(text))]
        # Keras goes by a file's name: what is looked at here must be what it will read.
        with path.open("rb") as file:
            head = file.read(8)
        signature = _SIGNATURES.get(path.suffix)
        if signature is None or not head.startswith(signature):
            kind = "a pickle, which would run code on loading" if head[:1] == b"\x80" else "of another kind"
            raise InputError(f"{path} is {kind}: expected a .keras or .h5 file, or a SavedModel folder.")
        config, version, links = (_read_keras if path.suffix == ".keras" else _read_h5)(path)
        return str(version), [*_suspicions(json.loads(config)), *links]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} is truncated, or no Keras model file: {_first_line(error)}") from error


def _read_keras(path: Path) -> tuple[bytes, str, list[str]]:
    import h5py

    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged:
            raise InputError(f"{path} is damaged: its part {damaged} does not match its checksum.")
        links = []
        for name in archive.namelist():
            if name.endswith(".h5"):
                with archive.open(name) as stored, h5py.File(stored) as file:
                    links += _links(file)
        return archive.read("config.json"), json.loads(archive.read("metadata.json")).get("keras_version", ""), links


def _read_h5(path: Path) -> tuple[str, str, list[str]]:
    import h5py

    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise InputError(f"{path} holds weights without a model: save the whole model, with model.save(path).")
        return file.attrs["model_config"], file.attrs.get("keras_version", ""), _links(file)


def _links(group) -> list[str]:
    """Return what in an HDF5 group leads out of its file: the weights could be those of any file on this machine."""
    import h5py

    found = []
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            found.append(f"read other files on loading (its part {name} is a link)")
        elif isinstance(part := group[name], h5py.Group):
            found += _links(part)
        elif isinstance(part, h5py.Dataset) and (part.external or part.is_virtual):
            found.append(f"read other files on loading (its weights {name} are stored there)")
    return found


def _saved_model_metadata(path: Path) -> list[str]:
    if not (path / "saved_model.pb").is_file():
        raise InputError(f"{path} is no SavedModel folder: it has no saved_model.pb.")
    metadata = path / "keras_metadata.pb"
    if not metadata.is_file():
        raise InputError(
            f"{path} is a SavedModel for serving, not one of Keras: give the .keras file that it was exported from."
        )
    from tf_keras.protobuf import saved_metadata_pb2

    return [node.metadata for node in saved_metadata_pb2.SavedMetadata.FromString(metadata.read_bytes()).nodes]


def _suspicions(config) -> Iterator[str]:
    """Yield why loading a configuration would run code or read files, looking at every part of it."""
    if isinstance(config, list):
        for part in config:
            yield from _suspicions(part)
    if not isinstance(config, dict):
        return
    name, inner, module = config.get("class_name", ""), config.get("config"), config.get("module")
    if not isinstance(name, str | None):
        raise InputError(f"its configuration names a class by {type(name).__name__}, not by a string.")
    if name in _CODE:
        yield f"run code on loading (it has a {f'{name} layer' if name != '__lambda__' else 'lambda function'})"
    if any(key.endswith("_type") and value == "lambda" for key, value in config.items()):
        yield "run code on loading (it holds the code of a Lambda or wrapper)"
    if isinstance(config.get("vocabulary"), str):
        yield f"read the file {config['vocabulary']} on loading"
    if name in ("TFOpLambda", "SlicingOpLambda"):
        function = inner.get("function") if isinstance(inner, dict) else inner
        if not _OPS.fullmatch(str(function)):
            yield f"run code on loading (it calls {function})"
    if isinstance(module, str) and name and not _is_trusted(module, name, inner):
        yield f"run code on loading (it names {inner if name == 'function' else name} of the module {module})"
    for part in config.values():
        yield from _suspicions(part)


def _is_trusted(module: str, name: str, inner) -> bool:
    parts = module.split(".")
    if parts[0] not in _TRUSTED or {"utils", "saving"} & set(parts):  # Keras's utilities download, unpack and unmarshal
        return False
    if name == "function":
        return bool(_FUNCTIONS & set(parts)) and not (module == "builtins" and hasattr(builtins, str(inner)))
    return module != "builtins" and (_is_class(module, name) or name.startswith("__"))  # a function could be called


def _is_class(module: str, name: str) -> bool:
    """Say whether a trusted module's name is a class; of one that is not there (older Kerases) its looks decide."""
    try:
        return isinstance(getattr(importlib.import_module(module), name), type)
    except (ImportError, AttributeError):
        return name[0].isupper()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
