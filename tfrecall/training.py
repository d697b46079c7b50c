"""How a model is trained: recipes as data, a distribution strategy, and fit with the best-validation weights kept.

Importing this loads no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cache

from tfrecall import datasets, models, networks
from tfrecall.errors import InputError, TrainingError, unknown

LEARNING_RATE_SCHEDULES = ("constant", "cosine", "step")
OPTIMIZERS = ("sgd", "adam", "adamw")
STRATEGIES = ("auto", "cpu", "gpu", "mirrored")


@dataclass(frozen=True)
class Recipe:
    """Everything that says how a model is trained and fine-tuned.

    Attributes
    ----------
    optimizer : {"sgd", "adam", "adamw"}
        SGD has Nesterov momentum where `momentum` is above 0.
    learning_rate, fine_tune_learning_rate : float
        At the start of each phase, above 0.
    learning_rate_schedule : {"constant", "cosine", "step"}
        ``"cosine"`` falls to 0 over a phase; ``"step"`` is divided by 10 after a half and after three quarters of it.
    momentum : float
        In [0, 1).
    weight_decay : float
        ε, at least 0: of (ε/2)‖θ‖² in the objective, on every trainable parameter of a model built by name; for
        ``"adamw"`` of its decoupled decay instead.
    initializer : {"keras", "pytorch"}
        How the weights of a model built by name start: see `tfrecall.models.build`.
    batch_size : int
    epochs, fine_tune_epochs : int
        Of the two phases. The weights of the epoch with the lowest validation loss are the result of each.
    validation_fraction : float
        Share of the training images held out for that, in (0, 1).
    score_examples : int
        Training images over which a criterion's gradients are averaged.
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.01
    fine_tune_learning_rate: float = 0.01
    learning_rate_schedule: str = "constant"
    momentum: float = 0.9
    weight_decay: float = 0.0
    initializer: str = "keras"
    batch_size: int = 128
    epochs: int = 30
    fine_tune_epochs: int = 15
    validation_fraction: float = 0.1
    score_examples: int = 128

    @property
    def penalty(self) -> float:
        """The ε of (ε/2)‖θ‖² in the objective: none where the optimizer decays the weights itself."""
        return 0.0 if self.optimizer == "adamw" else self.weight_decay

    def __post_init__(self):
        known_names = {
            "optimizer": OPTIMIZERS,
            "learning_rate_schedule": LEARNING_RATE_SCHEDULES,
            "initializer": models.INITIALIZERS,
        }
        for name, known in known_names.items():
            if getattr(self, name) not in known:
                raise unknown(name.replace("_", " "), getattr(self, name), known)
        for name in ("learning_rate", "fine_tune_learning_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"{name} must be above 0, such as 0.01; got {getattr(self, name):g}.")
        for name in ("batch_size", "epochs", "fine_tune_epochs", "score_examples"):
            if not (isinstance(getattr(self, name), int) and getattr(self, name) >= 1):
                raise InputError(f"{name} must be a whole number of at least 1; got {getattr(self, name)}.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be at least 0 and below 1; got {self.momentum:g}.")
        if not 0 < self.validation_fraction < 1:
            raise InputError(f"validation_fraction must lie between 0 and 1, such as 0.1; got {self.validation_fraction:g}.")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError(f"weight_decay must be at least 0, such as 5e-4; got {self.weight_decay:g}.")


# The paper's protocol (Good et al. 2022, section 5). It leaves open the ResNets' first learning rate and the length of their
# fine-tuning: 0.1 is He et al.'s, and half the epochs is what the paper gives LeNet-5.
# Its authors used PyTorch, and what global pruning removes depends on how the weights started.
_PAPER_LENET = Recipe(initializer="pytorch")
_PAPER_RESNET = Recipe(
    initializer="pytorch",
    learning_rate=0.1,
    fine_tune_learning_rate=0.01,
    learning_rate_schedule="step",
    weight_decay=5e-4,
    epochs=60,
    fine_tune_epochs=30,
)
# Small batches and gentle steps, so that a thousand digits are enough to learn from in a minute on two cores.
_DEFAULT = Recipe(learning_rate_schedule="cosine", batch_size=64, weight_decay=5e-4, score_examples=512)
_DEFAULT_DEEP = dataclasses.replace(_DEFAULT, epochs=12, fine_tune_epochs=6)

#: by name, for small models such as LeNet-5 (and for files), and for deep ones
RECIPES = {"default": (_DEFAULT, _DEFAULT_DEEP), "paper": (_PAPER_LENET, _PAPER_RESNET)}


def recipe(name: str, model: str = "", **overrides) -> Recipe:
    """Return a recipe for a model, with some of its values replaced.

    Parameters
    ----------
    name : {"default", "paper"}
    model : str
        A model's name; unknown ones, such as a file's, are treated like LeNet-5.
    **overrides
        Fields of `Recipe`; None leaves the recipe's value.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        If the recipe is unknown or a value out of range.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    chosen = RECIPES[name][model in models.ARCHITECTURES and model != "lenet5"]
    return dataclasses.replace(chosen, **{key: value for key, value in overrides.items() if value is not None})


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and make TensorFlow's operations deterministic: same seed, same bytes."""
    import keras
    import tensorflow as tf
    import tf_keras

    for library in (keras, tf_keras):
        library.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


@cache
def strategy(name: str = "auto"):
    """Return the ``tf.distribute`` strategy under whose scope models are to be built.

    Parameters
    ----------
    name : {"auto", "cpu", "gpu", "mirrored"}
        ``"auto"`` takes all GPUs, else the CPU; ``"gpu"`` the first GPU; ``"mirrored"`` mirrors over all GPUs, or over all
        logical CPU devices where there is none. The same name gives the same object: TensorFlow mixes up the collective
        operations of two strategies that mirror over the same devices.

    Returns
    -------
    tf.distribute.Strategy

    Raises
    ------
    InputError
        If the name is unknown, or there is no GPU for ``"gpu"``.
    """
    import tensorflow as tf

    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "gpu" and not gpus:
        raise InputError("strategy 'gpu' needs a GPU that TensorFlow sees, and there is none: use auto or cpu.")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy([device.name for device in gpus or tf.config.list_logical_devices("CPU")])
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus and name != "cpu" else "/cpu:0")


def compile_model(model, chosen: Recipe, steps: int, *, fine_tune: bool = False, head: models.Head | None = None):
    """Compile a classifier for one phase of a recipe.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        Its outputs are probabilities or logits (batch, classes), or (batch, 1) for two classes.
    chosen : Recipe
    steps : int
        Training steps of the whole phase, for the learning-rate schedule.
    fine_tune : bool
        Which phase.
    head : Head, optional
        What the outputs are, and so the loss; as `tfrecall.models.head_of` decides by default.

    Returns
    -------
    tf_keras.Model or keras.Model
        The same model.
    """
    keras = networks.of(model).library
    start = chosen.fine_tune_learning_rate if fine_tune else chosen.learning_rate
    schedules = keras.optimizers.schedules
    if chosen.learning_rate_schedule == "cosine":
        rate = schedules.CosineDecay(start, steps)
    elif chosen.learning_rate_schedule == "step":
        rate = schedules.PiecewiseConstantDecay([steps // 2, steps * 3 // 4], [start, start / 10, start / 100])
    else:
        rate = start
    if chosen.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=chosen.weight_decay)
    elif chosen.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=chosen.momentum, nesterov=chosen.momentum > 0)
    else:
        optimizer = keras.optimizers.Adam(rate)
    head = head or models.head_of(model)
    model.compile(optimizer, head.loss(keras), metrics=[head.metric(keras)])
    return model


def fit(
    model,
    train,
    validation,
    chosen: Recipe,
    *,
    epochs: int,
    seed: int,
    callbacks=(),
    progress: str = "none",
    head: models.Head | None = None,
):
    """Train a compiled model and leave it with the weights of the epoch with the lowest validation loss.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        Compiled.
    train, validation : tfrecall.datasets.Split
    chosen : Recipe
    epochs : int
    seed : int
        Of the order of the images.
    callbacks : sequence of Keras callbacks
        Called before the ones that keep the weights.
    progress : {"bar", "lines", "none"}
        Keras's progress bar, one plain line an epoch, or nothing; on standard output.
    head : Head, optional
        What the outputs are, and so the form of the labels; as `tfrecall.models.head_of` decides by default.

    Returns
    -------
    dict of str to list of float
        Keras's history: loss and accuracy by epoch.

    Raises
    ------
    TrainingError
        If the loss is no longer finite.
    """
    library = networks.of(model).library
    head = head or models.head_of(model)

    def with_targets(images, labels):
        return images, head.targets(labels)

    with datasets.reading():
        history = model.fit(
            train.batches(chosen.batch_size, shuffle_seed=seed).map(with_targets),
            validation_data=validation.batches(chosen.batch_size).map(with_targets),
            epochs=epochs,
            verbose=int(progress == "bar"),
            callbacks=[*callbacks, *_guards(library), *([_epoch_lines(library)] if progress == "lines" else [])],
        )
    return history.history


def predict(model, split, batch_size: int = 256, head: models.Head | None = None):
    """Return a classifier's probabilities on a split, ndarray [image, class]: of one output, 1 − p and p.

    The highest is the class that is predicted. They are float32, or float64 where sigmoids are applied to the outputs: in
    float32, those of several classes would be 1. The head is decided by `tfrecall.models.head_of` unless it is passed.
    """
    head = head or models.head_of(model)
    with datasets.reading():
        outputs = model.predict(split.batches(batch_size).map(lambda images, labels: images), verbose=0)
    applied = head.kind in ("sigmoid-logits", "binary-logits")
    return head.probabilities(outputs, "float64" if applied else "float32").numpy()


def _guards(keras) -> list:
    """Return the callbacks that keep the best weights and stop at a loss that is not finite."""

    class BestWeights(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.best, self.weights = math.inf, None

        def on_epoch_end(self, epoch, logs=None):
            if logs["val_loss"] < self.best:
                self.best, self.weights = logs["val_loss"], self.model.get_weights()

        def on_train_end(self, logs=None):
            if self.weights is not None:
                self.model.set_weights(self.weights)

    class StopIfNotFinite(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            self.check(logs["loss"], f"at epoch {self.epoch + 1}, step {batch + 1}")

        def on_epoch_end(self, epoch, logs=None):
            self.check(logs["val_loss"], f"on the validation images after epoch {epoch + 1}")

        def check(self, loss, where):
            if not math.isfinite(loss):
                raise TrainingError(f"the loss is {loss} {where}: lower the learning rate, or look at the data.")

    return [StopIfNotFinite(), BestWeights()]


def _epoch_lines(keras):
    """Return the callback that prints one line an epoch."""

    class EpochLines(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
            print(f"epoch {epoch + 1}/{self.params['epochs']}  {numbers}", flush=True)

    return EpochLines()
