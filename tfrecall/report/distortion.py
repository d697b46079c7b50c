"""What pruning did to the recall of each class: arrays in, one frozen dataclass out.

Definitions of Good et al. (NeurIPS 2022), section 3. On one test set, A and Aₜ are the accuracies before and after, Rᶜ and
Rᶜₜ the recalls of class c:

- recall balance Bᶜ = Rᶜ − A, and after pruning Bᶜₜ = Rᶜₜ − Aₜ;
- normalized recall balance B̄ᶜ = Bᶜ / A, and B̄ᶜₜ = Bᶜₜ / Aₜ;
- intensification ratio of a class Iᶜ = B̄ᶜₜ / B̄ᶜ;
- slope α = Σ B̄ᶜ B̄ᶜₜ / Σ (B̄ᶜ)², over the classes that have test images. α > 1 is intensification, α < 1 de-intensification.

The arithmetic of the slope, and what a finite test set lets one say about it, is `tfrecall.report.slope`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfrecall.errors import InputError
from tfrecall.report.performance import divide, measured, validated
from tfrecall.report.slope import Alpha, describe_alpha, outcomes, slope
from tfrecall.text import one_line

_MOST_RESAMPLES = 1_000_000


@dataclass(frozen=True)
class OneShot:
    """Accuracy right after pruning, before any further training, and the stability it implies.

    stability = accuracy right after / accuracy right before (Bartoldson et al., NeurIPS 2020, section 3).
    """

    accuracy: float
    stability: float | None


@dataclass(frozen=True, eq=False)
class Distortion:
    """What happened to each class between two models on one test set.

    Every array is indexed by class, ``recall_before[class]``, and holds NaN where there is no value: a recall without
    test images, a precision without predictions, an intensification ratio over B̄ᶜ = 0. Printing it says so in
    words.

    Attributes
    ----------
    class_names : tuple of str
    support : ndarray of int
        Test images of each class.
    accuracy_before, accuracy_after : float
        In [0, 1].
    recall_before, recall_after, precision_before, precision_after, f1_before, f1_after : ndarray of float
        In [0, 1].
    balance_before, balance_after : ndarray of float
        Recall balance Bᶜ, in [−1, 1].
    normalized_before, normalized_after : ndarray of float
        Normalized recall balance B̄ᶜ, at least −1.
    intensification : ndarray of float
        Iᶜ = B̄ᶜₜ / B̄ᶜ.
    alpha : Alpha
        The slope with its intervals and the verdict.
    one_shot : OneShot or None
        None unless predictions from right after pruning were given.
    """

    class_names: tuple[str, ...]
    support: np.ndarray
    accuracy_before: float
    accuracy_after: float
    recall_before: np.ndarray
    recall_after: np.ndarray
    precision_before: np.ndarray
    precision_after: np.ndarray
    f1_before: np.ndarray
    f1_after: np.ndarray
    balance_before: np.ndarray
    balance_after: np.ndarray
    normalized_before: np.ndarray
    normalized_after: np.ndarray
    intensification: np.ndarray
    alpha: Alpha
    one_shot: OneShot | None = None

    @property
    def recall_change(self) -> np.ndarray:
        """Recall after minus recall before, by class."""
        return self.recall_after - self.recall_before

    @property
    def worst_first(self) -> np.ndarray:
        """Class indices, the largest loss of recall first, classes without test images last."""
        return np.argsort(np.where(self.support > 0, self.recall_change, np.inf), kind="stable")

    def __str__(self) -> str:
        """Return the table: one line a class, the worst hit first, and the verdict."""
        class_names = [one_line(name) for name in self.class_names]
        width = min(24, max([5, *map(len, class_names)]))
        lines = [
            f"{'class':<{width}}  support   recall before → after   change   balance → after      I",
        ]
        for c in self.worst_first:
            name = class_names[c] if len(class_names[c]) <= width else class_names[c][: width - 1] + "…"
            if not self.support[c]:
                lines.append(f"{name:<{width}}  {0:>7}   no test images")
                continue
            empty = "  B = 0" if self.accuracy_before and self.accuracy_after else "  A = 0"
            ratio = f"{self.intensification[c]:7.2f}" if np.isfinite(self.intensification[c]) else empty
            lines.append(
                f"{name:<{width}}  {self.support[c]:>7}   {self.recall_before[c]:>13.4f} → {self.recall_after[c]:.4f}"
                f"  {self.recall_change[c]:>+7.4f}   {self.balance_before[c]:>+7.4f} → {self.balance_after[c]:>+7.4f}{ratio}"
            )
        lines += [f"accuracy {self.accuracy_before:.4f} → {self.accuracy_after:.4f}", *describe_alpha(self.alpha)]
        return "\n".join(lines)


def distortion(
    y_true,
    before,
    after,
    *,
    class_names: Sequence[str] | None = None,
    one_shot=None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Distortion:
    """Measure what happened to each class between two models' predictions on one test set.

    Parameters
    ----------
    y_true : array_like of int, shape (images,)
        Labels, 0 to classes − 1.
    before, after : array_like, shape (images,), (images, classes) or (images, 1)
        Each model's predicted classes, or its probabilities or logits, as in `tfrecall.report.performance`.
    class_names : sequence of str, optional
        One name a class; ``"0"``, ``"1"``, … by default.
    one_shot : array_like, optional
        Predictions right after pruning, before fine-tuning, in either form.
    level : float
        Confidence level of the intervals, in (0, 1).
    resamples : int
        Bootstrap resamples of the test images, 100 to 1,000,000.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Distortion

    Raises
    ------
    InputError
        If lengths differ, a label is not among the classes, or an option is out of range.

    Notes
    -----
    The bootstrap resamples the images within each class, where all that matters of an image is whether it was right or
    wrong before and after: four counts a class, drawn as a multinomial.

    Examples
    --------
    The paper's worked example, accuracy 80 % with recalls 90 % and 70 % falling to 60 % with 70 % and 50 %:

    >>> y = np.repeat([0, 1], 10)
    >>> right = lambda a, b: np.where(np.r_[np.arange(10) < a, np.arange(10) < b], y, 1 - y)
    >>> d = distortion(y, right(9, 7), right(7, 5))
    >>> round(d.alpha.value, 4), d.intensification.round(4).tolist(), d.alpha.verdict
    (1.3333, [1.3333, 1.3333], 'not identifiable')
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, such as 0.95; got {level:g}.")
    if not 100 <= resamples <= _MOST_RESAMPLES:
        raise InputError(f"resamples must be at least 100 and at most {_MOST_RESAMPLES:,}; got {resamples:,}.")
    if seed < 0:
        raise InputError(f"seed must be at least 0; got {seed}.")
    given = {"before": before, "after": after, **({} if one_shot is None else {"one_shot": one_shot})}
    names, labels, predicted = validated(y_true, given, class_names)
    sides = {name: measured(names, labels, classes) for name, classes in predicted.items()}
    balance = {name: side.recall - side.accuracy for name, side in sides.items()}
    normalized = {name: divide(balance[name], side.accuracy) for name, side in sides.items()}
    first, second = sides["before"], sides["after"]
    return Distortion(
        class_names=names,
        support=first.support,
        accuracy_before=first.accuracy,
        accuracy_after=second.accuracy,
        recall_before=first.recall,
        recall_after=second.recall,
        precision_before=first.precision,
        precision_after=second.precision,
        f1_before=first.f1,
        f1_after=second.f1,
        balance_before=balance["before"],
        balance_after=balance["after"],
        normalized_before=normalized["before"],
        normalized_after=normalized["after"],
        intensification=divide(normalized["after"], normalized["before"]),
        alpha=slope(outcomes(labels, predicted["before"], predicted["after"], len(names)), level, resamples, seed),
        one_shot=_one_shot(first.accuracy, sides["one_shot"].accuracy) if one_shot is not None else None,
    )


def _one_shot(before: float, right_after: float) -> OneShot:
    return OneShot(right_after, right_after / before if before else None)
