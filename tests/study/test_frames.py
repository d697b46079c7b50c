"""The tables of numbers: each row says what its cell's report says, and files of them bear the same analysis."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from study.synthetic import HOSTILE, NAMES, PLAN, study

from tfrecall.errors import InputError
from tfrecall.study.analysis import analyse
from tfrecall.study.frames import IDENTITY, compression, frames
from tfrecall.study.plan import Plan
from tfrecall.study.store import Store

# the default as of pandas 3.1, which warns where it is asked for
pytestmark = pytest.mark.filterwarnings("ignore:The 'float_precision' argument")

ODD = ("NA", "007", "nan", "3.0", "carriage\rreturn", *HOSTILE)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return study(tmp_path_factory.mktemp("frames") / "study")


@pytest.fixture(scope="module")
def tables(store):
    return frames(store, PLAN)


def same(value, expected):
    return value == expected or (expected is None and (value is None or math.isnan(value)))


def test_a_row_says_what_its_report_says(store, tables):
    cells, classes = tables
    assert len(cells) == len(PLAN.cells) == 30
    assert len(classes) == 30 * len(NAMES)
    rows = {row["key"]: row for row in cells.to_dict("records")}
    for cell in PLAN.cells:
        report, row, settings = store.read(f"{cell.key}/report.json"), rows[cell.key], cell.settings
        arm = ("control", 1.0) if cell.control else (settings.algorithm, settings.ratio)
        assert tuple(row[name] for name in IDENTITY) == (settings.dataset, settings.model, *arm, settings.seed)
        expected = {
            "parameters": report["parameters"]["total"],
            "parameters_left": report["parameters"]["remaining"],
            "compression": report["ratio"]["compression"],
            "sparsity": report["ratio"]["sparsity"],
            "accuracy_before": report["before"]["accuracy"],
            "accuracy_one_shot": report["one_shot"]["accuracy"],
            "accuracy_after": report["after"]["accuracy"],
            "stability": report["one_shot"]["stability"],
            "alpha": report["alpha"]["value"],
            "alpha_low": report["alpha"]["low"],
            "alpha_high": report["alpha"]["high"],
            "alpha_corrected": report["alpha"]["corrected"],
            "alpha_corrected_low": report["alpha"]["corrected_low"],
            "alpha_corrected_high": report["alpha"]["corrected_high"],
            "alpha_level": report["alpha"]["level"],
            "verdict": report["alpha"]["verdict"],
            "covariation": report["alpha"]["covariation"],
            "signal": report["alpha"]["signal"],
            "scope": "global",
            "include_classifier": False,
            **dataclasses.asdict(settings.recipe),
            "strategy": "cpu",
            "baseline_key": cell.baseline_key,
        }
        assert {name: row[name] for name in expected if not same(row[name], expected[name])} == {}
        assert set(row) == {*IDENTITY, *expected, "key"}
        shown = classes[(classes[list(IDENTITY)] == [row[name] for name in IDENTITY]).all(axis=1)]
        assert shown["class"].tolist() == [line["class"] for line in report["classes"]] == list(NAMES)
        for column in set(shown) - {*IDENTITY, "class"}:
            assert all(map(same, shown[column], [line[column] for line in report["classes"]])), column


def test_a_fraction_removed_is_shown_as_a_compression(tmp_path):
    plan = Plan(algorithms=("magnitude",), ratios=(0.5, 0.9, 20.5), seeds=(0,))
    cells, _ = frames(study(tmp_path / "study", plan, slopes={"magnitude": (1, 1, 1)}), plan)
    assert cells["ratio"].tolist() == [1, 2, 10, 20.5]
    assert compression(None) == 1
    assert compression(2 / 3) == compression(3) == 3


def test_rows_are_in_the_order_of_the_plan_whatever_is_missing(tmp_path):
    plan = Plan(datasets=("mnist", "digits"), models=("resnet20", "lenet5"), algorithms=("random", "gradient"), seeds=(5, 2))
    order = [
        (dataset, model, *arm, seed)
        for dataset in plan.datasets
        for model in plan.models
        for arm in [("control", 1.0), *((name, float(ratio)) for name in plan.algorithms for ratio in plan.ratios)]
        for seed in plan.seeds
    ]
    # The first seed has nothing of the first data set, such as where a baseline failed.
    store = study(
        tmp_path / "study",
        plan,
        slopes=dict.fromkeys(plan.algorithms, (1,) * 5),
        done=lambda cell: (cell.settings.seed, cell.settings.dataset) != (5, "mnist"),
    )
    for table in frames(store, plan):
        rows = list(dict.fromkeys(table[list(IDENTITY)].itertuples(index=False, name=None)))
        assert rows == [row for row in order if (row[0], row[-1]) != ("mnist", 5)]
    analysis = analyse(*frames(store, plan))
    assert (analysis.datasets, analysis.models, analysis.algorithms) == (plan.datasets, plan.models, plan.algorithms)
    assert analysis.seeds == (2, 5)


def test_algorithms_that_share_a_result_have_rows_of_their_own(tmp_path):
    plan = Plan(algorithms=("gradient", "undecayed"), ratios=(2,), seeds=(0, 1), recipe="paper")
    cells, _ = frames(study(tmp_path / "study", plan, slopes={"gradient": (1.2,)}), plan)
    gradient, undecayed = (cells[cells["algorithm"] == name] for name in plan.algorithms)
    assert gradient["key"].tolist() == undecayed["key"].tolist()
    assert gradient["alpha"].tolist() == undecayed["alpha"].tolist()


def test_what_is_not_done_has_no_row(tmp_path):
    store = study(tmp_path / "study", done=lambda cell: cell.control and cell.settings.seed)
    cells, classes = frames(store, PLAN)
    assert set(cells["algorithm"]) == set(classes["algorithm"]) == {"control"}
    assert cells["seed"].tolist() == [1, 2, 1, 2]
    nothing = Store.create(tmp_path / "nothing", PLAN)
    with pytest.raises(InputError, match=r"no cell of the plan in .*nothing is done yet: run the study first\."):
        frames(nothing, PLAN)


@pytest.mark.parametrize("names", [NAMES, tuple("0123456789")])
@pytest.mark.parametrize("done", [lambda cell: True, lambda cell: int(cell.key[-1], 16) % 3])
def test_pandas_reads_the_files_back_to_the_same_analysis(tmp_path, names, done):
    tables = frames(study(tmp_path / "study", names=names, done=done), PLAN)
    again = []
    for table, file in zip(tables, ("cells.csv", "classes.csv")):
        table.to_csv(tmp_path / file, index=False)
        again.append(pd.read_csv(tmp_path / file, float_precision="round_trip"))
    assert analyse(*again) == analyse(*tables)


def test_odd_names_come_through_the_files(tmp_path):
    from tfrecall.study.report import write_csv

    plan = Plan(datasets=("a, 'b' \"c\" <i>.npz",), algorithms=("magnitude",), ratios=(2,), seeds=(0, 1))
    recalls = np.linspace(0.5, 0.95, len(ODD))
    recalls[1] = np.nan
    tables = frames(study(tmp_path / "study", plan, names=ODD, recalls=recalls, slopes={"magnitude": (1.5,)}), plan)
    assert tables[1]["class"].tolist() == list(ODD) * 4
    again = []
    for table, file in zip(tables, ("cells.csv", "classes.csv")):
        write_csv(table, tmp_path / file)
        options = {"dtype": {"class": str}, "keep_default_na": False, "na_values": [""]}  # as analyse() says
        again.append(pd.read_csv(tmp_path / file, float_precision="round_trip", **options))
    pd.testing.assert_frame_equal(again[1], tables[1], check_dtype=False)
    assert analyse(*again) == analyse(*tables)
    names = {change.name for change in analyse(*tables).classes}
    assert names == set(ODD) - {ODD[1]}  # without test images there is no recall to change
