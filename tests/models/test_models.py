"""The models against their published sizes, and what every one promises."""

import keras
import numpy as np
import pytest
import tf_keras
from scipy import stats

from tfrecall import models, weights
from tfrecall.errors import InputError

# LeNet-5 with dense layers; the CIFAR ResNets with parameter-free shortcuts; VGG-16 with batch norm and one dense layer.
PUBLISHED = {
    "lenet5": ((28, 28, 1), 61_706),
    "resnet20": ((32, 32, 3), 269_722),
    "resnet32": ((32, 32, 3), 464_154),
    "resnet44": ((32, 32, 3), 658_586),
    "resnet56": ((32, 32, 3), 853_018),
    "resnet110": ((32, 32, 3), 1_727_962),
    "vgg16": ((32, 32, 3), 14_728_266),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name):
    shape, parameters = PUBLISHED[name]
    model = models.build(name, shape, 10)
    assert weights.total_parameters(model) == parameters == models.ARCHITECTURES[name].parameters
    assert [path for path, weight in weights.prunable(model).items() if weight.classifier] == ["classifier/kernel"]


@pytest.mark.parametrize(("depth", "convolutions"), [(20, 19), (32, 31), (110, 109)])
def test_a_resnet_has_its_depth_in_layers_with_kernels(depth, convolutions):
    model = models.build(f"resnet{depth}", (32, 32, 3), 10)
    kernels = list(weights.prunable(model))
    assert len(kernels) == convolutions + 1


def test_the_resnet_shortcut_takes_every_second_pixel_and_pads_with_zeros():
    model = models.build("resnet20", (32, 32, 3), 10)
    inner = tf_keras.Model(model.get_layer("stage1_block3_relu").output, model.get_layer("stage2_block1_pad").output)
    features = np.random.default_rng(0).normal(size=(2, 32, 32, 16)).astype("float32")
    shortcut = inner(features).numpy()
    np.testing.assert_array_equal(shortcut[..., :16], features[:, ::2, ::2])
    assert shortcut.shape == (2, 16, 16, 32)
    assert not shortcut[..., 16:].any()


@pytest.mark.parametrize(("name", "size"), [("lenet5", 28), ("resnet20", 32), ("vgg16", 28), ("vgg16", 64)])
def test_models_take_raw_pixels_and_return_probabilities(name, size):
    model = models.build(name, (size, size, 3), 7, mean=(100, 110, 120), variance=(400, 500, 600))
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype("float32")
    probabilities = model(images).numpy()
    assert probabilities.shape == (2, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    normalized = tf_keras.Model(model.input, model.get_layer("normalization").output)(images).numpy()
    np.testing.assert_allclose(normalized, (images - (100, 110, 120)) / np.sqrt((400, 500, 600)), rtol=1e-5)


def test_vgg16_adapts_to_224_pixels_with_the_same_parameters():
    assert models.image_shape("vgg16", (224, 224, 3)) == (224, 224, 3)
    model = models.build("vgg16", (224, 224, 3), 10)
    assert weights.total_parameters(model) == 14_728_266


@pytest.mark.parametrize(
    ("name", "native", "expected"),
    [
        ("lenet5", (8, 8, 1), (28, 28, 1)),
        ("lenet5", (28, 28, 1), (28, 28, 1)),
        ("resnet56", (28, 28, 1), (32, 32, 1)),
        ("vgg16", (8, 8, 1), (28, 28, 1)),
        ("vgg16", (300, 100, 3), (224, 100, 3)),
    ],
)
def test_images_are_resized_to_what_a_model_needs(name, native, expected):
    assert models.image_shape(name, native) == expected


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_weight_decay_is_half_epsilon_times_the_squared_norm_of_every_trainable_parameter(name):
    shape, _ = PUBLISHED[name]
    model = models.build(name, shape, 10, weight_decay=5e-4)
    norm = sum(float((weight.numpy().astype(np.float64) ** 2).sum()) for weight in model.trainable_weights)
    assert float(sum(model.losses)) == pytest.approx(5e-4 / 2 * norm, rel=1e-4)
    assert not models.build(name, shape, 10).losses


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_the_initializer_of_pytorch_is_uniform_in_one_over_the_root_of_the_fan_in(library):
    library.utils.set_random_seed(0)
    model = models.build("lenet5", (28, 28, 1), 10, initializer="pytorch", keras=library)
    inputs = {"conv1": 25, "conv2": 25 * 6, "dense1": 16 * 25, "dense2": 120, "classifier": 84}  # of one unit
    for name, fan_in in inputs.items():
        kernel, bias = model.get_layer(name).get_weights()
        for values in (kernel, bias):
            assert np.abs(values).max() <= fan_in**-0.5
        scaled = np.concatenate([kernel.ravel(), bias]) * fan_in**0.5
        assert stats.kstest(scaled, "uniform", args=(-1, 2)).pvalue > 0.001, name


def test_two_weights_never_start_alike():
    model = models.build("lenet5", (28, 28, 1), 10, initializer="pytorch")
    biases = [model.get_layer(name).get_weights()[1] for name in ("conv2", "dense1", "dense2")]
    scaled = [bias[:10] / np.abs(bias[:10]).max() for bias in biases]
    assert not np.allclose(scaled[0], scaled[1])
    assert not np.allclose(scaled[1], scaled[2])


def test_keras_keeps_its_own_initializer():
    for name, (shape, _) in PUBLISHED.items():
        if name in ("lenet5", "resnet20"):
            layers = {layer.name: layer for layer in models.build(name, shape, 10).layers}
            assert isinstance(layers["classifier"].kernel_initializer, tf_keras.initializers.GlorotUniform)
            assert not layers["classifier"].get_weights()[1].any()


def test_an_unknown_initializer_is_answered_with_the_known():
    with pytest.raises(InputError, match="unknown initializer 'glorot': known are keras, pytorch"):
        models.build("lenet5", (28, 28, 1), 10, initializer="glorot")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean resnet56"):
        models.build("resnet65", (32, 32, 3), 10)


@pytest.mark.parametrize(
    ("arguments", "says"), [(("lenet5", (32, 32, 1), 10), "28 pixels"), (("vgg16", (28, 28, 1), 1), "2 classes")]
)
def test_what_a_model_cannot_be_built_for_is_an_error(arguments, says):
    with pytest.raises(InputError, match=says):
        models.build(*arguments)
