"""The slope α of two models' recall balances, with what a finite test set lets one say about it.

α = Σ B̄ᶜ B̄ᶜₜ / Σ (B̄ᶜ)², over the classes that have test images (Good et al., NeurIPS 2022, section 3). A finite test set
makes B̄ᶜ noisy, and least squares on a noisy regressor is biased toward 0 (attenuation): α < 1 can be noise alone. The
corrected slope deducts that noise, and a verdict is given on it alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from tfrecall.report.performance import divide

VERDICTS = ("intensified", "de-intensified", "inconclusive", "not identifiable")

LEAST_SIGNAL = 1e-24  # a Σ (B̄ᶜ)² up to this is 0 but for rounding

_LEAST_IMAGES = 5  # of the median class
_BLOCK = 2_000_000  # cells (resample × class) drawn at once: some 100 MB of temporaries


@dataclass(frozen=True)
class Alpha:
    """The slope α with its uncertainty over test images.

    Attributes
    ----------
    value : float or None
        The paper's α. None where it has no value: all recalls equal to the accuracy, or an accuracy of 0.
    low, high : float or None
        Bootstrap interval around `value`. None where `value` is None or the interval has no end on that side.
    level : float
        Confidence level of both intervals, in (0, 1).
    corrected : float or None
        α with the noise of the test set deducted: (Σ B̄ᶜB̄ᶜₜ − Σ κ̂ᶜ) / (Σ (B̄ᶜ)² − Σ σ̂²ᶜ), where σ̂²ᶜ = Var(B̄ᶜ) and
        κ̂ᶜ = Cov(B̄ᶜ, B̄ᶜₜ) over resampled test images, times n/(n − 1) for a class of n images. None where the slope is
        not identifiable.
    corrected_low, corrected_high : float or None
        Bootstrap interval around `corrected`.
    verdict : str
        ``"intensified"`` or ``"de-intensified"`` if the corrected interval lies above or below 1, ``"inconclusive"`` if
        it holds 1, and ``"not identifiable"`` if Σ (B̄ᶜ)² is not clearly more than what noise alone would make it: the
        recalls before pruning differ too little, for this many test images, for a slope on them to mean anything.
    covariation, signal : float or None
        Numerator Σ B̄ᶜB̄ᶜₜ − Σ κ̂ᶜ and denominator Σ (B̄ᶜ)² − Σ σ̂²ᶜ of `corrected`, given also where the slope is not
        identifiable: over many models their sums may still tell what one model does not
        (`tfrecall.report.pooling.corrected`). None where the noise itself cannot be estimated: an accuracy that is 0 or
        close to it, or fewer than 5 images in the median class; and in reports of versions that did not write them.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    corrected: float | None
    corrected_low: float | None
    corrected_high: float | None
    verdict: str
    covariation: float | None = None
    signal: float | None = None


def outcomes(labels: np.ndarray, before: np.ndarray, after: np.ndarray, classes: int) -> np.ndarray:
    """Count each class's images by what became of them.

    Parameters
    ----------
    labels, before, after : ndarray of int, shape (images,)
        True and predicted classes.
    classes : int
        Number of classes.

    Returns
    -------
    ndarray of int, shape (classes, 4)
        ``counts[class, outcome]``: right both times, right only before, right only after, wrong both times.
    """
    outcome = 2 * (before != labels) + (after != labels)
    return np.bincount(labels * 4 + outcome, minlength=classes * 4).reshape(classes, 4)


def slope(
    counts: np.ndarray, level: float = 0.95, resamples: int = 10_000, seed: int = 0, *, unbiased: bool = True
) -> Alpha:
    """Estimate α, corrected α and their intervals from each class's outcomes.

    With ``*`` for a resample, numerator N = Σ B̄ᶜB̄ᶜₜ, denominator D = Σ (B̄ᶜ)², and the sums K* and S* of the covariances
    and variances over resamples:

    - resampling n images of a class gives a variance that is too small by (n − 1)/n, as the variance around a sample's own
      mean is. So K and S, the noise of the test set itself, sum the same terms times n/(n − 1). One image alone says nothing
      of its noise: such a class counts with the mean noise of an image of the others;
    - α = N / D and α_corrected = (N − K) / (D − S);
    - a resample adds noise once more, so that (N* − K*) / (D* − S*) scatters around α and (N* − K* − K) / (D* − S* − S)
      around α_corrected; the intervals are the percentiles of these;
    - the slope counts as identifiable if D − S > z · sd(D*), z being the normal quantile of `level`, two-sided, and the
      median class has at least 5 images: with fewer, recalls of exactly 0 or 1 look as if they had no noise.

    Parameters
    ----------
    counts : ndarray of int, shape (classes, 4)
        As `outcomes` returns them. Classes without images take no part.
    level, resamples, seed
        As in `distortion`.
    unbiased : bool
        False leaves out the factor n/(n − 1), as version 0.1 did: for checking its results.

    Returns
    -------
    Alpha
    """
    counts = counts[counts.sum(axis=1) > 0]
    before, after = _normalized_balances(counts[None])
    nothing = Alpha(None, None, None, level, None, None, None, "not identifiable")
    numerator, denominator = (float(terms[0]) for terms in _terms(before, after))
    if not math.isfinite(numerator):
        return nothing
    value = numerator / denominator if denominator > LEAST_SIGNAL else None
    drawn_before, drawn_after = _bootstrap(counts, resamples, seed)
    valid = np.isfinite(drawn_before).all(axis=1) & np.isfinite(drawn_after).all(axis=1)
    if valid.sum() < 0.95 * resamples:  # an accuracy so near 0 that resamples reach it
        return replace(nothing, value=value)
    drawn_before, drawn_after = drawn_before[valid], drawn_after[valid]
    centred = drawn_before - drawn_before.mean(axis=0)
    variances = (centred**2).mean(axis=0)
    covariances = (centred * (drawn_after - drawn_after.mean(axis=0))).mean(axis=0)
    numerators, denominators = _terms(drawn_before, drawn_after)
    numerators, denominators = numerators - covariances.sum(), denominators - variances.sum()
    low, high = (None, None) if value is None else _interval(numerators, denominators, level)
    images = counts.sum(axis=1)
    if np.median(images) < _LEAST_IMAGES:
        return replace(nothing, value=value, low=low, high=high)
    deducted = _unbiased if unbiased else (lambda moments, images: float(moments.sum()))
    shared, noise = deducted(covariances, images), deducted(variances, images)
    covariation, signal = numerator - shared, denominator - noise
    clear = signal > NormalDist().inv_cdf((1 + level) / 2) * denominators.std()
    if value is None or not clear:
        return replace(nothing, value=value, low=low, high=high, covariation=covariation, signal=signal)
    corrected = covariation / signal
    corrected_low, corrected_high = _interval(numerators - shared, denominators - noise, level)
    if corrected_low is not None and corrected_low > 1:
        verdict = "intensified"
    elif corrected_high is not None and corrected_high < 1:
        verdict = "de-intensified"
    else:
        verdict = "inconclusive"
    return Alpha(value, low, high, level, corrected, corrected_low, corrected_high, verdict, covariation, signal)


def describe_alpha(alpha: Alpha) -> list[str]:
    """Say in two or three lines what the slope is and what follows from it."""
    if alpha.verdict == "not identifiable":
        return [
            "slope α: not identifiable from this test set",
            verdict_sentence(alpha),
        ]
    return [
        f"slope α {alpha.value:.3f}  {100 * alpha.level:.4g}% interval {_range(alpha.low, alpha.high)}",
        f"corrected for test-set noise {alpha.corrected:.3f}  {_range(alpha.corrected_low, alpha.corrected_high)}",
        verdict_sentence(alpha),
    ]


def verdict_sentence(alpha: Alpha) -> str:
    """Say the verdict in one sentence that needs no knowledge of the symbols."""
    if alpha.value is None:
        return "Not identifiable: an accuracy of 0, or recalls that all equal the accuracy, leave no slope."
    if alpha.corrected_high is not None and alpha.corrected_high < 0:
        return "De-intensified beyond 0: strong and weak classes traded places."
    return {
        "intensified": "Intensified: what set classes apart before sets them further apart now; weak ones lost most.",
        "de-intensified": "De-intensified: what set classes apart before sets them less apart now.",
        "inconclusive": "Inconclusive: this test set cannot tell intensification from its opposite.",
        "not identifiable": "Not identifiable: recalls before differ too little for this many test images.",
    }[alpha.verdict]


def _range(low: float | None, high: float | None) -> str:
    return f"[{'−∞' if low is None else format(low, '.3f')}, {'∞' if high is None else format(high, '.3f')}]"


def _normalized_balances(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return B̄ before and after, each [resample, class], from counts[resample, class, outcome]."""
    support = counts.sum(axis=2)
    images = support.sum(axis=1, keepdims=True)
    balances = []
    for right in (counts[:, :, 0] + counts[:, :, 1], counts[:, :, 0] + counts[:, :, 2]):
        accuracy = right.sum(axis=1, keepdims=True) / images
        balances.append(divide(right / support - accuracy, accuracy))
    return balances[0], balances[1]


def _terms(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (before * after).sum(axis=1), (before**2).sum(axis=1)


def _bootstrap(counts: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = counts.sum(axis=1)
    shares = counts / images[:, None]
    step = max(1, _BLOCK // len(counts))
    blocks = [
        _normalized_balances(rng.multinomial(images, shares, size=(min(step, resamples - start), len(counts))))
        for start in range(0, resamples, step)
    ]
    return np.concatenate([before for before, _ in blocks]), np.concatenate([after for _, after in blocks])


def _unbiased(moments: np.ndarray, images: np.ndarray) -> float:
    """Return the sum over classes of bootstrap (co)variances [class], each freed of its bias of (n − 1)/n."""
    several = images > 1
    terms = moments[several] * images[several] / (images[several] - 1)
    per_image = float((terms * images[several]).mean()) if several.any() else 0.0
    return float(terms.sum()) + per_image * int(np.count_nonzero(~several))


def _interval(numerators: np.ndarray, denominators: np.ndarray, level: float) -> tuple[float | None, float | None]:
    # Where a resample leaves no signal (denominator ≤ 0) its slope may be anything of the numerator's sign: unbounded.
    unbounded = np.where(numerators == 0, 0.0, np.copysign(np.inf, numerators))
    slopes = np.divide(numerators, denominators, out=unbounded, where=denominators > 0)
    low, high = np.quantile(slopes, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return tuple(float(end) if math.isfinite(end) else None for end in (low, high))
