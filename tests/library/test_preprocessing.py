"""Preprocessing of 8-bit pictures: the formula, the center crop, and Pillow's resizing."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from alexnet_jax import Preprocessing


def pictures(rng, height, width, count=2):
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_stored_pictures_are_scaled_centered_and_divided_at_the_pixels_of_the_crop(rng):
    mean = rng.uniform(0, 1, (13, 13, 3))
    preprocessing = Preprocessing(
        stored_size=13, input_size=8, scale=1 / 255, mean=mean, std=(0.5, 0.25, 2)
    )
    images = pictures(rng, 13, 13)
    out = np.asarray(jax.jit(preprocessing)(images))
    assert out.shape == (2, 8, 8, 3)
    assert out.dtype == np.float32
    for b, i, j, c in np.ndindex(2, 8, 8, 3):  # the crop starts at pixel (13 - 8) // 2 = 2
        pixel = images[b, i + 2, j + 2, c] / 255 - mean[i + 2, j + 2, c]
        assert out[b, i, j, c] == pytest.approx(pixel / (0.5, 0.25, 2)[c], abs=1e-5)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("sides", [(60, 91), (91, 60), (63, 126), (32, 63), (20, 27)], ids=str)
def test_other_sizes_are_resized_as_pillow_does_and_torchvision_crops(rng, sides, interpolation):
    [picture] = images = pictures(rng, *sides, count=1)
    method = {"linear": Image.Resampling.BILINEAR, "cubic": Image.Resampling.BICUBIC}[interpolation]
    picture = Image.fromarray(picture)
    crop = Preprocessing(
        stored_size=32, input_size=24, mean=np.zeros(3), interpolation=interpolation
    )
    height, width = (32 * side // min(sides) for side in sides)
    top, left = round((height - 24) / 2), round((width - 24) / 2)  # torchvision's center_crop
    whole = picture.resize((width, height), method)
    assert_near(crop(images)[0], whole.crop((left, top, left + 24, top + 24)))

    squash = dataclasses.replace(crop, resize="both sides")
    assert_near(squash(images)[0], picture.resize((32, 32), method).crop((4, 4, 28, 28)))

    square_first = dataclasses.replace(crop, resize="central square")
    top, left = ((side - min(sides)) // 2 for side in sides)
    box = (left, top, left + min(sides), top + min(sides))
    expected = picture.resize((32, 32), method, box=box).crop((4, 4, 28, 28))
    assert_near(square_first(images)[0], expected)


def assert_near(pixels, picture):
    """Rounded from float32 sums, where Pillow counts in fixed point."""
    difference = abs(np.asarray(pixels) - np.asarray(picture, np.float32))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_arrays_that_are_no_raw_pictures_are_refused(rng):
    preprocessing = Preprocessing(stored_size=32, input_size=28, mean=np.zeros(3))
    with pytest.raises(TypeError, match="uint8, as decoded, not float32"):
        preprocessing(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match=r"\[n, height, width, 3\], not \[32, 32, 3\]"):
        preprocessing(pictures(rng, 32, 32)[0])


def test_numbers_of_numpy_are_kept_as_those_of_python():
    fields = {"stored_size": np.int64(32), "input_size": np.int32(28), "scale": np.float32(0.5)}
    preprocessing = Preprocessing(**fields, mean=np.zeros(3))
    for name, kind in (("stored_size", int), ("input_size", int), ("scale", float)):
        assert type(getattr(preprocessing, name)) is kind
        assert getattr(preprocessing, name) == fields[name]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_size": 33}, "not 33 and 32"),
        ({"input_size": 0}, "input_size must be a whole number above 0, not 0"),
        ({"stored_size": 32.0}, "stored_size must be a whole number above 0, not 32.0"),
        ({"mean": np.zeros((28, 28, 3))}, r"mean must be \[3\] or \[32, 32, 3\]"),
        ({"mean": [0, np.nan, 0]}, "mean must be finite"),
        ({"scale": 0}, "scale must be a number above 0"),
        ({"std": (1, 0, 1)}, "std must be three numbers above 0"),
        ({"std": 0.5}, "std must be three numbers above 0, not 0.5"),
        ({"std": [[1, 1, 1]]}, "std must be three numbers above 0"),
        ({"scale": (1, 1, 1)}, "scale must be a number above 0"),
        ({"scale": "a"}, "scale must be numbers, not 'a'"),
        ({"mean": None}, "mean must be numbers, not None"),
        ({"scale": 10**400}, "scale must be numbers, not 1000"),
        ({"mean": "imagenet"}, "mean must be numbers, not 'imagenet'"),
        ({"resize": "longer side"}, "resize must be 'shorter side' or 'both sides'"),
        ({"source_colors": "GBR"}, "source_colors must be 'RGB' or 'BGR'"),
    ],
)
def test_nonsense_is_refused_by_its_field(fields, message):
    good = {"stored_size": 32, "input_size": 28, "mean": np.zeros(3)}
    with pytest.raises(ValueError, match=message):
        Preprocessing(**(good | fields))


def test_a_picture_of_pillow_is_refused_with_the_way_to_an_array():
    crop = Preprocessing(stored_size=32, input_size=24, mean=np.zeros(3))
    picture = Image.new("RGB", (32, 32), "red")
    with pytest.raises(
        TypeError, match=r"must be an array, not Image; np\.asarray\(picture\)\[None\]"
    ):
        crop(picture)
    assert crop(np.asarray(picture)[None]).shape == (1, 24, 24, 3)
