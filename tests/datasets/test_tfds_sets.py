"""Sets from TFDS: read, prepared, or named with the command that prepares them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sample_sets import assert_same, everything

from tfrecall import datasets
from tfrecall.datasets import tfds_sets
from tfrecall.errors import InputError


def test_a_tfds_set_is_the_same_streamed_and_in_memory(prepared):
    held = datasets.load("fashion_mnist")
    streamed = datasets.load("fashion_mnist", memory_limit=0)
    assert held.image_shape == (28, 28, 1)
    assert held.class_names[:2] == ("T-shirt/top", "Trouser")
    assert [len(split) for split in (held.train, held.validation, held.test)] == [54000, 6000, 10000]
    assert (np.bincount(held.validation.labels) == 600).all()
    np.testing.assert_array_equal(held.train.labels, streamed.train.labels)
    assert_same(held, streamed, ["validation", "test"])  # all of train would take half of this file's time
    np.testing.assert_array_equal(held.test.sample(50, 0)[0], streamed.test.sample(50, 0)[0])
    images, labels = next(streamed.validation.batches(32, shuffle_seed=0).as_numpy_iterator())
    assert images.shape == (32, 28, 28, 1)
    assert labels.tolist() != held.validation.labels[:32].tolist()
    assert streamed.validation.batches(32).cardinality().numpy() == 188


@pytest.fixture
def homemade(tmp_path, monkeypatch):
    """A TFDS builder with images of two sizes whose test labels are unpublished, and one without a test split."""
    import tensorflow_datasets as tfds

    def describe(builder):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["odd", "even"]),
        }
        return tfds.core.DatasetInfo(
            builder=builder, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def draw(count, published=True):
        for number in range(count):
            size = 6 + number % 2
            label = number % 2 if published else -1
            yield number, {"image": np.full((size, size, 3), number, np.uint8), "label": label}

    if "homemade_unpublished" not in tfds.list_builders():

        class HomemadeUnpublished(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            pkg_dir_path = tmp_path

            def _info(self):
                return describe(self)

            def _split_generators(self, dl_manager):
                return {"train": draw(40), "validation": draw(10), "test": draw(7, published=False)}

            def _generate_examples(self):
                raise NotImplementedError

        class HomemadeUntested(HomemadeUnpublished):
            def _split_generators(self, dl_manager):
                return {"train": draw(60)}

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


def test_a_tfds_set_is_prepared_and_unpublished_test_labels_are_passed_over(homemade, capfd):
    held = datasets.load("homemade_unpublished")
    assert capfd.readouterr().out == ""
    assert held.image_shape in ((6, 6, 3), (7, 7, 3))
    assert held.class_names == ("odd", "even")
    assert [len(split) for split in (held.train, held.validation, held.test)] == [36, 4, 10]
    images, labels = everything(held.train)
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 2, labels)
    assert_same(held, datasets.load("homemade_unpublished", memory_limit=0))


def test_a_tfds_set_without_a_test_split_gives_a_third(homemade):
    held = datasets.load("homemade_untested", image_shape=(4, 4, 1))
    assert [len(split) for split in (held.train, held.validation, held.test)] == [36, 4, 20]
    splits = (held.train, held.validation, held.test)
    seen = np.concatenate([everything(split)[0][:, 0, 0, 0] for split in splits])
    assert sorted(seen) == list(range(60))
    assert_same(held, datasets.load("homemade_untested", image_shape=(4, 4, 1), memory_limit=0))


def test_a_set_that_cannot_be_downloaded_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for name in ("https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if tfds_sets._reachable(["https://www.cs.toronto.edu"]):
        pytest.skip("this machine has a network")
    start = time.monotonic()
    with pytest.raises(InputError, match=f"tfds build cifar10:.* --data_dir {tmp_path}") as error:
        datasets.load("cifar10")
    assert time.monotonic() - start < 15
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="tfds build emnist/byclass:"):
        datasets.load("emnist")


def test_a_failing_download_names_the_command(homemade):
    import tensorflow_datasets as tfds

    if "homemade_failing" not in tfds.list_builders():

        class HomemadeFailing(tfds.builder_cls("homemade_untested")):
            def _split_generators(self, dl_manager):
                raise RuntimeError("the archive is gone\nand more lines")

    with pytest.raises(InputError, match=r"the archive is gone\): .*tfds build homemade_failing") as error:
        datasets.load("homemade_failing")
    assert "\n" not in str(error.value)


def test_a_host_that_answers_is_reachable(monkeypatch):
    import socket

    for name in ("https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert tfds_sets._reachable([f"http://127.0.0.1:{port}/a.tar.gz", "http://nowhere.invalid/b"])
    assert not tfds_sets._reachable([f"http://127.0.0.1:{port}/a.tar.gz", "http://nowhere.invalid/b"])
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert tfds_sets._reachable(["http://nowhere.invalid/b"])


def test_a_damaged_tfds_set(prepared, tmp_path, monkeypatch):
    source = next((prepared / "fashion_mnist").glob("*/dataset_info.json")).parent
    copy = tmp_path / "fashion_mnist" / source.name
    copy.mkdir(parents=True)
    for file in source.iterdir():
        (copy / file.name).write_bytes(file.read_bytes()[:100_000])
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=r"cannot be read .*tfds build fashion_mnist"):
        datasets.load("fashion_mnist")
