"""Distortion against the paper's definitions and propositions, scikit-learn, and a bootstrap of single images."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tfrecall.errors import InputError
from tfrecall.report import document
from tfrecall.report.distortion import distortion
from tfrecall.report.slope import VERDICTS, Alpha, outcomes, slope, verdict_sentence


def images(counts):
    """Labels and predictions before and after that have these counts[class, outcome]: both right, first, second, none."""
    counts = np.asarray(counts)
    labels = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
    outcome = np.concatenate([np.repeat(np.arange(4), row) for row in counts])
    wrong = (labels + 1) % max(2, len(counts))
    return labels, np.where(outcome < 2, labels, wrong), np.where(outcome % 2 == 0, labels, wrong)


def overlapping(right_before, right_after, support):
    """Outcome counts of models that are right on these many images, as many as possible of them the same ones."""
    before, after = np.broadcast_arrays(right_before, right_after)
    both = np.minimum(before, after)
    return np.stack([both, before - both, after - both, support - np.maximum(before, after)], axis=1)


def independent(generator, before, after, support):
    """Outcome counts of random images that two models get right independently, with these probabilities a class."""
    before, after = np.broadcast_arrays(before, after)
    outcome = [before * after, before * (1 - after), (1 - before) * after, (1 - before) * (1 - after)]
    return generator.multinomial(support, np.stack(outcome, axis=1))


@st.composite
def evaluations(draw, max_classes=6, min_images=1, max_images=60):
    """Labels, predictions before and after, and the number of classes; some classes may lack images or predictions."""
    classes = draw(st.integers(1, max_classes))
    size = draw(st.integers(min_images, max_images))
    vector = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size).map(np.array)
    return draw(vector), draw(vector), draw(vector), classes


def measure(labels, before, after, classes, **options):
    return distortion(labels, before, after, class_names=range(classes), resamples=options.pop("resamples", 100), **options)


def assert_same(one, other):
    """Every measured number is equal, to the last bits of rounding; the bootstrap's ends are left to other tests."""
    for field in dataclasses.fields(one):
        if field.name not in ("alpha", "class_names", "one_shot"):
            np.testing.assert_allclose(getattr(one, field.name), getattr(other, field.name), atol=1e-12, err_msg=field.name)
    if one.alpha.value is None or other.alpha.value is None:
        assert one.alpha == other.alpha
    else:
        assert one.alpha.value == pytest.approx(other.alpha.value, rel=1e-9, abs=1e-9)


# -------------------------------------------------------------------------------------------------------- definitions


def test_worked_example_of_the_paper():
    d = distortion(*images([[7, 2, 0, 1], [5, 2, 0, 3]]))
    assert (d.accuracy_before, d.accuracy_after) == pytest.approx((0.8, 0.6))
    np.testing.assert_allclose(d.recall_before, [0.9, 0.7])
    np.testing.assert_allclose(d.recall_after, [0.7, 0.5])
    np.testing.assert_allclose(d.balance_before, [0.1, -0.1])
    np.testing.assert_allclose(d.balance_after, [0.1, -0.1])
    np.testing.assert_allclose(d.normalized_before, [1 / 8, -1 / 8])
    np.testing.assert_allclose(d.normalized_after, [1 / 6, -1 / 6])
    np.testing.assert_allclose(d.intensification, [4 / 3, 4 / 3])
    assert d.alpha.value == pytest.approx(4 / 3)


@settings(deadline=None, max_examples=200)
@given(evaluations())
def test_metrics_are_those_of_scikit_learn(evaluation):
    labels, before, after, classes = evaluation
    d = measure(*evaluation)
    for predicted, side in ((before, "before"), (after, "after")):
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            labels, predicted, labels=range(classes), zero_division=np.nan
        )
        np.testing.assert_allclose(getattr(d, f"precision_{side}"), precision)
        np.testing.assert_allclose(getattr(d, f"recall_{side}"), recall)
        np.testing.assert_allclose(getattr(d, f"f1_{side}"), f1)
        np.testing.assert_array_equal(d.support, support)
        accuracy = metrics.accuracy_score(labels, predicted)
        assert getattr(d, f"accuracy_{side}") == pytest.approx(accuracy)
        np.testing.assert_allclose(getattr(d, f"balance_{side}"), recall - accuracy, atol=1e-12)
        if accuracy:
            np.testing.assert_allclose(getattr(d, f"normalized_{side}"), recall / accuracy - 1, atol=1e-12)
    np.testing.assert_allclose(d.recall_change, d.recall_after - d.recall_before)


@settings(deadline=None)
@given(evaluations())
def test_outcomes_count_every_image_once(evaluation):
    labels, before, after, classes = evaluation
    expected = np.zeros((classes, 4), int)
    for label, first, second in zip(labels, before, after):
        column = {(True, True): 0, (True, False): 1, (False, True): 2, (False, False): 3}[first == label, second == label]
        expected[label, column] += 1
    np.testing.assert_array_equal(outcomes(labels, before, after, classes), expected)


# ------------------------------------------------------------------------------------------------------- propositions


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 10), st.data())
def test_balances_sum_to_zero_over_classes_of_equal_size(classes, size, data):
    labels = np.repeat(np.arange(classes), size)
    before, after = (np.array(data.draw(st.tuples(*[st.integers(0, classes - 1)] * labels.size))) for _ in range(2))
    d = measure(labels, before, after, classes)
    for side in ("before", "after"):
        assert getattr(d, f"balance_{side}").sum() == pytest.approx(0, abs=1e-9)
        if getattr(d, f"accuracy_{side}"):
            assert getattr(d, f"normalized_{side}").sum() == pytest.approx(0, abs=1e-9)


def has_slope(d):
    return bool(d.accuracy_before and d.accuracy_after and np.nanmax(np.abs(d.normalized_before)) > 1e-9)


@settings(deadline=None, max_examples=200)
@given(evaluations(min_images=6))
def test_slope_is_the_least_squares_fit_through_the_origin_and_the_weighted_mean_of_the_ratios(evaluation):
    d = measure(*evaluation)
    if not has_slope(d):
        assert d.alpha.value is None
        return
    present = d.support > 0
    fit, *_ = np.linalg.lstsq(d.normalized_before[present, None], d.normalized_after[present], rcond=None)
    assert d.alpha.value == pytest.approx(fit[0], rel=1e-9, abs=1e-9)

    moved = np.isfinite(d.intensification)
    np.testing.assert_array_equal(moved, present & (np.abs(np.nan_to_num(d.normalized_before)) > 1e-9))
    mean = np.average(d.intensification[moved], weights=d.normalized_before[moved] ** 2)
    assert d.alpha.value == pytest.approx(mean, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(evaluations(min_images=6))
def test_identical_predictions_have_slope_1(evaluation):
    labels, before, _, classes = evaluation
    d = measure(labels, before, before, classes)
    assume(has_slope(d))
    assert d.alpha.value == pytest.approx(1)
    assert np.nan_to_num(d.intensification, nan=1) == pytest.approx(1)
    assert d.alpha.verdict in ("inconclusive", "not identifiable")
    if d.alpha.corrected is not None:
        assert d.alpha.corrected == pytest.approx(1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10), min_size=2, max_size=6), st.integers(1, 5))
def test_losing_the_same_share_of_every_recall_is_no_distortion(tenths, times):
    right = np.array(tenths) * times
    assume(right.min() < right.max())
    d = distortion(*images(overlapping(right, right // times, 50)), resamples=100)
    np.testing.assert_allclose(d.normalized_after, d.normalized_before, atol=1e-12)
    assert d.alpha.value == pytest.approx(1)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10), min_size=1, max_size=4), st.integers(-4, 4))
def test_scaling_the_balances_at_the_same_accuracy_scales_the_slope(deviations, scale):
    deviations = np.array([*deviations, *(-value for value in deviations)])
    d = distortion(*images(overlapping(50 + deviations, 50 + scale * deviations, 100)), resamples=100)
    assert d.accuracy_before == d.accuracy_after == 0.5
    np.testing.assert_allclose(d.intensification, scale, atol=1e-9)
    assert d.alpha.value == pytest.approx(scale, abs=1e-9)


@settings(deadline=None)
@given(evaluations(min_images=6))
def test_slopes_there_and_back_multiply_to_at_most_1(evaluation):
    labels, before, after, classes = evaluation
    there, back = measure(labels, before, after, classes), measure(labels, after, before, classes)
    assume(has_slope(there) and has_slope(back))
    assert -1e-9 <= there.alpha.value * back.alpha.value <= 1 + 1e-9  # the squared cosine of the two vectors


# --------------------------------------------------------------------------------------------------------- invariance


@settings(deadline=None)
@given(evaluations(), st.randoms(use_true_random=False))
def test_order_of_the_images_means_nothing(evaluation, random):
    labels, before, after, classes = evaluation
    order = np.array(random.sample(range(labels.size), labels.size))
    one, other = measure(*evaluation), measure(labels[order], before[order], after[order], classes)
    assert_same(one, other)
    assert one.alpha == other.alpha
    assert str(one) == str(other)


@settings(deadline=None)
@given(evaluations(), st.randoms(use_true_random=False))
def test_numbers_of_the_classes_mean_nothing(evaluation, random):
    labels, before, after, classes = evaluation
    number = np.array(random.sample(range(classes), classes))
    one, other = measure(*evaluation), measure(number[labels], number[before], number[after], classes)
    by_class = {
        field.name: getattr(other, field.name)[number]
        for field in dataclasses.fields(other)
        if isinstance(getattr(other, field.name), np.ndarray)
    }
    assert_same(one, dataclasses.replace(other, **by_class))


def test_numbers_of_the_classes_move_the_intervals_by_no_more_than_the_resampling():
    counts = overlapping(np.arange(50, 100, 5), np.arange(40, 100, 6), 100)
    one, other = slope(counts), slope(counts[::-1])
    assert one.verdict == other.verdict
    width = one.corrected_high - one.corrected_low
    for end in ("low", "high", "corrected", "corrected_low", "corrected_high"):
        assert abs(getattr(one, end) - getattr(other, end)) < 0.1 * width


@settings(deadline=None)
@given(evaluations(), st.integers(0, 2**32 - 1))
def test_probabilities_and_logits_mean_their_largest_column(evaluation, seed):
    labels, before, after, classes = evaluation
    assume(classes > 1)
    generator = np.random.default_rng(seed)

    def scores(predicted, low, high):
        noise = generator.uniform(low, high, (labels.size, classes))
        noise[np.arange(labels.size), predicted] = high + 1
        return noise

    logits = scores(before, -9, 9)
    probabilities = scores(after, 0, 1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = measure(*evaluation, one_shot=after)
    for pair in ((logits, probabilities), (logits, after), (before, probabilities), (before[:, None], after[:, None])):
        d = measure(labels, *pair, classes, one_shot=pair[1])
        assert_same(d, expected)
        assert d.alpha == expected.alpha
        assert d.one_shot == expected.one_shot


def test_the_columns_of_probabilities_say_how_many_classes_there_are():
    d = distortion([0, 1], np.eye(5)[:2], [0, 0], resamples=100)
    assert d.class_names == ("0", "1", "2", "3", "4")
    assert d.support.tolist() == [1, 1, 0, 0, 0]


def test_lists_and_column_vectors_of_labels_are_taken():
    expected = measure(np.array([0, 1, 2, 0]), np.array([0, 1, 1, 0]), np.array([0, 2, 2, 1]), 3)
    assert_same(measure([[0], [1], [2], [0]], [0, 1, 1, 0], [0.0, 2.0, 2.0, 1.0], 3), expected)


# ----------------------------------------------------------------------------------------- where there is no value


def test_classes_without_test_images_are_named_and_take_no_part():
    labels, before, after = images([[70, 10, 5, 15], [40, 20, 0, 40], [60, 0, 10, 30]])
    number = np.array([1, 2, 4])
    names = ("ghost", "ant", "bee", "spook", "cat")
    d = distortion(number[labels], number[before], number[after], class_names=names)
    without = distortion(labels, before, after, class_names=("ant", "bee", "cat"))
    assert d.support.tolist() == [0, 100, 100, 0, 100]
    assert d.alpha == without.alpha
    assert d.accuracy_after == without.accuracy_after
    np.testing.assert_allclose(d.normalized_before[number], without.normalized_before)
    for array in (
        d.recall_before,
        d.recall_after,
        d.balance_before,
        d.balance_after,
        d.normalized_before,
        d.intensification,
    ):
        assert np.isnan(array[[0, 3]]).all()
    rows = {line.split()[0]: line for line in str(d).splitlines()}
    for name in ("ghost", "spook"):
        assert rows[name].split()[1:] == ["0", "no", "test", "images"]
    assert "no test images" not in rows["ant"] + rows["bee"] + rows["cat"]


@settings(deadline=None, max_examples=300)
@given(evaluations(max_images=20), st.booleans())
def test_the_table_never_holds_nan_and_numpy_never_warns(evaluation, with_one_shot):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d = measure(*evaluation, one_shot=evaluation[2] if with_one_shot else None)
    table = str(d).lower()
    assert not any(word in table for word in ("nan", "inf", "none"))
    assert d.alpha.verdict in VERDICTS
    numbers = [number for number in dataclasses.astuple(d.alpha) if isinstance(number, float)]
    assert np.isfinite(numbers).all()


@settings(deadline=None)
@given(st.integers(0, 10), st.lists(st.integers(1, 9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_equal_recalls_have_no_slope(tenths, sizes, random):
    support = 10 * np.array(sizes)
    right_after = np.array([random.randint(0, size) for size in support])
    d = distortion(*images(overlapping(tenths * np.array(sizes), right_after, support)), resamples=100)
    assert dataclasses.astuple(d.alpha)[:8] == (None, None, None, 0.95, None, None, None, "not identifiable")
    assert d.alpha.signal is None or d.alpha.signal <= 0  # no more than what noise makes
    assert np.isnan(d.intensification).all()


def test_a_class_whose_recall_is_the_accuracy_has_no_ratio():
    d = distortion(*images(overlapping([90, 80, 70], [80, 50, 50], 100)))
    assert np.isnan(d.intensification).tolist() == [False, True, False]
    rows = {line.split()[0]: line for line in str(d).splitlines()}
    assert rows["1"].endswith("B = 0")
    assert not rows["0"].endswith("B = 0")


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_model_that_is_always_wrong_has_no_slope(side):
    labels = np.arange(30) % 3
    some = np.where(np.arange(30) < 14, labels, 0)
    wrong = (labels + 1) % 3
    d = distortion(labels, wrong, some) if side == "before" else distortion(labels, some, wrong)
    assert getattr(d, f"accuracy_{side}") == 0
    assert np.isnan(getattr(d, f"normalized_{side}")).all()
    assert d.alpha.value is None
    assert d.alpha.verdict == "not identifiable"


def test_a_model_that_is_always_right_has_slope_0():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alpha = slope(overlapping([95, 80, 50], [100, 100, 100], 100))
    assert (alpha.value, alpha.low, alpha.high, alpha.corrected) == pytest.approx((0, 0, 0, 0))
    assert alpha.verdict == "de-intensified"


# ---------------------------------------------------------------------------------------------- one-shot and the table


def test_one_shot_accuracy_and_stability():
    labels, before, after = images(overlapping([8, 8], [7, 5], 10))
    d = distortion(labels, before, before, one_shot=after)
    assert d.one_shot.accuracy == pytest.approx(0.6)
    assert d.one_shot.stability == pytest.approx(0.75)
    assert distortion(labels, before, after).one_shot is None


def test_there_is_no_stability_after_an_accuracy_of_0():
    d = distortion([0, 0, 1], [1, 1, 0], [0, 1, 0], one_shot=[0, 0, 1])
    assert d.one_shot.accuracy == 1
    assert d.one_shot.stability is None


def test_the_table_has_the_worst_hit_classes_first_and_the_empty_ones_last():
    d = distortion(
        *images(overlapping([90, 80, 0, 70], [85, 40, 0, 75], np.array([100, 100, 0, 100]))),
        class_names=["ant", "bee", "cat", "dog"],
    )
    assert d.worst_first.tolist() == [1, 0, 3, 2]
    lines = str(d).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["bee", "ant", "dog", "cat"]
    assert all(number in lines[1] for number in ("0.8000", "0.4000", "-0.4000"))
    assert lines[5] == "accuracy 0.8000 → 0.6667"


# ----------------------------------------------------------------------------------------------------------- bootstrap


def resampled_images(counts, resamples, seed):
    """Draw single images with replacement within each class: B̄ before and after, each [resample, class]."""
    labels, before, after = images(counts)
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        picked = np.concatenate(
            [generator.choice(np.flatnonzero(labels == c), np.sum(labels == c)) for c in range(len(counts))]
        )
        balances = []
        for predicted in (before, after):
            right = (predicted == labels)[picked]
            recall = np.array([right[labels == c].mean() for c in range(len(counts))])
            balances.append(recall / right.mean() - 1)
        drawn.append(balances)
    return np.array(drawn).swapaxes(0, 1)


def test_bootstrap_agrees_with_resampling_single_images():
    counts = np.array([[30, 5, 2, 3], [12, 10, 4, 14], [40, 6, 3, 11], [14, 12, 9, 25], [24, 0, 1, 5]])
    before, after = resampled_images(counts, 4000, seed=1)
    point = distortion(*images(counts), resamples=100)
    products, squares = (before * after).sum(axis=1), (before**2).sum(axis=1)
    covariances = [np.cov(before[:, c], after[:, c])[0, 1] for c in range(len(counts))]
    variances = [np.var(before[:, c]) for c in range(len(counts))]
    support = counts.sum(axis=1)
    shared, noise = (np.dot(moments, support / (support - 1)) for moments in (covariances, variances))
    added, spread = sum(covariances), sum(variances)  # what a resample adds
    product = np.dot(point.normalized_before, point.normalized_after)
    square = np.dot(point.normalized_before, point.normalized_before)

    alpha = slope(counts, level=0.9, resamples=20_000, seed=2)
    assert alpha.value == pytest.approx(product / square)
    width = alpha.high - alpha.low
    assert alpha.corrected == pytest.approx((product - shared) / (square - noise), abs=0.03 * width)
    assert [alpha.covariation, alpha.signal] == pytest.approx([product - shared, square - noise], rel=0.05)
    assert [alpha.low, alpha.high] == pytest.approx(
        np.quantile((products - added) / (squares - spread), [0.05, 0.95]), abs=0.1 * width
    )
    corrected_width = alpha.corrected_high - alpha.corrected_low
    assert [alpha.corrected_low, alpha.corrected_high] == pytest.approx(
        np.quantile((products - added - shared) / (squares - spread - noise), [0.05, 0.95]), abs=0.1 * corrected_width
    )


def test_correction_deducts_the_noise_that_theory_predicts():
    """Classes so many that the accuracy hardly varies, independent: Var(B̄ᶜ) = R(1 − R) / ((n − 1) A²), no covariance."""
    support, classes = 40, 300
    generator = np.random.default_rng(3)
    counts = independent(generator, generator.uniform(0.5, 0.9, classes), 0.6, support)
    recall = (counts[:, 0] + counts[:, 1]) / support
    noise = (recall * (1 - recall) / (support - 1)).sum() / recall.mean() ** 2
    before = recall / recall.mean() - 1
    recall_after = (counts[:, 0] + counts[:, 2]) / support
    both = counts[:, 0] / support
    shared = ((both - recall * recall_after) / (support - 1)).sum() / recall.mean() / recall_after.mean()
    product, square = np.dot(before, recall_after / recall_after.mean() - 1), np.dot(before, before)
    assert noise > 0.2 * square
    assert slope(counts).corrected == pytest.approx((product - shared) / (square - noise), abs=0.01)


def test_corrected_interval_covers_1_where_noise_alone_attenuates_the_raw_slope():
    generator = np.random.default_rng(4)
    recalls = np.clip(generator.normal(0.7, 0.07, 100), 0.4, 0.95)
    runs = [slope(independent(generator, recalls, recalls, 50), resamples=400, seed=run) for run in range(120)]
    assert np.mean([run.value for run in runs]) < 0.75
    identifiable = [run for run in runs if run.corrected is not None]
    assert len(identifiable) > 110
    assert np.median([run.corrected for run in identifiable]) == pytest.approx(1, abs=0.06)

    covered = np.mean([run.corrected_low <= 1 and (run.corrected_high or np.inf) >= 1 for run in identifiable])
    raw = np.mean([run.low <= 1 <= run.high for run in runs])
    assert covered >= 0.93
    assert raw < 0.5
    assert np.mean([run.verdict == "inconclusive" for run in identifiable]) == covered


def test_corrected_interval_covers_the_slope_where_both_models_err_on_the_same_images():
    generator = np.random.default_rng(5)
    recalls = np.linspace(0.6, 0.95, 10)
    after = 0.5 + 1.5 * (recalls - recalls.mean()) * 0.5 / recalls.mean()
    outcome = overlapping(recalls, after, 1.0)
    runs = [slope(generator.multinomial(400, outcome), resamples=400, seed=run) for run in range(200)]
    assert np.median([run.corrected for run in runs]) == pytest.approx(1.5, abs=0.03)
    assert 0.89 <= np.mean([run.corrected_low <= 1.5 <= run.corrected_high for run in runs]) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize(("support", "alpha"), [(5, 1.0), (5, 1.3), (10, 1.3)])
def test_corrected_interval_covers_the_slope_with_few_images_in_very_many_classes(support, alpha):
    """A thousand classes: what the variance of a few images lacks of n/(n − 1) adds up, and no interval is wide enough."""
    generator = np.random.default_rng(7)
    before = np.clip(generator.normal(0.75, 0.15, 1000), 0.05, 0.98)
    after = np.clip(0.65 * (1 + alpha * (before / before.mean() - 1)), 0.02, 0.98)
    balances = before / before.mean() - 1, after / after.mean() - 1
    true = np.dot(*balances) / np.dot(balances[0], balances[0])
    runs = [slope(independent(generator, before, after, support), resamples=400, seed=run) for run in range(60)]
    identifiable = [run for run in runs if run.corrected is not None]
    assert len(identifiable) >= 55
    assert np.median([run.corrected for run in identifiable]) == pytest.approx(true, rel=0.04)
    covered = np.mean([run.corrected_low <= true <= (run.corrected_high or np.inf) for run in identifiable])
    assert covered >= 0.9  # without n/(n − 1): 0.4 to 0.9 with five images


def test_the_noise_of_a_class_of_one_image_is_that_of_an_image_elsewhere():
    """Dropping single images out of many classes must not leave their noise in the signal."""
    generator = np.random.default_rng(8)
    support = np.where(np.arange(400) % 4 == 0, 1, 40)
    recalls = np.full(400, 0.7)
    signals = [slope(independent(generator, recalls, recalls, support), resamples=200, seed=run).signal for run in range(40)]
    squares = 100 * 0.3 / 0.7 + 300 * 0.3 / 0.7 / 40  # Σ Var(B̄ᶜ), all of it noise
    assert abs(np.mean(signals)) < 0.03 * squares


def test_equal_true_recalls_are_rarely_taken_for_a_signal():
    generator = np.random.default_rng(6)
    runs = [slope(independent(generator, np.full(10, 0.8), 0.7, 100), resamples=200, seed=run) for run in range(300)]
    assert np.mean([run.verdict == "not identifiable" for run in runs]) > 0.95


SPREAD = np.linspace(600, 950, 10).round().astype(int)
CENTRED = SPREAD - int(SPREAD.mean())


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        (overlapping(SPREAD, 600 + (1.4 * CENTRED).astype(int), 1000), "intensified"),
        (overlapping(SPREAD, 750 + (0.5 * CENTRED).astype(int), 1000), "de-intensified"),
        (overlapping(SPREAD, 600 - CENTRED, 1000), "de-intensified"),
        (overlapping(SPREAD // 10, SPREAD // 10 + [2, -3, 1, 0, -2, 3, -1, 2, -2, 0], 100), "inconclusive"),
        (overlapping(800 + np.arange(-5, 5), SPREAD, 1000), "not identifiable"),
    ],
)
def test_clear_cases_have_their_verdict(counts, verdict):
    d = distortion(*images(counts))
    alpha = d.alpha
    assert alpha.verdict == verdict
    assert {"intensified": "Intensified", "de-intensified": "De-intensified"}.get(verdict, verdict.capitalize()) in str(d)
    if verdict == "not identifiable":
        assert (alpha.corrected, alpha.corrected_low, alpha.corrected_high) == (None, None, None)
        return
    assert alpha.corrected_low < alpha.corrected < alpha.corrected_high
    assert alpha.low < alpha.value < alpha.high
    side = {"intensified": alpha.corrected_low > 1, "de-intensified": alpha.corrected_high < 1}
    assert side.get(verdict, alpha.corrected_low <= 1 <= alpha.corrected_high)


def test_the_seed_decides_and_nothing_else():
    labels, before, after = images(overlapping(SPREAD // 10, SPREAD // 10 - 20, 100))
    np.random.default_rng(0)
    one = distortion(labels, before, after, seed=7, resamples=500)
    assert distortion(labels, before, after, seed=7, resamples=500).alpha == one.alpha
    other = distortion(labels, before, after, seed=8, resamples=500).alpha
    assert other.value == one.alpha.value
    assert other.low != one.alpha.low


def test_a_higher_level_means_a_wider_interval():
    counts = overlapping(SPREAD // 10, SPREAD // 10 - [20, 25, 10, 15, 20, 30, 20, 20, 10, 15], 100)
    intervals = [slope(counts, level) for level in (0.5, 0.9, 0.99)]
    for narrow, wide in itertools.pairwise(intervals):
        assert wide.low < narrow.low < narrow.high < wide.high
        assert wide.corrected_low < narrow.corrected_low < narrow.corrected_high < wide.corrected_high
    assert [alpha.level for alpha in intervals] == [0.5, 0.9, 0.99]


@pytest.mark.parametrize(("classes", "seconds"), [(10, 0.8), (1000, 20)])
def test_ten_thousand_resamples_are_fast(classes, seconds):
    generator = np.random.default_rng(9)
    counts = independent(generator, generator.uniform(0.5, 0.9, classes), 0.6, 50)
    start = time.perf_counter()
    alpha = slope(counts, resamples=10_000)
    assert time.perf_counter() - start < seconds
    assert isinstance(alpha, Alpha)


# -------------------------------------------------------------------------------------------------------- invalid input


Y = [0, 1, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], [], []), {}, "y_true must be a non-empty vector"),
        ((np.eye(3), Y, Y), {}, "y_true must be a non-empty vector"),
        ((3, Y, Y), {}, "y_true must be a non-empty vector"),
        ((Y, Y[:3], Y), {}, "'before' must have one prediction for each of the 4 labels"),
        ((Y, Y, np.eye(3)), {}, "'after' must have one prediction for each of the 4 labels"),
        ((Y, Y, 1), {}, "'after' must have one prediction for each of the 4 labels"),
        ((Y, Y, Y), {"one_shot": [0]}, "'one_shot' must have one prediction for each of the 4 labels"),
        ((Y, np.zeros((4, 2, 2)), Y), {}, "'before' must be classes"),
        ((Y, np.zeros((4, 0)), Y), {}, "'before' must be classes"),
        ((Y, [[1, 0], [1], [0, 1], [1]], Y), {}, "'before' cannot be read as an array"),
        (([0, 1, -1, 1], Y, Y), {}, "'y_true' must lie in 0 to 2 for 3 classes; got -1"),
        ((Y, Y, [0, 1, 2, -3]), {}, "'after' must lie in 0 to 2 for 3 classes; got -3"),
        ((Y, Y, Y), {"class_names": ["a", "b"]}, "'y_true' must lie in 0 to 1 for 2 classes; got 2"),
        (([0, 1, 0, 1], Y, Y), {"class_names": ["a", "b"]}, "'before' must lie in 0 to 1 for 2 classes; got 2"),
        (([0, 1, 3, 1], np.eye(4)[:, :3], np.eye(4)[:, :3]), {}, "'y_true' must lie in 0 to 2 for 3 classes; got 3"),
        ((Y, np.eye(4), Y), {"class_names": ["a", "b", "c"]}, "expected 3 columns of probabilities, one a class; got 4"),
        (([0, 1, 10**9, 1], Y, Y), {}, "numbered from 0 without gaps, or be names; got class 1000000000"),
        ((Y, np.eye(4)[Y], Y), {"class_names": ["a", "b", "c"]}, "expected 3 columns of probabilities, one a class; got 4"),
        ((Y, np.eye(4), np.eye(4)[:, :3]), {}, r"same number of classes; got \[3, 4\]"),
        ((Y, np.full((4, 3), np.nan), Y), {}, "'before' holds NaN"),
        ((Y, Y, [[0.1, np.inf, 0]] * 4), {}, "'after' holds NaN"),
        ((Y, Y, [["a", "b", "c"]] * 4), {}, "'after' holds NaN, infinite values or no numbers"),
        (([0, 1, 2, 0.5], Y, Y), {}, "'y_true' must hold whole numbers.*got 0.5"),
        (([0, 1, 2, np.nan], Y, Y), {}, "'y_true' must hold whole numbers.*got nan"),
        ((Y, [0, 1, 2, np.inf], Y), {}, "'before' must hold whole numbers.*got inf"),
        ((Y, [0.2, 0.9, 0.1, 0.3], Y), {}, r"'before' must hold whole numbers.*got 0.2.*shape \(images, 1\)"),
        ((Y, [[0.2], [0.9], [0.1], [0.3]], Y), {}, "'y_true' must lie in 0 to 1 for 2 classes; got 2"),
        ((Y, [[0.2], [0.9], [-3.1], [0.3]], Y), {}, "'before' has one column.*between -3.1 and 0.9.*take the sigmoid"),
        ((Y, [[0.2], [0.9], [np.nan], [0.3]], Y), {}, "'before' has one column"),
        (([[0, 1], [1, 1], [1, 0], [0, 0]], Y, Y), {}, r"several labels an image are not supported.*\(4, 2\)"),
        ((["cat", "dog", "cat", "cow"], Y, Y), {}, "'y_true' must hold whole numbers.*such as cat"),
        ((Y, Y, ["0", "1", "2", "1"]), {}, "'after' must hold whole numbers"),
        ((Y, Y, [0, 1, None, 1]), {}, "'after' must hold whole numbers"),
        ((Y, Y, Y), {"level": 0}, "level must lie between 0 and 1"),
        ((Y, Y, Y), {"level": 1.0}, "level must lie between 0 and 1"),
        ((Y, Y, Y), {"level": 95}, "level must lie between 0 and 1.*got 95"),
        ((Y, Y, Y), {"level": float("nan")}, "level must lie between 0 and 1"),
        ((Y, Y, Y), {"resamples": 99}, "resamples must be at least 100"),
    ],
)
def test_invalid_input_is_refused_in_one_line(arguments, options, message):
    with pytest.raises(InputError, match=message) as refused:
        distortion(*arguments, **options)
    assert "\n" not in str(refused.value)


def test_one_column_of_fractions_holds_the_probabilities_of_class_1():
    rng = np.random.default_rng(0)
    labels, before, after = rng.integers(0, 2, 400), rng.random((400, 1)), rng.random((400, 1)).astype(np.float32)
    before[:3, 0] = 0.5, 1.0, 0.0
    in_columns = distortion(labels, np.hstack([1 - before, before]), np.hstack([1 - after, after]))
    in_one = distortion(labels, before, after)
    for name in ("recall_before", "recall_after", "precision_before", "f1_after"):
        np.testing.assert_array_equal(getattr(in_one, name), getattr(in_columns, name))
    predicted = before[:, 0] > 0.5
    np.testing.assert_allclose(in_one.recall_before, [(~predicted[labels == 0]).mean(), predicted[labels == 1].mean()])
    assert in_one.alpha == in_columns.alpha
    assert distortion(np.zeros(40, int), np.full((40, 1), 0.9), np.full((40, 1), 0.8)).class_names == ("0", "1")
    classes = np.array([[0.0], [2.0], [1.0], [2.0]])  # whole numbers are classes, in one column as in a vector
    assert distortion([0, 1, 2, 2], classes, classes[:, 0]).accuracy_before == 0.5


@settings(deadline=None)
@given(evaluations(min_images=20))
def test_the_corrected_slope_is_the_covariation_in_the_signal_and_both_are_given_without_it(evaluation):
    alpha = measure(*evaluation).alpha
    assert (alpha.covariation is None) == (alpha.signal is None)
    if alpha.corrected is not None:
        assert alpha.corrected == alpha.covariation / alpha.signal
    if alpha.covariation is not None:
        labels, before, _, classes = evaluation
        unchanged = measure(labels, before, before, classes).alpha
        assert unchanged.covariation == pytest.approx(unchanged.signal)


def test_the_terms_of_the_slope_are_given_where_it_is_not_identifiable_unless_noise_cannot_be_estimated():
    weak = slope(overlapping(800 + np.arange(-5, 5), SPREAD, 1000))
    assert weak.verdict == "not identifiable"
    assert weak.signal is not None
    assert weak.covariation is not None
    equal = slope(overlapping(np.full(10, 800), SPREAD, 1000))
    assert equal.value is None
    assert equal.signal < 0
    few = slope(overlapping([4, 1, 3], [1, 2, 2], 4))
    wrong = slope(overlapping([0, 0], [3, 5], 10))
    rarely = slope(overlapping([1, 0], [0, 1], 10))
    for alpha in (few, wrong, rarely):
        assert (alpha.covariation, alpha.signal) == (None, None)


def test_a_report_written_before_the_terms_were_still_loads():
    d = distortion(*images([[7, 2, 0, 1], [5, 2, 0, 3]]), resamples=100)
    written = json.loads(document.to_json(document.report(d)))
    assert document.alpha_of(written) == d.alpha
    del written["alpha"]["covariation"], written["alpha"]["signal"]
    assert document.alpha_of(written) == dataclasses.replace(d.alpha, covariation=None, signal=None)


def test_three_images_tell_nothing():
    """Recalls of exactly 0 and 1 have no bootstrap noise: few images must not make a confident verdict of that."""
    alpha = distortion([0, 1, 2], [0, 0, 0], [1, 1, 1]).alpha
    assert alpha.verdict == "not identifiable"
    assert alpha.corrected is None


def test_a_negative_slope_is_not_called_closer():
    counts = np.array([[300, 600, 50, 50], [300, 50, 600, 50]])
    alpha = slope(counts)
    assert alpha.corrected_high < 0
    assert alpha.verdict == "de-intensified"
    assert "traded places" in verdict_sentence(alpha)


def test_an_accuracy_of_nothing_is_named():
    d = distortion([0, 1, 1], [1, 0, 0], [0, 1, 1])
    assert "A = 0" in str(d)
    assert {row["note"] for row in document.report(d)["classes"]} == {"accuracy is 0"}
    assert "B = 0" in str(distortion([0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]))


def test_a_level_is_printed_as_it_is():
    y = np.repeat([0, 1], 200)
    before = np.where(np.arange(400) % 200 < np.repeat([190, 120], 200), y, 1 - y)
    assert "99.9% interval" in str(distortion(y, before, before, level=0.999))
