"""Splitting images in two with every class in both parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecall.datasets import stratified_split
from tfrecall.errors import InputError


@settings(deadline=None, max_examples=200)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(lambda counts: max(counts) >= 2),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_class_gives_its_share(counts, fraction, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    train, held_out = stratified_split(labels, fraction, seed)
    assert sorted([*train, *held_out]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    for count, held in zip(counts, np.bincount(labels[held_out], minlength=len(counts))):
        assert abs(held - fraction * count) <= 1
        assert held == 0 if count < 2 else 1 <= held < count
    np.testing.assert_array_equal(held_out, stratified_split(labels, fraction, seed)[1])


def test_shares_are_rounded():
    labels = np.repeat([0, 1, 2], [17, 14, 12])
    _, held_out = stratified_split(labels, 0.1, 0)
    assert np.bincount(labels[held_out]).tolist() == [2, 1, 1]


def test_the_seed_decides():
    labels = np.arange(100) % 4
    first, second = (stratified_split(labels, 0.2, seed)[1] for seed in (0, 1))
    assert first.tolist() != second.tolist()


def test_a_rare_class_is_on_both_sides():
    labels = np.repeat([0, 1], [100, 2])
    train, held_out = stratified_split(labels, 0.1, 0)
    assert np.bincount(labels[held_out]).tolist() == [10, 1]
    assert np.bincount(labels[train]).tolist() == [90, 1]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fractions_that_cannot_be(fraction):
    with pytest.raises(InputError, match="fraction"):
        stratified_split(np.arange(20) % 2, fraction, 0)


def test_classes_of_one_image_cannot_be_split():
    with pytest.raises(InputError, match="two images"):
        stratified_split(np.arange(5), 0.5, 0)
