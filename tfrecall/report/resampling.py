"""The slopes of many models on resampled test images: the same resamples for all, as the same images measured them all.

Models that are tested on the same images share part of those images' noise, which their spread does not show. What a
resample does to all of them alike shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000  # as far as chance in resampling goes, the standard deviation of so many is known to 2 %


@dataclass(frozen=True, eq=False)
class Terms:
    """Numerators and denominators of the slope α on resampled test images.

    Attributes
    ----------
    numerators, denominators : ndarray of float, shape (models, resamples)
        Σ B̄ᶜB̄ᶜₜ and Σ (B̄ᶜ)². Not finite where a resample has an accuracy of 0.
    """

    numerators: np.ndarray
    denominators: np.ndarray

    def of(self, model: int) -> Terms:
        """Return the terms of one model."""
        return Terms(self.numerators[[model]], self.denominators[[model]])


def resampled(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> Terms:
    """Return the terms of each model's slope on the same resampled test images.

    Each class's nᶜ images are drawn nᶜ times with replacement. With wⱼ, how often image j was drawn, its recall is
    Σ wⱼ · right(j) / nᶜ, for all models at once as a product of matrices.

    Parameters
    ----------
    labels : ndarray of int, shape (images,)
        True classes; at least one image.
    before, after : ndarray of bool, shape (models, images)
        Whether each model's prediction is right.
    resamples : int
        At least 2.
    seed : int
        The same seed and labels give the same resamples, whatever the models.

    Returns
    -------
    Terms

    References
    ----------
    Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.2.
    """
    classes = np.unique(labels)
    shape = len(before), resamples
    accuracy_before, accuracy_after, first, second, square, product = np.zeros((6, *shape))
    for number in classes:
        rows = np.flatnonzero(labels == number)
        weights = _weights(len(rows), resamples, np.random.default_rng([seed, number]))
        x, y = ((right[:, rows].astype(np.float32) @ weights).astype(float) / len(rows) for right in (before, after))
        accuracy_before += x * (len(rows) / len(labels))
        accuracy_after += y * (len(rows) / len(labels))
        first += x
        second += y
        square += x**2
        product += x * y
    with np.errstate(divide="ignore", invalid="ignore"):
        # Σ (x / a − 1) (y / b − 1), of which only the sums over classes are at hand
        a, b = accuracy_before, accuracy_after
        numerators = product / (a * b) - first / a - second / b + len(classes)
        denominators = square / a**2 - 2 * first / a + len(classes)
    return Terms(numerators, denominators)


def _weights(images: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each image is drawn [image, resample]."""
    weights = np.empty((images, resamples), np.float32)
    for resample in range(resamples):
        weights[:, resample] = np.bincount(rng.integers(images, size=images), minlength=images)
    return weights
