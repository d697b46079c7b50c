"""Files made to run code: whatever field names it, only what is in the list of harmless names is ever built."""

import contextlib
import copy
import io
import json
import zipfile
from typing import ClassVar

import h5py
import keras
import numpy as np
import pytest
import tf_keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.python.util import tf_export

from tfrecall import models
from tfrecall.errors import InputError
from tfrecall.models.loading import harmless
from tfrecall.models.loading.configuration import RefusedError, Rewriter

LIBRARIES = {"keras": keras, "tf_keras": tf_keras}
# What the loaders of either library look up by name, and what must never come of it.
OUTSIDE = {
    "keras": [
        ("keras.layers", "Lambda"),
        ("keras.layers", "TFSMLayer"),
        ("keras.layers", "TorchModuleWrapper"),
        ("keras.layers", "JaxLayer"),
        ("keras.models", "load_model"),
        ("keras.models", "clone_model"),
        ("keras.utils", "get_file"),
        ("keras.utils", "FeatureSpace"),
        ("keras.callbacks", "ModelCheckpoint"),
        ("keras.callbacks", "CSVLogger"),
        ("keras.callbacks", "LambdaCallback"),
        ("keras.src.ops.core", "Map"),
        ("keras.src.ops.core", "WhileLoop"),
        ("keras.applications", "VGG16"),
        ("keras.optimizers", "Adam"),
        ("keras.distillation", "Distiller"),
        ("builtins", "eval"),
        ("os", "system"),
        ("subprocess", "Popen"),
        ("numpy", "load"),
        ("pickle", "loads"),
    ],
    "tf_keras": [
        ("tf_keras.layers", "Lambda"),
        ("tf_keras.src.layers.core.tf_op_layer", "ClassMethod"),
        ("tf_keras.src.layers.core.tf_op_layer", "InstanceMethod"),
        ("tf_keras.src.layers.core.tf_op_layer", "get_symbol_from_name"),
        ("tf_keras.src.engine.base_layer", "TensorFlowOpLayer"),
        ("tf_keras.layers", "ResidualWrapper"),
        ("tf_keras.src.layers.rnn.cell_wrappers", "DropoutWrapper"),
        ("tf_keras.src.engine.functional", "ModuleWrapper"),
        ("tf_keras.src.utils.generic_utils", "func_load"),
        ("tf_keras.models", "load_model"),
        ("tf_keras.utils", "get_file"),
        ("tf_keras.callbacks", "ModelCheckpoint"),
        ("tf_keras.applications", "VGG16"),
        ("tf_keras.optimizers", "Adam"),
        ("tf_keras.src.regularizers", "deserialize"),
        ("tensorflow", "load_op_library"),
        ("tensorflow.io", "write_file"),
        ("tensorflow_datasets.core", "DatasetBuilder"),
        ("tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper", "keras"),
        ("tensorflow_model_optimization.python.core.sparsity.keras.prune", "prune_low_magnitude"),
        ("builtins", "exec"),
        ("os", "system"),
    ],
}
PAIRS = [(library, *pair) for library, pairs in OUTSIDE.items() for pair in pairs]


def small_model(library):
    layers = library.layers
    return library.Sequential(
        [
            library.Input((8, 8, 1)),
            layers.Conv2D(4, 3, kernel_initializer=library.initializers.HeNormal(), kernel_regularizer="l2"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def configuration(library, old=False):
    """Return the configuration of a small model, as a .keras file (or an .h5 file) of the library has it."""
    file = io.BytesIO()
    model = small_model(library)
    if old:
        with h5py.File(file, "w") as hdf:
            saver = (
                "keras.src.legacy.saving.legacy_h5_format" if library is keras else "tf_keras.src.saving.legacy.hdf5_format"
            )
            __import__(saver)
            import sys

            sys.modules[saver].save_model_to_hdf5(model, hdf)
            return json.loads(hdf.attrs["model_config"])
    return json.loads(json.dumps(library.saving.serialize_keras_object(model)))


def nodes(config):
    """Yield every object of a configuration, with where it is."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for part in config.values():
            yield from nodes(part)
    elif isinstance(config, list):
        for part in config:
            yield from nodes(part)


def all_strings(config):
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict):
        yield from (text for part in config.values() for text in all_strings(part))
    elif isinstance(config, list):
        yield from (text for part in config for text in all_strings(part))


def is_harmless(thing) -> bool:
    """Say by other means than the rewriter's, whether an object is one that may be built: its own module and name."""
    root = thing.__module__.split(".")[0]
    if isinstance(thing, type):
        bases = [library.layers.Layer for library in LIBRARIES.values()]
        bases += [library.initializers.Initializer for library in LIBRARIES.values()]
        bases += [library.regularizers.Regularizer for library in LIBRARIES.values()]
        bases += [library.constraints.Constraint for library in LIBRARIES.values()]
        bases += [
            keras.Operation,
            keras.DTypePolicy,
            keras.layers.InputSpec,
            tf_keras.layers.InputSpec,
            tf_keras.mixed_precision.Policy,
        ]
        code = (keras.layers.Lambda, tf_keras.layers.Lambda, keras.layers.TFSMLayer, keras.layers.TorchModuleWrapper)
        return root in ("keras", "tf_keras") and issubclass(thing, tuple(bases)) and not issubclass(thing, code)
    return root in ("keras", "tf_keras") and thing.__name__ in harmless.ACTIVATIONS


@pytest.mark.parametrize(("name", "module", "outside"), PAIRS)
@pytest.mark.parametrize("old", [False, True])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_name_from_outside_is_refused_in_whatever_fields_it_stands(name, module, outside, old, data):
    library = LIBRARIES[name]
    config = copy.deepcopy(CONFIGURATIONS[name, old])
    places = list(nodes(config))
    node = data.draw(st.sampled_from(places))
    fields = data.draw(
        st.sets(st.sampled_from(["class_name", "registered_name", "module", "function", "spec"]), min_size=1).filter(
            lambda fields: fields & {"class_name", "registered_name", "function", "spec"}
        )
    )
    if "module" in fields:
        node["module"] = module
    if "class_name" in fields:
        node["class_name"] = outside
    if "registered_name" in fields:
        node["registered_name"] = data.draw(st.sampled_from([outside, f"Custom>{outside}"]))
    if "function" in fields:
        node.update(class_name="function", config=outside)
    if "spec" in fields:
        node.update(class_name="__typespec__", spec_name=outside, registered_name=outside)
    rewriter = Rewriter(library)
    with pytest.raises(InputError):
        rewriter.model(config)
    assert all(is_harmless(thing) for thing in rewriter.registry.values())


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("old", [False, True])
def test_a_rewritten_configuration_names_nothing_but_its_registry(name, old):
    rewriter = Rewriter(LIBRARIES[name])
    config = rewriter.model(CONFIGURATIONS[name, old])
    assert rewriter.registry
    assert all(is_harmless(thing) for thing in rewriter.registry.values())
    for node in nodes(config):
        named = node["config"] if node["class_name"] == "function" else node["class_name"]
        assert named in rewriter.registry or node["class_name"].startswith("__")
        assert node.get("registered_name", named) == named
        assert "compile_config" not in node
    assert not {text for text in all_strings(config) if LIBRARIES[name].saving.get_registered_object(text)}


def tables():
    """Yield the dictionaries in which the two libraries look names up without a module."""
    from keras.src import activations, constraints, dtype_policies, initializers, layers, regularizers
    from tf_keras.src import activations as old_activations
    from tf_keras.src import constraints as old_constraints
    from tf_keras.src import initializers as old_initializers
    from tf_keras.src import regularizers as old_regularizers
    from tf_keras.src.layers import serialization

    old_initializers.populate_deserializable_objects()
    serialization.populate_deserializable_objects()
    yield keras, "activation", activations.ALL_OBJECTS_DICT
    yield keras, "kernel_initializer", initializers.ALL_OBJECTS_DICT
    yield keras, "kernel_regularizer", regularizers.ALL_OBJECTS_DICT
    yield keras, "kernel_constraint", constraints.ALL_OBJECTS_DICT
    yield keras, "dtype", dtype_policies.ALL_OBJECTS_DICT
    yield keras, "layer", vars(layers)
    yield keras, "x", keras.saving.get_custom_objects()
    yield tf_keras, "activation", {**serialization.LOCAL.ALL_OBJECTS, **vars(old_activations)}
    yield tf_keras, "kernel_initializer", old_initializers.LOCAL.ALL_OBJECTS
    yield tf_keras, "kernel_regularizer", vars(old_regularizers)
    yield tf_keras, "kernel_constraint", vars(old_constraints)
    yield tf_keras, "layer", serialization.LOCAL.ALL_OBJECTS
    yield tf_keras, "x", tf_keras.saving.get_custom_objects()


def _is_of_a_test(thing):
    return thing.__module__.split(".")[0] not in (
        "keras",
        "tf_keras",
        "tensorflow",
        "tensorflow_model_optimization",
        "tfrecall",
    )


@pytest.mark.parametrize("index", range(13))
def test_every_name_in_the_tables_of_the_libraries_is_refused_or_harmless(index):
    """Everything that the deserializers can reach, at the place where they reach it, as a string and as an object."""
    library, key, table = list(tables())[index]
    # What other tests registered in this process is a user's own, and allowed.
    registered = {id(thing) for name, thing in library.saving.get_custom_objects().items() if _is_of_a_test(thing)}
    table = {name: thing for name, thing in table.items() if id(thing) not in registered}
    refused = set()
    for name in [name for name in table if isinstance(name, str)]:
        for part in (
            name,
            {"class_name": name, "config": {}},
            {"class_name": "function", "module": "builtins", "config": name},
        ):
            rewriter = Rewriter(library)
            try:
                rewriter.rewrite(part, key)
            except InputError:
                refused.add(name)
                continue
            for thing in rewriter.registry.values():
                assert is_harmless(thing) or thing.__module__.startswith(
                    ("tfrecall.", "tf_keras.src.layers.core.tf_op_layer")
                )
    # what of these tables is no modelling object, or holds code, is refused as a string or as an object
    for name, thing in table.items():
        if callable(thing) and not isinstance(thing, type) and name not in harmless.ACTIVATIONS | harmless.REGULARIZERS:
            assert name in refused | harmless.CONSTRAINTS | harmless.INITIALIZERS, name


def test_every_operation_of_the_list_is_a_function_that_tensorflow_exports_and_takes_no_file():
    import inspect

    for place, functions in harmless.OPERATIONS.items():
        for function in functions:
            thing = tf_export.get_symbol_from_name(f"{place}.{function}".lstrip("."))
            if thing is None:  # of a later or an earlier TensorFlow
                continue
            assert not isinstance(thing, type), function
            parameters = " ".join(inspect.signature(thing).parameters)
            assert not any(word in parameters for word in ("file", "filepath", "func", "loop", "op_type")), (
                function,
                parameters,
            )


FOREIGN = """
load_op_library load_library py_function numpy_function function map_fn while_loop cond print compat.v1.py_func
compat.v1.load_file_system_library compat.v1.io.write_file compat.v1.math.io.write_file nn.fixed_unigram_candidate_sampler
nn.with_space_to_batch math. .add add. Math.add
"""
EXPORTED = [
    name for name in tf_export._NAME_TO_SYMBOL_MAPPING if name.startswith(("io.", "raw_ops.", "data.", "saved_model."))
]


@pytest.mark.parametrize("function", [*EXPORTED[::25], *FOREIGN.split(), "", "math.add\n"])
def test_an_operation_outside_of_the_list_is_refused(function):
    for name in ("TFOpLambda", "SlicingOpLambda"):
        node = {"class_name": name, "config": {"name": "op", "function": function}, "inbound_nodes": [["in", 0, 0, {}]]}
        with pytest.raises(RefusedError, match="calls"):
            Rewriter(tf_keras).rewrite(node)


@pytest.mark.parametrize(
    "call", [[], [["_CONSTANT_VALUE", -1, 1.0, {"y": 2.0}]], [["_CONSTANT_VALUE", -1, [3, 3], {}]], "x", 3]
)
def test_an_operation_on_constants_alone_would_run_and_is_refused(call):
    node = {"class_name": "TFOpLambda", "config": {"name": "op", "function": "fill"}, "inbound_nodes": [call]}
    with pytest.raises(RefusedError, match="constants alone"):
        Rewriter(tf_keras).rewrite(node)
    node = {
        "class_name": "Arange",
        "module": "keras.src.ops.numpy",
        "config": {},
        "inbound_nodes": [{"args": [3], "kwargs": {}}],
    }
    with pytest.raises(RefusedError, match="constants alone"):
        Rewriter(keras).rewrite(node)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("old", [False, True])
def test_a_string_in_place_of_a_layer_is_refused(name, old):
    for layer in ("Lambda", "Dense", "anything"):
        config = copy.deepcopy(CONFIGURATIONS[name, old])
        config["config"]["layers"][1] = layer
        with pytest.raises(InputError, match="needs a layer"):
            Rewriter(LIBRARIES[name]).model(config)
    with pytest.raises(InputError, match="needs a layer"):
        Rewriter(LIBRARIES[name]).rewrite({"class_name": "TimeDistributed", "config": {"layer": "Lambda"}})


def operation(library):
    """The configuration of a model with one operation besides its input, and that operation's part of it."""
    inputs = library.Input((4,), name="x")
    if library is keras:
        outputs = keras.ops.tile(inputs, [1, 2])
    else:
        import tensorflow as tf

        outputs = tf.tile(inputs, [1, 2])
    config = json.loads(library.Model(inputs, outputs).to_json())
    (part,) = [layer for layer in config["config"]["layers"] if layer["class_name"] not in ("InputLayer",)]
    return config, part


def assert_refused(library, config):
    """A configuration is refused before an operation of it runs."""
    with pytest.raises(InputError, match="constants alone"):
        Rewriter(library).model(config)


CONSTANT = {"class_name": "__tensor__", "config": {"value": [[1.0] * 4], "dtype": "float32"}}


@pytest.mark.parametrize(
    "node",
    [
        {"args": [CONSTANT], "kwargs": {}, "junk": ["x", 0, 0]},
        {"args": [CONSTANT], "kwargs": {}},
        {"args": [["x", 0, 0]], "kwargs": {}},
        {"args": [CONSTANT | {"junk": {"class_name": "__keras_tensor__", "config": {}}}], "kwargs": {}},
        {"args": [CONSTANT], "kwargs": {"name": {"class_name": "__numpy__", "config": {"class_name": "__keras_tensor__"}}}},
    ],
)
def test_keras_3_finds_a_layers_output_in_each_call_of_an_operation(node):
    config, part = operation(keras)
    Rewriter(keras).model(copy.deepcopy(config))
    part["inbound_nodes"].append(node)  # after a call that is as it should be
    assert_refused(keras, config)


@pytest.mark.parametrize(
    "call",
    [
        ["_CONSTANT_VALUE", -1, [[1.0]], {"multiples": [1, 4], "name": ["x", 0, 0, {}, 5]}],
        ["_CONSTANT_VALUE", -1, [[1.0]], {"multiples": [1, 4]}],
        ["_CONSTANT_VALUE", -1, ["x", 0, 0], {"multiples": [1, 4]}],
        [["_CONSTANT_VALUE", -1, [[1.0]], {"multiples": ["x", 0]}]],
    ],
)
def test_tf_keras_finds_a_layers_output_in_each_call_of_an_operation(call):
    config, part = operation(tf_keras)
    Rewriter(tf_keras).model(copy.deepcopy(config))
    part["inbound_nodes"].insert(0, call)
    assert_refused(tf_keras, config)


class Sentinel:
    """Records that it was built or called."""

    seen: ClassVar[list] = []

    def __init__(self, *arguments, **options):
        self.seen.append(arguments)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(config)

    def __call__(self, *arguments, **options):
        self.seen.append(arguments)


def places(config, at=()):
    """Yield where the parts of a configuration are."""
    for key, part in config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ():
        yield (*at, key)
        yield from places(part, (*at, key))


PAYLOADS = [
    "Sentinel",
    "Custom>Sentinel",
    {"class_name": "Sentinel", "config": {}},
    {"class_name": "Sentinel", "config": {}, "module": "keras.layers", "registered_name": None},
    {"class_name": "Dense", "config": {"units": 3}, "module": "keras.src.layers", "registered_name": "Sentinel"},
    {"class_name": "function", "config": "Sentinel", "module": "builtins", "registered_name": "Sentinel"},
    {"class_name": "function", "config": "relu", "module": "builtins", "registered_name": "Sentinel"},
    {"class_name": "__tuple__", "items": [{"class_name": "Sentinel", "config": {}, "__passive_serialization__": True}]},
]


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("old", [False, True])
def test_whatever_is_in_reach_of_the_loaders_is_never_built_for_a_file(monkeypatch, name, old):
    """A class is put where the loaders look names up, and named in every field of a configuration, which is then built."""
    from keras.src import layers as new_layers
    from tf_keras.src import activations, regularizers
    from tf_keras.src.layers import serialization

    from tfrecall.models.loading import building

    library = LIBRARIES[name]
    serialization.populate_deserializable_objects()
    for module in (new_layers, activations, regularizers, keras.layers, tf_keras.layers):
        monkeypatch.setattr(module, "Sentinel", Sentinel, raising=False)
    monkeypatch.setitem(serialization.LOCAL.ALL_OBJECTS, "Sentinel", Sentinel)
    monkeypatch.setitem(library.saving.get_custom_objects(), "Custom>Sentinel", Sentinel)
    monkeypatch.setattr(Sentinel, "__module__", "tensorflow_datasets.core")
    building_functions = {
        ("keras", False): building._build_keras3,
        ("keras", True): building._build_keras3_h5,
        ("tf_keras", False): building._build_legacy,
        ("tf_keras", True): building._build_legacy_h5,
    }
    built = 0
    for *parents, last in places(CONFIGURATIONS[name, old]):
        for payload in PAYLOADS:
            config = copy.deepcopy(CONFIGURATIONS[name, old])
            place = config
            for key in parents:
                place = place[key]
            place[last] = copy.deepcopy(payload)
            rewriter = Rewriter(library)
            try:
                config = rewriter.model(config)
            except InputError:
                continue
            assert Sentinel not in rewriter.registry.values()
            with contextlib.suppress(Exception), library.saving.custom_object_scope(dict(rewriter.registry)):
                building_functions[name, old](config, dict(rewriter.registry))
                built += 1
            assert not Sentinel.seen, (parents, last, payload)
    assert built  # what stands in a field that nobody reads does no harm


# The attacks, in files.


def evil_model(target, **node):
    return {
        "module": "tf_keras.src.engine.functional",
        "class_name": "Functional",
        "registered_name": "Functional",
        "config": {
            "name": "m",
            "layers": [
                {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 8, 8, 1], "name": "in"}, "name": "in"}
                | {"module": "tf_keras.layers", "registered_name": None, "inbound_nodes": []},
                {
                    "config": {"name": "evil", "function": "io.write_file"},
                    "name": "evil",
                    "inbound_nodes": [["_CONSTANT_VALUE", -1, str(target), {"contents": "planted"}]],
                    **node,
                },
            ],
            "input_layers": [["in", 0, 0]],
            "output_layers": [["in", 0, 0]],
        },
    }


def write(path, config, version):
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_group("layers")
    if path.suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": version}))
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", weights.getvalue())
    else:
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["keras_version"] = version
            file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")
    return path


OP = "tf_keras.src.layers.core.tf_op_layer"


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize(
    "node",
    [
        {"module": OP, "class_name": "PruneLowMagnitude", "registered_name": "TFOpLambda"},
        {"module": OP, "class_name": "MaskedLayer", "registered_name": "TFOpLambda"},
        {"module": OP, "class_name": "Nonsense", "registered_name": "TFOpLambda"},
        {"module": OP, "class_name": "tfrecall>MaskedLayer", "registered_name": "TFOpLambda"},
        {"module": OP, "class_name": "Dense", "registered_name": "TFOpLambda"},
        {"module": OP, "class_name": "Layer.TFOpLambda", "registered_name": "TFOpLambda"},
        {"module": OP, "class_name": "TFOpLambda", "registered_name": "tfrecall>MaskedLayer"},
        {"module": OP, "class_name": "TFOpLambda", "registered_name": "TFOpLambda"},
        {"module": OP, "class_name": "SlicingOpLambda", "registered_name": None},
        {"class_name": "TFOpLambda"},
        {"class_name": "Custom>TFOpLambda"},
        {"class_name": "PruneLowMagnitude", "registered_name": "TFOpLambda"},
    ],
)
def test_no_writing_of_a_file_is_hidden_by_a_second_name(tmp_path, ending, node):
    target = tmp_path / "planted.txt"
    path = write(tmp_path / f"evil{ending}", evil_model(target, **node), "2.15.0")
    with pytest.raises(InputError) as caught:
        models.load(path)
    assert not target.exists()
    assert "\n" not in str(caught.value)


def test_a_second_name_in_the_metadata_of_a_saved_model_is_refused(tmp_path):
    from tf_keras.protobuf import saved_metadata_pb2

    small_model(tf_keras).save(tmp_path / "evil", save_format="tf")
    file, target = tmp_path / "evil" / "keras_metadata.pb", tmp_path / "planted.txt"
    metadata = saved_metadata_pb2.SavedMetadata.FromString(file.read_bytes())
    root = json.loads(metadata.nodes[0].metadata)
    root["class_name"] = "Functional"
    root["config"] = evil_model(target, module=OP, class_name="PruneLowMagnitude", registered_name="TFOpLambda")["config"]
    metadata.nodes[0].metadata = json.dumps(root)
    file.write_bytes(metadata.SerializeToString())
    with pytest.raises(InputError, match="would run code"):
        models.load(tmp_path / "evil")
    assert not target.exists()


def test_what_imported_packages_register_is_not_the_users(tmp_path):
    """tf_keras, tfmot and TensorFlow Datasets register classes when they are imported: a file may not name those."""
    for library in LIBRARIES.values():
        for name, thing in library.saving.get_custom_objects().items():
            if thing.__module__.split(".")[0] not in ("keras", "tf_keras", "tensorflow_datasets"):
                continue
            if name.rpartition(">")[2] in harmless.LAYERS:
                continue
            with pytest.raises(RefusedError):
                Rewriter(library).rewrite({"class_name": name, "registered_name": name, "module": None, "config": {}})


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_what_this_process_registered_loads(tmp_path, name, ending):
    library = LIBRARIES[name]

    @library.saving.register_keras_serializable("mine")
    class Double(library.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    @library.saving.register_keras_serializable("mine")
    def twice(inputs):
        return 2 * inputs

    try:
        layers = library.layers
        model = library.Sequential([library.Input((4,)), Double(), layers.Dense(3, activation=twice)])
        path = tmp_path / f"own{ending}"
        model.save(path)
        images = np.ones((2, 4), "float32")
        np.testing.assert_allclose(models.load(path)(images), model(images))
    finally:
        for key in ("mine>Double", "mine>twice"):
            library.saving.get_custom_objects().pop(key)
    with pytest.raises(InputError, match=r"names (Double|twice|mine>\w+).*--custom"):
        models.load(path)
    loaded = models.load(path, custom_objects={"Double": Double, "twice": twice})
    np.testing.assert_allclose(loaded(images), model(images))
    with library.saving.custom_object_scope({"mine>Double": Double, "mine>twice": twice}):
        np.testing.assert_allclose(models.load(path)(images), model(images))


CONFIGURATIONS = {(name, old): configuration(library, old) for name, library in LIBRARIES.items() for old in (False, True)}
