"""Files and folders that appear whole or not at all: written to a scratch folder, then renamed into place.

The scratch folder lies in the output folder itself where that exists: on the same file system, even if it is a mount point.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tfrecall.errors import InputError

#: how the names of scratch folders begin; a killed process may leave one behind
SCRATCH = ".tfrecall-"
_PROBE = "x" * 200  # longer than any path that is written below an output folder
_LONGEST_NAME = 255  # bytes of a file's or folder's name, on every file system in use
_SHOWN = 80  # characters of a path in a message


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
        A temporary folder on the same file system, gone afterwards: inside `folder`, or beside it if `folder` is missing, so
        that it appears with its content.
    """
    folder = Path(folder).absolute()
    inside = folder.exists()
    if not inside:
        folder.parent.mkdir(parents=True, exist_ok=True)
    place, prefix = (folder, SCRATCH) if inside else (folder.parent, f".{folder.name}-")
    with TemporaryDirectory(prefix=prefix, dir=place) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        yield new
        flush(new)
        if folder.exists():
            move_all(replacing(new, folder, old, [name for name in names if (new / name).exists()]))
        else:
            new.rename(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, replacing what is there: at every moment there is the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        new = Path(scratch) / path.name
        new.write_text(text, encoding="utf-8")
        flush(Path(scratch))
        os.replace(new, path)


def expanded(path: str | os.PathLike) -> str:
    """Return a path, or a name in its place, with ``~`` expanded as a shell does it: ``./~`` is a file of that name.

    Raises
    ------
    InputError
        If it is empty, no file can have this name, its home folder is unknown, or a pipe or a device is there.
    """
    text = os.fsdecode(path)
    if not text.strip() or "\0" in text:
        raise InputError(f"expected a name or a path; got {shown(text)!r}.")
    text = _at_home(text)
    if any(len(os.fsencode(name)) > _LONGEST_NAME for name in text.split(os.sep)):
        raise InputError(f"{shown(text)}: a file's name may have {_LONGEST_NAME} bytes at most.")
    try:
        mode = os.stat(text).st_mode
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):  # nothing can be read or written there
            raise InputError(f"{shown(text)}: {error.strerror}.") from error
        return text  # whoever reads the path says what is wrong with it
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a pipe would be waited for, a device never ends
        raise InputError(f"{shown(text)} is a pipe or a device; expected a file or a folder.")
    return text


def output_path(path: str | os.PathLike) -> Path:
    """Return an output path with ``~`` expanded.

    Raises
    ------
    InputError
        If no file or folder can have this name, or TensorFlow cannot write there because the name is not UTF-8.
    """
    text = os.fsdecode(path)
    if not text:
        raise InputError("--output is empty: name a file or folder, or leave --output out.")
    if "\0" in text:
        raise InputError(f"--output {text[:_SHOWN]!r} contains a NUL character: choose another name.")
    text = _at_home(text)
    absolute = os.path.abspath(text)
    if not _is_utf8(absolute):
        raise InputError(
            f"{shown(absolute)!a} is not a UTF-8 path, which TensorFlow cannot write to: choose another --output."
        )
    if any(len(os.fsencode(name)) > _LONGEST_NAME for name in text.split(os.sep)):
        raise InputError(f"{shown(text)} is too long a path for any file system: choose a shorter --output.")
    return Path(text)


def _at_home(text: str) -> str:
    home = os.path.expanduser(text)
    if text.startswith("~") and home == text:
        raise InputError(f"'{shown(text)}' is in the home of a user that does not exist: write the path out.")
    return home


def require_own_folder(folder: Path) -> None:
    """Raise InputError if a folder is the current one or one above it, where a run's files would lie among others."""
    resolved, current = Path(os.path.realpath(folder)), Path.cwd()
    if resolved == current or resolved in current.parents:
        place = "the root folder" if resolved == resolved.parent else "the current folder, or one above it"
        raise InputError(f"{shown(folder)} is {place}: name a folder of its own with --output, such as runs/first.")


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and what is missing above it; returns those that were made, outermost first.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            made.append(path)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
    except (OSError, ValueError) as error:
        remove_folders(made)
        raise _cannot_write(folder, error) from error
    return made


def remove_folders(folders: Sequence[Path]) -> None:
    """Remove folders that are empty, the last first."""
    for path in reversed(folders):
        with suppress(OSError):
            path.rmdir()


def require_place(folder: Path, names: Sequence[str]) -> None:
    """Raise InputError unless these files (with a suffix) and folders (without) can be written to a folder.

    What permissions say is not all that counts, so it is tried: the folder is made if it is missing, a file is written where
    `whole` will write, and all of that is removed again.
    """
    made = make_folders(folder)
    try:
        above = {part for name in names for part in Path(name).parents if (folder / part).is_dir()}
        for place in sorted(folder / part for part in above | {Path()}):
            _try_writing(place)
    finally:
        remove_folders(made)
    for place in (folder / part for name in names for part in (Path(name), *Path(name).parents[:-1])):
        if place.exists() and place.is_dir() == bool(place.suffix):
            kinds = ("file", "folder") if place.suffix else ("folder", "file")
            raise InputError(f"{shown(place)} is a {kinds[1]}, where a {kinds[0]} is to be written: move it away.")


def shown(path: str | os.PathLike) -> str:
    """Return a path for a message: the end of a very long one."""
    text = os.fsdecode(path)
    return text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}"


def flush(folder: Path) -> None:
    """Have a folder's files written to the disk, so that after a power failure a name never stands for half a file."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())


def replacing(new: Path, folder: Path, old: Path, names: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Yield the moves that replace files of a folder by new ones, as (from, to); the replaced ones go to `old`."""
    for name in names:
        if os.path.lexists(folder / name):
            yield folder / name, old / name
        yield new / name, folder / name


def move_all(moves: Iterator[tuple[Path, Path]]) -> None:
    """Make moves one after the other, or none of them: if one fails, those before it are undone."""
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(source, target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            _move(target, source)
        raise


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A mount point or a link to one below the output folder, or a folder in a lower layer of a container.
        with TemporaryDirectory(prefix=SCRATCH, dir=target.parent) as scratch:
            copy = Path(scratch) / target.name
            if source.is_dir() and not source.is_symlink():
                shutil.copytree(source, copy, symlinks=True)
            else:
                shutil.copy2(source, copy, follow_symlinks=False)
            flush(Path(scratch))
            copy.rename(target)
        if source.is_dir() and not source.is_symlink():
            shutil.rmtree(source)
        else:
            source.unlink()


def _try_writing(folder: Path) -> None:
    try:
        with TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
            probe = Path(scratch) / _PROBE
            with probe.open("wb") as stream:
                stream.write(bytes(4096))
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: Exception) -> InputError:
    """Return the error for a folder that cannot be made or written to."""
    if getattr(error, "errno", None) == errno.ENAMETOOLONG:
        return InputError(f"{shown(folder)} is too long a path for this file system: choose a shorter --output.")
    there = next((path for path in (folder, *folder.absolute().parents) if os.path.exists(path)), folder)
    if not there.is_dir():
        kind = "a file, not a folder" if there.is_file() else "no folder"
        return InputError(f"{shown(there)} is {kind}: choose another --output.")
    reason = f" ({error.strerror})" if getattr(error, "strerror", None) else ""
    return InputError(f"{shown(there)} cannot be written to{reason}: choose another --output.")


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
