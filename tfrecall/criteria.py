"""What a weight is worth: a score for each prunable weight, the lowest of which are pruned.

A criterion is a small class with one method, `Criterion.scores`. The objective is L(θ) = data loss + weight regularizers
(+ the optimizer's decoupled weight decay); T(θ) is L without the decay (Good et al., NeurIPS 2022, section 4).
`tfrecall.objective` has their gradients; nothing in the model changes. Importing this loads no TensorFlow.
"""

from __future__ import annotations

import numpy as np

from tfrecall.errors import InputError, unknown


class Criterion:
    """A rule that scores weights. Subclass it and override `scores` to make your own."""

    needs_data = False

    def scores(self, model, data=None, *, loss=None) -> dict[str, np.ndarray]:
        """Score every prunable weight of a model, the classifier's included.

        Parameters
        ----------
        model : tf_keras.Model or keras.Model
            Built; plain or pruned. It is not changed.
        data : tuple (x, y) or (x, y, sample_weight), tf.data.Dataset or iterable of such batches, optional
            The examples over which the data loss is averaged, if the criterion needs any: one epoch of them. What has no
            length and does not end is refused (see `tfrecall.batches.batches`).
        loss : str, Keras loss or callable, optional
            The data loss; the compiled model's by default.

        Returns
        -------
        dict of str to ndarray
            One array of the weight's shape for each path of `tfrecall.weights.prunable`; at least 0.

        Raises
        ------
        InputError
            If the criterion needs data or a loss and there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} must override scores(model, data, loss).")


class Magnitude(Criterion):
    """Magnitude pruning (MP): score |θ|."""

    def scores(self, model, data=None, *, loss=None) -> dict[str, np.ndarray]:
        """Return |θ| by path; data and loss are not used."""
        return {path: np.abs(theta) for path, theta in _values(model).items()}


class Random(Criterion):
    """Random pruning (RP): uniform noise.

    Parameters
    ----------
    seed : int
        The same seed gives the same scores, whatever the weights.
    """

    def __init__(self, seed: int = 0):
        self.seed = seed

    def scores(self, model, data=None, *, loss=None) -> dict[str, np.ndarray]:
        """Return uniform noise in [0, 1) by path; data and loss are not used."""
        rng = np.random.default_rng(self.seed)
        return {path: rng.random(theta.shape, np.float32) for path, theta in _values(model).items()}


class Gradient(Criterion):
    """Gradient pruning (GP), the first-order Taylor score |−θ ⊙ ∇L|.

    L is the whole objective: data loss, weight regularizers, activity regularizers, and (ε/2)‖θ‖² for the weights to which
    the compiled optimizer applies a decoupled weight decay of ε.
    """

    needs_data = True

    def scores(self, model, data=None, *, loss=None) -> dict[str, np.ndarray]:
        """Return |−θ ⊙ ∇L| by path."""
        from tfrecall import objective

        theta = _values(model)
        data_gradient = _data_gradient(model, data, loss)
        penalty_gradient = objective.penalty_gradient(model)
        epsilon = objective.optimizer_decay(model)
        return {
            path: np.abs(theta[path] * (data_gradient[path] + penalty_gradient[path] + epsilon[path] * theta[path]))
            for path in theta
        }


class Undecayed(Criterion):
    """Undecayed pruning (UP): score |−θ ⊙ ∇T|, the effect on the loss with weight decay deducted.

    For decay in the objective, the paper's |−θ ⊙ ∇L + εθ²| equals |−θ ⊙ ∇(data loss)|, which is what is computed: it deducts
    every weight regularizer exactly (L1, L1L2, orthogonal, custom), where the formula covers L2 alone. Activity regularizers
    depend on the data and stay in T.
    """

    needs_data = True

    def scores(self, model, data=None, *, loss=None) -> dict[str, np.ndarray]:
        """Return |−θ ⊙ ∇T| by path."""
        theta = _values(model)
        gradient = _data_gradient(model, data, loss)
        return {path: np.abs(theta[path] * gradient[path]) for path in theta}


class UndecayedSum(Criterion):
    """The other reading of undecayed pruning: |−θ ⊙ g + εθ²| with g the gradient of the data loss alone.

    This is what the formula gives in frameworks whose optimizer holds the decay, so that "∇L" lacks εθ. It is another score
    than `Undecayed`, and exists for comparison with such implementations.

    Parameters
    ----------
    weight_decay : float, optional
        ε. By default each weight's own: the compiled optimizer's weight decay plus that of its L2 regularizer.
    """

    needs_data = True

    def __init__(self, weight_decay: float | None = None):
        self.weight_decay = weight_decay

    def scores(self, model, data=None, *, loss=None) -> dict[str, np.ndarray]:
        """Return |−θ ⊙ g + εθ²| by path."""
        theta = _values(model)
        gradient = _data_gradient(model, data, loss)
        epsilon = self._epsilon(model)
        return {path: np.abs(-theta[path] * gradient[path] + epsilon[path] * theta[path] ** 2) for path in theta}

    def _epsilon(self, model) -> dict[str, float]:
        from tfrecall import objective, regularizers, weights

        found = weights.prunable(model, classifiers=False)
        if self.weight_decay is not None:
            return dict.fromkeys(found, self.weight_decay)
        optimizer = objective.optimizer_decay(model)
        return {path: optimizer[path] + regularizers.decay(weight.regularizer) for path, weight in found.items()}


CRITERIA: dict[str, type[Criterion]] = {
    "magnitude": Magnitude,
    "gradient": Gradient,
    "undecayed": Undecayed,
    "random": Random,
    "undecayed-sum": UndecayedSum,
}
SHORT = {"mp": "magnitude", "gp": "gradient", "up": "undecayed", "rp": "random"}


def canonical(name: str) -> str:
    """Return the full name of a criterion from its full or short name, such as ``"undecayed"`` from ``"up"``."""
    full = SHORT.get(name.lower(), name.lower())
    if full not in CRITERIA:
        raise unknown("algorithm", name, [*CRITERIA, *SHORT])
    return full


def get(criterion: str | Criterion, seed: int = 0) -> Criterion:
    """Return the criterion of a name, or the object itself; `seed` goes to `Random`."""
    if isinstance(criterion, str):
        cls = CRITERIA[canonical(criterion)]
        return cls(seed) if cls is Random else cls()
    if not callable(getattr(criterion, "scores", None)):
        raise InputError(f"criterion must be a name or an object with a scores method; got {criterion!r}.")
    return criterion


def require_data(data) -> None:
    """Raise InputError if there are no data for a criterion that needs them."""
    if data is None:
        raise InputError("this criterion needs data: pass data=(x, y), or a tf.data.Dataset of (x, y) batches.")


def _data_gradient(model, data, loss) -> dict[str, np.ndarray]:
    from tfrecall import objective

    require_data(data)
    return objective.data_gradient(model, data, loss)


def _values(model) -> dict[str, np.ndarray]:
    from tfrecall import weights

    return {path: weight.value for path, weight in weights.prunable(model, classifiers=False).items()}
