"""A study in pictures: panels for the page, and the same panels side by side in one file for a paper or a talk.

Colours are Okabe & Ito's, which colour-blind readers tell apart; algorithms differ in their markers too.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tfrecall.report import canvas, page, svg
from tfrecall.report.document import one_line, short_path
from tfrecall.study import plots
from tfrecall.study.analysis import Analysis
from tfrecall.study.estimates import Estimate
from tfrecall.study.frames import CONTROL

_SHOWN = 30  # classes in one picture: the hardest hit
_TITLE = 48  # columns for a panel's title, of which a wide letter takes two
_FILE, _PATH = 50, 24  # letters of a data set in a file's name, and in a panel's title


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
    def rows(self) -> dict[str, list[Drawing]]:
        """The panels by row."""
        rows: dict[str, list[Drawing]] = {}
        for drawing in self.drawings:
            rows.setdefault(drawing.row, []).append(drawing)
        return rows

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
    return Picture(
        "alpha_by_ratio",
        "α by ratio",
        f"Each box is α over seeds; above it, where its {100 * analysis.level:g}% interval lies: < below 1 (de-intensified),"
        " > above 1 (intensified), ? across. Diamonds: α corrected for the noise of the test set. t = 1 is the control arm, "
        "fine-tuned with nothing pruned. Scales differ from panel to panel" + _cut(analysis),
        _by_algorithm(analysis, "Box plots of α by ratio", plots.boxes),
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
                    f"{title}: recall balance after against before, {len(x)} points; {plots.pooled_in_words(estimate)}.",
                    partial(plots.points, x=x, y=y, estimate=estimate, reach=reach),
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
    return Picture(
        "intervals",
        "Intervals of α",
        f"{100 * analysis.level:g}% intervals: α over seeds (circles), and α corrected for the noise of the test set over "
        f"{analysis.over} (diamonds). The vertical line is α = 1" + _cut(analysis),
        _by_algorithm(analysis, "Intervals of α and corrected α", plots.intervals),
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
                partial(plots.paths, paths=paths, control=control),
            )
        )
    return Picture(
        "trade_off",
        "What distortion goes with what accuracy",
        "Each line goes from the lowest ratio to the highest, whose number stands there; high up and near 1 is good. "
        "Markers within markers: algorithms with the same result. "
        "Where the noise of the test set can be deducted, α is the corrected one. The star is the control arm."
        + (" Ratios at which models lost more than half of their accuracy are left out." if _collapsed(analysis) else ""),
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
                top = _highest(analysis, dataset, model, algorithm)
                hardest = sorted(changes, key=lambda name: changes[name].get(top, 0.0))
                worst = "; ".join(f"{one_line(n)} {changes[n].get(top, 0.0):+.3f}" for n in hardest[:3])
                rows = max(rows, len(hardest[:_SHOWN]))
                crowded = crowded or len(hardest) > _SHOWN
                table = np.array([[changes[n].get(ratio, math.nan) for ratio in ratios] for n in hardest[:_SHOWN]])
                drawings.append(
                    Drawing(
                        _title(analysis, algorithm, dataset, model),
                        f"Mean change of recall by class and ratio under {algorithm}, {place}; hardest hit at "
                        f"t = {top:g}: {worst}.",
                        partial(plots.heat, table=table, ratios=ratios, names=hardest[:_SHOWN]),
                        place,
                    )
                )
    return Picture(
        "classes",
        "Change of recall by class and ratio",
        "Mean change of recall over seeds, from the baseline to the pruned and fine-tuned model, in hundredths; t = 1 is "
        "the control arm. The hardest hit at the highest ratio at which models still work is on top"
        + (f", and only {_SHOWN} classes are shown" if crowded else "")
        + ". Orange: lost; blue: gained.",
        tuple(drawings),
        size=(4.2 + more, 0.8 + 0.28 * rows),
        width=340 + round(80 * more),
    )


def panels(picture: Picture) -> list[page.Figure]:
    """Return a figure as it stands on the page: each panel a picture of its own, each row a figure."""
    last = len(picture.rows) - 1
    return [
        page.Figure(
            picture.title if index == 0 else row,
            [_panel(drawing, picture.size) for drawing in drawings],
            picture.caption if index == last else "",
            picture.width,
        )
        for index, (row, drawings) in enumerate(picture.rows.items())
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
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(picture.rows.values())
    columns = max(map(len, rows))
    figure = canvas.new(columns * picture.size[0], len(rows) * (picture.size[1] + 0.3) + 0.5)
    for at, row in enumerate(rows):
        for place, drawing in enumerate(row):
            axes = figure.add_subplot(len(rows), columns, at * columns + place + 1)
            drawing.draw(axes)
            axes.set_title(canvas.label(drawing.title, _TITLE), fontsize="medium", loc="left")
    # A file is shown without the page: what its signs mean stands in it.
    caption = textwrap.fill(picture.caption, max(40, round(14 * columns * picture.size[0])))
    figure.supxlabel(caption, fontsize="small", x=0.01, ha="left")
    png, vector = written = [folder / name for name in picture.files]
    canvas.save_png(figure, png, dpi=100)
    _shrink(png)
    figure.set_layout_engine("none")  # what is laid out is not laid out again, which takes as long as drawing
    canvas.save_svg(figure, vector)
    return written


def _by_algorithm(analysis: Analysis, what: str, draw: Callable) -> tuple[Drawing, ...]:
    """Return a panel for each data set, model and algorithm: the control arm and every ratio in one picture."""
    drawings = []
    for dataset, model in analysis.settings():
        control = analysis.control(dataset, model)
        for algorithm in analysis.algorithms:
            found = [analysis.estimate(dataset, model, algorithm, ratio) for ratio in analysis.ratios]
            shown = [estimate for estimate in (control, *found) if estimate]
            if any(found):
                alt = f"{what} under {algorithm}, {_place(dataset, model)}: {'; '.join(map(_in_words, shown))}."
                title = _title(analysis, algorithm, dataset, model)
                drawings.append(Drawing(title, alt, partial(draw, shown=shown), f"{dataset}, {model}"))
    return tuple(drawings)


def _highest(analysis: Analysis, dataset: str, model: str, algorithm: str) -> float:
    """Return the highest ratio at which no model of an algorithm collapsed, or the highest of all."""
    found = [e for ratio in analysis.ratios if (e := analysis.estimate(dataset, model, algorithm, ratio))]
    working = [estimate for estimate in found if not estimate.collapsed]
    return (working or found)[-1].combination.ratio


def _cut(analysis: Analysis) -> str:
    """Say at the end of a caption what `tfrecall.study.plots` cuts."""
    return (
        "; where models collapsed, losing more than half of their accuracy, α is of any size, and arrows stand for what is "
        "beyond the scale."
        if _collapsed(analysis)
        else "."
    )


def _collapsed(analysis: Analysis) -> bool:
    return any(estimate.collapsed for estimate in analysis.estimates.values())


def _panel(drawing: Drawing, size: tuple[float, float]) -> page.Panel:
    figure = canvas.new(*size)
    drawing.draw(figure.add_subplot())
    return page.Panel(svg.element(figure), drawing.alt, drawing.title)


def _shrink(png: Path) -> None:
    """Reduce a PNG file to 128 colours, a third of its size: these pictures have few, and go into repositories."""
    from PIL import Image

    with Image.open(png) as picture:
        reduced = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        resolution = picture.info["dpi"]
    reduced.save(png, optimize=True, dpi=resolution)


def _trade(estimate: Estimate) -> str:
    alpha = estimate.slope
    return f"α {'unknown' if alpha is None else format(alpha, '.2f')}, accuracy {estimate.accuracy.mean:.3f}"


def _in_words(estimate: Estimate) -> str:
    found = estimate.alpha
    arm = CONTROL if estimate.combination.control else f"t = {estimate.combination.ratio:g}"
    if found.mean is None:
        return f"{arm} no α"
    ends = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}] {found.symbol}"
    corrected = f", corrected {estimate.corrected.alpha:.2f}" if estimate.corrected.identifiable else ""
    return f"{arm} {found.mean:.2f}{ends}{corrected}"


def _place(dataset: str, model: str) -> str:
    """Name data set and model."""
    return f"{one_line(dataset)}, {model}"


def _short_place(dataset: str, model: str) -> str:
    """Name data set and model in few letters."""
    return f"{short_path(dataset, _PATH)}, {model}"


def _title(analysis: Analysis, algorithm: str, dataset: str, model: str) -> str:
    """Name a panel by its algorithm, and by data set and model where there are several."""
    return algorithm if len(analysis.settings()) == 1 else f"{algorithm} ({_short_place(dataset, model)})"


def _file(name: str) -> str:
    from tfrecall.settings import stem

    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem(name))[:_FILE]
