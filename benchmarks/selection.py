"""Selecting half of VGG-16's 138 million weights: `sparsity.select` against ``np.partition``."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from tfrecall.sparsity import select

SIZE = 138_000_000
ROUNDS = 7


def main() -> None:
    """Print both medians and their ratio."""
    scores = np.abs(np.random.default_rng(0).standard_normal(SIZE, dtype=np.float32))
    times: dict[str, list[float]] = {"select": [], "np.partition": []}
    for _ in range(ROUNDS):
        for name, work in (
            ("select", lambda: select({"weights": scores}, SIZE // 2)),
            ("np.partition", lambda: scores >= np.partition(scores, SIZE // 2)[SIZE // 2]),
        ):
            begin = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begin)
    ours, theirs = (median(values) for values in times.values())
    print(f"select {ours:.2f} s, np.partition and comparison {theirs:.2f} s, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
