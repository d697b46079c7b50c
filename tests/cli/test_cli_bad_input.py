"""Bad input: one line that says what was wrong and what would be right, exit code 2, and nothing written."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tfrecall.cli import main

from tfrecall import models, sparsity, training
from tfrecall.errors import InputError

SCRIPT = Path(sys.executable).with_name("tfrecall")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def contents(folder="."):
    """Every file and folder with what is in it: hidden ones, too."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path(folder).rglob("*")}


def refused(*arguments, code=2):
    """Run a command that must fail in one line and write nothing; returns the line."""
    before = contents()
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    assert contents() == before
    return lines[0]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Model files of every kind that a user may hand over."""
    import tf_keras

    folder = tmp_path_factory.mktemp("shelf")
    layers = tf_keras.layers
    training.seed_everything(0)

    def built(*middle, classes=10):
        last = layers.Dense(classes, activation="softmax")
        return tf_keras.Sequential([tf_keras.Input((8, 8, 1)), *middle, layers.Flatten(), last])

    good = built(layers.Conv2D(4, 3))
    good.save(folder / "good.keras")
    good.save(folder / "good.h5")
    good.save_weights(folder / "weights.h5")
    built(layers.Conv2D(4, 3), classes=3).save(folder / "three.keras")
    built().save(folder / "classifier.keras")
    untrusted = built(layers.Lambda(lambda x: x / 255.0), layers.Conv2D(4, 3))
    for name in ("lambda.keras", "lambda.h5", "lambda"):
        untrusted.save(folder / name)
    for name in ("good.keras", "good.h5"):
        content = (folder / name).read_bytes()
        (folder / f"cut.{name.split('.')[1]}").write_bytes(content[: len(content) // 2])
    (folder / "text.keras").write_text("this is no model\n")
    (folder / "empty.keras").write_bytes(b"")
    (folder / "pickle.keras").write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    (folder / "image.h5").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    with zipfile.ZipFile(folder / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "a zip of something else")
    (folder / "empty").mkdir()
    models.load(folder / "good.keras").export(folder / "serving")
    rewritten(folder / "good.keras", folder / "system.keras", runs_a_function)
    rewritten(folder / "good.keras", folder / "foreign.keras", names_a_module)
    return folder


def rewritten(source, target, change):
    """Copy a .keras file with another config.json in it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)


def runs_a_function(config):
    function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    config["config"]["layers"][-1]["config"]["activation"] = function


def names_a_module(config):
    config["config"]["layers"][-1].update(module="subprocess", class_name="Popen", config={"args": ["touch", "pwned"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", "--model", "resnet21"], "unknown model 'resnet21': did you mean .*resnet20"),
        (["prune", "--model", "no/such.keras"], "no model file at no/such.keras"),
        (["train", "--model", "vg16"], "unknown model 'vg16': did you mean vgg16"),
        (["prune", "--dataset", "digit"], "unknown data set 'digit': did you mean .*digits"),
        (["prune", "--dataset", "fashion_mnst"], "unknown data set 'fashion_mnst': did you mean .*fashion_mnist"),
        (["prune", "--dataset", "no.npz"], "no.npz: no such file"),
        (["prune", "--algo", "undecaied"], "unknown algorithm 'undecaied': did you mean .*undecayed"),
        (["prune", "--recipe", "papr"], "unknown recipe 'papr': did you mean paper"),
        (["prune", "--scope", "layers"], "unknown scope 'layers': did you mean layer"),
        (["prune", "--strategy", "miror"], "unknown strategy 'miror': did you mean mirrored"),
        (["prune", "--optimizer", "adma"], "unknown optimizer 'adma': did you mean adam"),
        (["prune", "--learning-rate-schedule", "cosin"], "unknown learning rate schedule 'cosin': did you mean cosine"),
        (["prnue"], "unknown command 'prnue': did you mean prune"),
        (["frobnicate"], "unknown command 'frobnicate': known are algorithms, .*prune"),
        (["prune", "--ratio", "0"], "ratio must be .*; got 0"),
        (["prune", "--ratio", "-1"], "ratio must be .*; got -1"),
        (["prune", "--ratio", "1"], "ratio must be .*; got 1"),
        (["prune", "--ratio", "nan"], "ratio must be .*; got nan"),
        (["prune", "--ratio", "inf"], "ratio must be .*; got inf"),
        (["prune", "--ratio", "half"], "'half' is not a valid float"),
        (["prune", "--seed", "-1"], "seed must be a whole number between 0 and"),
        (["prune", "--epochs", "0"], "epochs must be a whole number of at least 1; got 0"),
        (["prune", "--learning-rate", "nan"], "learning_rate must be above 0"),
        (["prune", "--momentum", "1"], "momentum must be at least 0 and below 1"),
        (["prune", "--validation-fraction", "1"], "validation_fraction must lie between 0 and 1"),
        (["prune", "--format", "xml"], "'xml' is not one of 'table', 'json', 'markdown'"),
        (["prune", "--rato", "2"], "[Nn]o such option.*--rato.*--ratio"),
        (["--verbos"], "[Nn]o such option"),
        (["report"], "Missing argument 'BEFORE'"),
        (["report", "a.npz"], "Missing argument 'AFTER'"),
        (["prune", "lenet5"], "unexpected extra argument"),
        (["train", "--output", "model.h5"], "written as a .keras file; got model.h5"),
        (["report", "a.npz", "b.npz"], "no file of predictions at a.npz"),
        (["evaluate", "no.keras"], "no model file at no.keras"),
        (["export", "no.keras"], "no model file at no.keras"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    assert re.search(message, refused(*arguments))


def test_an_infeasible_ratio_names_the_largest_that_is_not():
    line = refused("prune", "--ratio", "0.999")
    fraction, times = re.search(r"largest feasible ratio is (\S+) \(compression (\S+)\)", line).groups()
    total, prunable = 61_706, 60_630  # LeNet-5: all parameters, and its kernels but the classifier's
    for text in (fraction, times):
        assert sparsity.budget(sparsity.sparsity(float(text)), total, prunable) > 0.998 * prunable
    with pytest.raises(InputError):
        sparsity.budget(float(fraction) + 2e-4, total, prunable)


def test_an_output_folder_with_something_in_it():
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    assert re.search("out is not empty: .*--overwrite", refused("prune", "--output", "out"))
    assert "mine.txt is a file, not a folder" in refused("prune", "--output", "out/mine.txt")
    assert "mine.txt is a file, not a folder" in refused("prune", "--output", "out/mine.txt/deeper/out")
    Path("a.keras").write_text("mine")
    assert re.search("a.keras exists already.*--overwrite", refused("train", "--output", "a.keras"))
    assert "a.keras is a file, not a folder" in refused("train", "--output", "a.keras/b.keras")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_cannot_be_written(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for arguments in (["prune", "--output", "locked/out"], ["train", "--output", "locked/a.keras"]):
        assert "cannot be written to" in refused(*arguments)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut.keras", "is truncated, or no Keras model file"),
        ("cut.h5", "is truncated, or no Keras model file"),
        ("text.keras", "is of another kind: expected a .keras or .h5 file"),
        ("empty.keras", "is of another kind: expected a .keras or .h5 file"),
        ("pickle.keras", "is a pickle, which would run code"),
        ("image.h5", "is of another kind: expected a .keras or .h5 file"),
        ("other.keras", "no Keras model file"),
        ("weights.h5", "holds weights without a model: save the whole model"),
        ("serving", "SavedModel for serving, not one of Keras: give the .keras"),
        ("empty", "is no SavedModel folder"),
        ("lambda.keras", "run code on loading .*Lambda.*--unsafe"),
        ("lambda.h5", "run code on loading .*Lambda.*--unsafe"),
        ("lambda", "run code on loading .*Lambda.*--unsafe"),
        ("system.keras", "run code on loading .*os.*--unsafe"),
        ("foreign.keras", "run code on loading .*Popen of the module subprocess.*--unsafe"),
        ("three.keras", "3 classes apart, but digits has 10"),
    ],
)
@pytest.mark.parametrize("command", [["evaluate"], ["prune", "--output", "out", "--model"]], ids=lambda words: words[0])
def test_model_files_that_cannot_be_used(shelf, name, message, command):
    assert re.search(message, refused(*command, shelf / name))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5", "lambda"])
def test_a_trusted_file_may_run_code(shelf, name):
    result = CliRunner().invoke(main, ["evaluate", str(shelf / name), "--unsafe", "--format", "json"])
    assert result.exit_code == 0, result.output
    assert 0 <= json.loads(result.stdout)["accuracy"] <= 1


def test_the_other_commands_refuse_untrusted_files_too(shelf):
    assert "--unsafe" in refused("export", shelf / "lambda.keras", "--output", "served")
    np.savez("a.npz", y_true=[0, 1], y_pred=[0, 1])
    assert "--unsafe" in refused("report", shelf / "good.keras", shelf / "lambda.h5", "--dataset", "digits")
    assert "--dataset" in refused("report", "a.npz", shelf / "good.keras")


def test_exports_that_cannot_be(shelf):
    assert re.search("unknown export format 'onnx'", refused("export", shelf / "good.keras", "--format", "onnx"))
    Path("there").mkdir()
    assert re.search("there exists already.*--overwrite", refused("export", shelf / "good.keras", "--output", "there"))
    three = refused("export", shelf / "three.keras", "--dataset", "digits", "--output", "served")
    assert "expected 3 different class names" in three


@pytest.mark.parametrize("option", ["--epochs", "--learning-rate", "--weight-decay"])
def test_options_that_a_saved_model_has_no_use_for(shelf, option):
    line = refused("prune", "--model", shelf / "good.keras", option, "1")
    assert f"{option} is for training a model by name" in line


def test_options_that_would_change_nothing(shelf):
    assert "--momentum is for sgd" in refused("prune", "--optimizer", "adam", "--momentum", "0.5")
    assert "No such option" in refused("train", "--fine-tune-epochs", "1")


def test_a_binary_model_on_ten_classes(shelf, tmp_path):
    import tf_keras

    layers = tf_keras.layers
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1, activation="sigmoid")])
    model.save(tmp_path / "binary.keras")
    assert "tells 2 classes apart, but digits has 10" in refused("prune", "--model", "binary.keras")


def test_an_output_that_cannot_be_made_is_found_before_training():
    assert "cannot be written to" in refused("prune", "--output", "/proc/none")


def test_a_seed_below_zero(tmp_path):
    np.savez(tmp_path / "a.npz", y_true=[0, 1], y_pred=[0, 1])
    assert "seed must be at least 0" in refused("report", "a.npz", "a.npz", "--seed", "-1")


def test_a_model_with_nothing_to_prune(shelf):
    assert re.search("nothing to prune.*--prune-classifier", refused("prune", "--model", shelf / "classifier.keras"))


@pytest.mark.parametrize(
    ("y_true", "y_pred", "names", "message"),
    [
        ([0, 1, -1], [0, 1, 1], ["a", "b"], "'y_true' must lie in 0 to 1"),
        ([0, 1, 1], [0, 1, -3], ["a", "b"], "must lie in 0 to 1 for 2 classes; got -3"),
        ([0, 1, 5], [0, 1, 1], ["a", "b"], "'y_true' must lie in 0 to 1 for 2 classes; got 5"),
        ([0, 1, 0.5], [0, 1, 1], None, "whole numbers"),
    ],
)
def test_predictions_with_labels_out_of_range(y_true, y_pred, names, message):
    np.savez("a.npz", y_true=y_true, y_pred=y_pred, **({"class_names": names} if names else {}))
    assert message in refused("report", "a.npz", "a.npz")


def test_a_data_set_with_labels_out_of_range():
    images = np.zeros((40, 8, 8), np.uint8)
    np.savez("data.npz", x_train=images, y_train=np.arange(40) % 4, x_test=images, y_test=np.arange(40) % 5)
    assert "y_test holds the label 4 but there are 4 classes" in refused("prune", "--dataset", "data.npz")


def test_report_options_out_of_range():
    np.savez("a.npz", y_true=[0, 1], y_pred=[0, 1])
    assert "level must lie between 0 and 1" in refused("report", "a.npz", "a.npz", "--level", "95")
    assert "resamples must be at least 100" in refused("report", "a.npz", "a.npz", "--resamples", "1")
    np.savez("b.npz", y_true=[1, 0], y_pred=[0, 1])
    assert "different y_true" in refused("report", "a.npz", "b.npz")


def test_a_set_that_is_not_prepared_names_the_command(monkeypatch, tmp_path_factory):
    prepared = tmp_path_factory.mktemp("tfds")
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    for name in ("https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with contextlib.suppress(OSError):
        socket.create_connection(("www.cs.toronto.edu", 443), timeout=3).close()
        pytest.skip("this machine has a network")
    line = refused("prune", "--dataset", "cifar10")
    assert re.search(f"'cifar10' is not in {prepared} .*`tfds build cifar10.* --data_dir {prepared}`", line)
    assert contents(prepared) == {}


@pytest.mark.parametrize("command", ["prune", "train"])
def test_training_that_diverges(command):
    line = refused(command, "--learning-rate", "1e30", "--epochs", "2", "--quiet", code=1)
    assert re.search("the loss is .*epoch 1.*lower the learning rate", line)


def test_a_real_process_says_it_in_one_line(shelf, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [SCRIPT, "prune", "--model", shelf / "lambda.keras"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch("Error: .*Lambda.*--unsafe.*\n", done.stderr)
    assert contents(tmp_path) == {}
