"""Whether a saved model's accuracy says that it was trained on pixels that were scaled outside the model."""

from __future__ import annotations

import math
import warnings

import numpy as np

from tfrecall import datasets, training
from tfrecall.datasets import RAW, Preprocessing, Split, preprocessing
from tfrecall.datasets.sources import held
from tfrecall.errors import DataWarning

_FINE = 0.95  # from this accuracy on nothing is checked: no other scaling would be far better
_LOOK, _IMAGES = 64, 256  # test images for a first look at every scaling, and for a verdict on the best
_ERRORS = 3  # standard errors by which another scaling must be better
_GAIN = 0.03  # share of the images by which it must be better


def warn_if_misread(model, name: str, test: Split, probabilities: np.ndarray, head=None) -> None:
    """Warn if a saved model is far better on pixels scaled in another common way, or no better than chance.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        An image classifier.
    name : str
        What to call it.
    test : tfrecall.datasets.Split
    probabilities : numpy.ndarray
        Its predictions on that, [image, class].
    head : tfrecall.models.Head, optional
        What its outputs are, as in `tfrecall.training.predict`.
    """
    right = probabilities.argmax(axis=1) == test.labels
    if right.mean() >= _FINE:
        return
    drawn = np.random.default_rng(0).permutation(len(test))[:_IMAGES]
    best = _best_other(model, head, test, drawn[:_LOOK], right)
    if best is not None:
        drawn = np.sort(drawn)
        other = _right(model, head, test.at(drawn), [best])[0]
        gains, losses = int((other & ~right[drawn]).sum()), int((right[drawn] & ~other).sum())
        if gains - losses > max(_ERRORS * math.sqrt(gains + losses), _GAIN * len(drawn)):
            remedy = f"add {best.option} (in Python preprocess={best.name!r})" if best.name else "leave that option out"
            warnings.warn(
                f"{name} gets {right[drawn].mean():.0%} of {len(drawn)} test images right on {_words(test.preprocessing)} "
                f"pixels, and {other.mean():.0%} on {_words(best)} pixels: if it was trained on those, {remedy}.",
                DataWarning,
                stacklevel=3,
            )
            return
    commonest = np.bincount(test.labels).max() / len(test)
    if right.mean() < commonest + _ERRORS * math.sqrt(commonest * (1 - commonest) / len(test)):
        warnings.warn(
            f"{name} gets {right.mean():.1%} of the test images right, no better than naming one class always: if it "
            "should, check the order of its classes, and how its pixels were scaled in training (--rescale, --preprocess).",
            DataWarning,
            stacklevel=3,
        )


def _best_other(model, head, test: Split, drawn: np.ndarray, right: np.ndarray) -> Preprocessing | None:
    """Return the common scaling with which the most of a few images are right, if more than with the split's own."""
    own = test.preprocessing
    images, few = _in_memory(test, drawn)
    names = ["255", "2,-1"] if images.min() >= 0 and images.max() <= 1 else ["1/255", *datasets.MODES]
    others = [RAW, *map(preprocessing, names)]
    others = [
        one
        for one in others
        if (one.scale, one.offset, one.reverses_channels) != (own.scale, own.offset, own.reverses_channels)
        and (len(one.offset) == 1 or images.shape[-1] == len(one.offset))
    ]
    counts = [other.sum() for other in _right(model, head, few, others)]
    return others[int(np.argmax(counts))] if max(counts) > right[drawn].sum() else None


def _in_memory(test: Split, drawn: np.ndarray) -> tuple[np.ndarray, Split]:
    """Return raw images, and the split of them, which is read again and again."""
    images, labels = test.at(np.sort(drawn)).preprocessed(RAW).sample(len(drawn), seed=0)
    return images, Split(held(images, labels), np.arange(len(labels)))


def _right(model, head, split: Split, ways: list[Preprocessing]) -> list[np.ndarray]:
    """Return ``right[image]`` for each way of preprocessing."""
    return [training.predict(model, split.preprocessed(way), head=head).argmax(axis=1) == split.labels for way in ways]


def _words(way: Preprocessing) -> str:
    return f"{'rescaled' if way.option.startswith('--rescale') else 'preprocessed'} ({way.name})" if way.name else "raw"
