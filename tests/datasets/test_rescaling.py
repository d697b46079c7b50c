"""What a user did to pixels outside the model, against Keras itself."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sample_sets import everything

from tfrecall import datasets
from tfrecall.datasets import preprocessing
from tfrecall.errors import InputError
from tfrecall.settings import Settings

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 5, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_modes_are_those_of_keras(mode):
    from keras.applications.imagenet_utils import preprocess_input

    expected = preprocess_input(PIXELS.copy(), mode=mode)
    np.testing.assert_allclose(preprocessing(mode)(PIXELS), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "scale", "offset"),
    [("1/255", 1 / 255, 0), ("0.5", 0.5, 0), ("1/127.5,-1", 1 / 127.5, -1), (" 2 , 1/4 ", 2, 0.25), ("-1e-2,3", -0.01, 3)],
)
def test_rescalings_are_those_of_keras(text, scale, offset):
    expected = keras.layers.Rescaling(scale, offset)(PIXELS).numpy()
    np.testing.assert_allclose(preprocessing(text)(PIXELS), expected, rtol=1e-6, atol=1e-6)


def test_raw_pixels_stay_as_they_are():
    assert preprocessing(None)(PIXELS) is PIXELS


@pytest.mark.parametrize("text", ["", "0", "1/0", "nan", "inf", "1,inf", "1,2,3", "1/2/3", "a/b", "255x", "1;2", ",", 5])
def test_texts_that_are_no_rescaling(text):
    with pytest.raises(InputError) as error:
        preprocessing(text)
    assert "\n" not in str(error.value)


def test_a_mode_that_is_misspelt():
    with pytest.raises(InputError, match="unknown preprocessing 'cafe': did you mean caffe"):
        preprocessing("cafe")


@pytest.mark.parametrize("memory_limit", [2**30, 0])
@pytest.mark.parametrize("how", ["1/255", "torch", "caffe"])
def test_every_way_to_the_images_gives_preprocessed_ones(npz, how, memory_limit):
    path = npz(x_train=PIXELS.astype(np.uint8), x_test=PIXELS[:9].astype(np.uint8))
    raw = datasets.load(path, memory_limit=memory_limit)
    data = datasets.load(path, memory_limit=memory_limit, preprocess=how)
    apply = preprocessing(how)
    for part in ("train", "validation", "test"):
        before, after = getattr(raw, part), getattr(data, part)
        np.testing.assert_allclose(everything(after)[0], apply(everything(before)[0]), atol=1e-5)
        np.testing.assert_allclose(after.sample(5, 1)[0], apply(before.sample(5, 1)[0]), atol=1e-5)
        np.testing.assert_array_equal(after.labels, before.labels)
        np.testing.assert_array_equal(everything(after.preprocessed(datasets.RAW))[0], everything(before)[0])


def test_modes_for_colours_refuse_grey_images():
    for mode in ("caffe", "torch"):
        with pytest.raises(InputError, match=rf"preprocess {mode} is for images with 3 channels, but the model takes 1"):
            datasets.load("digits", preprocess=mode)
    assert datasets.load("digits", preprocess="tf").test.sample(100, 0)[0].min() == -1


def test_models_by_name_take_raw_pixels():
    with pytest.raises(InputError, match=r"lenet5 takes raw pixels, .* --rescale and --preprocess are for saved models"):
        Settings(preprocess="1/255")
