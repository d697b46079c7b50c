"""The pieces of a study, and the hashes of what determines their results. Importing this loads no TensorFlow."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from tfrecall import criteria, datasets, sparsity
from tfrecall.settings import Settings

#: part of every key: raised when the same settings begin to give another result
_FORMAT = 1
# What only the second phase uses, and what only criteria with gradients do.
_FINE_TUNING = ("fine_tune_learning_rate", "fine_tune_epochs", "score_examples")


@dataclass(frozen=True)
class Cell:
    """One run of a study: a baseline, an algorithm and a ratio, or the control arm of a baseline.

    Attributes
    ----------
    settings : Settings
        With a ratio of None for the control arm.
    fingerprint : str
        Of the data set's files, where it is not a name.
    """

    settings: Settings
    fingerprint: str = ""

    @property
    def control(self) -> bool:
        """Whether nothing is pruned."""
        return self.settings.ratio is None

    @cached_property
    def baseline_key(self) -> str:
        """Where the trained baseline is stored: the same for all cells that prune it."""
        return f"baselines/{_digest(self.baseline_identity)}"

    @cached_property
    def key(self) -> str:
        """Where the cell is stored: a hash of exactly what determines its result."""
        return f"cells/{_digest(self.identity)}"

    @property
    def identity(self) -> dict:
        """Exactly what determines the cell's result."""
        settings, recipe = self.settings, self.settings.recipe
        identity = self.baseline_identity | {
            "fine_tune_epochs": recipe.fine_tune_epochs,
            "fine_tune_learning_rate": recipe.fine_tune_learning_rate,
            "ratio": None,
        }
        if not self.control:
            algorithm = settings.algorithm
            if not recipe.weight_decay and algorithm in ("undecayed", "undecayed-sum"):
                algorithm = "gradient"  # without a decay there is nothing to deduct: the scores are the same
            identity |= {
                "algorithm": algorithm,
                "ratio": removed(settings.ratio),
                "scope": settings.scope,
                "include_classifier": settings.include_classifier,
            }
            if criteria.CRITERIA[algorithm].needs_data:
                identity["score_examples"] = recipe.score_examples
        return identity

    @property
    def baseline_identity(self) -> dict:
        """Exactly what determines the trained baseline."""
        settings = self.settings
        recipe = {k: v for k, v in dataclasses.asdict(settings.recipe).items() if k not in _FINE_TUNING}
        if settings.recipe.optimizer != "sgd":
            del recipe["momentum"]  # the others have their own
        if recipe["initializer"] == "keras":
            del recipe["initializer"]  # as every cell of version 0.1 started: its results are found again
        return {
            "format": _FORMAT,
            "model": settings.model,
            # Files are what they hold, wherever they lie.
            "dataset": "" if self.fingerprint else settings.dataset,
            "fingerprint": self.fingerprint,
            "seed": settings.seed,
            "strategy": settings.strategy,
            **recipe,
        }

    def __str__(self) -> str:
        settings = self.settings
        arm = "control" if self.control else f"{settings.algorithm} {settings.ratio:g}"
        return f"{settings.model}, {settings.dataset}, {arm}, seed {settings.seed}"


def fingerprint(dataset: str) -> str:
    """Return a hash of a data set's files where it is given as a path, so that other images are another cell.

    Parameters
    ----------
    dataset : str
        As `tfrecall.datasets.load` takes it. Only files that it reads count.

    Returns
    -------
    str
        Empty for a name, or where nothing is.

    Raises
    ------
    InputError
        When a folder is no data set.
    """
    # In version 0.1 the images of a folder were resized in another way.
    return datasets.fingerprint(dataset, of_folder=b"folder 2\n")


def removed(ratio: float) -> float:
    """Return the sparsity of a ratio, which is one for 3 and 2/3, however the two are rounded."""
    return round(sparsity.sparsity(ratio), 12)


def _digest(identity: dict) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
