"""Saved models: every format loads, and nothing in a file runs unless it is asked to."""

import json
import pickle
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tf_keras

from tfrecall import models, prune
from tfrecall.errors import InputError
from tfrecall.regularizers import UndecayedL2


def small_model(library=tf_keras):
    layers = library.layers
    return library.Sequential(
        [library.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )


def lambda_model(library=tf_keras):
    layers = library.layers
    return library.Sequential(
        [library.Input((8, 8, 1)), layers.Lambda(lambda x: x * 2), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )


FORMATS = [(tf_keras, ".keras"), (tf_keras, ".h5"), (tf_keras, ""), (keras, ".keras"), (keras, ".h5")]


def save(model, folder, ending):
    path = folder / f"model{ending}"
    model.save(path, **({"save_format": "tf"} if not ending else {}))
    return path


def rewrite_config(path, change):
    """Change the configuration in a .keras file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(("library", "ending"), FORMATS)
def test_every_format_gives_the_same_predictions(tmp_path, library, ending):
    model = small_model(library)
    loaded = models.load(save(model, tmp_path, ending))
    assert isinstance(loaded, library.Model)
    images = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-5)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_model_saved_while_it_was_pruned_loads(tmp_path, ending):
    pruned = prune(small_model(), 0.05, "magnitude")
    loaded = models.load(save(pruned, tmp_path, ending))
    images = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(loaded(images), pruned(images), rtol=1e-5)


@pytest.mark.parametrize(("library", "ending"), FORMATS)
def test_lambda_layers_are_refused_unless_unsafe(tmp_path, library, ending):
    path = save(lambda_model(library), tmp_path, ending)
    with pytest.raises(InputError, match=r"Lambda.*--unsafe"):
        models.load(path)
    images = np.ones((1, 8, 8, 1), "float32")
    assert models.load(path, unsafe=True)(images).shape == (1, 3)


def test_a_lambda_deep_inside_is_found(tmp_path):
    inner = lambda_model()
    images = tf_keras.Input((8, 8, 1))
    path = save(tf_keras.Model(images, inner(images)), tmp_path, ".h5")
    with pytest.raises(InputError, match="Lambda"):
        models.load(path)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("os", "system"),
        ("tf_keras.utils", "get_file"),
        ("keras.utils", "get_file"),
        ("keras.src.ops.core", "map"),
        ("builtins", "eval"),
        ("subprocess", "run"),
    ],
)
@pytest.mark.parametrize("library", [tf_keras, keras])
def test_a_file_that_names_foreign_code_is_refused_before_it_is_imported(tmp_path, library, module, function):
    path = save(small_model(library), tmp_path, ".keras")

    def change(config):
        layer = config["config"]["layers"][-1]["config"]
        layer["activation"] = {
            "module": module,
            "class_name": "function",
            "config": function,
            "registered_name": function,
        }

    rewrite_config(path, change)
    with pytest.raises(InputError, match=f"would run code.*{function}"):
        models.load(path)


@pytest.mark.parametrize("library", [tf_keras, keras])
def test_a_class_of_a_foreign_module_is_refused_and_not_imported(tmp_path, library):
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    path = save(small_model(library), tmp_path, ".keras")

    def change(config):
        config["config"]["layers"][1].update(module="planted", class_name="Layer", registered_name="Layer")

    rewrite_config(path, change)
    code = f"from tfrecall import models; models.load({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert "would run code on loading (it names Layer of the module planted)" in done.stderr
    assert "imported" not in done.stderr.splitlines()[-1].split("InputError")[0]


def test_an_op_that_writes_files_is_refused(tmp_path):
    import tensorflow as tf

    images = tf_keras.Input((8, 8, 1))
    flat = tf_keras.layers.Flatten()(tf.math.multiply(images, 2.0))
    harmless = save(tf_keras.Model(images, tf_keras.layers.Dense(3)(flat)), tmp_path, ".keras")
    assert models.load(harmless).count_params() == 64 * 3 + 3

    def change(config):
        ops = [layer for layer in config["config"]["layers"] if layer["class_name"] == "TFOpLambda"]
        ops[0]["config"]["function"] = "io.write_file"

    rewrite_config(harmless, change)
    with pytest.raises(InputError, match=r"io\.write_file"):
        models.load(harmless)


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_truncated_file_is_named_as_such(tmp_path, ending):
    path = save(small_model(), tmp_path, ending)
    truncated(path)
    with pytest.raises(InputError, match=r"truncated|cannot be loaded") as caught:
        models.load(path)
    assert "\n" not in str(caught.value)


def test_damage_inside_a_keras_file_is_found(tmp_path):
    path = save(small_model(), tmp_path, ".keras")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged|truncated|cannot be loaded"):
        models.load(path)


def test_foreign_files_are_refused(tmp_path):
    for name, content, says in (
        ("text.keras", b"not a model", "of another kind"),
        ("model.pkl", pickle.dumps({"a": 1}), "pickle"),
        ("empty.h5", b"", "of another kind"),
        ("foreign.keras", b"PK\x03\x04junk", "truncated"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=says):
            models.load(path)


def test_a_missing_file_and_an_empty_folder_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="no model file"):
        models.load(tmp_path / "nothing.keras")
    with pytest.raises(InputError, match="no SavedModel"):
        models.load(tmp_path)


def test_weights_alone_are_no_model(tmp_path):
    path = tmp_path / "model.weights.h5"
    small_model().save_weights(tmp_path / "weights.h5")
    path = tmp_path / "weights.h5"
    with pytest.raises(InputError, match="weights without a model"):
        models.load(path)


def test_a_model_of_keras_3_with_its_operations_loads_in_a_fresh_python(tmp_path):
    """Whichever Keras a process used before, the file tells which one wrote it; Keras 3's operations only compute."""
    images = keras.Input((8, 8, 1))
    halves = keras.ops.concatenate([images / 2.0, keras.ops.relu(images)], axis=-1)[:, 1:]
    dense = keras.layers.Dense(3, kernel_regularizer=UndecayedL2(0.1))
    model = keras.Model(images, keras.ops.softmax(dense(keras.layers.Flatten()(halves))))
    path = save(model, tmp_path, ".keras")
    x = np.random.default_rng(0).uniform(-1, 1, (5, 8, 8, 1)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    code = (
        f"import numpy as np; from tfrecall import models; model = models.load({str(path)!r});"
        f"np.save({str(tmp_path / 'y.npy')!r}, model(np.load({str(tmp_path / 'x.npy')!r})))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x), rtol=1e-5)


def test_a_file_is_read_as_what_its_name_says(tmp_path):
    """Keras goes by the name: a file that looks harmless one way and is loaded another would get by."""
    archive = save(small_model(), tmp_path, ".keras")
    hdf = save(lambda_model(), tmp_path, ".h5")
    for name, content in (("zip.h5", archive.read_bytes()), ("hdf.keras", hdf.read_bytes())):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match="of another kind"):
            models.load(path)
    polyglot = tmp_path / "polyglot.h5"
    user_block = b"PK\x03\x04" + bytes(508)
    import h5py

    with h5py.File(polyglot, "w", userblock_size=512) as new, h5py.File(hdf) as old:
        new.attrs["model_config"] = old.attrs["model_config"]
    with polyglot.open("r+b") as file:
        file.write(user_block)
    with pytest.raises(InputError, match="of another kind"):
        models.load(polyglot)


def rewrite_h5(path, change):
    import h5py

    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize(
    "function",
    ["keras.models.model_from_json", "keras.utils.get_file", "config.run_functions_eagerly", "io.write_file", "py_function"],
)
def test_op_layers_may_only_compute(tmp_path, ending, function):
    import tensorflow as tf

    images = tf_keras.Input((8, 8, 1))
    flat = tf_keras.layers.Flatten()(tf.math.multiply(images, 2.0))
    path = save(tf_keras.Model(images, tf_keras.layers.Dense(3)(flat)), tmp_path, ending)

    def change(config):
        op = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "TFOpLambda")
        op["config"]["function"] = function

    {".keras": rewrite_config, ".h5": rewrite_h5}[ending](path, change)
    with pytest.raises(InputError, match=f"would run code.*{function}"):
        models.load(path)


@pytest.mark.parametrize(
    "part",
    [
        {"class_name": "ResidualWrapper", "config": {"residual_fn": ["4wEAAAA=", None, None], "residual_fn_type": "lambda"}},
        {"class_name": "Lambda", "config": {}},
        {"class_name": "InstanceMethod", "config": {"method_name": "save"}},
        {"class_name": "get_file", "module": "keras.utils", "config": {}},
        {"class_name": "load_model", "module": "keras.models", "config": {}},
        {"class_name": "MobileNetV3Small", "module": "keras.applications", "config": {}},
        {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "planted"}},
        {"class_name": "StringLookup", "module": "keras.layers", "config": {"vocabulary": "/etc/passwd"}},
    ],
)
@pytest.mark.parametrize("library", [tf_keras, keras])
def test_code_anywhere_in_an_h5_file_is_found(tmp_path, library, part):
    path = save(small_model(library), tmp_path, ".h5")
    rewrite_h5(path, lambda config: config["config"]["layers"][1]["config"].update(cell=[part]))
    with pytest.raises(InputError, match=r"would (run code|read the file /etc/passwd)"):
        models.load(path)


def test_the_graph_of_a_saved_model_is_not_run(tmp_path):
    """A SavedModel's initializers run when TensorFlow loads it; here its Keras model is rebuilt from its configuration."""
    import tensorflow as tf

    planted = tmp_path / "planted.txt"

    class Planted(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self):
            return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])

        def _initialize(self):
            tf.io.write_file(str(planted), "planted")

    model = small_model()
    model.planted = Planted()
    path = save(model, tmp_path, "")
    planted.unlink(missing_ok=True)
    images = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(models.load(path)(images), model(images), rtol=1e-5)
    assert not planted.exists()
    tf.saved_model.load(str(path))
    assert planted.exists()  # what it would have done


def test_batch_norm_statistics_of_a_saved_model_come_along(tmp_path):
    layers = tf_keras.layers
    inner = tf_keras.Sequential([tf_keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    images = tf_keras.Input((8, 8, 1))
    model = tf_keras.Model(images, layers.Dense(3)(layers.Flatten()(inner(images))))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1, weight.shape).astype("float32") for weight in model.get_weights()])
    loaded = models.load(save(model, tmp_path, ""))
    batch = rng.uniform(0, 255, (5, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(loaded(batch), model(batch), rtol=1e-5)


@pytest.mark.parametrize("config", [{"class_name": ["a"]}, {"class_name": 3}, {"class_name": "TFOpLambda", "config": ["x"]}])
def test_a_configuration_that_makes_no_sense_is_an_input_error(tmp_path, config):
    path = save(small_model(), tmp_path, ".h5")
    rewrite_h5(path, lambda whole: whole["config"]["layers"][1]["config"].update(cell=config))
    with pytest.raises(InputError, match=r"would run code|by a string"):
        models.load(path)


def lead_out(group, how, target):
    """Replace the first set of weights in an HDF5 file by one whose content lies in another file."""
    import h5py

    found = []
    group.visititems(lambda name, part: found.append(name) if isinstance(part, h5py.Dataset) and part.ndim > 1 else None)
    name, shape = found[0], group[found[0]].shape
    del group[name]
    if how == "external":
        group.create_dataset(name, shape, "f4", external=[(str(target), 0, h5py.h5f.UNLIMITED)])
    elif how == "link":
        group[name] = h5py.ExternalLink(str(target), "secret")
    else:
        layout = h5py.VirtualLayout(shape, "f4")
        layout[...] = h5py.VirtualSource(str(target), "secret", shape)
        group.create_virtual_dataset(name, layout)


@pytest.mark.parametrize(("library", "ending"), [one for one in FORMATS if one[1]])
@pytest.mark.parametrize("how", ["external", "link", "virtual"])
def test_weights_that_lie_in_other_files_are_not_read(tmp_path, library, ending, how):
    """They could be those of any file on this machine, and would come out in the pruned model."""
    import h5py

    target = tmp_path / "secret"
    target.write_bytes(bytes(10_000))
    path = save(small_model(library), tmp_path, ending)
    if ending == ".h5":
        with h5py.File(path, "r+") as file:
            lead_out(file["model_weights"], how, target)
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        inner = tmp_path / "inner.h5"
        inner.write_bytes(parts["model.weights.h5"])
        with h5py.File(inner, "r+") as file:
            lead_out(file, how, target)
        parts["model.weights.h5"] = inner.read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
    with pytest.raises(InputError, match=r"would read other files on loading .*(link|stored there)"):
        models.load(path)
