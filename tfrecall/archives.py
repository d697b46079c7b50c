"""Arrays from .npz files of any origin: nothing in them runs, and no memory is asked for that the file cannot fill."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

# deflate can shrink a run of equal bytes to this share, and no further
_DEFLATE_LIMIT = 1032


class ArchiveError(ValueError):
    """An .npz file cannot be read; the message is the reason, as part of a sentence."""


def read_arrays(path: Path, keys: Collection[str]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Read some arrays of an .npz file.

    Each array's declared shape is checked against the bytes that the file holds before memory is asked for.

    Parameters
    ----------
    path : Path
    keys : collection of str
        The arrays to read, if they are there.

    Returns
    -------
    names : list of str
        All arrays of the file.
    arrays : dict of str to numpy.ndarray
        Those of `keys` that are there.

    Raises
    ------
    ArchiveError
        With the reason, when the file cannot be read.
    """
    if not path.is_file():  # opening a pipe would wait, and reading a device never end
        raise ArchiveError("it is no regular file")
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            chosen = {key: members[key] for key in keys if key in members}
            _require_memory(sum(info.file_size for info in chosen.values()))
            size = os.fstat(stream.fileno()).st_size
            return list(members), {key: _array(archive, info, size) for key, info in chosen.items()}
    except ArchiveError:
        raise
    except Exception as error:  # whatever a damaged file makes zipfile, its decompressors and NumPy raise
        raise ArchiveError(_reason(error)) from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file_size: int) -> np.ndarray:
    """Return an array whose header declares as many bytes as the archive can hold of it."""
    _require_contents(info, file_size)
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        if version > (2, 0):
            raise ArchiveError(f"{info.filename} is no plain array")
        shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(stream)
        expected = math.prod(shape) * dtype.itemsize
        holds = info.file_size - stream.tell()
    if dtype.hasobject:
        raise ArchiveError(f"{info.filename} holds pickled objects, which are not loaded: save numbers or strings")
    if expected != holds or (dtype.itemsize == 0 and math.prod(shape) > 0) or min(shape, default=0) < 0:
        declared = f"{info.filename} declares {dtype} of the shape {shape}"[:150]
        raise ArchiveError(f"{declared}, {expected:.3g} bytes, but holds {holds} bytes")
    with archive.open(info) as stream:
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _require_contents(info: zipfile.ZipInfo, file_size: int) -> None:
    """Raise ValueError unless a member's compressed bytes can be in the file, and become as many as it declares."""
    most = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _DEFLATE_LIMIT}
    if info.compress_type not in most:
        raise ArchiveError(f"{info.filename} is compressed in a way that NumPy does not use: save it with numpy.savez")
    if info.compress_size > file_size or info.file_size > most[info.compress_type] * info.compress_size:
        raise ArchiveError(f"{info.filename} declares {info.file_size:,} bytes, more than the file can hold")


def _require_memory(needed: int) -> None:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system tells
        return
    if needed > memory:
        raise ArchiveError(f"its arrays need {needed / 2**30:.0f} GB, more than the {memory / 2**30:.0f} GB of this machine")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "its arrays do not fit into this machine's memory"
    if isinstance(error, RuntimeError) and "encrypted" in str(error):
        return "it is encrypted"
    return "it is truncated, or no .npz file"
