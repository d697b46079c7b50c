"""Layers of one's own, named by module and object; and what errors of libraries say."""

import sys

import keras
import numpy as np
import pytest
import tf_keras
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tfrecall.cli import main

from tfrecall import models
from tfrecall.errors import InputError
from tfrecall.models.loading.failures import essence
from tfrecall.settings import Settings

MODULE = """
import {library} as keras

class Gain(keras.layers.Layer):
    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), name="gain", initializer="ones")

    def call(self, inputs):
        return inputs * self.gain

def squash(inputs):
    return keras.activations.tanh(inputs / 16)

class Outer:
    Inner = Gain

CUSTOM = {{"Gain": Gain, "squash": squash}}
NUMBER = 3
"""


@pytest.fixture(params=["keras", "tf_keras"])
def own(request, tmp_path, monkeypatch):
    """A folder with a module of a layer and an activation, the current one, and models made of them there."""
    library = {"keras": keras, "tf_keras": tf_keras}[request.param]
    name = f"own_{request.param}_{tmp_path.name[-3:].replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(library=request.param))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    objects = models.named_objects([f"{name}:CUSTOM"])
    layers = library.layers
    model = library.Sequential(
        [
            library.Input((8, 8, 1)),
            layers.Flatten(),
            objects["Gain"](),
            layers.Dense(12, activation=objects["squash"]),
            layers.Dense(10, activation="softmax"),
        ]
    )
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"model{ending}")
    yield name, model
    sys.modules.pop(name, None)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize(
    "named", [["{0}:CUSTOM"], ["{0}.py:CUSTOM"], ["{0}:Gain", "{0}.py:squash"], ["{0}:Outer.Inner", "{0}:squash"]]
)
def test_named_objects_load_and_nothing_else_is_trusted_with_them(own, ending, named):
    name, model = own
    with pytest.raises(InputError, match=r"names (Gain|squash).*--custom MODULE:(Gain|squash).*--unsafe") as caught:
        models.load(f"model{ending}")
    assert "\n" not in str(caught.value)
    objects = models.named_objects([one.format(name) for one in named])
    loaded = models.load(f"model{ending}", custom_objects=objects)
    images = np.random.default_rng(0).uniform(0, 16, (3, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-5)
    objects.pop("Gain")
    with pytest.raises(InputError, match="names Gain"):
        models.load(f"model{ending}", custom_objects=objects)


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "model.keras"],
        ["report", "model.keras", "model.h5", "--dataset", "digits"],
        ["export", "model.keras", "--output", "served"],
        ["export", "model.h5", "--output", "served.tflite", "--format", "tflite"],
    ],
)
def test_the_commands_take_named_objects(own, command):
    name, _ = own
    result = CliRunner().invoke(main, [*command, "--custom", f"{name}:Gain", "--custom", f"{name}.py:squash"])
    assert result.exit_code == 0, result.stderr
    again = ["--overwrite"] if command[0] == "export" else []
    result = CliRunner().invoke(main, [*command, *again, "--custom", f"{name}:Gain"])
    assert result.exit_code == 2
    assert "squash" in result.stderr
    assert "--custom" in result.stderr


def test_a_run_remembers_its_named_objects(own):
    import json

    name, _ = own
    command = [
        "prune",
        "--model",
        "model.keras",
        "--custom",
        f"{name}:CUSTOM",
        "--fine-tune-epochs",
        "1",
        "--algo",
        "magnitude",
    ]
    result = CliRunner().invoke(main, [*command, "--fine-tune-learning-rate", "1e-5", "--output", "out", "--quiet"])
    assert result.exit_code == 0, result.stderr
    with open("out/config.json", encoding="utf-8") as file:
        settings = json.load(file)["settings"]
    assert settings["custom"] == [f"{name}:CUSTOM"]
    assert Settings(model="model.keras", custom=settings["custom"]).custom == (f"{name}:CUSTOM",)
    objects = models.named_objects(settings["custom"])
    assert models.load("out/pruned.keras", custom_objects=objects).count_params() > 0


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("Gain", "needs MODULE:OBJECT"),
        (":Gain", "needs MODULE:OBJECT"),
        ("nowhere_at_all:Gain", "nowhere_at_all cannot be imported"),
        ("nowhere.py:Gain", "no file nowhere.py"),
        ("math:nothing", "math has no nothing"),
        ("math:pi", "got float"),
        ("broken.py:Gain", r"broken.py cannot be imported: ZeroDivisionError: division by zero"),
        ("wrong.py:CUSTOM", "'b' is none"),
    ],
)
def test_a_name_that_names_nothing_says_so(tmp_path, monkeypatch, named, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "wrong.py").write_text("CUSTOM = {'a': len, 'b': 3}")
    with pytest.raises(InputError, match=message) as caught:
        models.named_objects([named])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", [keras, tf_keras])
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_an_error_of_keras_says_which_layer_and_which_shapes(tmp_path, library, ending):
    layers = library.layers
    big = library.Sequential([library.Input((8, 8, 1)), layers.Flatten(), layers.Dense(7, name="head")])
    path = tmp_path / f"model{ending}"
    big.save(path)
    from test_loading_sizes import change_config

    def change(config):
        config["config"]["layers"][-1]["config"]["units"] = 3

    change_config(path, change)
    with pytest.raises(InputError, match=r"\(64, 3\).*\(64, 7\)|\(64, 7\).*\(64, 3\)") as caught:
        models.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))


def test_an_unexpected_argument_is_named(tmp_path):
    from test_loading_sizes import change_config, small_model

    for library in (keras, tf_keras):
        path = tmp_path / f"{library.__name__}.keras"
        small_model(library).save(path)
        change_config(path, lambda config: config["config"]["layers"][-1]["config"].update(unitz=3))
        with pytest.raises(InputError, match="unitz") as caught:
            models.load(path)
        assert len(str(caught.value)) < 500 + len(str(path))


def test_the_essence_of_a_nested_error_is_its_innermost_cause():
    outer = TypeError("<class 'Dense'> could not be deserialized.\n\nconfig={'a': 1}.\n\nException encountered: Cause here.")
    assert essence(outer) == "Cause here."
    located = TypeError("Could not locate class 'Scale'. Make sure of it. Full object config: {'module': None}")
    assert essence(located) == "Could not locate class 'Scale'. Make sure of it."
    assert essence(KeyError("layers")) == "KeyError: 'layers'."
    assert essence(RuntimeError()) == "RuntimeError."
    many = ValueError(
        "A total of 2 objects could not be loaded. Example error message for object <Dense>:\n\nToo few.\n\nList of"
    )
    assert essence(many).startswith("<Dense>: Too few.")


@given(st.text(max_size=2000))
def test_the_essence_is_one_line_that_ends_where_words_do(text):
    said = essence(ValueError(text))
    assert len(said.splitlines()) <= 1
    assert len(said) <= 420
    assert said.endswith((".", "…", "!", "?"))
