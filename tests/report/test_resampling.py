"""Resampled test images: against images that are really drawn, and the same for all models."""

from __future__ import annotations

import numpy as np
import pytest

from tfrecall.report.performance import performance
from tfrecall.report.resampling import resampled


def outcomes(generator, models=3, support=(40, 25, 60)):
    """True classes, and whether each model is right before and after."""
    labels = generator.permutation(np.repeat([0, 2, 5], support))
    recalls = generator.uniform(0.6, 0.95, (2, models, 6))
    before, after = (generator.random((models, labels.size)) < recall[:, labels] for recall in recalls)
    return labels, before, after


def drawn(labels, resample, resamples, seed):
    """The images of one resample, drawn as the docstring says: each class's from its own generator."""
    rows = []
    for number in np.unique(labels):
        there = np.flatnonzero(labels == number)
        rng = np.random.default_rng([seed, number])
        draws = [rng.integers(len(there), size=len(there)) for _ in range(resamples)]
        rows.append(there[draws[resample]])
    return np.concatenate(rows)


def balances(labels, right):
    """Normalized recall balances of the classes that are there, by way of a model's report."""
    found = performance(labels, np.where(right, labels, (labels + 1) % 6), [str(number) for number in range(6)])
    return np.array([recall / found.accuracy - 1 for recall, n in zip(found.recall, found.support) if n])


def test_the_terms_are_those_of_images_that_are_really_drawn():
    labels, before, after = outcomes(np.random.default_rng(1))
    terms = resampled(labels, before, after, resamples=12, seed=7)
    assert terms.numerators.shape == terms.denominators.shape == (3, 12)
    for resample in range(12):
        rows = drawn(labels, resample, 12, 7)
        assert sorted(labels[rows]) == sorted(labels)
        for model in range(3):
            x, y = (balances(labels[rows], right[model, rows]) for right in (before, after))
            assert terms.numerators[model, resample] == pytest.approx((x * y).sum(), rel=1e-4, abs=1e-6)
            assert terms.denominators[model, resample] == pytest.approx((x**2).sum(), rel=1e-4, abs=1e-6)


def test_the_resamples_are_the_same_for_all_models():
    labels, before, after = outcomes(np.random.default_rng(2))
    together = resampled(labels, before, after, resamples=50, seed=3)
    for model in range(3):
        alone = resampled(labels, before[model : model + 1], after[model : model + 1], resamples=50, seed=3)
        assert alone.numerators == pytest.approx(together.of(model).numerators, abs=1e-6)
        assert alone.denominators == pytest.approx(together.of(model).denominators, abs=1e-6)
    other = resampled(labels, before, after, resamples=50, seed=4)
    assert not np.allclose(other.numerators, together.numerators)


def test_noise_is_that_of_independent_images():
    """Σ (B̄ᶜ)² is about a quadratic form in recalls: its spread over resamples is that over new test sets."""
    generator = np.random.default_rng(5)
    recalls, labels = np.array([0.7, 0.8, 0.9]), np.repeat([0, 1, 2], 400)

    def squares(right):
        by_class = right.reshape(3, 400).mean(axis=1)
        return ((by_class / by_class.mean() - 1) ** 2).sum()

    fresh = [squares(generator.random(1200) < recalls[labels]) for _ in range(2000)]
    right = generator.random((20, 1200)) < recalls[labels]
    spreads = resampled(labels, right, right, resamples=400).denominators.std(axis=1)
    assert np.median(spreads) == pytest.approx(np.std(fresh), rel=0.15)


def test_an_accuracy_of_0_gives_no_terms_and_no_warning():
    labels = np.array([0, 0, 1, 1])
    right = np.array([[True, False, False, False]])
    terms = resampled(labels, right, right, resamples=100)
    finite = np.isfinite(terms.numerators) & np.isfinite(terms.denominators)
    assert 0 < finite.sum() < 100
