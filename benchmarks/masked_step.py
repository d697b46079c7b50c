"""A training step with its masks held, against the dense model's, in processor time: LeNet-5 and ResNet-20, in both Kerases.

The arms take turns, an epoch each. Wall time would measure the machine: where threads wake at the ticks of a shared host,
steps take multiples of them.
"""

from __future__ import annotations

import os
import time
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.sparsity.keras import ConstantSparsity, UpdatePruningStep, prune_low_magnitude

import tfrecall
from tfrecall import models

BATCH, ROUNDS = 128, 9
STEPS = {"lenet5": 60, "resnet20": 4}


def main() -> None:
    """Print the median step of each, and the ratios to the dense one's."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    for name, library in (("lenet5", tf_keras), ("lenet5", keras), ("resnet20", keras)):
        steps = measure(name, library)
        print(f"{name}, {library.__name__}")
        for arm, step in steps.items():
            print(f"  {arm:<9} {1000 * step:6.2f} ms of processor time, {step / steps['dense']:.2f} of the dense step")


def measure(name: str, library) -> dict[str, float]:
    """Return the median seconds of processor time of a step, by arm."""
    rng, shape, count = np.random.default_rng(0), (*models.image_shape(name, (28, 28, 1))[:2], 1), BATCH * STEPS[name]
    images, labels = rng.uniform(0, 255, (count, *shape)).astype("float32"), rng.integers(0, 10, count)
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH).cache()
    dense = models.build(name, shape, 10, keras=library)
    arms = {"dense": (dense, [])}
    if library is tf_keras:
        arms["tfrecall"] = (tfrecall.prune(dense, 0.9), [tfrecall.PruningCallback()])
        arms["tfmot"] = (_wrapped_by_tfmot(dense), [UpdatePruningStep()])
    else:
        arms["tfrecall"] = (tfrecall.prune(library.models.clone_model(dense), 0.9), [])
    for model, callbacks in arms.values():
        model.compile(library.optimizers.SGD(0.001, momentum=0.9), "sparse_categorical_crossentropy")
        model.fit(batches, epochs=1, verbose=0, callbacks=callbacks)  # traced, and tfmot's one pruning done
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(ROUNDS):
        for arm, (model, callbacks) in arms.items():
            begin = time.process_time()
            model.fit(batches, epochs=1, verbose=0, callbacks=callbacks)
            times[arm].append((time.process_time() - begin) / STEPS[name])
    return {arm: median(values) for arm, values in times.items()}


def _wrapped_by_tfmot(model):
    def wrap(layer):
        copy = type(layer).from_config(layer.get_config())
        kernels = isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.Dense) and layer.name != "classifier"
        return prune_low_magnitude(copy, ConstantSparsity(0.9, 1, 1)) if kernels else copy

    return tf_keras.models.clone_model(model, clone_function=wrap)


if __name__ == "__main__":
    main()
