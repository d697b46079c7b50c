"""Files of predictions from anywhere, so that a quantized, distilled or PyTorch model can be reported on too."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import stat
import zipfile
from array import array as compact
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrecall.archives import ArchiveError, read_arrays
from tfrecall.errors import InputError
from tfrecall.report import labels
from tfrecall.report.performance import classes_of

_SUFFIXES = (".npz", ".csv")
_RUN_FILE = "predictions.npz"  # of a run's folder; tfrecall.experiment writes it
_RUN_SIDES = ("before", "after")
_ARRAYS = ("y_true", "y_pred", "probabilities", "class_names", *_RUN_SIDES)  # of an .npz
_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE = 65_536  # characters in which a CSV's header and first row lie
_LABELS = ("y_true", "y_pred")
# Columns that say which image a row is about; one without a name, as pandas and R write it, may also just count the rows.
_IDS = {"id", "uid", "key", "image", "img", "image_id", "image_path", "file", "filename", "file_name", "path", "sample_id"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,0+")  # 3,0, in files whose separator is another
_ROW_NUMBERS = frozenset({"", "index", "unnamed:_0", "row", "row_names", "rownames"})


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's predictions on one test set.

    Attributes
    ----------
    y_true : ndarray of int or str, shape (images,)
    y_pred : ndarray of int or str, shape (images,), or of float, shape (images, classes)
        Classes, or probabilities.
    class_names : tuple of str or None
        One name a class, where they are known.
    ids : ndarray of str, shape (images,), or None
        Which image each row is about, where the file says so.
    id_name : str
        The column that `ids` are from.
    dataset : str or None
        The name of the data set, where a run recorded it.
    """

    y_true: np.ndarray
    y_pred: np.ndarray
    class_names: tuple[str, ...] | None = None
    ids: np.ndarray | None = None
    id_name: str = ""
    dataset: str | None = None


def is_predictions(path: str | os.PathLike) -> bool:
    """Say whether a path names a file of predictions, by its ending, or a run's folder, and no model."""
    return Path(path).suffix.lower() in _SUFFIXES or os.path.isfile(Path(path) / _RUN_FILE)


def run_file(path: str | os.PathLike) -> Path | None:
    """Return the file with a run's two models' predictions, if a path names this file or the run's folder."""
    path = _file(path)
    if path.suffix.lower() != ".npz" or not os.path.isfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            both = {f"{name}.npy" for name in _RUN_SIDES} <= set(archive.namelist())
    except Exception:  # what is damaged is reported when it is read
        return None
    return path if both else None


def read(path: str | os.PathLike, side: str = "after") -> Predictions:
    """Read a file of predictions.

    Parameters
    ----------
    path : path-like
        An ``.npz`` with ``y_true`` and ``y_pred`` (classes) or ``probabilities`` (images, classes), and ``class_names`` if
        wanted; a ``.csv`` with the columns ``y_true`` and ``y_pred``; or a run's folder, or the ``predictions.npz`` in it.
        Classes are numbers or names. A column such as ``id`` or ``image`` names the images.
    side : {"after", "before"}
        Which predictions to take of a run's, which hold those of its pruned model and of its baseline.

    Returns
    -------
    Predictions

    Raises
    ------
    InputError
        If the file is missing, damaged, or lacks what it should hold.
    """
    path = _file(path)
    _require_regular_file(path)
    return _read_csv(path) if path.suffix.lower() == ".csv" else _read_npz(path, side)


def aligned(before: Predictions, after: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Bring two sides to one order of the images and one numbering of the classes.

    The labels of all four columns are judged together: if any of them is a word, all are names, and 3 is the class "3".

    Parameters
    ----------
    before, after : Predictions
        On the same images; in the same order, unless both have `ids`.

    Returns
    -------
    y_true, y_pred_before, y_pred_after : ndarray
        Classes as numbers, or probabilities.
    class_names : tuple of str or None

    Raises
    ------
    InputError
        If the sides differ in their images, labels or class names, or a class has no number.
    """
    names = before.class_names or after.class_names
    if before.dataset and after.dataset and Path(before.dataset).name != Path(after.dataset).name:
        raise InputError(
            f"BEFORE is on the data set {before.dataset} and AFTER on {after.dataset}: both must be on the same test images."
        )
    if before.class_names and after.class_names and before.class_names != after.class_names:
        raise InputError(
            "BEFORE and AFTER name their classes differently: both must be about the same classes, in one order."
        )
    after = _in_order_of(before, after)
    truths, predictions = [before.y_true, after.y_true], [before.y_pred, after.y_pred]
    factors = {id(array): labels.factorized(array) for array in (*truths, *predictions) if array.ndim == 1}
    distinct = [value for _, values in factors.values() for value in values]
    named = names is not None
    if not named:
        names = _names(distinct, probabilities=any(array.ndim == 2 for array in predictions))
    index = {name: number for number, name in enumerate(names or ())}

    def numbered(array: np.ndarray, column: str) -> np.ndarray:
        if array.ndim != 1:
            return array
        codes, values = factors[id(array)]
        return np.array([number(value, column) for value in values], np.int64)[codes]

    def number(value: int | str, column: str) -> int:
        value = labels.read_label(value) if isinstance(value, str) else value
        if names is None:
            return value
        if isinstance(value, int) and named and str(value) not in index:
            if not 0 <= value < len(names):
                raise InputError(f"'{column}' must lie in 0 to {len(names) - 1} for {len(names)} classes; got {value}.")
            return value
        if str(value) not in index:
            if column == "y_true":
                raise InputError(f"'{value}' is not among the classes {', '.join(names[:10])}.")
            index[str(value)] = len(index)  # a model may answer with a class that no image has
        return index[str(value)]

    y_true, other = (numbered(array, "y_true") for array in truths)
    _require_same(y_true, other, names)
    first, second = (numbered(array, "y_pred") for array in predictions)
    if len(index) > len(names or ()):
        _require_columns(predictions, len(names))
        first, second, names = classes_of(first), classes_of(second), tuple(index)
    return y_true, first, second, names


def _names(distinct: list, probabilities: bool) -> tuple[str, ...] | None:
    if not probabilities:
        return labels.class_names(distinct)
    if any(isinstance(value, str) for value in distinct):
        raise InputError("labels are names, but the columns of probabilities have none: add class_names to the .npz file.")
    return None


def _require_columns(predictions: Sequence[np.ndarray], classes: int) -> None:
    for array in predictions:
        if array.ndim == 2 and array.shape[1] != classes:
            raise InputError(f"expected {classes} columns of probabilities, one a class; got {array.shape[1]}.")


def _require_same(y_true: np.ndarray, other: np.ndarray, names: tuple[str, ...] | None) -> None:
    if np.array_equal(y_true, other):
        return
    if len(y_true) != len(other):
        where = f"{len(y_true):,} and {len(other):,} rows"
    else:
        row = int(np.argmax(y_true != other))
        pair = (names[array[row]] if names and 0 <= array[row] < len(names) else array[row] for array in (y_true, other))
        where = "first in row {:,}: {} and {}".format(row + 1, *pair)
    raise InputError(
        f"BEFORE and AFTER have different y_true ({where}): both must be on the same images, in the same order; in another "
        "order, give both a column id that names the images."
    )


def _in_order_of(before: Predictions, after: Predictions) -> Predictions:
    """Return AFTER with its rows in the order of BEFORE's, if both say which image a row is about."""
    if before.ids is None or after.ids is None or before.id_name != after.id_name:
        return after
    if np.array_equal(before.ids, after.ids):
        return after
    import pandas as pd

    mine, theirs = pd.Index(before.ids), pd.Index(after.ids)
    fault = None
    for side, index in (("BEFORE", mine), ("AFTER", theirs)):
        if not index.is_unique:
            fault = f"'{index[index.duplicated()][0]}' is in {side} more than once"
    if not fault:
        for side, index, wanted in (("AFTER", theirs, mine), ("BEFORE", mine, theirs)):
            if (absent := index.get_indexer(wanted) < 0).any():
                fault = fault or f"{side} lacks '{wanted[absent][0]}'"
    if fault and before.id_name in _ROW_NUMBERS:
        return after  # numbers of rows that name no image
    if fault:
        raise InputError(
            f"the column {before.id_name} does not match the rows of BEFORE to those of AFTER: {fault}. Both must be on the "
            "same images, each of them once."
        )
    order = theirs.get_indexer(mine)
    return dataclasses.replace(after, y_true=after.y_true[order], y_pred=after.y_pred[order], ids=after.ids[order])


def _file(path: str | os.PathLike) -> Path:
    path = Path(path)
    return path / _RUN_FILE if path.suffix.lower() not in _SUFFIXES and os.path.isdir(path) else path


def _require_regular_file(path: Path) -> None:
    """Raise InputError unless a path names a file of its own: a pipe would be waited for, a device never ends."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"no file of predictions at {path}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise InputError(f"{path} is {kind}, no file of predictions: expected an .npz or .csv file, or a run's folder.")


# ---------------------------------------------------------------------------------------------------------------- CSV


@dataclass(frozen=True)
class _Layout:
    """How a CSV file is written."""

    separator: str
    header_lines: int  # of the file, the header included
    fields: int  # of a row
    places: dict[str, int]  # which of a row's fields are y_true, y_pred and, if there is one, the id
    id_name: str = ""


class _Codes(dict):
    """Numbers for texts, in the order in which they come."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def _read_csv(path: Path) -> Predictions:
    try:
        layout = _layout(path)
        codes, texts, ids = _columns(path, layout)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        reason = "it has bytes of another encoding" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InputError(f"{path} is no CSV text file in UTF-8 ({reason}): save it as CSV in UTF-8.") from error
    if not codes["y_true"].size:
        raise InputError(f"{path} holds no predictions: expected a row for each test image.")
    values = {}
    for name, column in texts.items():
        labels.require_few(len(column))
        try:
            values[name] = [_read_label(text, layout.separator) for text in column]
        except labels.LabelError:
            _raise_with_line(path, layout)
    if any(isinstance(value, str) for column in values.values() for value in column):  # then 3 is a name in both columns
        values = {name: list(map(str, column)) for name, column in values.items()}
    arrays = [labels.column(codes[name], values[name]) for name in _LABELS]
    return Predictions(*arrays, ids=np.array(ids, object) if ids else None, id_name=layout.id_name)


def _columns(path: Path, layout: _Layout) -> tuple[dict[str, np.ndarray], dict[str, list[str]], list[str]]:
    """Return the labels as places among the distinct texts of their column, these texts, and the ids."""
    true, predicted = _Codes(), _Codes()
    true_codes, predicted_codes, ids = compact("q"), compact("q"), []
    true_place, predicted_place = (layout.places[name] for name in _LABELS)
    id_place, fields = layout.places.get("id"), layout.fields
    for line, row in _rows(path, layout):
        if len(row) != fields:
            row = _whole(path, line, row, layout)
        true_codes.append(true[row[true_place]])
        predicted_codes.append(predicted[row[predicted_place]])
        if id_place is not None:
            ids.append(row[id_place].strip())
    codes = {"y_true": np.array(true_codes), "y_pred": np.array(predicted_codes)}
    return codes, {"y_true": list(true), "y_pred": list(predicted)}, ids


def _whole(path: Path, line: int, row: list[str], layout: _Layout) -> list[str]:
    """Return a row with as many fields as the header: what is missing is empty, and separators at its end are dropped."""
    if any(field.strip() for field in row[layout.fields :]):
        raise InputError(
            f"{path}, line {line}: expected {layout.fields} fields, as in the header; got {len(row)}. Put names that hold a "
            "separator in quotation marks."
        )
    return row[: layout.fields] + [""] * (layout.fields - len(row))


def _read_label(text: str, separator: str) -> int | str:
    if separator != "," and _DECIMAL_COMMA.fullmatch(text.strip()):
        text = text.partition(",")[0]
    return labels.read_label(text)


def _raise_with_line(path: Path, layout: _Layout) -> None:
    """Read a file that has a bad label again, and raise InputError with its line."""
    for line, row in _rows(path, layout):
        row = _whole(path, line, row, layout)
        for name in _LABELS:
            try:
                _read_label(row[layout.places[name]], layout.separator)
            except labels.LabelError as error:
                raise InputError(f"{path}, line {line}: {name} {error}") from error


def _layout(path: Path) -> _Layout:
    with path.open(newline="", encoding="utf-8-sig") as file:
        sample = file.read(_SAMPLE)
    if "\0" in sample:
        raise csv.Error("it holds NUL bytes")
    first = next((line.strip() for line in sample.splitlines() if line.strip()), "")
    hinted = re.fullmatch(r'"?sep=(.)"?', first)  # Excel's way to name the separator
    for separator in (hinted[1],) if hinted else _SEPARATORS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator, skipinitialspace=True)
        rows = filter(_holds_something, reader)
        if hinted:
            next(rows)
        header = [_plain(name) for name in next(rows, [])]
        lines = reader.line_num
        if set(_LABELS) <= set(header):
            return _Layout(separator, lines, *_places(path, header, next(rows, [])))
    raise InputError(f"{path} must have the columns y_true,y_pred; it has {first[:80] or 'none'}.")


def _places(path: Path, header: list[str], first: list[str]) -> tuple[int, dict[str, int], str]:
    """Return how many fields a row has, which of them are y_true, y_pred and the id, and what the id's column is called."""
    for name in _LABELS:
        if header.count(name) > 1:
            raise InputError(f"{path} has {header.count(name)} columns {name}: expected one.")
    places = {name: header.index(name) for name in _LABELS}
    if len(first) == len(header) + 1 and first[0] == "1" and first[-1].strip():  # R numbers rows, with nothing above
        return len(first), {"id": 0, **{name: place + 1 for name, place in places.items()}}, ""
    named = [place for place, name in enumerate(header) if name in _IDS]
    counting = [0] if header[0] in _ROW_NUMBERS else []
    for place in (*named, *counting)[:1]:
        return len(header), {"id": place, **places}, header[place]
    return len(header), places, ""


def _rows(path: Path, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header that hold something, each with the number of the line on which it ends."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        for _ in range(layout.header_lines):
            file.readline()
        reader = csv.reader(file, delimiter=layout.separator, skipinitialspace=True, strict=True)
        for row in reader:
            if _holds_something(row):
                yield layout.header_lines + reader.line_num, row


def _holds_something(row: list[str]) -> bool:
    """Say whether a row has any text: spreadsheets leave rows of separators alone below the last."""
    return any(row) and not "".join(row).isspace()


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().casefold())


# ---------------------------------------------------------------------------------------------------------------- npz


def _read_npz(path: Path, side: str) -> Predictions:
    arrays, names = _arrays(path)
    run = set(_RUN_SIDES) <= set(names)
    predicted = side if run else "probabilities" if "probabilities" in arrays else "y_pred"
    if not run and {"y_pred", "probabilities"} <= set(arrays):
        raise InputError(f"{path} holds y_pred and probabilities: leave out one, so that it is clear which is reported on.")
    if "y_true" not in arrays or predicted not in arrays:
        raise InputError(
            f"{path} must hold y_true and y_pred or probabilities; it holds {', '.join(names)[:80] or 'nothing'}."
        )
    y_true = _read_array(path, "y_true", arrays["y_true"])
    scores = arrays[predicted]
    binary = predicted == "probabilities" and scores.dtype.kind == "f" and scores.shape in ((scores.size,), (scores.size, 1))
    y_pred = _of_two_classes(path, scores.reshape(-1)) if binary else _read_array(path, predicted, scores)
    if y_true.ndim != 1 or y_pred.ndim not in (1, 2) or len(y_true) != len(y_pred) or not y_pred.size:
        raise InputError(
            f"{path}: expected y_true of shape (images,) and {predicted} of (images,) or (images, classes); got "
            f"{y_true.shape} and {y_pred.shape}."
        )
    recorded = _recorded(path) if run else {}
    class_names = arrays.get("class_names", np.array(recorded.get("class_names", ()))).reshape(-1).tolist()
    id_name = next((name for name in arrays if name in _IDS and arrays[name].shape == y_true.shape), "")
    return Predictions(
        y_true,
        y_pred,
        tuple(str(_text(name)) for name in class_names) or None,
        ids=np.array([str(_text(value)) for value in arrays[id_name].tolist()], object) if id_name else None,
        id_name=id_name,
        dataset=recorded.get("dataset"),
    )


def _of_two_classes(path: Path, probabilities: np.ndarray) -> np.ndarray:
    """Return the probabilities of classes 0 and 1 from those of class 1, as a model with one sigmoid gives them."""
    if not (np.isfinite(probabilities).all() and probabilities.min(initial=0) >= 0 and probabilities.max(initial=0) <= 1):
        raise InputError(
            f"{path}: expected probabilities of class 1 between 0 and 1 in the one column of probabilities; got "
            f"{probabilities[~((probabilities >= 0) & (probabilities <= 1))][0]:g}."
        )
    return np.stack([1 - probabilities, probabilities], axis=1)


def _read_array(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Return labels as `labels.column` does, and probabilities as they are."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim != 1:
        if array.dtype.kind in "SU":
            raise InputError(f"{path}: {name} holds strings in shape {array.shape}; expected one class for each image.")
        return array
    codes, values = labels.factorized(array.astype(np.int8) if array.dtype.kind == "b" else array)
    labels.require_few(len(values))
    read = []
    for code, value in enumerate(values):
        try:
            read.append(labels.read_label(str(_text(value))))
        except labels.LabelError as error:
            raise InputError(f"{path}: {name}[{int(np.argmax(codes == code))}] {error}") from error
    return labels.column(codes, read)


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _recorded(path: Path) -> dict:
    """Return what a run's config.json beside its predictions says of classes and data set; nothing if it cannot be read."""
    try:
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        names, dataset = config["class_names"], config["settings"]["dataset"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    good = isinstance(dataset, str) and isinstance(names, list) and all(isinstance(name, str) for name in names)
    return {"class_names": names, "dataset": dataset} if good else {}


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read what concerns predictions of an .npz file; returns these arrays, and the names of all that it holds."""
    try:
        names, arrays = read_arrays(path, (*_ARRAYS, *_IDS))
    except ArchiveError as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    for name in [name for name in arrays if name in _IDS and not _is_list_of_ids(arrays[name])]:
        del arrays[name]
    for name, array in arrays.items():
        if array.dtype.kind not in "biufSU":
            raise InputError(
                f"{path} cannot be read: its array {name} is of {array.dtype}: expected whole numbers, strings or "
                "probabilities."
            )
    return arrays, names


def _is_list_of_ids(array: np.ndarray) -> bool:
    return array.ndim == 1 and array.dtype.kind in "iuSU"
