"""``tfrecall prune`` and ``train``: options reach the run, and each stream carries what it should."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
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


def test_an_ended_process_leaves_nothing_behind(shelf, tmp_path):
    """SIGTERM while it trains: one exit code, and no folder, half-written or temporary."""
    for line in ("epoch", "Pruning"):
        command = [
            Path(sys.executable).with_name("tfrecall"),
            "prune",
            "--epochs",
            "1",
            "--fine-tune-epochs",
            "1",
            "--output",
        ]
        process = subprocess.Popen([*command, tmp_path / "out"], stderr=subprocess.PIPE, text=True)
        next(said for said in process.stderr if line in said)
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 143, said
        assert list(tmp_path.iterdir()) == []


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
    assert capsys.readouterr().err == "Error: RuntimeError: first (--verbose shows all)\n"
