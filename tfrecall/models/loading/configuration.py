"""What a file's configuration builds, decided here: every object in it is looked up in the lists of `harmless` alone.

Keras looks a name up in several fields, modules and registries, and falls back from one to the next; a check that reads the
same fields in another order can be fooled. So the configuration is not checked but written anew. Each object gets a name
that only the registry made here knows, and the fields by which Keras could find anything else are left out.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from typing import Any

from tfrecall.errors import InputError
from tfrecall.models.loading import harmless

# What the registry's names begin with. A string in a file that begins so could pass for one of them.
_MARK = "tfrecall.models.loading:"
# Fields of an object that the loaders need beside its class and configuration. Others could name objects (compile_config).
_FIELDS = ("name", "inbound_nodes", "shared_object_id", "build_config", "__passive_serialization__")
# Values that are written as objects, in .keras files and in older ones.
_VALUES = {
    "__tensor__",
    "__numpy__",
    "__keras_tensor__",
    "__bytes__",
    "__ellipsis__",
    "__slice__",
    "__tuple__",
    "TensorShape",
}
_DTYPE = re.compile(r"(bool|u?int(2|4|8|16|32|64)|b?float(8\w*|16|32|64)|complex(64|128)|string)")
# The keys under which a string names an object, and the strings that may stand there.
_IDENTIFIERS = {
    "activation": harmless.ACTIVATIONS | harmless.ACTIVATION_LAYERS,
    "initializer": harmless.INITIALIZERS,
    "regularizer": harmless.REGULARIZERS,
    "constraint": harmless.CONSTRAINTS,
}
# The keys under which layers stand. By a string there tf_keras would build any class that it knows, with its defaults.
_LAYER_LISTS = {"layers", "cells"}
_LAYER_KEYS = {"layer", "cell", "forward_layer", "backward_layer", *_LAYER_LISTS}
_OPERATION_LAYERS = ("TFOpLambda", "SlicingOpLambda")
# Packages whose registered classes are not the user's, because importing tfrecall imports them.
_NOT_THE_USERS = {"keras", "tf_keras", "tensorflow", "tensorflow_model_optimization", "tensorflow_datasets", "tfrecall"}
# What the layers that hold code are called in messages.
_CODE = {
    "Lambda": "a Lambda layer",
    "__lambda__": "a lambda function",
    **{
        name: f"a {name} layer"
        for name in (
            "ClassMethod",
            "FlaxLayer",
            "InstanceMethod",
            "JaxLayer",
            "TFSMLayer",
            "TensorFlowOpLayer",
            "TorchModuleWrapper",
        )
    },
}


class RefusedError(InputError):
    """A configuration names something that could run code.

    Attributes
    ----------
    missing : str or None
        The class or function, where the user could name it as a custom object.
    """

    def __init__(self, reason: str, missing: str | None = None):
        super().__init__(reason)
        self.missing = missing


class Rewriter:
    """Writes a configuration anew, with every object in it looked up.

    Parameters
    ----------
    library : module
        ``keras`` or ``tf_keras``: the library that will build the model.
    custom_objects : mapping of str to object, optional
        Classes and functions that may be named besides the harmless ones.

    Attributes
    ----------
    registry : dict
        What to load the rewritten configuration with, as custom objects: the objects that it names, by their new names, and
        the custom objects by their own.
    """

    def __init__(self, library, custom_objects: Mapping[str, Any] | None = None):
        self.library = library
        self.custom_objects = dict(custom_objects or {})
        self.registry: dict[str, Any] = dict(self.custom_objects)

    def model(self, config: dict) -> dict:
        """Return the configuration of a model that names nothing but what is in the registry.

        Parameters
        ----------
        config : dict
            As parsed from JSON.

        Raises
        ------
        RefusedError
            If it names anything else.
        InputError
            If it makes no sense.
        """
        if not isinstance(config, dict) or "class_name" not in config:
            raise InputError("its configuration names no class.")
        return self._object(config, "", root=True)

    def rewrite(self, config, key: str = ""):
        """Return a part of a configuration, which stands under a key, rewritten in the same way."""
        if isinstance(config, list):
            return [self.rewrite(part, key if key in _LAYER_LISTS else "") for part in config]
        if isinstance(config, str):
            return self._string(config, key)
        if not isinstance(config, dict):
            return config
        if "class_name" in config:
            return self._object(config, key)
        self._refuse_code(config)
        return {name: self.rewrite(part, name) for name, part in config.items() if name != "compile_config"}

    def _string(self, text: str, key: str) -> str:
        if text.startswith(_MARK):
            raise InputError(f"its configuration holds a name that tfrecall keeps for itself: {text[:80]}.")
        if key == "vocabulary":
            raise RefusedError(f"read the file {text} on loading")
        if key in _LAYER_KEYS:
            raise InputError(f"its configuration has the string '{text[:80]}' where it needs a layer ({key}).")
        for kind, names in _IDENTIFIERS.items():
            if key.endswith(kind) and text not in names:
                return self._register(text, self._custom(text) or self._custom_by_end(text) or self._unknown(text, None))
        if self._registered(text) is not None:  # Keras may take any string for the name of a registered object
            self.registry[text] = self._custom(text) or self._unknown(text, None)
        return text

    def _object(self, node: dict, key: str, root: bool = False) -> dict:
        name = node["class_name"]
        if not isinstance(name, str):
            raise InputError(f"its configuration names a class by {type(name).__name__}, not by a string.")
        if name in _VALUES:
            return self._value(node)
        self._refuse_code(node)
        inner = node.get("config")
        if name == "function":
            function = self._register(str(inner), self._function(node))
            return {"class_name": "function", "module": _MARK, "config": function, "registered_name": function}
        cls = self._class(node, key)
        if self._is_operation(cls):
            _require_harmless_call(node, name)
        new = {"class_name": self._register(name, cls), "config": self.rewrite(inner)}
        new |= {field: self.rewrite(node[field]) for field in _FIELDS if field in node}
        if "module" in node:  # without it a node is of the older format
            new |= {"module": _MARK, "registered_name": new["class_name"]}
        if not root and self.library.__name__ == "tf_keras" and _root(cls) == "tf_keras":
            new.pop("build_config", None)  # tf_keras does not use it where it knows the class; names of weights depend on it
        return new

    def _value(self, node: dict) -> dict:
        """Copy a tensor, array, tuple or the like, which stands for its content alone."""
        inner = node.get("config")
        if isinstance(inner, dict) and "dtype" in inner and not _DTYPE.fullmatch(str(inner["dtype"])):
            raise InputError(f"its configuration holds an array of the unknown type {str(inner['dtype'])[:80]}.")
        return {name: part if name == "class_name" else self.rewrite(part) for name, part in node.items()}

    def _refuse_code(self, node: dict) -> None:
        if any(key.endswith("_type") and value == "lambda" for key, value in node.items()):
            raise RefusedError("run code on loading (it holds the code of a Lambda or wrapper)")

    def _class(self, node: dict, key: str):
        name, module = node["class_name"], node.get("module")
        registered = node.get("registered_name")
        custom = self._custom(registered, name)
        if custom is not None:
            return custom
        if not isinstance(module, str):
            module = ""
        cls = None
        if not module or module.split(".")[0] in _NOT_THE_USERS:
            cls = self._built_in(name.rpartition(">")[2], module, key)
        if cls is None:
            cls = self._custom_by_end(name)
        if cls is None:
            return self._unknown(name, module)
        _require_agreement(name, registered)
        return cls

    def _built_in(self, name: str, module: str, key: str):
        """Return the class that a name of the lists stands for."""
        words = f"{module} {key}"
        if ".ops." in module and self.library.__name__ == "keras":
            place = module.rpartition(".")[2]
            return _member(f"keras.src.ops.{place}", name) if name in harmless.KERAS_OPERATIONS.get(place, ()) else None
        kinds = (
            ("initializer", harmless.INITIALIZERS, self._initializer),
            ("regularizer", harmless.REGULARIZERS, lambda name: getattr(self.library.regularizers, name, None)),
            ("constraint", harmless.CONSTRAINTS, lambda name: getattr(self.library.constraints, name, None)),
            ("polic", harmless.POLICIES, self._policy),
            ("dtype", harmless.POLICIES, self._policy),
            ("quant", harmless.QUANTIZERS, lambda name: getattr(self.library.quantizers, name, None)),
            ("", harmless.LAYERS, self._layer),
            ("", harmless.TFMOT, _tfmot),
            ("", harmless.TFRECALL, _tfrecall),
            ("", {*_OPERATION_LAYERS}, self._layer),
            ("", {"SeedGenerator"}, lambda name: getattr(getattr(self.library, "random", None), name, None)),
        )
        # Some names stand for several classes (Identity): the module or the key says which.
        matching = [kind for kind in kinds if name in kind[1]]
        matching.sort(key=lambda kind: 0 if kind[0] and kind[0] in words else 1 if not kind[0] else 2)
        return next((cls for _, _, look_up in matching if isinstance(cls := look_up(name), type)), None)

    def _layer(self, name: str):
        if name in harmless.APPLICATION_LAYERS:
            return _member(f"{self.library.__name__}.src.applications.{harmless.APPLICATION_LAYERS[name]}", name)
        if self.library.__name__ == "tf_keras":
            from tf_keras.src.layers.serialization import get_builtin_layer

            cls = get_builtin_layer(name)
            if cls is not None:
                return cls
        places = (self.library.layers, self.library.models, _member(f"{self.library.__name__}.src.models", "functional"))
        return next((cls for place in places if (cls := getattr(place, name, None)) is not None), None)

    def _initializer(self, name: str):
        if self.library.__name__ == "keras":
            from keras.src.initializers import ALL_OBJECTS_DICT

            return ALL_OBJECTS_DICT.get(name)
        from tf_keras.src import initializers

        initializers.populate_deserializable_objects()
        return initializers.LOCAL.ALL_OBJECTS.get(name)

    def _policy(self, name: str):
        place = self.library.mixed_precision if self.library.__name__ == "tf_keras" else self.library.dtype_policies
        return getattr(place, name, None)

    def _function(self, node: dict):
        """Return the function that a node of the class "function" names."""
        name, module, registered = node.get("config"), node.get("module"), node.get("registered_name")
        if not isinstance(name, str):
            raise InputError(f"its configuration names a function by {type(name).__name__}, not by a string.")
        custom = self._custom(name, registered)
        if custom is not None:
            return custom
        parts = module.split(".") if isinstance(module, str) else []
        if name in harmless.ACTIVATIONS and parts and parts[0] in ("builtins", "keras", "tf_keras"):
            operations = getattr(self.library, "ops", None) if "ops" in parts else None
            function = getattr(operations or self.library.activations, name, None)
            if function is not None:
                _require_agreement(name, registered)
                return function
        custom = self._custom_by_end(name)
        return custom if custom is not None else self._unknown(name, module)

    def _registered(self, name: str):
        return self.library.saving.get_registered_object(name)

    def _custom(self, *names):
        """Return the custom object of one of these names: one that was passed, or that the user's own code registered."""
        names = [name for name in names if isinstance(name, str)]
        for name in names:
            if name in self.custom_objects:
                return self.custom_objects[name]
        registered = (self._registered(name) for name in names)
        return next((thing for thing in registered if thing is not None and _root(thing) not in _NOT_THE_USERS), None)

    def _custom_by_end(self, name: str):
        """Return the custom object whose name without its package is that of `name`.

        For objects that were passed by their plain names, and for functions, which Keras up to 3.6 wrote without a package.
        """
        end = name.rpartition(">")[2]
        everything = {**self.library.saving.get_custom_objects(), **self.custom_objects}
        return next(
            (
                thing
                for key, thing in everything.items()
                if key.rpartition(">")[2] == end and (key in self.custom_objects or _root(thing) not in _NOT_THE_USERS)
            ),
            None,
        )

    def _is_operation(self, cls) -> bool:
        module = getattr(cls, "__module__", "")
        return module.startswith("keras.src.ops.") or module == "tf_keras.src.layers.core.tf_op_layer"

    def _register(self, name: str, thing) -> str:
        key = _MARK + name
        while self.registry.setdefault(key, thing) is not thing:
            key += "'"
        return key

    def _unknown(self, name: str, module):
        if name in _CODE:
            raise RefusedError(f"run code on loading (it has {_CODE[name]})")
        source = f" of the module {module}" if isinstance(module, str) and module else ""
        raise RefusedError(f"run code on loading (it names {name}{source})", name)


def _require_agreement(name: str, registered) -> None:
    """Refuse an object with two names: no library writes one, and which of the two is built is a matter of the loader."""
    if registered is None or registered == name:
        return
    if not isinstance(registered, str):
        raise InputError(f"its configuration names a class by {type(registered).__name__}, not by a string.")
    if registered.rpartition(">")[2] != name.rpartition(">")[2]:
        raise RefusedError(f"run code on loading (it names {registered} as well as {name} for one object)")


def _require_harmless_call(node: dict, name: str) -> None:
    """Refuse an operation that is not in the list, or that has no layer's output among its arguments.

    Keras puts an operation into a graph only where it takes the output of a layer. Without one it would run while the model
    is built.
    """
    inner = node.get("config")
    if name in _OPERATION_LAYERS:
        name = inner.get("function") if isinstance(inner, dict) else inner
        if not (isinstance(name, str) and harmless.is_operation(name)):
            raise RefusedError(f"run code on loading (it calls {name})")
    calls = node.get("inbound_nodes", [])
    if not (isinstance(calls, list) and all(_takes_an_output(call) for call in calls)):
        raise RefusedError(f"run code on loading (it calls {name} on constants alone)")


def _takes_an_output(call) -> bool:
    """Say whether a loader finds the output of a layer among the arguments of a call.

    Asked as the loaders ask: Keras 3 reads ``args`` and ``kwargs``, older ones lists of references, and nothing else.
    """
    if isinstance(call, dict):
        return set(call) <= {"args", "kwargs"} and any(map(_holds_a_symbol, call.values()))
    return _holds_a_reference(call)


def _holds_a_symbol(argument) -> bool:
    """Say whether Keras 3 makes a symbolic tensor of a part of an argument."""
    if isinstance(argument, list):
        return any(map(_holds_a_symbol, argument))
    if not isinstance(argument, dict):
        return False
    if "class_name" not in argument:
        return any(map(_holds_a_symbol, argument.values()))
    return argument["class_name"] == "__keras_tensor__"


def _holds_a_reference(call) -> bool:
    """Say whether tf_keras finds a reference in a call: a layer's name, two indices, and arguments if there are any."""
    if isinstance(call, dict):
        return any(map(_holds_a_reference, call.values()))
    if not isinstance(call, list):
        return False
    if len(call) in (3, 4) and isinstance(call[0], str):
        return call[0] != "_CONSTANT_VALUE" or any(map(_holds_a_reference, call[3:]))
    return any(map(_holds_a_reference, call))


def _root(thing) -> str:
    return (getattr(thing, "__module__", None) or type(thing).__module__).split(".")[0]


def _member(module: str, name: str):
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


def _tfmot(name: str):
    importlib.import_module("tfrecall.tfmot")
    places = ("pruning_wrapper", "pruning_schedule")
    modules = (sys.modules.get(f"tensorflow_model_optimization.python.core.sparsity.keras.{place}") for place in places)
    return next((cls for module in modules if (cls := getattr(module, name, None)) is not None), None)


def _tfrecall(name: str):
    places = ("tfrecall.pruning.tfmot", "tfrecall.schedules", "tfrecall.regularizers")
    return next((cls for place in places if (cls := _member(place, name)) is not None), None)
