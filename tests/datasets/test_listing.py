"""What counts in an image folder, found by names alone and within bounds. No TensorFlow is needed."""

from __future__ import annotations

import os
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecall import datasets
from tfrecall.datasets.listing import list_folder
from tfrecall.errors import InputError
from tfrecall.study.cell import fingerprint

PNG = b"\x89PNG\r\n\x1a\n and more"


def write(root, *names, content=PNG):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def below(root, paths):
    return [os.path.relpath(path, root) for path in paths]


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "set", "ant/1.png", "ant/2.jpg", "bee/1.png", "bee/2.png")
    return tmp_path / "set"


def test_sub_folders_capitals_and_missing_endings_are_read(root):
    write(root, "ant/day/3.WEBP", "ant/day/night/4.Tiff", "ant/0", "bee/x.JPEG")
    listing = list_folder(root)
    assert listing.class_names == ("ant", "bee")
    expected = ["ant/0", "ant/1.png", "ant/2.jpg", "ant/day/3.WEBP", "ant/day/night/4.Tiff"]
    assert below(root, listing.train[0]) == expected
    assert below(root, listing.train[1]) == ["bee/1.png", "bee/2.png", "bee/x.JPEG"]
    assert not listing.left_out


JUNK = (".DS_Store", "ant/Thumbs.db", "ant/desktop.ini", "__MACOSX/ant/._1.png", "ant/._1.png", ".git/a.png", "bee/.x/1.png")


def test_what_systems_leave_neither_counts_nor_is_told(root):
    before = list_folder(root), fingerprint(str(root))
    write(root, *JUNK)
    assert (list_folder(root), fingerprint(str(root))) == before
    assert not before[0].left_out


def test_what_is_left_out_is_counted(root):
    write(root, "ant/a.heic", "ant/b.HEIC", "bee/list.csv", "1.png", "notes.txt")
    write(root, "bee/noise", content=b"no image")
    write(root, "bee/zero", content=b"")
    (root / "ant" / "there").symlink_to(root / "bee")
    (root / "ant" / "gone.png").symlink_to(root / "nowhere")
    os.mkfifo(root / "ant" / "pipe.png")
    listing = list_folder(root)
    assert sum(map(len, listing.train)) == 4
    assert dict(listing.left_out) == {
        ".heic files": 2,
        ".csv files": 1,
        "images outside the class folders": 1,
        "files without an ending that are no images": 2,
        "linked folders": 1,
        "broken links and special files": 2,
    }


def test_loops_of_links_end(root):
    (root / "loop").symlink_to(root)
    (root / "up").symlink_to(root.parent)
    (root / "ant" / "again").symlink_to(root)
    listing = list_folder(root)
    assert listing.class_names == ("ant", "bee")
    assert listing.left_out == {"links to a folder that holds the data set itself": 2, "linked folders": 1}
    assert fingerprint(str(root))


def test_linked_class_folders_and_files_are_read(root, tmp_path):
    write(tmp_path / "elsewhere", "1.png")
    (root / "cat").symlink_to(tmp_path / "elsewhere")
    (root / "ant" / "3.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    listing = list_folder(root)
    assert [len(images) for images in listing.train] == [3, 2, 1]


def test_pipes_sockets_and_devices_are_never_opened(root, monkeypatch):
    os.mkfifo(root / "ant" / "pipe")
    monkeypatch.chdir(root / "ant")  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
        (root / "ant" / "zero.png").symlink_to("/dev/zero")
        started = time.monotonic()
        assert list_folder(root).left_out == {"broken links and special files": 3}
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("names", "used"),
    [
        (("train", "valid", "test"), "train, validation, test"),
        (("Train", "VAL", "Test"), "train, validation, test"),
        (("training", "validation", "testing"), "train, validation, test"),
        (("train", "val"), "train, test"),  # as in version 0.1
        (("train",), "train"),
    ],
)
def test_splits_by_their_usual_names(tmp_path, names, used):
    for name in names:
        write(tmp_path / name, f"ant/{name}.png", f"bee/{name}.png")
    listing = list_folder(tmp_path)
    assert listing.class_names == ("ant", "bee")
    parts = {part: getattr(listing, part) for part in ("train", "validation", "test")}
    assert ", ".join(part for part, files in parts.items() if files) == used
    assert below(tmp_path, listing.train[0]) == [f"{names[0]}/ant/{names[0]}.png"]
    assert len(listing.files) == 2 * len(names)


def test_folders_beside_train_are_told(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/1.png", "extra/a/1.png", "val/a/1.png", "valid/a/1.png", "test/b/1.png")
    assert list_folder(tmp_path).left_out == {"folders beside train: extra, val": 2}


def test_a_class_may_be_called_train(tmp_path):
    write(tmp_path, "bus/1.png", "train/1.png")
    assert list_folder(tmp_path).class_names == ("bus", "train")


@pytest.mark.parametrize("names", [("test/a/1.png", "val/b/1.png"), ("train/1.png", "test/1.png")])
def test_splits_are_not_taken_for_classes(tmp_path, names):
    write(tmp_path, *names)
    with pytest.raises(InputError, match=r"are no classes: arrange the images as train/CLASS/IMAGE\.$"):
        list_folder(tmp_path)


@pytest.mark.parametrize("name", ["/", "/usr", "/proc", "/dev", "/sys"])
def test_disks_are_not_walked(name):
    for use in (datasets.files, fingerprint):
        with pytest.raises(InputError, match=r"no images .*: give a folder whose folders are classes|cannot be read"):
            use(name)


def test_a_class_whose_first_files_are_no_images_is_refused_in_bounds(tmp_path, monkeypatch):
    from tfrecall.datasets import listing

    monkeypatch.setattr(listing, "_LOOK", 50)
    write(tmp_path, "a/1.png", *(f"b/{number}.txt" for number in range(60)), "b/deep/below/1.png")
    with pytest.raises(InputError, match="b: no images"):
        list_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty: give a name"),
        ("~nobody-of-that-name/x", "no such user"),
        ("a\0b", "holds a NUL"),
        ("x" * 300, "too long"),
        ("./" + "y" * 300 + ".npz", "too long"),
        ("a/" * 3000, "too long"),
        (os.fsdecode(b"./b\xe4r"), r"not UTF-8: \./b\\udce4r: rename it"),
        ("/dev/zero", "/dev/zero is no data set"),
        ("/dev/null", "/dev/null is no data set"),
        (__file__, "is no data set: give an .npz file"),
    ],
)
def test_names_that_can_be_no_data_set(name, message):
    for use in (datasets.load, datasets.files, fingerprint):
        with pytest.raises(InputError, match=message) as error:
            use(name)
        assert "\n" not in str(error.value)
        str(error.value).encode()


@pytest.mark.parametrize("name", ["pipe", "pipe.npz"])
def test_a_pipe_as_a_data_set_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for use in (datasets.load, datasets.files):
        with pytest.raises(InputError, match="is no data set"):
            use(str(tmp_path / name))


def test_class_folders_must_be_utf_8_and_images_need_not(root):
    write(root, os.fsdecode(b"ant/gr\xfcn.png"))
    assert len(list_folder(root).train[0]) == 3
    assert fingerprint(str(root))
    os.mkdir(os.fsencode(root) + b"/k\xe4fer")
    with pytest.raises(InputError, match=r"k\\udce4fer: the name of a class folder must be UTF-8") as error:
        list_folder(root)
    str(error.value).encode()


names = st.text("abc.", min_size=1, max_size=4).filter(lambda name: not name.startswith("."))


@settings(deadline=None, max_examples=50)
@given(images=st.dictionaries(st.tuples(st.sampled_from("xyz"), names), st.binary(max_size=3), min_size=2, max_size=8))
def test_the_order_and_the_fingerprint_do_not_depend_on_the_disk(tmp_path_factory, images):
    images |= {("x", "0"): b"1", ("y", "0"): b"2", ("z", "0"): b"3"}
    found = []
    for order in (list(images), sorted(images, reverse=True)):
        root = tmp_path_factory.mktemp("set")
        for folder, name in order:
            write(root, f"{folder}/{name}.png", content=images[folder, name])
        found.append((below(root, list_folder(root).files), fingerprint(str(root))))
    assert found[0] == found[1]
    assert found[0][0] == sorted(f"{folder}/{name}.png" for folder, name in images)


def test_changes_are_noticed_and_copies_are_none(root):
    path = str(root)
    mark = fingerprint(path)
    os.utime(root / "ant" / "1.png", (1, 1))
    assert fingerprint(path) == mark
    write(root, "ant/1.png", content=PNG + b"!")
    assert fingerprint(path) != mark
    write(root, "ant/1.png")
    assert fingerprint(path) == mark
