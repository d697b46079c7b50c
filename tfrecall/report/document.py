"""The report as a document: one dictionary, and the JSON and Markdown made from it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict

from tfrecall.report.distortion import Distortion
from tfrecall.report.performance import Performance
from tfrecall.report.slope import Alpha, describe_alpha, verdict_sentence
from tfrecall.text import one_line, replaced

TITLE = "What pruning did to recall"
BY_CLASS = "Recall by class"
PRUNED = "What was pruned"

#: what the words of a report mean, for a reader who has to decide and has not read the paper
TERMS = {
    "recall": "the share of a class's test images that the model gets right",
    "balance": "a class's recall minus the accuracy; below 0, the model serves this class worse than it serves all images",
    "I": "how many times larger a class's balance, relative to the accuracy, is after pruning than before",
    "slope α": "I over all classes at once: above 1, classes are set further apart than before; below 1, less far",
    "corrected": "a finite test set makes α too small; the corrected α makes up for that, its interval gives the verdict",
}

#: what a row of ``classes`` says in numbers, beside ``support``
COLUMNS = (
    "recall_before",
    "recall_after",
    "precision_before",
    "precision_after",
    "f1_before",
    "f1_after",
    "balance_before",
    "balance_after",
    "normalized_before",
    "normalized_after",
    "intensification",
)


def report(measured: Distortion, *, ratio: dict | None = None, parameters: dict | None = None, layers=(), **context) -> dict:
    """Return everything that a report says, ready for JSON.

    Parameters
    ----------
    measured : Distortion
    ratio : dict, optional
        ``requested``, ``compression`` and ``sparsity``; None where no models are known, only predictions.
    parameters : dict, optional
        ``total``, ``prunable`` and ``remaining``.
    layers : sequence of dict
        ``path``, ``weights``, ``kept`` and ``sparsity`` of each prunable weight.
    **context
        What else identifies the report, such as ``model`` and ``dataset``.

    Returns
    -------
    dict
        No value in it is NaN: what does not exist is None, and a class's ``note`` says why.
    """
    return {
        **context,
        "ratio": ratio or {"requested": None, "compression": None, "sparsity": None},
        "parameters": parameters or {"total": None, "prunable": None, "remaining": None},
        "layers": list(layers),
        "before": {"accuracy": measured.accuracy_before},
        "after": {"accuracy": measured.accuracy_after},
        "one_shot": asdict(measured.one_shot) if measured.one_shot else {"accuracy": None, "stability": None},
        "classes": [_class_row(measured, index) for index in range(len(measured.class_names))],
        "alpha": asdict(measured.alpha),
    }


def evaluation(measured: Performance, **context) -> dict:
    """Return what is to be said of one model, ready for JSON."""
    rows = []
    for index, name in enumerate(measured.class_names):
        values = {key: float(getattr(measured, key)[index]) for key in ("recall", "precision", "f1")}
        rows.append(
            {
                "class": name,
                "support": int(measured.support[index]),
                **{key: None if math.isnan(value) else value for key, value in values.items()},
                "note": None if measured.support[index] else NO_IMAGES,
            }
        )
    return {**context, "accuracy": measured.accuracy, "classes": rows}


def evaluation_to_markdown(document: dict) -> str:
    """Return an evaluation as Markdown."""
    title = markdown_text(f"{document['model']} on {document['dataset']}")
    lines = [f"# {title}", "", f"- accuracy {document['accuracy']:.4f}", ""]
    return "\n".join(lines + markdown_table(EVALUATION_HEADER, evaluation_rows(document))) + "\n"


def evaluation_rows(document: dict) -> list[tuple[str, ...]]:
    """Return the lines of an evaluation's table, under `EVALUATION_HEADER`, the lowest recall first."""
    rows = sorted(document["classes"], key=lambda row: math.inf if row["recall"] is None else row["recall"])
    return [
        (
            one_line(row["class"]),
            str(row["support"]),
            NO_IMAGES if row["recall"] is None else f"{row['recall']:.3f}",
            "never predicted" if row["precision"] is None else f"{row['precision']:.3f}",
            "" if row["f1"] is None else f"{row['f1']:.3f}",
        )
        for row in rows
    ]


def worst_first(document: dict) -> list[dict]:
    """Return a report's classes, the largest loss of recall first, classes without test images last."""
    return sorted(document["classes"], key=lambda row: math.inf if row["note"] == NO_IMAGES else change(row))


def change(row: dict) -> float:
    """Return what a class with test images gained in recall, less than 0 where it lost."""
    return row["recall_after"] - row["recall_before"]


def alpha_of(document: dict) -> Alpha:
    """Return a report's slope as the dataclass."""
    return Alpha(**document["alpha"])


def to_json(document: dict, *, ascii_only: bool = False) -> str:
    """Return a report as JSON, the same bytes for the same report.

    What a terminal would act on is written as JSON's own escapes, and with `ascii_only` all letters beyond ASCII: whoever
    reads it gets the exact names.
    """
    text = json.dumps(document, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"
    return replaced(text, lambda letter: json.dumps(letter)[1:-1])


def to_markdown(document: dict) -> str:
    """Return a report as Markdown, the worst-hit classes first."""
    alpha = alpha_of(document)
    lines = [f"# {TITLE}", "", verdict_sentence(alpha), ""]
    lines += [f"- {line}" for line in summary(document)]
    lines += [f"- {line}" for line in describe_alpha(alpha)[:-1]]
    lines += ["", f"## {BY_CLASS}", ""]
    lines += markdown_table(CLASS_HEADER, [class_cells(row) for row in worst_first(document)])
    if document["layers"]:
        lines += ["", f"## {PRUNED}", ""]
        lines += markdown_table(LAYER_HEADER, [layer_cells(row) for row in document["layers"]])
    return "\n".join(lines) + "\n"


NO_IMAGES = "no test images"
NO_BALANCE = "balance before is 0"
NO_ACCURACY = "accuracy is 0"
_NO_RATIO = {NO_BALANCE: "B=0", NO_ACCURACY: "A=0"}

CLASS_HEADER = ("class", "images", "recall", "→ after", "change", "balance", "→ after", "I")
EVALUATION_HEADER = ("class", "images", "recall", "precision", "F1")
LAYER_HEADER = ("weight", "weights", "kept", "sparsity")


def class_cells(row: dict) -> tuple[str, ...]:
    """Return the cells of a class's line in a table, under `CLASS_HEADER`; words where there is no number."""
    if row["note"] == NO_IMAGES:
        return (one_line(row["class"]), "0", NO_IMAGES, *[""] * 5)
    return (
        one_line(row["class"]),
        str(row["support"]),
        f"{row['recall_before']:.3f}",
        f"{row['recall_after']:.3f}",
        f"{change(row):+.3f}",
        _signed(row["balance_before"]),
        _signed(row["balance_after"]),
        _NO_RATIO[row["note"]] if row["intensification"] is None else f"{row['intensification']:.2f}",
    )


def layer_cells(row: dict) -> tuple[str, ...]:
    """Return the cells of a weight's line in a table, under `LAYER_HEADER`."""
    left = "nothing left" if row["kept"] == 0 else ">99.9%" if row["sparsity"] > 0.999 else f"{row['sparsity']:.1%}"
    return one_line(row["path"]), f"{row['weights']:,}", f"{row['kept']:,}", left


def short(name: str, letters: int) -> str:
    """Return a name on one line and in so many letters at most, its end left out."""
    name = one_line(name)
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def short_path(name: str, letters: int) -> str:
    """Return a data set's name on one line and in so many letters at most: of a path, it is the end that tells."""
    name = one_line(name)
    return name if len(name) <= letters else f"…{name[1 - letters :]}"


def summary(document: dict) -> list[str]:
    """Return what was done and what it cost, in a few lines."""
    lines = []
    ratio, parameters, one_shot = document["ratio"], document["parameters"], document["one_shot"]
    if ratio["compression"] is not None:
        lines.append(
            f"{parameters['remaining']:,} of {parameters['total']:,} parameters remain: "
            f"compression {ratio['compression']:.4g}, sparsity {ratio['sparsity']:.1%}"
        )
    lines.append(f"accuracy {document['before']['accuracy']:.4f} before, {document['after']['accuracy']:.4f} after")
    if one_shot["accuracy"] is not None:
        stability = "" if one_shot["stability"] is None else f" (stability {one_shot['stability']:.3f})"
        lines.append(f"accuracy {one_shot['accuracy']:.4f} right after pruning, before fine-tuning{stability}")
    return lines


def _class_row(measured: Distortion, index: int) -> dict:
    values = {name: float(getattr(measured, name)[index]) for name in COLUMNS}
    support = int(measured.support[index])
    if not support:
        note = NO_IMAGES
    elif math.isnan(values["normalized_before"]) or math.isnan(values["normalized_after"]):
        note = NO_ACCURACY
    else:
        note = NO_BALANCE if math.isnan(values["intensification"]) else None
    return {
        "class": measured.class_names[index],
        "support": support,
        **{name: None if math.isnan(value) else value for name, value in values.items()},
        "note": note,
    }


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def markdown_table(header, rows) -> list[str]:
    """Return the lines of a Markdown table; what is text in a cell stays text."""
    escaped = [[markdown_text(cell).replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *escaped)]


def markdown_text(text: str) -> str:
    """Return a text for Markdown, on one line, in which nothing is markup."""
    # Square brackets alone are no markup, and intervals are full of them: only a link's parenthesis is.
    # Nor are underscores within a word.
    text = re.sub(r"&(?=#?\w+;)", "&amp;", one_line(text)).replace("<", "&lt;")
    return re.sub(r"([\\`*$~]|(?<=\])\(|\b_(?!\w)|(?<!\w)_)", r"\\\1", text)
