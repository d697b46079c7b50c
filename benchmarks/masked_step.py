"""A training step of LeNet-5 with its masks held, against the dense model's and tfmot's own wrapper's, in processor time.

Wall time would measure the machine: where threads wake at the ticks of a shared host, steps take multiples of them.
"""

from __future__ import annotations

import os
import time
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.sparsity.keras import ConstantSparsity, UpdatePruningStep, prune_low_magnitude

import tfrecall
from tfrecall import models

BATCH, STEPS, ROUNDS = 128, 60, 9


def main() -> None:
    """Print the median step of each, and the ratios to the dense one's."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(0, 255, (BATCH * STEPS, 28, 28, 1)).astype("float32"), rng.integers(0, 10, BATCH * STEPS)
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH).cache()
    dense = models.build("lenet5", (28, 28, 1), 10)
    arms = {
        "dense": (dense, []),
        "tfrecall": (tfrecall.prune(dense, 0.9, "magnitude"), [tfrecall.PruningCallback()]),
        "tfmot": (_wrapped_by_tfmot(dense), [UpdatePruningStep()]),
    }
    for model, callbacks in arms.values():
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(batches, epochs=1, verbose=0, callbacks=callbacks)  # traced, and tfmot's one pruning done
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(ROUNDS):
        for name, (model, callbacks) in arms.items():
            begin = time.process_time()
            model.fit(batches, epochs=1, verbose=0, callbacks=callbacks)
            times[name].append((time.process_time() - begin) / STEPS)
    steps = {name: median(values) for name, values in times.items()}
    for name, step in steps.items():
        print(f"{name:<9} {1000 * step:6.2f} ms of processor time a step, {step / steps['dense']:.2f} of the dense model's")


def _wrapped_by_tfmot(model):
    def wrap(layer):
        copy = type(layer).from_config(layer.get_config())
        kernels = isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.Dense) and layer.name != "classifier"
        return prune_low_magnitude(copy, ConstantSparsity(0.9, 1, 1)) if kernels else copy

    return tf_keras.models.clone_model(model, clone_function=wrap)


if __name__ == "__main__":
    main()
