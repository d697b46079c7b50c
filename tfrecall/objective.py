"""The objective that a model is trained on, its parts and their gradients by weight.

Data losses are means over all examples, taken in inference mode, so that gradients do not depend on the batch size (but with
Keras's masks, which Keras itself averages batch by batch) and nothing in the model changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from tfrecall import networks, weights
from tfrecall.batches import batches
from tfrecall.errors import InputError


def optimizer_decay(model) -> dict[str, float]:
    """Return the ε of the compiled optimizer's decoupled weight decay: each step takes ε·θ times the learning rate off θ.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        Built. Without an optimizer, or with one that has no decay, ε is 0.

    Returns
    -------
    dict
        {path: float} for the weights of `tfrecall.weights.prunable`, 0 for those that the optimizer excludes.
    """
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # mixed precision wraps it
    epsilon = float(getattr(optimizer, "weight_decay", None) or 0.0)
    # Keras has no public question for this; the exclusions live in the method that its own update asks.
    applies = getattr(optimizer, "_use_weight_decay", lambda variable: True)
    return {
        path: epsilon if epsilon and applies(weight.variable) else 0.0
        for path, weight in weights.prunable(model, classifiers=False).items()
    }


def penalty_gradient(model) -> dict[str, np.ndarray]:
    """Return the gradient of the sum of all weight regularizers.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        Built.

    Returns
    -------
    dict
        {path: array of the weight's shape} for the weights of `tfrecall.weights.prunable`; 0 where nothing is penalised.
    """
    network, found = networks.of(model), weights.prunable(model, classifiers=False)
    variables = [network.traced(weight.variable) for weight in found.values()]
    with tf.GradientTape() as tape:
        terms = [tf.cast(tf.reduce_sum(term), tf.float32) for term in network.penalties(model)]
        total = tf.add_n(terms or [tf.zeros([])])
    gradients = tape.gradient(total, variables, unconnected_gradients="zero")
    return {path: tf.convert_to_tensor(gradient).numpy() for path, gradient in zip(found, gradients)}


def data_gradient(model, data, loss) -> dict[str, np.ndarray]:
    """Return the gradient of the mean data loss over all examples, activity regularizers included.

    Parameters
    ----------
    model : tf_keras.Model or keras.Model
        Built. It is called as in inference, and nothing in it changes.
    data : (x, y), (x, y, sample_weight), or batches of these
        NumPy arrays, or a finite tf.data.Dataset, sequence or other iterable of batches (see `tfrecall.batches.batches`).
        Sample weights are those of Keras's ``fit``: one for each example, or for each of its steps; for all outputs, or a
        list or dictionary of one for each output. Class weights w become sample weights ``w[y]``, as in Keras.
    loss : str, function, Loss, or a list or dictionary of them, optional
        By default the compiled loss, with its loss weights.

    Returns
    -------
    dict
        {path: float32 array of the weight's shape} for the weights of `tfrecall.weights.prunable`.

    Raises
    ------
    InputError
        If there is no loss, or the data hold no examples, never end, or do not fit the model.
    """
    network, found = networks.of(model), weights.prunable(model, classifiers=False)
    variables = [network.traced(weight.variable) for weight in found.values()]
    example_losses = _example_losses(model, loss)

    def batch_gradient(x, y, sample_weight, scale):
        with tf.GradientTape() as tape:
            outputs = model(x, training=False)
            total = tf.reduce_sum(example_losses(y, outputs, sample_weight))
            examples = tf.nest.flatten(outputs)[0].shape[0]
            activity = [tf.cast(value, tf.float32) for value in network.activity_losses(model)]
            if activity:  # Keras adds each to the mean over the batch
                total += tf.add_n(activity) * examples
            total *= scale
        gradients = tape.gradient(total, variables, unconnected_gradients="zero")
        return [tf.convert_to_tensor(gradient).numpy() for gradient in gradients], examples

    # Gradients of a float16 model underflow unless the loss is scaled up, and overflow if it is by too much.
    scale = 2.0**15 if "float16" in network.compute_dtypes(model) else 1.0
    sums, count = [np.zeros(variable.shape, np.float64) for variable in variables], 0
    for x, y, sample_weight in batches(data):
        while True:
            try:
                with _keeping_states(model):
                    gradients, examples = batch_gradient(x, y, sample_weight, scale)
            except InputError:
                raise
            except (ValueError, tf.errors.InvalidArgumentError) as error:
                reason = str(getattr(error, "message", error)).strip().splitlines()[0]
                raise InputError(f"the data for the criterion do not fit the model or its loss: {reason}") from error
            if scale <= 1 or all(np.isfinite(gradient).all() for gradient in gradients):
                break
            scale /= 8
        count += examples
        for total, gradient in zip(sums, gradients):
            total += gradient.astype(np.float64) / scale
    network.clear_losses(model)  # the calls above leave their activity losses on the layers
    if not count:
        raise InputError("the data for the criterion hold no examples.")
    return {path: (total / count).astype(np.float32) for path, total in zip(found, sums)}


@contextmanager
def _keeping_states(model) -> Iterator[None]:
    """Give stateful recurrent layers back the states that they have now."""
    recurrent = [layer for layer in model._flatten_layers() if getattr(layer, "stateful", False)]
    states = [state for layer in recurrent for state in tf.nest.flatten(getattr(layer, "states", None)) if state is not None]
    before = [state.numpy() for state in states]
    try:
        yield
    finally:
        for state, value in zip(states, before):
            state.assign(value)


def _example_losses(model, loss) -> Callable:
    """Return f(y, outputs, sample_weight) → weighted loss of each example [batch], summed over the model's outputs."""
    network = networks.of(model)
    losses_of_keras = network.library.losses
    compiled = loss is None
    loss = getattr(model, "loss", None) if compiled else loss
    if loss is None or (isinstance(loss, list | dict) and not loss):
        raise InputError("this criterion needs a loss: compile the model with one, or pass loss=.")
    named = list(getattr(model, "output_names", None) or [])
    factors = network.loss_weights(model) if compiled else None

    def one(function, y, predicted, sample_weight):
        function = losses_of_keras.get(function)
        if predicted.shape.rank == y.shape.rank + 1 and predicted.shape[-1] == 1:
            y = y[..., tf.newaxis]
        if (y.dtype.is_floating and predicted.dtype.is_floating) or (y.dtype.is_integer and predicted.dtype.is_integer):
            y = tf.cast(y, predicted.dtype)
        # A Loss called as an object would reduce over the batch, and refuse to under a distribution strategy.
        call = function.call if isinstance(function, losses_of_keras.Loss) else function
        losses = call(y, predicted)
        values = tf.cast(losses, tf.float32)
        if values.shape.rank == 0:  # a custom loss may take the mean over the batch itself
            values = tf.fill(tf.shape(predicted)[:1], values)
            if sample_weight is None:
                return values
            return values * tf.reduce_mean(tf.reshape(sample_weight, [tf.shape(predicted)[0], -1]), axis=1)
        # Keras's masks, of padded steps and of an ignored class: the mean is one of what counts.
        masks = [getattr(tensor, "_keras_mask", None) for tensor in (predicted, losses)]
        counts = [tf.cast(mask, tf.float32) for mask in masks if mask is not None and mask.shape.rank == values.shape.rank]
        if counts:
            counting = tf.reduce_prod(counts, axis=0)
            values *= tf.math.divide_no_nan(counting, tf.reduce_mean(counting))
        if sample_weight is not None:
            values *= _fitted(sample_weight, values)
        return tf.reduce_mean(tf.reshape(values, [tf.shape(predicted)[0], -1]), axis=1)

    def example_losses(y, outputs, sample_weight):
        # A dictionary's keys are the names; a subclassed model that gives a list does not name its outputs.
        names = named if named and not isinstance(outputs, dict) else _names(outputs)
        sample_weight = tf.nest.map_structure(
            lambda part: None if part is None else tf.cast(part, tf.float32), sample_weight
        )
        parts = {"loss": loss, "loss weight": factors, "target": y, "output": outputs, "sample weight": sample_weight}
        by_name = {what: _by_output(what, value, names) for what, value in parts.items()}
        used = {name: function for name, function in by_name["loss"].items() if function is not None}
        if lacking := [name for name in used if by_name["target"][name] is None]:
            raise InputError(f"the data have no target for the model's output {lacking[0]!r}.")
        return tf.add_n(
            [
                one(function, *(by_name[what][name] for what in ("target", "output", "sample weight")))
                * (1.0 if (factor := by_name["loss weight"][name]) is None else factor)
                for name, function in used.items()
            ]
        )

    return example_losses


def _fitted(sample_weight, values):
    """Return sample weights with as many axes as the losses [batch, …] that they weight, as Keras does."""
    rank = values.shape.rank
    if sample_weight.shape.rank == rank + 1 and sample_weight.shape[-1] == 1:
        sample_weight = sample_weight[..., 0]
    if sample_weight.shape.rank > rank:
        raise InputError(
            f"sample weights of shape {tuple(sample_weight.shape)} do not fit losses of shape {tuple(values.shape)}: give "
            "one weight for each example, or for each element of the loss."
        )
    return tf.reshape(sample_weight, [*sample_weight.shape, *[1] * (rank - sample_weight.shape.rank)])


def _names(outputs) -> list:
    """Return the names of a model's outputs: a dictionary's keys, places in a list."""
    if isinstance(outputs, dict):
        return list(outputs)
    return list(range(len(outputs))) if isinstance(outputs, list | tuple) else ["output"]


def _by_output(what: str, value, names: list) -> dict:
    """Return {output name: value} from one value for all outputs, a list in their order, or a dictionary."""
    if isinstance(value, dict):
        if what != "target" and (others := [name for name in value if name not in names]):
            raise InputError(f"a {what} is given for {others[0]!r}; the model's outputs are {', '.join(map(repr, names))}.")
        return {name: value.get(name) for name in names}
    if isinstance(value, list | tuple):
        if len(value) != len(names):
            raise InputError(f"expected one {what} for each of the model's {len(names)} outputs; got {len(value)}.")
        return dict(zip(names, value))
    return dict.fromkeys(names, value)
