"""The panels of a study's figures: each draws into Matplotlib axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tfrecall.report import canvas
from tfrecall.study.estimates import Estimate
from tfrecall.study.frames import CONTROL

_INK = "#000000"
_FIRST, _SECOND = canvas.COLOURS[:2]
_MARKERS = ("o", "D", "s", "^", "v", "P", "X")
_NAME = 20  # columns for a class's name
_WIDE = 30  # letters: tick labels that are more in all stand upright
_LABELLED = 12  # ratios: with more, the numbers in a heat map are too small to read
_WORDS = (0.5, 0.32)  # the corner of a scatter that its words take, in parts of its axes

Limits = tuple[float, float]  # of an axis


def boxes(axes, shown: Sequence[Estimate]) -> None:
    """Draw a box of α over seeds for each ratio, with its symbol and the corrected α."""
    places = range(len(shown))
    values = [[alpha for alpha in estimate.alphas if alpha is not None] for estimate in shown]
    axes.axhline(1, color=_INK, linestyle=":", linewidth=1)
    axes.margins(y=0.2)
    corrected = [estimate.corrected.alpha for estimate in shown]
    everything = [[*found, *([] if more is None else [more])] for found, more in zip(values, corrected)]
    limits = _cut(axes.set_ylim, shown, everything, margin=0.25)
    axes.boxplot(
        [[] if _beyond(found, limits) else found for found in values],
        positions=places,
        widths=0.5,
        medianprops={"color": _FIRST, "linewidth": 2},
        flierprops={"marker": ".", "markersize": 4},
        manage_ticks=False,
    )
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
    for place, found in zip(places, everything):
        for side in _beyond(found, limits):
            axes.plot([place], [limits[side]], marker="v^"[side], color=_INK, markersize=5, clip_on=False)
        if _beyond(found, limits):
            middle = {"rotation": 90, "ha": "center", "va": "center", "fontsize": "small"}
            axes.annotate("collapsed", (place, 0.45), xycoords=("data", "axes fraction"), **middle)
    _label_ratios(axes, places, [estimate.combination.ratio for estimate in shown])
    axes.set_ylabel("slope α")


def points(axes, x: np.ndarray, y: np.ndarray, estimate: Estimate, reach: float) -> None:
    """Draw the classes' balances after, y, against before, x, with the line through all of them."""
    pooled = estimate.pooled
    height = 1.15 * max(1e-3, float(np.nanmax(np.abs(y), initial=0.0)))
    axes.axhline(0, color="#777777", linewidth=0.5)
    axes.axvline(0, color="#777777", linewidth=0.5)
    axes.plot([-reach, reach], [-reach, reach], color=_INK, linestyle=":", linewidth=1)
    axes.scatter(x, y, s=9, color=_FIRST, alpha=0.5, linewidths=0)
    if pooled.alpha is not None:
        axes.plot([-reach, reach], [-reach * pooled.alpha, reach * pooled.alpha], color=_SECOND, linewidth=1.5)
    axes.set(xlim=(-reach, reach), ylim=(-height, height))
    # The words stand in a corner where the line does not go: of the two, in that which holds fewer points.
    corners = ((1, 1), (0, 0)) if pooled.alpha is not None and pooled.alpha < 0 else ((0, 1), (1, 0))
    places = np.stack([(x / reach + 1) / 2, (y / height + 1) / 2], axis=-1)
    right, upper = min(corners, key=lambda corner: int((np.abs(places - corner) < _WORDS).all(axis=-1).sum()))
    axes.annotate(
        pooled_in_words(estimate).replace(", ", "\n"),
        (right, upper),
        xycoords="axes fraction",
        xytext=(-4 if right else 4, -4 if upper else 4),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top" if upper else "bottom",
        fontsize="small",
    )
    axes.set_xlabel("B̄ before")
    axes.set_ylabel("B̄ after")


def intervals(axes, shown: Sequence[Estimate]) -> None:
    """Draw the interval of α and of the corrected α for each ratio."""
    axes.axvline(1, color=_INK, linestyle=":", linewidth=1)
    drawn = [
        row
        for place, estimate in enumerate(shown)
        for row in (
            (place - 0.14, estimate.alpha, "o", _FIRST),
            (place + 0.14, estimate.corrected_interval, "D", _SECOND),
        )
    ]
    for place, found, marker, colour in drawn:
        if found.mean is not None:
            axes.plot([found.mean], [place], marker=marker, color=colour, markersize=5, linestyle="")
        if found.low is not None:
            axes.plot([found.low, found.high], [place] * 2, color=colour, linewidth=2)
    ends = [[v for v in (found.low, found.mean, found.high) if v is not None] for _, found, *_ in drawn]
    limits = _cut(axes.set_xlim, [shown[round(place)] for place, *_ in drawn], ends, margin=0.1)
    for (place, _, _, colour), found in zip(drawn, ends):
        for side in _beyond(found, limits):
            axes.plot([limits[side]], [place], marker="<>"[side], color=colour, markersize=6, clip_on=False)
    axes.set_yticks(range(len(shown)), [CONTROL if e.combination.control else f"t = {e.combination.ratio:g}" for e in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("slope α")
    axes.grid(axis="x", alpha=0.3)


def paths(axes, paths: dict[str, list[Estimate]], control: Estimate | None) -> None:
    """Draw accuracy against α, from ratio to ratio, for each algorithm, and the control arm."""
    from matplotlib.transforms import offset_copy

    axes.axvline(1, color=_INK, linestyle=":", linewidth=1)
    ends: dict[tuple[float, float], str] = {}
    # Where all models collapsed, there is nothing else to show.
    spared = 0 if any(not estimate.collapsed for path in paths.values() for estimate in path) else math.inf
    for index, (algorithm, path) in enumerate(paths.items()):
        style = {"color": canvas.COLOURS[index % len(canvas.COLOURS)], "marker": _MARKERS[index % len(_MARKERS)]}
        style["markersize"] = max(4.0, 7.5 - index)  # the last stands on the first where both are the same
        known = [estimate for estimate in path if estimate.slope is not None and estimate.collapsed <= spared]
        if known:
            points, last = [(estimate.slope, estimate.accuracy.mean) for estimate in known], known[-1]
            axes.plot(*zip(*points), linewidth=1.2, label=algorithm, **style)
            ends.setdefault(points[-1], f"{last.combination.ratio:g}")
    if control and control.slope is not None:
        axes.plot(
            [control.slope], [control.accuracy.mean], marker="*", color=_INK, markersize=10, linestyle="", label=CONTROL
        )
    axes.set_xlabel("mean slope α, corrected where it can be")
    axes.set_ylabel("mean accuracy after")
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=6)
    for point, text in _apart(axes, ends).items():
        axes.annotate(text, point, xytext=(5, -3), textcoords="offset points", fontsize="small")
    below = offset_copy(axes.transAxes, axes.figure, y=-38, units="points")  # under the axis's label, over no data
    axes.legend(frameon=False, fontsize="small", ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below)


def heat(axes, table: np.ndarray, ratios: Sequence[float], names: Sequence[str]) -> None:
    """Draw the change of recall [class, ratio] as colours and numbers."""
    from matplotlib.colors import FuncNorm, LinearSegmentedColormap

    reach = max(0.01, float(np.nanmax(np.abs(table), initial=0.0)))
    # Roots, so that a collapse does not make all else look white.
    roots = FuncNorm((lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2), vmin=-reach, vmax=reach)
    colours = LinearSegmentedColormap.from_list("change", [_SECOND, "#f7f7f7", _FIRST])
    squares = axes.pcolormesh(table, cmap=colours, norm=roots, edgecolors="face", linewidth=0)
    for (row, column), value in np.ndenumerate(table):
        if not math.isnan(value) and len(ratios) <= _LABELLED:
            ink = _ink_on(squares.to_rgba(value))
            label = f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")  # + 0.0: no −0.0
            axes.annotate(label, (column + 0.5, row + 0.5), ha="center", va="center", fontsize="small", color=ink)
    _label_ratios(axes, np.arange(len(ratios)) + 0.5, ratios)
    axes.set_yticks(np.arange(len(names)) + 0.5, [canvas.label(name, _NAME) for name in names])
    axes.tick_params(length=0)
    axes.invert_yaxis()


def _apart(axes, labels: dict[tuple[float, float], str]) -> dict[tuple[float, float], str]:
    """Return the labels of points without those that would stand on one that says the same."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    kept: dict[tuple[float, float], str] = {}
    for (x, y), text in labels.items():
        near = (
            other == text and abs(x - a) < 0.06 * (right - left) and abs(y - b) < 0.06 * (high - low)
            for (a, b), other in kept.items()
        )
        if not any(near):
            kept[x, y] = text
    return kept


def _cut(set_limits: Callable, shown: Sequence[Estimate], values: Sequence[Sequence[float]], margin: float) -> Limits:
    """Set an axis's limits so that models that collapsed do not flatten the others; infinite ones where there is no need."""
    kept = [value for estimate, found in zip(shown, values) if not estimate.collapsed for value in found]
    if not kept or not any(estimate.collapsed for estimate in shown):
        return -math.inf, math.inf
    low, high = min(1.0, *kept), max(1.0, *kept)
    more = margin * max(high - low, 0.1)
    set_limits(low - more, high + more)
    return low - more, high + more


def _beyond(values: Sequence[float], limits: Limits) -> list[int]:
    """Return on which sides of an axis's limits some values lie: 0 below, 1 above."""
    beyond = min(values, default=limits[0]) < limits[0], max(values, default=limits[1]) > limits[1]
    return [side for side in (0, 1) if beyond[side]]


def _label_ratios(axes, places: Sequence[float], ratios: Sequence[float]) -> None:
    labels = [f"{ratio:g}" for ratio in ratios]
    axes.set_xticks(places, labels, rotation=90 if sum(map(len, labels)) > _WIDE else 0)
    axes.set_xlabel("ratio t (parameters before / after)")


def _ink_on(colour: tuple[float, ...]) -> str:
    """Return white or nearly black, whichever is read better on a colour (WCAG 2); the page's ink changes in the dark."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3])
    return "#ffffff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.18 else "#111112"


def pooled_in_words(estimate: Estimate) -> str:
    """Say what the regression over all points is."""
    pooled = estimate.pooled
    slope = "no α̂" if pooled.alpha is None else f"α̂ = {pooled.alpha:.3f}".replace("-", "−")
    fit = "" if pooled.r_squared is None else f", r² = {pooled.r_squared:.3f}"
    return f"{slope}{fit}, Ā = {estimate.accuracy.mean:.3f}"
