"""What every test needs: two logical CPU devices, set up before TensorFlow runs anything, and the shared data's place."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from browser import browser, page_in_browser  # noqa: F401

PREPARED = Path(os.environ.get("TFDS_DATA_DIR") or Path(__file__).parents[2] / "shared" / "tfds")


def pytest_configure(config):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture
def prepared(monkeypatch):
    """Point TFDS at the prepared MNIST and Fashion-MNIST; skip where they are not."""
    if not (PREPARED / "fashion_mnist").is_dir():
        pytest.skip(f"no prepared TFDS data at {PREPARED} (set TFDS_DATA_DIR)")
    monkeypatch.setenv("TFDS_DATA_DIR", str(PREPARED))
    return PREPARED
