"""Whether a saved model's accuracy says that it was trained on pixels that were scaled outside the model."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

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
    predicted = probabilities.argmax(axis=1)
    right = predicted == test.labels
    if right.mean() >= _FINE:
        return
    drawn = np.random.default_rng(0).permutation(len(test))[:_IMAGES]
    best = _best_other(model, head, test, np.sort(drawn[:_LOOK]))
    if best is not None:
        drawn = np.sort(drawn)
        right_before = right[drawn]
        outputs = training.predict(model, test.at(drawn).preprocessed(best), head=head)
        right_then = outputs.argmax(axis=1) == test.labels[drawn]
        gains, losses = int((right_then & ~right_before).sum()), int((right_before & ~right_then).sum())
        if gains - losses > max(_ERRORS * math.sqrt(gains + losses), _GAIN * len(drawn)):
            remedy = f"say so, as by {best.option} (in Python preprocess={best.name!r})" if best.name else "leave that out"
            warnings.warn(
                f"{name} gets {right_before.mean():.0%} of {len(drawn)} test images right on {_words(test.preprocessing)} "
                f"pixels, and {right_then.mean():.0%} on {_words(best)} pixels: if it was trained on such pixels, {remedy}.",
                DataWarning,
                stacklevel=3,
            )
            return
    chance = _chance(test.labels, predicted)
    if right.mean() < chance + _ERRORS * math.sqrt(chance * (1 - chance) / len(test)):
        warnings.warn(
            f"{name} gets {right.mean():.1%} of the test images right, no better than chance: if it should, check the order "
            "of its classes, and how its pixels were scaled in training (--rescale, --preprocess).",
            DataWarning,
            stacklevel=3,
        )


def _chance(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return Σ P(label = c)·P(prediction = c), the accuracy of predictions that are independent of the labels."""
    classes = max(labels.max(), predicted.max()) + 1
    shares = (np.bincount(values, minlength=classes) / len(values) for values in (labels, predicted))
    return float(np.dot(*shares))


def _best_other(model, head, test: Split, drawn: np.ndarray) -> Preprocessing | None:
    """Return the common scaling that suits a few images best, if more of them are right than with the split's own.

    Of scalings that are near each other the same images are right: the likelihood tells which was meant.
    """
    images, labels = test.at(drawn).preprocessed(RAW).sample(len(drawn), seed=0)
    few = Split(held(images, labels), np.arange(len(labels)))  # read once, and scaled again and again
    names = ["255", "2,-1"] if images.min() >= 0 and images.max() <= 1 else ["1/255", *datasets.MODES]
    own = test.preprocessing
    ways = [own, *(way for way in (RAW, *map(preprocessing, names)) if _is_another(way, own, images.shape[-1]))]
    outputs = [training.predict(model, few.preprocessed(way), head=head) for way in ways]
    right = [(output.argmax(axis=1) == labels).sum() for output in outputs]
    likelihood = [np.log(np.maximum(output[np.arange(len(labels)), labels], 1e-7)).mean() for output in outputs]
    best = int(np.argmax(likelihood))
    return ways[best] if right[best] > right[0] else None


def _is_another(way: Preprocessing, own: Preprocessing, channels: int) -> bool:
    return replace(way, name="") != replace(own, name="") and len(way.offset) in (1, channels)


def _words(way: Preprocessing) -> str:
    return f"{'rescaled' if way.option.startswith('--rescale') else 'preprocessed'} ({way.name})" if way.name else "raw"
