"""The examples run as they stand, and do what they say."""

import runpy
from pathlib import Path

from tfrecall import pruning, weights

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_custom_loop_holds_the_masks(capsys):
    names = runpy.run_path(str(EXAMPLES / "custom_loop.py"))
    total = weights.total_parameters(names["model"])
    assert pruning.remaining_parameters(names["model"]) == total - round(0.8 * total)
    assert "accuracy 0." in capsys.readouterr().out
    assert (names["before"].argmax(axis=1) == names["y_test"]).mean() > 0.9
    assert (names["after"].argmax(axis=1) == names["y_test"]).mean() > 0.7
