"""Files and folders that appear whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tfrecall.errors import InputError


@contextmanager
def whole(folder: str | os.PathLike, names: Sequence[str]) -> Iterator[Path]:
    """Give an empty folder to write into; at the end, move what has these names from there into `folder`, all or nothing.

    Parameters
    ----------
    folder : path-like
        Made if it is missing. What else is in it stays.
    names : sequence of str
        Files and folders to move, replacing those that are there; paths below the folder.

    Yields
    ------
    Path
        A temporary folder on the same file system, gone afterwards.
    """
    folder = Path(folder).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        yield new
        _flush(new)
        if folder.exists():
            _swap(new, folder, old, [name for name in names if (new / name).exists()])
        else:
            new.rename(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, replacing what is there: at every moment there is the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        new = Path(scratch) / path.name
        new.write_text(text, encoding="utf-8")
        _flush(Path(scratch))
        os.replace(new, path)


def require_place(folder: Path, names: Sequence[str]) -> None:
    """Raise InputError unless these files (with a suffix) and folders (without) could be moved into a folder."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not there.is_dir():
        raise InputError(f"{there} is a file, not a folder: choose another --output.")
    try:
        TemporaryDirectory(prefix=".tfrecall-", dir=there).cleanup()  # what permissions say is not all that counts
    except OSError as error:
        raise InputError(f"{there} cannot be written to: choose another --output.") from error
    for place in (folder / part for name in names for part in (Path(name), *Path(name).parents[:-1])):
        if place.exists() and place.is_dir() == bool(place.suffix):
            kinds = ("file", "folder") if place.suffix else ("folder", "file")
            raise InputError(f"{place} is a {kinds[1]}, where a {kinds[0]} is to be written: move it away.")


def _flush(folder: Path) -> None:
    """Have a folder's files written to the disk, so that after a power failure a name never stands for half a file."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())


def _swap(new: Path, folder: Path, old: Path, names: Sequence[str]) -> None:
    moved: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        moved.append((source, target))

    try:
        for name in names:
            if (folder / name).exists():
                move(folder / name, old / name)
            move(new / name, folder / name)
    except BaseException:
        for source, target in reversed(moved):
            target.rename(source)
        raise
