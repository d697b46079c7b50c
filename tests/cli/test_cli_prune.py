"""``tfrecall prune`` and ``train``: options reach the run, and each stream carries what it should."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
import pytest
import tf_keras
from click.testing import CliRunner
from small_models import small_classifier, small_digits
from tfrecall.cli import main
from tfrecall.cli.session import session

from tfrecall import datasets, models, training

CONFIGURED = ("model", "dataset", "ratio", "algorithm", "scope", "include_classifier", "seed", "strategy", "unsafe")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A small set, and a model for it in every format that can be pruned."""
    folder = tmp_path_factory.mktemp("shelf")
    x, y = small_digits()
    np.savez(folder / "small.npz", x_train=x[:400], y_train=y[:400], x_test=x[400:700], y_test=y[400:700])
    model = small_classifier((8, 8, 1), [20, 12], 10)
    model.fit(x[:400, ..., None], y[:400], epochs=4, verbose=0)
    for name in ("small.keras", "small.h5", "small"):
        model.save(folder / name)
    again = small_classifier((8, 8, 1), [20, 12], 10, keras=keras)
    again.set_weights(model.get_weights())
    for name in ("three.keras", "three.h5"):
        again.save(folder / name)
    np.save(folder / "expected.npy", model.predict(x[400:700, ..., None], verbose=0))
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def prune(shelf, *arguments, model="small.keras"):
    """Prune a saved model quickly; returns Click's result, which must be a success."""
    options = ("--model", shelf / model, "--dataset", shelf / "small.npz", "--fine-tune-epochs", 1)
    result = invoke("prune", *options, *arguments)
    assert result.exit_code == 0, result.output
    return result


def read(folder, name):
    return json.loads((Path(folder) / name).read_text(encoding="utf-8"))


def kernels(folder):
    model = models.load(Path(folder) / "pruned.keras")
    return {layer.name: layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")}


def zeros(folder):
    return {name: int((kernel == 0).sum()) for name, kernel in kernels(folder).items()}


TOTAL = 64 * 20 + 20 + 20 * 12 + 12 + 12 * 10 + 10


def test_either_notation_of_a_ratio_prunes_the_same(shelf):
    fraction = prune(shelf, "--ratio", "0.75", "--output", "fraction", "--format", "json")
    prune(shelf, "--ratio", "4", "--output", "times", "--quiet")
    for name, kernel in kernels("fraction").items():
        np.testing.assert_array_equal(kernel, kernels("times")[name])
    one, other = read("fraction", "report.json"), read("times", "report.json")
    assert (one["ratio"].pop("requested"), other["ratio"].pop("requested")) == (0.75, 4)
    assert one == other
    assert one["parameters"]["remaining"] == TOTAL - round(TOTAL * 0.75)
    # JSON alone on standard output; one plain line an epoch on standard error, for that is no terminal
    assert fraction.stdout == Path("fraction/report.json").read_text(encoding="utf-8")
    lines = fraction.stderr.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("epoch")] == [["epoch", "1/1"]]
    assert "val_loss" in next(line for line in lines if line.startswith("epoch"))
    assert lines[-1] == "Written to fraction/: open report.html there."
    assert not set("\r\b\x1b") & set(fraction.output)


def test_quiet_prints_the_report_alone(shelf):
    result = prune(shelf, "--quiet", "--output", "out")
    assert result.stderr == ""
    assert result.stdout.startswith("What was pruned, by layer")
    assert "accuracy" in result.stdout
    assert "epoch" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_markdown_is_the_file(shelf):
    result = prune(shelf, "--quiet", "--output", "out", "--format", "markdown")
    assert result.stdout == Path("out/report.md").read_text(encoding="utf-8")


def test_every_option_reaches_the_run(shelf):
    recipe = {
        **{"fine_tune_epochs": 1, "batch_size": 50, "optimizer": "adamw", "weight_decay": 0.25},
        **{"fine_tune_learning_rate": 0.003, "learning_rate_schedule": "step"},
        **{"validation_fraction": 0.2, "score_examples": 77},
    }
    options = [text for name, value in recipe.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    others = ("--ratio", "3", "--algo", "gp", "--scope", "layer", "--prune-classifier", "--seed", 9, "--strategy", "cpu")
    prune(shelf, *others, "--unsafe", "--recipe", "paper", *options, "--output", "out", "--quiet")
    settings = read("out", "config.json")["settings"]
    assert settings["recipe"] == {"epochs": 30, "learning_rate": 0.01, "momentum": 0.9, "initializer": "pytorch", **recipe}
    expected = (str(shelf / "small.keras"), str(shelf / "small.npz"), 3, "gradient", "layer", True, 9, "cpu", True)
    assert tuple(settings[name] for name in CONFIGURED) == expected
    removed = {name: count / kernels("out")[name].size for name, count in zeros("out").items()}
    assert max(removed.values()) - min(removed.values()) < 0.02  # the same share of each layer, the classifier's too
    assert sum(zeros("out").values()) == round(TOTAL * 2 / 3)
    assert read("out", "report.json")["parameters"]["prunable"] == 64 * 20 + 20 * 12 + 12 * 10


def test_the_classifier_is_left_alone_unless_asked_for(shelf):
    prune(shelf, "--quiet", "--ratio", "0.9", "--output", "without")
    prune(shelf, "--quiet", "--ratio", "0.9", "--output", "with", "--prune-classifier")
    assert zeros("without")["last"] == 0
    assert zeros("with")["last"] > 0
    assert sum(zeros("without").values()) == sum(zeros("with").values())


@pytest.mark.parametrize(("name", "full"), [("RP", "random"), ("undecayed-sum", "undecayed-sum")])
def test_the_other_algorithms(shelf, name, full):
    prune(shelf, "--quiet", "--algo", name, "--output", "out")
    assert read("out", "config.json")["settings"]["algorithm"] == full
    assert sum(zeros("out").values()) == round(TOTAL / 2)


def test_short_names_mean_the_same_and_the_default_is_undecayed(shelf):
    masks = {}
    for algorithm in ("mp", "magnitude", "up"):
        prune(shelf, "--quiet", "--algo", algorithm, "--output", algorithm)
        masks[algorithm] = np.concatenate([kernel.ravel() == 0 for kernel in kernels(algorithm).values()])
    for file in ("report.json", "config.json"):
        assert read("mp", file) == read("magnitude", file)
    assert (masks["mp"] != masks["up"]).any()
    prune(shelf, "--quiet")  # into the default folder
    default = Path("runs/small-small-undecayed-0.5-seed0")
    assert read(default, "report.json") == read("up", "report.json")
    assert [str(path) for path in Path("runs").iterdir()] == [str(default)]


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("small.keras", "tf_keras"),
        ("small.h5", "tf_keras"),
        ("small", "tf_keras"),
        ("three.keras", "keras"),
        ("three.h5", "keras"),
    ],
)
def test_a_saved_model_in_place_of_a_name(shelf, name, library):
    prune(shelf, "--quiet", "--output", "out", model=name)
    with np.load("out/predictions.npz") as file:
        np.testing.assert_allclose(file["before"], np.load(shelf / "expected.npy"), atol=1e-6)
    assert sum(zeros("out").values()) == round(TOTAL / 2)
    for file in ("baseline.keras", "pruned.keras"):  # each file is of the Keras that wrote the model
        assert type(models.load(Path("out") / file)).__module__.split(".")[0] == library


def test_both_kerases_prune_the_same(shelf):
    """The same weights, data and ratio: right after pruning the models agree, and so do the masks at the end."""
    found = {}
    for name in ("small.keras", "three.keras"):
        prune(shelf, "--quiet", "--output", name, "--ratio", 5, model=name)
        found[name] = {layer: kernel == 0 for layer, kernel in kernels(name).items()}
    for layer, mask in found["small.keras"].items():
        np.testing.assert_array_equal(mask, found["three.keras"][layer])
    one, other = (read(name, "report.json") for name in found)
    assert one["one_shot"] == other["one_shot"]


def test_a_file_of_keras_3_goes_through_the_other_commands(shelf):
    small = ("--dataset", shelf / "small.npz")
    prune(shelf, "--quiet", "--output", "out", model="three.keras")
    evaluations = [invoke("evaluate", shelf / name, *small, "--format", "json") for name in ("small.keras", "three.keras")]
    one, other = (json.loads(done.stdout) for done in evaluations)
    assert one.pop("model") != other.pop("model")
    assert one == other
    compared = invoke("report", shelf / "small.keras", "out/pruned.keras", *small, "--format", "json")
    assert compared.exit_code == 0, compared.output
    assert json.loads(compared.stdout)["after"] == read("out", "report.json")["after"]
    for form, name in (("savedmodel", "served"), ("tflite", "served.tflite")):
        exported = invoke("export", "out/pruned.keras", "--format", form, "--output", name)
        assert exported.exit_code == 0, exported.output
        assert Path(name).exists()


@pytest.mark.parametrize("model", ["small.keras", "three.keras"])
def test_what_pruning_may_have_done_wrong_is_a_line_on_standard_error(shelf, model):
    result = prune(shelf, "--ratio", 0.9031, "--quiet", model=model)  # one weight of 1,520 is kept
    emptied, *thin = result.stderr.splitlines()
    assert emptied.startswith("Warning: nothing is left of ")
    assert all(line.startswith("Warning: almost nothing is left of ") for line in thin)
    assert all(line.endswith('rank within each layer (scope="layer").') for line in (emptied, *thin))


def test_overwrite_keeps_what_is_not_the_runs(shelf):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    Path("out/report.json").write_text("old")
    prune(shelf, "--quiet", "--output", "out", "--overwrite")
    assert Path("out/mine.txt").read_text() == "mine"
    assert read("out", "report.json")["ratio"]["compression"] == pytest.approx(2, abs=0.01)


def test_train_then_prune_the_file(shelf, tmp_path):
    options = ("--dataset", shelf / "small.npz", "--epochs", 1, "--seed", 2)
    trained = invoke("train", *options, "--output", "a.keras")
    assert trained.exit_code == 0, trained.output
    assert "Recall by class" in trained.stdout
    assert "epoch 1/1" in trained.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.keras"]
    data = datasets.load(shelf / "small.npz", image_shape=(28, 28, 1))
    import tf_keras

    accuracy = (training.predict(tf_keras.models.load_model("a.keras"), data.test).argmax(axis=1) == data.test.labels).mean()
    assert f"accuracy {accuracy:.4f}" in trained.stdout
    pruned = invoke("prune", "--model", "a.keras", "--dataset", shelf / "small.npz", "--fine-tune-epochs", 1, "--quiet")
    assert pruned.exit_code == 0, pruned.output
    assert read("runs/a-small-undecayed-0.5-seed0", "report.json")["before"]["accuracy"] == pytest.approx(accuracy)


FILES = {
    *("config.json", "baseline.keras", "pruned.keras", "saved_model", "predictions.npz"),
    *("report.json", "report.md", "report.html", "figures"),
}


def refused(*arguments):
    """Run a command that must fail in one line; returns the line."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Error: ")
    return result.stderr


def assert_same_results(one, other):
    """Two runs have the same bytes, but for the models' files, which hold times."""
    for name in ("config.json", "report.json", "report.md", "report.html", "figures/balance.png"):
        assert (Path(one) / name).read_bytes() == (Path(other) / name).read_bytes(), name
    with np.load(Path(one) / "predictions.npz") as a, np.load(Path(other) / "predictions.npz") as b:
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    for layer, kernel in kernels(one).items():
        np.testing.assert_array_equal(kernel, kernels(other)[layer])


def end(line, number, *options):
    """Run ``tfrecall prune`` and send it a signal when it has printed a line; returns exit code and the rest of stderr."""
    command = [Path(sys.executable).with_name("tfrecall"), "prune", *options]
    # What is started in the background ignores Ctrl-C.
    code = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    next(said for said in process.stderr if line in said)
    process.send_signal(number)
    _, said = process.communicate(timeout=100)
    return process.returncode, said


def test_a_process_ended_while_it_trains_leaves_nothing_behind(tmp_path):
    """SIGTERM: one exit code, and no folder, half-written or temporary."""
    code, said = end("Training", signal.SIGTERM, "--epochs", 2, "--output", tmp_path / "out")
    assert (code, said) == (143, said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_ended_after_training_goes_on_from_the_baseline(shelf, number, code):
    options = ("--dataset", shelf / "small.npz", "--epochs", 1, "--fine-tune-epochs", 1, "--format", "json")
    ended, said = end("Pruning", number, *options, "--output", "out")
    assert ended == code, said
    if number == signal.SIGINT:
        assert said == "Interrupted: What is finished is kept in out: --resume goes on.\n"
    assert [path.name for path in Path("out").iterdir()] == [".partial"]
    assert "holds an unfinished run: continue it with --resume" in refused("prune", *options, "--output", "out")
    other = refused("prune", *options, "--output", "out", "--resume", "--seed", 1)
    assert "holds an unfinished run with other settings (seed 0, now 1)" in other
    resumed = invoke("prune", *options, "--output", "out", "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "Training" not in resumed.stderr
    assert {path.name for path in Path("out").iterdir()} == FILES
    if number != signal.SIGKILL:
        return
    undisturbed = invoke("prune", *options, "--output", "undisturbed", "--resume")  # there is nothing to resume
    assert "Training" in undisturbed.stderr
    assert undisturbed.stdout == resumed.stdout
    assert_same_results("out", "undisturbed")
    finished = invoke("prune", *options, "--output", "out", "--resume")
    assert (finished.exit_code, finished.stdout) == (0, resumed.stdout)
    assert "out is complete: there is nothing to resume." in finished.stderr
    assert "other settings" in refused("prune", *options, "--output", "out", "--resume", "--ratio", 3)
    assert "is not empty" in refused("prune", *options, "--output", "out")


@tf_keras.saving.register_keras_serializable("test_cli_prune")
class Untracked(tf_keras.layers.Layer):
    """Has a variable that no SavedModel can find: it can be saved by Keras, and not exported."""

    hidden: ClassVar[list] = []

    def call(self, inputs):
        import tensorflow as tf

        if not self.hidden:
            with tf.init_scope():
                self.hidden.append(tf.Variable(1.0))
        return inputs * self.hidden[0]


def test_a_model_that_cannot_be_exported_loses_nothing_else(shelf):
    layers = tf_keras.layers
    tf_keras.Sequential(
        [tf_keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(9), Untracked(), layers.Dense(10, "softmax")]
    ).save("odd.keras")
    data = ("--dataset", shelf / "small.npz", "--fine-tune-epochs", 1, "--quiet", "--output", "out")
    results = [invoke("prune", "--model", "odd.keras", "--unsafe", *data, *more) for more in ([], ["--resume"])]
    for result in results:
        assert result.exit_code == 1, result.output
        assert "accuracy" in result.stdout  # the report is printed all the same
        line = result.stderr.splitlines()[-1]
        assert line.startswith("Error: out is incomplete, without saved_model (")
        assert line.endswith(": solve that, and --resume does what is missing.")
        assert {path.name for path in Path("out").iterdir()} == FILES - {"saved_model"} | {".partial"}
    assert results[0].stdout == results[1].stdout
    assert "unfinished" in refused("prune", "--model", "odd.keras", "--unsafe", *data)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with room for the small files of a run, and not for all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120k", "none", disk], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_a_disk_that_fills(shelf, small_disk):
    """The folder is a mount point, too."""
    options = ("--model", shelf / "small.keras", "--dataset", shelf / "small.npz", "--fine-tune-epochs", 1)
    result = invoke("prune", *options, "--output", small_disk, "--quiet", "--format", "json")
    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)["parameters"]["total"] == TOTAL
    assert len(result.stderr.splitlines()) == 1
    assert "No space left on device" in result.stderr
    assert read(small_disk, "report.json") == json.loads(result.stdout)
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    resumed = invoke("prune", *options, "--output", small_disk, "--quiet", "--format", "json", "--resume")
    assert (resumed.exit_code, resumed.stdout) == (0, result.stdout)
    assert {path.name for path in small_disk.iterdir()} == FILES
    prune(shelf, "--quiet", "--output", "roomy")
    assert_same_results(small_disk, "roomy")


def test_a_standard_output_that_is_full(shelf):
    command = [Path(sys.executable).with_name("tfrecall"), "prune", "--model", shelf / "small.keras", "--quiet"]
    command += ["--dataset", shelf / "small.npz", "--fine-tune-epochs", "1", "--output", "out"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=200)
    problem = "the result could not be printed on standard output (No space left on device); the files are in out."
    assert (done.returncode, done.stderr) == (1, f"Error: {problem}\n")
    assert {path.name for path in Path("out").iterdir()} == FILES


def test_a_configuration_repeats_its_run(shelf):
    options = ("--ratio", "3", "--algo", "gp", "--scope", "layer", "--seed", 9, "--optimizer", "adamw", "--batch-size", 50)
    first = prune(shelf, *options, "--output", "first", "--format", "json", "--quiet")
    again = invoke("prune", "--config", "first/config.json", "--output", "again", "--format", "json", "--quiet")
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert_same_results("first", "again")
    changed = ("--ratio", "4", "--prune-classifier", "--fine-tune-learning-rate", "0.003")
    done = invoke("prune", "--config", "first/config.json", *changed, "--output", "changed", "--quiet")
    assert done.exit_code == 0, done.output
    expected = read("first", "config.json")["settings"]
    expected |= {"ratio": 4.0, "include_classifier": True}
    expected["recipe"]["fine_tune_learning_rate"] = 0.003
    assert read("changed", "config.json")["settings"] == expected


def change(**changes):
    def apply(config):
        for name, value in changes.items():
            config["settings"][name] = value

    return apply


def recipe(**changes):
    return lambda config: config["settings"]["recipe"].update(changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change(ratoi=3), "unknown field of settings 'ratoi': did you mean ratio"),
        (recipe(epoch=3), "unknown field of settings.recipe 'epoch': did you mean epochs"),
        (change(ratio="half"), 'settings.ratio must be a number or null; got "half"'),
        (change(ratio=True), "settings.ratio must be a number or null; got true"),
        (change(ratio=1), "ratio must be"),
        (change(ratio=float("nan")), "ratio must be"),
        (change(seed=1.0), "settings.seed must be a whole number; got 1.0"),
        (change(seed=10**30), "seed must be a whole number between"),
        (change(unsafe="no"), 'settings.unsafe must be true or false; got "no"'),
        (change(unsafe=True), "give --unsafe again if you trust it"),
        (change(model=["lenet5"]), "settings.model must be text; got"),
        (change(model="gone.keras"), "no model file at gone.keras"),
        (change(model="gone"), "unknown model 'gone'"),
        (change(dataset="gone.npz"), "gone.npz: no such file"),
        (change(algorithm="undecaid"), "unknown algorithm 'undecaid': did you mean undecayed"),
        (change(recipe=[1]), "settings.recipe must be an object; got"),
        (change(recipe={}), "settings.recipe lacks optimizer, "),
        (recipe(learning_rate=10**400), "settings.recipe.learning_rate must be a number; got 1000"),
        (recipe(epochs=True), "settings.recipe.epochs must be a whole number; got true"),
        (recipe(optimizer=None), "settings.recipe.optimizer must be text; got null"),
        (lambda config: config.pop("settings"), "expected an object with 'settings'"),
        (lambda config: config.update(settings="all"), 'settings must be an object; got "all"'),
        (lambda config: config["settings"].pop("seed"), "settings lacks seed"),
    ],
)
def test_configurations_that_cannot_be_used(edit, message):
    from tfrecall import experiment

    config = {"settings": dataclasses.asdict(experiment.Settings())}
    edit(config)
    Path("config.json").write_text(json.dumps(config))
    assert message in refused("prune", "--config", "config.json")
    assert [str(path) for path in Path().rglob("*")] == ["config.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b'"\xff"', b"[" * 100_000, b"\x00" * 100])
def test_files_that_are_no_configuration(content):
    Path("config.json").write_bytes(content)
    assert "config.json" in refused("prune", "--config", "config.json")


def test_no_file_of_a_configuration(tmp_path):
    os.mkfifo("fifo")
    for name, message in (
        ("none.json", "no file at"),
        (".", "is a folder: give the config.json in it"),
        ("fifo", "is a pipe or a device"),
    ):
        assert message in refused("prune", "--config", name)


def test_a_configuration_of_version_0_1_is_read(shelf):
    from tfrecall.settings import read_settings

    prune(shelf, "--output", "out", "--quiet")
    config = read("out", "config.json")
    del config["settings"]["recipe"]["initializer"]  # which it did not know
    Path("old.json").write_text(json.dumps(config))
    assert read_settings("old.json") == read_settings("out/config.json")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "expected a name or a path"),
        ("~nobody-of-that-name/x", "a user that does not exist"),
        ("a\0b", "expected a name or a path"),
        ("x" * 300, "255 bytes at most"),
        ("caf\udce9", "not a UTF-8 path"),
        (".", "is the current folder, or one above it"),
        ("/", "is the root folder"),
        ("fifo", "fifo is "),
        ("/dev/null", "/dev/null is "),
        ("file/out", "file is a file, not a folder"),
        ("dangling", "cannot be written to"),
    ],
)
def test_outputs_that_cannot_be(output, message):
    os.mkfifo("fifo")
    Path("file").write_text("mine")
    Path("dangling").symlink_to("nowhere/at/all")
    before = sorted(map(str, Path().rglob("*")))
    for more in ([], ["--overwrite"], ["--resume"]):
        line = refused("prune", "--output", output, *more)
        assert message in line
        assert len(line) < 250
    if output not in (".", "/", "dangling"):
        line = refused("train", "--output", f"{output}{'/a.keras' * (output != '')}")
        assert message in line
        assert len(line) < 250
    assert sorted(map(str, Path().rglob("*"))) == before


def test_what_a_trained_model_cannot_replace():
    os.mkfifo("fifo.keras")
    Path("folder.keras").mkdir()
    Path("link.keras").symlink_to("nowhere")
    for name in ("fifo", "folder", "link"):
        refused("train", "--output", f"{name}.keras")
        refused("train", "--output", f"{name}.keras", "--overwrite")


@pytest.fixture
def _interruptible():
    """Ctrl-C as on a terminal: what is started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("becomes", ["another", "none", "itself"])
def test_an_ended_process_says_so_whatever_became_of_its_exception(number, becomes, capsys):
    """In the middle of C code, another exception may be made of the one that a signal's handler raised, or none."""

    def work():
        try:
            signal.raise_signal(number)
        except (SystemExit, KeyboardInterrupt) as error:
            if becomes == "another":
                raise SystemError("returned a result with an exception set") from error
            if becomes == "itself":
                raise

    before = [signal.getsignal(some) for some in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit) as ended, session(tensorflow=False):
        work()
    assert ended.value.code == 128 + number
    interrupted = number == signal.SIGINT and becomes != "none"
    assert capsys.readouterr().err == "Interrupted: nothing was written.\n" * interrupted
    assert [signal.getsignal(some) for some in (signal.SIGTERM, signal.SIGINT)] == before


def test_what_nobody_foresaw_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended, session(tensorflow=False):
        raise RuntimeError("first\r\nsecond\tline\nthird")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Error: RuntimeError: first second line third (--verbose shows all)\n"
