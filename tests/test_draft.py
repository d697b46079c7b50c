"""A draft: what is finished survives, and files appear together, each whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecall.draft import PARTIAL, drafting, require_free, unfinished
from tfrecall.errors import IncompleteError, InputError

NAMES = ("config.json", "model.keras", "served/model.pb", "served/assets", "figures/a.png", "figures/b.png")
IDENTITY = {"seed": 3, "ratio": 0.5, "recipe": {"epochs": 2}}


def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def writes(text):
    return lambda path: path.write_text(text)


def serve(text):
    def write(path):
        path.mkdir()
        (path / "model.pb").write_text(text)

    return write


def fail(path):
    path.write_text("half of it")
    raise ValueError("cannot be held\nby this format")


def work(output, text="new", failing=(), **options):
    """Write all files, some of which fail; returns those that were written by this call."""
    written = []
    with drafting(output, NAMES, IDENTITY, **options) as draft:
        for name in ("model.keras", "internal.npy", "config.json", "figures/a.png", "figures/b.png", "served"):
            if not draft.has(name):
                written.append(name)
            make = fail if name in failing else serve(text) if name == "served" else writes(text)
            draft.write(name, make)
        draft.publish()
    return written


def stopped(output, names, **options):
    """Stop after some files."""

    def work():
        with drafting(output, NAMES, IDENTITY, **options) as draft:
            assert draft.place.is_dir()
            for name in names:
                draft.write(name, writes("new"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()


COMPLETE = {name: "new" for name in NAMES if name != "served/assets"}


def test_files_appear_together(tmp_path):
    output = tmp_path / "deeper" / "out"
    with drafting(output, NAMES, IDENTITY) as draft:
        draft.write("model.keras", writes("new"))
        assert draft.path("model.keras").read_text() == "new"
        assert [path.name for path in output.iterdir()] == [PARTIAL]
        assert draft.has("model.keras")
        assert not draft.has("model.keras", "config.json")
        draft.write("config.json", writes("new"))
        draft.publish()
    assert tree(tmp_path) == {"deeper/out/model.keras": "new", "deeper/out/config.json": "new"}


def test_what_fails_before_anything_is_finished_leaves_nothing(tmp_path):
    stopped(tmp_path / "deeper" / "out", [])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_rest_and_says_so(tmp_path):
    with pytest.raises(IncompleteError, match=r"without figures/a.png, served \(.*\): solve that, and --resume") as raised:
        work(tmp_path / "out", failing=("served", "figures/a.png"))
    assert "ValueError: cannot be held)" in str(raised.value)
    there = tree(tmp_path / "out")
    assert {name: text for name, text in there.items() if not name.startswith(PARTIAL)} == {
        name: "new" for name in ("config.json", "model.keras", "figures/b.png")
    }
    assert "half of it" not in there.values()
    with pytest.raises(InputError, match="holds an unfinished run: continue it with --resume, or start over with --over"):
        work(tmp_path / "out")
    assert work(tmp_path / "out", "new", resume=True) == ["figures/a.png", "served"]
    assert tree(tmp_path / "out") == COMPLETE


def test_files_of_an_earlier_run_stay_until_the_new_ones_come_and_are_not_mixed_with_them(tmp_path):
    output = tmp_path / "out"
    work(output, "old")
    (output / "mine.txt").write_text("mine")
    (output / "served" / "mine.txt").write_text("mine")
    stopped(output, ["model.keras"], overwrite=True)
    kept = {name: text for name, text in tree(output).items() if not name.startswith(PARTIAL)}
    mine = {"mine.txt": "mine", "served/mine.txt": "mine"}
    assert kept == {name: "old" for name in COMPLETE} | mine
    with pytest.raises(IncompleteError):
        work(output, failing=["served"], resume=True)
    kept = {name: text for name, text in tree(output).items() if not name.startswith(PARTIAL)}
    assert kept == {name: "new" for name in COMPLETE if not name.startswith("served")} | mine
    assert work(output, resume=True) == ["served"]
    assert tree(output) == COMPLETE | mine


def test_only_the_same_work_goes_on(tmp_path):
    with pytest.raises(IncompleteError):
        work(tmp_path, failing=["served"])
    assert unfinished(tmp_path) == IDENTITY
    other = {**IDENTITY, "recipe": {"epochs": 5}}
    with (
        pytest.raises(InputError, match=r"with other settings \(epochs 2, now 5\).*--overwrite"),
        drafting(tmp_path, NAMES, other, resume=True),
    ):
        raise AssertionError
    with drafting(tmp_path, NAMES, other, resume=True, overwrite=True) as draft:
        assert not draft.has("model.keras")
        draft.write("model.keras", writes("other"))
        draft.publish()
    assert tree(tmp_path) == {"model.keras": "other"}


@pytest.mark.parametrize("shown", [False, True])
def test_restarting_drops_what_is_finished_and_nothing_else(tmp_path, shown):
    if shown:
        with pytest.raises(IncompleteError):
            work(tmp_path, failing=["served"])
    else:
        stopped(tmp_path, ["model.keras", "config.json", "internal.npy"])
    (tmp_path / "mine.txt").write_text("mine")
    with drafting(tmp_path, NAMES, IDENTITY, resume=True) as draft:
        draft.restart("model.keras")
        assert [name for name in (*NAMES, "internal.npy") if draft.has(name)] == ["model.keras"]
        draft.write("config.json", writes("newer"))
        draft.publish()
    assert tree(tmp_path) == {"model.keras": "new", "config.json": "newer", "mine.txt": "mine"}


def test_restarting_leaves_a_run_alone_that_is_being_replaced(tmp_path):
    work(tmp_path, "old")
    with drafting(tmp_path, NAMES, IDENTITY, overwrite=True) as draft:
        draft.restart()
    assert tree(tmp_path) == {name: "old" for name in COMPLETE}


def test_a_file_that_changed_is_named(tmp_path):
    identity = {**IDENTITY, "contents": {"a.npz": "1", "b.keras": "2"}}
    with drafting(tmp_path, NAMES, identity) as draft:  # and not published
        draft.write("model.keras", writes("new"))
    changed = {**identity, "contents": {"a.npz": "1", "b.keras": "3"}}
    with (
        pytest.raises(InputError, match=r"^b\.keras has changed since the run began: start over with --overwrite\.$"),
        drafting(tmp_path, NAMES, changed, resume=True),
    ):
        raise AssertionError
    with (
        pytest.raises(InputError, match=r"with other settings \(seed 3, now 4\)"),
        drafting(tmp_path, NAMES, {**changed, "seed": 4}, resume=True),
    ):
        raise AssertionError


def test_one_process_at_a_time(tmp_path):
    with drafting(tmp_path / "out", NAMES, IDENTITY) as draft:
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with (
                pytest.raises(InputError, match=r"another process is writing to .*out"),
                drafting(tmp_path / "out", NAMES, IDENTITY, **options),
            ):
                raise AssertionError
        draft.write("model.keras", writes("new"))
        draft.publish()
    assert tree(tmp_path / "out") == {"model.keras": "new"}


def test_a_folder_that_is_called_like_a_drafts_is_not_emptied(tmp_path):
    (tmp_path / PARTIAL).mkdir()
    (tmp_path / PARTIAL / "mine.txt").write_text("mine")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(InputError, match="is not of an unfinished run: move it away"):
            work(tmp_path, **options)
    assert tree(tmp_path) == {f"{PARTIAL}/mine.txt": "mine"}


def test_a_damaged_state_counts_for_nothing(tmp_path):
    with pytest.raises(IncompleteError):
        work(tmp_path, failing=["served"])
    for state in (tmp_path / PARTIAL).glob("*.json"):
        state.write_text("{")
    with pytest.raises(InputError, match="not empty"):
        require_free(tmp_path)
    assert "model.keras" in work(tmp_path, "again", overwrite=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from tfrecall import draft as module, publishing
sys.path.insert(0, {tests!r})
import test_draft
left = int(sys.argv[2])
rename = Path.rename
def counted(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.rename = counted
test_draft.work(Path(sys.argv[1]), overwrite=True)
"""


@pytest.mark.parametrize("moves", range(19))
def test_a_process_killed_at_any_move_is_continued(tmp_path, moves):
    """Over the files of an earlier run: none of them is ever taken for the new run's."""
    output = tmp_path / "out"
    work(output, "old")
    (output / "served" / "assets").mkdir()
    (output / "served" / "assets" / "old.txt").write_text("old")
    code = KILLED.format(tests=os.path.dirname(__file__))
    process = subprocess.run([sys.executable, "-c", code, output, str(moves)], capture_output=True, text=True, timeout=60)
    assert process.returncode == -signal.SIGKILL, process.stderr
    if unfinished(output) is None:  # nothing was finished yet
        assert {name: text for name, text in tree(output).items() if not name.startswith(PARTIAL)} == (
            {name: "old" for name in COMPLETE} | {"served/assets/old.txt": "old"}
        )
    else:
        with pytest.raises(InputError, match="unfinished"):
            require_free(output)
    work(output, resume=True, overwrite=True)
    assert tree(output) == COMPLETE


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sets(st.sampled_from(["model.keras", "internal.npy", "figures/a.png", "served"])), max_size=4))
def test_whatever_fails_in_between_the_end_is_the_same(tmp_path_factory, failures):
    output = tmp_path_factory.mktemp("draft") / "out"
    for failing in failures:
        try:
            work(output, failing=failing, resume=True)
        except IncompleteError:
            assert failing
        else:
            break
    if unfinished(output) is not None or not output.exists():
        work(output, resume=True)
    assert tree(output) == COMPLETE


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from tfrecall.draft import drafting\n"
        "with drafting(Path(sys.argv[1]), ['a'], {}) as draft:\n    print('has it', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "out"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "has it\n"
        with pytest.raises(InputError, match="another process"):
            work(tmp_path / "out")
        process.kill()
    for _ in range(50):
        try:
            work(tmp_path / "out")
            break
        except InputError:
            time.sleep(0.1)
    assert tree(tmp_path / "out") == COMPLETE


def test_the_state_is_json(tmp_path):
    with pytest.raises(IncompleteError):
        work(tmp_path, failing=["served"])
    assert [json.loads(path.read_text()) for path in (tmp_path / PARTIAL).glob("*.json")] == [IDENTITY]


def test_what_cannot_be_moved_is_kept(tmp_path):
    """A file of an earlier run that is a mount point cannot be replaced: nothing is, until it is one no longer."""
    output = tmp_path / "out"
    work(output, "old")
    model, other = output / "figures" / "b.png", tmp_path / "other"
    other.write_text("old")
    mount = ["mount", "--bind", other, model]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(IncompleteError, match=r"without .*model.keras.*\(.*busy\): solve that, and --resume"):
            work(output, overwrite=True)
        there = {name: text for name, text in tree(output).items() if not name.startswith(PARTIAL)}
        assert there == dict.fromkeys(COMPLETE, "old")
    finally:
        subprocess.run(["umount", model], check=True)
    assert work(output, resume=True) == []
    assert tree(output) == COMPLETE
