"""Models that were trained on pixels scaled outside: said with an option, it reaches all that a command does."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tf_keras
from click.testing import CliRunner
from keras.applications.imagenet_utils import preprocess_input
from small_models import small_classifier, small_digits
from tfrecall.cli import main

from tfrecall import comparison, datasets, models, plausibility, training
from tfrecall.datasets import preprocessing
from tfrecall.errors import DataWarning

WAYS = {"1/255": ("--rescale", "1/255"), "tf": ("--preprocess", "tf"), "torch": ("--preprocess", "torch")}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def named(way, suffix=""):
    return f"{way.replace('/', '_')}{suffix}.keras"


def unscaled(library):
    """A model that no two scalings of its pixels are the same to."""
    layers = library.layers
    model = library.Sequential(
        [library.Input((8, 8, 3)), layers.Flatten(), layers.Dense(32, "tanh"), layers.Dense(10, "softmax")]
    )
    model.compile(library.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Coloured digits, and a model of each Keras for each way of scaling, with what it gets right by its user's own code."""
    folder = tmp_path_factory.mktemp("shelf")
    x, y = small_digits()
    x = np.stack([x, 255 - x, x // 2], -1)
    np.savez(folder / "set.npz", x_train=x[:900], y_train=y[:900], x_test=x[900:1500], y_test=y[900:1500])
    accuracies = {}
    for way in (*WAYS, "raw"):
        for library in (tf_keras, keras) if way == "1/255" else (tf_keras,):
            model = small_classifier((8, 8, 3), [24], 10) if way == "raw" else unscaled(library)
            images = np.float32(x)
            if way == "1/255":
                images = images / 255
            elif way != "raw":
                images = preprocess_input(images.copy(), mode=way)
            model.fit(images[:900], y[:900], epochs=25, verbose=0)
            name = named(way, "-keras3" if library is keras else "")
            model.save(folder / name)
            accuracies[name] = float((model.predict(images[900:1500], verbose=0).argmax(1) == y[900:1500]).mean())
    (folder / "accuracies.json").write_text(json.dumps(accuracies))
    return folder


def invoke(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.mark.parametrize(("way", "suffix"), [*((way, "") for way in WAYS), ("1/255", "-keras3")])
def test_evaluate_gives_the_accuracy_of_the_users_own_code(shelf, way, suffix):
    own = json.loads((shelf / "accuracies.json").read_text())[named(way, suffix)]
    assert own > 0.85  # else the test would show nothing
    arguments = ("evaluate", shelf / named(way, suffix), "--dataset", shelf / "set.npz", "--format", "json")
    said = invoke(*arguments, *WAYS[way])
    assert json.loads(said.stdout)["accuracy"] == pytest.approx(own, abs=2e-3)
    assert said.stderr == ""


@pytest.mark.parametrize("way", ["tf", "torch"])
def test_without_the_option_it_is_named(shelf, way):
    result = invoke("evaluate", shelf / named(way), "--dataset", shelf / "set.npz")
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Warning: ")
    near = "tf|torch" if way == "tf" else way  # two that differ little: either is far better than none
    assert re.search(rf"as by --preprocess ({near}) \(in Python preprocess='({near})'\)", lines[0])


def test_a_scaling_too_many_is_named(shelf):
    result = invoke("evaluate", shelf / named("raw"), "--dataset", shelf / "set.npz", "--rescale", "1/255")
    assert "on raw pixels: if it was trained on such pixels, leave that out." in result.stderr


def test_a_model_that_is_right_is_not_suspected(shelf):
    assert invoke("evaluate", shelf / named("raw"), "--dataset", shelf / "set.npz").stderr == ""


def test_pixels_that_were_scaled_in_the_file(shelf):
    with np.load(shelf / "set.npz") as arrays:
        scaled = {key: np.float32(value) / 255 if key.startswith("x") else value for key, value in arrays.items()}
    np.savez("scaled.npz", **scaled)
    result = invoke("evaluate", shelf / named("raw"), "--dataset", "scaled.npz")
    assert "--rescale 255 " in result.stderr
    assert invoke("evaluate", shelf / named("1/255"), "--dataset", "scaled.npz").stderr == ""


def test_a_model_no_better_than_chance_is_suspected_and_a_fair_one_is_not():
    data = datasets.load("digits")
    model = small_classifier((8, 8, 1), [8], 10)
    untrained = np.eye(10)[np.zeros(len(data.test), int)]
    with pytest.warns(DataWarning, match=r"no better than chance: if it should, check the order"):
        plausibility.warn_if_misread(_constant(model), "it", data.test, untrained)
    fair = np.eye(10)[data.test.labels]
    fair[::3] = np.roll(fair[::3], 1, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plausibility.warn_if_misread(_constant(model), "it", data.test, fair)


def _constant(model):
    """Let a model say one class of all images, however they are scaled."""
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(("way", "suffix"), [("1/255", ""), ("1/255", "-keras3"), ("torch", "")])
def test_a_run_scales_alike_in_all_its_steps(shelf, way, suffix):
    import tensorflow as tf

    options = (
        "--model",
        shelf / named(way, suffix),
        "--dataset",
        shelf / "set.npz",
        "--fine-tune-epochs",
        2,
        "--ratio",
        0.5,
    )
    invoke("prune", *options, *WAYS[way], "--output", "run", "--quiet")
    report = json.loads(Path("run/report.json").read_text())
    own = json.loads((shelf / "accuracies.json").read_text())[named(way, suffix)]
    assert report["before"]["accuracy"] == pytest.approx(own, abs=2e-3)
    assert report["after"]["accuracy"] > own - 0.1  # what is fine-tuned on other pixels falls
    assert json.loads(Path("run/config.json").read_text())["settings"]["preprocess"] == way
    # What is served takes raw pixels and gives what the run measured.
    with np.load(shelf / "set.npz") as arrays, np.load("run/predictions.npz") as predictions:
        raw, after = arrays["x_test"], predictions["after"]
    served = tf.saved_model.load("run/saved_model")
    for images in (raw, raw.astype(np.float32)):
        np.testing.assert_allclose(served(images)["probabilities"].numpy(), after, atol=1e-4)
    again = invoke("evaluate", "run/pruned.keras", "--dataset", shelf / "set.npz", *WAYS[way], "--format", "json")
    assert json.loads(again.stdout)["accuracy"] == pytest.approx(report["after"]["accuracy"])
    compared = comparison.compare("run/baseline.keras", "run/pruned.keras", dataset=str(shelf / "set.npz"), preprocess=way)
    assert compared["before"]["accuracy"] == pytest.approx(report["before"]["accuracy"])
    assert compared["after"]["accuracy"] == pytest.approx(report["after"]["accuracy"])


@pytest.mark.parametrize("way", ["1/255", "caffe", "torch"])
def test_exported_files_take_raw_pixels(shelf, way):
    import tensorflow as tf

    name = shelf / named("raw" if way == "caffe" else way)
    options = ("--rescale", way) if way == "1/255" else ("--preprocess", way)
    with np.load(shelf / "set.npz") as arrays:
        raw = arrays["x_test"][:5].astype(np.float32)
    model = models.load(name)
    expected = models.probabilities(model, model(preprocessing(way)(raw))).numpy()
    invoke("export", name, *options, "--output", "served")
    np.testing.assert_allclose(tf.saved_model.load("served")(raw)["probabilities"].numpy(), expected, atol=1e-4)
    invoke("export", name, *options, "--format", "tflite", "--output", "served.tflite")
    interpreter = tf.lite.Interpreter("served.tflite")
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, raw.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, raw)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rescale", "1/255", "--preprocess", "tf"), "exclude each other"),
        (("--rescale", "tf"), "use --preprocess tf"),
        (("--rescale", "255x"), "a rescaling is text, SCALE or SCALE,OFFSET, such as 1/255 or 1/127.5,-1; got '255x'"),
        (("--rescale", "0"), "finite scale other than 0"),
        (("--preprocess", "tourch"), "unknown mode for --preprocess 'tourch': did you mean torch"),
        (("--preprocess", "1/255"), "unknown mode for --preprocess '1/255'"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "export", "report", "prune"])
def test_options_that_make_no_sense(shelf, command, arguments, message):
    raw = shelf / named("raw")
    models_ = {"report": [raw, raw, "--dataset", "digits"], "prune": ["--model", raw]}.get(command, [raw])
    result = invoke(command, *models_, *arguments, code=2)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_options_that_would_change_nothing():
    np.savez("a.npz", y_true=[0, 1], y_pred=[0, 1])
    both = invoke("report", "a.npz", "a.npz", "--rescale", "1/255", code=2)
    assert "--rescale or --preprocess is for models" in both.stderr
    assert "are for saved models" in invoke("prune", "--rescale", "1/255", code=2).stderr


@pytest.mark.parametrize("name", ["", "~nobody-of-that-name/x", "x" * 300, os.fsdecode(b"./b\xe4r"), "/", "/dev/zero"])
@pytest.mark.parametrize("command", ["prune", "train", "plan"])
def test_data_sets_that_cannot_be_one_line(name, command):
    if command == "plan":
        Path("plan.toml").write_text(f"datasets = [{json.dumps(name, ensure_ascii=True)}]\nseeds = [0]\n")
        result = invoke("study", "run", "plan.toml", "--output", "study", code=2)
    else:
        result = invoke(command, "--dataset", name, code=2)
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert len(result.stderr) < 400


def test_what_is_left_out_of_a_folder_is_said_in_one_line():
    from PIL import Image

    for name in ("a", "b"):
        Path(name).mkdir()
        for number in range(6):
            Image.new("RGB", (28, 28), (number, 0, 200 * (name == "a"))).save(f"{name}/{number}.png")
        Path(name, "extra.heic").write_bytes(b"no one reads this")
    data = datasets.load(".", image_shape=(28, 28, 3))
    model = small_classifier((28, 28, 3), [4], 2)
    training.compile_model(model, training.recipe("default"), 1)
    model.save("model.keras")
    assert len(data.class_names) == 2
    Path("model.keras").rename("../model.keras")
    result = invoke("evaluate", "../model.keras", "--dataset", ".")
    assert "Warning: .: not used: .heic files (2).\n" in result.stderr
