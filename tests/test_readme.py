"""The README's Python runs as it stands, and what it says of files and commands is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_in_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 4
    assert len([line for line in blocks[0].splitlines() if line]) == 10
    names = {}
    exec(blocks[0], names)
    exec(blocks[1], names)
    printed = capsys.readouterr().out
    assert "slope α" in printed
    assert (tmp_path / "saved_model" / "saved_model.pb").is_file()
    zeros = sum(int((weight.numpy() == 0).sum()) for weight in names["final"].trainable_weights if weight.shape.rank > 1)
    assert zeros == round(0.9 * 61_706)
    exec(blocks[2], names)
    from tfrecall.pruning import tfmot

    kept = tfmot.masks(names["prepared"])
    assert sum(int((~mask).sum()) for mask in kept.values()) == round(0.9 * 61_706)
    exec(blocks[3], names)
    total = names["model"].count_params()
    assert (names["model"].get_layer("hidden").kernel.numpy() == 0).sum() == pytest.approx(0.8 * total, abs=1)


def test_the_files_it_links_to_are_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_its_commands_are_the_command_lines():
    from tfrecall.cli import COMMANDS

    table = README[README.index("## Commands") : README.index("## In a script")]
    for command in COMMANDS:
        assert re.search(rf"`(tfrecall )?{command}\b", table), command
