"""Random resized crops, against Pillow's resize."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from train.steps.augment import augment
from train.steps.resized_crops import random_resized_crops, resize_weights


@pytest.mark.parametrize(
    ("top", "height", "left", "width"),
    [(0, 20, 0, 20), (2.5, 9, 7.25, 11.5), (0, 5.5, 14.5, 5.5), (3, 14, 1, 19)],
)
def test_a_resized_crop_is_pillows(rng, top, height, left, width):
    """Enlarged and shrunk to 8 pixels, by fractions of pixels."""
    image = rng.uniform(0, 255, (20, 20)).astype(np.float32)
    rows, columns = resize_weights(top, height, 20, 8), resize_weights(left, width, 20, 8)
    box = (left, top, left + width, top + height)
    expected = Image.fromarray(image).resize((8, 8), Image.Resampling.BILINEAR, box=box)
    np.testing.assert_allclose(rows @ image @ columns.T, np.asarray(expected), atol=1e-3)


def crops(images, mean, **options):
    keys = jax.random.split(jax.random.key(0), len(images))
    return np.asarray(random_resized_crops(keys, images, mean, size=8, **options))


def test_crops_have_the_areas_and_ratios_that_were_asked_for_and_stay_inside():
    """The colors of the image are the row, the column and 1, so that a crop tells its box."""
    ramp = np.broadcast_to(np.arange(80, dtype=np.uint8), (80, 80))
    images = jnp.asarray(np.stack([np.stack([ramp.T, ramp, ramp * 0 + 1], axis=-1)] * 400))
    found = crops(images, jnp.zeros((80, 80, 3)), flip=False, least_area=0.3)
    np.testing.assert_allclose(found[..., 2], 1, rtol=1e-5)
    # Inner pixels: those at an edge of the image average fewer pixels.
    height, width = (8 / 5 * (found[:, 6, 6, axis] - found[:, 1, 1, axis]) for axis in (0, 1))
    areas, ratios = height * width / 80**2, width / height
    assert areas.min() > 0.25
    assert areas.min() < 0.35
    assert areas.max() > 0.9
    assert areas.max() < 1.001
    assert ratios.min() > 0.749
    assert ratios.max() < 1.334
    assert (ratios.min(), ratios.max()) == pytest.approx((0.75, 4 / 3), abs=0.03)
    centers = found[:, 3:5, 3:5, :2].mean(axis=(1, 2)) + 0.5
    for axis, side in enumerate((height, width)):
        assert (centers[:, axis] - side / 2).min() > -0.01
        assert (centers[:, axis] + side / 2).max() < 80.01


def test_half_of_the_crops_are_flipped_and_the_mean_is_subtracted_before(rng):
    images = jnp.asarray(rng.integers(0, 256, (60, 12, 12, 3), np.uint8))
    mean = jnp.asarray(rng.uniform(0, 255, (12, 12, 3)).astype(np.float32))
    plain = crops(images, mean, flip=False, least_area=0.5)
    flipped = crops(images, mean, flip=True, least_area=0.5)
    same = np.array([np.allclose(a, b) for a, b in zip(plain, flipped)])
    mirrored = np.array([np.allclose(a, b[:, ::-1]) for a, b in zip(plain, flipped)])
    assert np.all(same ^ mirrored)
    assert 15 < same.sum() < 45
    shifted = crops(images, jnp.zeros((12, 12, 3)), flip=False, least_area=0.5)
    of_mean = crops(jnp.zeros_like(images), -mean, flip=False, least_area=0.5)
    np.testing.assert_allclose(plain, shifted - of_mean, atol=1e-3)


def test_each_image_draws_its_own_crop_and_those_of_a_group_the_same(rng):
    image = rng.integers(0, 256, (1, 12, 12, 3), np.uint8)
    numbers = np.arange(6, dtype=np.int32)
    batch = {"image": image.repeat(6, 0), "epoch": numbers * 0, "index": numbers, "place": numbers}
    take = {"step": 0, "size": 8, "flip": True, "crop_area": 0.3}
    mean = jnp.zeros((12, 12, 3))
    own = np.asarray(augment(jax.random.key(0), batch, mean, **take))
    assert own.shape == (6, 8, 8, 3)
    assert len({crop.tobytes() for crop in own}) == 6
    shared = np.asarray(augment(jax.random.key(0), batch, mean, crops_together=3, **take))
    assert [len({crop.tobytes() for crop in half}) for half in (shared[:3], shared[3:])] == [1, 1]
    whole = augment(jax.random.key(0), batch, mean, **(take | {"crop_area": None}))
    assert not np.allclose(own, whole)
