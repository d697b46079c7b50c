"""The finding: three sentences that say what the numbers say, and no more."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from study.synthetic import HOSTILE, PLAN, study

from tfrecall.report import pooling
from tfrecall.study import findings
from tfrecall.study.analysis import analyse
from tfrecall.study.estimates import Combination
from tfrecall.study.findings import finding
from tfrecall.study.frames import frames
from tfrecall.study.plan import Plan

TWO = Plan(algorithms=("magnitude", "random"), ratios=(2, 10), seeds=(0, 1, 2, 3))
MANY = Plan(algorithms=("magnitude", "random"), ratios=(2, 4, 10, 20), seeds=(0, 1, 2, 3))
ONE = Plan(algorithms=("magnitude",), ratios=(10,), seeds=(0, 1, 2, 3))
LARGE = {"images": 4000}  # so many test images that the slopes come out as they were asked for


def told(folder, plan, **options):
    analysis = analyse(*frames(study(folder / "study", plan, **options), plan))
    sentences = finding(analysis)
    assert len(sentences) == 3
    for sentence in sentences:
        assert re.fullmatch(r"[A-Z].*[^ .]\.", sentence)
        assert not re.search(r"\bnan\b|None|\binf\b|  |\(\)|\b1 (combination|ratio|algorithm)s", sentence)
    return analysis, sentences


def test_all_above(tmp_path):
    _, (first, second, _) = told(tmp_path, TWO, slopes={"magnitude": (1.4, 1.6), "random": (1.5, 2.0)}, **LARGE)
    assert first == (
        "After pruning and fine-tuning, recall distortion is intensified (α above 1) "
        "in all 4 combinations of algorithm and ratio (99% intervals, each by itself)."
    )
    assert re.fullmatch(
        r"Fine-tuning alone, with nothing pruned, has a corrected α of \d\.\d\d; "
        r"pruned models lie above that in the same 4\.",
        second,
    )


def test_all_below(tmp_path):
    slopes = {"magnitude": (0.5, 0.4), "random": (0.6, 0.3)}
    _, (first, second, _) = told(tmp_path, TWO, slopes=slopes, control=0.2, **LARGE)
    assert first.endswith(
        " recall distortion is reduced (α below 1) in all 4 combinations of algorithm and ratio "
        "(99% intervals, each by itself)."
    )
    assert second.endswith("; pruned models lie above that in all 4 combinations of algorithm and ratio.")


def test_what_fine_tuning_alone_does_is_told_too(tmp_path):
    for control, side in ((0.6, "below"), (1.5, "above")):
        folder = tmp_path / side
        _, (_, second, _) = told(folder, TWO, slopes={"magnitude": (1, 1), "random": (1, 1)}, control=control, **LARGE)
        assert re.match(
            rf"Fine-tuning alone, with nothing pruned, has a corrected α of \d\.\d\d \(itself {side} 1\); ", second
        )


def test_fine_tuning_alone_is_told_of_place_by_place(tmp_path):
    plan = Plan(datasets=("mnist", "fashion_mnist", "cifar10"), algorithms=("magnitude",), ratios=(2,), seeds=(0, 1, 2, 3))
    analysis, _ = told(tmp_path, plan, slopes={"magnitude": (1,)}, control=0.6, **LARGE)
    nothing = pooling.corrected([None] * 4, [None] * 4)
    on = {place: analysis.control(place, "lenet5") for place in plan.datasets}
    changed = {
        on["fashion_mnist"].combination: replace(
            on["fashion_mnist"], corrected=nothing, corrected_interval=nothing.interval
        ),
        on["cifar10"].combination: replace(on["cifar10"], collapsed=1),
    }
    second = finding(replace(analysis, estimates=analysis.estimates | changed))[1]
    assert re.match(
        r"Fine-tuning alone, with nothing pruned, has an α of \d\.\d\d \(corrected, itself below 1\) on mnist, "
        r"\d\.\d\d \(not corrected\) on fashion_mnist and \d\.\d\d \(corrected\) on cifar10; ",
        second,
    )


def test_none(tmp_path):
    slopes = {"magnitude": (1, 1), "random": (1, 1)}
    analysis, (first, second, _) = told(tmp_path, TWO, slopes=slopes, images=100)
    assert {estimate.corrected_interval.symbol for estimate in analysis.estimates.values()} == {"?"}
    assert first == (
        "After pruning and fine-tuning, recall distortion is not shown to be intensified (α above 1) or reduced (α below 1) "
        "in any of 4 combinations of algorithm and ratio (99% intervals, each by itself)."
    )
    assert second.endswith("; a difference from that is shown for none of 4 combinations of algorithm and ratio.")


def test_a_slope_below_0_is_not_called_less_distortion(tmp_path):
    _, (first, second, _) = told(tmp_path, TWO, slopes={"magnitude": (0.4, 1.6), "random": (-1, -2)}, **LARGE)
    assert first == (
        "After pruning and fine-tuning, recall distortion is intensified (α above 1) in 1 of 4 combinations of algorithm "
        "and ratio (magnitude at t = 10), reduced (α below 1) in 1 (magnitude at t = 2) and reversed (α below 0) in 2 "
        "(random at every ratio) (99% intervals, each by itself)."
    )
    assert second.endswith("; pruned models lie above that in the same 1 and below that in the same 3.")


def test_a_long_list_is_left_to_the_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "_LONGEST_LIST", 20)
    _, (first, *_) = told(tmp_path, TWO, slopes={"magnitude": (0.4, 1.6), "random": (1.5, 2)}, **LARGE)
    assert first == (
        "After pruning and fine-tuning, recall distortion is intensified (α above 1) in 3 of 4 combinations of algorithm "
        "and ratio and reduced (α below 1) in 1 (magnitude at t = 2) (99% intervals, each by itself)."
    )


def test_some_above_and_some_below(tmp_path):
    slopes = {"magnitude": (0.6, 0.6, 1.5, 1.7), "random": (1.5, 2.0, 2.0, 2.2)}
    _, (first, second, _) = told(tmp_path, MANY, slopes=slopes, control=0.6, **LARGE)
    assert first == (
        "After pruning and fine-tuning, recall distortion is intensified (α above 1) in 6 of 8 combinations of algorithm "
        "and ratio (magnitude from t = 10 on; random at every ratio) and reduced (α below 1) in 2 (magnitude up to t = 4) "
        "(99% intervals, each by itself)."
    )
    assert second.endswith(
        "; pruned models lie above that in 6 of 8 combinations of algorithm and ratio "
        "(magnitude from t = 10 on; random at every ratio)."
    )


@pytest.mark.parametrize(("unclear", "rest"), [(1, "one is"), (3, "3 are")])
def test_what_is_left_is_counted(tmp_path, unclear, rest):
    slopes = {"magnitude": (1.0,) * unclear + (1.8,) * (4 - unclear)}
    plan = Plan(algorithms=("magnitude",), ratios=(2, 4, 10, 20), seeds=(0, 1, 2, 3))
    analysis, (first, *_) = told(tmp_path, plan, slopes=slopes)
    symbols = [estimate.corrected_interval.symbol for at, estimate in analysis.estimates.items() if not at.control]
    assert symbols == ["?"] * unclear + [">"] * (4 - unclear)
    assert first.endswith(f"; the other {rest} not shown to differ from 1 (99% intervals, each by itself).")
    assert " of 4 ratios (" in first


@pytest.mark.parametrize(
    ("slope", "first", "second"),
    [
        (1.8, "intensified (α above 1): magnitude at t = 10 (99% intervals).", "the pruned models lie above that."),
        (0.3, "reduced (α below 1): magnitude at t = 10 (99% intervals).", "the pruned models lie below that."),
        (
            1.0,
            "not shown to be intensified (α above 1) or reduced (α below 1) (magnitude at t = 10) (99% intervals).",
            "a difference from that is not shown for the pruned models.",
        ),
    ],
)
def test_one_combination(tmp_path, slope, first, second):
    images = 60 if slope == 1 else 4000
    _, sentences = told(tmp_path, ONE, slopes={"magnitude": (slope,)}, images=images)
    assert sentences[0] == f"After pruning and fine-tuning, recall distortion is {first}"
    assert sentences[1].endswith(f"; {second}")
    assert sentences[2].startswith("At t = 10 mean accuracy is 0.")
    assert "magnitude" not in sentences[2]


def test_the_cost_in_numbers(tmp_path):
    analysis, (*_, third) = told(tmp_path, TWO, **LARGE)
    ends = [(analysis.estimate("digits", "lenet5", name, 10.0).accuracy.mean, name) for name in TWO.algorithms]
    low, high = (f"{accuracy:.3f} ({name})" for accuracy, name in sorted(ends))
    worst = min(
        (change for change in analysis.classes if change.combination.ratio == 10), key=lambda change: change.change.mean
    )
    before = analysis.control("digits", "lenet5").before.mean
    assert third == (
        f"At the highest ratio, t = 10, mean accuracy is between {low} and {high}, against {before:.3f} before pruning; "
        f"the class that lost most recall on average is dress, from {worst.before:.3f} to {worst.after:.3f} "
        f"({worst.combination.algorithm})."
    )


def test_no_class_need_lose(tmp_path):
    analysis, _ = told(tmp_path, ONE)
    gained = tuple(replace(found, change=replace(found.change, mean=abs(found.change.mean))) for found in analysis.classes)
    assert finding(replace(analysis, classes=gained))[2].endswith("; no class lost recall on average.")


def test_several_data_sets_are_named_once_where_they_agree(tmp_path):
    plan = Plan(datasets=("mnist", "fashion_mnist"), algorithms=("magnitude", "random"), ratios=(2, 10), seeds=(0, 1, 2, 3))
    slopes = {"magnitude": (0.5, 1.6), "random": (1.6, 2.0)}
    _, (first, second, third) = told(tmp_path, plan, slopes=slopes, **LARGE)
    assert first == (
        "After pruning and fine-tuning, recall distortion is intensified (α above 1) in 6 of 8 combinations of data set, "
        "algorithm and ratio (mnist and fashion_mnist: magnitude at t = 10, random at every ratio) and reduced (α below 1) "
        "in 2 (mnist and fashion_mnist: magnitude at t = 2) (99% intervals, each by itself)."
    )
    assert re.search(r" a corrected α of \d\.\d\d on mnist and \d\.\d\d on fashion_mnist; pruned models ", second)
    assert re.search(r"between \d\.\d{3} \((magnitude|random), (fashion_)?mnist\) and ", third)
    assert "before pruning" not in third


def test_models_and_data_sets_are_named_by_what_differs(tmp_path):
    plan = Plan(models=("resnet20", "lenet5"), algorithms=("magnitude",), ratios=(2,), seeds=(0, 1, 2))
    _, (_, second, third) = told(tmp_path, plan)
    assert " on resnet20 and " in second
    assert "digits" not in second + third


def test_a_study_under_way(tmp_path):
    def done(cell):
        return (cell.settings.dataset, cell.settings.ratio) != ("fashion_mnist", None) and cell.settings.ratio != 2

    _, (first, second, _) = told(tmp_path, PLAN, done=done, slopes={"magnitude": (1, 1.6), "random": (1, 2)}, **LARGE)
    assert " combinations of data set and algorithm" in first
    assert second.endswith("; for 2 the control arm is not done yet.")


def test_without_control_arm_or_without_pruned_models(tmp_path):
    _, sentences = told(tmp_path / "a", PLAN, done=lambda cell: not cell.control)
    assert sentences[1] == "The control arm is not done yet, so that pruning cannot be told from fine-tuning."
    _, sentences = told(tmp_path / "b", PLAN, done=lambda cell: cell.control)
    assert sentences[0] == "No pruned model is done yet."
    change = r"0\.\d+ to 0\.\d+"
    assert re.fullmatch(rf"It takes mean accuracy from {change} on mnist and {change} on fashion_mnist\.", sentences[2])


def test_one_seed_shows_nothing_and_says_why(tmp_path):
    _, (first, second, _) = told(tmp_path, Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(3,)))
    assert first.endswith(" in any of 2 ratios: one seed gives no interval.")
    assert re.search(r" has an α of \d\.\d\d \(not corrected\); a difference .* is shown for none of 2 ratios\.", second)


def test_where_the_test_images_bear_no_slope_none_is_shown(tmp_path):
    """However far α as it is lies from 1: it may be the images' noise."""
    analysis, (first, *_) = told(tmp_path, TWO, images=30, recalls=[0.8] * 4, slopes={"magnitude": (9, 9), "random": (9, 9)})
    assert not any(estimate.corrected.identifiable for estimate in analysis.estimates.values())
    assert first.endswith(
        "not shown to be intensified (α above 1) or reduced (α below 1) in any of 4 combinations of algorithm and ratio: "
        "the seeds and test images at hand bear no slope."
    )


def test_where_only_some_bear_a_slope_the_others_are_counted(tmp_path):
    analysis, _ = told(tmp_path, TWO, slopes={"magnitude": (1.4, 1.6), "random": (1.5, 2.0)}, **LARGE)
    at = Combination("digits", "lenet5", "random", 10.0)
    nothing = pooling.corrected([None] * 4, [None] * 4)
    partly = replace(analysis.estimates[at], corrected=nothing, corrected_interval=nothing.interval, control_corrected=None)
    assert finding(replace(analysis, estimates={**analysis.estimates, at: partly}))[0].endswith(
        "; the other one is not shown to differ from 1 (99% intervals, each by itself); for 1 of these, the seeds and test "
        "images at hand bear no slope."
    )


def test_names_are_on_one_line_and_not_too_long(tmp_path):
    plan = Plan(datasets=("mnist", "x" * 200 + ".npz"), algorithms=("magnitude",), ratios=(10,), seeds=(0, 1))
    for index, recalls in enumerate(([0.9, 0.9, 0.5, 0.9], [0.9, 0.9, 0.9, 0.5])):
        _, sentences = told(tmp_path / str(index), plan, names=HOSTILE, recalls=recalls, slopes={"magnitude": (2,)}, **LARGE)
        assert all("\n" not in sentence and len(sentence) < 400 for sentence in sentences)
        assert f" (magnitude, …{'x' * 35}.npz)" in sentences[2] or "(magnitude, mnist)." in sentences[2]
        assert "line break | $x^$ \\" in sentences[2] or "魚" * 40 in sentences[2]


def test_models_that_collapsed_are_left_out_of_what_is_said(tmp_path):
    """Magnitude pruning's at t = 50, and random pruning's from t = 10 on."""
    plan = Plan(algorithms=("magnitude", "random"), ratios=(2, 10, 50), seeds=(0, 1, 2, 3))
    slopes = {"magnitude": (1.4, 1.6, -20.0), "random": (1.4, -9.0, 1.0)}
    lost = {"magnitude": (0.0, 0.05, 0.8), "random": (0.05, 0.7, 0.8)}
    analysis, (first, second, third) = told(tmp_path, plan, slopes=slopes, lost=lost, **LARGE)
    assert [estimate.collapsed for estimate in analysis.estimates.values()] == [0, 0, 0, 4, 0, 4, 4]
    assert first == (
        "After pruning and fine-tuning, recall distortion is intensified (α above 1) in all 3 combinations of algorithm and "
        "ratio (99% intervals, each by itself); 3 where models lost more than half of their accuracy (magnitude at t = 50; "
        "random from t = 10 on) are left out."
    )
    assert second.endswith("; pruned models lie above that in the same 3.")
    accuracy = analysis.estimate("digits", "lenet5", "magnitude", 10.0).accuracy.mean
    assert third.startswith(
        f"At t = 10, the highest ratio at which models still work, mean accuracy is {accuracy:.3f}, against"
    )


def test_one_model_that_collapsed_is_enough(tmp_path):
    analysis, _ = told(tmp_path, TWO, slopes={"magnitude": (1.4, 1.6), "random": (1.5, 2.0)}, **LARGE)
    at = Combination("digits", "lenet5", "random", 10.0)
    partly = {**analysis.estimates, at: replace(analysis.estimates[at], collapsed=1)}
    assert finding(replace(analysis, estimates=partly))[0].endswith(
        "; 1 where models lost more than half of their accuracy (random at t = 10) is left out."
    )


def test_where_all_collapsed_nothing_is_said_of_classes(tmp_path):
    lost = {"magnitude": (0.7, 0.8), "random": (0.7, 0.8)}
    _, (first, second, third) = told(tmp_path, TWO, slopes={"magnitude": (1, 1), "random": (1, 1)}, lost=lost, **LARGE)
    assert first == (
        "In all 4 combinations of algorithm and ratio, models lost more than half of their accuracy, and their α says "
        "nothing about classes."
    )
    assert re.fullmatch(r"Fine-tuning alone, with nothing pruned, has a corrected α of \d\.\d\d\.", second)
    assert third.startswith("At the highest ratio, t = 10, mean accuracy is between")
