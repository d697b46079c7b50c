"""The list of known sets."""

from __future__ import annotations

import pytest

from tfrecall import datasets


def test_known_sees_what_is_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for path in ("mnist/3.0.1", "emnist/balanced/3.1.0"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "dataset_info.json").write_text("{}")
    (tmp_path / "cifar10" / "3.0.2.incomplete").mkdir(parents=True)
    listed = {record.name: record for record in datasets.known()}
    assert {name for name, record in listed.items() if record.ready} == {"digits", "mnist", "emnist/balanced"}
    assert {"fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn_cropped"} <= set(listed)
    assert listed["cifar100"].classes == 100
    assert listed["cifar100"].image_shape == (32, 32, 3)


def test_known_records_are_what_tfds_declares(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    for record in datasets.known()[1:]:
        info = tfds.builder(record.name, data_dir=str(tmp_path)).info
        image, label = (info.features[key] for key in info.supervised_keys)
        assert label.num_classes == record.classes
        assert record.image_shape == (None if None in image.shape else image.shape)
