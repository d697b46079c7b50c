"""What a model file holds, read without asking for more memory than the file accounts for.

A file of kilobytes can declare terabytes: a data set that was never written, a compressed one, a part of a zip. What is
declared is compared with what is stored before any of it is read.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tempfile
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfrecall.errors import InputError

SIGNATURES = {".keras": b"PK\x03\x04", ".h5": b"\x89HDF\r\n\x1a\n", ".hdf5": b"\x89HDF\r\n\x1a\n"}
_WEIGHTS = "model.weights.h5"
# Beyond this many bytes, content may be at most so many times larger than what is stored of it. Deflate reaches 1032 on
# zeros; the weights of a model pruned to 1 % reach 60.
_FREE = 2**28
_EXPANSION = 100
# The configuration of the largest model of keras.applications has 1 MB.
_CONFIGURATION = 2**24
_ATTRIBUTE = 2**26


@dataclass(frozen=True)
class Container:
    """A model file, opened.

    Attributes
    ----------
    kind : {"keras", "h5", "savedmodel"}
    version : str
        Of the Keras that wrote it.
    config : dict
        The model's configuration.
    weights : h5py.Group or Path
        Where the weights are: in a ``.h5`` file their group; else the path of a file, or prefix of files, of weights.
    sizes : dict of str to int
        How many numbers each stored set of weights declares, by its name in the file.
    assets : Path or None
        A folder of what layers keep in files, such as vocabularies.
    """

    kind: str
    version: str
    config: dict[str, Any]
    weights: Any
    sizes: dict[str, int]
    assets: Path | None = None


def open_container(path: Path, stack: ExitStack) -> Container:
    """Open a model file, and look at the sizes of all that loading would read.

    Parameters
    ----------
    path : Path
    stack : contextlib.ExitStack
        Closes the file, and removes what was unpacked.

    Raises
    ------
    InputError
        If it is no model file, or it declares more than it holds, or would read other files.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return _open_saved_model(path)
    if not stat.S_ISREG(mode):
        raise InputError(
            f"{path} is not a file but a {_special(mode)}: expected a .keras or .h5 file, or a SavedModel folder."
        )
    with path.open("rb") as file:
        head = file.read(8)
    # Keras goes by a file's name: what is looked at here must be what it will read.
    signature = SIGNATURES.get(path.suffix)
    if signature is None or not head.startswith(signature):
        kind = "a pickle, which would run code on loading" if head[:1] == b"\x80" else "of another kind"
        raise InputError(f"{path} is {kind}: expected a .keras or .h5 file, or a SavedModel folder.")
    return (_open_keras if path.suffix == ".keras" else _open_h5)(path, stack)


def _special(mode: int) -> str:
    kinds = {stat.S_ISFIFO: "named pipe (FIFO)", stat.S_ISSOCK: "socket", stat.S_ISCHR: "device", stat.S_ISBLK: "device"}
    return next((name for is_kind, name in kinds.items() if is_kind(mode)), "special file")


def _open_keras(path: Path, stack: ExitStack) -> Container:
    import h5py

    archive = stack.enter_context(zipfile.ZipFile(path))
    config = json.loads(_read_member(path, archive, "config.json"))
    metadata = json.loads(_read_member(path, archive, "metadata.json"))
    if _WEIGHTS not in archive.namelist():
        raise InputError(f"{path} holds no weights: expected {_WEIGHTS} in it.")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfrecall-")))
    assets = [name for name in archive.namelist() if name.startswith("assets/") and not name.endswith("/")]
    unpacked = [_WEIGHTS, *assets]
    infos = [archive.getinfo(name) for name in unpacked]
    _require_stored(path, sum(info.file_size for info in infos), sum(info.compress_size for info in infos))
    for name in unpacked:  # reading a part to its end checks its checksum
        archive.extract(name, folder)
    weights = folder / _WEIGHTS
    with h5py.File(weights) as file:
        sizes = _look_at(path, file)
    return Container(
        "keras",
        str(metadata.get("keras_version", "")) if isinstance(metadata, dict) else "",
        config,
        weights,
        sizes,
        folder / "assets" if assets else None,
    )


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > _CONFIGURATION:
        raise InputError(f"{path} holds a {name} of {_bytes(size)}: expected at most {_bytes(_CONFIGURATION)}.")
    return archive.read(name)


def _open_h5(path: Path, stack: ExitStack) -> Container:
    import h5py

    file = stack.enter_context(h5py.File(path, "r"))
    if "model_config" not in file.attrs:
        raise InputError(f"{path} holds weights without a model: save the whole model, with model.save(path).")
    sizes = _look_at(path, file)
    config, version = (_text(path, file, name) for name in ("model_config", "keras_version"))
    group = file.get("model_weights")
    if not isinstance(group, h5py.Group):
        raise InputError(f"{path} holds no weights: expected the group model_weights in it.")
    read = {name: size for name, size in sizes.items() if name.startswith("/model_weights/")}
    return Container("h5", version, json.loads(config), group, read)


def _text(path: Path, file, name: str) -> str:
    if name not in file.attrs:
        return ""
    value = file.attrs[name]
    text = value.decode() if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise InputError(f"{path} holds a {name} that is no text.")
    if len(text) > _CONFIGURATION:
        raise InputError(f"{path} holds a {name} of {_bytes(len(text))}: expected at most {_bytes(_CONFIGURATION)}.")
    return text


def _look_at(path: Path, file) -> dict[str, int]:
    """Return the sizes of all data sets in an HDF5 file, each looked at once however many links lead to it.

    Raises
    ------
    InputError
        If one lies in another file (the weights could be those of any file on this machine), holds no numbers, or declares
        more than is stored.
    """
    import h5py

    sizes, stored, declared = {}, 0, 0
    seen, waiting = {h5py.h5o.get_info(file.id).addr}, [file["/"]]
    _look_at_attributes(path, waiting[0])
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"{path} would read other files on loading (its part {name} is a link).")
            part = group[name]
            address = h5py.h5o.get_info(part.id).addr
            if address in seen:
                continue
            seen.add(address)
            _look_at_attributes(path, part)
            if isinstance(part, h5py.Group):
                waiting.append(part)
            elif isinstance(part, h5py.Dataset):
                size = _look_at_data(path, part, name)
                sizes[part.name] = size
                declared += size * part.dtype.itemsize
                stored += part.id.get_storage_size()
    _require_stored(path, declared, stored)
    return sizes


def _look_at_data(path: Path, data, name: str) -> int:
    if data.external or data.is_virtual:
        raise InputError(f"{path} would read other files on loading (its weights {name} are stored there).")
    if data.dtype.hasobject:
        raise InputError(f"{path} is no Keras model: its weights {name} are not numbers.")
    size = 0 if data.shape is None else math.prod(data.shape)
    declared, stored = size * data.dtype.itemsize, data.id.get_storage_size()
    if not data.id.get_create_plist().get_nfilters() and declared > stored:
        raise InputError(
            f"{path} declares more than it holds: {_bytes(declared)} in {name}, but {_bytes(stored)} are stored."
        )
    return size


def _look_at_attributes(path: Path, part) -> None:
    import h5py

    for index in range(h5py.h5a.get_num_attrs(part.id)):
        attribute = h5py.h5a.open(part.id, index=index)
        if math.prod(attribute.shape or ()) * attribute.dtype.itemsize > _ATTRIBUTE:
            raise InputError(f"{path} declares an attribute of more than {_bytes(_ATTRIBUTE)}: it is no Keras model.")


def _require_stored(path: Path, declared: int, stored: int) -> None:
    if declared > max(_FREE, _EXPANSION * stored):
        raise InputError(
            f"{path} declares more than it holds: {_bytes(declared)} of weights, but {_bytes(stored)} are stored. "
            "If the file is genuine, save it uncompressed."
        )


def _open_saved_model(path: Path) -> Container:
    if not (path / "saved_model.pb").is_file():
        raise InputError(f"{path} is no SavedModel folder: it has no saved_model.pb.")
    metadata = path / "keras_metadata.pb"
    if not metadata.is_file():
        raise InputError(
            f"{path} is a SavedModel for serving, not one of Keras: give the .keras file that it was exported from."
        )
    size, limit = metadata.stat().st_size, 4 * _CONFIGURATION
    if size > limit:
        raise InputError(f"{path} holds a keras_metadata.pb of {_bytes(size)}: expected at most {_bytes(limit)}.")
    for part in path.rglob("*"):
        if not (part.is_file() or part.is_dir()):
            raise InputError(f"{path} is no SavedModel folder: {part.name} in it is not a file.")
        if not part.resolve().is_relative_to(path.resolve()):  # its weights could be those of any file on this machine
            raise InputError(f"{path} would read other files on loading: {part.name} in it is a link that leads out of it.")
    from tf_keras.protobuf import saved_metadata_pb2

    # The first node is the model; the configurations of its layers are in its own.
    root = saved_metadata_pb2.SavedMetadata.FromString(metadata.read_bytes()).nodes[0]
    variables = path / "variables" / "variables"
    return Container("savedmodel", "2", json.loads(root.metadata), variables, _checkpoint_sizes(path, variables))


def _checkpoint_sizes(path: Path, prefix: Path) -> dict[str, int]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    declared = sum(size * types[name].size for name, size in sizes.items() if types[name] != tf.string)
    stored = sum(os.path.getsize(part) for part in prefix.parent.glob(f"{prefix.name}.data-*"))
    if declared > stored:
        raise InputError(
            f"{path} declares more than it holds: {_bytes(declared)} of weights, but {_bytes(stored)} are stored."
        )
    return sizes


def _bytes(count: int) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}"
