"""Crops and flips on the device, against slices in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.augment import (
    add_colour_noise,
    originals_noise,
    papers_noise,
    random_crops,
)


def found_at(patch, image, mean, size):
    """Every (row, column, mirrored) at which this patch could have been cut."""
    centred = image.astype(np.float32) - mean
    places = []
    for row in range(image.shape[0] - size + 1):
        for column in range(image.shape[1] - size + 1):
            window = centred[row : row + size, column : column + size]
            for mirrored in (False, True):
                if np.array_equal(patch, window[:, ::-1] if mirrored else window):
                    places.append((row, column, mirrored))
    return places


@pytest.mark.parametrize("flip", [False, True])
def test_every_patch_is_a_window_of_its_image_and_all_windows_occur(rng, flip):
    images = rng.integers(0, 256, (300, 6, 6, 3), np.uint8)
    mean = rng.uniform(0, 255, (6, 6, 3)).astype(np.float32)
    patches = random_crops(
        jax.random.key(0), jnp.asarray(images), jnp.asarray(mean), size=4, flip=flip
    )
    places = [found_at(np.asarray(p), i, mean, 4) for p, i in zip(patches, images)]
    assert all(len(place) == 1 for place in places)
    counts = {place: places.count([place]) for [place] in places}
    assert len(counts) == (18 if flip else 9)
    assert min(counts.values()) > 300 / len(counts) / 4


def test_draws_follow_from_the_key_and_the_place_in_the_batch(rng):
    images = jnp.asarray(rng.integers(0, 256, (8, 9, 9, 3), np.uint8))
    mean = jnp.zeros((9, 9, 3))

    def crops(seed, images):
        return random_crops(jax.random.key(seed), images, mean, size=4, flip=True)

    np.testing.assert_array_equal(crops(0, images), crops(0, images))
    np.testing.assert_array_equal(crops(0, images)[:3], crops(0, images[:3]))
    assert not np.array_equal(crops(0, images), crops(1, images))


# What the authors' later program ships for ImageNet: deviations, and principal colours in columns.
DEVIATIONS = np.array([19.7208, 37.0939, 121.7801])
COLOURS = np.array(
    [[0.4180, -0.8170, 0.3973], [-0.7126, -0.0235, 0.7012], [-0.5635, -0.5762, -0.5920]]
).T


def shifts_of(noise, count, step=0):
    """How far black images are shifted, [count, 3], each of them as a whole."""
    images = jnp.zeros((count, 2, 3, 3))
    moved = np.asarray(add_colour_noise(jax.random.key(2), images, noise, step), np.float64)
    assert np.all(moved == moved[:, :1, :1])
    return moved[:, 0, 0]


def test_the_papers_noise_follows_its_formula_on_pixels_from_0_to_1():
    shifts = shifts_of(papers_noise(jnp.asarray(DEVIATIONS**2), jnp.asarray(COLOURS)), 40_000)
    expected = np.zeros((3, 3))
    for p, deviation in zip(COLOURS.T, DEVIATIONS):
        eigenvalue = (deviation / 255) ** 2
        expected += 0.1**2 * eigenvalue**2 * np.outer(p, p)  # of alpha, from N(0, 0.1^2)
    np.testing.assert_allclose(np.cov(shifts.T / 255), expected, rtol=0.03, atol=1e-6)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.1)
    assert np.std(shifts @ COLOURS[:, 2]) == pytest.approx(5.8, abs=0.1)  # gray levels


def test_the_originals_noise_has_a_hundredth_of_the_pixels_covariance_and_shrinks_the_image():
    noise = originals_noise(jnp.asarray(DEVIATIONS**2), jnp.asarray(COLOURS))
    pixels = COLOURS @ np.diag(DEVIATIONS**2) @ COLOURS.T
    shifts = shifts_of(noise, 40_000)
    np.testing.assert_allclose(np.cov(shifts.T), 0.01 * pixels / 1.1**2, rtol=0.03)
    gray = jnp.full((9, 4, 4, 3), 55.0)
    moved = add_colour_noise(jax.random.key(2), gray, noise, 0)
    np.testing.assert_allclose(moved[:, 0, 0] - shifts[:9], 50, rtol=1e-5)


def test_each_image_draws_its_own_colour_until_the_noise_ends(rng):
    images = jnp.asarray(rng.normal(size=(6, 4, 4, 3)), jnp.float32)
    noise = originals_noise(jnp.asarray(DEVIATIONS**2), jnp.asarray(COLOURS))._replace(until=7)
    at = lambda step, images: add_colour_noise(jax.random.key(0), images, noise, step)  # noqa: E731
    assert len(np.unique(at(6, images)[:, 0, 0, 0])) == 6
    np.testing.assert_array_equal(at(6, images)[:4], at(6, images[:4]))
    np.testing.assert_array_equal(at(7, images), images)
