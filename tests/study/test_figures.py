"""The figures: what is drawn is what the numbers are, and words and files say the same."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from study.synthetic import HOSTILE, NAMES, PLAN, study

from tfrecall.study import figures, plots
from tfrecall.study.analysis import analyse
from tfrecall.study.frames import frames
from tfrecall.study.plan import Plan

RAW, CORRECTED = "#0072b2", "#d55e00"
ARMS = [("control", 1.0), ("magnitude", 2.0), ("magnitude", 10.0)]


def made(folder, plan=PLAN, **options):
    cells, classes = frames(study(folder / "study", plan, **options), plan)
    analysis = analyse(cells, classes)
    return SimpleNamespace(analysis=analysis, classes=classes, pictures=figures.pictures(analysis, classes))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return made(tmp_path_factory.mktemp("figures"))


def picture(found, name):
    return next(picture for picture in found.pictures if picture.name == name)


def drawn(drawing, size=(4.2, 3.2)):
    """The axes of a panel, its layout done."""
    axes = Figure(figsize=size, layout="constrained").add_subplot()
    drawing.draw(axes)
    axes.figure.draw_without_rendering()
    return axes


def of_magnitude(found, name):
    """The panel of magnitude pruning on MNIST, and its estimates from the control arm on."""
    drawing = next(d for d in picture(found, name).drawings if d.title.startswith("magnitude (mnist"))
    return drawing, [found.analysis.estimate("mnist", "lenet5", *arm) for arm in ARMS]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def overlapping(axes):
    """Pairs of tick labels that lie on each other."""
    found = []
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        found += [(a, b) for a, b in itertools.pairwise(boxes) if a.overlaps(b)]
    return found


def test_there_is_every_figure_with_every_panel(found):
    panels = {picture.name: [drawing.title for drawing in picture.drawings] for picture in found.pictures}
    algorithms = [
        f"{name} ({dataset}, lenet5)" for dataset in ("mnist", "fashion_mnist") for name in ("magnitude", "random")
    ]
    arms = ["control", *(f"{name}, t = {ratio}" for name in ("magnitude", "random") for ratio in (2, 10))]
    assert panels == {
        "alpha_by_ratio": algorithms,
        "scatter_mnist_lenet5": arms,
        "scatter_fashion_mnist_lenet5": arms,
        "intervals": algorithms,
        "trade_off": ["mnist, lenet5", "fashion_mnist, lenet5"],
        "classes": algorithms,
    }


def test_boxes_have_the_seeds_medians_symbols_and_corrected_slopes(found):
    drawing, estimates = of_magnitude(found, "alpha_by_ratio")
    axes = drawn(drawing)
    medians = [line.get_ydata()[0] for line in axes.lines if to_hex(line.get_color()) == RAW]
    assert medians == pytest.approx([np.median(estimate.alphas) for estimate in estimates])
    (diamonds,) = axes.collections
    assert to_hex(diamonds.get_facecolor()[0]) == CORRECTED
    expected = [(place, estimate.corrected.alpha) for place, estimate in enumerate(estimates)]
    np.testing.assert_allclose(diamonds.get_offsets(), expected)
    assert texts(axes) == [estimate.alpha.symbol for estimate in estimates]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "10"]
    assert axes.lines[0].get_ydata() == [1, 1]
    assert axes.get_xlabel() == "ratio t (parameters before / after)"
    assert axes.get_ylabel() == "slope α"


def test_scatters_have_every_class_of_every_seed_and_the_pooled_slope(found):
    for drawing, (algorithm, ratio) in zip(picture(found, "scatter_mnist_lenet5").drawings, ARMS):
        rows = found.classes.query("dataset == 'mnist' and algorithm == @algorithm and ratio == @ratio")
        estimate = found.analysis.estimate("mnist", "lenet5", algorithm, ratio)
        axes = drawn(drawing, (2.2, 2.2))
        (points,) = axes.collections
        assert len(rows) == 3 * len(NAMES)
        np.testing.assert_allclose(points.get_offsets(), rows[["normalized_before", "normalized_after"]])
        (line,) = (line for line in axes.lines if to_hex(line.get_color()) == CORRECTED)
        x, y = line.get_data()
        assert (y[1] - y[0]) / (x[1] - x[0]) == pytest.approx(estimate.pooled.alpha)
        assert y[0] + y[1] == pytest.approx(0)
        pooled = estimate.pooled
        assert texts(axes) == [f"α̂ = {pooled.alpha:.3f}\nr² = {pooled.r_squared:.3f}\nĀ = {estimate.accuracy.mean:.3f}"]
        low, high = axes.get_xlim()
        assert low < rows["normalized_before"].min() < rows["normalized_before"].max() < high
        low, high = axes.get_ylim()
        assert low < rows["normalized_after"].min() < rows["normalized_after"].max() < high


def test_words_stand_where_the_line_does_not_go(tmp_path):
    found = made(tmp_path, Plan(algorithms=("random",), ratios=(10,), seeds=(0, 1)), slopes={"random": (-1,)})
    control, negative = (drawn(drawing, (2.2, 2.2)) for drawing in picture(found, "scatter_digits_lenet5").drawings)
    assert control.texts[0].xy in [(0, 1), (1, 0)]
    assert negative.texts[0].xy in [(1, 1), (0, 0)]


@pytest.mark.parametrize("alpha", [1.5, -1.5])
@pytest.mark.parametrize("above", [True, False])
def test_words_stand_where_there_are_no_points(found, alpha, above):
    """As where models collapsed and name one class: all but a few points at −1, the others far above, or the reverse."""
    estimate = found.analysis.estimate("mnist", "lenet5", "magnitude", 2.0)
    estimate = replace(estimate, pooled=replace(estimate.pooled, alpha=alpha))
    x, y = np.linspace(-0.25, 0.25, 40), np.full(40, -1.0)
    y[[5, 18, 22, 35]] = 9
    y = y if above else -y
    axes = drawn(SimpleNamespace(draw=partial(plots.points, x=x, y=y, estimate=estimate, reach=0.3)), (2.2, 2.2))
    (words,) = axes.texts
    assert words.xy == ((alpha > 0) == above, not above)
    box = words.get_window_extent()
    assert not any(box.contains(*point) for point in axes.transData.transform(np.stack([x, y], axis=-1)))


def test_intervals_are_drawn_from_end_to_end(found):
    drawing, estimates = of_magnitude(found, "intervals")
    axes = drawn(drawing)
    bars = {
        colour: [line.get_xdata() for line in axes.lines if to_hex(line.get_color()) == colour]
        for colour in (RAW, CORRECTED)
    }
    for colour, intervals in (
        (RAW, [estimate.alpha for estimate in estimates]),
        (CORRECTED, [estimate.corrected_interval for estimate in estimates]),
    ):
        assert [list(bar) for bar in bars[colour] if len(bar) == 2] == [[found.low, found.high] for found in intervals]
        assert [bar[0] for bar in bars[colour] if len(bar) == 1] == [found.mean for found in intervals]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["control", "t = 2", "t = 10"]
    assert axes.yaxis_inverted()


def test_the_trade_off_is_accuracy_against_corrected_slope(found):
    drawing = picture(found, "trade_off").drawings[0]
    axes = drawn(drawing, (4.6, 3.8))
    lines = {line.get_label(): line for line in axes.lines}
    for algorithm in PLAN.algorithms:
        path = [found.analysis.estimate("mnist", "lenet5", algorithm, ratio) for ratio in (2.0, 10.0)]
        assert list(lines[algorithm].get_xdata()) == [estimate.corrected.alpha for estimate in path]
        assert list(lines[algorithm].get_ydata()) == [estimate.accuracy.mean for estimate in path]
    control = found.analysis.control("mnist", "lenet5")
    assert lines["control"].get_xydata().tolist() == [[control.corrected.alpha, control.accuracy.mean]]
    assert texts(axes) == ["10", "10"]
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["magnitude", "random", "control"]
    assert not legend.get_window_extent().overlaps(axes.bbox)
    assert len({(line.get_marker(), to_hex(line.get_color())) for name, line in lines.items() if name[0] != "_"}) == 3


def test_algorithms_with_the_same_result_are_both_seen(tmp_path):
    plan = Plan(algorithms=("gradient", "undecayed"), ratios=(2, 10), seeds=(0, 1), recipe="paper")
    found = made(tmp_path, plan, slopes={"gradient": (1.2, 1.5)})
    lines = {line.get_label(): line for line in drawn(picture(found, "trade_off").drawings[0]).lines}
    assert lines["gradient"].get_xydata().tolist() == lines["undecayed"].get_xydata().tolist()
    assert lines["gradient"].get_markersize() > lines["undecayed"].get_markersize()


def test_the_heat_map_has_the_mean_changes_the_hardest_hit_on_top(found):
    drawing, _ = of_magnitude(found, "classes")
    axes = drawn(drawing)
    changes = {
        (change.name, change.combination.ratio): change.change.mean
        for change in found.analysis.classes
        if change.combination.dataset == "mnist" and change.combination.algorithm in ("control", "magnitude")
    }
    names = sorted(NAMES, key=lambda name: changes[name, 10.0])
    expected = np.array([[changes[name, ratio] for ratio in (1.0, 2.0, 10.0)] for name in names])
    (squares,) = axes.collections
    np.testing.assert_allclose(squares.get_array(), expected)
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert axes.yaxis_inverted()
    low, high = squares.get_clim()
    assert (low, high) == (-np.abs(expected).max(), np.abs(expected).max())
    shown = [float(text.replace("−", "-")) for text in texts(axes)]
    assert shown == pytest.approx(100 * expected.ravel(), abs=0.051)
    assert "−0.0" not in texts(axes)


def luminance(colour):
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_numbers_in_the_heat_map_can_be_read(tmp_path):
    plan = Plan(algorithms=("magnitude",), ratios=(2, 4, 10, 20, 50), seeds=(0, 1))
    found = made(tmp_path, plan, slopes={"magnitude": (0.2, 1, 1.4, 2, 3)}, names=tuple("abcdefgh"))
    axes = drawn(picture(found, "classes").drawings[0])
    (squares,) = axes.collections
    for text, colour in zip(axes.texts, squares.to_rgba(squares.get_array()).reshape(-1, 4)):
        ink = luminance([int(text.get_color()[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        lighter, darker = sorted((ink, luminance(colour)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) > 4.5


def numbers(alt):
    return [float(number.replace("−", "-")) for number in re.findall(r"[−-]?\d+\.\d+", alt)]


def test_the_words_have_the_numbers(found):
    drawing, estimates = of_magnitude(found, "alpha_by_ratio")
    for name in ("alpha_by_ratio", "intervals"):
        words, _ = of_magnitude(found, name)
        for estimate in estimates:
            found_alpha = estimate.alpha
            arm = "control" if estimate.combination.control else f"t = {estimate.combination.ratio:g}"
            assert (
                f"{arm} {found_alpha.mean:.2f} [{found_alpha.low:.2f}, {found_alpha.high:.2f}] {found_alpha.symbol}, "
                f"corrected {estimate.corrected.alpha:.2f}" in words.alt
            )
    scatter = picture(found, "scatter_mnist_lenet5").drawings[1]
    pooled, accuracy = estimates[1].pooled, estimates[1].accuracy.mean
    assert scatter.alt == (
        "magnitude, t = 2: recall balance after against before, 12 points; "
        f"α̂ = {pooled.alpha:.3f}, r² = {pooled.r_squared:.3f}, Ā = {accuracy:.3f}."
    )
    trade = picture(found, "trade_off").drawings[0].alt
    assert f"t = 2: α {estimates[1].corrected.alpha:.2f}, accuracy {accuracy:.3f}" in trade
    classes, _ = of_magnitude(found, "classes")
    assert re.search(r"hardest hit at t = 10: dress [−-]0\.\d{3}; ", classes.alt)
    for each in found.pictures:
        for drawing in each.drawings:
            assert numbers(drawing.alt)
            assert not re.search(r"\bnan\b|None|\n|  ", drawing.alt)
            assert drawing.alt.endswith(".")
        assert each.caption.endswith(".")


def test_files_are_written_and_the_same_again(found, tmp_path):
    for place in ("one", "two"):
        for each in found.pictures:
            written = figures.write(each, tmp_path / place)
            assert [path.name for path in written] == [f"{each.name}.png", f"{each.name}.svg"]
    first, second = (
        {path.name: path.read_bytes() for path in sorted((tmp_path / place).iterdir())} for place in ("one", "two")
    )
    assert first == second
    assert len(first) == 2 * len(found.pictures)
    for name, content in first.items():
        if name.endswith(".svg"):
            root = ElementTree.fromstring(content)
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
        else:
            assert content.startswith(b"\x89PNG")


def test_a_page_has_a_panel_for_each_drawing(found):
    for each in (picture(found, "trade_off"), picture(found, "classes")):
        shown = figures.panels(each)
        assert [panel.title for figure in shown for panel in figure.panels] == [d.title for d in each.drawings]
        assert [panel.alt for figure in shown for panel in figure.panels] == [d.alt for d in each.drawings]
        assert [figure.caption for figure in shown] == [""] * (len(shown) - 1) + [each.caption]
        assert shown[0].title == each.title


def test_hostile_names_are_text_and_fit(tmp_path):
    plan = Plan(datasets=("$\\frac$ <b> & 魚.npz", "a" * 200 + ".npz"), algorithms=("magnitude",), ratios=(2,), seeds=(0, 1))
    names = (*HOSTILE, "control \x1b character", "w" * 300)
    found = made(tmp_path, plan, names=names, slopes={"magnitude": (1.2,)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in found.pictures:
            for path in figures.write(each, tmp_path / "figures"):
                assert len(path.name.encode()) < 200
        svg = (tmp_path / "figures" / "classes.svg").read_text(encoding="utf-8")
    shown = [text for element in ElementTree.fromstring(svg).iter() if (text := element.text and element.text.strip())]
    assert "line break | $x^$ \\" in shown
    assert any(text.startswith("<script>alert(1)</") for text in shown)
    assert "magnitude ($\\frac$ <b> & 魚.npz, lenet5)" in shown
    assert f"magnitude (…{'a' * 19}.npz, lenet5)" in shown
    assert "control \ufffd character" in shown
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the font has not all letters
        axes = drawn(picture(found, "classes").drawings[0])
    assert axes.bbox.width > 0.4 * axes.figure.bbox.width


def test_data_sets_of_one_name_have_files_of_their_own(tmp_path):
    plan = Plan(datasets=("a/set.npz", "b/set.npz", "digits"), algorithms=("magnitude",), ratios=(2,), seeds=(0, 1))
    found = made(tmp_path, plan, slopes={"magnitude": (1.2,)})
    names = [each.name for each in found.pictures]
    assert len(set(names)) == len(names)
    assert [name for name in names if name.startswith("scatter")] == [
        "scatter_set_lenet5_1",
        "scatter_set_lenet5_2",
        "scatter_digits_lenet5",
    ]


def test_many_ratios_and_classes_do_not_lie_on_each_other(tmp_path):
    ratios = (1.5, 2, 3, 4, 5, 6, 8, 10, 12.5, 16, 20, 25, 32, 50, 64, 100)
    plan = Plan(algorithms=("magnitude",), ratios=ratios, seeds=(0, 1, 2))
    names = tuple(f"class number {number}" for number in range(40))
    found = made(tmp_path, plan, names=names, slopes={"magnitude": np.linspace(0.9, 1.5, len(ratios))}, images=50)
    for each in found.pictures:
        axes = drawn(each.drawings[-1], each.size)
        assert overlapping(axes) == []
        assert axes.bbox.width > 0.4 * axes.figure.bbox.width
    axes = drawn(picture(found, "classes").drawings[0], picture(found, "classes").size)
    assert len(axes.get_yticklabels()) == 30
    assert "only 30 classes are shown" in picture(found, "classes").caption


def test_numbers_in_the_heat_map_have_room(tmp_path):
    plan = Plan(algorithms=("magnitude",), ratios=(2, 4, 8, 10, 20, 50, 100, 200), seeds=(0, 1))
    names = ("a class with a very long name", *NAMES)
    found = made(tmp_path, plan, names=names, slopes={"magnitude": (3,) * 8})
    each = picture(found, "classes")
    axes = drawn(each.drawings[0], each.size)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 5 * 9
    assert not any(a.overlaps(b) for at, a in enumerate(boxes) for b in boxes[at + 1 :])


@pytest.mark.parametrize("done", [[0], [1], [0, 3], [1, 2]])  # a control arm is the first of each seed
def test_whatever_is_done_can_be_drawn(tmp_path, done):
    plan = Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(0, 1))
    found = made(tmp_path, plan, done=lambda cell: plan.cells.index(cell) in done)
    assert found.pictures
    for each in found.pictures:
        assert each.drawings
        figures.panels(each)
        assert len(figures.write(each, tmp_path / "figures")) == 2


@pytest.mark.parametrize("recalls", [[0.8] * 4, [0.95, math.nan, 0.7, 0.6], [0.003, 0.002, 0.001, 0.001]])
def test_slopes_without_a_value_are_left_out(tmp_path, recalls):
    plan = Plan(algorithms=("magnitude",), ratios=(2, 10), seeds=(0, 1))
    found = made(tmp_path, plan, slopes={"magnitude": (1, -1000)}, recalls=recalls, images=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in found.pictures:
            figures.panels(each)
            for drawing in each.drawings:
                assert not re.search(r"\bnan\b|None", drawing.alt)


def test_models_that_collapsed_do_not_flatten_the_others(tmp_path):
    """At t = 50 magnitude pruning leaves a fifth of the accuracy, and a slope of another size."""
    plan = Plan(algorithms=("magnitude", "random"), ratios=(2, 10, 50), seeds=(0, 1, 2))
    slopes = {"magnitude": (0.9, 1.1, -30.0), "random": (0.9, 1.1, 1.3)}
    lost = {"magnitude": (0.0, 0.02, 0.8), "random": (0.0, 0.02, 0.1)}
    store = study(tmp_path / "study", plan, slopes=slopes, lost=lost)
    cells, classes = frames(store, plan)
    analysis = analyse(cells, classes)
    collapsed = analysis.estimate("digits", "lenet5", "magnitude", 50.0)
    assert [at for at, estimate in analysis.estimates.items() if estimate.collapsed] == [collapsed.combination]
    assert collapsed.alpha.mean < -1
    shown = {picture.name: picture for picture in figures.pictures(analysis, classes)}

    def axes_of(name, panel):
        axes = Figure().add_subplot()
        shown[name].drawings[panel].draw(axes)
        return axes

    for name, limits, arrow in (("alpha_by_ratio", "get_ylim", "v"), ("intervals", "get_xlim", "<")):
        cut, whole = axes_of(name, 0), axes_of(name, 1)
        low, high = getattr(cut, limits)()
        assert -1 < low < 0.9 < 1.1 < high < 3
        arrows = [line.get_marker() for line in cut.lines]
        assert arrow in arrows
        assert arrow not in [line.get_marker() for line in whole.lines]
        assert "arrows stand for what is beyond" in shown[name].caption
    paths = {line.get_label(): line for line in axes_of("trade_off", 0).lines}
    assert len(paths["magnitude"].get_xdata()) == 2
    assert len(paths["random"].get_xdata()) == 3
    assert "left out" in shown["trade_off"].caption
    assert "t = 50: α" in shown["trade_off"].drawings[0].alt


def test_without_a_collapse_nothing_is_said_of_one(found):
    assert not any(word in each.caption for each in found.pictures for word in ("beyond", "left out"))
