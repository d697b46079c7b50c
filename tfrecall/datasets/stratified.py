"""Splitting images in two with every class in both parts."""

from __future__ import annotations

import numpy as np

from tfrecall.errors import InputError


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split images in two, with every class in both parts in proportion.

    A class of n images gives round(fraction·n) of them, but at least one and at most n − 1; an only image stays in
    training.

    Parameters
    ----------
    labels : numpy.ndarray
        ``labels[image]``, integers.
    fraction : float
        Share to hold out, in (0, 1).
    seed : int
        Which images of a class are held out.

    Returns
    -------
    train, held_out : numpy.ndarray
        Positions in `labels`, int64, ascending, disjoint, together all of them, neither empty.

    Raises
    ------
    InputError
        When `fraction` is outside (0, 1) or no class has two images.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the fraction to hold out must lie between 0 and 1, both excluded, not {fraction}.")
    generator = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        images = np.flatnonzero(labels == label)
        quota = min(max(round(fraction * len(images)), 1), len(images) - 1)
        held_out[generator.permutation(images)[:quota]] = True
    if not held_out.any():
        raise InputError("no class has the two images it takes to hold one out: use more images.")
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
