"""Files that declare what they do not hold: one line, before memory is asked for or minutes pass."""

import io
import json
import os
import resource
import socket
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from tfrecall import models
from tfrecall.errors import InputError

FORMATS = [(tf_keras, ".keras"), (tf_keras, ".h5"), (keras, ".keras"), (keras, ".h5")]


def small_model(library):
    layers = library.layers
    return library.Sequential([library.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)])


def saved(library, folder, ending):
    path = folder / f"model{ending}"
    small_model(library).save(path)
    return path


def change_weights(path, change, compression=zipfile.ZIP_STORED):
    """Change the HDF5 file of weights, in whichever file it is."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            change(file["model_weights"])
        return
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        change(file)
    parts["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def change_config(path, change):
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def kernel(group):
    """Return the parent, name and shape of the first kernel."""
    names = []
    group.visititems(lambda name, part: names.append(name) if isinstance(part, h5py.Dataset) and part.ndim > 1 else None)
    return group[names[0]].parent, names[0].rpartition("/")[2]


def refuse(path, match, megabytes=1500):
    """Load a file that must be refused in one line; to ask for more memory than this would be another error."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), limits[1]))
    try:
        with pytest.raises(InputError, match=match) as caught:
            models.load(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert "\n" not in str(caught.value)


HUGE = (10**6, 10**6)


@pytest.mark.parametrize(("library", "ending"), FORMATS)
@pytest.mark.parametrize("options", [{}, {"chunks": (1000, 1000)}, {"chunks": (1000, 1000), "compression": "gzip"}])
def test_weights_that_were_never_written(tmp_path, library, ending, options):
    path = saved(library, tmp_path, ending)

    def change(group):
        parent, name = kernel(group)
        del parent[name]
        parent.create_dataset(name, HUGE, "f4", fillvalue=1.0, **options)

    change_weights(path, change)
    assert path.stat().st_size < 10**6
    refuse(path, "declares more than it holds: 4,000 GB")


@pytest.mark.parametrize(("library", "ending"), FORMATS)
def test_compressed_zeros_that_the_model_does_not_need(tmp_path, library, ending):
    path = saved(library, tmp_path, ending)

    def change(group):
        parent, name = kernel(group)
        del parent[name]
        data = parent.create_dataset(name, (60_000_000,), "f4", chunks=(10**6,), compression="gzip")
        for start in range(0, len(data), 10**6):
            data[start : start + 10**6] = 0

    change_weights(path, change)
    refuse(path, "larger weights than its model|shape|expected", megabytes=400)


@pytest.mark.parametrize(("library", "ending"), FORMATS)
def test_weights_compressed_by_hand_load(tmp_path, library, ending):
    path = saved(library, tmp_path, ending)
    images = np.ones((1, 8, 8, 1), "float32")
    expected = np.asarray(models.load(path)(images))

    def change(group):
        parent, name = kernel(group)
        content = parent[name][...]
        del parent[name]
        parent.create_dataset(name, data=content, compression="gzip", shuffle=True, chunks=True)

    change_weights(path, change, zipfile.ZIP_DEFLATED)
    np.testing.assert_allclose(models.load(path)(images), expected, rtol=1e-6)


@pytest.mark.parametrize("library", [keras, tf_keras])
@pytest.mark.parametrize("part", ["config.json", "metadata.json", "model.weights.h5", "assets/_layers/0/vocabulary.txt"])
def test_a_zip_that_expands_a_thousandfold(tmp_path, library, part):
    path = saved(library, tmp_path, ".keras")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            if name != part:
                archive.writestr(name, content)
        with archive.open(part, "w", force_zip64=True) as file:
            file.write(parts.get(part, b"").rstrip(b"}"))
            for _ in range(400):
                file.write(b" " * 10**6)
    assert path.stat().st_size < 10**6
    refuse(path, r"declares more than it holds|expected at most", megabytes=200)


def test_groups_that_lead_to_each_other_are_looked_at_once(tmp_path):
    path = saved(keras, tmp_path, ".h5")
    with h5py.File(path, "r+") as file:
        group = file.create_group("doubly")
        for _ in range(40):
            inner = group.create_group("a")
            group["b"] = inner
            group = inner
        group["loop"] = file["doubly"]
        group["root"] = file["/"]
    models.load(path)


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_a_soft_link_is_refused(tmp_path, library):
    path = saved(library, tmp_path, ".h5")
    with h5py.File(path, "r+") as file:
        file["model_weights/loop"] = h5py.SoftLink("/model_weights/loop")
    refuse(path, "is a link")


@pytest.mark.parametrize("ending", [".keras", ".h5", ""])
def test_pipes_sockets_and_devices_are_not_opened(tmp_path, ending):
    pipe = tmp_path / f"pipe{ending}"
    os.mkfifo(pipe)
    refuse(pipe, "pipe")
    linked = tmp_path / f"linked{ending}"
    linked.symlink_to("/dev/zero")
    refuse(linked, "device")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / f"s{ending}"))
        refuse(tmp_path / f"s{ending}", "socket|pipe or a device")


def test_a_pipe_inside_of_a_saved_model_is_not_opened(tmp_path):
    folder = tmp_path / "model"
    small_model(tf_keras).save(folder, save_format="tf")
    index = folder / "variables" / "variables.index"
    index.unlink()
    os.mkfifo(index)
    refuse(folder, "variables.index in it is not a file")


@pytest.mark.parametrize(("library", "ending"), [*FORMATS, (tf_keras, "")])
@pytest.mark.parametrize("depth", [300, 100_000])
def test_a_configuration_nested_too_deeply(tmp_path, library, ending, depth):
    if not ending:
        if depth > 1000:
            pytest.skip("json.dumps cannot write it")
        path = tmp_path / "model"
        small_model(tf_keras).save(path, save_format="tf")
        from tf_keras.protobuf import saved_metadata_pb2

        metadata = saved_metadata_pb2.SavedMetadata.FromString((path / "keras_metadata.pb").read_bytes())
        metadata.nodes[0].metadata = '{"class_name": "Sequential", "config": ' + "[" * depth * 10 + "]" * depth * 10 + "}"
        (path / "keras_metadata.pb").write_bytes(metadata.SerializeToString())
        return refuse(path, r"nested too deeply|cannot be loaded")
    path = saved(library, tmp_path, ending)
    deep = '{"class_name": "Sequential", "module": "keras", "config": {"name": "s", "layers": [' * depth + "]}}" * depth
    if ending == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = deep
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (parts | {"config.json": deep.encode()}).items():
                archive.writestr(name, content)
    return refuse(path, r"nested too deeply|cannot be loaded")


@pytest.mark.parametrize(("library", "ending"), FORMATS)
@pytest.mark.parametrize("field", ["units", "filters"])
def test_a_layer_of_billions_of_units(tmp_path, library, ending, field):
    path = saved(library, tmp_path, ending)

    def change(config):
        layer = next(layer for layer in config["config"]["layers"] if field in layer["config"])
        layer["config"][field] = 10**9
        layer.pop("build_config", None)

    change_config(path, change)
    refuse(path, "needs more weights than it holds")


def test_a_checkpoint_that_declares_more_than_it_holds(tmp_path):
    folder = tmp_path / "model"
    small_model(tf_keras).save(folder, save_format="tf")
    data = next((folder / "variables").glob("variables.data-*"))
    data.write_bytes(data.read_bytes()[:100])
    refuse(folder, "declares more than it holds")


def test_a_huge_attribute_and_text_that_is_none(tmp_path):
    path = saved(keras, tmp_path, ".h5")
    with h5py.File(path, "r+", libver="latest") as file:
        file.create_group("more").attrs.create("layer_names", np.zeros(2**27, "S1"))
    refuse(path, "attribute of more than", megabytes=600)
    path = saved(keras, tmp_path, ".h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["model_config"] = np.arange(4)
    refuse(path, "no text")


def test_npz_weights_are_not_read(tmp_path):
    path = saved(keras, tmp_path, ".keras")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != "model.weights.h5"}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": HUGE})
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("layers/dense/vars.npy", header.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | {"model.weights.npz": inner.getvalue()}).items():
            archive.writestr(name, content)
    refuse(path, "expected model.weights.h5")


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_vocabularies_kept_in_the_file_load(tmp_path, library):
    """Layers that look words up keep them in files inside of the .keras file."""
    look_up = library.layers.StringLookup()
    look_up.adapt(np.array(["cat", "dog", "cat"]))
    words = library.Input((2,), dtype="string")
    model = library.Model(words, library.layers.Embedding(4, 3)(look_up(words)))
    path = tmp_path / "words.keras"
    model.save(path)
    batch = np.array([["dog", "cow"]])
    import tensorflow as tf

    np.testing.assert_allclose(models.load(path)(tf.constant(batch)), model(tf.constant(batch)))


def test_weights_of_a_saved_model_that_lie_elsewhere(tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(2)])
    model.save(tmp_path / "model")
    data = next((tmp_path / "model" / "variables").glob("*.data-*"))
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="would read other files on loading"):
        models.load(tmp_path / "model")
