"""An output folder that is filled step by step, survives being stopped, and shows its files when they are finished.

What is finished is kept in ``OUTPUT/.partial``. Files appear in the output folder when all work is done; if some could not
be written, the others appear and ``.partial`` stays, so that the same work can go on later.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tfrecall.errors import IncompleteError, InputError
from tfrecall.publishing import (
    SCRATCH,
    make_folders,
    move_all,
    remove_folders,
    replacing,
    require_place,
    shown,
    whole,
)

#: the folder below an output folder that holds what is finished of an unfinished run
PARTIAL = ".partial"
# Its state has one of two names, since renaming needs no space on a full disk: nothing is in the output folder yet; or what
# is not in .partial is in the output folder.
_BEGUN, _PUBLISHED = "begun.json", "published.json"
_LOCK, _OLD = "lock", "replaced"


@dataclass
class Draft:
    """The files of one piece of work, from the first that is finished to the moment when all are in place.

    Attributes
    ----------
    folder : Path
        The output folder.
    names : tuple of str
        What is shown there in the end, as paths below it: all that is replaced in it.
    identity : dict
        JSON of what determines the result. Its ``contents``, if it has some, are hashes of files by path.
    going_on : bool
        Whether this continues what an earlier process began.
    problems : dict of str to str
        Why a file could not be written, by name.
    """

    folder: Path
    names: tuple[str, ...]
    identity: dict
    going_on: bool = False
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """The folder that holds what is finished and not shown yet."""
        return self.folder / PARTIAL

    def has(self, *names: str) -> bool:
        """Say whether files of this work are finished."""
        return all(map(self._has, names))

    def path(self, name: str) -> Path:
        """Return where a finished file is."""
        return self.place / name if (self.place / name).exists() else self.folder / name

    def write(self, name: str, make: Callable[[Path], object]) -> None:
        """Write a file or folder, whole or not at all, unless it is finished.

        A failure is recorded in `problems` and not raised: what has been computed must not be lost to it.

        Parameters
        ----------
        name : str
            Below the output folder.
        make : callable
            Writes to the path that it is called with.
        """
        if self.has(name):
            return
        try:
            self._begin()
            with whole(self.place, [name]) as scratch:
                (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                make(scratch / name)
        except Exception as error:  # such as a full disk, or a model that a format cannot hold
            self.problems[name] = _reason(error)

    def restart(self, *kept: str) -> None:
        """Drop what is finished except these files: what the rest was made from is made again, and the two must not mix."""
        if not self.going_on:
            return
        for path in self.place.iterdir():
            if path.name not in (_BEGUN, _PUBLISHED, _LOCK, *kept):
                _remove(path)
        if (self.place / _PUBLISHED).exists():
            for name in self.names:
                if name not in kept and os.path.lexists(self.folder / name):
                    _remove(self.folder / name)

    def publish(self) -> None:
        """Move what is finished into the output folder, all or nothing; the files of an earlier run that it replaces go.

        Raises
        ------
        IncompleteError
            If something could not be written or moved. What is finished is kept.
        """
        if self.going_on:
            ready = [name for name in self.names if (self.place / name).exists()]
            try:
                move_all(self._moves(ready))
            except OSError as error:
                self.problems |= dict.fromkeys(ready, _reason(error))
            for path in self.place.iterdir():
                if path.name == _OLD or (path.is_dir() and not any(part.is_file() for part in path.rglob("*"))):
                    shutil.rmtree(path, ignore_errors=True)
        if self.problems:
            raise IncompleteError(self._incomplete())
        self._clear()

    def _incomplete(self) -> str:
        results = [part for part in self.problems if any(f"{name}/".startswith(f"{part}/") for name in self.names)]
        missing = results or list(self.problems)  # what only a resumed run needs is no result
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        return (
            f"{shown(self.folder)} is incomplete, without {', '.join(missing[:4])}{more} ({self.problems[missing[0]]}): "
            "solve that, and --resume does what is missing."
        )

    def _has(self, name: str) -> bool:
        if not self.going_on:
            return False
        if (self.place / name).exists():
            return True
        pieces = [piece for piece in self.names if piece == name or piece.startswith(f"{name}/")]
        # A folder's pieces, such as SavedModel's assets, are not all there in each case; its first one is.
        return bool(pieces) and (self.place / _PUBLISHED).exists() and (self.folder / pieces[0]).exists()

    def _begin(self) -> None:
        """Put down what is being worked on, in place of what an earlier run that is given up had finished."""
        if self.going_on:
            return
        self._clear()
        with whole(self.place, [_BEGUN]) as scratch:
            (scratch / _BEGUN).write_text(json.dumps(self.identity, indent=2), encoding="utf-8")
        self.going_on = True

    def _moves(self, ready: Sequence[str]) -> Iterator[tuple[Path, Path]]:
        if (self.place / _BEGUN).exists():
            for name in self.names:
                if name not in ready and os.path.lexists(self.folder / name):
                    yield self.folder / name, self.place / _OLD / name
            yield self.place / _BEGUN, self.place / _PUBLISHED
        yield from replacing(self.place, self.folder, self.place / _OLD, ready)

    def _clear(self) -> None:
        """Remove what is in the place, the state first: without it the rest counts for nothing."""
        for path in (self.place / _BEGUN, self.place / _PUBLISHED):
            path.unlink(missing_ok=True)
        for path in self.place.iterdir():
            if path.name != _LOCK:
                _remove(path)
        self.going_on = False


@contextmanager
def drafting(
    folder: Path, names: Sequence[str], identity: dict, *, resume: bool = False, overwrite: bool = False
) -> Iterator[Draft]:
    """Open a draft for an output folder, after trying that it can be written to; nobody else can open it meanwhile.

    Parameters
    ----------
    folder : Path
        Made if it is missing, and removed again if nothing is finished in the end.
    names : sequence of str
        What will be shown there.
    identity : dict
        What determines the result, to be written as JSON.
    resume : bool
        Whether to continue an unfinished run of the same identity, if there is one.
    overwrite : bool
        Whether to replace the files of an earlier run, finished or not.

    Yields
    ------
    Draft

    Raises
    ------
    InputError
        If the folder cannot be used.
    """
    identity = json.loads(json.dumps(identity))
    _require_startable(folder, identity, resume, overwrite)
    made, alone = make_folders(folder), False
    draft = Draft(folder, tuple(names), identity)
    try:
        require_place(folder, names)
        made += make_folders(draft.place)
        _require_own(draft.place)
        with _locked(draft.place / _LOCK, folder):
            alone = True
            for leftover in (*draft.place.glob(f"{SCRATCH}*"), draft.place / _OLD):
                shutil.rmtree(leftover, ignore_errors=True)
            draft.going_on = resume and _require_startable(folder, identity, resume, overwrite)
            yield draft
    finally:
        if alone and unfinished(folder) is None:
            with suppress(OSError):
                (draft.place / _LOCK).unlink(missing_ok=True)
            made.append(draft.place)
        remove_folders(made)


def unfinished(folder: Path) -> dict | None:
    """Return the identity of the run whose finished parts are kept in an output folder; None if there is none."""
    place = folder / PARTIAL
    for name in (_BEGUN, _PUBLISHED):
        with suppress(OSError, ValueError):
            return dict(json.loads((place / name).read_text(encoding="utf-8")))
    return None


def require_free(folder: Path, overwrite: bool = False) -> None:
    """Raise InputError if there is something in an output folder, unless an earlier run's files may be replaced."""
    if overwrite or not os.path.isdir(folder):
        return
    if unfinished(folder) is not None:
        raise InputError(
            f"{shown(folder)} holds an unfinished run: continue it with --resume, or start over with --overwrite."
        )
    if any(path.name != PARTIAL for path in folder.iterdir()):
        raise InputError(
            f"{shown(folder)} is not empty: choose another --output, or replace an earlier run's files with --overwrite."
        )


def _require_startable(folder: Path, identity: dict, resume: bool, overwrite: bool) -> bool:
    """Say whether an unfinished run is to be continued; raise InputError if work can neither begin nor go on there."""
    begun = unfinished(folder) if resume else None
    if begun == identity:
        return True
    if begun is not None and not overwrite:
        before, now = ({**each, "contents": each.get("contents", {})} for each in (begun, identity))
        changed = next((path for path, hash_ in now["contents"].items() if before["contents"].get(path) != hash_), None)
        if changed is not None and {**before, "contents": now["contents"]} == now:
            raise InputError(f"{shown(changed)} has changed since the run began: start over with --overwrite.")
        raise InputError(
            f"{shown(folder)} holds an unfinished run with other settings ({_difference(begun, identity)}): "
            "resume it with its own, or start over with --overwrite."
        )
    require_free(folder, overwrite)
    return False


def _require_own(place: Path) -> None:
    """Raise InputError if a folder with the name of a draft's is something else: it would be emptied."""
    inside = {path.name for path in place.iterdir()}
    if inside and not inside & {_LOCK, _BEGUN, _PUBLISHED}:
        raise InputError(f"{shown(place)} is not of an unfinished run: move it away.")


def _difference(begun: dict, identity: dict) -> str:
    """Name the first value that differs, such as ``ratio 0.5, now 4``."""
    for name in (*begun, *identity):
        before, now = begun.get(name), identity.get(name)
        if isinstance(before, dict) and isinstance(now, dict) and before != now:
            return _difference(before, now)
        if before != now:
            return f"{name} {json.dumps(before)[:60]}, now {json.dumps(now)[:60]}"
    return "of another version"


@contextmanager
def _locked(path: Path, folder: Path) -> Iterator[None]:
    """Keep other processes out; the operating system lifts the lock when this one ends, however it ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"another process is writing to {shown(folder)}: wait for it, or choose another --output."
        ) from None
    except (OSError, NotImplementedError):  # a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _reason(error: Exception) -> str:
    """Return why something could not be written, in a part of a line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = line[:200] if isinstance(error, InputError) else f"{type(error).__name__}: {line[:160]}".removesuffix(": ")
    return text.rstrip(".")
