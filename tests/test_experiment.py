"""One run, from data to its folder: what it leaves agrees with itself, and the same settings leave the same bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import pytest
import tf_keras
from small_models import small_classifier, small_digits

from tfrecall import datasets, experiment, models, training
from tfrecall.draft import Draft
from tfrecall.errors import InputError, TrainingError
from tfrecall.experiment import Settings
from tfrecall.training import Recipe

SCRIPT = Path(sys.executable).with_name("tfrecall")
SMALL = Recipe(
    learning_rate_schedule="cosine", batch_size=64, weight_decay=5e-4, score_examples=200, epochs=4, fine_tune_epochs=1
)
CLASS_KEYS = {
    *("class", "support", "recall_before", "recall_after", "balance_before", "balance_after"),
    *("normalized_before", "normalized_after", "intensification"),
}
ALPHA_KEYS = {"value", "low", "high", "level", "corrected", "verdict"}
VERDICTS = {"intensified", "de-intensified", "inconclusive", "not identifiable"}
TOTAL, PRUNABLE = 61_706, 60_630  # LeNet-5: all parameters, and its kernels but the classifier's


def strict(path):
    def no_constant(name):
        raise AssertionError(f"{path} holds {name}")

    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=no_constant)


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@dataclasses.dataclass
class Run:
    settings: Settings
    folder: Path
    returned: dict

    @property
    def report(self):
        return strict(self.folder / "report.json")

    @property
    def predictions(self):
        with np.load(self.folder / "predictions.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "deeper" / "out"
    settings = Settings(ratio=4, algorithm="up", seed=3, recipe=SMALL)
    return Run(settings, folder, experiment.run(settings, folder))


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", image_shape=(28, 28, 1), seed=3)


@pytest.fixture(scope="module")
def loaded(done):
    import tf_keras

    return {side: tf_keras.models.load_model(done.folder / f"{side}.keras") for side in ("baseline", "pruned")}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A set of few images, and a model for it that is quick to prune."""
    folder = tmp_path_factory.mktemp("small")
    x, y = small_digits()
    np.savez(folder / "small.npz", x_train=x[:500], y_train=y[:500], x_test=x[500:900], y_test=y[500:900])
    model = small_classifier((8, 8, 1), [24], 10)
    model.fit(x[:500, ..., None], y[:500], epochs=4, verbose=0)
    model.save(folder / "small.keras")
    again = small_classifier((8, 8, 1), [24], 10, keras=keras)
    again.set_weights(model.get_weights())
    again.save(folder / "three.keras")
    return folder


def small_settings(small, **changes):
    recipe = dataclasses.replace(SMALL, epochs=1)
    return Settings(
        **{"model": str(small / "small.keras"), "dataset": str(small / "small.npz"), "recipe": recipe, **changes}
    )


def test_the_folder_holds_exactly_what_is_promised(done):
    assert {path.name for path in done.folder.iterdir()} == {
        *("config.json", "baseline.keras", "pruned.keras", "saved_model", "predictions.npz"),
        *("report.json", "report.md", "report.html", "figures"),
    }
    assert (done.folder / "saved_model" / "saved_model.pb").is_file()
    assert {path.name for path in (done.folder / "figures").iterdir()} == {"recall_by_class.png", "balance.png"}
    assert list(done.folder.parent.iterdir()) == [done.folder]  # no temporary folder is left
    assert done.folder.stat().st_mode & 0o777 == 0o755


def test_the_report_has_every_key(done):
    report = done.report
    assert report == done.returned
    assert {"compression", "sparsity"} <= set(report["ratio"])
    assert {"total", "prunable", "remaining"} <= set(report["parameters"])
    assert "accuracy" in report["before"]
    assert "accuracy" in report["after"]
    assert {"accuracy", "stability"} <= set(report["one_shot"])
    assert [row["class"] for row in report["classes"]] == list("0123456789")
    for row in report["classes"]:
        assert set(row) >= CLASS_KEYS
    assert set(report["alpha"]) >= ALPHA_KEYS
    assert report["alpha"]["level"] == 0.95
    assert report["alpha"]["verdict"] in VERDICTS


def test_the_predictions_are_probabilities_of_the_test_images(done, digits):
    predictions = done.predictions
    assert set(predictions) == {"y_true", "before", "after"}
    np.testing.assert_array_equal(predictions["y_true"], digits.test.labels)
    for side in ("before", "after"):
        assert predictions[side].shape == (len(digits.test), 10)
        assert predictions[side].min() >= 0
        np.testing.assert_allclose(predictions[side].sum(axis=1), 1, atol=1e-5)


def test_the_report_agrees_with_its_predictions(done):
    from sklearn import metrics

    report, predictions = done.report, done.predictions
    y_true = predictions["y_true"]
    rows = {
        name: np.array([row[name] for row in report["classes"]], float) for name in report["classes"][0] if name != "note"
    }
    np.testing.assert_array_equal(rows["support"], np.bincount(y_true))
    normalized = {}
    for side in ("before", "after"):
        y_pred = predictions[side].argmax(axis=1)
        accuracy = metrics.accuracy_score(y_true, y_pred)
        recall = metrics.recall_score(y_true, y_pred, average=None)
        assert report[side]["accuracy"] == pytest.approx(accuracy)
        assert accuracy > 0.5  # it learnt something, or nothing here says much
        np.testing.assert_allclose(rows[f"recall_{side}"], recall)
        precision = metrics.precision_score(y_true, y_pred, average=None, zero_division=np.nan)
        np.testing.assert_allclose(rows[f"precision_{side}"], precision)
        np.testing.assert_allclose(rows[f"f1_{side}"], metrics.f1_score(y_true, y_pred, average=None))
        np.testing.assert_allclose(rows[f"balance_{side}"], recall - accuracy, atol=1e-12)
        normalized[side] = (recall - accuracy) / accuracy
        np.testing.assert_allclose(rows[f"normalized_{side}"], normalized[side], atol=1e-12)
    np.testing.assert_allclose(rows["intensification"], normalized["after"] / normalized["before"], rtol=1e-6)
    alpha = (normalized["before"] * normalized["after"]).sum() / (normalized["before"] ** 2).sum()
    assert report["alpha"]["value"] == pytest.approx(alpha)
    stability = report["one_shot"]["accuracy"] / report["before"]["accuracy"]
    assert report["one_shot"]["stability"] == pytest.approx(stability)


def test_the_report_agrees_with_the_pruned_model(done, loaded):
    report = done.report
    kernels = {layer.name: layer.kernel.numpy() for layer in loaded["pruned"].layers if hasattr(layer, "kernel")}
    zeros = {name: int((kernel == 0).sum()) for name, kernel in kernels.items()}
    removed = round(TOTAL * 3 / 4)  # 46,279.5, a half going up
    assert sum(zeros.values()) == removed == 46_280
    assert zeros["classifier"] == 0
    assert report["parameters"] == {"total": TOTAL, "prunable": PRUNABLE, "remaining": TOTAL - removed}
    assert report["ratio"]["requested"] == 4
    assert report["ratio"]["compression"] == pytest.approx(TOTAL / (TOTAL - removed))
    assert report["ratio"]["sparsity"] == pytest.approx(removed / TOTAL)
    assert {row["path"].split("/")[0]: (row["weights"], row["kept"]) for row in report["layers"]} == {
        name: (kernel.size, kernel.size - zeros[name]) for name, kernel in kernels.items()
    }
    baseline = [layer.kernel.numpy() for layer in loaded["baseline"].layers if hasattr(layer, "kernel")]
    assert not any((kernel == 0).any() for kernel in baseline)


def test_fine_tuning_trained_what_was_kept(loaded):
    for before, after in zip(loaded["baseline"].trainable_weights, loaded["pruned"].trainable_weights):
        kept = after.numpy() != 0
        assert (before.numpy()[kept] != after.numpy()[kept]).any(), before.name


def test_the_accuracy_right_after_pruning_is_that_of_the_papers_score(done, loaded, digits):
    import tensorflow as tf

    model = loaded["baseline"]
    images, labels = digits.train.sample(SMALL.score_examples, done.settings.seed)
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel") and layer.name != "classifier"]
    with tf.GradientTape() as tape:
        probabilities = model(images, training=False)
        loss = -tf.reduce_mean(tf.math.log(tf.gather(probabilities, labels, batch_dims=1)))
    gradients = tape.gradient(loss, kernels)
    scores = [np.abs(kernel.numpy() * gradient.numpy()) for kernel, gradient in zip(kernels, gradients)]
    threshold = np.sort(np.concatenate([score.ravel() for score in scores]))[46_280]
    weights = model.get_weights()
    try:
        for kernel, score in zip(kernels, scores):
            kernel.assign(np.where(score < threshold, 0, kernel.numpy()))
        accuracy = (training.predict(model, digits.test).argmax(axis=1) == digits.test.labels).mean()
    finally:
        model.set_weights(weights)
    # Rounding may move a weight or two across the threshold, and with it an image.
    assert done.report["one_shot"]["accuracy"] == pytest.approx(accuracy, abs=2.5 / len(digits.test))
    assert accuracy != pytest.approx(done.report["before"]["accuracy"], abs=1e-6)


PLAIN = """
import sys
sys.modules["tfrecall"] = sys.modules["tensorflow_model_optimization"] = None  # an import of either fails
import numpy as np, tensorflow as tf, tf_keras
folder, images = sys.argv[1], np.load(sys.argv[2])
models = {side: tf_keras.models.load_model(f"{folder}/{side}.keras") for side in ("baseline", "pruned")}
found = {side: model.predict(images, verbose=0) for side, model in models.items()}
served = tf.saved_model.load(f"{folder}/saved_model").signatures["serving_default"]
found["served"] = served(images=tf.constant(images))["probabilities"].numpy()
found["single"] = served(images=tf.constant(images[:1]))["probabilities"].numpy()
found["names"] = served(images=tf.constant(images[:1]))["class_names"].numpy().astype(str)
np.savez(sys.argv[3], **found)
"""


def test_the_models_load_where_only_keras_is(done, digits, tmp_path):
    images = np.concatenate([images for images, _ in digits.test.batches(512).as_numpy_iterator()])
    np.save(tmp_path / "images.npy", images)
    arguments = [str(done.folder), str(tmp_path / "images.npy"), str(tmp_path / "found.npz")]
    result = subprocess.run([sys.executable, "-c", PLAIN, *arguments], capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    predictions = done.predictions
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["baseline"], predictions["before"], atol=1e-5)
        np.testing.assert_allclose(found["pruned"], predictions["after"], atol=1e-5)
        np.testing.assert_allclose(found["served"], predictions["after"], atol=1e-5)
        np.testing.assert_allclose(found["single"], predictions["after"][:1], atol=1e-5)
        assert found["names"].tolist() == [list("0123456789")]
    assert np.abs(predictions["before"] - predictions["after"]).max() > 0.1


def test_the_figures_are_pictures(done):
    from matplotlib.image import imread

    for path in (done.folder / "figures").iterdir():
        pixels = imread(path)
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10


def test_the_markdown_says_what_the_json_says(done):
    report, text = done.report, (done.folder / "report.md").read_text(encoding="utf-8")
    for side in ("before", "after"):
        assert f"{report[side]['accuracy']:.4f}" in text
    assert f"{report['parameters']['remaining']:,} of 61,706 parameters remain" in text
    for row in report["classes"]:
        assert f"| {row['class']} | {row['support']} | {row['recall_before']:.3f} | {row['recall_after']:.3f} |" in text
    for row in report["layers"]:
        assert f"| {row['path']} | {row['weights']:,} | {row['kept']:,} |" in text
    assert "nan" not in text.lower().replace("-", " ").split()


def test_the_configuration_is_enough_to_repeat_the_run(done, tmp_path):
    config = strict(done.folder / "config.json")
    settings = config["settings"]
    repeated = Settings(**{**settings, "recipe": Recipe(**settings["recipe"])})
    assert repeated == done.settings
    assert config["versions"]["python"] == platform.python_version()
    for package in ("tfrecall", "tensorflow", "tf_keras", "tensorflow-model-optimization", "numpy"):
        assert config["versions"][package] == metadata.version(package)
    assert config["class_names"] == list("0123456789")
    experiment.run(repeated, tmp_path / "again")
    for name in ("report.json", "report.md", "report.html", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (done.folder / name).read_bytes(), name
    with np.load(tmp_path / "again" / "predictions.npz") as file:
        for name, array in done.predictions.items():
            np.testing.assert_array_equal(file[name], array)


def start_in_a_fresh_process(small, output, seed):
    options = ["--epochs", "1", "--fine-tune-epochs", "1", "--format", "json", "--quiet"]
    command = [SCRIPT, "prune", "--dataset", small / "small.npz", "--seed", str(seed), "--output", output, *options]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def test_the_same_seed_gives_the_same_bytes_in_fresh_processes(small, tmp_path):
    processes = [start_in_a_fresh_process(small, tmp_path / name, 5) for name in ("one", "other")]
    said = [process.communicate(timeout=250) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    one, other = ((tmp_path / name / "report.json").read_bytes() for name in ("one", "other"))
    assert one == other
    assert [stdout for stdout, _ in said] == [one, one]  # JSON alone, and all of it
    assert [stderr for _, stderr in said] == [b"", b""]  # quiet, and no noise of TensorFlow's
    recipe = dataclasses.replace(training.recipe("default", "lenet5"), epochs=1, fine_tune_epochs=1)
    settings = Settings(dataset=str(small / "small.npz"), seed=6, recipe=recipe)
    different = experiment.run(settings, tmp_path / "different")
    assert different["classes"] != json.loads(one)["classes"]


def test_overwriting_replaces_what_a_run_writes_and_nothing_else(small, tmp_path):
    output = tmp_path / "out"
    for name in (
        "report.json",
        "figures/balance.png",
        "saved_model/mine.txt",
        "saved_model/variables/stale.txt",
        "notes.txt",
        "figures/mine.png",
        "data/a.csv",
    ):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text("old")
    settings = small_settings(small)
    with pytest.raises(InputError, match=r"not empty.*--overwrite"):
        experiment.run(settings, output)
    assert (output / "report.json").read_text() == "old"
    report = experiment.run(settings, output, overwrite=True)
    assert strict(output / "report.json") == report
    for name in ("notes.txt", "figures/mine.png", "data/a.csv", "saved_model/mine.txt"):
        assert (output / name).read_text() == "old", name
    assert not (output / "saved_model" / "variables" / "stale.txt").exists()
    assert (output / "figures" / "balance.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not [name for name in tree(output) if name.startswith(".")]


@pytest.mark.parametrize(("name", "library"), [("small.keras", tf_keras), ("three.keras", keras)])
def test_a_saved_model_is_pruned_as_it_is(small, tmp_path, name, library):
    (tmp_path / "out").mkdir()  # an empty folder is free
    experiment.run(small_settings(small, ratio=3, model=str(small / name)), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    data = datasets.load(small / "small.npz")
    images = np.concatenate([images for images, _ in data.test.batches(512).as_numpy_iterator()])
    expected = library.models.load_model(small / name).predict(images, verbose=0)
    with np.load(tmp_path / "out" / "predictions.npz") as file:
        np.testing.assert_allclose(file["before"], expected, atol=1e-6)
    saved = library.models.load_model(tmp_path / "out" / "baseline.keras")
    for one, other in zip(saved.get_weights(), library.models.load_model(small / name).get_weights()):
        np.testing.assert_array_equal(one, other)


class Stopped(BaseException):
    """As a signal would stop a run."""


def stop(*arguments):
    raise Stopped


@pytest.mark.parametrize("library", [tf_keras, keras])
def test_a_run_stopped_after_fine_tuning_gives_the_same_bytes_when_it_goes_on(small, tmp_path, monkeypatch, library):
    """Also where layers are random: what is random later does not depend on what the process did before."""
    layers = library.layers
    training.seed_everything(0)
    model = library.Sequential(
        [
            library.Input((8, 8, 1)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(24, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(10, "softmax"),
        ]
    )
    model.save(tmp_path / "random.keras")
    settings = small_settings(small, model=str(tmp_path / "random.keras"), ratio=3)
    experiment.run(settings, tmp_path / "whole")
    training.seed_everything(123)
    np.random.default_rng().random()

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "measure", stop)
        with pytest.raises(Stopped):
            experiment.run(settings, tmp_path / "stopped")
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == [".partial"]
    assert experiment.kept(tmp_path / "stopped").endswith("stopped: --resume goes on.")
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "fine_tune", stop)  # it is finished
        experiment.run(settings, tmp_path / "stopped", resume=True)
    assert tree(tmp_path / "stopped") == tree(tmp_path / "whole")
    for name in ("report.json", "report.md", "report.html", "config.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    with np.load(tmp_path / "stopped/predictions.npz") as one, np.load(tmp_path / "whole/predictions.npz") as other:
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    weights = [library.models.load_model(tmp_path / name / "pruned.keras").get_weights() for name in ("stopped", "whole")]
    for one, other in zip(*weights):
        np.testing.assert_array_equal(one, other)


def test_a_baseline_whose_fine_tuning_diverges_is_kept(small, tmp_path):
    recipe = dataclasses.replace(SMALL, epochs=1, fine_tune_learning_rate=1e30, momentum=0.0, fine_tune_epochs=3)
    settings = Settings(dataset=str(small / "small.npz"), recipe=recipe)
    with pytest.raises(TrainingError):
        experiment.run(settings, tmp_path / "out")
    assert tf_keras.models.load_model(tmp_path / "out" / ".partial" / "baseline.keras").count_params() >= TOTAL
    with pytest.raises(InputError, match="unfinished"):
        experiment.run(settings, tmp_path / "out")


@pytest.mark.parametrize("part", ["model", "data"])
@pytest.mark.parametrize("when", ["stopped", "complete"])
def test_files_that_changed_meanwhile_are_refused(small, tmp_path, monkeypatch, part, when):
    """Also where the labels are the same, which show nothing."""
    paths = {"model": tmp_path / "model.keras", "data": tmp_path / "data.npz"}
    paths["model"].write_bytes((small / "small.keras").read_bytes())
    with np.load(small / "small.npz") as file:
        arrays = dict(file)
    np.savez(paths["data"], **arrays)
    settings = small_settings(small, model=str(paths["model"]), dataset=str(paths["data"]))
    before = experiment.contents(settings)
    assert set(before) == {settings.model, settings.dataset}
    with monkeypatch.context() as patch:
        if when == "stopped":
            patch.setattr(experiment, "measure", stop)
        with pytest.raises(Stopped) if when == "stopped" else contextlib.nullcontext():
            experiment.run(settings, tmp_path / "out")
    if part == "model":
        paths["model"].write_bytes((small / "three.keras").read_bytes())
    else:
        np.savez(paths["data"], **{**arrays, "x_test": arrays["x_test"][::-1]})
    assert sum(before[path] != hash_ for path, hash_ in experiment.contents(settings).items()) == 1
    with pytest.raises(InputError, match=rf"{paths[part].name} has changed since the run .* with --overwrite") as caught:
        experiment.run(settings, tmp_path / "out", resume=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("last", ["pruned.keras", "predictions.npz", "one_shot.npy"])
def test_a_phase_that_is_finished_in_part_is_done_again_whole(small, tmp_path, monkeypatch, last):
    """What is left of it may be of another run, so it is marked here, and must not stay."""
    settings = small_settings(small, ratio=3)
    write = Draft.write

    def write_until(draft, name, make):
        write(draft, name, make)
        if name == last:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Draft, "write", write_until)
        with pytest.raises(Stopped):
            experiment.run(settings, tmp_path / "out")
    place = tmp_path / "out" / ".partial"
    assert (place / last).exists()
    for path in place.iterdir():
        if path.suffix in (".keras", ".npz", ".npy"):
            path.write_bytes(b"of another run")
    report = experiment.run(settings, tmp_path / "out", resume=True)
    assert report == experiment.run(settings, tmp_path / "whole")
    for name in ("baseline.keras", "pruned.keras", "predictions.npz"):
        assert (tmp_path / "out" / name).stat().st_size > 1000, name


def test_names_that_are_not_utf_8_are_refused_before_training(small, tmp_path):
    odd = os.fsdecode(b"caf\xe9.npz")
    (tmp_path / odd).write_bytes((small / "small.npz").read_bytes())
    with pytest.raises(InputError, match=r"is not UTF-8: .*rename it"):
        small_settings(small, dataset=str(tmp_path / odd))


def test_a_run_that_diverges_leaves_nothing(small, tmp_path):
    recipe = dataclasses.replace(SMALL, fine_tune_learning_rate=1e30, momentum=0.0, fine_tune_epochs=3)
    with pytest.raises(TrainingError, match=r"the loss is .*lower the learning rate"):
        experiment.run(small_settings(small, recipe=recipe), tmp_path / "deeper" / "out")
    assert tree(tmp_path) == []


def test_infeasible_ratios_are_refused_before_training(small, tmp_path):
    with pytest.raises(InputError, match=r"infeasible.*largest feasible ratio is"):
        experiment.run(small_settings(small, ratio=0.9999), tmp_path / "out")
    with pytest.raises(InputError, match="infeasible"):
        experiment.run(small_settings(small, ratio=0.9), tmp_path / "out")  # 1,536 of 1,810 are prunable
    assert tree(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 1}, "ratio must be"),
        ({"ratio": float("nan")}, "ratio must be"),
        ({"algorithm": "undecaid"}, "unknown algorithm 'undecaid': did you mean undecayed"),
        ({"scope": "globe"}, "unknown scope 'globe': did you mean global"),
        ({"model": "lenet"}, "unknown model 'lenet': did you mean lenet5"),
        ({"model": "no/such.keras"}, "no model file at no/such.keras"),
        ({"seed": -1}, "seed must be a whole number between 0 and"),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    with pytest.raises(InputError, match=message):
        Settings(**changes)


@pytest.mark.parametrize("strategy", ["cuda", "", "GPU"])
def test_an_unknown_strategy_is_refused_before_anything_is_loaded(strategy):
    with pytest.raises(InputError, match="unknown strategy"):
        Settings(strategy=strategy)


def test_named_objects_are_a_list():
    with pytest.raises(InputError, match=r"custom takes a list.*write \['layers\.py:Scale'\]"):
        Settings(custom="layers.py:Scale")
    with pytest.raises(InputError, match=r"by a list.*write \['layers\.py:Scale'\]"):
        models.named_objects("layers.py:Scale")


def test_short_names_are_spelt_out_and_name_the_folder():
    assert Settings(algorithm="GP").algorithm == "gradient"
    assert Settings(algorithm="gp", ratio=10, seed=4).folder == Path("runs/lenet5-digits-gradient-10-seed4")
    assert Settings(dataset="data/my.npz").folder == Path("runs/lenet5-my-undecayed-0.5-seed0")
    assert Settings(ratio=None, algorithm="mp", seed=2).folder == Path("runs/lenet5-digits-control-seed2")


def test_settings_are_checked_without_tensorflow():
    script = "import sys; from tfrecall.settings import Settings; Settings(ratio=None); print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert (result.stdout, result.stderr) == ("False\n", "")


@pytest.fixture(scope="module")
def control(small, tmp_path_factory):
    """A run with nothing pruned."""
    folder = tmp_path_factory.mktemp("control") / "out"
    settings = small_settings(small, ratio=None)
    return Run(settings, folder, experiment.run(settings, folder))


def test_the_control_arm_is_fine_tuned_with_nothing_pruned(control):
    report = control.report
    assert report == control.returned
    assert report["algorithm"] is None
    assert report["ratio"] == {"requested": None, "compression": 1.0, "sparsity": 0.0}
    assert report["parameters"] == {"total": 1810, "prunable": 1536, "remaining": 1810}
    assert all((row["kept"], row["sparsity"]) == (row["weights"], 0) for row in report["layers"])
    assert report["one_shot"]["accuracy"] == report["before"]["accuracy"]
    assert report["one_shot"]["stability"] == 1
    assert strict(control.folder / "config.json")["settings"]["ratio"] is None
    assert np.abs(control.predictions["before"] - control.predictions["after"]).max() > 0.01


def test_the_report_of_the_control_arm_can_be_read(control):
    text = (control.folder / "report.md").read_text(encoding="utf-8")
    assert "1,810 of 1,810 parameters remain" in text
    assert "None" not in text
    assert "nan" not in text.lower().replace("-", " ").split()
    assert (control.folder / "figures" / "balance.png").is_file()


def test_the_control_arm_depends_on_nothing_that_prunes(control, small, tmp_path):
    settings = small_settings(small, ratio=None, algorithm="random", scope="layer", include_classifier=True)
    report = experiment.run(settings, tmp_path / "out")
    assert report["classes"] == control.report["classes"]
    assert report["alpha"] == control.report["alpha"]
    with np.load(tmp_path / "out" / "predictions.npz") as file:
        np.testing.assert_array_equal(file["after"], control.predictions["after"])


def test_the_steps_of_a_run_give_the_run(small, tmp_path):
    """Classes do as well as probabilities, which is how a study keeps them."""
    settings = small_settings(small, ratio=3, algorithm="mp")
    expected = experiment.run(settings, tmp_path / "out")
    data, baseline, scope = experiment.start(settings)
    training.compile_model(baseline, settings.recipe, 1)
    weights = baseline.get_weights()
    model = experiment.prune(settings, data, baseline, scope)
    before, one_shot = training.predict(baseline, data.test), training.predict(model, data.test)
    plain = experiment.fine_tune(settings, data, model, scope)
    after = training.predict(plain, data.test)
    assert experiment.measure(settings, data, before, one_shot, after, plain) == expected
    classes = [probabilities.argmax(axis=1) for probabilities in (before, one_shot, after)]
    assert experiment.measure(settings, data, *classes, plain) == expected
    for one, other in zip(weights, baseline.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_parameters_are_counted_by_what_may_be_pruned(small, loaded):
    from tfrecall import models

    expected = {"total": TOTAL, "prunable": PRUNABLE, "classifier": 840}
    assert experiment.parameters(loaded["baseline"]) == expected
    assert experiment.parameters(models.load(small / "small.keras")) == {"total": 1810, "prunable": 1536, "classifier": 240}


@pytest.mark.parametrize(
    ("ratio", "include_classifier", "feasible"),
    [
        (None, False, True),
        (0.8, False, True),
        (0.81, False, False),
        (0.81, True, True),
        (10, True, True),
        (0.901, True, False),
        (1000, True, False),
    ],
)
def test_a_ratio_is_feasible_if_that_many_may_be_removed(ratio, include_classifier, feasible):
    counts = {"total": 1000, "prunable": 800, "classifier": 100}
    settings = Settings(ratio=ratio, include_classifier=include_classifier)
    if feasible:
        experiment.require_feasible(settings, counts)
    else:
        with pytest.raises(InputError, match=r"infeasible: of 1,000 parameters only [89]00 can be removed"):
            experiment.require_feasible(settings, counts)


def test_training_to_a_file(small, tmp_path):
    import tf_keras

    recipe = dataclasses.replace(SMALL, epochs=1)
    settings = Settings(dataset=str(small / "small.npz"), seed=1, recipe=recipe)
    path, evaluation = experiment.train_to_file(settings, tmp_path / "deeper" / "a.keras")
    assert tree(tmp_path) == ["deeper", "deeper/a.keras"]
    data = datasets.load(small / "small.npz", image_shape=(28, 28, 1))
    predicted = training.predict(tf_keras.models.load_model(path), data.test).argmax(axis=1)
    assert evaluation["accuracy"] == pytest.approx((predicted == data.test.labels).mean())
    content = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        experiment.train_to_file(settings, path)
    with pytest.raises(InputError, match=r"written as a \.keras file"):
        experiment.train_to_file(settings, tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"a\.keras is a file, not a folder"):
        experiment.train_to_file(settings, path / "b.keras")
    with pytest.raises(InputError, match="unknown model"):
        experiment.train_to_file(dataclasses.replace(settings, model=str(path)), tmp_path / "b.keras")
    assert path.read_bytes() == content
    experiment.train_to_file(dataclasses.replace(settings, seed=2), path, overwrite=True)
    assert path.read_bytes() != content
    assert tree(tmp_path) == ["deeper", "deeper/a.keras"]
