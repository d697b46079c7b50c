"""The tables for people: each number in its place, each symbol as its interval, the same rows in Markdown and page."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import pytest
from study.synthetic import HOSTILE, PLAN, study

from tfrecall.report.page import Cell
from tfrecall.study import tables
from tfrecall.study.analysis import analyse
from tfrecall.study.frames import frames
from tfrecall.study.plan import Plan


def made(folder, plan, **options):
    analysis = analyse(*frames(study(folder / "study", plan, **options), plan))
    shown = [*tables.slopes(analysis), *tables.tests(analysis), *tables.accuracies(analysis), *tables.classes(analysis)]
    return SimpleNamespace(analysis=analysis, all=shown)


def holes(cell):
    settings = cell.settings
    missing = {("magnitude", 10): (0, 1, 2), ("random", 10): (1, 2), ("random", 2): (0,)}.get(
        (settings.algorithm, settings.ratio), ()
    )
    return settings.dataset == "mnist" or settings.seed not in missing


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return made(tmp_path_factory.mktemp("tables"), PLAN)


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    return made(tmp_path_factory.mktemp("tables"), PLAN, done=holes, recalls=[0.95, math.nan, 0.7, 0.6])


@pytest.fixture(params=["whole", "partial"])
def found(request):
    return request.getfixturevalue(request.param)


def number(text):
    """The number that a cell begins with."""
    return float(re.match(r"[<+−-]*([\d.]+)", text)[1]) * (-1 if text.startswith("−") else 1)


def ends(text):
    bracket = re.search(r"\[(.*), (.*)\]", text)
    return None if bracket is None else tuple(number(end) for end in bracket.groups())


def text(cell):
    return cell.text if isinstance(cell, Cell) else str(cell)


def unescaped(cell):
    return cell.replace("&lt;", "<").replace("\\|", "|").replace("\\\\", "\\")


def estimates(found, place):
    order = ["control", *found.analysis.algorithms]
    here = [e for at, e in found.analysis.estimates.items() if (at.dataset, at.model) == place]
    return sorted(here, key=lambda e: (order.index(e.combination.algorithm), e.combination.ratio))


def test_slopes_say_what_the_estimates_say(found):
    shown = tables.slopes(found.analysis)
    assert [table.title for table in shown] == ["Slope α on mnist, lenet5", "Slope α on fashion_mnist, lenet5"]
    for table, place in zip(shown, found.analysis.settings()):
        assert len(table.rows) == len(estimates(found, place))
        for row, estimate in zip(table.rows, estimates(found, place)):
            name, ratio, seeds, alpha, corrected, less, corrected_less, pooled, squared, accuracy, alone = row
            at = estimate.combination
            assert (name, ratio.text, ratio.value, seeds) == (at.algorithm, f"{at.ratio:g}", at.ratio, estimate.seeds)
            for cell, interval in ((alpha, estimate.alpha), (corrected, estimate.corrected_interval)):
                assert_interval(cell, interval)
            for cell, compared in ((less, estimate.control), (corrected_less, estimate.control_corrected)):
                assert_difference(cell, compared)
            for cell, value in (
                (pooled, estimate.pooled.alpha),
                (squared, estimate.pooled.r_squared),
                (accuracy, estimate.accuracy.mean),
            ):
                assert number(cell.text) == pytest.approx(value, abs=6e-4)
                assert cell.value == value
            assert alone.text == f"{estimate.identifiable} of {estimate.seeds}"
            assert alone.value == estimate.identifiable / estimate.seeds


def assert_interval(cell, interval):
    """The mean, its interval, and the symbol that follows from the interval as it is shown or one digit further."""
    if interval.mean is None:
        assert cell == Cell("—")
        return
    assert cell.value == interval.mean
    assert number(cell.text) == pytest.approx(interval.mean, abs=6e-4)
    shown = ends(cell.text)
    assert (shown is None) == (interval.low is None)
    if shown:
        assert shown == pytest.approx((interval.low, interval.high), abs=6e-4)
    symbol = "?" if interval.low is None else "<" if interval.high < 1 else ">" if interval.low > 1 else "?"
    assert cell.text.endswith(f" {symbol}")


def assert_difference(cell, compared):
    if compared is None or compared.difference is None:
        assert cell == Cell("—")
        return
    assert cell.value == compared.difference
    assert cell.text[0] in "+−"
    assert number(cell.text) == pytest.approx(compared.difference, abs=6e-4)
    shown = ends(cell.text)
    assert (shown is None) == (compared.low is None)
    if shown:
        assert shown == pytest.approx((compared.low, compared.high), abs=6e-4)


def test_tests_say_what_the_families_say(found):
    shown = tables.tests(found.analysis)
    assert [table.title for table in shown] == [family.name for family in found.analysis.families]
    for table, family in zip(shown, found.analysis.families):
        assert family.hypothesis in table.note
        expected = [
            (column.label, raw, corrected)
            for column in family.columns
            for raw, corrected in zip(column.raw, column.corrected)
        ]
        assert len(table.rows) == len(expected)
        for row, (label, raw, corrected) in zip(table.rows, expected):
            assert row[0] == label
            for cell, end in zip(row[1:3], (raw.first, raw.second)):
                assert text(cell) == (end if isinstance(end, str) else f"t = {end:g}")
            for cells, test in ((row[3:8], raw), (row[8:13], corrected)):
                assert_difference(cells[0], test.comparison)
                for cell, p in zip(cells[1:4], (test.comparison.p, test.bonferroni, test.holm)):
                    assert cell.value == p
                    assert cell.text == ("—" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}")
                assert cells[4].value == test.comparison.effect
        for note in {test.comparison.note for _, *both in expected for test in both} - {None}:
            assert f": {note}." in table.note


def test_accuracies_say_what_the_estimates_say(found):
    for table, (dataset, model) in zip(tables.accuracies(found.analysis), found.analysis.settings()):
        assert table.title == f"Mean accuracy on {dataset}, {model}"
        assert [row[0] for row in table.rows] == list(PLAN.algorithms)
        for name, before, *after in table.rows:
            arms = [("control", 1.0), (name, 2.0), (name, 10.0)]
            expected = [found.analysis.estimate(dataset, model, *arm) for arm in arms]
            assert before.value == expected[0].before.mean  # all seeds of the control arm are done
            assert [cell.value for cell in after] == [estimate and estimate.accuracy.mean for estimate in expected]
            assert [cell.text for cell in after] == [f"{e.accuracy.mean:.4f}" if e else "—" for e in expected]


def test_classes_say_what_the_changes_say_the_hardest_hit_first(found):
    changes = {(change.combination, change.name): change for change in found.analysis.classes}
    seen = 0
    for table, (dataset, model) in zip(tables.classes(found.analysis), found.analysis.settings()):
        worst = [min(cell.value for cell in row[4:] if cell.value is not None) for row in table.rows]
        assert worst == sorted(worst)
        for name, algorithm, before, control, *after in table.rows:
            for cell, arm in zip((control, *after), (("control", 1.0), (algorithm, 2.0), (algorithm, 10.0))):
                estimate = found.analysis.estimate(dataset, model, *arm)
                if estimate is None:
                    assert cell == Cell("—")
                    continue
                change = changes[estimate.combination, name]
                seen += 1
                assert cell.value == change.change.mean
                assert number(cell.text) == pytest.approx(change.change.mean, abs=6e-4)
                compared = change.control
                if compared is None:
                    assert cell.text[-1].isdigit()
                else:
                    lies = "?" if compared.low is None else "<" if compared.high < 0 else ">" if compared.low > 0 else "?"
                    assert cell.text.endswith(f" {lies}")
            assert before.text == f"{before.value:.3f}"
    control = sum(change.combination.control for change in found.analysis.classes)
    assert seen == len(changes) + control * (len(found.analysis.algorithms) - 1)


def test_markdown_has_the_same_rows_and_is_well_formed(found):
    for table in found.all:
        lines = tables.markdown(table)
        assert lines[0] == f"### {table.title}"
        grid = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
        assert {len(row) for row in grid} == {len(table.header)}
        assert [cell.strip() for cell in grid[0]] == list(table.header)
        assert all(re.fullmatch("-{3,}:?", cell.strip()) for cell in grid[1])
        cells = [[unescaped(cell.strip()) for cell in row] for row in grid[2:]]
        assert cells == [[text(cell) for cell in row] for row in table.rows]
        assert not any("\n" in line for line in lines)


def test_no_table_is_empty_or_says_nan(found):
    for table in found.all:
        assert table.rows
        words = [table.title, table.note, *(text(cell) for row in table.rows for cell in row)]
        assert not [word for word in words if re.search(r"\bnan\b|None|\binf\b", word)]
        assert all(word.strip() for word in words)


def test_a_column_of_numbers_is_sorted_as_numbers(whole):
    numeric = {name for table in whole.all for name, is_number in zip(table.header, table.numeric) if is_number}
    assert {"t", "seeds", "α", "corrected α", "p", "Holm", "before", "control", "t = 2", "recall before"} <= numeric
    assert not numeric & {"algorithm", "within", "class"}


def test_runs_that_are_the_same_are_said_to_be(tmp_path):
    plan = Plan(algorithms=("gradient", "undecayed", "random"), ratios=(2, 10), seeds=(0, 1, 2), recipe="paper")
    found = made(tmp_path, plan, slopes={"gradient": (1.2, 1.5), "random": (1.2, 1.5)})
    assert found.all[0].note.endswith(
        "gradient at 2, gradient at 10: the same runs as undecayed, whose scores do not differ here."
    )
    table = next(table for table in found.all if table.title == "Algorithms")
    assert {tuple(row[1:3]) for row in table.rows} == {("gradient", "random")}


def test_one_seed_says_everywhere_why(tmp_path):
    found = made(tmp_path, Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(0,)))
    slopes, *tests = found.all[:3]
    assert "Everywhere: α: one seed: an interval needs at least two." in slopes.note
    assert "Everywhere: corrected α: not identifiable: one seed does not show how far the signal varies" in slopes.note
    assert all("Everywhere: " in table.note for table in tests)
    assert all("[" not in row[3].text and row[3].text.endswith(" ?") for row in slopes.rows)


def test_many_remarks_are_cut_short(tmp_path):
    plan = Plan(algorithms=("magnitude", "random"), ratios=tuple(range(2, 14)), seeds=(0, 1))

    def done(cell):
        return cell.settings.algorithm != "magnitude" or cell.settings.seed == 0

    found = made(tmp_path, plan, slopes=dict.fromkeys(plan.algorithms, (1.2,) * 12), done=done)
    assert re.search(r" magnitude at 2, .*, magnitude at 9 and 4 more: α: one seed", found.all[0].note)


def test_hostile_names_break_no_markdown(tmp_path):
    plan = Plan(datasets=("a|b <b> *c* [d](e) `f`\n.npz",), algorithms=("magnitude",), ratios=(2, 10), seeds=(0, 1))
    found = made(tmp_path, plan, names=HOSTILE)
    for table in found.all:
        lines = tables.markdown(table)
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")} == {len(table.header) + 1}
        assert not any("\n" in line for line in lines)
        assert "<" not in "".join(lines)
    lines = tables.markdown(found.all[0])
    assert lines[0] == r"### Slope α on a|b &lt;b> \*c\* [d]\(e) \`f\` .npz, lenet5"
    classes = "\n".join(tables.markdown(found.all[-1]))
    assert "| line break \\| \\$x^\\$ \\\\ |" in classes
    assert "| &lt;script>alert(1)&lt;/script> |" in classes


def test_a_control_arm_alone_has_a_table(tmp_path):
    found = made(tmp_path, PLAN, done=lambda cell: cell.control)
    assert [len(table.rows) for table in tables.slopes(found.analysis)] == [1, 1]
    assert tables.tests(found.analysis) == []
    for table in found.all:
        tables.markdown(table)
