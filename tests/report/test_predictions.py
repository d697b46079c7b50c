"""Files of predictions: what is read from them, how two are brought together, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tfrecall.errors import InputError
from tfrecall.report.predictions import Predictions, aligned, is_predictions, read


def write(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


def test_an_npz_of_classes(tmp_path):
    np.savez(tmp_path / "a.npz", y_true=[0, 1, 2], y_pred=[0, 2, 2])
    found = read(tmp_path / "a.npz")
    assert found.y_true.tolist() == [0, 1, 2]
    assert found.y_pred.tolist() == [0, 2, 2]
    assert found.class_names is None


def test_an_npz_of_probabilities_with_names(tmp_path):
    np.savez_compressed(
        tmp_path / "a.npz", y_true=[0, 1], probabilities=[[0.75, 0.25], [0.5, 0.5]], class_names=["cat", "dog"]
    )
    found = read(str(tmp_path / "a.npz"))
    assert found.y_pred.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert found.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "text",
    [
        "y_true,y_pred\n3,3\n10,2\n",
        "y_true, y_pred\r\n3, 3\r\n10, 2\r\n",
        "image,y_pred,y_true\na.png,3,3\nb.png,2,10\n",
        "y_true,y_pred\n3,3.0\n10,2.0\n",
        '"y_true","y_pred"\n"3","3"\n\n"10","2"\n',
    ],
)
def test_a_csv_of_numbers(text, tmp_path):
    found = read(write(tmp_path / "a.csv", text))
    assert found.y_true.tolist() == [3, 10]
    assert found.y_pred.tolist() == [3, 2]
    assert found.y_true.dtype.kind in "if"


def test_a_csv_as_a_spreadsheet_writes_it(tmp_path):
    found = read(write(tmp_path / "A.CSV", "y_true,y_pred\nMäuse,Katzen\n", "utf-8-sig"))
    assert (found.y_true.tolist(), found.y_pred.tolist()) == (["Mäuse"], ["Katzen"])


def test_names_are_numbered_the_same_on_both_sides(tmp_path):
    before = read(write(tmp_path / "a.csv", "y_true,y_pred\ncat,dog\ndog,dog\neel,cat\n"))
    after = read(write(tmp_path / "b.csv", "y_true,y_pred\ncat,cat\ndog,dog\neel,dog\n"))
    y_true, y_before, y_after, names = aligned(before, after)
    assert names == ("cat", "dog", "eel")
    assert (y_true.tolist(), y_before.tolist(), y_after.tolist()) == ([0, 1, 2], [1, 1, 0], [0, 1, 1])


def test_a_class_that_only_a_model_names_is_a_class_too():
    before = Predictions(np.array(["b", "c"]), np.array(["b", "a"]))
    after = Predictions(np.array(["b", "c"]), np.array(["b", "c"]))
    y_true, y_before, _, names = aligned(before, after)
    assert names == ("a", "b", "c")
    assert (y_true.tolist(), y_before.tolist()) == ([1, 2], [1, 0])


def test_names_meet_probabilities_through_class_names():
    names = ("dog", "cat")  # not sorted: a column's place decides
    before = Predictions(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), names)
    after = Predictions(np.array(["dog", "cat"]), np.array(["cat", "cat"]))
    y_true, y_before, y_after, found = aligned(before, after)
    assert found == names
    assert (y_true.tolist(), y_after.tolist()) == ([0, 1], [1, 1])
    assert y_before.shape == (2, 2)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (([0, 1], [0, 1], None), ([0, 2], [0, 1], None), "different y_true.*same images"),
        (([0, 1], [0, 1], None), ([0, 1, 1], [0, 1, 1], None), "different y_true.*same images"),
        ((["a", "b"], ["a", "b"], None), (["b", "a"], ["a", "b"], None), "different y_true"),
        (([0, 1], [0, 1], ("a", "b")), ([0, 1], [0, 1], ("b", "a")), "name their classes differently"),
        ((["a", "b"], [[0.5, 0.5], [0.5, 0.5]], None), (["a", "b"], ["a", "b"], None), "add class_names"),
        (([0, 1], [0, 1], ("a", "b")), (["a", "x"], ["a", "b"], None), "'x' is not among the classes a, b"),
    ],
)
def test_sides_that_do_not_go_together(before, after, message):
    sides = [Predictions(np.array(y_true), np.array(y_pred), names) for y_true, y_pred, names in (before, after)]
    with pytest.raises(InputError, match=message):
        aligned(*sides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have the columns y_true,y_pred; it has none"),
        ("label,guess\n1,1\n", "must have the columns y_true,y_pred; it has label,guess"),
        ("y_true\n1\n", "must have the columns"),
        ("y_true,y_pred\n", "holds no predictions"),
        ("y_true,y_pred\n1,1\n2,\n", "line 3: y_pred is empty"),
        ("y_true,y_pred\n1,1\n2\n", "line 3: y_pred is empty"),
        ("y_true,y_pred\n1,1\n   ,2\n", "line 3: y_true is empty"),
    ],
)
def test_a_csv_that_lacks_something(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / "a.csv", text))


def test_a_csv_that_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x81" * 50)
    with pytest.raises(InputError, match="no CSV text file"):
        read(tmp_path / "a.csv")


def truncated(path):
    np.savez(path, y_true=np.zeros(100, int), y_pred=np.zeros(100, int))
    path.write_bytes(path.read_bytes()[:500])


def damaged(path):
    np.savez_compressed(path, y_true=np.arange(5000) % 7, y_pred=np.arange(5000) % 5)
    content = bytearray(path.read_bytes())
    content[60:160] = b"\x55" * 100
    path.write_bytes(content)


def single(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def pickled(path):
    np.savez(path, y_true=np.array([{}, 1], object), y_pred=[0, 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "truncated"),
        (damaged, "truncated, or no .npz"),
        (single, "no .npz file"),
        (pickled, "pickled objects"),
        (lambda path: path.write_bytes(b""), "truncated, or no .npz"),
        (lambda path: path.write_text("y_true,y_pred\n"), "truncated, or no .npz|pickled"),
        (lambda path: np.savez(path, y_true=[0]), "must hold y_true and y_pred or probabilities; it holds y_true"),
        (lambda path: np.savez(path, y_pred=[0]), "it holds y_pred"),
        (lambda path: np.savez(path), "it holds nothing"),
    ],
)
def test_an_npz_that_cannot_be_used(make, message, tmp_path):
    make(tmp_path / "a.npz")
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path / "a.npz")
    assert "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"no file of predictions at .*none\.csv"):
        read(tmp_path / "none.csv")


def test_what_is_a_file_of_predictions():
    assert [name for name in ("a.npz", "A.CSV", "a.keras", "a.h5", "folder", "npz") if is_predictions(name)] == [
        "a.npz",
        "A.CSV",
    ]
