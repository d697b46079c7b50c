"""``tfrecall report``, ``evaluate``, ``export`` and the lists: what they print, and on which stream."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_models import small_classifier
from tfrecall.cli import COMMANDS, main
from tfrecall.cli.session import session

import tfrecall
from tfrecall import datasets, training

SCRIPT = Path(sys.executable).with_name("tfrecall")
NAMES = ("apple", "pear|quince", "plum")


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeed(*arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result


def strict(text):
    def no_constant(name):
        raise AssertionError(f"JSON holds {name}")

    return json.loads(text, parse_constant=no_constant)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Predictions of three classes, as .npz and .csv, and a model of the digits before and after losing weights."""
    folder = tmp_path_factory.mktemp("shelf")
    y_true = np.repeat(np.arange(3), 200)
    for name, right in (("before", (190, 170, 120)), ("after", (188, 160, 60))):
        y_pred = (y_true + (np.tile(np.arange(200), 3) >= np.array(right)[y_true])) % 3
        np.savez(folder / f"{name}.npz", y_true=y_true, probabilities=np.eye(3)[y_pred], class_names=NAMES)
        rows = [f"{NAMES[y]},{NAMES[c]}" for y, c in zip(y_true, y_pred)]
        (folder / f"{name}.csv").write_text("\n".join(["y_true,y_pred", *rows]) + "\n", encoding="utf-8")
    model = small_classifier((8, 8, 1), [32], 10)
    digits = datasets.load("digits")
    model.fit(digits.train.batches(64), epochs=4, verbose=0)
    model.save(folder / "whole.keras")
    predicted = training.predict(model, digits.test)
    np.savez(folder / "whole.npz", y_true=digits.test.labels, probabilities=predicted)
    kernel = model.layers[-2].kernel
    kernel.assign(np.where(np.abs(kernel.numpy()) < np.median(np.abs(kernel.numpy())), 0, kernel.numpy()))
    model.save(folder / "halved.keras")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_json_of_two_files_is_alone_on_standard_output(shelf, ending):
    result = succeed("report", shelf / f"before.{ending}", shelf / f"after.{ending}", "--format", "json")
    report = strict(result.stdout)
    assert [row["class"] for row in report["classes"]] == list(NAMES)
    assert report["before"]["accuracy"] == pytest.approx(480 / 600)
    assert report["after"]["accuracy"] == pytest.approx(408 / 600)
    assert report["classes"][2]["recall_after"] == pytest.approx(0.3)
    before, after = (np.array([190, 170, 120]) / 160 - 1, np.array([188, 160, 60]) / 136 - 1)
    assert report["alpha"]["value"] == pytest.approx((before * after).sum() / (before**2).sum())
    assert report["alpha"]["verdict"] == "intensified"
    assert result.stderr == ""


def test_the_table_names_the_worst_first_and_gives_a_verdict(shelf):
    result = succeed("report", shelf / "before.csv", shelf / "after.csv")
    assert result.stdout.index("plum") < result.stdout.index("pear|quince") < result.stdout.index("apple")
    assert "Intensified: " in result.stdout
    assert "accuracy 0.8000 before, 0.6800 after" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_markdown_escapes_its_names(shelf):
    result = succeed("report", shelf / "before.npz", shelf / "after.npz", "--format", "markdown")
    assert result.stdout.startswith("# ")
    assert "| plum | 200 | 0.600 | 0.300 | -0.300 |" in result.stdout
    assert "| pear\\|quince | 200 |" in result.stdout


def test_the_level_is_asked_for(shelf):
    sides = (shelf / "before.npz", shelf / "after.npz")
    narrow, wide = (
        strict(succeed("report", *sides, "--format", "json", "--level", level).stdout)["alpha"] for level in (0.5, 0.99)
    )
    assert (narrow["level"], wide["level"]) == (0.5, 0.99)
    assert wide["low"] < narrow["low"] < narrow["value"] < narrow["high"] < wide["high"]


def test_two_models_on_a_data_set(shelf):
    result = succeed("report", shelf / "whole.keras", shelf / "halved.keras", "--dataset", "digits", "--format", "json")
    report = strict(result.stdout)
    assert report["parameters"]["total"] - report["parameters"]["remaining"] == 1024
    assert result.stderr == ""
    mixed = strict(
        succeed("report", shelf / "whole.npz", shelf / "halved.keras", "--dataset", "digits", "--format", "json").stdout
    )
    assert mixed["classes"] == report["classes"]
    assert set(mixed) == set(report)


def test_evaluate_in_every_format(shelf):
    with np.load(shelf / "whole.npz") as file:
        right = file["probabilities"].argmax(axis=1) == file["y_true"]
        recall = [right[file["y_true"] == c].mean() for c in range(10)]
    evaluation = strict(succeed("evaluate", shelf / "whole.keras", "--format", "json").stdout)
    assert evaluation["accuracy"] == pytest.approx(right.mean())
    assert [row["recall"] for row in evaluation["classes"]] == pytest.approx(recall)
    worst = int(np.argmin(recall))
    table = succeed("evaluate", shelf / "whole.keras").stdout
    assert f"accuracy {right.mean():.4f}" in table
    rows = [line.split() for line in table.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert rows[0][0] == str(worst)
    assert rows[0][2] == f"{recall[worst]:.3f}"
    text = succeed("evaluate", shelf / "whole.keras", "--format", "markdown").stdout
    assert f"| {worst} | " in text
    assert f"accuracy {right.mean():.4f}" in text


def test_evaluate_is_quiet_on_a_real_terminals_streams(shelf, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [SCRIPT, "evaluate", shelf / "whole.keras", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert strict(done.stdout)["accuracy"] > 0.5
    assert list(tmp_path.iterdir()) == []


def test_export_for_serving(shelf, tmp_path):
    import tensorflow as tf

    result = succeed("export", shelf / "whole.keras", "--output", "served", "--dataset", "digits")
    assert result.stdout == ""
    assert "served" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
    images = np.concatenate([images for images, _ in datasets.load("digits").test.batches(512).as_numpy_iterator()])
    answer = tf.saved_model.load("served").signatures["serving_default"](images=tf.constant(images))
    with np.load(shelf / "whole.npz") as file:
        np.testing.assert_allclose(answer["probabilities"], file["probabilities"], atol=1e-5)
    assert answer["class_names"].numpy()[7].astype(str).tolist() == list("0123456789")
    (Path("served") / "saved_model.pb").write_text("old")
    refused = invoke("export", shelf / "whole.keras", "--output", "served")
    assert refused.exit_code == 2
    assert (Path("served") / "saved_model.pb").read_text() == "old"
    succeed("export", shelf / "whole.keras", "--output", "served", "--overwrite")
    assert (Path("served") / "saved_model.pb").read_bytes() != b"old"


@pytest.mark.filterwarnings("ignore")
def test_export_to_tflite(shelf, tmp_path):
    import tensorflow as tf

    result = succeed(
        "export", shelf / "whole.keras", "--format", "tflite", "--output", "small.tflite", "--dataset", "digits"
    )
    assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.labels.txt", "small.tflite"]
    assert Path("small.labels.txt").read_text().split() == list("0123456789")
    images = next(datasets.load("digits").test.batches(5).as_numpy_iterator())[0]
    run = tf.lite.Interpreter("small.tflite").get_signature_runner()
    answers = np.concatenate([run(images=image[None])["probabilities"] for image in images])
    with np.load(shelf / "whole.npz") as file:
        np.testing.assert_allclose(answers, file["probabilities"][:5], atol=1e-4)


def test_the_lists_name_what_there_is(prepared):
    from tfrecall.criteria import CRITERIA, SHORT
    from tfrecall.models import ARCHITECTURES

    listed = {name: succeed(name).stdout for name in ("models", "datasets", "algorithms")}
    for name in (*CRITERIA, *SHORT):
        assert f" {name} " in listed["algorithms"]
    assert {"lenet5", "vgg16", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"} == set(ARCHITECTURES)
    for name, known in ARCHITECTURES.items():
        row = next(line for line in listed["models"].splitlines() if line.split()[:1] == [name])
        assert f"{known.parameters:,}" in row
    ready = {
        line.split()[0]: line.split()[-1]
        for line in listed["datasets"].splitlines()
        if line.split()[-1:] in (["yes"], ["no"])
    }
    assert (ready["digits"], ready["fashion_mnist"], ready["cifar100"]) == ("yes", "yes", "no")
    for text in listed.values():
        assert max(map(len, text.splitlines())) <= 80


def test_help_lists_every_command_and_keeps_its_examples_apart():
    text = succeed("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in text
        assert succeed(name, "--help").stdout.startswith("Usage: ")
    lines = [line.strip() for line in text.splitlines()]
    assert "tfrecall prune --model vgg16 --ratio 0.5 --algo undecayed" in lines
    assert "\\b" not in text
    assert succeed("-h").stdout == text
    assert succeed("--version").stdout.endswith(f" {tfrecall.__version__}\n")


class TestStandardOutput:
    """Where it cannot take the result: one line, and exit code 1; where it cannot take some letters, they are escaped."""

    @pytest.fixture
    def command(self, tmp_path):
        names = ["a", "é", "→\U0001f600"]
        rng = np.random.default_rng(0)
        y_true = rng.integers(0, 3, 300)
        for name, wrong in (("a", 0), ("b", 1)):
            y_pred = np.where(rng.random(300) < 0.8, y_true, wrong)
            np.savez(tmp_path / f"{name}.npz", y_true=y_true, y_pred=y_pred, class_names=names)
        script = Path(sys.executable).with_name("tfrecall")
        return [str(script), "report", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "--format"]

    @pytest.mark.parametrize("form", ["table", "json", "markdown"])
    @pytest.mark.parametrize(("redirect", "reason"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")])
    def test_full_or_closed(self, command, form, redirect, reason):
        line = f"{shlex.join([*command, form])} {redirect}"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=100)
        problem = f"Error: the result could not be printed on standard output ({reason}).\n"
        assert (done.returncode, done.stderr) == (1, problem)
        everything = subprocess.run(f"{line} 2>&- <&-", shell=True, timeout=100)
        assert everything.returncode == 1

    @pytest.mark.parametrize("form", ["table", "json", "markdown"])
    def test_a_pipe_that_nobody_reads(self, command, form):
        process = subprocess.Popen([*command, form], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(timeout=100) == 1
        assert said == ""  # as of other commands: a reader such as head has seen enough

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    @pytest.mark.parametrize("form", ["table", "json", "markdown"])
    def test_letters_that_it_does_not_have(self, command, form, encoding):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([*command, form], capture_output=True, env=environment, timeout=100)
        assert (done.returncode, done.stderr) == (0, b"")
        if form == "json":
            report = json.loads(done.stdout.decode(encoding))
            assert [row["class"] for row in report["classes"]] == ["a", "é", "→\U0001f600"]

    @pytest.mark.parametrize("arguments", ["--help", "prune --help", "models", "study init"])
    def test_what_is_printed_without_any_work(self, arguments):
        script = Path(sys.executable).with_name("tfrecall")
        done = subprocess.run(f"{script} {arguments} >/dev/full", shell=True, capture_output=True, text=True, timeout=100)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "No space left on device" in done.stderr


def test_a_log_that_is_full_does_not_stop_the_work(capsys):
    with open("/dev/full", "w") as full, contextlib.redirect_stderr(full), session(tensorflow=False) as result:
        for _ in range(3):
            print("epoch 1/3", flush=True)
            print("epoch 1/3", file=sys.stderr, flush=True)
        result.line("done")
    assert capsys.readouterr().out == "done\n"
