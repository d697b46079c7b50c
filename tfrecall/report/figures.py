"""The report in pictures."""

from __future__ import annotations

import os
from pathlib import Path

from rich.cells import cell_len

from tfrecall.report import canvas
from tfrecall.report import document as doc

#: the files that `write` leaves
NAMES = ("recall_by_class.png", "balance.png")

_BEFORE, _AFTER = canvas.COLOURS[:2]
_LINE = "#555555"
# of a name beside its point, in points
_PLACES = ((6, 4), (6, -10), (-6, 4), (-6, -10), (10, 14), (-10, 14), (10, -20), (-10, -20), (0, 10), (0, -16))
_SHOWN = 40  # classes in one picture: the worst hit
_TOLD = 5  # classes in the words for a picture
_NARROW = 5.5  # inches: below, axes are labelled in fewer words a line, and legends stand outside
_NAME = 24  # columns for a class's name, of which a wide letter takes two


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
    paths = [folder / name for name in NAMES]
    for path in paths:
        write_one(document, path)
    return paths


def write_one(document: dict, path: Path) -> None:
    """Draw one of a report's figures, the one of `NAMES` that the path is called."""
    draw = dict(zip(NAMES, (recall_by_class, balance)))[path.name]
    canvas.save_png(draw(document), path)


def recall_by_class(document: dict, *, width: float = 7, titled: bool = True):
    """Draw each class's recall before and after, joined by a line, the worst hit on top.

    Parameters
    ----------
    document : dict
        As `tfrecall.report.document.report` returns it.
    width : float
        In inches.
    titled : bool
        Whether the title is in the picture; for where it stands beside it, there is `recall_title`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = _with_images(document)[:_SHOWN]
    figure, axes = _axes(width, 1.6 + 0.28 * len(shown))
    positions = range(len(shown))
    before, after = ([row[f"recall_{side}"] for row in shown] for side in ("before", "after"))
    axes.hlines(positions, before, after, color=_LINE, linewidth=2, zorder=1)
    # The larger marker stands behind, so that both show where nothing changed.
    axes.scatter(before, positions, color=_BEFORE, label="before", zorder=2, s=80)
    axes.scatter(after, positions, color=_AFTER, label="after", zorder=3, s=28, marker="D")
    axes.axvline(document["before"]["accuracy"], color=_BEFORE, linestyle=":", linewidth=1, label="accuracy before")
    axes.axvline(document["after"]["accuracy"], color=_AFTER, linestyle="--", linewidth=1, label="accuracy after")
    axes.set_yticks(positions, [_short(row["class"]) for row in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("recall" if width < _NARROW else "recall (fraction of the class's test images)")
    if titled:
        axes.set_title(recall_title(document), loc="left")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2 if width < _NARROW else 4, frameon=False, fontsize="small")
    return figure


def recall_title(document: dict) -> str:
    """Return what `recall_by_class` shows."""
    classes = len(_with_images(document))
    title = f"{doc.BY_CLASS}, the worst hit on top"
    return title if classes <= _SHOWN else f"{title} ({_SHOWN} of {classes})"


def recall_in_words(document: dict) -> str:
    """Say what `recall_by_class` shows, in numbers, for those who do not see it."""
    rows = _with_images(document)
    told = [f"{doc.one_line(row['class'])} {row['recall_before']:.3f} → {row['recall_after']:.3f}" for row in rows[:_TOLD]]
    more = [f"and {len(rows) - _TOLD} more in the table"] if len(rows) > _TOLD else []
    return f"{recall_title(document)}: {'; '.join([*told, *more])}."


def balance(document: dict, *, width: float = 6, titled: bool = True):
    """Draw each class's normalized recall balance after against before, with the slope α and the line of no change.

    Parameters
    ----------
    document : dict
        As `tfrecall.report.document.report` returns it.
    width : float
        In inches, and so is the height.
    titled : bool
        Whether the title is in the picture; for where it stands beside it, there is `balance_title`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = _with_balance(document)
    narrow = width < _NARROW
    figure, axes = _axes(width, width)
    x, y = ([row[f"normalized_{side}"] for row in rows] for side in ("before", "after"))
    reach, height = (1.15 * max([0.01, *map(abs, values)]) for values in (x, y))
    axes.axhline(0, color=_LINE, linewidth=0.6)
    axes.axvline(0, color=_LINE, linewidth=0.6)
    axes.plot([-reach, reach], [-reach, reach], color=_LINE, linestyle=":", label="no change (α = 1)")
    alpha = doc.alpha_of(document)
    if alpha.corrected is not None:
        ends = [-reach * alpha.corrected, reach * alpha.corrected]
        axes.plot([-reach, reach], ends, color=_AFTER, label=_slope(alpha))
    axes.scatter(x, y, color=_BEFORE, s=36, zorder=3, label="a class")
    axes.set(xlim=(-reach, reach), ylim=(-height, height))
    axes.set_xlabel("normalized recall balance before" + ("\n" if narrow else " ") + "(recall − accuracy) / accuracy")
    axes.set_ylabel("after")
    if titled:
        axes.set_title(balance_title(document), loc="left")
    if narrow:
        figure.legend(loc="outside lower center", frameon=False, fontsize="small")
    else:
        axes.legend(frameon=False, fontsize="small", loc="upper left")
    if 0 < len(rows) <= 30:
        _name_points(figure, axes, _named_points(rows), "small" if narrow else "x-small")
    return figure


def balance_title(document: dict) -> str:
    """Return what `balance` shows."""
    return f"Recall balance, after against before: {doc.alpha_of(document).verdict}"


def balance_in_words(document: dict) -> str:
    """Say what `balance` shows, in numbers, for those who do not see it."""
    rows, alpha = _with_balance(document), doc.alpha_of(document)
    slope = "no slope" if alpha.corrected is None else _slope(alpha)
    ranges = ""
    if rows:
        before, after = ([row[f"normalized_{side}"] for row in rows] for side in ("before", "after"))
        ranges = f", from {min(before):+.3f} … {max(before):+.3f} before to {min(after):+.3f} … {max(after):+.3f} after"
    return f"{balance_title(document)}. Normalized recall balance of {len(rows)} classes{ranges}; {slope}."


def _with_images(document: dict) -> list[dict]:
    return [row for row in doc.worst_first(document) if row["support"]]


def _with_balance(document: dict) -> list[dict]:
    return [
        row for row in document["classes"] if row["normalized_before"] is not None and row["normalized_after"] is not None
    ]


def _slope(alpha) -> str:
    return f"slope corrected for noise: {alpha.corrected:.2f} (uncorrected α = {alpha.value:.2f})"


def _named_points(rows: list[dict]) -> dict[tuple[float, float], str]:
    """Return the names of the classes at each point: one label for those that coincide."""
    points: dict[tuple[float, float], list[str]] = {}
    for row in rows:
        points.setdefault((round(row["normalized_before"], 3), round(row["normalized_after"], 3)), []).append(
            _short(row["class"])
        )
    return {point: _listed(names) for point, names in points.items()}


def _listed(names: list[str]) -> str:
    together = ", ".join(names)
    return together if cell_len(together) <= _NAME + 6 else f"{names[0]} and {len(names) - 1} more"


def _name_points(figure, axes, named: dict[tuple[float, float], str], size: str) -> None:
    """Write each point's name beside it, on the side where it stays in the picture and covers no other name and no point."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # fixes the layout, so that places on the page are known
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in axes.transData.transform(list(named))]
    for point, names in sorted(named.items(), key=lambda item: item[0][::-1]):
        label = axes.annotate(names, point, xytext=(0, 0), textcoords="offset points", fontsize=size)
        boxes = {}
        for place in _PLACES:
            _put(label, place)
            boxes[place] = label.get_window_extent()
        inside = [place for place, box in boxes.items() if box.x0 >= 0 and box.x1 <= figure.bbox.x1] or _PLACES[:1]
        free = [place for place in inside if not any(boxes[place].overlaps(other) for other in taken)]
        # Where it is crowded on every side, better over something than not at all.
        best = (free or inside)[0]
        _put(label, best)
        taken.append(boxes[best])


def _put(label, place: tuple[int, int]) -> None:
    label.set_position(place)
    label.set_horizontalalignment({-1: "right", 0: "center", 1: "left"}[(place[0] > 0) - (place[0] < 0)])


def _axes(width: float, height: float):
    figure = canvas.new(width, height)
    return figure, figure.add_subplot()


def _short(name: str) -> str:
    return canvas.label(name, _NAME)
