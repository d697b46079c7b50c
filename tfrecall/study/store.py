"""Where a study keeps its results: one folder a cell, which appears whole; failures and claims beside them."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfrecall.errors import InputError
from tfrecall.publishing import SCRATCH, expanded, output_path, require_place, write_text
from tfrecall.study import manifest
from tfrecall.study.cell import Cell
from tfrecall.study.plan import Plan, from_dict, to_dict

if TYPE_CHECKING:
    import numpy as np

#: what a study's folder consists of
FOLDERS = ("baselines", "cells", "failed", "locks", "logs")

_MARK = "study.json"  # the plan that was run last; it also marks the folder as a study's
_KEY = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Store:
    """A study's folder.

    A key such as ``cells/0123456789abcdef`` names a folder of results below `root`; ``failed/KEY.json`` holds the error of
    one that failed, and ``locks/KEY`` is locked by whoever works on it. The operating system lifts a lock when its process
    ends, however it ends.

    Attributes
    ----------
    root : Path
    """

    root: Path

    @staticmethod
    def require_place(root: str | os.PathLike) -> Path:
        """Return a folder with ``~`` expanded; raise InputError if it holds no study, or cannot be written to."""
        root = output_path(root)
        if root.exists() and not root.is_dir():
            raise InputError(f"{root} is a file, not a folder: choose another --output.")
        # Another runner may be writing the mark at this moment, or have been killed while it did.
        others = root.is_dir() and any(not path.name.startswith((f".{_MARK}-", SCRATCH)) for path in root.iterdir())
        if others and not os.path.lexists(root / _MARK) and not _has_results(root):
            raise InputError(f"{root} holds something that is no study: choose another --output.")
        require_place(root, [])
        return root

    @classmethod
    def create(cls, root: str | os.PathLike, plan: Plan) -> Store:
        """Make the folder, or take one that is there, and remember the plan in it.

        Raises
        ------
        InputError
            If there is something else in the folder, or it cannot be written to.
        """
        root = cls.require_place(root)
        store = cls(root)
        try:
            if (root / _MARK).is_dir():
                store.set_aside(_MARK)
            content = manifest.sealed(to_dict(plan))
            write_text(root / _MARK, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise InputError(f"no space is left for {root}: free some, or choose another --output.") from error
            raise InputError(f"{root} cannot be written to ({error.strerror}): choose another --output.") from error
        return store

    @classmethod
    def open(cls, root: str | os.PathLike, plan: Plan | None = None) -> tuple[Store, Plan]:
        """Return the study in a folder, and the plan that was run there last, or the one that is given.

        Raises
        ------
        InputError
            If there is no study, or its plan is needed and damaged.
        """
        store = cls(Path(expanded(root)))
        mark = store.root / _MARK
        again = f"`tfrecall study run plan.toml --output {root}`"
        if plan is not None and (os.path.lexists(mark) or _has_results(store.root)):
            return store, plan
        if not os.path.lexists(mark):
            if _has_results(store.root):
                raise InputError(f"{mark} is missing: {again} writes it again, and keeps what is done.")
            raise InputError(f"no study in {root}: run one with {again}.")
        try:
            content = manifest.read_json(mark)
            # Version 0.1 wrote no checksum here, and no manifests.
            if "sha256" in content or any(store.root.glob(f"*/*/{manifest.NAME}")):
                content = manifest.unsealed(mark, content)
            return store, from_dict(content)
        except manifest.DamageError as error:
            raise InputError(
                f"{mark} holds no plan ({error.reason}): run one with {again}, which keeps what is done."
            ) from error
        except ValueError as error:
            raise InputError(f"{mark} holds no plan ({error}): run one with {again}, which keeps what is done.") from error

    def path(self, key: str) -> Path:
        """Return the folder of a key."""
        return self.root / key

    def read(self, name: str) -> dict:
        """Return a JSON file below the root.

        Raises
        ------
        DamageError
            If it is none.
        """
        return manifest.read_json(self.root / name)

    def predictions(self, key: str) -> dict[str, np.ndarray]:
        """Return the predictions of a key: ``y_true`` and ``y_pred`` of a baseline, ``one_shot`` and ``after`` of a cell.

        Raises
        ------
        DamageError
            If they are.
        """
        names = ("one_shot", "after") if key.startswith("cells/") else ("y_true", "y_pred")
        return manifest.read_predictions(self.path(key) / "predictions.npz", names)

    def exists(self, key: str) -> bool:
        """Say whether there is anything, of whatever kind, where the results of a key belong."""
        return os.path.lexists(self.path(key))

    def done(self, key: str) -> bool:
        """Say whether the results of a key are there; `tfrecall.study.inspection.inspect` says whether they are whole."""
        return self.path(key).is_dir() and not self.path(key).is_symlink()

    def set_aside(self, name: str) -> Path:
        """Move what is damaged out of the way, into ``damaged``; returns where it is now."""
        place = self.root / "damaged"
        place.mkdir(exist_ok=True)
        plain = name.replace("/", "-")
        free = (place / f"{plain}{suffix}" for suffix in itertools.chain([""], (f"-{n}" for n in itertools.count(2))))
        target = next(path for path in free if not os.path.lexists(path))
        shutil.move(self.root / name, target)  # `cells` may be a link to another disk
        return target

    def failed(self, cell: Cell) -> bool:
        """Say whether a cell, or the baseline that it needs, failed."""
        return not self.done(cell.key) and any(self._failure(key).exists() for key in (cell.key, cell.baseline_key))

    def settled(self, cell: Cell) -> bool:
        """Say whether there is nothing left to do for a cell: it and its baseline are done, or failed."""
        if self.done(cell.key):
            return self.done(cell.baseline_key) or self._failure(cell.baseline_key).exists()
        return self.failed(cell)

    def failures(self, plan: Plan) -> dict[str, dict]:
        """Return what is recorded of the failures in a plan's cells and baselines, by key."""
        keys = dict.fromkeys(key for cell in plan.cells for key in (cell.baseline_key, cell.key))
        found = {}
        for key in keys:
            if not self.done(key):
                path = self._failure(key)
                if os.path.lexists(path):
                    found[key] = _read_failure(path)
        return {key: failure for key, failure in found.items() if failure}

    def fail(self, key: str, what: str, error: str, details: str) -> None:
        """Record that a key failed.

        Parameters
        ----------
        key : str
        what : str
            The cell in words.
        error : str
            The error in one line.
        details : str
            Its traceback, or what the process printed.
        """
        content = {"what": what, "error": error, "details": details}
        if self._failure(key).is_dir():
            _remove(self._failure(key))
        write_text(self._failure(key), json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def forget_failures(self, plan: Plan) -> None:
        """Forget the failures of a plan's cells, so that they are tried again."""
        for key in self.failures(plan):
            _remove(self._failure(key))

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Claim a key while the context lasts; give whether nobody else has it."""
        from filelock import FileLock, Timeout

        path = self._lock(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and not path.is_file():
            _remove(path)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            # Whoever was killed while writing left this behind; the claim says that nobody writes there now.
            for left in self.path(key).parent.glob(f".{self.path(key).name}-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield True
        finally:
            lock.release()

    def claimed(self, key: str) -> bool:
        """Say whether somebody works on a key; in a folder that may only be read it cannot be told, and none is seen."""
        if not self._lock(key).is_file():
            return False
        try:
            with self.claim(key) as mine:
                return not mine
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return False
            raise

    def _lock(self, key: str) -> Path:
        return self.root / "locks" / key.replace("/", "-")

    def _failure(self, key: str) -> Path:
        return self.root / "failed" / f"{key.replace('/', '-')}.json"


def _has_results(root: Path) -> bool:
    """Say whether a folder holds results of a study, with or without its plan."""
    kinds = (root / kind for kind in ("cells", "baselines"))
    return any(_KEY.fullmatch(path.name) and path.is_dir() for kind in kinds if kind.is_dir() for path in kind.iterdir())


def _read_failure(path: Path) -> dict | None:
    """Return what is recorded of a failure; None if another runner is trying again, and has taken it away."""
    try:
        content = manifest.read_json(path)
        return {name: str(content[name]) for name in ("what", "error", "details")}
    except (manifest.DamageError, KeyError) as error:
        if not os.path.lexists(path):
            return None
        why = error.reason if isinstance(error, manifest.DamageError) else f"lacks {error}"
        return {"what": path.stem, "error": f"its record {path} {why}", "details": ""}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
