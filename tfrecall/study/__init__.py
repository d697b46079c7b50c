"""Studies: many runs over seeds, their statistics, and the page that shows them.

`report` and `status` share their module's name; importing them here, once, makes ``tfrecall.study.report`` the function.
Nothing of it loads TensorFlow before it is called.
"""

from tfrecall.study.executors import run
from tfrecall.study.inspection import Inspection, inspect
from tfrecall.study.plan import PRESETS, Plan, parse, preset, read
from tfrecall.study.repair import repair
from tfrecall.study.report import report
from tfrecall.study.status import Status, status
from tfrecall.study.store import Store

__all__ = [
    "PRESETS",
    "Inspection",
    "Plan",
    "Status",
    "Store",
    "inspect",
    "parse",
    "preset",
    "read",
    "repair",
    "report",
    "run",
    "status",
]
