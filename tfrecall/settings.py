"""All that determines a run's result, as data. Importing this loads no TensorFlow."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from tfrecall import criteria, datasets, models, sparsity
from tfrecall.errors import InputError, unknown
from tfrecall.training import Recipe


@dataclass(frozen=True)
class Settings:
    """All that determines a run's result.

    Attributes
    ----------
    model : str
        A name of `tfrecall.models.ARCHITECTURES`, or the path of a saved Keras model, which is pruned as it is.
    dataset : str
        As `tfrecall.datasets.load` takes it.
    ratio : float or None
        Below 1 the fraction of parameters removed, above 1 parameters before / after. None prunes nothing: the control
        arm (t = 1), which is fine-tuned like the others.
    algorithm : str
        Full or short name of a criterion.
    scope : {"global", "layer"}
    include_classifier : bool
        Whether the classifier may be pruned.
    seed : int
        Of the weights, the order of the images, the validation split and random pruning.
    recipe : Recipe
    strategy : str
        As `tfrecall.training.strategy` takes it.
    unsafe : bool
        Whether a model file may run code on loading.
    custom : sequence of str
        Classes and functions that a model file may name besides those of Keras: each ``module:object``, as
        `tfrecall.models.named_objects` takes it.
    head : str or None
        What the outputs of a model file are, one of `tfrecall.models.HEADS`; None leaves it to `tfrecall.models.head_of`.
    preprocess : str or None
        What a saved model's user did to raw pixels outside the model, as `tfrecall.datasets.preprocessing` takes it:
        ``"1/255"``, ``"1/127.5,-1"``, ``"caffe"``, ``"tf"`` or ``"torch"``. None hands the model raw pixels.
    """

    model: str = "lenet5"
    dataset: str = "digits"
    ratio: float | None = 0.5
    algorithm: str = "undecayed"
    scope: str = "global"
    include_classifier: bool = False
    seed: int = 0
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    strategy: str = "auto"
    unsafe: bool = False
    custom: tuple[str, ...] = ()
    head: str | None = None
    preprocess: str | None = None

    def __post_init__(self):
        if self.ratio is not None:
            sparsity.sparsity(self.ratio)
        object.__setattr__(self, "algorithm", criteria.canonical(self.algorithm))
        object.__setattr__(self, "custom", tuple(self.custom))
        if self.scope not in sparsity.SCOPES:
            raise unknown("scope", self.scope, sparsity.SCOPES)
        if not (isinstance(self.seed, int) and 0 <= self.seed < 2**31):
            raise InputError(f"seed must be a whole number between 0 and {2**31 - 1}; got {self.seed}.")
        if self.head is not None and self.head not in models.HEADS:
            raise unknown("head", self.head, models.HEADS)
        if self.head is not None and self.trained_here:
            raise InputError(f"head (--head) is for a saved model; {self.model} is built here, with softmax.")
        datasets.require_name(self.dataset)
        datasets.preprocessing(self.preprocess)
        if self.preprocess is not None and self.trained_here:
            raise InputError(
                f"{self.model} takes raw pixels, which its first layer normalizes: --rescale and --preprocess are for saved "
                "models."
            )
        if self.model not in models.ARCHITECTURES and not Path(self.model).exists():
            if Path(self.model).suffix or os.sep in self.model:
                raise InputError(
                    f"no model file at {self.model}: give a .keras or .h5 file, a SavedModel folder, or a name."
                )
            raise unknown("model", self.model, models.ARCHITECTURES, "A path to a saved Keras model is accepted too.")

    @property
    def trained_here(self) -> bool:
        """Whether the baseline is built by name and trained, not loaded from a file."""
        return self.model in models.ARCHITECTURES

    @property
    def folder(self) -> Path:
        """Where a run is written by default."""
        model, data = stem(self.model), stem(self.dataset)
        arm = "control" if self.ratio is None else f"{self.algorithm}-{self.ratio:g}"
        return Path("runs") / f"{model}-{data}-{arm}-seed{self.seed}"


def stem(name: str) -> str:
    """Return what a model or data set is called in the names of files."""
    path = Path(name)
    if path.suffix in (".keras", ".h5", ".hdf5", ".npz"):
        return path.stem
    plain = path.absolute().name if path.exists() else name  # TFDS has names like emnist/balanced:3.0.1
    return plain.replace("/", "-").replace(":", "-")
