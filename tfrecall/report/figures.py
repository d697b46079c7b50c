"""The report in pictures. Colours are Okabe & Ito's, which colour-blind readers tell apart."""

from __future__ import annotations

import os
from pathlib import Path

from tfrecall.report import document as doc

#: the files that `write` leaves
NAMES = ("recall_by_class.png", "balance.png")

_BEFORE, _AFTER, _LINE = "#0072B2", "#D55E00", "#555555"
_PLACES = ((6, 4), (6, -10), (-6, 4), (-6, -10), (10, 14), (-10, 14), (10, -20), (-10, -20))  # of a name, in points
_SHOWN = 40  # classes in one picture: the worst hit


def write(document: dict, folder: str | os.PathLike) -> list[Path]:
    """Draw a report's figures into a folder.

    Parameters
    ----------
    document : dict
        As `tfrecall.report.document.report` returns it.
    folder : path-like
        Made where it is missing.

    Returns
    -------
    list of Path
        Its `NAMES`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in zip(NAMES, (recall_by_class, balance)):
        path = folder / name
        # No date or version in the file: the same report gives the same picture.
        draw(document).savefig(path, dpi=150, metadata={"Software": None})
        written.append(path)
    return written


def recall_by_class(document: dict):
    """Draw each class's recall before and after, joined by a line, the worst hit on top."""
    rows = [row for row in doc.worst_first(document) if row["support"]]
    shown = rows[:_SHOWN]
    figure, axes = _figure(7, 1.6 + 0.28 * len(shown))
    positions = range(len(shown))
    before, after = ([row[f"recall_{side}"] for row in shown] for side in ("before", "after"))
    axes.hlines(positions, before, after, color=_LINE, linewidth=2, zorder=1)
    # The larger marker stands behind, so that both show where nothing changed.
    axes.scatter(before, positions, color=_BEFORE, label="before", zorder=2, s=80)
    axes.scatter(after, positions, color=_AFTER, label="after", zorder=3, s=28, marker="D")
    axes.axvline(document["before"]["accuracy"], color=_BEFORE, linestyle=":", linewidth=1, label="accuracy before")
    axes.axvline(document["after"]["accuracy"], color=_AFTER, linestyle="--", linewidth=1, label="accuracy after")
    axes.set_yticks(positions, [_short(row["class"]) for row in shown])
    axes.invert_yaxis()
    axes.set_xlabel("recall (fraction of the class's test images)")
    title = "Recall by class, the worst hit on top"
    axes.set_title(title if len(shown) == len(rows) else f"{title} ({len(shown)} of {len(rows)})", loc="left")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return figure


def balance(document: dict):
    """Draw each class's normalized recall balance after against before, with the slope α and the line of no change."""
    rows = [
        row for row in document["classes"] if row["normalized_before"] is not None and row["normalized_after"] is not None
    ]
    figure, axes = _figure(6, 6)
    x, y = ([row[f"normalized_{side}"] for row in rows] for side in ("before", "after"))
    reach, height = (1.15 * max([0.01, *map(abs, values)]) for values in (x, y))
    axes.axhline(0, color=_LINE, linewidth=0.6)
    axes.axvline(0, color=_LINE, linewidth=0.6)
    axes.plot([-reach, reach], [-reach, reach], color=_LINE, linestyle=":", label="no change (α = 1)")
    alpha = doc.alpha_of(document)
    if alpha.corrected is not None:
        ends = [-reach * alpha.corrected, reach * alpha.corrected]
        label = f"slope corrected for noise: {alpha.corrected:.2f} (uncorrected α = {alpha.value:.2f})"
        axes.plot([-reach, reach], ends, color=_AFTER, label=label)
    axes.scatter(x, y, color=_BEFORE, s=36, zorder=3, label="a class")
    axes.set(xlim=(-reach, reach), ylim=(-height, height))
    axes.set_xlabel("normalized recall balance before (recall − accuracy) / accuracy")
    axes.set_ylabel("after")
    axes.set_title(f"Recall balance, after against before: {alpha.verdict}", loc="left")
    axes.legend(frameon=False, fontsize="small", loc="upper left")
    if 0 < len(rows) <= 30:
        _name_points(figure, axes, _named_points(rows))
    return figure


def _named_points(rows: list[dict]) -> dict[tuple[float, float], str]:
    """Return the names of the classes at each point: one label for those that coincide."""
    points: dict[tuple[float, float], list[str]] = {}
    for row in rows:
        points.setdefault((round(row["normalized_before"], 3), round(row["normalized_after"], 3)), []).append(
            _short(row["class"])
        )
    return {point: ", ".join(names) for point, names in points.items()}


def _name_points(figure, axes, named: dict[tuple[float, float], str]) -> None:
    """Write each point's name beside it, on the side where it covers no other name and no point."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # fixes the layout, so that places on the page are known
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in axes.transData.transform(list(named))]
    for point, names in sorted(named.items(), key=lambda item: item[0][::-1]):
        for left, offset in reversed(list(enumerate(reversed(_PLACES)))):
            label = axes.annotate(
                names,
                point,
                xytext=offset,
                textcoords="offset points",
                ha="left" if offset[0] > 0 else "right",
                fontsize="x-small",
            )
            box = label.get_window_extent()
            # Where it is crowded on every side, better over something than not at all.
            if left == 0 or not any(box.overlaps(other) for other in taken):
                break
            label.remove()
        taken.append(box)


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")  # not pyplot's: no global state, no display
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _short(name: str) -> str:
    name = doc.one_line(name)
    # A class's name is data, not a formula: "$" would make Matplotlib typeset it as one.
    return (name if len(name) <= 24 else name[:23] + "…").replace("$", r"\$")
