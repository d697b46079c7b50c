"""All or nothing: what is written appears together, and what was there comes back if it cannot."""

import threading

import pytest

from tfrecall.errors import InputError
from tfrecall.publishing import require_place, whole, write_text

NAMES = ("report.json", "saved_model", "figures/a.png")


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


def write(folder, text):
    (folder / "report.json").write_text(text)
    for name, file in (("saved_model", "model.pb"), ("figures", "a.png")):
        (folder / name).mkdir()
        (folder / name / file).write_text(text)


def contents(text):
    return {
        "report.json": text,
        "saved_model": None,
        "saved_model/model.pb": text,
        "figures": None,
        "figures/a.png": text,
    }


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_appears_whole(tmp_path, there):
    output = tmp_path / "deeper" / "out"
    if there:
        output.mkdir(parents=True)
    with whole(output, NAMES) as folder:
        write(folder, "new")
        assert not there or list(output.iterdir()) == []
    assert tree(output) == contents("new")
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_only_what_is_named_is_replaced(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    write(output, "old")
    (output / "figures" / "mine.png").write_text("mine")
    (output / "saved_model" / "stale").write_text("stale")
    (output / "notes.txt").write_text("mine")
    with whole(output, NAMES) as folder:
        write(folder, "new")
    assert tree(output) == {**contents("new"), "figures/mine.png": "mine", "notes.txt": "mine"}


def test_what_fails_while_it_is_written_leaves_what_was_there(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    write(output, "old")

    def fail():
        with whole(output, NAMES) as folder:
            write(folder, "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert tree(tmp_path) == {"out": None, **{f"out/{name}": text for name, text in contents("old").items()}}


def test_what_fails_while_it_is_moved_is_taken_back(tmp_path):
    """A file where a folder has to be stops the last move, after the first ones were made."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "report.json").write_text("old")
    (output / "figures").write_text("a file")

    def fail():
        with whole(output, NAMES) as folder:
            write(folder, "new")

    with pytest.raises(OSError, match="figures"):
        fail()
    assert tree(tmp_path) == {"out": None, "out/report.json": "old", "out/figures": "a file"}


def test_places_of_the_wrong_kind_are_named_beforehand(tmp_path):
    require_place(tmp_path / "new" / "out", NAMES)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, not a folder"):
        require_place(tmp_path / "file" / "out", NAMES)
    (tmp_path / "report.json").mkdir()
    with pytest.raises(InputError, match=r"report\.json is a folder, where a file is to be written"):
        require_place(tmp_path, NAMES)
    (tmp_path / "report.json").rmdir()
    (tmp_path / "figures").write_text("")
    with pytest.raises(InputError, match="figures is a file, where a folder is to be written"):
        require_place(tmp_path, NAMES)


class TestText:
    def test_it_is_written_below_folders_that_are_made(self, tmp_path):
        write_text(tmp_path / "deeper" / "still" / "a.json", "ü\n")
        assert (tmp_path / "deeper" / "still" / "a.json").read_bytes() == "ü\n".encode()
        assert tree(tmp_path) == {"deeper": None, "deeper/still": None, "deeper/still/a.json": "ü\n"}

    def test_it_replaces_what_is_there_and_leaves_the_rest(self, tmp_path):
        (tmp_path / "mine.txt").write_text("mine")
        for text in ("old, and longer", "new"):
            write_text(tmp_path / "a.json", text)
        assert tree(tmp_path) == {"a.json": "new", "mine.txt": "mine"}

    def test_what_cannot_be_written_leaves_what_was_there(self, tmp_path):
        write_text(tmp_path / "a.json", "old")
        with pytest.raises(UnicodeEncodeError):
            write_text(tmp_path / "a.json", "new \ud800")
        assert tree(tmp_path) == {"a.json": "old"}
        (tmp_path / "folder" / "full").mkdir(parents=True)
        with pytest.raises(OSError, match="folder"):
            write_text(tmp_path / "folder", "new")
        assert tree(tmp_path) == {"a.json": "old", "folder": None, "folder/full": None}

    def test_whoever_reads_meanwhile_reads_one_whole_text(self, tmp_path):
        path = tmp_path / "a.json"
        texts = [letter * 100_000 for letter in "ab"]
        write_text(path, texts[0])
        writers = [threading.Thread(target=lambda text=text: [write_text(path, text) for _ in range(100)]) for text in texts]
        for writer in writers:
            writer.start()
        read = set()
        while any(writer.is_alive() for writer in writers):
            read.add(path.read_text())
        for writer in writers:
            writer.join()
        assert read <= set(texts)
        assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
