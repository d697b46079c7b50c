"""Plans and keys: what a TOML file may say, and that a cell's folder is named by what determines its result, no more."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import small_classifier, small_digits

from tfrecall import criteria, datasets, sparsity, training
from tfrecall.errors import InputError
from tfrecall.settings import Settings
from tfrecall.study import plan
from tfrecall.study.cell import Cell, fingerprint
from tfrecall.study.plan import PRESETS, Plan, from_dict, parse, preset, read, to_dict
from tfrecall.training import Recipe

ALL = ("magnitude", "gradient", "undecayed", "random")
RESNETS = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
CONTENTS = {
    "quick": (("digits",), ("lenet5",), ("magnitude", "undecayed", "random"), (2, 10, 20), 3, "default"),
    "lenet5": (("mnist", "fashion_mnist"), ("lenet5",), ALL, (2, 4, 10, 20, 50), 10, "paper"),
    "algorithms": (("cifar10",), ("resnet56",), ALL, (2, 4, 10, 20, 50), 30, "paper"),
    "sizes-mp": (("cifar10",), RESNETS, ("magnitude",), (2, 4, 10, 20, 50), 30, "paper"),
    "sizes-up": (("cifar10",), RESNETS, ("undecayed",), (2, 4, 10, 20, 50), 30, "paper"),
    "datasets": (("cifar10", "cifar100"), ("resnet56",), ("magnitude", "undecayed"), (2, 4, 10, 20, 50), 30, "paper"),
}


def cell(fingerprint="", **changes):
    """A cell of LeNet-5 on the digits; fields of its recipe may be changed like those of its settings."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    recipe = Recipe(**{name: value for name, value in changes.items() if name in fields})
    others = {name: value for name, value in changes.items() if name not in fields}
    return Cell(Settings(**{"strategy": "cpu", "recipe": recipe, **others}), fingerprint)


# The default plan, written out.
ABOUT = """
datasets = ["digits"]
models = ["lenet5"]
algorithms = ["magnitude", "gradient", "undecayed", "random"]
ratios = [2, 4, 10, 20, 50]
seeds = 30
"""


class TestPresets:
    @pytest.mark.parametrize("name", PRESETS)
    def test_it_is_what_it_says(self, name):
        found = parse(preset(name))
        data, models, algorithms, ratios, seeds, recipe = CONTENTS[name]
        assert (found.datasets, found.models, found.algorithms, found.ratios) == (data, models, algorithms, ratios)
        assert (found.seeds, found.recipe, found.scope, found.level) == (tuple(range(seeds)), recipe, "global", 0.99)
        assert len(found.cells) == seeds * len(data) * len(models) * (1 + len(algorithms) * len(ratios))
        assert f"tfrecall study run plan.toml --output studies/{name}\n" in preset(name)

    @pytest.mark.parametrize("name", sorted(set(PRESETS) - {"quick"}))
    def test_those_of_the_paper_train_as_the_paper_does(self, name):
        for one in parse(preset(name)).cells:
            assert one.settings.recipe == training.recipe("paper", one.settings.model)

    def test_the_numbers_in_the_comments_are_right(self):
        def words_of(name):
            """Return a preset with its comments on one line."""
            return re.sub(r"\n# ", " ", preset(name))

        for name, words in (("algorithms", "each"), ("datasets", "on each")):
            found = parse(preset(name))
            pruned = len(found.algorithms) * len(found.ratios)
            assert f"{len(found.seeds)} seeds of {pruned} pruned models {words}:" in words_of(name)
        for name in ("sizes-mp", "sizes-up"):
            assert "30 seeds of five ResNets:" in words_of(name)
        assert f"{len(datasets.load('digits').test)} test images and three seeds" in words_of("quick")
        for name in PRESETS:
            assert re.search("0.99 is (about )?0.95 over a family of five", words_of(name))  # 1 − 0.05 / 5

    @pytest.mark.parametrize("name", PRESETS)
    def test_a_terminal_shows_it_whole(self, name):
        assert max(map(len, preset(name).splitlines())) <= 80

    def test_every_key_of_a_plan_is_in_every_preset(self):
        keys = {field.name for field in dataclasses.fields(Plan)} - {"overrides", "fingerprints"}
        for name in PRESETS:
            found = {line.split(" =")[0] for line in preset(name).splitlines() if re.match(r"\w+ =", line)}
            assert keys <= found | {"recipe"}, name
            assert "[recipe]" in preset(name)

    def test_the_hint_on_weight_decay_parts_undecayed_from_gradient_pruning(self):
        text = preset("lenet5")
        decayed = text.replace("# weight_decay = 5e-4", "weight_decay = 5e-4")
        assert decayed != text
        assert len({one.key for one in parse(text).cells}) == 2 * 10 * (1 + 3 * 5)
        assert len({one.key for one in parse(decayed).cells}) == 2 * 10 * (1 + 4 * 5)

    def test_an_unknown_one_is_named(self):
        with pytest.raises(InputError, match=r"unknown preset 'size-mp': did you mean sizes-mp or sizes-up\?"):
            preset("size-mp")


def test_plans_and_presets_load_no_tensorflow():
    script = (
        "import sys\nfrom tfrecall.study import executors, frames, plan, status, store, worker\n"
        "for name in plan.PRESETS: plan.parse(plan.preset(name)).cells[0].key\n"
        "print([name for name in ('tensorflow', 'tf_keras', 'tensorflow_datasets') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert (result.stdout, result.stderr) == ("[]\n", "")


class TestCells:
    def test_every_combination_and_a_control_arm_for_each_trained_model(self):
        found = Plan(datasets=("digits", "mnist"), algorithms=("mp", "rp"), ratios=(2, 0.9), seeds=(3, 1))
        arms = {(one.settings.ratio, one.settings.algorithm) for one in found.cells if not one.control}
        assert arms == {(2, "magnitude"), (2, "random"), (0.9, "magnitude"), (0.9, "random")}
        trained = [one for one in found.cells if one.control]
        assert [(one.settings.seed, one.settings.dataset) for one in trained] == [
            (3, "digits"),
            (3, "mnist"),
            (1, "digits"),
            (1, "mnist"),
        ]
        assert len({one.baseline_key for one in found.cells}) == len(trained) == 4
        assert len({one.key for one in found.cells}) == len(found.cells) == 20

    def test_a_study_that_is_stopped_has_whole_seeds(self):
        seeds = [one.settings.seed for one in Plan(datasets=("digits", "mnist"), seeds=(2, 0, 5)).cells]
        assert seeds == sorted(seeds, key=(2, 0, 5).index)

    def test_each_model_has_its_own_recipe_with_the_overrides(self):
        found = Plan(models=("lenet5", "resnet20"), recipe="paper", overrides=(("epochs", 7),))
        epochs = {one.settings.model: one.settings.recipe for one in found.cells}
        assert epochs == {name: training.recipe("paper", name, epochs=7) for name in ("lenet5", "resnet20")}

    def test_its_words_name_it(self):
        control, pruned = Plan(algorithms=("up",), ratios=(0.75,), seeds=(4,)).cells
        assert str(control) == "lenet5, digits, control, seed 4"
        assert str(pruned) == "lenet5, digits, undecayed 0.75, seed 4"


class TestToml:
    def test_what_a_study_is_about_has_to_be_said(self):
        """An empty file, such as a mistyped `study init` leaves, must not start days of work."""
        with pytest.raises(InputError, match=r"^the plan lacks datasets, models, algorithms, ratios and seeds: `tfrecall"):
            parse("")
        with pytest.raises(InputError, match=r"^the plan lacks seeds: "):
            parse(ABOUT.replace("seeds = 30", ""))
        assert parse(ABOUT) == Plan()

    def test_more_cells_than_anybody_runs_are_refused_at_once(self):
        with pytest.raises(InputError, match="at most 100,000; got 1000000000"):
            parse(ABOUT.replace("30", "1000000000"))
        with pytest.raises(InputError, match="the plan has 420,000 cells, more than 100,000: name fewer seeds"):
            parse(ABOUT.replace("30", "20000"))

    def test_everything_can_be_said(self):
        text = """
            datasets = ["digits", "mnist"]
            models = ["lenet5", "vgg16"]
            algorithms = ["MP", "undecayed-sum"]
            ratios = [0.5, 3, 10.5]
            seeds = [7, 5]
            scope = "layer"
            include_classifier = true
            strategy = "mirrored"
            level = 0.9
            recipe = {name = "paper", epochs = 3, learning_rate = 1, optimizer = "adam"}
        """
        assert parse(text) == Plan(
            datasets=("digits", "mnist"),
            models=("lenet5", "vgg16"),
            algorithms=("magnitude", "undecayed-sum"),
            ratios=(0.5, 3, 10.5),
            seeds=(7, 5),
            recipe="paper",
            overrides=(("epochs", 3), ("learning_rate", 1.0), ("optimizer", "adam")),
            scope="layer",
            include_classifier=True,
            strategy="mirrored",
            level=0.9,
        )

    def test_a_recipe_is_a_name_or_a_table(self):
        table = '[recipe]\nname = "paper"'
        assert parse(f'{ABOUT}recipe = "paper"') == parse(f"{ABOUT}{table}") == Plan(recipe="paper")
        assert parse(f"{ABOUT}[recipe]\nepochs = 3") == Plan(overrides=(("epochs", 3),))

    @settings(deadline=None)
    @given(
        st.builds(
            Plan,
            datasets=st.lists(st.sampled_from(["digits", "mnist", "a b/ü.npz"]), min_size=1, unique=True).map(tuple),
            models=st.lists(st.sampled_from(["lenet5", "resnet20", "vgg16"]), min_size=1, unique=True).map(tuple),
            algorithms=st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple),
            ratios=st.lists(st.integers(101, 9999), min_size=1, max_size=3, unique=True).map(
                lambda hundredths: tuple(ratio / 100 for ratio in sorted(hundredths))
            ),
            seeds=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True).map(tuple),
            recipe=st.sampled_from(["default", "paper"]),
            overrides=st.fixed_dictionaries(
                {}, optional={"epochs": st.integers(1, 9), "momentum": st.floats(0, 0.9), "batch_size": st.integers(1, 9)}
            ).map(lambda chosen: tuple(chosen.items())),
            scope=st.sampled_from(["global", "layer"]),
            include_classifier=st.booleans(),
            strategy=st.sampled_from(("cpu", "gpu", "mirrored")),
            level=st.floats(0.01, 0.999),
        )
    )
    def test_a_plan_survives_its_dictionary_and_json(self, given):
        assert from_dict(to_dict(given)) == given
        again = from_dict(json.loads(json.dumps(to_dict(given))))
        assert again == given
        assert [one.key for one in again.cells] == [one.key for one in given.cells]

    @pytest.mark.parametrize("name", PRESETS)
    def test_presets_survive_their_dictionary(self, name):
        assert from_dict(to_dict(parse(preset(name)))) == parse(preset(name))

    @pytest.mark.parametrize(
        "overrides",
        [
            (("weight_decay", 0), ("learning_rate", 1)),
            (("learning_rate", 1.0), ("weight_decay", 0.0)),
        ],
    )
    def test_the_python_api_makes_the_same_plan_as_the_file(self, overrides):
        """A worker gets its plan as JSON: it must find the keys of the process that started it."""
        written = parse(ABOUT.replace("30", "1") + "[recipe]\nlearning_rate = 1\nweight_decay = 0")
        built = Plan(seeds=(0,), overrides=overrides)
        assert built == written
        assert [one.key for one in built.cells] == [one.key for one in written.cells]


ERRORS = {
    "[recipe]\noptimizer = 'adam'\nmomentum = 0.5": "recipe.momentum is for sgd; the other optimizers have their own.",
    "strategy = 'auto'": "unknown strategy 'auto': known are cpu, gpu, mirrored.",
    "[fingerprints]\ndigits = 'x'": "unknown key 'fingerprints': ",
    "data = []": "unknown key 'data': did you mean datasets?",
    "ratio = [2]": "unknown key 'ratio': did you mean ratios?",
    "overrides = []": "unknown key 'overrides': ",
    "xyz = []": "unknown key 'xyz': known are algorithms, datasets, include_classifier, level, models, ratios, recipe,",
    "recipes = 'paper'": "unknown key 'recipes': did you mean recipe",
    "[recipe]\nepoch = 3": "unknown key in [recipe] 'epoch': did you mean epochs",
    "[recipe]\nratio = 3": "unknown key in [recipe] 'ratio': ",
    "datasets = 'digits'": """datasets must be a list of names, such as ["digits"]; got 'digits'.""",
    "models = [5]": """models must be a list of names, such as ["lenet5"]; got [5].""",
    "algorithms = {}": """algorithms must be a list of names, such as ["magnitude"]; got {}.""",
    "ratios = 2": "ratios must be a list of numbers, such as [2, 10]; got 2.",
    "ratios = ['2']": "ratios must be a list of numbers, such as [2, 10]; got ['2'].",
    "ratios = [true]": "ratios must be a list of numbers, such as [2, 10]; got [True].",
    "seeds = 2.5": "seeds must be how many there are, such as 10, or a list of them; got 2.5.",
    "seeds = true": "seeds must be how many there are, such as 10, or a list of them; got True.",
    "seeds = [0, 1.0]": "seeds must be how many there are, such as 10, or a list of them; got [0, 1.0].",
    "seeds = 0": "seeds must be at least 1, and at most 100,000; got 0.",
    "seeds = -3": "seeds must be at least 1, and at most 100,000; got -3.",
    "seeds = [-1]": "seed must be a whole number between 0 and 2147483647; got -1.",
    "scope = 1": "scope must be text in quotation marks; got 1.",
    "strategy = ['cpu']": "strategy must be text in quotation marks; got ['cpu'].",
    "include_classifier = 'yes'": "include_classifier must be true or false; got 'yes'.",
    "include_classifier = 1": "include_classifier must be true or false; got 1.",
    "level = '0.99'": "level must be a number; got '0.99'.",
    "level = true": "level must be a number; got True.",
    "level = 99": "level must lie between 0 and 1, such as 0.99; got 99.",
    "level = nan": "level must lie between 0 and 1, such as 0.99; got nan.",
    "recipe = 3": 'recipe must be a name or a table, such as [recipe] with name = "paper"; got 3.',
    "recipe = 'papr'": "unknown recipe 'papr': did you mean paper?",
    "[recipe]\nname = 3": "recipe.name must be text in quotation marks; got 3.",
    "[recipe]\nepochs = 3.0": "recipe.epochs must be a whole number; got 3.0.",
    "[recipe]\nepochs = true": "recipe.epochs must be a whole number; got True.",
    "[recipe]\nepochs = 0": "epochs must be a whole number of at least 1; got 0.",
    "[recipe]\nmomentum = '0.9'": "recipe.momentum must be a number; got '0.9'.",
    "[recipe]\nmomentum = 1": "momentum must be at least 0 and below 1; got 1.",
    "[recipe]\noptimizer = 1": "recipe.optimizer must be text in quotation marks; got 1.",
    "[recipe]\noptimizer = 'adm'": "unknown optimizer 'adm': did you mean adam",
    "datasets = []": "datasets is empty: a study needs at least one.",
    "models = []": "models is empty: a study needs at least one.",
    "algorithms = []": "algorithms is empty: a study needs at least one.",
    "ratios = []": "ratios is empty: a study needs at least one.",
    "seeds = []": "seeds is empty: a study needs at least one.",
    "datasets = ['digits', 'digits']": "datasets names the same twice: digits.",
    "models = ['lenet5', 'lenet5']": "models names the same twice: lenet5.",
    "algorithms = ['mp', 'gp', 'magnitude']": "algorithms names the same twice: magnitude.",
    "seeds = [4, 2, 4]": "seeds names the same twice: 4.",
    "ratios = [0.5, 2]": "ratios names the same twice: 2.",
    "ratios = [0.6666666666666666, 3]": "ratios names the same twice: 3.",
    "ratios = [2, 2.0]": "ratios names the same twice: 2.0.",
    "ratios = [10, 2]": "ratios must go from the smallest to the largest; got 10, 2.",
    "ratios = [2, 0.4]": "ratios must go from the smallest to the largest; got 2, 0.4.",
    "ratios = [1, 2]": "ratio must be a fraction removed between 0 and 1, or a compression above 1",
    "ratios = [-2]": "ratio must be a fraction removed between 0 and 1, or a compression above 1",
    "ratios = [inf]": "ratio must be a fraction removed between 0 and 1, or a compression above 1",
    "algorithms = ['undecaid']": "unknown algorithm 'undecaid': did you mean undecayed",
    "models = ['lenet']": "unknown model 'lenet': did you mean lenet5",
    "scope = 'globe'": "unknown scope 'globe': did you mean global?",
    "strategy = 'tpu'": "unknown strategy 'tpu': did you mean gpu or cpu?",
    "datasets = [": "not TOML: ",
    "seeds = 3\nseeds = 4": "not TOML: ",
}


@pytest.mark.parametrize("text", ERRORS)
def test_what_is_wrong_in_a_file_is_said_with_its_name_and_key(tmp_path, text):
    path = tmp_path / "my plan.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{path}: {ERRORS[text]}")):
        read(path)


def test_a_file_that_is_no_plan(tmp_path):
    with pytest.raises(InputError, match=r"no plan at .*none\.toml: write one with `tfrecall study init quick > "):
        read(tmp_path / "none.toml")
    with pytest.raises(InputError, match="no plan at"):
        read(tmp_path)
    (tmp_path / "picture.toml").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(InputError, match=r"picture\.toml is no text file: a plan is TOML, as `tfrecall study init quick`"):
        read(tmp_path / "picture.toml")


HUGE = f"0x1{'0' * 50_000}"
WILD = {
    "lists in lists": ABOUT + "level = " + "[" * 5000 + "]" * 5000,
    "tables in tables": "a = " + "{a = " * 3000 + "1" + "}" * 3000,
    "lists that no message shows": ABOUT.replace("30", "[" * 400 + "]" * 400),
    "dots": f"{'.'.join(['a'] * 200_000)} = 1",
    "dots with quotes and spaces": "[" + " . ".join(['"a"'] * 100_000) + "]",
    "more seeds than atoms": ABOUT.replace("30", "1" + "0" * 30),
    "more digits than Python reads": ABOUT.replace("30", "1" + "0" * 5000),
    "more digits than Python writes": ABOUT.replace("30", HUGE),
    "a seed of as many": ABOUT.replace("30", f"[{HUGE}]"),
    "a level of as many": f"{ABOUT}level = {HUGE}",
    "a ratio of as many": ABOUT.replace("[2,", f"[{HUGE},"),
    "epochs of as many": f"{ABOUT}[recipe]\nepochs = {HUGE}",
    "epochs": f"{ABOUT}[recipe]\nepochs = 1{'0' * 30}",
    "a rate beyond floats": f"{ABOUT}[recipe]\nlearning_rate = 1{'0' * 400}",
    "a rate that is none": f"{ABOUT}[recipe]\nlearning_rate = nan",
    "a ratio that is none": ABOUT.replace("[2,", "[nan,"),
    "a ratio beyond floats": ABOUT.replace("[2,", "[1e400,"),
    "a level beyond floats": f"{ABOUT}level = 1{'0' * 400}",
    "NUL in a data set": ABOUT.replace("digits", "./di\\u0000gits"),
    "escapes in a model": ABOUT.replace("digits", "digits").replace("datasets", 'models = ["\\u001b[31m"]\ndatasets'),
    "escapes in a key": f'{ABOUT}"a\\u001b[2J" = 1',
    "escapes in a key of the recipe": f'{ABOUT}[recipe]\n"a\\u001b[2J" = 1',
    "a line break in an algorithm": ABOUT.replace("gradient", "gradi\\nent"),
    "a bell in the scope": f'{ABOUT}scope = "\\u0007"',
    **{f"a long {name}": ABOUT.replace(name, name * 60) for name in ("digits", "magnitude", "seeds")},
    "a long recipe": f'{ABOUT}recipe = "{"r" * 300}"',
    "a very long key": f"{ABOUT}{'k' * 900_000} = 1",
    "many unknown algorithms": ABOUT.replace('"random"', ", ".join(f'"m{number}"' for number in range(50_000))),
    "many of the same seed": ABOUT.replace("30", f"[{', '.join(['7'] * 100_000)}]"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", WILD)
def test_whatever_a_file_holds_is_refused_at_once_in_one_short_line(tmp_path, name):
    path = tmp_path / "plan.toml"
    path.write_text(WILD[name])
    with pytest.raises(InputError) as refusal:
        read(path)
    line = str(refusal.value).removeprefix(f"{path}: ")
    assert len(line) < 400
    assert line.isprintable()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large", "nul", "long"])
def test_what_is_no_file_is_not_read(tmp_path, kind):
    path = {"device": "/dev/zero", "folder": tmp_path, "nul": "a\0b", "long": "n" * 300}.get(kind, tmp_path / "plan.toml")
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "large":
        with path.open("wb") as file:
            file.truncate(100_000_000)
    with pytest.raises(InputError, match=r"^(no plan at |.* is no regular file: |.* is no plan: it has 100,000,000 bytes)"):
        read(path)


@pytest.mark.timeout(60)
def test_many_seeds_are_told_apart_in_no_time():
    assert len(Plan(algorithms=("mp",), ratios=(2,), seeds=tuple(range(40_000))).cells) == 80_000


def test_a_model_file_is_no_model_of_a_study(tmp_path):
    (tmp_path / "my.keras").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"unknown model '.*my\.keras'.* A study trains its models, so it takes names alone\."
    ):
        Plan(models=(str(tmp_path / "my.keras"),))


#: another value for each thing that a cell is made of, by what it changes
BASELINE = {
    "model": "resnet20",
    "dataset": "mnist",
    "seed": 1,
    "strategy": "gpu",
    "fingerprint": "0123456789abcdef",
    "optimizer": "adam",
    "learning_rate": 0.02,
    "learning_rate_schedule": "cosine",
    "momentum": 0.8,
    "weight_decay": 1e-4,
    "initializer": "pytorch",
    "batch_size": 64,
    "epochs": 29,
    "validation_fraction": 0.2,
}
FINE_TUNING = {"fine_tune_epochs": 14, "fine_tune_learning_rate": 0.02}
PRUNING = {"ratio": 3, "algorithm": "random", "scope": "layer", "include_classifier": True}
GRADIENTS = {"score_examples": 64}
# What is for model files, which no study has
NOTHING = {"unsafe": True, "custom": ("layers:Scale",), "head": None, "preprocess": None}


class TestKeys:
    @pytest.mark.parametrize("name", ["fashion_mnist", "mnist", "fashion_mnist_decay", "fashion_mnist_pytorch"])
    def test_the_results_in_the_docs_are_found_again(self, name):
        results = Path(__file__).parents[2] / "docs" / "results"
        with (results / name / "cells.csv").open(encoding="utf-8") as file:
            stored = {row["key"] for row in csv.DictReader(file)}
        assert {cell.key for cell in read(results / f"{name}.toml").cells} == stored

    def test_all_that_a_run_consists_of_is_accounted_for(self):
        fields = {field.name for kind in (Settings, Recipe, Cell) for field in dataclasses.fields(kind)}
        known = [*BASELINE, *FINE_TUNING, *PRUNING, *GRADIENTS, *NOTHING]
        assert sorted(known) == sorted(fields - {"recipe", "settings"})

    @pytest.mark.parametrize("algorithm", criteria.CRITERIA)
    @pytest.mark.parametrize("ratio", [None, 2])
    def test_a_key_changes_with_what_determines_the_result_and_with_nothing_else(self, algorithm, ratio):
        known = {"algorithm": algorithm, "ratio": ratio}
        there = cell(**known)
        needs_data = ratio is not None and criteria.CRITERIA[algorithm].needs_data
        changes = {**BASELINE, **FINE_TUNING, **PRUNING, **GRADIENTS, **NOTHING}
        if algorithm == "random":
            changes["algorithm"] = "magnitude"
        changed = set()
        if ratio is None:
            del changes["ratio"]
        for name, value in changes.items():
            other = cell(**{**known, name: value})
            assert (other.baseline_key != there.baseline_key) == (name in BASELINE), name
            if other.key != there.key:
                changed.add(name)
        assert changed == {*BASELINE, *FINE_TUNING, *(PRUNING if ratio else ()), *(GRADIENTS if needs_data else ())}

    @settings(deadline=None)
    @given(data=st.data())
    def test_two_cells_share_a_key_exactly_if_they_are_the_same_run(self, data):
        domains = {
            "ratio": [None, 0.5, 2, 3, 2 / 3, 0.9, 10],
            "algorithm": list(criteria.CRITERIA),
            "scope": ["global", "layer"],
            "include_classifier": [False, True],
            "weight_decay": [0.0, 5e-4],
            "score_examples": [64, 128],
            "fine_tune_epochs": [1, 2],
            "epochs": [1, 2],
            "seed": [0, 1],
        }
        one = data.draw(st.fixed_dictionaries({name: st.sampled_from(values) for name, values in domains.items()}))
        names = data.draw(st.sets(st.sampled_from(sorted(domains)), max_size=3))
        other = one | {name: data.draw(st.sampled_from(domains[name])) for name in sorted(names)}

        def same_run(values):
            baseline = values["weight_decay"], values["epochs"], values["seed"]
            if values["ratio"] is None:
                return baseline, values["fine_tune_epochs"]
            removed = round(values["ratio"] if values["ratio"] < 1 else 1 - 1 / values["ratio"], 12)
            deducts = "undecayed" in values["algorithm"] and values["weight_decay"] == 0
            algorithm = "gradient" if deducts else values["algorithm"]
            examples = values["score_examples"] if "decayed" in algorithm or algorithm == "gradient" else None
            return (
                baseline,
                values["fine_tune_epochs"],
                removed,
                algorithm,
                values["scope"],
                values["include_classifier"],
                examples,
            )

        assert (cell(**one).key == cell(**other).key) == (same_run(one) == same_run(other))
        assert (cell(**one).baseline_key == cell(**other).baseline_key) == (same_run(one)[0] == same_run(other)[0])

    def test_gradient_and_undecayed_pruning_are_one_without_weight_decay_and_part_with_it(self):
        names = ("gradient", "undecayed", "undecayed-sum")
        assert len({cell(algorithm=name).key for name in names}) == 1
        assert len({cell(algorithm=name, weight_decay=5e-4).key for name in names}) == 3
        assert len({cell(algorithm=name, ratio=None, weight_decay=5e-4).key for name in names}) == 1

    def test_they_are_the_same_wherever_they_are_computed(self):
        """Results of earlier versions would be lost, or mistaken, if these changed: raise cell._FORMAT if they must."""
        control, pruned = Plan(algorithms=("up",), ratios=(2,), seeds=(0,)).cells
        expected = [control.baseline_key, control.key, pruned.key]
        assert expected == PINNED
        script = (
            "from tfrecall.study.plan import Plan\n"
            "control, pruned = Plan(algorithms=('undecayed',), ratios=(0.5,), seeds=(0,)).cells\n"
            "print(control.baseline_key, control.key, pruned.key)"
        )
        environment = {**os.environ, "PYTHONHASHSEED": "12345"}
        found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=100)
        assert found.stdout.split() == expected, found.stderr

    def test_a_key_is_the_name_of_a_folder(self):
        one = cell()
        assert re.fullmatch("cells/[0-9a-f]{16}", one.key)
        assert re.fullmatch("baselines/[0-9a-f]{16}", one.baseline_key)

    @pytest.mark.parametrize("decay", [0.0, 5e-4])
    def test_without_a_decay_undecayed_and_gradient_pruning_do_remove_the_same_weights(self, decay):
        """The claim that lets them share a folder, on a trained model."""
        import tf_keras

        x, y = small_digits()
        x = x[..., None]
        model = small_classifier((8, 8, 1), [24], 10)
        if decay:
            for layer in model.layers:
                if hasattr(layer, "kernel"):
                    layer.kernel_regularizer = tf_keras.regularizers.L2(decay / 2)
            model = tf_keras.models.clone_model(model)
            model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
        model.fit(x[:500], y[:500], epochs=4, verbose=0)
        scores = {name: criteria.get(name).scores(model, (x[:200], y[:200])) for name in criteria.CRITERIA}
        k = sum(array.size for array in scores["gradient"].values()) // 2
        for scope in sparsity.SCOPES:
            masks = {name: sparsity.select(found, k, scope) for name, found in scores.items()}
            for name in ("undecayed", "undecayed-sum"):
                same = all(np.array_equal(masks[name][path], kept) for path, kept in masks["gradient"].items())
                assert same == (decay == 0), (name, scope)
            assert not all(np.array_equal(masks["magnitude"][path], kept) for path, kept in masks["gradient"].items())


# the baseline, the control arm, and undecayed pruning to a half, with the first seed of the default plan
PINNED = ["baselines/f33d07173f05b7ab", "cells/28094ae1e1448cc9", "cells/d24843c2696af225"]


class TestFingerprint:
    def test_a_name_has_none(self):
        assert fingerprint("digits") == fingerprint("mnist") == fingerprint("no/such/folder") == fingerprint("no.npz") == ""

    def test_it_is_the_files_content_and_not_their_time(self, tmp_path):
        path = tmp_path / "set.npz"
        path.write_bytes(b"one")
        before = fingerprint(str(path))
        assert re.fullmatch("[0-9a-f]{16}", before)
        os.utime(path, (1, 1))
        assert fingerprint(str(path)) == before
        path.write_bytes(b"two")
        assert fingerprint(str(path)) != before

    def test_of_a_folder_it_is_every_files_name_and_content(self, tmp_path):
        folder = tmp_path / "pictures"
        for name in ("ant/1.png", "bee/1.png", "bee/0.png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(name.encode())
        seen = [fingerprint(str(folder))]
        (folder / "bee" / "1.png").write_bytes(b"another picture")
        seen.append(fingerprint(str(folder)))
        (folder / "bee" / "1.png").rename(folder / "ant" / "2.png")
        seen.append(fingerprint(str(folder)))
        (folder / "ant" / "2.png").unlink()
        seen.append(fingerprint(str(folder)))
        assert "" not in seen
        assert len(set(seen)) == 4
        (folder / "ant" / "2.png").write_bytes(b"another picture")
        assert fingerprint(str(folder)) == seen[2]

    def test_a_large_file_is_not_read_at_once(self, tmp_path):
        (tmp_path / "large.npz").write_bytes(bytes(3 * 2**20 + 5))
        (tmp_path / "other.npz").write_bytes(bytes(3 * 2**20 + 4))
        assert fingerprint(str(tmp_path / "large.npz")) != fingerprint(str(tmp_path / "other.npz"))

    def test_other_images_are_other_cells(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = tmp_path / "set.npz"
        path.write_bytes(b"one")
        before = Plan(datasets=("./set.npz",), seeds=(0,)).cells
        path.write_bytes(b"two")
        after = Plan(datasets=("./set.npz",), seeds=(0,)).cells
        for one, other in zip(before, after):
            assert one.baseline_key != other.baseline_key
            assert one.key != other.key
        path.write_bytes(b"one")
        assert Plan(datasets=("./set.npz",), seeds=(0,)).cells == before

    @pytest.mark.parametrize("name", ["digits", "mnist", "emnist/balanced", "mnist:3.0.1", "colorectal_histology"])
    def test_a_folder_called_like_a_set_does_not_count(self, tmp_path, monkeypatch, name):
        """As in loading the data; else a study written to a folder of its data set's name would lose its own cells."""
        monkeypatch.chdir(tmp_path)
        before = Plan(datasets=(name,), seeds=(0,)).cells[0].key
        for file in ("study.json", "ant/1.png", "bee/1.png"):
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text("{}")
        assert Plan(datasets=(name,), seeds=(0,)).cells[0].key == before
        assert fingerprint(f"./{name}") != ""
        assert plan.fingerprint(str(tmp_path / name)) != ""
