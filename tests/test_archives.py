"""Files that declare what they do not hold are refused before memory is asked for."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from tfrecall import datasets
from tfrecall.archives import read_arrays
from tfrecall.errors import InputError


def header(shape, descr="<f8", version=(1, 0)):
    stream = io.BytesIO()
    write = npy.write_array_header_1_0 if version == (1, 0) else npy.write_array_header_2_0
    write(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def archive(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as out:
        out.writestr("x.npy", content)
    return path


def forged(path, size):
    """Let the archive declare another size of its only member."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.index(signature) + offset
        content[start : start + 4] = struct.pack("<I", size)
    path.write_bytes(content)


def refused(path):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as error:  # noqa: PT011  the reason differs
            read_arrays(path, ["x"])
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (2**40, 2**40, 2**40), (1001,), (999,), (-1000,), (-5, -200)])
def test_shapes_that_the_file_does_not_hold(tmp_path, shape, compression, version):
    path = archive(tmp_path / "a.npz", header(shape, version=version) + bytes(8000), compression)
    assert "but holds 8000 bytes" in refused(path)


def test_elements_of_no_size(tmp_path):
    assert "declares" in refused(archive(tmp_path / "a.npz", header((10**12,), "<U0")))
    assert "declares" in refused(archive(tmp_path / "a.npz", header((10**12,), "|V0")))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_that_the_archive_cannot_hold(tmp_path, compression):
    path = archive(tmp_path / "a.npz", header((2**28,)) + bytes(8000), compression)
    forged(path, 2**31 + 128)
    assert "more than the file can hold" in refused(path)


def test_more_than_the_machine_has(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros(10**6))
    monkeypatch.setattr(os, "sysconf", lambda name: 2000)  # two numbers whose product is four megabytes
    assert "more than the 0 GB of this machine" in refused(path)


def test_bombs_of_other_methods_are_refused(tmp_path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert "a way that NumPy does not use" in refused(archive(tmp_path / "a.npz", bytes(10**6), method))


def test_objects_pipes_and_devices(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], object))
    assert "pickled objects" in refused(tmp_path / "a.npz")
    os.mkfifo(tmp_path / "b.npz")
    (tmp_path / "c.npz").symlink_to("/dev/zero")
    for name in ("b.npz", "c.npz"):
        assert "no regular file" in refused(tmp_path / name)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_whatever_numpy_saves_is_read(tmp_path, save):
    arrays = {
        "zeros": np.zeros((300, 1000)),
        "scalar": np.float32(3),
        "empty": np.empty((0, 3)),
        "turned": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
        "text": np.array(["a", "bcd"]),
        "records": np.zeros(3, [("a", int), ("b", "U3")]),
    }
    save(tmp_path / "a.npz", **arrays)
    names, read = read_arrays(tmp_path / "a.npz", ["zeros", "scalar", "empty", "turned", "text", "records", "no such"])
    assert names == list(arrays)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_of_any_kind_is_one_error_or_none(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    np.savez_compressed(path, x=np.arange(50))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    reason, arrays = "", {}
    try:
        _, arrays = read_arrays(path, ["x"])
    except ValueError as error:
        reason = str(error)
    assert "\n" not in reason
    assert all(array.nbytes <= 10_000 for array in arrays.values())


def test_a_data_set_says_so_in_one_line(tmp_path):
    good = {"y_train": np.arange(60) % 3, "x_test": np.zeros((9, 8, 8)), "y_test": np.arange(9) % 3}
    np.savez(tmp_path / "set.npz", **good)
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as out:
        out.writestr("x_train.npy", header((10**12, 8, 8)) + bytes(100))
    with pytest.raises(
        InputError, match=r"set\.npz cannot be read .*x_train\.npy declares float64 of the shape .*np\.savez"
    ):
        datasets.load(tmp_path / "set.npz")
