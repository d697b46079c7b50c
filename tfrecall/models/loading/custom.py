"""Layers of one's own, named as ``module:object``, for the files that need them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfrecall.errors import InputError
from tfrecall.models.loading.failures import essence


def named_objects(names: Sequence[str]) -> dict[str, Any]:
    """Import the classes and functions that a model file may name besides those of Keras.

    To name an object is to trust it, and its module, which is imported; nothing else that the file names is trusted by it.

    Parameters
    ----------
    names : sequence of str
        Each ``module:object``: a module that can be imported from the current folder or the environment, or the path of a
        ``.py`` file; and in it a class, a function, or a dictionary of them by their names in the file.

    Returns
    -------
    dict of str to class or function
        By their names in the file: the names under which they are registered with Keras, if they are, and their own.

    Raises
    ------
    InputError
        If a name has another form, or there is no such module or object.

    Examples
    --------
    >>> named_objects(["keras.layers:Dense"])
    {'Dense': <class 'keras.src.layers.core.dense.Dense'>}
    """
    if isinstance(names, str):
        raise InputError(f"custom objects are named by a list; got the text {names!r}: write [{names!r}].")
    objects: dict[str, Any] = {}
    for name in names:
        objects.update(_named(name))
    return objects


@contextmanager
def custom_scope(objects: Mapping[str, Any]) -> Iterator[None]:
    """Let both Kerases copy and save models that are made of custom objects, while this lasts."""
    if not objects:
        yield
        return
    import keras
    import tf_keras

    with keras.saving.custom_object_scope(dict(objects)), tf_keras.saving.custom_object_scope(dict(objects)):
        yield


def _named(name: str) -> dict[str, Any]:
    place, colon, attribute = name.rpartition(":")
    if not (colon and place and attribute):
        raise InputError(f"--custom needs MODULE:OBJECT, such as layers.py:Scale or my_package.layers:Scale; got '{name}'.")
    thing: Any = _module(place)
    for part in attribute.split("."):
        if not hasattr(thing, part):
            raise InputError(f"--custom {name}: {place} has no {attribute}.")
        thing = getattr(thing, part)
    if isinstance(thing, Mapping):
        wrong = [key for key, value in thing.items() if not (isinstance(key, str) and callable(value))]
        if wrong:
            raise InputError(
                f"--custom {name}: expected a dictionary of classes and functions by name; {wrong[0]!r} is none."
            )
        return dict(thing)
    if not callable(thing):
        raise InputError(
            f"--custom {name}: expected a class, a function or a dictionary of them; got {type(thing).__name__}."
        )
    return dict.fromkeys([getattr(thing, "__name__", attribute), *_registered_names(thing)], thing)


def _registered_names(thing) -> list[str]:
    """Return the names under which the object is registered, in the Kerases that are imported: no other can know it."""
    libraries = (sys.modules.get(name) for name in ("keras", "tf_keras"))
    return [library.saving.get_registered_name(thing) for library in libraries if hasattr(library, "saving")]


def _module(place: str):
    path = Path(place)
    try:
        if path.suffix == ".py":
            if not path.is_file():
                raise InputError(f"--custom: no file {place}.")
            return _import_file(path.resolve())
        folder = str(Path.cwd())
        if folder not in sys.path and "" not in sys.path:
            sys.path.append(folder)  # last, so that nothing here takes the place of an installed module
            importlib.invalidate_caches()
        return importlib.import_module(place)
    except InputError:
        raise
    except Exception as error:  # whatever the module raises
        raise InputError(f"--custom: {place} cannot be imported: {type(error).__name__}: {essence(error)}") from error


def _import_file(path: Path):
    """Import a file, once, under a name of its own: `queue.py` must not take the place of a standard module."""
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    name = f"{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
