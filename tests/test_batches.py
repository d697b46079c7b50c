"""Whatever holds the data of a criterion is read for one epoch, and never without end."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrecall import batches, schedules
from tfrecall.batches import require_readable
from tfrecall.errors import InputError
from tfrecall.pruning import PruningCallback

X, Y = np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10)
SIGNATURE = (tf.TensorSpec((None, 2)), tf.TensorSpec((None,), tf.int64))


def pieces(size=4):
    return [(X[start : start + size], Y[start : start + size]) for start in range(0, len(X), size)]


def endless():
    return itertools.cycle(pieces())


def examples(data):
    return sorted(int(label) for _, y, _ in batches.batches(data) for label in np.atleast_1d(y))


def generated(make):
    return tf.data.Dataset.from_generator(make, output_signature=SIGNATURE)


def sequence(base, length="__len__", stop=True):
    """A sequence of either Keras, whose length is where it says; without a stop, any index has a batch."""

    def item(self, index):
        if stop and index >= 3:
            raise IndexError
        return pieces()[index % 3]

    def measure(self):
        return 3

    measured = {"__len__": measure} if length == "__len__" else {"num_batches": property(measure)}
    return type("Pieces", (base,), {"__getitem__": item, **measured})()


def flow():
    generator = tf_keras.preprocessing.image.ImageDataGenerator()
    return generator.flow(X.reshape(10, 2, 1, 1), Y, batch_size=4, shuffle=True, seed=1)


def started():
    data = flow()
    next(data)
    return data


FINITE = {
    "arrays": lambda: (X, Y),
    "list": pieces,
    "generator": lambda: (piece for piece in pieces()),
    "generator of lists": lambda: ([*piece] for piece in pieces()),
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),
    "tf.data, filtered": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).filter(lambda x, y: y >= 0).batch(4),
    "tf.data of a generator": lambda: generated(lambda: iter(pieces())),
    "tf.data of a generator, mapped": lambda: generated(lambda: iter(pieces())).map(lambda x, y: (x, y)).prefetch(2),
    "tf.data of an endless generator, cut": lambda: generated(endless).take(3),
    "tf.data, repeated and cut": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat().take(3),
    "tf.data, repeated, filtered and cut": lambda: (
        tf.data.Dataset.from_tensor_slices((X, Y)).repeat().filter(lambda x, y: y >= 0).take(10).batch(4)
    ),
    "zip of an endless and a filtered one": lambda: tf.data.Dataset.zip(
        (
            tf.data.Dataset.from_tensors(X[0]).repeat(),
            tf.data.Dataset.from_tensor_slices(Y).filter(lambda y: y >= 0),
        )
    ),
    "tf_keras's Sequence": lambda: sequence(tf_keras.utils.Sequence),
    "tf_keras's Sequence that never stops": lambda: sequence(tf_keras.utils.Sequence, stop=False),
    "Keras 3's PyDataset": lambda: sequence(keras.utils.PyDataset),
    "Keras 3's PyDataset that never stops": lambda: sequence(keras.utils.PyDataset, stop=False),
    "Keras 3's PyDataset by num_batches": lambda: sequence(keras.utils.PyDataset, length="num_batches", stop=False),
    "ImageDataGenerator": flow,
    "ImageDataGenerator in the middle of an epoch": started,
}
ENDLESS = {
    "generator": endless,
    "an iterable": lambda: type("Loader", (), {"__iter__": lambda self: endless()})(),
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat(),
    "tf.data, filtered": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).repeat().filter(lambda x, y: y > 1).batch(4),
    "tf.data of a generator": lambda: generated(endless),
    "tf.data of a generator, mapped": lambda: generated(endless).map(lambda x, y: (x, y)).prefetch(2),
    "tf.data of generators, interleaved": lambda: tf.data.Dataset.range(2).interleave(lambda i: generated(endless)),
}


@pytest.mark.parametrize("name", FINITE)
def test_one_epoch_is_read(name):
    assert examples(FINITE[name]()) == list(range(10))


@pytest.mark.parametrize("name", ENDLESS)
def test_what_does_not_end_is_refused(name):
    with pytest.raises(InputError, match=r"never end|have not ended after 2,001 batches"):
        batches.batches(ENDLESS[name]())


def test_large_data_without_an_end_are_refused_before_memory_is_full(monkeypatch):
    monkeypatch.setattr(batches, "AHEAD_BYTES", 10_000)
    zeros = np.zeros((4, 1000), np.float32), np.zeros(4)
    with pytest.raises(InputError, match="have not ended after 1 batches"):
        batches.batches(itertools.repeat(zeros))
    assert len(list(batches.batches([zeros] * 5))) == 5, "what has a length is not read ahead"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "another iterable of batches; got int"),
        ((X,), "a tuple of 1"),
        ((X, Y[:-1]), "as many labels as examples"),
        ([X], "must yield"),
        ({"x": X, "y": Y}, "must yield"),
    ],
)
def test_what_is_no_data_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        list(batches.batches(data))


def test_lists_are_inputs_and_outputs_and_sample_weights_may_be_missing():
    ((x, y, sample_weight),) = batches.batches(([X, X + 1], [Y, Y + 1], [None, Y + 2.0]))
    np.testing.assert_array_equal(x[1], X + 1)
    np.testing.assert_array_equal(y[1], Y + 1)
    np.testing.assert_array_equal(sample_weight[0], np.ones(10))
    np.testing.assert_array_equal(sample_weight[1], Y + 2.0)
    ((*_, sample_weight),) = batches.batches((X, Y, None))
    assert sample_weight is None
    assert [sample_weight for *_, sample_weight in batches.batches([(X, Y, None), (X, Y)])] == [None, None]


def test_a_callback_says_at_once_what_it_cannot_read():
    several, one = schedules.Iterative(0.5, 3, frequency=2), schedules.OneShot(0.5)
    with pytest.raises(InputError, match=r"are read 3 times, and a generator can be read only once: .* list\(data\)"):
        PruningCallback("gradient", several, (piece for piece in pieces()))
    with pytest.raises(InputError, match="never end"):
        PruningCallback("gradient", one, ENDLESS["tf.data, filtered"]())
    PruningCallback("gradient", one, (piece for piece in pieces()))
    for name in ("list", "arrays", "tf.data of a generator", "ImageDataGenerator"):
        require_readable(FINITE[name](), 3)
