"""Data sets on the disk."""

from __future__ import annotations

import numpy as np
import pytest
from sample_sets import arrays, write_image


@pytest.fixture
def npz(tmp_path):
    def write(**changes):
        path = tmp_path / "set.npz"
        np.savez(path, **arrays(**changes))
        return path

    return write


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten images and one of three, of two sizes, grey, RGB and RGBA, PNG and JPEG."""
    generator = np.random.default_rng(0)
    root = tmp_path / "pictures"
    for name, count in (("ant", 10), ("bee", 10), ("cat", 3)):
        for number in range(count):
            size = (8, 6) if number % 2 == 0 else (11, 9)
            channels = (3, 1, 4)[number % 3]
            suffix = "jpg" if number == 1 else "png"
            write_image(root / name / f"{number}.{suffix}", generator.integers(0, 256, (*size, channels)))
    (root / "ant" / "notes.txt").write_text("no image")
    return root
