"""``tfrecall export``: hand a saved model on for serving."""

from __future__ import annotations

import click
from tfrecall.cli import options
from tfrecall.cli.printing import say
from tfrecall.cli.session import session


@click.command(short_help="Turn a saved model into a SavedModel or TFLite file for serving.")
@click.argument("model", type=options.place)
@click.option("--format", "form", default="savedmodel", show_default=True, metavar="NAME", help="savedmodel or tflite.")
@click.option("--output", type=options.place, metavar="PATH", help="Where to write.  [beside MODEL]")
@click.option(
    "--dataset", type=options.place, metavar="NAME|PATH", help="The data set whose class names to write into it.  [0, 1, …]"
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@options.head
@options.preprocessing
@options.custom
@options.unsafe
@options.verbose
def command(model, form, output, dataset, overwrite, head, rescale, preprocess, custom, unsafe, verbose):
    """Write MODEL, a saved Keras model, in a form that needs neither Keras nor tfrecall.

    It takes raw pixels of any batch size and returns probabilities by class name.
    """
    with session(verbose=verbose):
        from pathlib import Path

        from tfrecall import datasets, models
        from tfrecall.report.export import export, export_place

        chosen = options.chosen_preprocessing(rescale, preprocess)
        datasets.preprocessing(chosen)  # a mistake is found before the data are loaded
        beside = (
            Path(model).with_suffix(".tflite")
            if form == "tflite"
            else Path(model).parent / f"{Path(model).stem}_saved_model"
        )
        place = export_place(output or beside, form, overwrite=overwrite)  # before what takes long
        names = datasets.load(dataset).class_names if dataset else None
        objects = models.named_objects(custom)
        with models.custom_scope(objects):  # the model is copied before it is written
            loaded = models.load(model, unsafe=unsafe, custom_objects=objects)
            models.require_image_classifier(loaded, model)
            path = export(
                loaded,
                place,
                format=form,
                class_names=names,
                overwrite=overwrite,
                head=models.head_of(loaded, head, model),
                preprocess=chosen,
            )
    say(f"Written to {path}")
