"""What `load` takes for what, and how it splits."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sample_sets import everything

from tfrecall import datasets
from tfrecall.errors import InputError


def test_no_image_is_in_two_splits_and_the_test_set_stays():
    def rows(dataset):
        splits = (dataset.train, dataset.validation, dataset.test)
        return [{image.tobytes() for image in everything(split)[0]} for split in splits]

    digits = datasets.load("digits")
    other = datasets.load("digits", seed=5, validation_fraction=0.3)
    for train, validation, test in (rows(digits), rows(other)):
        assert not train & validation
        assert not (train | validation) & test
    assert rows(digits)[2] == rows(other)[2]
    assert rows(digits)[1] != rows(other)[1]


@pytest.mark.parametrize("fraction", [0, 1])
def test_the_validation_fraction_is_checked(npz, fraction):
    with pytest.raises(InputError, match="fraction"):
        datasets.load(npz(), validation_fraction=fraction)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fashion_mnst", "did you mean .*fashion_mnist"),
        ("digit", "did you mean .*digits"),
        ("qqqqqqqqq", r"unknown data set 'qqqqqqqqq'.*\.npz file.*folder"),
        ("emnist/ballanced", "ballanced not found .*: balanced"),
        ("mnist:9.9.9", "only: 3.0.1"),
        ("glue", "not an image classification set"),
        ("coco", "not an image classification set"),
        ("/no/such/folder", "no such folder"),
        ("./nothing", "no such folder"),
    ],
)
def test_names_that_cannot_be_loaded(name, message, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=message) as error:
        datasets.load(name)
    assert "\n" not in str(error.value)


def test_a_name_wins_over_a_folder_unless_written_as_a_path(prepared, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.rename("fashion_mnist")
    assert datasets.load("./fashion_mnist").class_names == ("ant", "bee", "cat")
    assert len(datasets.load("fashion_mnist", memory_limit=0).class_names) == 10


def test_listing_the_sets_loads_no_tensorflow():
    code = (
        "import sys; from tfrecall import datasets; datasets.known(); "
        "assert not {'tensorflow', 'tensorflow_datasets', 'sklearn', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
