"""All or nothing: what is written appears together, and what was there comes back if it cannot."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tfrecall.errors import InputError
from tfrecall.publishing import SCRATCH, expanded, output_path, require_own_folder, require_place, whole, write_text

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
        assert not there or all(path.name.startswith(SCRATCH) for path in output.iterdir())
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


def on_another_file_system(*parts, size="1m"):
    """Mount a file system at a folder of its own, or skip where that is not allowed."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(Path(*parts))]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")


@contextlib.contextmanager
def mounted(folder, size="1m"):
    folder.mkdir(parents=True, exist_ok=True)
    on_another_file_system(folder, size=size)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_is_a_mount_point(tmp_path):
    with mounted(tmp_path / "out") as output:
        assert output.stat().st_dev != tmp_path.stat().st_dev
        require_place(output, NAMES)
        for text in ("old", "new"):
            with whole(output, NAMES) as folder:
                write(folder, text)
        assert tree(output) == contents("new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_mount_point_below_the_folder(tmp_path, linked):
    """Also a link to one: figures on a larger disk."""
    output = tmp_path / "out"
    output.mkdir()
    with mounted(tmp_path / "disk" if linked else output / "figures") as disk:
        if linked:
            (output / "figures").symlink_to(disk)
        for text in ("old", "new"):
            with whole(output, NAMES) as folder:
                write(folder, text)
        assert {path.name: path.read_text() for path in disk.iterdir()} == {"a.png": "new"}
        assert tree(output) == {
            name: text for name, text in contents("new").items() if not linked or name != "figures/a.png"
        } | ({"figures/a.png": "new"} if (output / "figures/a.png") in output.rglob("*") else {})


def test_a_failure_takes_back_what_was_copied_to_another_file_system(tmp_path):
    output = tmp_path / "out"
    with mounted(output / "figures") as figures:
        (figures / "a.png").write_text("old")

        def fail():
            with whole(output, ["figures/a.png", "report.json/impossible"]) as folder:
                write(folder, "new")
                (folder / "report.json").unlink()
                (folder / "report.json").mkdir()
                (folder / "report.json" / "impossible").write_text("")

        (output / "report.json").write_text("a file")
        with pytest.raises(OSError, match=r"report\.json"):
            fail()
        assert tree(output) == {"figures": None, "figures/a.png": "old", "report.json": "a file"}


UNPRIVILEGED = """
import os, sys, tempfile
from pathlib import Path
from tfrecall.errors import InputError
from tfrecall.publishing import require_place, whole
os.setgroups([]); os.setgid(65534); os.setuid(65534)
output = Path(sys.argv[1])
try:
    require_place(output, ["report.json", "figures/a.png"])
except InputError as error:
    sys.exit(str(error))
with whole(output, ["report.json"]) as folder:
    (folder / "report.json").write_text("new")
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as another user")
class TestPermissions:
    """As another user, whom they bind."""

    @pytest.fixture
    def home(self):
        import tempfile

        with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
            Path(folder).chmod(0o755)
            yield Path(folder)

    def write(self, output):
        return subprocess.run([sys.executable, "-c", UNPRIVILEGED, output], capture_output=True, text=True, timeout=100)

    def test_only_the_folder_itself_may_be_written_to(self, home):
        output = home / "out"
        output.mkdir()
        os.chown(output, 65534, 65534)
        done = self.write(output)
        assert done.returncode == 0, done.stderr
        assert tree(home) == {"out": None, "out/report.json": "new"}

    @pytest.mark.parametrize("there", [False, True])
    def test_it_may_not(self, home, there):
        if there:
            (home / "out").mkdir(mode=0o755)
        done = self.write(home / "out")
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot be written to (Permission denied): choose another --output." in done.stderr

    def test_a_folder_below_may_not(self, home):
        (home / "out" / "figures").mkdir(parents=True)
        os.chown(home / "out", 65534, 65534)
        done = self.write(home / "out")
        assert done.returncode == 1
        assert "figures cannot be written to" in done.stderr
        assert tree(home) == {"out": None, "out/figures": None}


def test_trying_a_place_leaves_it_as_it_was(tmp_path):
    require_place(tmp_path / "deeper" / "still" / "out", NAMES)
    assert tree(tmp_path) == {}
    (tmp_path / "out" / "figures").mkdir(parents=True)
    require_place(tmp_path / "out", NAMES)
    assert tree(tmp_path) == {"out": None, "out/figures": None}


def test_a_full_disk_is_found_beforehand(tmp_path):
    with mounted(tmp_path / "out", size="64k") as output:
        (output / "mine").write_bytes(bytes(os.statvfs(output).f_bavail * os.statvfs(output).f_frsize))
        with pytest.raises(InputError, match=r"cannot be written to \(No space left on device\)"):
            require_place(output, NAMES)
        assert [path.name for path in output.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "--output is empty"),
        ("a\0b", "NUL"),
        ("~nobody-of-that-name/out", "a user that does not exist"),
        ("~no such user", "a user that does not exist"),
        ("caf\udce9", "not a UTF-8 path"),
        (b"caf\xe9/out", "not a UTF-8 path"),
    ],
)
def test_names_that_nothing_can_have(path, message):
    with pytest.raises(InputError, match=message) as raised:
        output_path(path)
    assert len(str(raised.value)) < 200
    str(raised.value).encode("ascii")


def test_the_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert output_path("~/out") == Path("/somewhere/out")
    assert output_path("runs/a~b") == Path("runs/a~b")
    assert output_path(Path("runs")) == Path("runs")


@pytest.mark.parametrize("path", ["x" * 300, f"{'x' * 300}/out", f"out/{'x' * 300}", "/".join(["x" * 200] * 30)])
def test_names_that_are_too_long(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    for folder in (Path(path), tmp_path / path):
        with pytest.raises(InputError, match="too long a path") as raised:
            require_place(folder, NAMES)
        assert len(str(raised.value)) < 200
    assert tree(tmp_path) == {}


def test_a_folder_whose_files_would_have_too_long_paths(tmp_path, monkeypatch):
    """The folder itself could be made."""
    monkeypatch.chdir(tmp_path)
    deep = Path(*["x" * 250] * 15, "x" * (4090 - len(str(tmp_path)) - 15 * 251))
    with pytest.raises(InputError, match="too long a path"):
        require_place(tmp_path / deep, NAMES)
    assert tree(tmp_path) == {}


def test_what_is_no_folder(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    for path in (tmp_path / "fifo", tmp_path / "fifo" / "out", Path("/dev/null"), Path("/dev/null/out")):
        with pytest.raises(InputError, match=r"(fifo|null) is no folder: choose another --output"):
            require_place(path, NAMES)
    with pytest.raises(InputError, match="cannot be written to"):
        require_place(tmp_path / "dangling", NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "fifo"]


def test_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "link").symlink_to(tmp_path)
    for path in (".", "..", "link", tmp_path, "/", "../here", "missing/.."):
        with pytest.raises(InputError, match=r"is the (root|current) folder.*: name a folder of its own"):
            require_own_folder(Path(path))
    for path in ("out", "../there", tmp_path / "other"):
        require_own_folder(Path(path))


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


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder; and a current folder that has one called ~, with files of the same names."""
    for folder in (tmp_path / "home", tmp_path / "here" / "~"):
        folder.mkdir(parents=True)
        (folder / "d.npz").write_bytes(b"")
    os.mkfifo(tmp_path / "home" / "pipe.npz")
    (tmp_path / "here" / "~" / "pipe.npz").write_bytes(b"")
    (tmp_path / "home" / "x.keras").write_bytes(b"")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_a_tilde_is_the_home_folder_on_the_command_line_and_in_the_library(home):
    from tfrecall.cli import options

    from tfrecall import datasets
    from tfrecall.settings import Settings

    for text in ("~/d.npz", "~/new.npz"):
        expected = str(home / text[2:])
        assert expanded(text) == expected
        assert options.place.convert(text, None, None) == expected
        assert str(datasets.place(text)) == expected
        assert str(output_path(text)) == expected
    assert Settings(model="~/x.keras").model == str(home / "x.keras")
    assert expanded("./~/d.npz") == "./~/d.npz"
    assert expanded("digits") == "digits"


def test_what_a_tilde_stands_for_is_checked_and_not_its_text(home):
    import click
    from tfrecall.cli import options

    from tfrecall.settings import Settings

    with pytest.raises(InputError, match="is a pipe"):
        expanded("~/pipe.npz")
    with pytest.raises(InputError, match="is a pipe"):
        Settings(model="~/pipe.npz")
    with pytest.raises(click.BadParameter, match="is a pipe"):
        options.place.convert("~/pipe.npz", None, None)
    assert expanded("./~/pipe.npz") == "./~/pipe.npz"
