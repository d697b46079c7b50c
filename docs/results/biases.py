"""Magnitude pruning of LeNet-5 on Fashion-MNIST with the biases inside or outside the budget, by initializer.

python docs/results/biases.py pytorch 0,1,2,3,4 > rows.csv   # initializer, seeds; a row for each model, as in biases.csv
"""

import csv
import sys

import keras
import numpy as np

import tfrecall
from tfrecall import datasets, models, training, weights

FIELDS = ("initializer", "seed", "pruned", "t", "before", "one_shot", "after", "kernels_kept", "biases_kept")


def main(initializer: str, seeds: list[int]) -> None:
    """Train a model for each seed, prune it in both ways, fine-tune it at t = 50, and print a row each."""
    rows = csv.DictWriter(sys.stdout, FIELDS)
    rows.writeheader()
    recipe = training.recipe("paper", "lenet5", initializer=initializer)
    for seed in seeds:
        training.seed_everything(seed)
        data = datasets.load("fashion_mnist", image_shape=(28, 28, 1), validation_fraction=0.1, seed=seed)
        steps = -(-len(data.train) // recipe.batch_size)
        mean, variance = data.pixel_moments()
        form = {"mean": mean, "variance": variance, "initializer": initializer, "keras": keras}
        trained = training.compile_model(models.build("lenet5", data.image_shape, 10, **form), recipe, steps * recipe.epochs)
        training.fit(trained, data.train, data.validation, recipe, epochs=recipe.epochs, seed=seed)
        for pruned in ("kernels and biases", "kernels"):
            for t in (50, 4):
                model = models.build("lenet5", data.image_shape, 10, **form)
                model.set_weights(trained.get_weights())
                training.compile_model(model, recipe, steps * recipe.fine_tune_epochs, fine_tune=True)
                rows.writerow(
                    {"initializer": initializer, "seed": seed, "pruned": pruned, "t": t}
                    | measured(model, data, recipe, pruned != "kernels", t, seed)
                )
                sys.stdout.flush()


def measured(model, data, recipe, with_biases: bool, t: float, seed: int) -> dict:
    """Prune a compiled model in place, fine-tune it at t = 50, and return its accuracies and what is left."""
    kernels = [path for path, weight in weights.prunable(model).items() if not weight.classifier]
    biases = [f"{path.rpartition('/')[0]}/bias" for path in kernels] if with_biases else []
    before = accuracy(model, data)
    tfrecall.prune(model, t, "magnitude", only=kernels + biases)
    kept = {path: int(np.count_nonzero(w.value)) for path, w in weights.removable(model, only=kernels + biases).items()}
    one_shot, after = accuracy(model, data), ""
    if t == 50:
        callbacks = [tfrecall.PruningCallback()]
        epochs = recipe.fine_tune_epochs
        training.fit(model, data.train, data.validation, recipe, epochs=epochs, seed=seed + 1, callbacks=callbacks)
        after = accuracy(model, data)
    numbers = [sum(kept[path] for path in paths) for paths in (kernels, biases)]
    return dict(zip(FIELDS[4:], (before, one_shot, after, numbers[0], numbers[1] if with_biases else "")))


def accuracy(model, data) -> float:
    """Return the accuracy on the test images."""
    return round(float((training.predict(model, data.test).argmax(axis=1) == data.test.labels).mean()), 4)


if __name__ == "__main__":
    main(sys.argv[1], [int(seed) for seed in sys.argv[2].split(",")])
