"""What an image folder holds, by names alone: no image is decoded, and no disk is walked that is no data set."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tfrecall.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_MAGIC = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
)  # of files without an ending; BMP's is too short

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
_SPLIT_NAMES = {name for names in _SPLITS.values() for name in names}

# What operating systems and archivers leave, besides names with a dot in front.
_SYSTEM = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "icon\r"}

# How many files and folders of a class are looked at before one of them must have been an image.
_LOOK = 10_000


@dataclass(frozen=True)
class Listing:
    """The images of a folder by split and class.

    Attributes
    ----------
    class_names : tuple of str
        The names of the training folders, in the order of their code points, as in Keras.
    train : list of list of str
        ``train[class][image]``, paths in Keras's order: by folder, then by name.
    validation, test : list of list of str, or None
        Alike, where they have folders of their own.
    left_out : Counter of str
        How many of what lies there and is not used. What operating systems leave does not count.
    """

    class_names: tuple[str, ...]
    train: list[list[str]]
    validation: list[list[str]] | None = None
    test: list[list[str]] | None = None
    left_out: Counter = field(default_factory=Counter)

    @property
    def files(self) -> list[str]:
        """The paths of all images that are used."""
        return [path for part in (self.train, self.validation, self.test) if part for paths in part for path in paths]


def list_folder(root: Path) -> Listing:
    """List a folder of class folders, or one with such a folder in ``train`` and perhaps ``validation`` and ``test``.

    Parameters
    ----------
    root : Path
        A folder. Names of splits may be in capitals, and ``val``, ``valid``, ``training`` and ``testing``. Without ``test``
        the validation folder is the test set. Images may lie in sub-folders of a class folder; links are followed to
        files and class folders, but not below.

    Returns
    -------
    Listing

    Raises
    ------
    InputError
        When it holds fewer than two classes, a class without training images, or a test set with another class.
    """
    left_out: Counter = Counter()
    splits = _split_folders(root, left_out)
    train = splits.get("train", os.fspath(root))
    classes = _class_folders(train, left_out)
    if len(classes) < 2:
        raise InputError(
            f"{train}: expected a folder for each class, two or more, found {len(classes)}: arrange the images as "
            "CLASS/IMAGE."
        )
    if _SPLIT_NAMES.issuperset(map(str.lower, classes)):
        raise InputError(f"{train}: {' and '.join(classes)} are no classes: arrange the images as train/CLASS/IMAGE.")
    for folder in classes.values():  # all of them before any is listed, which may take long
        if not any(_is_image(entry) for entry in islice(_entries_below(folder), _LOOK)):
            raise InputError(
                f"{folder}: no images ({', '.join(SUFFIXES)}): give a folder whose folders are classes with images."
            )
    parts = {part: _other_part(folder, classes, left_out) for part, folder in splits.items() if part != "train"}
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
    return Listing(tuple(classes), [_images(folder, left_out) for folder in classes.values()], **parts, left_out=left_out)


def _split_folders(root: Path, left_out: Counter) -> dict[str, str]:
    """Return the folder of each split; nothing if the root's own folders are the classes."""
    folders = {entry.name: entry.path for entry in _visible(root) if _is_folder(entry)}
    by_lower = {name.lower(): path for name, path in folders.items()}
    splits = {}
    for part, names in _SPLITS.items():
        paths = [by_lower[name] for name in names if name in by_lower]
        if paths:
            splits[part] = paths[0]
    # A folder named train that holds images and no folders is a class: of pictures of trains.
    if "train" not in splits or not any(_is_folder(entry) for entry in _visible(splits["train"])):
        return {}
    unused = sorted(name for name, path in folders.items() if path not in splits.values())
    if unused:
        left_out[f"folders beside train: {', '.join(unused[:3])}{', …' if len(unused) > 3 else ''}"] += len(unused)
    return splits


def _class_folders(folder: str, left_out: Counter) -> dict[str, str]:
    """Return the path of each class folder by its name, sorted."""
    real = os.path.realpath(folder)
    classes = {}
    for entry in _visible(folder):
        if _is_folder(entry):
            if entry.is_symlink() and os.path.commonpath([real, target := os.path.realpath(entry.path)]) == target:
                left_out["links to a folder that holds the data set itself"] += 1
            else:
                classes[_encodable(entry)] = entry.path
        elif _is_image(entry):
            left_out["images outside the class folders"] += 1
    return dict(sorted(classes.items()))


def _encodable(entry: os.DirEntry) -> str:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{printable(entry.path)}: the name of a class folder must be UTF-8, since it is the class's name: rename it."
        ) from None
    return entry.name


def _other_part(folder: str, classes: dict[str, str], left_out: Counter) -> list[list[str]]:
    """Return ``files[class][image]`` of a validation or test folder; a class may have none."""
    own = _class_folders(folder, left_out)
    extra = sorted(set(own) - set(classes))
    if extra:
        raise InputError(f"{folder}: class {extra[0]} is not among the training classes: move or remove it.")
    files = [_images(own[name], left_out) if name in own else [] for name in classes]
    if not any(files):
        raise InputError(f"{folder}: no images ({', '.join(SUFFIXES)}) in class folders: add some or remove it.")
    return files


def _images(folder: str, left_out: Counter) -> list[str]:
    by_folder: dict[str, list[str]] = {}
    for entry in _entries_below(folder):
        if _is_image(entry):
            by_folder.setdefault(os.path.dirname(entry.path), []).append(entry.path)
        else:
            left_out[_kind(entry)] += 1
    return [path for _, paths in sorted(by_folder.items()) for path in sorted(paths)]


def _entries_below(folder: str) -> Iterator[os.DirEntry]:
    """Yield everything below a folder but its real folders, the nearest first. No link to a folder is followed."""
    pending = deque([folder])
    while pending:
        for entry in _visible(pending.popleft()):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            else:
                yield entry


def _visible(folder: str | os.PathLike) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] != "." and entry.name.lower() not in _SYSTEM:
                    yield entry
    except OSError as error:
        raise InputError(f"{printable(os.fspath(folder))} cannot be read ({error.strerror}): change or move it.") from None


def _is_image(entry: os.DirEntry) -> bool:
    """Return whether an entry is a regular file, or a link to one, that its ending or its first bytes say is an image."""
    ending = os.path.splitext(entry.name)[1].lower()
    if ending:
        return ending in SUFFIXES and _is_file(entry)
    return _is_file(entry) and _starts_like_an_image(entry)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to something that may not be looked at
        return False


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _starts_like_an_image(entry: os.DirEntry) -> bool:
    try:
        if entry.stat().st_size == 0:  # reading such files of the system may never end
            return False
        with open(entry.path, "rb") as stream:
            return stream.read(4).startswith(_MAGIC)
    except OSError:
        return False


def _kind(entry: os.DirEntry) -> str:
    if _is_folder(entry):
        return "linked folders"
    if not _is_file(entry):
        return "broken links and special files"
    ending = os.path.splitext(entry.name)[1].lower()
    return f"{ending} files" if ending else "files without an ending that are no images"


def printable(path: str) -> str:
    """Return a path that can be printed and written as UTF-8, whatever bytes are in it."""
    return path.encode("utf-8", "backslashreplace").decode()
