"""What comes last in a graph: marks, the ways to the inputs, and that many ways cost no more than few."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tfrecall.networks.graph import last_marks


def marks(call, *weights):
    """The weights that come last in a call of one input, by place, and whether the input is reached without any."""
    variables = [tf.Variable(value) for value in weights]
    graph = tf.function(lambda x: call(x, *variables)).get_concrete_function(tf.TensorSpec([None, 2], name="x")).graph
    place = {id(variable.handle): index for index, variable in enumerate(variables)}
    marked = {inner.op.name: place[id(outer)] for outer, inner in graph.captures}
    found, is_open = last_marks(graph.outputs, {graph.inputs[0].op.name}, marked)
    return sorted(found), is_open


SQUARE = tf.eye(2)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x, a, b: tf.nn.relu(x @ a) @ b, ([1], False)),
        (lambda x, a, b: tf.nn.softmax(x @ a + tf.nn.relu(x @ b)), ([0, 1], False)),
        (lambda x, a, b: x @ (a @ b + a), ([0, 1], False)),  # made of both, before an input comes in
        (lambda x, a, b: x + tf.nn.relu(x @ a), ([0], True)),
        (lambda x, a, b: x * 2.0, ([], True)),
        (lambda x, a, b: a @ b, ([], False)),  # no input has a part in it
    ],
)
def test_what_first_joins_each_way_back_is_last(call, expected):
    assert marks(call, SQUARE, SQUARE) == expected


def test_a_weight_that_is_made_of_itself_many_times_over_counts_once():
    def call(x, a):
        for _ in range(40):  # Newton and Schulz's way to an orthogonal matrix
            a = 1.5 * a - 0.5 * a @ tf.transpose(a) @ a
        return x @ a

    assert marks(call, SQUARE) == ([0], False)


def test_without_a_tensor_there_is_nothing():
    assert last_marks([None, 3.0], set(), {}) == ([], False)
