"""What all figures share: colours, a canvas, names that fit, and files that are the same for the same figure."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

from rich.cells import cell_len

from tfrecall.text import one_line

#: Okabe & Ito's, which colour-blind readers tell apart, the first two for what is shown in pairs
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")


def new(width: float, height: float):
    """Return an empty Matplotlib figure of so many inches: not pyplot's, so without global state or a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label(name: str, columns: int) -> str:
    """Return a name for Matplotlib to write, in so many columns at most, of which a wide letter takes two."""
    name = one_line(name)
    if cell_len(name) > columns:
        name = name[:columns]
        while cell_len(name) >= columns:
            name = name[:-1]
        name += "…"
    return name.replace("$", r"\$")  # a name is data, not a formula to typeset


@contextmanager
def any_script():
    """Draw names in any script without a word: no font has all letters, and Matplotlib warns of each that it lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def save_png(figure, path, dpi: int = 150) -> None:
    """Write a figure as PNG, without date or version."""
    with any_script():
        figure.savefig(path, format="png", dpi=dpi, metadata={"Software": None})


def save_svg(figure, file) -> None:
    """Write a figure as SVG, without date or version, its text as text."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tfrecall"}), any_script():
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
