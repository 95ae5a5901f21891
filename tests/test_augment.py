"""Crops and flips on the device, against slices in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.augment import centre_crops, random_crops


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


def test_the_centre_is_cut_out_at_test_time(rng):
    images = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)
    mean = rng.uniform(0, 255, (8, 8, 3)).astype(np.float32)
    ours = centre_crops(jnp.asarray(images), jnp.asarray(mean), size=4)
    np.testing.assert_allclose(ours, (images - mean)[:, 2:6, 2:6], rtol=1e-6)
