"""Models and files of predictions against each other: every mix of sides gives the same report."""

from __future__ import annotations

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tf_keras
from small_models import small_classifier

import tfrecall
from tfrecall import comparison, datasets
from tfrecall.errors import InputError
from tfrecall.report import document

CLASSES = ("circle", "square", "stripes")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Three classes of pictures; a model of them in each format, the same with half its kernels 0, and their predictions."""
    folder = tmp_path_factory.mktemp("shelf")
    rng = np.random.default_rng(0)
    shapes = rng.random((3, 6, 6, 1)) * 90
    labels = {part: rng.permutation(np.repeat(np.arange(3), count)) for part, count in (("train", 60), ("test", 80))}
    pixels = {part: np.clip(shapes[y] + rng.normal(60, 45, (len(y), 6, 6, 1)), 0, 255) for part, y in labels.items()}
    arrays = {f"x_{part}": x.astype(np.uint8) for part, x in pixels.items()} | {f"y_{part}": y for part, y in labels.items()}
    np.savez(folder / "data.npz", **arrays, class_names=CLASSES)
    model = small_classifier((6, 6, 1), [12], 3, seed=1)
    model.fit(arrays["x_train"], arrays["y_train"], epochs=6, verbose=0)
    for name in ("before.keras", "before.h5", "before"):
        model.save(folder / name)
    before = model.predict(arrays["x_test"], verbose=0)
    kernel = model.layers[-2].kernel
    kernel.assign(np.where(np.arange(kernel.shape[0])[:, None] % 2 == 0, kernel.numpy(), 0))
    model.save(folder / "after.keras")
    after = model.predict(arrays["x_test"], verbose=0)
    for name, predicted in (("before", before), ("after", after)):
        np.savez(folder / f"{name}.npz", y_true=labels["test"], probabilities=predicted, class_names=CLASSES)
        rows = [f"{CLASSES[y]},{CLASSES[c]}" for y, c in zip(labels["test"], predicted.argmax(axis=1))]
        (folder / f"{name}.csv").write_text("\n".join(["y_true,y_pred", *rows]) + "\n", encoding="utf-8")
    return folder


def compared(shelf, before, after, **options):
    if not all(comparison.is_predictions(side) for side in (before, after)):
        options.setdefault("dataset", str(shelf / "data.npz"))
    return comparison.compare(shelf / before, shelf / after, resamples=500, **options)


@pytest.fixture(scope="module")
def models(shelf):
    return compared(shelf, "before.keras", "after.keras")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("before.keras", "after.npz"),
        ("before.npz", "after.keras"),
        ("before.npz", "after.npz"),
        ("before.csv", "after.csv"),
        ("before.npz", "after.csv"),
        ("before.csv", "after.keras"),
        ("before.h5", "after.npz"),
        ("before", "after.npz"),
    ],
)
def test_every_mix_of_sides_says_the_same(shelf, models, before, after):
    report = compared(shelf, before, after)
    assert list(report) == list(models)
    for part in ("before", "after", "alpha", "classes", "one_shot"):
        assert report[part] == models[part], part
    assert [row["class"] for row in report["classes"]] == list(CLASSES)
    assert report["before"]["accuracy"] > report["after"]["accuracy"] > 0.3  # there is something to report


def test_two_models_tell_what_was_pruned(models, shelf):
    total = 6 * 6 * 12 + 12 + 12 * 3 + 3
    assert models["parameters"] == {"total": total, "prunable": 6 * 6 * 12, "remaining": total - 6 * 6 * 6}
    assert models["ratio"]["compression"] == pytest.approx(total / (total - 216))
    assert models["ratio"]["sparsity"] == pytest.approx(216 / total)
    assert [row["kept"] for row in models["layers"]] == [216, 36]
    text = document.to_markdown(models)
    assert f"{total - 216:,} of {total:,} parameters remain" in text


def test_predictions_alone_have_no_ratio(shelf):
    report = compared(shelf, "before.csv", "after.csv")
    assert report["ratio"] == {"requested": None, "compression": None, "sparsity": None}
    assert report["parameters"] == {"total": None, "prunable": None, "remaining": None}
    assert report["layers"] == []
    json.loads(document.to_json(report))
    assert "parameters remain" not in document.to_markdown(report)


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """Predictions whose recalls differ so much that a slope has an interval."""
    folder = tmp_path_factory.mktemp("apart")
    y_true = np.repeat(np.arange(4), 400)
    for name, right in (("before", (380, 350, 300, 240)), ("after", (376, 330, 240, 150))):
        wrong = np.tile(np.arange(400), 4) >= np.array(right)[y_true]
        np.savez(folder / f"{name}.npz", y_true=y_true, y_pred=(y_true + wrong) % 4)
    return folder


def test_a_higher_level_gives_a_wider_interval(apart):
    narrow, wide = (compared(apart, "before.npz", "after.npz", level=level)["alpha"] for level in (0.5, 0.99))
    assert (narrow["level"], wide["level"]) == (0.5, 0.99)
    assert narrow["value"] == wide["value"]
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])


def test_the_seed_moves_the_interval_alone(apart):
    one, same, other = (compared(apart, "before.npz", "after.npz", seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert one["alpha"]["low"] != other["alpha"]["low"]
    assert one["alpha"]["value"] == other["alpha"]["value"]
    assert one["alpha"]["verdict"] == "intensified"
    assert one["classes"] == other["classes"]


def test_a_model_without_a_data_set_says_what_is_missing(shelf):
    with pytest.raises(InputError, match=r"after\.keras is no file of predictions \(\.npz or \.csv\).*--dataset"):
        comparison.compare(shelf / "before.npz", shelf / "after.keras")


def test_predictions_on_other_images_are_refused(shelf, tmp_path):
    with np.load(shelf / "after.npz") as file:
        y_true, probabilities = file["y_true"], file["probabilities"]
    np.savez(tmp_path / "rolled.npz", y_true=np.roll(y_true, 1), probabilities=probabilities)
    np.savez(tmp_path / "short.npz", y_true=y_true[:-1], probabilities=probabilities[:-1])
    for name in ("rolled.npz", "short.npz"):
        with pytest.raises(InputError, match=r"different y_true.*same images, in the same order"):
            comparison.compare(shelf / "before.npz", tmp_path / name)


@pytest.mark.parametrize(
    ("y_true", "changes", "message"),
    [
        ([0, 1, 2, 3], {"probabilities": np.full((4, 3), 1 / 3)}, "'y_true' must lie in 0 to 2|expected 4 columns"),
        ([0, 1, 2, 3], {"y_pred": [0, 1, 2, 2], "class_names": ["a", "b", "c"]}, "'y_true' must lie in 0 to 2.*got 3"),
        ([0, 1, 2, 0.5], {"y_pred": [0, 1, 2, 2]}, r"y_true\[3\] is 0\.5; expected classes, which are whole numbers"),
        (
            [0, 1, 2, 2],
            {"probabilities": np.full((3, 3), 1 / 3)},
            r"expected y_true of shape \(images,\).*got \(4,\) and \(3, 3\)",
        ),
        ([0, 1, 2, 2], {"probabilities": np.full((4, 3), np.nan)}, "NaN"),
    ],
)
def test_labels_out_of_range_are_refused(y_true, changes, message, tmp_path):
    np.savez(tmp_path / "a.npz", y_true=y_true, **changes)
    with pytest.raises(InputError, match=message):
        comparison.compare(tmp_path / "a.npz", tmp_path / "a.npz")


def test_labels_below_0_are_classes_like_others(tmp_path):
    np.savez(tmp_path / "a.npz", y_true=[-1, 1, 1, -1], y_pred=[-1, 1, -1, -1])
    report = comparison.compare(tmp_path / "a.npz", tmp_path / "a.npz")
    assert [(row["class"], row["recall_before"]) for row in report["classes"]] == [("-1", 1.0), ("1", 0.5)]


@pytest.mark.parametrize("name", ["before.keras", "before.h5", "before"])
def test_evaluating_a_model(shelf, name):
    from sklearn import metrics

    evaluation = comparison.evaluate(shelf / name, str(shelf / "data.npz"))
    with np.load(shelf / "before.npz") as file:
        y_true, y_pred = file["y_true"], file["probabilities"].argmax(axis=1)
    assert evaluation["accuracy"] == pytest.approx(metrics.accuracy_score(y_true, y_pred))
    expected = dict(zip(("precision", "recall", "f1", "support"), metrics.precision_recall_fscore_support(y_true, y_pred)))
    for key, values in expected.items():
        assert [row[key] for row in evaluation["classes"]] == pytest.approx(values.tolist()), key
    assert [row["class"] for row in evaluation["classes"]] == list(CLASSES)


def test_a_model_that_tells_other_classes_apart_is_refused(shelf):
    with pytest.raises(InputError, match="3 classes apart, but digits has 10"):
        comparison.evaluate(shelf / "before.keras", "digits")


def test_a_model_that_takes_other_images_is_refused(tmp_path):
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input((64,)), tf_keras.layers.Dense(10, activation="softmax")])
    model.save(tmp_path / "flat.keras")
    with pytest.raises(InputError, match="is no image classifier: expected one input"):
        comparison.evaluate(tmp_path / "flat.keras", "digits")


def test_images_are_resized_to_what_a_model_takes(shelf, tmp_path):
    with np.load(shelf / "data.npz") as file:
        arrays = dict(file)
    for part in ("x_train", "x_test"):
        arrays[part] = np.repeat(np.repeat(arrays[part], 2, axis=1), 2, axis=2)
    np.savez(tmp_path / "large.npz", **arrays)
    small, large = (
        comparison.evaluate(shelf / "before.keras", str(path))["accuracy"]
        for path in (shelf / "data.npz", tmp_path / "large.npz")
    )
    assert large == pytest.approx(small, abs=0.03)
    assert datasets.load(tmp_path / "large.npz").image_shape == (12, 12, 1)


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_two_files_of_predictions_need_no_tensorflow(shelf, ending):
    code = (
        "import sys; from tfrecall import comparison; "
        "report = comparison.compare(sys.argv[1], sys.argv[2]); "
        "assert report['alpha']['level'] == 0.95 and len(report['classes']) == 3; "
        "print(sorted({'tensorflow', 'tf_keras', 'keras', 'tensorflow_model_optimization', 'tensorflow_datasets'} "
        "& set(sys.modules)))"
    )
    sides = [str(shelf / f"{side}.{ending}") for side in ("before", "after")]
    done = subprocess.run([sys.executable, "-c", code, *sides], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras", "tf_keras"])
@pytest.mark.parametrize("change", ["freeze", "quantize"])
def test_freezing_and_quantizing_change_no_number_of_a_report(shelf, tmp_path, library, change):
    """The same set of parameters is counted before and after, with or without what is trained or in which type it is."""
    layers = library.layers
    library.utils.set_random_seed(0)
    model = library.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Flatten(),
            layers.Dense(24, activation="relu", name="a"),
            layers.BatchNormalization(),
            layers.Dense(16, name="b"),
            layers.Dense(3, activation="softmax", name="c"),
        ]
    )
    model.save(tmp_path / "before.keras")
    pruned = tfrecall.strip(tfrecall.prune(model, 0.6))
    pruned.save(tmp_path / "pruned.keras")
    if change == "quantize" and library is tf_keras:
        pytest.skip("tf_keras quantizes nothing")
    if change == "quantize":
        pruned.quantize("int8")
    else:
        pruned.get_layer("a").trainable = pruned.get_layer("b").trainable = False
    pruned.save(tmp_path / "after.keras")
    options = {"dataset": str(shelf / "data.npz"), "resamples": 100}
    expected = comparison.compare(tmp_path / "before.keras", tmp_path / "pruned.keras", **options)
    report = comparison.compare(tmp_path / "before.keras", tmp_path / "after.keras", **options)
    total = 36 * 24 + 24 + 2 * 24 + 24 * 16 + 16 + 16 * 3 + 3
    for part in ("ratio", "parameters", "layers"):
        assert report[part] == expected[part]
    assert report["parameters"] == {
        "total": total,
        "prunable": 36 * 24 + 24 * 16,
        "remaining": total - round(0.6 * total),
    }
    assert sum(row["weights"] - row["kept"] for row in report["layers"]) == round(0.6 * total)
