"""An image folder is read as Keras's own loader reads it."""

from __future__ import annotations

import io
import warnings

import keras
import numpy as np
import pytest
from PIL import Image
from sample_sets import everything

from tfrecall import datasets

RNG = np.random.default_rng(7)


def smooth(rows, columns, channels=3):
    """A picture with some structure, so that lossy formats keep it, and some noise, so that aliasing shows."""
    y, x = np.mgrid[:rows, :columns]
    waves = [np.sin(x / (3 + c) + c) * np.cos(y / (4 + c)) for c in range(channels)]
    return np.clip(np.stack(waves, -1) * 90 + 128 + RNG.normal(0, 20, (rows, columns, channels)), 0, 255).astype(np.uint8)


def save(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)


@pytest.fixture
def pictures(tmp_path):
    """All that Keras reads: formats, modes, sizes, nested folders, capitals in endings and class names."""
    root = tmp_path / "pictures"
    rgb, grey = Image.fromarray(smooth(61, 83)), Image.fromarray(smooth(50, 40, 1)[..., 0])
    for name in ("Zebra", "ant", "b e e"):
        save(root / name / "a.png", rgb)
        save(root / name / "B.PNG", grey)
        save(root / name / "c.JPG", rgb, quality=95)
        save(root / name / "d.jpeg", grey)
        save(root / name / "cmyk.jpg", rgb.convert("CMYK"))
        save(root / name / "e.bmp", rgb)
        save(root / name / "f.gif", rgb)
        save(root / name / "g.png", rgb.quantize(16))
        save(root / name / "sub" / "deeper" / "a.png", Image.fromarray(smooth(9, 9)))
        save(root / name / "sub.1" / "a.png", Image.fromarray(smooth(9, 200)))
        save(root / name / "h.png", Image.merge("RGBA", [*rgb.split(), rgb.split()[0]]))
        save(root / name / "i.png", Image.merge("LA", [grey, grey]))
        save(root / name / "k.png", Image.fromarray(smooth(30, 30, 1)[..., 0].astype(np.uint16) * 257))
        turned = Image.Exif()
        turned[274] = 6
        save(root / name / "exif.jpg", rgb, exif=turned)
        frames = [Image.fromarray(smooth(20, 20)) for _ in range(3)]
        save(root / name / "moves.gif", frames[0], save_all=True, append_images=frames[1:])
    return root


def by_keras(root, size):
    loaded = keras.utils.image_dataset_from_directory(root, image_size=size, shuffle=False, batch_size=100, verbose=False)
    images, labels = zip(*loaded.as_numpy_iterator())
    return loaded.class_names, np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (100, 90)])
def test_the_pixels_are_those_of_keras(pictures, size):
    names, images, labels = by_keras(pictures, size)
    (pictures.parent / "set").mkdir()
    pictures.rename(pictures.parent / "set" / "test")
    for name in names:
        save(pictures.parent / "set" / "train" / name / "1.png", Image.fromarray(smooth(8, 8)))
        save(pictures.parent / "set" / "train" / name / "2.png", Image.fromarray(smooth(8, 8)))
    data = datasets.load(pictures.parent / "set", image_shape=(*size, 3))
    own, own_labels = everything(data.test)
    assert list(data.class_names) == names
    np.testing.assert_array_equal(own_labels, labels)
    assert own.shape == images.shape
    np.testing.assert_allclose(own, images, atol=0.5001)  # rounded to bytes; with antialiasing it would be tens


def test_fine_textures_stay_as_keras_leaves_them(tmp_path):
    """With antialiasing both classes would be grey alike, and a model that Keras trained on them would fail."""
    for part, count in (("train", 20), ("test", 20)):
        for name, period in (("fine", 2), ("finer", 4)):
            for number in range(count):
                stripes = np.zeros((64, 64, 3), np.uint8)
                stripes[:, number % period :: period] = 200
                save(tmp_path / part / name / f"{number}.png", Image.fromarray(stripes))
    _, images, labels = by_keras(tmp_path / "test", (16, 16))
    data = datasets.load(tmp_path, image_shape=(16, 16, 3))
    own, own_labels = everything(data.test)
    np.testing.assert_array_equal(own_labels, labels)
    np.testing.assert_allclose(own, images, atol=0.5001)


PILLOW_ONLY = {
    "webp": {"format": "WEBP", "lossless": True},
    "tif": {"format": "TIFF"},
    "TIFF": {"format": "TIFF", "compression": "tiff_lzw"},
    "jfif": {"format": "JPEG", "quality": 100, "subsampling": 0},
    "": {"format": "PNG"},
}


@pytest.mark.parametrize("ending", PILLOW_ONLY)
@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_formats_beyond_those_of_keras(tmp_path, ending, memory_limit):
    pixels = smooth(20, 30)
    for name in ("a", "b"):
        for number in range(3):
            save(tmp_path / name / f"{number}{'.' * bool(ending)}{ending}", Image.fromarray(pixels), **PILLOW_ONLY[ending])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = datasets.load(tmp_path, memory_limit=memory_limit)
    images, _ = everything(data.train)
    assert data.image_shape == (20, 30, 3)
    np.testing.assert_allclose(images, np.broadcast_to(pixels, images.shape), atol=40 if ending == "jfif" else 0)


@pytest.mark.parametrize("how", ["palette.bmp", "grey16.tif", "alpha.tif", "bilevel.tif", "cmyk.tif", "moves.webp"])
def test_modes_that_pillow_decodes(tmp_path, how):
    pixels = smooth(12, 10)
    rgb = Image.fromarray(pixels)
    grey = pixels[..., 0]
    kinds = {
        "palette": (rgb.quantize(8), np.asarray(rgb.quantize(8).convert("RGB"))),
        "grey16": (Image.fromarray(grey.astype(np.uint16) * 256 + 77), grey[..., None]),
        "alpha": (Image.merge("RGBA", [*rgb.split(), rgb.split()[1]]), pixels),
        "bilevel": (Image.fromarray(grey > 128), (grey > 128)[..., None] * np.uint8(255)),
        "cmyk": (rgb.convert("CMYK"), pixels),
        "moves": (rgb, pixels),
    }
    image, expected = kinds[how.partition(".")[0]]
    several = {"save_all": True, "append_images": [Image.new("RGB", (10, 12))], "lossless": True} if "moves" in how else {}
    for name in ("a", "b"):
        for number in range(3):
            save(tmp_path / name / f"{number}.{how.partition('.')[2]}", image, **several)
    images, _ = everything(datasets.load(tmp_path).test)
    np.testing.assert_array_equal(images, np.broadcast_to(expected, images.shape))


def test_pixels_of_unknown_range_are_refused(tmp_path):
    for name in ("a", "b"):
        for number in range(2):
            save(tmp_path / name / f"{number}.tif", Image.fromarray(smooth(5, 5)[..., 0].astype(np.float32) / 255))
    with pytest.raises(datasets.InputError, match=r"0\.tif has pixels of 32 bits"):
        datasets.load(tmp_path)


def test_one_grey_image_does_not_take_the_colours_of_all(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name / "0.png", Image.fromarray(smooth(6, 6)[..., 0]))
        for number in range(1, 6):
            save(tmp_path / name / f"{number}.png", Image.fromarray(smooth(6, 6)))
    assert datasets.load(tmp_path).image_shape == (6, 6, 3)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("keep", [0, 0.3, 0.7])
def test_damaged_files_of_every_format_are_named(tmp_path, format, keep):
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, format)
    content = buffer.getvalue()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            whole = number or name == "a"
            (tmp_path / name / f"{number}.{format.lower()}").write_bytes(
                content if whole else content[: int(len(content) * keep)]
            )
    with pytest.raises(datasets.InputError, match=rf"b/0\.{format.lower()} cannot be read as an image: [^\n]*$"):
        datasets.load(tmp_path)
