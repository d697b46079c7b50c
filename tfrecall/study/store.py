"""Where a study keeps its results: one folder a cell, which appears whole; failures and claims beside them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrecall.errors import InputError
from tfrecall.publishing import write_text
from tfrecall.study.cell import Cell
from tfrecall.study.plan import Plan, from_dict, to_dict

_MARK = "study.json"  # the plan that was run last; it also marks the folder as a study's


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
    def require_place(root: str | os.PathLike) -> None:
        """Raise InputError if a folder holds something else than a study."""
        root = Path(root)
        if root.exists() and not root.is_dir():
            raise InputError(f"{root} is a file, not a folder: choose another --output.")
        # Another runner may be writing the mark at this moment, or have been killed while it did.
        others = root.is_dir() and any(not path.name.startswith(f".{_MARK}-") for path in root.iterdir())
        if others and not (root / _MARK).exists():
            raise InputError(f"{root} holds something that is no study: choose another --output.")

    @classmethod
    def create(cls, root: str | os.PathLike, plan: Plan) -> Store:
        """Make the folder, or take one that is there, and remember the plan in it.

        Raises
        ------
        InputError
            If there is something else in the folder, or it cannot be written to.
        """
        root = Path(root)
        cls.require_place(root)
        try:
            write_text(root / _MARK, json.dumps(to_dict(plan), indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            raise InputError(f"{root} cannot be written to: choose another --output.") from error
        return cls(root)

    @classmethod
    def open(cls, root: str | os.PathLike) -> tuple[Store, Plan]:
        """Return the study in a folder, and the plan that was run there last.

        Raises
        ------
        InputError
            If there is none, or another version of tfrecall wrote it.
        """
        store = cls(Path(root))
        mark = store.root / _MARK
        again = f"`tfrecall study run plan.toml --output {root}`"
        if not mark.is_file():
            raise InputError(f"no study in {root}: run one with {again}.")
        try:
            return store, from_dict(json.loads(mark.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{mark} holds no plan ({error}): run one with {again}, which keeps what is done.") from error

    def path(self, key: str) -> Path:
        """Return the folder of a key."""
        return self.root / key

    def read(self, name: str) -> dict:
        """Return a JSON file below the root.

        Raises
        ------
        InputError
            If it is damaged, such as by a disk that was full.
        """
        path = self.root / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read: delete {path.parent} and run the study again.") from error

    def predictions(self, key: str) -> dict[str, np.ndarray]:
        """Return the predictions of a key: ``y_true`` and ``y_pred`` of a baseline, ``one_shot`` and ``after`` of a cell.

        Raises
        ------
        InputError
            If they are damaged.
        """
        path = self.path(key) / "predictions.npz"
        try:
            with np.load(path) as stored:
                return dict(stored)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} cannot be read: delete {path.parent} and run the study again.") from error

    def done(self, key: str) -> bool:
        """Say whether the results of a key are there."""
        return self.path(key).is_dir()

    def failed(self, cell: Cell) -> bool:
        """Say whether a cell, or the baseline that it needs, failed."""
        return not self.done(cell.key) and any(self._failure(key).exists() for key in (cell.key, cell.baseline_key))

    def settled(self, cell: Cell) -> bool:
        """Say whether there is nothing left to do for a cell: it is done, or it failed."""
        return self.done(cell.key) or self.failed(cell)

    def failures(self, plan: Plan) -> dict[str, dict]:
        """Return what is recorded of the failures in a plan's cells and baselines, by key."""
        keys = dict.fromkeys(key for cell in plan.cells for key in (cell.baseline_key, cell.key))
        found = {}
        for key in keys:
            if not self.done(key):
                with contextlib.suppress(FileNotFoundError):  # none, or another runner is trying again
                    found[key] = json.loads(self._failure(key).read_text(encoding="utf-8"))
        return found

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
        write_text(self._failure(key), json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def forget_failures(self, plan: Plan) -> None:
        """Forget the failures of a plan's cells, so that they are tried again."""
        for key in self.failures(plan):
            self._failure(key).unlink(missing_ok=True)

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Claim a key while the context lasts; give whether nobody else has it."""
        from filelock import FileLock, Timeout

        path = self._lock(key)
        path.parent.mkdir(parents=True, exist_ok=True)
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
        if not self._lock(key).exists():
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
