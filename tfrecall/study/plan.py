"""What a study is to consist of, read from TOML. Importing this loads no TensorFlow."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

from tfrecall import criteria, models, training
from tfrecall.errors import InputError, unknown
from tfrecall.settings import Settings
from tfrecall.study.cell import Cell, fingerprint, removed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: plans that come with tfrecall
PRESETS = ("quick", "lenet5", "algorithms", "sizes-mp", "sizes-up", "datasets")
_MOST = 100_000  # cells of a plan
_LARGEST = 2**20  # bytes of a plan: the presets have two thousand
_LONGEST = 80  # characters of a value in a message
_DOTTED, _DEEPEST = re.compile(r"""[\w"'. \t-]+"""), 64
_TOO_DEEP = "not a plan: its tables or lists lie too deep within one another."
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # characters that Linux lets a file's name and its path have
_HUGE = 1e100  # no value of a recipe is larger
STRATEGIES = tuple(name for name in training.STRATEGIES if name != "auto")  # its results depend on the machine


@dataclass(frozen=True)
class Plan:
    """A study: every combination of its lists, with a control arm for each trained model.

    Attributes
    ----------
    datasets : tuple of str
        As `tfrecall.datasets.load` takes them, the easier before the harder.
    models : tuple of str
        Names of `tfrecall.models.ARCHITECTURES`.
    algorithms : tuple of str
        Full or short names of criteria.
    ratios : tuple of float
        In ascending order of what they remove.
    seeds : tuple of int
    recipe : str
        ``"default"`` or ``"paper"``.
    overrides : tuple of (str, value)
        Fields of `tfrecall.training.Recipe` that replace the recipe's.
    scope : {"global", "layer"}
    include_classifier : bool
        Whether the classifier may be pruned.
    strategy : {"cpu", "gpu", "mirrored"}
        As `tfrecall.training.strategy` takes it, but for ``"auto"``: another machine must not mean another result.
    level : float
        Confidence level of the study's intervals, in (0, 1).
    fingerprints : tuple of (str, str)
        Of each data set's files, where it is not a name; made from the files unless given. A study remembers them, so that
        its results are found again when the files are not there any more.

    Raises
    ------
    InputError
        If a list is empty or repeats itself, a name is unknown, or a value out of range.
    """

    datasets: tuple[str, ...] = ("digits",)
    models: tuple[str, ...] = ("lenet5",)
    algorithms: tuple[str, ...] = ("magnitude", "gradient", "undecayed", "random")
    ratios: tuple[float, ...] = (2, 4, 10, 20, 50)
    seeds: tuple[int, ...] = tuple(range(30))
    recipe: str = "default"
    overrides: tuple[tuple[str, object], ...] = ()
    scope: str = "global"
    include_classifier: bool = False
    strategy: str = "cpu"
    level: float = 0.99
    fingerprints: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        for name in self.models:
            if name not in models.ARCHITECTURES:
                raise unknown("model", name, models.ARCHITECTURES, "A study trains its models, so it takes names alone.")
        object.__setattr__(self, "algorithms", tuple(map(criteria.canonical, self.algorithms)))
        # As a file gives them, so that the plan that a worker gets as JSON has the same keys.
        object.__setattr__(self, "overrides", _checked_recipe(dict(self.overrides))["overrides"])
        for name in ("datasets", "models", "algorithms", "seeds"):
            _require_distinct(name, getattr(self, name), getattr(self, name))
        sparsities = list(map(removed, self.ratios))
        _require_distinct("ratios", self.ratios, sparsities)
        if sparsities != sorted(sparsities):
            raise InputError(f"ratios must go from the smallest to the largest; got {', '.join(map(str, self.ratios))}.")
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES)
        overrides = dict(self.overrides)
        if "momentum" in overrides and training.recipe(self.recipe, self.models[0], **overrides).optimizer != "sgd":
            raise InputError("recipe.momentum is for sgd; the other optimizers have their own.")
        if not 0 < self.level < 1:
            raise InputError(f"level must lie between 0 and 1, such as 0.99; got {_short(self.level)}.")
        cells = len(self.seeds) * len(self.datasets) * len(self.models) * (1 + len(self.algorithms) * len(self.ratios))
        if cells > _MOST:
            raise InputError(f"the plan has {cells:,} cells, more than {_MOST:,}: name fewer seeds or combinations.")
        known = dict(self.fingerprints)
        fingerprints = ((name, known[name] if name in known else fingerprint(name)) for name in self.datasets)
        object.__setattr__(self, "fingerprints", tuple(fingerprints))  # last: it reads all of the data
        self.cells  # noqa: B018  what is wrong in a cell is an error before anything runs

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, seed by seed, so that a study that is stopped has whole seeds."""
        fingerprints = dict(self.fingerprints)
        found = []
        for seed in self.seeds:
            for dataset in self.datasets:
                for model in self.models:
                    common = Settings(
                        model=model,
                        dataset=dataset,
                        ratio=None,
                        scope=self.scope,
                        include_classifier=self.include_classifier,
                        seed=seed,
                        recipe=training.recipe(self.recipe, model, **dict(self.overrides)),
                        strategy=self.strategy,
                    )
                    arms = [(ratio, algorithm) for ratio in self.ratios for algorithm in self.algorithms]
                    pruned = (dataclasses.replace(common, ratio=r, algorithm=a) for r, a in arms)
                    found += [Cell(settings, fingerprints[dataset]) for settings in (common, *pruned)]
        return tuple(found)


def read(path: str | os.PathLike) -> Plan:
    """Read a plan from a TOML file.

    Raises
    ------
    InputError
        If the file cannot be read, a key is unknown, or a value is impossible; the message names the file.
    """
    shown = path if len(str(path)) <= _LONGEST_NAME else _short(str(path))
    try:
        _require_text_file(Path(path))
        text = Path(path).read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text file: a plan is TOML, as `tfrecall study init quick` prints it.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"no plan at {shown}: write one with `tfrecall study init quick > {shown}`.") from error
    try:
        return parse(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse(text: str) -> Plan:
    """Return the plan that a TOML text describes; see `read`."""
    # The parser takes hours for what lies deep in one another by dots.
    if any(sum(map(bool, map(str.strip, part.split(".")))) > _DEEPEST for part in _DOTTED.findall(text)):
        raise InputError(_TOO_DEEP)
    try:
        content = tomllib.loads(text)
    except ValueError as error:
        raise InputError(f"not TOML: {_short(error)}.") from error
    except RecursionError as error:
        raise InputError(_TOO_DEEP) from error
    if "fingerprints" in content:
        raise unknown("key", "fingerprints", _KEYS)
    plan = from_dict(content)  # what is wrong with what is there comes first
    missing = [key for key in _NEEDED if key not in content]
    if missing:
        lacking = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        raise InputError(f"the plan lacks {lacking}: `tfrecall study init quick` prints one that has all keys.")
    return plan


def from_dict(content: Mapping) -> Plan:
    """Return the plan that a dictionary in the form of its TOML describes, or one from `to_dict`; see `read`."""
    if not isinstance(content, Mapping):
        raise InputError(f"a plan must be a table of keys and values; got {_short(content)}.")
    values = {}
    for key, value in content.items():
        if key == "fingerprints":
            values[key] = _checked_fingerprints(value)
        elif key in _KEYS:
            values[key] = _checked(key, value)
        else:
            raise unknown("key", _short(key)[1:-1], _KEYS)
    try:
        return Plan(**values.pop("recipe", {}), **values)
    except OverflowError as error:
        raise InputError("the plan holds a number that is out of range.") from error


def to_dict(plan: Plan) -> dict:
    """Return a plan as a dictionary in the form of its TOML, with all values and the fingerprints written out."""
    content = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(plan).items()}
    recipe = {"name": plan.recipe, **dict(content.pop("overrides"))}
    return content | {"recipe": recipe, "fingerprints": dict(plan.fingerprints)}


def preset(name: str) -> str:
    """Return the commented TOML text of a plan that comes with tfrecall."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return resources.files("tfrecall.study").joinpath("presets", f"{name}.toml").read_text(encoding="utf-8")


def _checked(key: str, value):
    """Return a key's value in the type that a plan has, or raise InputError."""
    if key in ("datasets", "models", "algorithms"):
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise InputError(f'{key} must be a list of names, such as ["{getattr(Plan, key)[0]}"]; got {_short(value)}.')
        for name in value:
            _require_name(key, name)
        return tuple(value)
    if key == "ratios":
        if not (isinstance(value, list) and all(_is_number(item) for item in value)):
            raise InputError(f"ratios must be a list of numbers, such as [2, 10]; got {_short(value)}.")
        return tuple(value)
    if key == "seeds":
        if _is_whole(value):
            if not 1 <= value <= _MOST:
                raise InputError(f"seeds must be at least 1, and at most {_MOST:,}; got {_short(value)}.")
            return tuple(range(value))
        if not (isinstance(value, list) and all(map(_is_whole, value))):
            raise InputError(f"seeds must be how many there are, such as 10, or a list of them; got {_short(value)}.")
        for seed in value:
            if not 0 <= seed < 2**31:
                raise InputError(f"seed must be a whole number between 0 and {2**31 - 1}; got {_short(seed)}.")
        return tuple(value)
    if key == "recipe":
        return _checked_recipe(value)
    wanted = {"include_classifier": bool, "level": float}.get(key, str)
    if not (isinstance(value, wanted) or (wanted is float and _is_number(value))):
        raise InputError(f"{key} must be {_KINDS[wanted]}; got {_short(value)}.")
    if wanted is str:
        _require_name(key, value)
    return value


# What a study is about is said, not guessed: a default would be days of work.
_NEEDED = ("datasets", "models", "algorithms", "ratios", "seeds")
_KEYS = [field.name for field in dataclasses.fields(Plan) if field.name not in ("overrides", "fingerprints")]
_KINDS = {bool: "true or false", float: "a number", str: "text in quotation marks", int: "a whole number"}


def _checked_fingerprints(value) -> tuple[tuple[str, str], ...]:
    if not (isinstance(value, Mapping) and all(isinstance(item, str) for pair in value.items() for item in pair)):
        raise InputError(f"fingerprints must be a table of data sets and their hashes; got {_short(value)}.")
    return tuple(value.items())


def _checked_recipe(value) -> dict:
    if isinstance(value, str):
        _require_name("recipe", value)
        return {"recipe": value}
    if not isinstance(value, dict):
        raise InputError(f'recipe must be a name or a table, such as [recipe] with name = "paper"; got {_short(value)}.')
    fields = {field.name: field for field in dataclasses.fields(training.Recipe)}
    overrides = []
    for key, item in value.items():
        if key == "name":
            if not isinstance(item, str):
                raise InputError(f"recipe.name must be text in quotation marks; got {_short(item)}.")
            _require_name("recipe.name", item)
            continue
        if key not in fields:
            raise unknown("key in [recipe]", _short(key)[1:-1], ["name", *fields])
        wanted = type(fields[key].default)
        if not (_is_number(item) if wanted is float else _is_whole(item) if wanted is int else isinstance(item, wanted)):
            raise InputError(f"recipe.{key} must be {_KINDS[wanted]}; got {_short(item)}.")
        if wanted is str:
            _require_name(f"recipe.{key}", item)
        elif not abs(item) < (_HUGE if wanted is float else 2**31):
            raise InputError(f"recipe.{key} is out of range; got {_short(item)}.")
        overrides.append((key, float(item) if wanted is float else item))
    return {"recipe": value.get("name", Plan.recipe), "overrides": tuple(sorted(overrides))}


def _require_distinct(name: str, given: tuple, meant) -> None:
    if not given:
        raise InputError(f"{name} is empty: a study needs at least one.")
    seen = set()
    for value, item in zip(given, meant):
        if item in seen:
            raise InputError(f"{name} names the same twice: {_short(value) if not isinstance(value, str) else value}.")
        seen.add(item)


def _require_text_file(path: Path) -> None:
    """Raise InputError for what reading might never end, or end with a full memory."""
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise InputError(f"{path} is no regular file: write the plan to a file.")
    if status.st_size > _LARGEST:
        raise InputError(f"{path} is no plan: it has {status.st_size:,} bytes, and a plan has at most {_LARGEST:,}.")


def _require_name(key: str, name: str) -> None:
    """Raise InputError for text that is the name of nothing, and that no message could show."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise InputError(f"{key} holds a control character in a name: {_short(name)}.")
    if len(name) > _LONGEST_PATH or max(map(len, name.split(os.sep))) > _LONGEST_NAME:
        raise InputError(f"{key} holds a name of {len(name):,} characters, longer than any file's: {_short(name)}.")


def _short(value) -> str:
    """Return a value as it stands in a message: on one line, and not longer than is of use."""
    try:
        text = str(value) if isinstance(value, Exception) else repr(value)
    except (ValueError, RecursionError):
        return "what is too large to be shown"  # a whole number of thousands of digits, or lists within lists
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
