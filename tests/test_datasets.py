"""The data sets: what comes in from each source, what cannot, and how it is split, shuffled and resized."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecall import datasets
from tfrecall.errors import InputError

PREPARED = Path(os.environ.get("TFDS_DATA_DIR") or Path(__file__).resolve().parents[2] / "shared" / "tfds")


@pytest.fixture
def prepared(monkeypatch):
    if not (PREPARED / "fashion_mnist").is_dir():
        pytest.skip(f"{PREPARED} holds no prepared fashion_mnist")
    monkeypatch.setenv("TFDS_DATA_DIR", str(PREPARED))


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def everything(split, batch_size=100):
    batches = list(split.batches(batch_size).as_numpy_iterator())
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def orders(pairs, iterations):
    return [np.concatenate([images[:, 0, 0, 0] for images, _ in pairs.as_numpy_iterator()]) for _ in range(iterations)]


def assert_same(one, other, parts=("train", "validation", "test")):
    assert one.class_names == other.class_names
    assert one.image_shape == other.image_shape
    for part in parts:
        images, labels = everything(getattr(one, part))
        other_images, other_labels = everything(getattr(other, part), 33)
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)
        np.testing.assert_array_equal(labels, getattr(one, part).labels)


def numbered(count, shape=(2, 2, 1), dtype=np.uint8):
    """Images that can be told apart: each is filled with its number."""
    return np.broadcast_to(np.arange(count).reshape(-1, 1, 1, 1), (count, *shape)).astype(dtype)


def arrays(**changes):
    good = {
        "x_train": numbered(60),
        "y_train": np.arange(60) % 3,
        "x_test": numbered(9) + np.uint8(100),
        "y_test": np.arange(9) % 3,
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


@pytest.fixture
def npz(tmp_path):
    def write(**changes):
        path = tmp_path / "set.npz"
        np.savez(path, **arrays(**changes))
        return path

    return write


def write_image(path, pixels):
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    encode = tf.io.encode_jpeg if path.suffix == ".jpg" else tf.io.encode_png
    path.write_bytes(encode(np.asarray(pixels, np.uint8)).numpy())


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten images and one of three, of two sizes, grey, RGB and RGBA, PNG and JPEG."""
    generator = np.random.default_rng(0)
    root = tmp_path / "pictures"
    for name, count in (("ant", 10), ("bee", 10), ("cat", 3)):
        for number in range(count):
            size = (8, 6) if number % 2 == 0 else (11, 9)
            channels = (3, 1, 4)[number % 3]
            suffix = "jpg" if number == 1 else "png"
            write_image(root / name / f"{number}.{suffix}", generator.integers(0, 256, (*size, channels)))
    (root / "ant" / "notes.txt").write_text("no image")
    return root


# ---------------------------------------------------------------------------------------------------- stratified_split


@settings(deadline=None, max_examples=200)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
def test_stratified_split_holds_out_each_class_by_its_share(counts, fraction, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    try:
        train, held_out = datasets.stratified_split(labels, fraction, seed)
    except InputError:
        assert round(fraction * len(labels)) <= 1 or max(counts, default=0) <= 1
        return
    assert sorted([*train, *held_out]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    held = np.bincount(labels[held_out], minlength=len(counts))
    counts = np.array(counts)
    assert (np.abs(held - fraction * counts) <= 1 + 1e-6).all()
    assert (held[counts > 0] < counts[counts > 0]).all()
    splittable = (counts >= 2).sum()
    if fraction * len(labels) >= splittable:
        assert (held[counts >= 2] >= 1).all()
    again = datasets.stratified_split(labels, fraction, seed)
    np.testing.assert_array_equal(held_out, again[1])


def test_stratified_split_rounds_by_the_largest_remainder():
    labels = np.repeat([0, 1, 2], [17, 14, 12])  # shares 1.7, 1.4, 1.2: four of 43
    _, held_out = datasets.stratified_split(labels, 0.1, 0)
    assert np.bincount(labels[held_out]).tolist() == [2, 1, 1]


def test_stratified_split_depends_on_the_seed():
    labels = np.arange(100) % 4
    first, second = (datasets.stratified_split(labels, 0.2, seed)[1] for seed in (0, 1))
    assert first.tolist() != second.tolist()


def test_stratified_split_keeps_a_rare_class_on_both_sides():
    labels = np.repeat([0, 1], [100, 2])
    train, held_out = datasets.stratified_split(labels, 0.1, 0)
    assert np.bincount(labels[held_out]).tolist() == [10, 1]
    assert np.bincount(labels[train]).tolist() == [90, 1]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), 0.001])
def test_stratified_split_refuses_fractions_that_leave_a_part_empty(fraction):
    with pytest.raises(InputError, match="fraction"):
        datasets.stratified_split(np.arange(20) % 2, fraction, 0)


# --------------------------------------------------------------------------------------------------- digits and splits


def test_digits(digits):
    assert digits.name == "digits"
    assert digits.class_names == tuple("0123456789")
    assert digits.image_shape == (8, 8, 1)
    assert len(digits.test) == 599
    assert len(digits.train) + len(digits.validation) == 1198
    images, labels = everything(digits.train)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert images.shape == (len(digits.train), 8, 8, 1)
    assert images.min() == 0
    assert images.max() == 255
    for split in (digits.train, digits.validation, digits.test):
        shares = np.bincount(split.labels, minlength=10) / len(split)
        np.testing.assert_allclose(shares, 0.1, atol=0.02)


def test_no_image_is_in_two_splits_and_the_test_set_stays(digits):
    def rows(dataset):
        splits = (dataset.train, dataset.validation, dataset.test)
        return [{image.tobytes() for image in everything(split)[0]} for split in splits]

    other = datasets.load("digits", seed=5, validation_fraction=0.3)
    for train, validation, test in (rows(digits), rows(other)):
        assert not train & validation
        assert not (train | validation) & test
    assert rows(digits)[2] == rows(other)[2]
    assert rows(digits)[1] != rows(other)[1]


def test_the_last_batch_holds_what_is_left(digits):
    sizes = [len(labels) for _, labels in digits.validation.batches(50).as_numpy_iterator()]
    assert sizes == [50, 50, 20]


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_shuffling_follows_the_seed_and_differs_in_each_epoch(npz, memory_limit):
    train = datasets.load(npz(), image_shape=(3, 3, 1), memory_limit=memory_limit).train
    first, second = orders(train.batches(7, shuffle_seed=3), 2)
    assert first.tolist() != second.tolist()
    assert sorted(first) == sorted(second) == sorted(orders(train.batches(7), 1)[0])
    again = orders(train.batches(7, shuffle_seed=3), 2)
    np.testing.assert_array_equal([first, second], again)
    assert orders(train.batches(7, shuffle_seed=4), 1)[0].tolist() != first.tolist()


def test_shuffling_keeps_images_and_labels_together(npz):
    train = datasets.load(npz()).train
    for images, labels in train.batches(8, shuffle_seed=0).as_numpy_iterator():
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)


def test_both_sources_shuffle_alike(npz):
    path = npz()
    shuffled = [
        orders(datasets.load(path, image_shape=(4, 4, 1), memory_limit=limit).train.batches(9, shuffle_seed=1), 2)
        for limit in (2**30, 0)
    ]
    np.testing.assert_array_equal(*shuffled)


def test_each_epoch_of_a_fit_across_replicas_sees_every_image(npz):
    import tensorflow as tf

    train = datasets.load(npz()).train
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    shared = strategy.experimental_distribute_dataset(train.batches(8, shuffle_seed=0))
    epochs = [np.concatenate([images.numpy()[:, 0, 0, 0] for images, _ in shared]) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(everything(train)[0][:, 0, 0, 0])
    assert epochs[0].tolist() != epochs[1].tolist()


def test_sample_is_seeded_and_without_replacement(npz):
    train = datasets.load(npz()).train
    images, labels = train.sample(20, seed=1)
    assert images.shape == (20, 2, 2, 1)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert len(set(images[:, 0, 0, 0])) == 20
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
    np.testing.assert_array_equal(images, train.sample(20, seed=1)[0])
    assert images.tolist() != train.sample(20, seed=2)[0].tolist()
    assert len(train.sample(1000, seed=0)[0]) == len(train)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
def test_batch_size_is_checked(digits, batch_size):
    with pytest.raises(InputError, match="batch size"):
        digits.train.batches(batch_size)


def test_sample_size_is_checked(digits):
    with pytest.raises(InputError, match="at least one"):
        digits.train.sample(0, seed=0)


def test_pixel_moments(digits):
    images = everything(digits.train)[0].astype(np.float64)
    mean, variance = digits.pixel_moments()
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(variance, images.var(axis=(0, 1, 2)), rtol=1e-12)


def test_pixel_moments_by_channel_far_from_zero(npz):
    generator = np.random.default_rng(0)
    pixels = generator.normal(loc=[1e4, 0, -5], size=(600, 5, 5, 3)).astype(np.float32)
    path = npz(x_train=pixels, y_train=np.arange(600) % 3, x_test=pixels[:9])
    dataset = datasets.load(path)
    images = everything(dataset.train)[0].astype(np.float64)
    mean, variance = dataset.pixel_moments()
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(variance, images.var(axis=(0, 1, 2)), rtol=1e-9)


# ------------------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_resizing_and_channels(npz, memory_limit):
    shape = {"image_shape": (6, 4, 3), "memory_limit": memory_limit}
    dataset = datasets.load(npz(), **shape)
    images, _ = everything(dataset.test)
    assert dataset.image_shape == (6, 4, 3)
    np.testing.assert_array_equal(images, np.broadcast_to(images[:, :1, :1, :1], (9, 6, 4, 3)))
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(100, 109))


def test_bytes_stay_whole_numbers_and_floats_stay_floats(npz):
    ramp = np.broadcast_to(np.arange(16).reshape(1, 4, 4, 1) * 17, (60, 4, 4, 1))
    shrunk = {}
    for dtype in (np.uint8, np.float64):
        path = npz(x_train=ramp.astype(dtype), x_test=ramp[:9].astype(dtype))
        shrunk[dtype] = everything(datasets.load(path, image_shape=(3, 3, 1)).train)[0]
    assert (shrunk[np.uint8] == np.round(shrunk[np.uint8])).all()
    assert (shrunk[np.float64] != np.round(shrunk[np.float64])).any()
    np.testing.assert_allclose(shrunk[np.uint8], shrunk[np.float64], atol=0.5001)


def test_shrinking_averages(npz):
    stripes = np.zeros((60, 32, 32, 1), np.uint8)
    stripes[:, :, ::2] = 200
    images, _ = everything(datasets.load(npz(x_train=stripes, x_test=stripes[:9]), image_shape=(4, 4, 1)).test)
    np.testing.assert_allclose(images, 100, atol=15)  # without antialiasing it would be all or nothing


def test_colour_becomes_grey(npz):
    colours = np.zeros((60, 2, 2, 3), np.uint8)
    colours[:] = [200, 100, 50]
    path = npz(x_train=colours, x_test=colours[:9])
    images, _ = everything(datasets.load(path, image_shape=lambda shape: (*shape[:2], 1)).test)
    np.testing.assert_allclose(images, 0.2989 * 200 + 0.587 * 100 + 0.114 * 50, atol=1)


@pytest.mark.parametrize("shape", [(8, 8), (0, 8, 1), (8, 8, 1.5), "8x8", (8, 8, 2)])
def test_shapes_that_cannot_be(shape):
    with pytest.raises(InputError, match=r"image shape|channels"):
        datasets.load("digits", image_shape=shape)


# --------------------------------------------------------------------------------------------------------------- TFDS


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
    if datasets._any_answers({("www.cs.toronto.edu", 443)}):
        pytest.skip("this machine has a network")
    start = time.monotonic()
    with pytest.raises(InputError, match=f"tfds build cifar10 --data_dir {tmp_path}") as error:
        datasets.load("cifar10")
    assert time.monotonic() - start < 15
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="tfds build emnist/byclass "):
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
        assert datasets._reachable([f"http://127.0.0.1:{port}/a.tar.gz", "http://nowhere.invalid/b"])
    assert not datasets._reachable([f"http://127.0.0.1:{port}/a.tar.gz", "http://nowhere.invalid/b"])
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert datasets._reachable(["http://nowhere.invalid/b"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fashion_mnst", "did you mean .*fashion_mnist"),
        ("digit", "did you mean .*digits"),
        ("qqqqqqqqq", r"unknown data set 'qqqqqqqqq'.*\.npz file.*folder"),
        ("emnist/ballanced", "configuration of data set 'emnist' 'ballanced': did you mean balanced"),
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


def test_a_damaged_tfds_set(prepared, tmp_path, monkeypatch):
    source = next((PREPARED / "fashion_mnist").glob("*/dataset_info.json")).parent
    copy = tmp_path / "fashion_mnist" / source.name
    copy.mkdir(parents=True)
    for file in source.iterdir():
        (copy / file.name).write_bytes(file.read_bytes()[:100_000])
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=r"cannot be read .*tfds build fashion_mnist"):
        datasets.load("fashion_mnist")


def test_a_name_wins_over_a_folder_unless_written_as_a_path(prepared, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.rename("fashion_mnist")
    assert datasets.load("./fashion_mnist").class_names == ("ant", "bee", "cat")
    assert len(datasets.load("fashion_mnist", memory_limit=0).class_names) == 10


# --------------------------------------------------------------------------------------------------------------- .npz


def test_npz(npz):
    dataset = datasets.load(str(npz(class_names=np.array(["a", "b", "c"]))))
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.image_shape == (2, 2, 1)
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [54, 6, 9]
    images, labels = everything(dataset.test)
    np.testing.assert_array_equal(images, arrays()["x_test"])
    np.testing.assert_array_equal(labels, arrays()["y_test"])


@pytest.mark.parametrize(
    "changes",
    [
        {"x_train": numbered(60)[..., 0], "x_test": numbered(9)[..., 0] + 100},
        {"x_train": numbered(60).astype(np.int64)},
        {"y_train": (np.arange(60) % 3).reshape(-1, 1), "y_test": (np.arange(9) % 3).astype(np.float32)},
        {"y_train": np.eye(3)[np.arange(60) % 3], "y_test": np.eye(3, dtype=int)[np.arange(9) % 3]},
    ],
)
def test_npz_in_other_forms_is_the_same_set(npz, tmp_path, changes):
    plain = datasets.load(npz())
    assert_same(plain, datasets.load(npz(**changes)))


def test_npz_is_the_same_streamed_and_in_memory(npz):
    path = npz()
    assert_same(datasets.load(path), datasets.load(path, memory_limit=0))
    resized = [datasets.load(path, image_shape=(5, 3, 3), memory_limit=limit) for limit in (2**30, 0)]
    assert_same(*resized)


NOT_FINITE = numbered(60, dtype=np.float32)
NOT_FINITE[3, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None, "x_test": None}, "lacks x_test, y_test: .*found x_train, y_train"),
        ({"y_train": np.arange(59) % 3}, "60 images but y_train 59 labels"),
        ({"y_train": np.arange(60) % 3 - 1}, "y_train holds the negative label -1"),
        ({"y_test": np.arange(9) % 3 + 0.5}, "y_test holds labels that are not whole"),
        ({"y_test": np.arange(9) % 4}, "y_test holds the label 3 but there are 3 classes"),
        ({"class_names": np.array(["a", "b"])}, "y_train holds the label 2 but there are 2 classes"),
        ({"class_names": np.array(["a", "b", "b"])}, "distinct strings"),
        ({"class_names": np.array(["a", "b", None], object)}, "class_names holds Python objects"),
        ({"y_train": np.arange(60) % 3 * 1000}, "counts up to 2000"),
        ({"y_train": np.zeros(60, int), "y_test": np.zeros(9, int)}, "two classes or more"),
        ({"y_train": np.array(["cat"] * 60)}, "y_train must hold whole numbers"),
        ({"y_train": np.ones((60, 3))}, "one-hot"),
        ({"y_train": np.zeros((60, 3, 1), int)}, r"shape \(images,\)"),
        ({"x_train": NOT_FINITE, "x_test": numbered(9, dtype=np.float32)}, "x_train holds pixels that are NaN"),
        ({"x_train": numbered(0), "y_train": np.zeros(0, int)}, "x_train must have the shape"),
        ({"y_test": np.zeros(0, int)}, "at least one image"),
        ({"x_train": np.zeros((60, 4))}, "x_train must have the shape"),
        ({"x_train": np.full((60, 2, 2), "a")}, "must hold numbers"),
        ({"x_train": np.full((60, 2, 2), None)}, "x_train holds Python objects"),
        ({"x_test": numbered(9, (3, 2, 1))}, "2×2×1 but those of x_test 3×2×1"),
        ({"x_test": numbered(9, dtype=np.float32)}, "x_train is uint8 but x_test float32"),
    ],
)
def test_npz_files_that_cannot_be_used(npz, changes, message):
    path = npz(**changes)
    with pytest.raises(InputError, match=message) as error:
        datasets.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "text", "array", "empty", "scrambled", "missing"])
def test_npz_files_that_cannot_be_read(npz, damage):
    path = npz()
    content = bytearray(path.read_bytes())
    middle = content.index(b"x_train.npy") + 200
    content[middle : middle + 20] = bytes(20)
    if damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif damage == "missing":
        path.unlink()
    else:
        damaged = {"cut": content[:500], "text": b"hello", "empty": b"", "scrambled": content}
        path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"whole \.npz|damaged|no such file") as error:
        datasets.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fraction", [0, 1, 0.001])
def test_the_validation_fraction_is_checked(npz, fraction):
    with pytest.raises(InputError, match="fraction"):
        datasets.load(npz(), validation_fraction=fraction)


# ------------------------------------------------------------------------------------------------------------ folders


def test_folder_without_a_test_folder(folder):
    dataset = datasets.load(folder)
    assert dataset.class_names == ("ant", "bee", "cat")
    assert dataset.image_shape == (8, 6, 3)
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [16, 2, 5]
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 1]
    assert_same(dataset, datasets.load(folder, memory_limit=0))
    grey = [datasets.load(folder, image_shape=(5, 5, 1), memory_limit=limit) for limit in (2**30, 0)]
    assert_same(*grey)


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_folder_pixels_are_those_of_the_files(tmp_path, memory_limit):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 7, 3))
    for number, image in enumerate(pixels):
        write_image(tmp_path / "train" / "ab"[number % 2] / f"{number}.png", image)
        write_image(tmp_path / "test" / "ab"[number % 2] / f"{number}.png", image[..., :1])
    dataset = datasets.load(tmp_path, validation_fraction=0.5, memory_limit=memory_limit)
    images, labels = everything(dataset.test)
    np.testing.assert_array_equal(images, np.repeat(pixels[[0, 2, 1, 3], ..., :1], 3, axis=-1))
    assert labels.tolist() == [0, 0, 1, 1]
    assert len(dataset.train) == len(dataset.validation) == 2
    shuffled = np.concatenate([labels for _, labels in dataset.test.batches(3, shuffle_seed=0).as_numpy_iterator()])
    assert sorted(shuffled) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "bmp"), ("RGB", "bmp"), ("P", "gif"), ("CMYK", "jpeg"), ("LA", "png")]
)
def test_folder_with_other_formats(folder, mode, suffix):
    image = pytest.importorskip("PIL.Image").new(mode, (6, 8))
    image.save(folder / "cat" / f"other.{suffix}")
    dataset = datasets.load(folder)
    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 24
    assert dataset.pixel_moments()[0][0] > 0


@pytest.mark.parametrize("memory_limit", [2**30, 0])
@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_folder_with_an_image_that_cannot_be_read(folder, damage, memory_limit):
    path = folder / "bee" / "0.png"
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello world", "cut": content[: len(content) // 2]}[damage])
    with pytest.raises(InputError, match="cannot be read as an image") as error:
        datasets.load(folder, memory_limit=memory_limit)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_folder_with_an_image_damaged_inside(folder):
    path = folder / "bee" / "0.png"
    content = bytearray(path.read_bytes())
    content[60:100] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bee/0.png cannot be read as an image"):
        datasets.load(folder)


def test_an_image_followed_by_more_bytes_is_fine(folder):
    path = folder / "ant" / "1.jpg"
    path.write_bytes(path.read_bytes() + b"the camera's own notes")
    assert len(datasets.load(folder, memory_limit=0).train) == 16


def test_folders_that_hold_no_set(folder):
    (folder / "dog").mkdir()
    with pytest.raises(InputError, match="dog: no images"):
        datasets.load(folder)
    with pytest.raises(InputError, match="two or more, found 0"):
        datasets.load(folder / "ant")
    nested = folder / "dog" / "train" / "only"
    write_image(nested / "1.png", np.zeros((2, 2, 1)))
    with pytest.raises(InputError, match="two or more, found 1"):
        datasets.load(folder / "dog")


def test_a_test_class_without_training_images(folder):
    root = folder.parent / "nested"
    root.mkdir()
    folder.rename(root / "train")
    write_image(root / "test" / "wasp" / "1.png", np.zeros((2, 2, 1)))
    with pytest.raises(InputError, match="class wasp is not among"):
        datasets.load(root)


# ------------------------------------------------------------------------------------------------------------- known()


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


def test_listing_the_sets_loads_no_tensorflow():
    code = (
        "import sys; from tfrecall import datasets; datasets.known(); "
        "assert not {'tensorflow', 'tensorflow_datasets', 'sklearn', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
