"""Files of predictions: what is read from them, how two are brought together, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecall import comparison
from tfrecall.errors import InputError
from tfrecall.report.labels import read_label
from tfrecall.report.predictions import Predictions, aligned, is_predictions, read, run_file


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


# How programs write the whole number n
SPELLINGS = (str, lambda n: f"{n}.0", lambda n: f"{n:.18e}", lambda n: f" {n} ", lambda n: f"{n}.", lambda n: f'"{n}"')


def csv_text(truth, predicted, spell, separator=",", header=("y_true", "y_pred")):
    rows = [separator.join(header), *(separator.join((spell(t), spell(p))) for t, p in zip(truth, predicted))]
    return "\n".join(rows) + "\n"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_spelling_never_changes_a_recall(data, tmp_path_factory):
    """Known: the recalls, counted here, whatever numbers the classes are, however each file writes them."""
    folder = tmp_path_factory.mktemp("csv")
    classes = data.draw(st.lists(st.integers(-50, 10**12), min_size=1, max_size=4, unique=True))
    some = st.lists(st.sampled_from(classes), min_size=1, max_size=12)
    truth = data.draw(some)
    sides = [[data.draw(st.sampled_from([*classes, "unknown"])) for _ in truth] for _ in range(2)]
    for name, predicted in zip("ab", sides):
        spell = data.draw(st.sampled_from(SPELLINGS))
        text = csv_text(truth, predicted, lambda label, spell=spell: spell(label) if label != "unknown" else label)
        write(folder / f"{name}.csv", text)
    y_true, *predictions, names = aligned(read(folder / "a.csv"), read(folder / "b.csv"))
    names = names or [str(number) for number in range(10**5)]
    for predicted, expected in zip(predictions, sides):
        assert [names[number] for number in predicted] == list(map(str, expected))
    assert [names[number] for number in y_true] == list(map(str, truth))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("3.0", 3),
        ("03", 3),
        ("+3", 3),
        ("-1", -1),
        ("-0.0", 0),
        ("1.000000000000000000e+01", 10),
        ("1e400", "1e400"),
        ("12345678901234567890", "12345678901234567890"),
        ("1_0", "1_0"),
        ("٣", "٣"),
        ("None", "None"),
        ("n01440764", "n01440764"),
    ],
)
def test_what_a_label_means(text, expected):
    assert read_label(text) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "nan", "NaN", "-nan", "NA", "n/a", "#N/A", "<NA>", "NULL", "0.5", "inf", "-Infinity"]
)
@pytest.mark.parametrize("column", ["y_true", "y_pred"])
def test_a_label_that_is_none_is_named_with_file_line_and_column(text, column, tmp_path):
    rows = ["cat,cat", "", f"{text},cat" if column == "y_true" else f"cat,{text}"]
    write(tmp_path / "a.csv", "\n".join(["y_true,y_pred", *rows]))
    with pytest.raises(InputError, match=rf"a\.csv, line 4: {column} is "):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "text",
    [
        "y_true;y_pred\n3;3\n10;2\n",
        "y_true\ty_pred\n3\t3\n10\t2\n",
        "y_true;y_pred\n3,0;3,0\n10,0;2,0\n",
        "sep=;\nY True; Y-Pred\n3;3\n10;2\n;\n;;\n",
        '\ufeff"Y_TRUE","y_pred"\r\n"3","3"\r\n"10","2"\r\n\r\n',
        "y_true,y_pred,\n3,3,\n10,2,\n",
        ",y_true,y_pred\n0,3,3\n1,10,2\n",
        '"y_true","y_pred"\n"1",3,3\n"2",10,2\n',
        "\n\n y_pred , y_true\n3,3\n2,10\n , \n",
        'note,y_true,y_pred\n"two\nlines",3,3\nb,10,2\n',
        "y_true,y_pred\r3,3\r10,2\r",
    ],
)
def test_a_csv_as_programs_write_it(text, tmp_path):
    (tmp_path / "a.csv").write_bytes(text.encode())
    predictions = read(tmp_path / "a.csv")
    assert predictions.y_true.tolist() == [3, 10]
    assert predictions.y_pred.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y_true,y_pred\ncat,dog\nbig, cat,dog\n", "line 3: expected 2 fields.*got 3.*quotation marks"),
        ("y_true,y_pred\nbig, cat,dog\nbig, cat,dog\n", "line 2: expected 2 fields"),
        ("y_true,y_true,y_pred\n1,1,1\n", "2 columns y_true"),
        ('y_true,y_pred\n1,1\n"2,1\n3,3\n', "no CSV text file"),
        ("y_true,y_pred\n1,\0\n", "no CSV text file"),
    ],
)
def test_a_csv_that_would_be_misread(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / "a.csv", text))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "utf-32"])
def test_another_encoding_is_told_apart(encoding, tmp_path):
    write(tmp_path / "a.csv", "y_true,y_pred\némeu,émeu\n", encoding)
    with pytest.raises(InputError, match="save it as CSV in UTF-8"):
        read(tmp_path / "a.csv")


def test_rows_are_matched_by_their_images(tmp_path):
    rng = np.random.default_rng(3)
    truth, first, second = (rng.integers(0, 4, 200) for _ in range(3))
    order = rng.permutation(200)
    write(tmp_path / "a.csv", "image,y_true,y_pred\n" + "".join(f"{i}.png,{truth[i]},{first[i]}\n" for i in range(200)))
    write(tmp_path / "b.csv", "y_true;y_pred;Image\n" + "".join(f"{truth[i]};{second[i]};{i}.png\n" for i in order))
    y_true, y_first, y_second, _ = aligned(read(tmp_path / "a.csv"), read(tmp_path / "b.csv"))
    assert np.array_equal(y_true, truth)
    assert np.array_equal(y_first, first)
    assert np.array_equal(y_second, second)
    np.savez(tmp_path / "c.npz", y_true=truth[order], y_pred=second[order], image=[f"{i}.png" for i in order])
    assert np.array_equal(aligned(read(tmp_path / "a.csv"), read(tmp_path / "c.npz"))[2], second)


@pytest.mark.parametrize(
    ("ids", "message"), [(["a", "c"], "AFTER lacks 'b'"), (["b", "b"], "'b' is in AFTER more than once")]
)
def test_images_that_do_not_match(ids, message):
    before = Predictions(np.array([0, 1]), np.array([0, 1]), ids=np.array(["a", "b"], object), id_name="id")
    after = Predictions(np.array([0, 1]), np.array([0, 1]), ids=np.array(ids, object), id_name="id")
    with pytest.raises(InputError, match=message):
        aligned(before, after)


def test_row_numbers_that_differ_are_no_images(tmp_path):
    write(tmp_path / "a.csv", ",y_true,y_pred\n7,0,0\n3,1,1\n")
    write(tmp_path / "b.csv", ",y_true,y_pred\n0,0,1\n1,1,1\n")
    assert aligned(read(tmp_path / "a.csv"), read(tmp_path / "b.csv"))[2].tolist() == [1, 1]


def test_rows_in_another_order_without_images_say_where_they_part():
    sides = [Predictions(np.array(y, object), np.array(["a"] * 3, object)) for y in (["a", "b", "c"], ["a", "c", "b"])]
    with pytest.raises(InputError, match=r"different y_true \(first in row 2: b and c\).*column id"):
        aligned(*sides)


def test_a_model_may_name_a_class_without_images_beside_probabilities():
    names = ("dog", "cat")
    before = Predictions(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), names)
    after = Predictions(np.array(["dog", "cat"]), np.array(["unknown", "cat"]))
    y_true, y_before, y_after, found = aligned(before, after)
    assert found == ("dog", "cat", "unknown")
    assert (y_true.tolist(), y_before.tolist(), y_after.tolist()) == ([0, 1], [0, 1], [2, 1])


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        ([3.0, 1.0], [1.0, 3.0], [3, 1]),
        (["3.0", "1"], [3, 1], [3, 1]),
        ([b"a", b"b"], ["a", "b"], ["a", "b"]),
        ([True, False], [False, False], [1, 0]),
        ([[3], [1]], [3, 1], [3, 1]),
        (np.array([2**63 + 1, 1], np.uint64), [1, 1], ["9223372036854775809", "1"]),
    ],
)
def test_labels_of_an_npz_in_any_type(y_true, y_pred, expected, tmp_path):
    np.savez(tmp_path / "a.npz", y_true=y_true, y_pred=y_pred)
    assert read(tmp_path / "a.npz").y_true.tolist() == expected


def test_a_label_of_an_npz_that_is_none(tmp_path):
    np.savez(tmp_path / "a.npz", y_true=[0, 1, 2], y_pred=[0, 1, np.nan])
    with pytest.raises(InputError, match=r"a\.npz: y_pred\[2\] is 'nan'"):
        read(tmp_path / "a.npz")


# ------------------------------------------------------------------------------------------------ files made to do harm


def member(path, header, body=b"", compression=zipfile.ZIP_STORED):
    """Write an .npz whose array y_true has a header of any text."""
    content = header.encode().ljust(118) + b"\n"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("y_true.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(content)) + content + body)
    return path


def array_header(shape, descr="<i8"):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (array_header("(2000000000000,)"), "declares int64 of .*1.6e[+]13 bytes"),
        (array_header("(1" + "0" * 30 + ",)"), "declares int64 of .*8e[+]30 bytes"),
        (array_header("(-5,)"), "declares int64 of"),
        (array_header("(0,)", "<M8[s]"), "expected whole numbers"),
        (array_header("(2,)", "|O"), "pickled objects"),
        ("{'descr': (((((", "truncated, or no .npz"),
        ("(" * 110, "truncated, or no .npz"),
        ("'" * 3, "truncated, or no .npz"),
        ("\t\n  x", "truncated, or no .npz"),
    ],
)
def test_headers_made_to_do_harm(header, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        read(member(tmp_path / "a.npz", header))
    assert len(str(error.value)) < 300 + len(str(tmp_path))


def test_compression_and_encryption_that_cannot_be_read(tmp_path):
    path = member(tmp_path / "a.npz", array_header("(2,)"), bytes(16), zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    content[45:80] = b"\xff" * 35
    path.write_bytes(content)
    with pytest.raises(InputError, match="compressed in a way"):
        read(path)
    for offset, value, message in ((8, 97, "compressed in a way|truncated"), (6, 1, "encrypted")):
        np.savez(path, y_true=[0, 1], y_pred=[0, 1])
        content = bytearray(path.read_bytes())
        for signature, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
            start = -1
            while (start := content.find(signature, start + 1)) >= 0:
                struct.pack_into("<H", content, start + offset + shift, value)
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_escapes_as_another_error(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    np.savez_compressed(path, y_true=np.arange(30) % 3, y_pred=np.arange(30) % 3, class_names=["a", "b", "c"])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        read(path)


def test_pipes_devices_and_folders_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.npz").mkdir()
    for name, kind in (("pipe.csv", "a pipe"), ("folder.npz", "a folder")):
        with pytest.raises(InputError, match=kind):
            read(tmp_path / name)
    with pytest.raises(InputError, match="too long"):
        read(tmp_path / ("x" * 300 + ".csv"))


# --------------------------------------------------------------------------------------------------------- a run's folder


def run_folder(path, dataset="digits", truth=(0, 1, 1, 0), after=(0, 1, 0, 0)):
    path.mkdir()
    before = np.eye(2)[list(truth)]
    np.savez(path / "predictions.npz", y_true=truth, before=before, after=np.eye(2)[list(after)])
    (path / "config.json").write_text(json.dumps({"class_names": ["cat", "dog"], "settings": {"dataset": dataset}}))
    return path


def recalls(report):
    return [(row["class"], row["recall_before"], row["recall_after"]) for row in report["classes"]]


def test_one_run_is_compared_with_its_baseline(tmp_path):
    run = run_folder(tmp_path / "A")
    expected = [("cat", 1, 1), ("dog", 1, 0.5)]
    for sides in ((run,), (run / "predictions.npz",), (run, run / "predictions.npz"), (run, run)):
        assert recalls(comparison.compare(*sides, resamples=100)) == expected


def test_two_runs_are_compared_by_their_pruned_models(tmp_path):
    first, second = run_folder(tmp_path / "A"), run_folder(tmp_path / "B", after=(1, 1, 1, 0))
    assert recalls(comparison.compare(first, second, resamples=100)) == [("cat", 1, 0.5), ("dog", 0.5, 1)]
    write(tmp_path / "c.csv", "y_true,y_pred\ncat,cat\ndog,unknown\ndog,dog\ncat,cat\n")
    report = comparison.compare(first, tmp_path / "c.csv", resamples=100)
    assert recalls(report)[:2] == [("cat", 1, 1), ("dog", 0.5, 0.5)]


def test_runs_on_different_images(tmp_path):
    first = run_folder(tmp_path / "A")
    with pytest.raises(InputError, match=r"data set digits and AFTER on sets/mnist\.npz: .*same test images"):
        comparison.compare(first, run_folder(tmp_path / "B", "sets/mnist.npz"))
    with pytest.raises(InputError, match=r"different y_true.*same images"):
        comparison.compare(first, run_folder(tmp_path / "C", truth=(0, 1, 0, 1)))


def test_what_is_a_run(tmp_path):
    run = run_folder(tmp_path / "A")
    np.savez(tmp_path / "a.npz", y_true=[0], y_pred=[0])
    assert run_file(run) == run_file(run / "predictions.npz") == run / "predictions.npz"
    assert is_predictions(run)
    assert run_file(tmp_path / "a.npz") is None
    assert run_file(tmp_path) is None
    assert not is_predictions(tmp_path)
    with pytest.raises(InputError, match="Missing argument 'AFTER'"):
        comparison.compare(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_column_of_probabilities_is_that_of_class_1(shape, tmp_path):
    scores = np.array([0.1, 0.6, 0.4, 0.9]).reshape(shape)
    np.savez(tmp_path / "a.npz", y_true=[0, 1, 1, 1], probabilities=scores)
    read_back = read(tmp_path / "a.npz")
    np.testing.assert_allclose(read_back.y_pred, np.stack([1 - scores.ravel(), scores.ravel()], axis=1))
    np.savez(tmp_path / "a.npz", y_true=[0, 1, 1, 1], probabilities=scores * 3)
    with pytest.raises(InputError, match="between 0 and 1"):
        read(tmp_path / "a.npz")


def test_two_kinds_of_predictions_in_one_file_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", y_true=[0, 1], y_pred=[0, 1], probabilities=[[0.1, 0.9], [0.8, 0.2]])
    with pytest.raises(InputError, match="leave out one"):
        read(tmp_path / "a.npz")
