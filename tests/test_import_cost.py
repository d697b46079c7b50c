"""The floors of the house, and what importing costs: a file imports only from floors below its own."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(sys.executable).with_name("tfrecall")

# docs/architecture.md; 0 is what everything may import
FLOORS = {
    "tfrecall": 0,
    "tfrecall.errors": 0,
    "tfrecall.archives": 1,
    "tfrecall.text": 0,
    "tfrecall.publishing": 1,
    "tfrecall.draft": 1,
    "tfrecall.fingerprints": 1,
    "tfrecall.sparsity": 1,
    "tfrecall.report.performance": 1,
    "tfrecall.report.slope": 1,
    "tfrecall.report.distortion": 1,
    "tfrecall.report.labels": 1,
    "tfrecall.report.predictions": 1,
    "tfrecall.report.inference": 1,
    "tfrecall.report.samples": 1,
    "tfrecall.report.pooling": 1,
    "tfrecall.report.resampling": 1,
    "tfrecall.tfmot": 2,
    "tfrecall.weights": 2,
    "tfrecall.regularizers": 2,
    "tfrecall.schedules": 2,
    "tfrecall.batches": 2,
    "tfrecall.objective": 2,
    "tfrecall.criteria": 3,
    "tfrecall.plausibility": 5,
    "tfrecall.training": 5,
    "tfrecall.settings": 5,
    "tfrecall.report": 5,
    "tfrecall.report.canvas": 5,
    "tfrecall.report.svg": 5,
    "tfrecall.report.figures": 5,
    "tfrecall.report.document": 5,
    "tfrecall.report.terminal": 5,
    "tfrecall.report.page": 5,
    "tfrecall.report.html": 5,
    "tfrecall.report.export": 5,
    "tfrecall.experiment": 6,
    "tfrecall.comparison": 7,
    "tfrecall.__main__": 9,
}
PACKAGES = {
    "tfrecall.networks": 2,
    "tfrecall.pruning": 4,
    "tfrecall.models": 5,
    "tfrecall.datasets": 5,
    "tfrecall.study": 7,
    "tfrecall.cli": 8,
}
SHARED_FLOORS = (1, 2, 5)  # whose files may import each other
TENSORFLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "tensorflow_datasets"}


def floor(module):
    package = package_of(module)
    return FLOORS[module] if package is None else PACKAGES[package]


def package_of(module):
    return next((name for name in PACKAGES if module == name or module.startswith(f"{name}.")), None)


def sources():
    """All modules of the project and their files, by dotted name."""
    found = {}
    for folder, name in ((ROOT / "tfrecall", "tfrecall"), (ROOT / "cli", "tfrecall.cli")):
        for path in sorted(folder.rglob("*.py")):
            parts = [name, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(module, source, modules, is_package=False):
    """Yield all that a source imports, wherever in it: dotted names, the project's down to the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = module.split(".")[: len(module.split(".")) - node.level + is_package]
                origin = ".".join([*above, *([origin] if origin else [])])
            for alias in node.names:
                yield f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in modules else origin


def violations(module, source, modules, is_package=False):
    found = []
    for name in imported(module, source, modules, is_package):
        if floor(module) <= 1 and name.split(".")[0] in TENSORFLOW:
            found.append(f"{module} (floor {floor(module)}) imports {name}")
        if name.split(".")[0] == "tensorflow_model_optimization" and module != "tfrecall.tfmot":
            found.append(f"{module} imports {name}, which changes tf.keras: take it from tfrecall.tfmot")
        if name.split(".")[0] != "tfrecall" or name == module:
            continue
        same_room = package_of(module) is not None and package_of(module) == package_of(name)
        if floor(name) > floor(module) or (
            floor(name) == floor(module) and floor(module) not in (0, *SHARED_FLOORS) and not same_room
        ):
            found.append(f"{module} (floor {floor(module)}) imports {name} (floor {floor(name)})")
    return found


def test_every_file_has_a_floor():
    assert {name for name in sources() if name not in FLOORS and package_of(name) is None} == set()


def test_no_file_imports_from_above_its_floor():
    modules = sources()
    assert len(modules) > 30  # the walk found the house
    found = []
    for module, path in modules.items():
        found += violations(module, path.read_text(encoding="utf-8"), modules, path.name == "__init__.py")
    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tfrecall.sparsity", "def f():\n    from tfrecall import weights"),
        ("tfrecall.sparsity", "import tensorflow as tf"),
        ("tfrecall.report.slope", "def f():\n    from tensorflow.python import x"),
        ("tfrecall.report.slope", "from .export import export"),
        ("tfrecall.weights", "import tfrecall.criteria"),
        ("tfrecall.training", "def f():\n    from tfrecall.experiment import Settings"),
        ("tfrecall.experiment", "from tfrecall.cli import options"),
        ("tfrecall.errors", "from tfrecall.sparsity import sparsity"),
        ("tfrecall.pruning.tfmot", "from .. import training"),
        ("tfrecall.schedules", "from tensorflow_model_optimization.sparsity.keras import PruningSchedule"),
    ],
)
def test_an_import_from_above_is_seen(module, source):
    assert len(violations(module, source, sources())) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tfrecall.sparsity", "from tfrecall.errors import InputError\nimport numpy"),
        ("tfrecall.report.distortion", "from tfrecall.report.slope import slope"),
        ("tfrecall.pruning.tfmot", "from tfrecall import criteria\nfrom . import keras3"),
        ("tfrecall.training", "from tfrecall.report.export import gives_probabilities"),
        ("tfrecall.cli.prune", "from tfrecall.cli import options"),
    ],
)
def test_an_import_from_below_is_allowed(module, source):
    assert violations(module, source, sources()) == []


def loaded_by(code):
    """The top-level modules that a fresh Python has loaded after some code."""
    code += "\nimport json as j, sys as s\nprint(j.dumps(sorted({name.split('.')[0] for name in s.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_by("import tfrecall; dir(tfrecall); tfrecall.errors; tfrecall.InputError")
    assert "tfrecall" in loaded
    assert not loaded & (TENSORFLOW | {"numpy", "click", "scipy", "matplotlib"})


@pytest.mark.parametrize(("chosen", "expected"), [("", "keras"), ("1", "tf_keras")])
def test_what_tf_keras_stands_for_is_left_to_its_user(chosen, expected):
    """tfmot makes it stand for tf_keras where it was not used before, in this process and those it starts."""
    code = (
        "import os; import tensorflow as tf; import tfrecall; tfrecall.schedules.OneShot(0.5); tfrecall.PruningCallback();"
        "print(tf.keras.Model.__module__.partition('.')[0], tf.optimizers.SGD.__module__.partition('.')[0],"
        "os.environ['TF_USE_LEGACY_KERAS'])"
    )
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": chosen}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.split() == [expected, expected, *([chosen] if chosen else [])], done.stderr


def test_measuring_recall_loads_no_tensorflow():
    code = "import tfrecall; print(tfrecall.report.distortion([0, 1] * 50, [0, 1] * 50, [0, 0] * 50))"
    loaded = loaded_by(code)
    assert "numpy" in loaded
    assert not loaded & TENSORFLOW


def test_writing_a_page_loads_neither_tensorflow_nor_matplotlib():
    code = "from tfrecall.report import page; page.render('title', 'lead', [page.Section('heading')])"
    loaded = loaded_by(code)
    assert "jinja2" in loaded
    assert not loaded & (TENSORFLOW | {"matplotlib"})


HELP = """
from click.testing import CliRunner
from tfrecall.cli import main
for line in LINES:
    result = CliRunner().invoke(main, line.split())
    assert result.exit_code == 0 and result.stdout, (line, result)
"""


def test_help_loads_click_alone():
    loaded = loaded_by(HELP.replace("LINES", "['--help', '--version', 'prune --help', 'report --help', 'export -h']"))
    assert "click" in loaded
    assert not loaded & (TENSORFLOW | {"numpy", "rich", "matplotlib", "scipy", "sklearn"})


def test_the_lists_load_no_tensorflow():
    loaded = loaded_by(HELP.replace("LINES", "['models', 'datasets', 'algorithms']"))
    assert "rich" in loaded
    assert not loaded & TENSORFLOW


def best_time(command, runs=7):
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, timeout=60)
        times.append(time.perf_counter() - start)
    return min(times)


def test_help_answers_at_once():
    # 0.3 s on a machine of its own; on one that is busy, little more than Click itself takes.
    took = best_time([SCRIPT, "--help"])
    assert took < 0.3 or took < 1.5 * best_time([sys.executable, "-c", "import click"])
