"""Resampled test images of a study: all of its models on the same ones, and what that does to its intervals."""

from __future__ import annotations

import re
import shutil
import zlib

import numpy as np
import pytest
from study.synthetic import resign, study

from tfrecall.errors import InputError
from tfrecall.report.inference import t_test
from tfrecall.report.pooling import corrected
from tfrecall.report.resampling import resampled
from tfrecall.report.samples import Sample
from tfrecall.study import tables
from tfrecall.study.analysis import analyse
from tfrecall.study.estimates import Combination
from tfrecall.study.findings import finding
from tfrecall.study.frames import frames
from tfrecall.study.images import redrawn
from tfrecall.study.plan import Plan

LEVEL = 0.9
PLAN = Plan(datasets=("mnist", "fashion_mnist"), algorithms=("magnitude", "random"), ratios=(2, 10), seeds=(0, 1, 2, 5))


def there(cell):
    """All cells but one seed of one arm."""
    return (cell.settings.algorithm, cell.settings.ratio, cell.settings.seed) != ("random", 10, 1)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return study(tmp_path_factory.mktemp("images") / "study", PLAN, done=there)


def test_every_cell_has_its_own_terms_on_its_data_sets_images(done):
    found = redrawn(done, PLAN, resamples=20)
    cells = {cell.key: cell for cell in PLAN.cells if there(cell)}
    assert set(found) == set(cells)
    for key, cell in cells.items():
        labels, first = (done.predictions(cell.baseline_key)[name] for name in ("y_true", "y_pred"))
        last = done.predictions(key)["after"]
        seed = zlib.crc32(cell.settings.dataset.encode())
        expected = resampled(labels, (first == labels)[None], (last == labels)[None], resamples=20, seed=seed)
        assert found[key].numerators.shape == (1, 20)
        assert found[key].numerators == pytest.approx(expected.numerators, abs=1e-6)
        assert found[key].denominators == pytest.approx(expected.denominators, abs=1e-6)


def test_what_is_said_of_the_corrected_slope_is_about_the_images_too(done):
    images, rows_of_all = redrawn(done, PLAN), frames(done, PLAN)
    cells = rows_of_all[0]
    alone, both = analyse(*rows_of_all, LEVEL), analyse(*rows_of_all, LEVEL, images)

    def sample(at):
        """The corrected slope of a combination, put together by hand; seed 1 of one arm is missing."""
        rows = cells[
            [Combination(*key) == at for key in zip(*(cells[n] for n in ("dataset", "model", "algorithm", "ratio")))]
        ]
        rows = rows.set_index("seed")
        sums = []
        for column, name in (("covariation", "numerators"), ("signal", "denominators")):
            values = [rows[column].get(seed) for seed in PLAN.seeds]
            missing = np.full((1, 1000), np.nan)
            drawn = [getattr(images[rows["key"][s]], name) if s in rows.index else missing for s in PLAN.seeds]
            sums.append(Sample(values, np.concatenate(drawn)))
        return corrected(*sums, level=LEVEL)

    assert [" over seeds and test images. " in tables.slopes(found)[0].note for found in (alone, both)] == [False, True]
    wider = 0
    for at, estimate in both.estimates.items():
        assert estimate.corrected_interval == sample(at).interval
        before = alone.estimates[at]
        for name in ("alpha", "control", "pooled"):
            assert getattr(estimate, name) == getattr(before, name)
        wider += estimate.corrected_interval != before.corrected_interval
        if not at.control:
            assert estimate.control_corrected == t_test(
                sample(at).sample, sample(at.beside).sample, paired=True, level=LEVEL
            )
    assert wider
    compared = 0
    for family in both.families:
        for column in family.columns:
            for row in column.corrected:
                if family.name == "Algorithms":
                    dataset, ratio = column.label.split(", t = ")
                    ends = (
                        sample(Combination(dataset, "lenet5", name, float(ratio))).sample for name in (row.first, row.second)
                    )
                    assert row.comparison == t_test(*ends, paired=True, level=LEVEL)
                    compared += 1
    assert compared == 4


def test_images_that_are_not_the_same_are_refused(tmp_path):
    plan = Plan(algorithms=("magnitude",), ratios=(2,), seeds=(0, 1))
    store = study(tmp_path / "study", plan)
    path = store.path(plan.cells[-1].baseline_key) / "predictions.npz"
    arrays = store.predictions(plan.cells[-1].baseline_key)
    np.savez(path, **(arrays | {"y_true": arrays["y_true"][::-1]}))
    resign(store, plan)
    baseline, *cells = (plan.cells[-1].baseline_key, plan.cells[2].key, plan.cells[3].key)
    what = re.escape(f"delete {', '.join([baseline, *cells])} in {store.root} and run the study again.")
    with pytest.raises(InputError, match=rf"seed 1 was tested on other images than .* seed 0\. Where it is wrong, {what}"):
        redrawn(store, plan)
    for key in (baseline, *cells):
        shutil.rmtree(store.path(key))
    assert len(redrawn(store, plan)) == 2
    study(tmp_path / "study", plan)
    (store.path(cells[0]) / "predictions.npz").unlink()
    assert cells[0] not in redrawn(store, plan)
    path.write_bytes(b"damaged")
    assert set(redrawn(store, plan)) == {cell.key for cell in plan.cells[:2]}


def test_a_slope_that_few_images_may_have_made_is_not_identifiable(tmp_path):
    """The classes do not differ, but the images at hand make it look so, to all seeds alike."""
    plan = Plan(algorithms=("magnitude",), ratios=(2,), seeds=tuple(range(12)))
    store = study(tmp_path / "study", plan, images=60, recalls=[0.8] * 4, alike=0)
    of_all = frames(store, plan)
    verdicts = [
        {estimate.corrected.identifiable for estimate in analyse(*of_all, images=images).estimates.values()}
        for images in (None, redrawn(store, plan))
    ]
    assert verdicts == [{True}, {False}]
    (estimate, *_) = analyse(*of_all, images=redrawn(store, plan)).estimates.values()
    assert "not clearly above 0 over these seeds and images" in estimate.corrected.note
    assert estimate.corrected_interval.symbol == "?"
    sentence = finding(analyse(*of_all, images=redrawn(store, plan)))[0]
    assert sentence.endswith(
        "is not shown to be intensified (α above 1) or reduced (α below 1) (magnitude at t = 2): the seeds "
        "and test images at hand bear no slope."
    )


def test_cells_that_have_no_images_are_named(done):
    of_all = frames(done, PLAN)
    images = redrawn(done, PLAN)
    key = of_all[0]["key"].iloc[-1]
    del images[key]
    with pytest.raises(InputError, match=f"images lack the cell {key}: make them from the same cells, after the tables"):
        analyse(*of_all, images=images)
