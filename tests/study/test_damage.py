"""Damage to a finished study: none of it reaches the tables unnamed, and a run does again what is damaged."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from study import synthetic
from study.synthetic import resign, study

from tfrecall.errors import InputError
from tfrecall.study import Store, inspect, manifest, repair, status
from tfrecall.study.frames import frames
from tfrecall.study.images import redrawn
from tfrecall.study.plan import Plan

PLAN = Plan(algorithms=("magnitude", "random"), ratios=(2, 10), seeds=(0, 1, 2))
BLIND = 200


@pytest.fixture(scope="module")
def whole_study(tmp_path_factory):
    return study(tmp_path_factory.mktemp("whole") / "study", PLAN, images=40)


@pytest.fixture(scope="module")
def unsigned_study(tmp_path_factory):
    """As version 0.1 left it: no manifests, and no checksum of the plan."""
    config = {**synthetic.CONFIG, "versions": {**synthetic.VERSIONS, "tfrecall": "0.1.0"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "CONFIG", config)
        patch.setattr(synthetic, "RESAMPLES", 10_000)
        patch.setattr(synthetic, "UNBIASED", False)
        plan = dataclasses.replace(PLAN, seeds=(0, 1), algorithms=("magnitude",), ratios=(2,))
        store = study(tmp_path_factory.mktemp("unsigned") / "study", plan, images=40)
    for path in store.root.rglob(manifest.NAME):
        path.unlink()
    change_json(store.root / "study.json", lambda content: content.pop("sha256"))
    return store, plan


@pytest.fixture
def copied(tmp_path):
    def copy(store):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        return Store(Path(shutil.copytree(store.root, tmp_path / "copy", symlinks=True)))

    return copy


def change_json(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def json_damage(path):
    """Give every way to change one value of a JSON file, as (name, function that does it)."""
    places = list(leaves(json.loads(path.read_text(encoding="utf-8"))))
    for place in places:
        yield f"{'.'.join(map(str, place))}", lambda path, place=place: change_json(path, lambda c: alter(c, place))


def leaves(content, place=()):
    if isinstance(content, (dict, list)) and content:
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, (*place, key))
    else:
        yield place


def alter(content, place):
    for key in place[:-1]:
        content = content[key]
    value = content[place[-1]]
    content[place[-1]] = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v * 1.01 + 1e-4}.get(
        type(value), lambda v: "other" if v is None else f"{v}x" if isinstance(v, str) else {"x": 1}
    )(value)


def replace_by(content):
    return lambda path: path.write_bytes(content)


def other_of(path):
    """The same file of another key."""
    folder = next(p for p in sorted(path.parent.parent.iterdir()) if p != path.parent and not p.name.startswith("."))
    return folder / path.name


def copy_other(path):
    content = other_of(path).read_bytes()
    path.write_bytes(content)


def link_to_other(path):
    path.unlink()
    path.symlink_to(other_of(path))


def become(make):
    def change(path):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return change


def change_report(change):
    return lambda path: change_json(path, change)


def swap_folder(path):
    other = other_of(path / "report.json").parent
    shutil.rmtree(path)
    shutil.copytree(other, path)


def link_folder(path):
    other = other_of(path / "report.json").parent
    shutil.rmtree(path)
    path.symlink_to(other)


def change_arrays(change):
    def write(path):
        with np.load(path) as stored:
            arrays = dict(stored)
        change(arrays)
        np.savez(path, **arrays)

    return write


def flip(name):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name][0] = (arrays[name][0] + 1) % 4

    return change


ANY_FILE = {
    "gone": Path.unlink,
    "empty": replace_by(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another's": copy_other,
    "a link to another's": link_to_other,
    "a dangling link": become(lambda path: path.symlink_to("nowhere")),
    "a link to itself": become(lambda path: path.symlink_to(path.name)),
    "an endless device": become(lambda path: path.symlink_to("/dev/zero")),
    "a pipe": become(os.mkfifo),
    "a folder": become(Path.mkdir),
}
ANY_JSON = {
    "a list": replace_by(b"[]"),
    "null": replace_by(b"null"),
    "an empty object": replace_by(b"{}"),
    "deep": replace_by(b"[" * 200_000),
    "no UTF-8": replace_by(b'{"a": "\xff"}'),
    "not a number": replace_by(b'{"a": NaN}'),
}
REPORT = {
    "a class less": change_report(lambda c: c["classes"].pop()),
    "a class twice": change_report(lambda c: c["classes"].append(c["classes"][0])),
    "no classes": change_report(lambda c: c.update(classes=[])),
    "classes that are none": change_report(lambda c: c.update(classes=None)),
    "classes in another order": change_report(lambda c: c["classes"].reverse()),
    "no alpha": change_report(lambda c: c.pop("alpha")),
    "an alpha without end": change_report(lambda c: c["alpha"].update(value=10**400)),
    "another verdict": change_report(lambda c: c["alpha"].update(verdict="intensified", corrected_low=2.0)),
}
ARRAYS = {
    "an image less": change_arrays(lambda a: a.update({name: array[1:] for name, array in a.items()})),
    "no array": change_arrays(lambda a: a.clear()),
    "text": change_arrays(lambda a: a.update({name: array.astype(str) for name, array in a.items()})),
}
FOLDER = {
    "another's folder": swap_folder,
    "a link to another's folder": link_folder,
    "a file for a folder": become(Path.touch),
    "an empty folder": become(Path.mkdir),
    "a dangling link for a folder": become(lambda path: path.symlink_to("nowhere")),
    "gone": shutil.rmtree,
}


def structured(store, cell):
    """Give all kinds of damage, as (name, path, function that does it)."""
    of_cell, of_baseline = store.path(cell.key), store.path(cell.baseline_key)
    for name, damage in FOLDER.items():
        yield f"cell, {name}", of_cell, damage
        if name not in ("another's folder", "a link to another's folder"):
            yield f"baseline, {name}", of_baseline, damage
    files = {of_cell: "report.json", of_baseline: "baseline.keras"}
    for folder, first in files.items():
        names = (first, "config.json", "predictions.npz", manifest.NAME)
        for file in names:
            for name, damage in ANY_FILE.items():
                yield f"{folder.parent.name}, {file}, {name}", folder / file, damage
            for name, damage in ANY_JSON.items() if file.endswith(".json") else ():
                yield f"{folder.parent.name}, {file}, {name}", folder / file, damage
    for name, damage in REPORT.items():
        yield f"report.json, {name}", of_cell / "report.json", damage
    for name, damage in ARRAYS.items():
        yield f"cell's predictions, {name}", of_cell / "predictions.npz", damage
        yield f"baseline's predictions, {name}", of_baseline / "predictions.npz", damage
    for array in ("one_shot", "after"):
        yield f"cell's predictions, {array} of one image", of_cell / "predictions.npz", change_arrays(flip(array))
    for array in ("y_true", "y_pred"):
        yield f"baseline's predictions, {array} of one image", of_baseline / "predictions.npz", change_arrays(flip(array))


def tables(store, plan, inspection=None):
    rows = [frame.round(10).to_csv(index=False) for frame in frames(store, plan, inspection)]
    images = redrawn(store, plan, 20, inspection)
    return rows, {key: terms.numerators.tobytes() for key, terms in images.items()}


def software(store, plan, inspection):
    """What else a report takes from the cells."""
    return [store.read(f"{cell.key}/config.json")["versions"] for cell in plan.cells if cell.key in inspection.sound]


def assert_never_silent(store, plan, right, path):
    """The tables are what they were, or the damage is named and its cells are left out; a run does them again."""
    inspection = inspect(store, plan.cells, thorough=True)
    expected, versions = right
    if not inspection.damaged and not os.path.lexists(path):
        return False  # a cell that is missing is one that is to be done
    if not inspection.damaged:
        assert tables(store, plan, inspection) == expected
        assert software(store, plan, inspection) == versions
        return False
    names = [str(damage) for damage in inspection.damaged.values()]
    assert any(name.startswith(str(folder)) for name in names for folder in (path, path.parent)), names
    assert not any("\n" in name or len(name) > 500 for name in names)
    for cell in plan.cells:  # what is sound says what it said
        if cell.key in inspection.sound:
            assert cell.key in expected[1]
    if inspection.sound & {cell.key for cell in plan.cells}:
        rows, images = tables(store, plan, inspection)
        assert all(set(some.splitlines()) <= set(every.splitlines()) for some, every in zip(rows, expected[0]))
        assert images.items() <= expected[1].items()
    quick = inspect(store, plan.cells)
    assert set(quick.damaged) <= set(inspection.damaged)
    return True


def assert_repaired(store, plan, origin, right):
    """What a run moves away is missing; with that done again, all is as it was."""
    inspection = inspect(store, plan.cells, thorough=True)
    told = []
    repair(store, plan, inspection, told.append)
    assert len(told) == len(inspection.damaged)
    again = inspect(store, plan.cells, thorough=True)
    assert not any(store.exists(key) for key in again.damaged), again.damaged  # a baseline that is missing, at most
    for cell in plan.cells:
        for key in (cell.baseline_key, cell.key):
            if not store.done(key):
                shutil.copytree(origin.path(key), store.path(key))
    final = inspect(store, plan.cells, thorough=True)
    assert not final.damaged
    assert tables(store, plan, final) == right[0]


def reading(store, plan):
    inspection = inspect(store, plan.cells, thorough=True)
    assert not inspection.damaged
    return tables(store, plan, inspection), software(store, plan, inspection)


def test_structured_damage_is_named_and_repaired(whole_study, copied):
    right, cell, kinds = reading(whole_study, PLAN), PLAN.cells[1], 0
    relative = [(name, path.relative_to(whole_study.root), damage) for name, path, damage in structured(whole_study, cell)]
    for name, path, damage in relative:
        store = copied(whole_study)
        damage(store.root / path)
        noticed = assert_never_silent(store, PLAN, right, store.root / path)
        assert noticed or name == "cell, gone", name
        assert_repaired(store, PLAN, whole_study, right)
        kinds += 1
    assert kinds > 100


def test_every_number_of_a_signed_report_counts(whole_study, copied):
    right, path = reading(whole_study, PLAN), whole_study.path(PLAN.cells[1].key).relative_to(whole_study.root)
    store = copied(whole_study)
    for file in ("report.json", "config.json", manifest.NAME):
        content = (store.root / path / file).read_bytes()
        for name, damage in json_damage(store.root / path / file):
            damage(store.root / path / file)
            assert assert_never_silent(store, PLAN, right, store.root / path / file), (file, name)
            (store.root / path / file).write_bytes(content)


def blind_edits(store, count, seed, skip=("seconds.json",)):
    """Give random changes of one byte in a random file, as (path, changed content)."""
    rng = random.Random(seed)
    files = sorted(path for path in store.root.rglob("*") if path.is_file() and path.name not in skip)
    for _ in range(count):
        path = rng.choice(files)
        content = bytearray(path.read_bytes())
        at, kind = rng.randrange(len(content)), rng.choice(["bit", "byte", "digit", "cut", "insert"])
        if kind == "bit":
            content[at] ^= 1 << rng.randrange(8)
        elif kind == "byte":
            content[at] = rng.randrange(256)
        elif kind == "digit":
            digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57] or [at]
            content[rng.choice(digits)] = rng.randrange(48, 58)
        elif kind == "cut":
            del content[at : at + rng.randrange(1, 9)]
        else:
            content[at:at] = rng.randbytes(rng.randrange(1, 9))
        yield path.relative_to(store.root), bytes(content)


def test_blind_damage_is_never_silent(whole_study, copied):
    right, store = reading(whole_study, PLAN), copied(whole_study)
    noticed = 0
    for number, (path, content) in enumerate(blind_edits(whole_study, BLIND, seed=8)):
        before = (store.root / path).read_bytes()
        (store.root / path).write_bytes(content)
        if path.name == "study.json":
            noticed += plan_is_refused(store, path)
        else:
            noticed += assert_never_silent(store, PLAN, right, store.root / path)
        if number % 20:
            (store.root / path).write_bytes(before)
        else:
            if path.name == "study.json":
                Store.create(store.root, PLAN)
            assert_repaired(store, PLAN, whole_study, right)
            assert Store.open(store.root)[1] == PLAN
    assert noticed > 0.9 * BLIND


def plan_is_refused(store, path):
    """Say whether the plan of a study is refused by name; else it is the one that ran."""
    try:
        plan = Store.open(store.root)[1]
    except InputError as error:
        return str(store.root / path) in str(error)
    assert plan == PLAN
    return False


class TestUnsigned:
    def test_what_is_whole_is_accepted_counted_and_signed_by_a_run(self, unsigned_study, copied):
        origin, plan = unsigned_study
        store = copied(origin)
        right = reading(store, plan)
        keys = {key for cell in plan.cells for key in (cell.key, cell.baseline_key)}
        assert inspect(store, plan.cells).unsigned == keys
        assert Store.open(store.root)[1] == plan
        assert_repaired(store, plan, origin, right)
        assert inspect(store, plan.cells).unsigned == set()
        assert reading(store, plan) == right

    def test_every_value_that_a_table_shows_is_checked(self, unsigned_study, copied):
        origin, plan = unsigned_study
        store, cell = copied(origin), plan.cells[1]
        right, path = reading(store, plan), store.path(cell.key) / "report.json"
        content, silent = path.read_bytes(), []
        for name, damage in json_damage(path):
            damage(path)
            if not assert_never_silent(store, plan, right, path):
                silent.append(name)
            path.write_bytes(content)
        # what no table shows
        assert {name.rpartition(".")[2] for name in silent} <= {
            "note",
            "layers",
            "dataset",
            "model",
            "algorithm",
            "prunable",
        }

    @pytest.mark.slow
    def test_structured_damage_is_named_and_repaired(self, unsigned_study, copied):
        origin, plan = unsigned_study
        right, cell = reading(origin, plan), plan.cells[1]
        found = [(n, path.relative_to(origin.root), damage) for n, path, damage in structured(origin, cell)]
        for name, path, damage in found:
            if path.name != manifest.NAME:
                store = copied(origin)
                damage(store.root / path)
                assert_never_silent(store, plan, right, store.root / path)
                if not name.startswith("report.json"):
                    assert_repaired(store, plan, origin, right)

    def test_blind_damage_to_what_a_table_shows_is_never_silent(self, unsigned_study, copied):
        origin, plan = unsigned_study
        right, store = reading(origin, plan), copied(origin)
        for path, content in blind_edits(origin, 60, seed=9, skip=("seconds.json", "study.json", "config.json")):
            before = (store.root / path).read_bytes()
            (store.root / path).write_bytes(content)
            assert_never_silent(store, plan, right, store.root / path)
            (store.root / path).write_bytes(before)

    def test_a_baseline_that_none_of_its_cells_fits_is_the_one_that_changed(self, unsigned_study, copied):
        origin, plan = unsigned_study
        store = copied(origin)
        one, other = (store.path(key) / "predictions.npz" for key in dict.fromkeys(c.baseline_key for c in plan.cells))
        shutil.copy(other, one)
        assert set(inspect(store, plan.cells).damaged) == {plan.cells[0].baseline_key}
        assert_repaired(store, plan, origin, reading(origin, plan))

    def test_a_later_version_has_not_lost_its_manifest_unnoticed(self, whole_study, copied):
        store = copied(whole_study)
        (store.path(PLAN.cells[0].key) / manifest.NAME).unlink()
        damage = inspect(store, PLAN.cells).damaged[PLAN.cells[0].key]
        assert str(damage).endswith("has lost its manifest.json, which every version after 0.1 writes")


def test_a_baseline_that_came_out_otherwise_takes_its_cells_along(whole_study, copied):
    """Trained again on another machine, it may be another: cells that were measured against the old one do not fit."""
    store, cells = copied(whole_study), PLAN.cells[:5]
    change_arrays(flip("y_pred"))(store.path(cells[0].baseline_key) / "predictions.npz")
    manifest.write(store.path(cells[0].baseline_key), cells[0].baseline_key, cells[0].baseline_identity)
    inspection = inspect(store, PLAN.cells)
    assert set(inspection.damaged) == {cell.key for cell in cells}
    assert "was measured against other predictions than those of" in str(inspection.damaged[cells[0].key])


class TestEverythingElse:
    def test_seconds_failures_and_locks_stop_nothing(self, whole_study, copied):
        right = reading(whole_study, PLAN)
        cell = PLAN.cells[1]
        for content in (b"", b"[]", b"{", b'{"seconds": "a"}', b'{"seconds": -1}', b'{"seconds": 1e999}', b"\xff"):
            store = copied(whole_study)
            shutil.rmtree(store.path(PLAN.cells[2].key))
            store.fail(PLAN.cells[2].key, "what", "error", "")
            for path in (
                store.path(cell.key) / "seconds.json",
                store.root / "failed" / f"{PLAN.cells[2].key.replace('/', '-')}.json",
                store.root / "locks" / cell.key.replace("/", "-"),
            ):
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            found = status(store, PLAN, jobs=1)
            assert (found.done, found.failed) == (len(PLAN.cells) - 1, 1)
            (failure,) = store.failures(PLAN).values()
            assert "failed" in failure["error"]
            with store.claim(cell.key) as mine:
                assert mine
            store.forget_failures(PLAN)
            assert store.failures(PLAN) == {}
            assert_repaired(store, PLAN, whole_study, right)

    @pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
    def test_nor_do_folders_pipes_and_links_in_their_places(self, whole_study, copied, make):
        store, cell = copied(whole_study), PLAN.cells[1]
        shutil.rmtree(store.path(cell.key))
        name = cell.key.replace("/", "-")
        paths = [store.path(PLAN.cells[2].key) / "seconds.json", store.root / "failed" / f"{name}.json"]
        for path in (*paths, store.root / "locks" / name):
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            make(path)
        assert status(store, PLAN, jobs=1).done == len(PLAN.cells) - 1
        store.failures(PLAN)
        with store.claim(cell.key) as mine:
            assert mine
        store.fail(cell.key, "what", "error", "")
        assert store.failures(PLAN)[cell.key]["what"] == "what"
        store.forget_failures(PLAN)
        assert store.failures(PLAN) == {}

    @pytest.mark.parametrize("name", ["cells", "baselines", "failed", "locks", "logs"])
    def test_a_file_for_one_of_its_folders(self, whole_study, copied, name):
        store, right = copied(whole_study), reading(whole_study, PLAN)
        shutil.rmtree(store.root / name, ignore_errors=True)
        (store.root / name).touch()
        assert name in inspect(store, PLAN.cells).damaged
        assert_repaired(store, PLAN, whole_study, right)

    def test_a_lost_plan_is_written_again_where_there_are_results(self, whole_study, copied):
        store = copied(whole_study)
        (store.root / "study.json").unlink()
        with pytest.raises(InputError, match=r"study\.json is missing: `tfrecall study run .*` writes it again, and keeps"):
            Store.open(store.root)
        assert Store.open(store.root, PLAN) == (store, PLAN)
        Store.create(store.root, PLAN)
        assert Store.open(store.root)[1] == PLAN
        assert not inspect(store, PLAN.cells).damaged

    def test_a_plan_that_changed_is_not_taken_for_the_one_that_ran(self, whole_study, copied):
        store = copied(whole_study)
        text = (store.root / "study.json").read_text()
        for name, damage in json_damage(store.root / "study.json"):
            damage(store.root / "study.json")
            with pytest.raises(InputError, match=r"study\.json holds no plan .*, which keeps what is done"):
                Store.open(store.root)
            (store.root / "study.json").write_text(text)
            assert name


def test_a_report_leaves_out_what_is_damaged_and_says_so(whole_study, copied, capsys):
    from click.testing import CliRunner
    from tfrecall.cli import main

    store = copied(whole_study)
    path = store.path(PLAN.cells[1].key) / "report.json"
    change_json(path, lambda content: content["classes"].pop())
    shown = CliRunner().invoke(main, ["study", "status", str(store.root)])
    assert shown.exit_code == 0
    assert f"Damaged: {path} has " in shown.stdout
    result = CliRunner().invoke(main, ["study", "report", str(store.root)])
    assert (result.exit_code, result.stdout) == (1, f"{store.root}/report/report.html\n")
    assert f"Damaged: {path} has " in result.stderr
    assert "14 of 15 models are done" in (store.root / "report" / "tables.md").read_text()
    for cell in PLAN.cells:
        (store.path(cell.key) / "report.json").write_text("{}")
    result = CliRunner().invoke(main, ["study", "report", str(store.root)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: no result in {store.root} can be used: ")


@pytest.mark.slow
def test_a_thousand_cells_are_looked_at_in_a_second(tmp_path):
    plan = Plan(algorithms=("magnitude", "random"), ratios=(2, 10), seeds=tuple(range(100)))
    few = study(tmp_path / "few", dataclasses.replace(plan, seeds=(0,)), images=1000)
    store = Store.create(tmp_path / "many", plan)
    for cell, like in zip(plan.cells, list(few_cells(few, plan)) * 100):
        for key, origin in ((cell.baseline_key, like.baseline_key), (cell.key, like.key)):
            if not store.done(key):
                shutil.copytree(few.path(origin), store.path(key))
    resign(store, plan)
    taken = []
    for thorough in (False, True):
        started = time.process_time()
        assert not inspect(store, plan.cells, thorough=thorough).damaged
        taken.append(time.process_time() - started)
    assert max(taken) < 1.0, taken  # half a thousand cells and 100 baselines, on a machine that may be busy


def few_cells(few, plan):
    return dataclasses.replace(plan, seeds=(0,)).cells


def test_a_zip_is_checked_to_its_end(tmp_path):
    """NumPy reads as many bytes as the shape asks for, and may stop before the checksum."""
    stream = io.BytesIO()
    np.savez(stream, y_true=np.zeros(5000, np.int8), y_pred=np.zeros(5000, np.int8))
    content = bytearray(stream.getvalue())
    content[content.index(b"NUMPY") + 3000] ^= 1
    (tmp_path / "predictions.npz").write_bytes(content)
    with pytest.raises(manifest.DamageError, match=r"predictions\.npz cannot be read: "):
        manifest.read_predictions(tmp_path / "predictions.npz", ("y_true", "y_pred"))


def test_a_plan_that_lost_its_checksum_is_not_taken_for_one_of_version_0_1(whole_study, copied):
    store = copied(whole_study)
    change_json(store.root / "study.json", lambda content: (content.pop("sha256"), content.update(level=0.5)))
    with pytest.raises(InputError, match=r"study\.json holds no plan"):
        Store.open(store.root)
