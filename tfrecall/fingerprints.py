"""Hashes of what files hold, by which one sees that they have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from tfrecall.errors import InputError


def of_files(root: Path, files: Iterable[Path], start: bytes = b"") -> str:
    """Return a hash of the contents of files, and of their paths below a folder.

    Parameters
    ----------
    root : Path
        The folder; or the file, if there is only one.
    files : iterable of Path
        At `root` or below it. Their order counts.
    start : bytes
        What is hashed before them.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    total = hashlib.sha256(start)
    for file in files:
        content = hashlib.sha256()
        try:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    content.update(block)
        except OSError as error:
            raise InputError(f"{file} cannot be read ({error.strerror}): check its permissions.") from error
        total.update(os.fsencode(file.relative_to(root)) + f"\0{content.hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def of_path(path: Path) -> str:
    """Return a hash of a file, or of all files in a folder; empty where neither is."""
    if path.is_dir():
        return of_files(path, sorted(file for file in path.rglob("*") if file.is_file()))
    return of_files(path, [path]) if path.is_file() else ""
