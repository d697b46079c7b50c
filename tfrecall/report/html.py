"""The report of one comparison as a page: one HTML file for whoever has to decide."""

from __future__ import annotations

from tfrecall.report import canvas, figures, page, svg
from tfrecall.report import document as doc
from tfrecall.report.slope import Alpha, describe_alpha, verdict_sentence

_INCHES = 4.6  # of a picture: its letters can be read on a phone
_NAME = 60  # letters of a class's name in a sentence
_ORIGIN = {
    "model": "model",
    "dataset": "data set",
    "algorithm": "weights ranked by",
    "ratio": "ratio asked for",
    "scope": "scope",
    "seed": "seed",
    "before_source": "before",
    "after_source": "after",
}


def to_html(report: dict) -> str:
    """Return a report as one HTML file: the verdict, the key numbers, two pictures, the tables, the terms, the origin.

    Parameters
    ----------
    report : dict
        As `tfrecall.report.document.report` returns it, of a run or of two files of predictions.

    Returns
    -------
    str
        The same for the same report. To be written as UTF-8.
    """
    alpha = doc.alpha_of(report)
    origin = _origin(report)
    sections = [
        page.Section("Class by class", parts=[_pictures(report), _classes(report)]),
        *([page.Section(doc.PRUNED, parts=[_layers(report)])] if report["layers"] else []),
        page.Section("In numbers", parts=[page.Bullets([*doc.summary(report), *describe_alpha(alpha)[:-1]])]),
        page.Section("What the words mean", parts=[page.Facts(list(doc.TERMS.items()))]),
        *(
            [page.Section("How it was made" if report.get("algorithm") else "What was compared", parts=[page.Facts(origin)])]
            if origin
            else []
        ),
    ]
    return page.render(_title(report), [verdict_sentence(alpha), *_losses(report)], sections, _key_numbers(report, alpha))


def _title(report: dict) -> str:
    subject = " on ".join(doc.one_line(report[key]) for key in ("model", "dataset") if report.get(key))
    return f"{doc.TITLE}: {subject}" if report.get("model") else doc.TITLE


def _losses(report: dict) -> list[str]:
    rows = [row for row in doc.worst_first(report) if row["support"]]
    lost = sum(doc.change(row) < 0 for row in rows)
    if not lost:
        return ["No class lost recall."]
    return [f"{lost} of {len(rows)} classes lost recall, {_name(rows[0])} most: {_change(rows[0])}."]


def _key_numbers(report: dict, alpha: Alpha) -> list[tuple[str, str]]:
    parameters = report["parameters"]
    worst = doc.worst_first(report)[0]
    facts = [("accuracy", f"{report['before']['accuracy']:.4f} → {report['after']['accuracy']:.4f}")]
    if worst["support"]:
        facts.append((f"recall of {_name(worst)}, the worst hit", _change(worst)))
    if parameters["remaining"] is not None:
        facts.append(("parameters left", f"{parameters['remaining']:,} of {parameters['total']:,}"))
    facts.append((f"slope α, corrected ({100 * alpha.level:.4g}% interval)", _slope(alpha)))
    return facts


def _slope(alpha: Alpha) -> str:
    if alpha.corrected is None:
        return alpha.verdict
    low = "−∞" if alpha.corrected_low is None else f"{alpha.corrected_low:.2f}"
    high = "∞" if alpha.corrected_high is None else f"{alpha.corrected_high:.2f}"
    return f"{alpha.corrected:.2f} ({low} to {high})"


def _pictures(report: dict) -> page.Figure:
    with canvas.any_script():
        recall = svg.element(figures.recall_by_class(report, width=_INCHES, titled=False))
        balance = svg.element(figures.balance(report, width=_INCHES, titled=False))
    return page.Figure(
        "Before and after",
        [
            page.Panel(recall, figures.recall_in_words(report), figures.recall_title(report)),
            page.Panel(balance, figures.balance_in_words(report), figures.balance_title(report)),
        ],
    )


def _classes(report: dict) -> page.Table:
    keys = ("support", "recall_before", "recall_after", None, "balance_before", "balance_after", "intensification")
    rows = []
    for row in doc.worst_first(report):
        name, *texts = doc.class_cells(row)
        values = [row[key] if key else (doc.change(row) if row["support"] else None) for key in keys]
        rows.append([name, *map(page.Cell, texts, values)])
    return page.Table(doc.BY_CLASS, doc.CLASS_HEADER, rows)


def _layers(report: dict) -> page.Table:
    keys = ("weights", "kept", "sparsity")
    rows = []
    for row in report["layers"]:
        name, *texts = doc.layer_cells(row)
        rows.append([name, *map(page.Cell, texts, (row[key] for key in keys))])
    return page.Table("By layer", doc.LAYER_HEADER, rows)


def _origin(report: dict) -> list[tuple[str, str]]:
    given = {**report, "ratio": report["ratio"]["requested"]}
    facts = [(label, given.get(key)) for key, label in _ORIGIN.items()]
    return [
        (label, f"{value:g}" if isinstance(value, float) else doc.one_line(value))
        for label, value in facts
        if value is not None
    ]


def _name(row: dict) -> str:
    return doc.short(row["class"], _NAME)


def _change(row: dict) -> str:
    return f"{row['recall_before']:.3f} → {row['recall_after']:.3f}"
