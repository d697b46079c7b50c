"""VGG16 of keras.applications, 138 million parameters, pruned in place; and its training step with the masks held.

The step is compared with the dense model's, in turns, in processor time. It takes about 5 GB of memory.
"""

from __future__ import annotations

import os
import time
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import tfrecall
from tfrecall import pruning

BATCH, ROUNDS = 4, 5


def main() -> None:
    """Print how long pruning took, what is left, and the ratio of the steps."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 255, (BATCH, 224, 224, 3)).astype("float32"), rng.integers(0, 1000, BATCH)
    arms = {name: keras.applications.VGG16(weights=None) for name in ("dense", "masked")}
    total = arms["dense"].count_params()
    begin = time.perf_counter()
    tfrecall.prune(arms["masked"], 0.5)
    seconds, left = time.perf_counter() - begin, pruning.remaining_parameters(arms["masked"])
    print(f"pruned in {seconds:.1f} s: {left:,} of {total:,} parameters remain")
    for model in arms.values():
        model.compile(keras.optimizers.SGD(1e-4), "sparse_categorical_crossentropy")
        model.train_on_batch(x, y)  # traced
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(ROUNDS):
        for name, model in arms.items():
            begin = time.process_time()
            model.train_on_batch(x, y)
            times[name].append(time.process_time() - begin)
    dense, masked = (median(values) for values in times.values())
    print(f"a step of {BATCH} images: {masked:.2f} s of processor time, {masked / dense:.2f} of the dense step")
    assert pruning.remaining_parameters(arms["masked"]) == left, "the masks were not held"


if __name__ == "__main__":
    main()
