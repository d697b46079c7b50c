"""A study in pictures: panels for the page, and the same panels side by side in one file for a paper or a talk.

Colours are Okabe & Ito's, which colour-blind readers tell apart; algorithms differ in their markers too.
"""

from __future__ import annotations

import math
import os
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.cells import cell_len

from tfrecall.report import page
from tfrecall.report.document import one_line
from tfrecall.study.analysis import Analysis, Estimate
from tfrecall.study.frames import CONTROL

_INK, _FIRST, _SECOND = "#000000", "#0072B2", "#D55E00"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
_MARKERS = ("o", "D", "s", "^", "v", "P", "X")
_SHOWN = 30  # classes in one picture: the hardest hit
_NAME, _TITLE = 20, 48  # columns for a class's name and a panel's title, of which a wide letter takes two
_FILE, _PATH = 50, 24  # letters of a data set in a file's name, and in a panel's title
_WIDE = 30  # letters: tick labels that are more in all stand upright
_LABELLED = 12  # ratios: with more, the numbers in a heat map are too small to read


@dataclass(frozen=True)
class Drawing:
    """A panel that is not drawn yet.

    Attributes
    ----------
    title : str
    alt : str
        What it shows, in words and numbers.
    draw : callable
        Takes Matplotlib axes.
    row : str
        Panels of one row stand side by side in the file.
    """

    title: str
    alt: str
    draw: Callable
    row: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure: its panels, and what is said below them.

    Attributes
    ----------
    name : str
        Of its files.
    title, caption : str
    drawings : tuple of Drawing
    size : tuple of float
        Inches of a panel, width and height.
    width : int
        CSS pixels of a panel on the page.
    """

    name: str
    title: str
    caption: str
    drawings: tuple[Drawing, ...]
    size: tuple[float, float] = (4.2, 3.2)
    width: int = 320

    @property
    def files(self) -> tuple[str, ...]:
        """What `write` calls its files."""
        return tuple(f"{self.name}.{suffix}" for suffix in ("png", "svg"))


def pictures(analysis: Analysis, classes) -> list[Picture]:
    """Return all figures of a study.

    Parameters
    ----------
    analysis : Analysis
    classes : DataFrame
        As `tfrecall.study.frames.frames` returns it.

    Returns
    -------
    list of Picture
    """
    scatters = [scatter(analysis, classes, dataset, model) for dataset, model in analysis.settings()]
    found = [alpha_by_ratio(analysis), *_named_apart(scatters), intervals(analysis), trade_off(analysis)]
    return [picture for picture in (*found, class_changes(analysis)) if picture.drawings]


def _named_apart(pictures: list[Picture]) -> list[Picture]:
    """Return the pictures with names of their own: files in two folders may be called the same."""
    names = [picture.name for picture in pictures]
    return [
        picture if names.count(picture.name) == 1 else replace(picture, name=f"{picture.name}_{number}")
        for number, picture in enumerate(pictures, start=1)
    ]


def alpha_by_ratio(analysis: Analysis) -> Picture:
    """Draw box plots of α by ratio, a panel for each data set, model and algorithm (Good et al. 2022, figures 1 to 4)."""
    drawings = []
    for dataset, model in analysis.settings():
        control = analysis.control(dataset, model)
        for algorithm in analysis.algorithms:
            found = [analysis.estimate(dataset, model, algorithm, ratio) for ratio in analysis.ratios]
            shown = [estimate for estimate in (control, *found) if estimate]
            if any(found):
                drawings.append(
                    Drawing(
                        _title(analysis, algorithm, dataset, model),
                        f"Box plots of α by ratio under {algorithm}, {_place(dataset, model)}: "
                        + "; ".join(map(_in_words, shown))
                        + ".",
                        partial(_boxes, shown=shown),
                        f"{dataset}, {model}",
                    )
                )
    return Picture(
        "alpha_by_ratio",
        "α by ratio",
        f"Each box is α over seeds; above it, where its {100 * analysis.level:g}% interval lies: < below 1 (de-intensified),"
        " > above 1 (intensified), ? across. Diamonds: α corrected for the noise of the test set. t = 1 is the control arm, "
        "fine-tuned with nothing pruned. Scales differ from panel to panel.",
        tuple(drawings),
    )


def scatter(analysis: Analysis, classes, dataset: str, model: str) -> Picture:
    """Draw each class of each seed, its balance after against before, algorithm by ratio (figures 5 to 8)."""
    drawings = []
    arms = [(CONTROL, 1.0), *((algorithm, ratio) for algorithm in analysis.algorithms for ratio in analysis.ratios)]
    here = classes[(classes["dataset"] == dataset) & (classes["model"] == model)]
    reach = 1.1 * max(1e-3, float(np.nanmax(np.abs(here["normalized_before"].to_numpy(float)), initial=0.0)))
    for algorithm, ratio in arms:
        estimate = analysis.estimate(dataset, model, algorithm, ratio)
        if estimate:
            rows = here[(here["algorithm"] == algorithm) & (here["ratio"] == ratio)]
            x, y = (rows[f"normalized_{side}"].to_numpy(float) for side in ("before", "after"))
            title = CONTROL if algorithm == CONTROL else f"{algorithm}, t = {ratio:g}"
            drawings.append(
                Drawing(
                    title,
                    f"{title}: recall balance after against before, {len(x)} points; {_pooled_in_words(estimate)}.",
                    partial(_points, x=x, y=y, estimate=estimate, reach=reach),
                    algorithm,
                )
            )
    return Picture(
        f"scatter_{_file(dataset)}_{model}",
        f"Recall balance after against before: {_place(dataset, model)}",
        "Each point is a class of one seed. The line through the origin has the slope α̂ of all points; dotted: no change. "
        "r² is that regression's, Ā the mean accuracy.",
        tuple(drawings),
        size=(2.2, 2.2),
        width=170,
    )


def intervals(analysis: Analysis) -> Picture:
    """Draw the intervals of α and of corrected α (appendix C)."""
    drawings = []
    for dataset, model in analysis.settings():
        control = analysis.control(dataset, model)
        for algorithm in analysis.algorithms:
            found = [analysis.estimate(dataset, model, algorithm, ratio) for ratio in analysis.ratios]
            shown = [estimate for estimate in (control, *found) if estimate]
            if any(found):
                drawings.append(
                    Drawing(
                        _title(analysis, algorithm, dataset, model),
                        f"Intervals of α and corrected α under {algorithm}, {_place(dataset, model)}: "
                        + "; ".join(map(_in_words, shown))
                        + ".",
                        partial(_intervals, shown=shown),
                        f"{dataset}, {model}",
                    )
                )
    return Picture(
        "intervals",
        "Intervals of α",
        f"{100 * analysis.level:g}% t-intervals over seeds: α (circles), and corrected for the noise of the test set "
        "(diamonds). The vertical line is α = 1.",
        tuple(drawings),
        size=(4.2, 0.9 + 0.35 * (1 + len(analysis.ratios))),
    )


def trade_off(analysis: Analysis) -> Picture:
    """Draw mean accuracy against mean α, a line for each algorithm from ratio to ratio."""
    drawings = []
    for dataset, model in analysis.settings():
        paths = {
            algorithm: [e for ratio in analysis.ratios if (e := analysis.estimate(dataset, model, algorithm, ratio))]
            for algorithm in analysis.algorithms
        }
        words = "; ".join(
            f"{algorithm} " + ", ".join(f"t = {e.combination.ratio:g}: {_trade(e)}" for e in path)
            for algorithm, path in paths.items()
            if path
        )
        control = analysis.control(dataset, model)
        drawings.append(
            Drawing(
                _short_place(dataset, model),
                f"Mean accuracy against mean α on {_place(dataset, model)}: {words}.",
                partial(_paths, paths=paths, control=control),
            )
        )
    return Picture(
        "trade_off",
        "What distortion goes with what accuracy",
        "Each line goes from the lowest ratio to the highest, whose number stands there; high up and near 1 is good. "
        "Markers within markers: algorithms with the same result. "
        "Where the noise of the test set can be deducted, α is the corrected one. The star is the control arm.",
        tuple(drawings),
        size=(4.6, 3.8),
        width=380,
    )


def class_changes(analysis: Analysis) -> Picture:
    """Draw the mean change of each class's recall by ratio, the hardest hit on top."""
    drawings, rows, crowded = [], 0, False
    more = 0.42 * max(0, len(analysis.ratios) - 5)  # inches, so that a number fits into its square
    for dataset, model in analysis.settings():
        place = _place(dataset, model)
        here = [c for c in analysis.classes if (c.combination.dataset, c.combination.model) == (dataset, model)]
        for algorithm in analysis.algorithms:
            changes: dict[str, dict[float, float]] = {}
            for change in here:
                if change.combination.control or change.combination.algorithm == algorithm:
                    changes.setdefault(change.name, {})[change.combination.ratio] = change.change.mean
            ratios = sorted({ratio for by_ratio in changes.values() for ratio in by_ratio})
            if ratios[-1:] > [1.0]:
                hardest = sorted(changes, key=lambda name: changes[name].get(ratios[-1], 0.0))
                worst = "; ".join(f"{one_line(n)} {changes[n].get(ratios[-1], 0.0):+.3f}" for n in hardest[:3])
                rows = max(rows, len(hardest[:_SHOWN]))
                crowded = crowded or len(hardest) > _SHOWN
                table = np.array([[changes[n].get(ratio, math.nan) for ratio in ratios] for n in hardest[:_SHOWN]])
                drawings.append(
                    Drawing(
                        _title(analysis, algorithm, dataset, model),
                        f"Mean change of recall by class and ratio under {algorithm}, {place}; hardest hit at "
                        f"t = {ratios[-1]:g}: {worst}.",
                        partial(_heat, table=table, ratios=ratios, names=hardest[:_SHOWN]),
                        place,
                    )
                )
    return Picture(
        "classes",
        "Change of recall by class and ratio",
        "Mean change of recall over seeds, from the baseline to the pruned and fine-tuned model, in hundredths; t = 1 is "
        "the control arm. The hardest hit at the highest ratio is on top"
        + (f", and only {_SHOWN} classes are shown" if crowded else "")
        + ". Orange: lost; blue: gained.",
        tuple(drawings),
        size=(4.2 + more, 0.8 + 0.28 * rows),
        width=340 + round(80 * more),
    )


def panels(picture: Picture) -> list[page.Figure]:
    """Return a figure as it stands on the page: each panel a picture of its own, each row a figure."""
    rows: dict[str, list[page.Panel]] = {}
    for drawing in picture.drawings:
        figure = _figure(*picture.size)
        drawing.draw(figure.add_subplot())
        rows.setdefault(drawing.row, []).append(page.Panel(page.svg(figure), drawing.alt, drawing.title))
    last = len(rows) - 1
    return [
        page.Figure(picture.title if index == 0 else row, shown, picture.caption if index == last else "", picture.width)
        for index, (row, shown) in enumerate(rows.items())
    ]


def write(picture: Picture, folder: str | os.PathLike) -> list[Path]:
    """Draw a figure's panels side by side into ``NAME.png`` and ``NAME.svg``.

    Parameters
    ----------
    picture : Picture
    folder : path-like
        Made where it is missing.

    Returns
    -------
    list of Path
    """
    import matplotlib

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Drawing]] = {}
    for drawing in picture.drawings:
        rows.setdefault(drawing.row, []).append(drawing)
    columns = max(map(len, rows.values()))
    figure = _figure(columns * picture.size[0], len(rows) * (picture.size[1] + 0.3))
    for at, row in enumerate(rows.values()):
        for place, drawing in enumerate(row):
            axes = figure.add_subplot(len(rows), columns, at * columns + place + 1)
            drawing.draw(axes)
            axes.set_title(_short(drawing.title, _TITLE), fontsize="medium", loc="left")
    written = [folder / name for name in picture.files]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tfrecall"}), warnings.catch_warnings():
        # Names come in every script, and no font has them all.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(written[0], dpi=100, metadata={"Software": None})
        _shrink(written[0])
        figure.set_layout_engine("none")  # what is laid out is not laid out again, which takes as long as drawing
        figure.savefig(written[1], metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return written


def _shrink(png: Path) -> None:
    """Reduce a PNG file to 128 colours, a third of its size: these pictures have few, and go into repositories."""
    from PIL import Image

    with Image.open(png) as picture:
        reduced = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    reduced.save(png, optimize=True)


def _boxes(axes, shown: Sequence[Estimate]) -> None:
    places = range(len(shown))
    values = [[alpha for alpha in estimate.alphas if alpha is not None] for estimate in shown]
    axes.axhline(1, color=_INK, linestyle=":", linewidth=1)
    axes.boxplot(
        values,
        positions=places,
        widths=0.5,
        medianprops={"color": _FIRST, "linewidth": 2},
        flierprops={"marker": ".", "markersize": 4},
        manage_ticks=False,
    )
    corrected = [estimate.corrected.alpha for estimate in shown]
    there = [place for place in places if corrected[place] is not None]
    axes.scatter(there, [corrected[place] for place in there], marker="D", s=22, color=_SECOND, zorder=3)
    for place, estimate in zip(places, shown):
        axes.annotate(
            estimate.alpha.symbol,
            (place, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, -12),
            textcoords="offset points",
            ha="center",
        )
    axes.margins(y=0.2)
    _label_ratios(axes, places, [estimate.combination.ratio for estimate in shown])
    axes.set_ylabel("slope α")


def _points(axes, x: np.ndarray, y: np.ndarray, estimate: Estimate, reach: float) -> None:
    pooled = estimate.pooled
    rising = int(pooled.alpha is not None and pooled.alpha < 0)  # the words stand where the line does not go
    height = 1.15 * max(1e-3, float(np.nanmax(np.abs(y), initial=0.0)))
    axes.axhline(0, color="#777777", linewidth=0.5)
    axes.axvline(0, color="#777777", linewidth=0.5)
    axes.plot([-reach, reach], [-reach, reach], color=_INK, linestyle=":", linewidth=1)
    axes.scatter(x, y, s=9, color=_FIRST, alpha=0.5, linewidths=0)
    if pooled.alpha is not None:
        axes.plot([-reach, reach], [-reach * pooled.alpha, reach * pooled.alpha], color=_SECOND, linewidth=1.5)
    axes.set(xlim=(-reach, reach), ylim=(-height, height))
    axes.annotate(
        _pooled_in_words(estimate).replace(", ", "\n"),
        (rising, 1),
        xycoords="axes fraction",
        xytext=(4 if rising == 0 else -4, -4),
        textcoords="offset points",
        ha="left" if rising == 0 else "right",
        va="top",
        fontsize="small",
    )
    axes.set_xlabel("B̄ before")
    axes.set_ylabel("B̄ after")


def _intervals(axes, shown: Sequence[Estimate]) -> None:
    axes.axvline(1, color=_INK, linestyle=":", linewidth=1)
    for place, estimate in enumerate(shown):
        for found, shift, marker, colour in (
            (estimate.alpha, -0.14, "o", _FIRST),
            (estimate.corrected_interval, 0.14, "D", _SECOND),
        ):
            if found.mean is not None:
                axes.plot([found.mean], [place + shift], marker=marker, color=colour, markersize=5, linestyle="")
            if found.low is not None:
                axes.plot([found.low, found.high], [place + shift] * 2, color=colour, linewidth=2)
    axes.set_yticks(range(len(shown)), [CONTROL if e.combination.control else f"t = {e.combination.ratio:g}" for e in shown])
    axes.invert_yaxis()
    axes.set_xlabel("slope α")
    axes.grid(axis="x", alpha=0.3)


def _paths(axes, paths: dict[str, list[Estimate]], control: Estimate | None) -> None:
    from matplotlib.transforms import offset_copy

    axes.axvline(1, color=_INK, linestyle=":", linewidth=1)
    for index, (algorithm, path) in enumerate(paths.items()):
        style = {"color": _COLOURS[index % len(_COLOURS)], "marker": _MARKERS[index % len(_MARKERS)]}
        style["markersize"] = max(4.0, 7.5 - index)  # the last stands on the first where both are the same
        known = [estimate for estimate in path if _slope(estimate) is not None]
        if known:
            points, last = [(_slope(estimate), estimate.accuracy.mean) for estimate in known], known[-1]
            axes.plot(*zip(*points), linewidth=1.2, label=algorithm, **style)
            axes.annotate(
                f"{last.combination.ratio:g}", points[-1], xytext=(5, -3), textcoords="offset points", fontsize="small"
            )
    if control and _slope(control) is not None:
        axes.plot(
            [_slope(control)], [control.accuracy.mean], marker="*", color=_INK, markersize=10, linestyle="", label=CONTROL
        )
    axes.set_xlabel("mean slope α")
    axes.set_ylabel("mean accuracy after")
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=6)
    below = offset_copy(axes.transAxes, axes.figure, y=-38, units="points")  # under the axis's label, over no data
    axes.legend(frameon=False, fontsize="small", ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below)


def _heat(axes, table: np.ndarray, ratios: Sequence[float], names: Sequence[str]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    reach = max(0.01, float(np.nanmax(np.abs(table), initial=0.0)))
    colours = LinearSegmentedColormap.from_list("change", [_SECOND, "#f7f7f7", _FIRST])
    squares = axes.pcolormesh(table, cmap=colours, vmin=-reach, vmax=reach, edgecolors="face", linewidth=0)
    for (row, column), value in np.ndenumerate(table):
        if not math.isnan(value) and len(ratios) <= _LABELLED:
            ink = _ink_on(squares.to_rgba(value))
            label = f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")  # + 0.0: no −0.0
            axes.annotate(label, (column + 0.5, row + 0.5), ha="center", va="center", fontsize="small", color=ink)
    _label_ratios(axes, np.arange(len(ratios)) + 0.5, ratios)
    axes.set_yticks(np.arange(len(names)) + 0.5, [_short(name) for name in names])
    axes.tick_params(length=0)
    axes.invert_yaxis()


def _label_ratios(axes, places: Sequence[float], ratios: Sequence[float]) -> None:
    labels = [f"{ratio:g}" for ratio in ratios]
    axes.set_xticks(places, labels, rotation=90 if sum(map(len, labels)) > _WIDE else 0)
    axes.set_xlabel("ratio t (parameters before / after)")


def _ink_on(colour: tuple[float, ...]) -> str:
    """Return white or nearly black, whichever is read better on a colour (WCAG 2); the page's ink changes in the dark."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3])
    return "#ffffff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.18 else "#111112"


def _slope(estimate: Estimate) -> float | None:
    return estimate.corrected.alpha if estimate.corrected.identifiable else estimate.alpha.mean


def _trade(estimate: Estimate) -> str:
    alpha = _slope(estimate)
    return f"α {'unknown' if alpha is None else format(alpha, '.2f')}, accuracy {estimate.accuracy.mean:.3f}"


def _in_words(estimate: Estimate) -> str:
    found = estimate.alpha
    arm = CONTROL if estimate.combination.control else f"t = {estimate.combination.ratio:g}"
    if found.mean is None:
        return f"{arm} no α"
    ends = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}] {found.symbol}"
    corrected = f", corrected {estimate.corrected.alpha:.2f}" if estimate.corrected.identifiable else ""
    return f"{arm} {found.mean:.2f}{ends}{corrected}"


def _pooled_in_words(estimate: Estimate) -> str:
    pooled = estimate.pooled
    slope = "no α̂" if pooled.alpha is None else f"α̂ = {pooled.alpha:.3f}"
    fit = "" if pooled.r_squared is None else f", r² = {pooled.r_squared:.3f}"
    return f"{slope}{fit}, Ā = {estimate.accuracy.mean:.3f}"


def _place(dataset: str, model: str) -> str:
    """Name data set and model."""
    return f"{one_line(dataset)}, {model}"


def _short_place(dataset: str, model: str) -> str:
    """Name data set and model in few letters: of a path, it is the end that tells."""
    dataset = one_line(dataset)
    return f"{dataset if len(dataset) <= _PATH else f'…{dataset[1 - _PATH :]}'}, {model}"


def _title(analysis: Analysis, algorithm: str, dataset: str, model: str) -> str:
    """Name a panel by its algorithm, and by data set and model where there are several."""
    return algorithm if len(analysis.settings()) == 1 else f"{algorithm} ({_short_place(dataset, model)})"


def _short(name: str, columns: int = _NAME) -> str:
    name = "".join("\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in one_line(name))
    if cell_len(name) > columns:
        while cell_len(name) >= columns:
            name = name[:-1]
        name += "…"
    return name.replace("$", r"\$")  # a name is data, not a formula for Matplotlib to typeset


def _file(name: str) -> str:
    from tfrecall.settings import stem

    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem(name))[:_FILE]


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
