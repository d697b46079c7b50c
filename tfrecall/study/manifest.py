"""What a folder of results says of itself (its key, what determines it, checksums of its files), and reading these files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import zipfile
from pathlib import Path

import numpy as np

from tfrecall.archives import ArchiveError, read_arrays
from tfrecall.errors import InputError
from tfrecall.publishing import write_text

NAME = "manifest.json"
SECONDS = "seconds.json"  # an estimate's input: no result is redone for it

_FORMAT = 1
_LARGE = 1 << 20  # bytes; only a thorough check reads more
_MOST = 1 << 28  # bytes of a JSON file: no result has as many, and what replaced one may have no end
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class DamageError(InputError):
    """A stored result is not as it was written.

    Attributes
    ----------
    path : Path
        The file or folder.
    reason : str
        What is wrong with it, as the rest of a sentence.
    """

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path} {reason}")
        self.path, self.reason = path, reason


def write(folder: Path, key: str, identity: dict, baseline: str | None = None) -> None:
    """Write the manifest of a folder whose other files are all there.

    Parameters
    ----------
    folder : Path
    key : str
        Such as ``cells/0123456789abcdef``.
    identity : dict
        What determines the result, and the key.
    baseline : str, optional
        `digest` of the predictions of the baseline that a cell's result was measured against.
    """
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.iterdir())
        if path.name not in (NAME, SECONDS)
    }
    content = {"format": _FORMAT, "key": key, "identity": identity, "baseline": baseline, "files": files}
    write_text(folder / NAME, json.dumps(sealed(content), indent=2, ensure_ascii=False) + "\n")


def verify(folder: Path, key: str, names: tuple[str, ...], *, thorough: bool = False) -> dict | None:
    """Hold a folder of results against its manifest.

    Parameters
    ----------
    folder : Path
    key : str
        Whose results they should be.
    names : tuple of str
        Files that must be there.
    thorough : bool
        Whether to read files of more than a megabyte too; else their size must do.

    Returns
    -------
    dict or None
        The manifest; None where there is none, as in the results of version 0.1.

    Raises
    ------
    DamageError
        If anything is not as it was written.
    InputError
        If a newer version of tfrecall wrote it, or a file may not be read.
    """
    require_folder(folder)
    path = folder / NAME
    if not os.path.lexists(path):
        return None
    manifest = unsealed(path, read_json(path))
    if manifest.get("format") != _FORMAT:
        raise InputError(f"{path} was written by another version of tfrecall: use that version, or a newer one.")
    if manifest["key"] != key:
        raise DamageError(folder, f"holds the results of {manifest['key']}")
    for name in (*names, *manifest["files"]):
        if name not in manifest["files"]:
            raise DamageError(path, f"lacks {name}")
    for name, written in manifest["files"].items():
        _require_as_written(folder / name, written, thorough)
    return manifest


def require_folder(folder: Path) -> None:
    """Raise DamageError unless a path is a folder itself, not a link to one."""
    if folder.is_symlink():
        raise DamageError(folder, f"is a symbolic link, to {os.readlink(folder)}")
    if not folder.is_dir():
        raise DamageError(folder, "is no folder")


def read_bytes(path: Path, most: int = _MOST) -> bytes:
    """Return what a regular file holds, or raise DamageError."""
    size(path, most)
    return _or_damaged(path, path.read_bytes)


def read_json(path: Path) -> dict:
    """Return the object that a JSON file holds, or raise DamageError."""
    content = read_bytes(path)
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DamageError(path, f"is no JSON: {' '.join(str(error).split())[:100]}") from error
    if not isinstance(value, dict):
        raise DamageError(path, "holds no JSON object")
    return value


def read_predictions(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the named vectors of classes, one length each, that an ``.npz`` file holds, or raise DamageError."""
    size(path, _MOST)
    try:
        _, arrays = read_arrays(path, names)
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # NumPy may read an array without a look at its checksum
    except ArchiveError as error:
        raise DamageError(path, f"cannot be read: {error}") from error
    except Exception as error:  # whatever damage makes zipfile and its decompressors raise
        raise DamageError(path, f"cannot be read: {' '.join(str(error).split())[:100]}") from error
    if broken:
        raise DamageError(path, f"cannot be read: {broken} does not have its checksum")
    if missing := [name for name in names if name not in arrays]:
        raise DamageError(path, f"lacks the array {missing[0]}")
    lengths = {array.shape for array in arrays.values()}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1 or not next(iter(lengths))[0]:
        raise DamageError(path, "does not hold vectors of one length")
    if any(array.dtype.kind not in "iu" or array.min() < 0 for array in arrays.values()):
        raise DamageError(path, "holds something else than numbers of classes")
    return arrays


def size(path: Path, most: int | None = None) -> int:
    """Return the bytes of a regular file, or raise DamageError: what is no regular file may have no end."""
    status = _or_damaged(path, path.stat)
    if not stat.S_ISREG(status.st_mode):
        raise DamageError(path, "is no regular file")
    if most is not None and status.st_size > most:
        raise DamageError(path, f"has {status.st_size:,} bytes, more than any result has")
    return status.st_size


def sealed(content: dict) -> dict:
    """Return JSON content with its own checksum."""
    return content | {"sha256": _digest(content)}


def unsealed(path: Path, content: dict) -> dict:
    """Return JSON content without its checksum, or raise DamageError if that is of something else."""
    content = dict(content)
    if content.pop("sha256", None) != _digest(content):
        raise DamageError(path, "does not have the checksum that it names")
    return content


def _require_as_written(path: Path, written: dict, thorough: bool) -> None:
    if size(path) != written["bytes"]:
        raise DamageError(path, f"has {size(path):,} bytes, and was written with {written['bytes']:,}")
    if (thorough or written["bytes"] <= _LARGE) and _or_damaged(path, lambda: _sha256(path)) != written["sha256"]:
        raise DamageError(path, "is not as it was written: its SHA-256 differs")


def _or_damaged(path: Path, read):
    try:
        return read()
    except PermissionError as error:
        raise InputError(f"{path} may not be read: change its permissions.") from error
    except OSError as error:
        if error.errno in _ABSENT:
            raise DamageError(path, "is missing") from error
        if error.errno in (errno.EIO, errno.EISDIR):
            raise DamageError(path, f"cannot be read: {error.strerror}") from error
        raise


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_LARGE):
            total.update(block)
    return total.hexdigest()


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _refuse(constant: str):
    raise ValueError(f"{constant} is no number of JSON")
