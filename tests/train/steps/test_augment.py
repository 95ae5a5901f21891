"""Augmentation of training images on the device, against loops in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from train.data.pipeline import train_batches
from train.steps.augment import (
    add_pca_color,
    augment,
    example_keys,
    original_pca_color,
    paper_pca_color,
    random_crops,
)


def find_windows(crop, image, mean, size):
    """Every (row, column, mirrored) whose window of `image` equals `crop`."""
    centered = image.astype(np.float32) - mean
    places = []
    for row in range(image.shape[0] - size + 1):
        for column in range(image.shape[1] - size + 1):
            window = centered[row : row + size, column : column + size]
            for mirrored in (False, True):
                if np.array_equal(crop, window[:, ::-1] if mirrored else window):
                    places.append((row, column, mirrored))
    return places


def split_keys(count):
    return jax.random.split(jax.random.key(0), count)


@pytest.mark.parametrize("flip", [False, True])
def test_every_crop_is_a_window_of_its_image_and_all_windows_occur(rng, flip):
    images = rng.integers(0, 256, (300, 6, 6, 3), np.uint8)
    mean = rng.uniform(0, 255, (6, 6, 3)).astype(np.float32)
    crops = random_crops(split_keys(300), jnp.asarray(images), jnp.asarray(mean), size=4, flip=flip)
    places = [find_windows(np.asarray(crop), i, mean, 4) for crop, i in zip(crops, images)]
    assert all(len(place) == 1 for place in places)
    counts = {place: places.count([place]) for [place] in places}
    assert len(counts) == (18 if flip else 9)
    assert min(counts.values()) > 300 / len(counts) / 4


def test_center_crops_are_the_window_in_the_middle_flipped_or_not(rng):
    images = rng.integers(0, 256, (20, 7, 7, 3), np.uint8)
    mean = rng.uniform(0, 255, (7, 7, 3)).astype(np.float32)
    batch = {"image": images, "index": np.arange(20), "epoch": np.zeros(20, int)}
    for flip, expected in ((False, {(1, 1, False)}), (True, {(1, 1, False), (1, 1, True)})):
        crops = augment(
            jax.random.key(0), batch, mean, step=0, size=4, flip=flip, center_crops=True
        )
        places = [find_windows(np.asarray(crop), i, mean, 4) for crop, i in zip(crops, images)]
        assert {place for [place] in places} == expected


def test_every_example_has_its_own_key_in_every_epoch():
    epochs, numbers = (x.ravel() for x in jnp.meshgrid(jnp.arange(20), jnp.arange(30)))
    keys = jax.random.key_data(example_keys(jax.random.key(1), epochs, numbers))
    assert len(np.unique(keys, axis=0)) == 600


class NoiseImages:
    """A dozen examples of noise."""

    images = np.random.default_rng(3).integers(0, 256, (12, 6, 6, 3), np.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {"image": self.images[index], "label": index}


def augmented_inputs(batch_size, *, devices=1, position=0, prefetch=2, epochs=3, **options):
    """The augmented image of every example in every epoch, by (epoch, example, place)."""
    mesh = alexnet_jax.make_mesh(devices)
    pca_color = original_pca_color(jnp.array([20.0, 90.0, 900.0]), jnp.eye(3))
    augment_batch = functools.partial(augment, mean=jnp.zeros((6, 6, 3)), size=4, flip=True, step=0)
    augment_batch = functools.partial(augment_batch, pca_color=pca_color, **options)
    augment_batch = jax.jit(augment_batch, in_shardings=(None, alexnet_jax.batch_sharding(mesh)))
    batches = train_batches(
        NoiseImages(),
        batch_size=batch_size,
        seed=5,
        position=position,
        threads=3,
        prefetch=prefetch,
    )
    augmented = {}
    for _ in range(position, epochs * 12 // batch_size):
        batch = next(batches)
        np.testing.assert_array_equal(batch["image"], NoiseImages.images[batch["index"]])
        places = zip(batch["epoch"].tolist(), batch["label"].tolist(), batch["place"].tolist())
        inputs = np.asarray(augment_batch(jax.random.key(2), batch))
        augmented |= {place: x for place, x in zip(places, inputs)}
    batches.close()
    return augmented


def assert_equal_inputs(one, other):
    """Equal up to rounding: another draw moves pixels by whole gray levels."""
    for place in one.keys() & other.keys():
        np.testing.assert_allclose(one[place], other[place], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("together", [1, 3])
def test_what_an_example_draws_in_an_epoch_does_not_depend_on_batches_devices_or_stops(together):
    whole = augmented_inputs(4, crops_together=together)
    assert {(epoch, example) for epoch, example, _ in whole} == {
        (epoch, example) for epoch in range(3) for example in range(12)
    }
    for changes in (
        {"batch_size": 12},
        {"batch_size": 2, "prefetch": 7},
        {"batch_size": 4, "devices": 4},
        {"batch_size": 4, "position": 5},
    ):
        other = augmented_inputs(**changes, crops_together=together)
        assert other.keys() <= whole.keys()
        assert len(other) >= 16
        assert_equal_inputs(whole, other)


def test_another_epoch_or_example_draws_anew():
    whole = augmented_inputs(12)
    by_example = {}
    for (_, example, _), x in whole.items():
        by_example.setdefault(example, []).append(x)
    for first, second, third in by_example.values():  # colors differ even where crops agree
        assert not np.array_equal(first, second)
        assert not np.array_equal(second, third)


def test_images_in_a_row_share_their_crop_but_not_their_colors(rng):
    one = rng.integers(0, 256, (6, 6, 3), np.uint8)
    places = np.arange(40)
    batch = {"image": np.stack([one] * 40), "index": rng.permutation(40), "place": places}
    batch["epoch"] = np.zeros(40, int)
    augment_batch = functools.partial(
        augment,
        jax.random.key(0),
        batch,
        jnp.zeros((6, 6, 3)),
        size=4,
        flip=True,
        step=0,
        crops_together=8,
    )
    windows = [find_windows(np.asarray(x), one, 0, 4)[0] for x in augment_batch()]
    rows = [windows[first : first + 8] for first in range(0, 40, 8)]
    assert all(len(set(row)) == 1 for row in rows)
    assert len({row[0] for row in rows}) > 1
    shifted = augment_batch(pca_color=original_pca_color(jnp.ones(3), jnp.eye(3)))
    assert len(np.unique(shifted[:8, 0, 0, 0])) == 8


# ImageNet's standard deviations and principal colors (columns), from the authors' later program.
DEVIATIONS = np.array([19.7208, 37.0939, 121.7801])
COLORS = np.array(
    [[0.4180, -0.8170, 0.3973], [-0.7126, -0.0235, 0.7012], [-0.5635, -0.5762, -0.5920]]
).T


def color_shifts(pca_color, count, step=0):
    """The color that is added to each of `count` black images, [count, 3]."""
    images = jnp.zeros((count, 2, 3, 3))
    moved = np.asarray(add_pca_color(split_keys(count), images, pca_color, step), np.float64)
    assert np.all(moved == moved[:, :1, :1])
    return moved[:, 0, 0]


def test_the_papers_pca_color_follows_its_formula_on_pixels_from_0_to_1():
    shifts = color_shifts(paper_pca_color(jnp.asarray(DEVIATIONS**2), jnp.asarray(COLORS)), 40_000)
    expected = np.zeros((3, 3))
    for p, deviation in zip(COLORS.T, DEVIATIONS):
        eigenvalue = (deviation / 255) ** 2
        expected += 0.1**2 * eigenvalue**2 * np.outer(p, p)  # alpha is drawn from N(0, 0.1^2)
    np.testing.assert_allclose(np.cov(shifts.T / 255), expected, rtol=0.03, atol=1e-6)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.1)
    assert np.std(shifts @ COLORS[:, 2]) == pytest.approx(5.8, abs=0.1)  # gray levels


@pytest.mark.parametrize("kind", ["paper", "original"])
def test_pca_color_equals_a_loop_over_pixels_given_its_draws(rng, kind):
    images = rng.uniform(-128, 128, (3, 2, 2, 3)).astype(np.float32)
    make = {"paper": paper_pca_color, "original": original_pca_color}[kind]
    pca_color = make(jnp.asarray(DEVIATIONS**2), jnp.asarray(COLORS))
    ours = add_pca_color(split_keys(3), jnp.asarray(images), pca_color, 0)
    for number, key in enumerate(split_keys(3)):
        alpha = 0.1 * np.asarray(jax.random.normal(key, (3,)), np.float64)
        for row in range(2):
            for column in range(2):
                pixel = images[number, row, column].astype(np.float64)
                for i in range(3):
                    scale = DEVIATIONS[i] if kind == "original" else DEVIATIONS[i] ** 2 / 255
                    pixel = pixel + COLORS[:, i] * alpha[i] * scale
                pixel = pixel / 1.1 if kind == "original" else pixel
                np.testing.assert_allclose(ours[number, row, column], pixel, rtol=1e-4, atol=1e-3)


def test_the_originals_pca_color_has_a_hundredth_of_the_pixels_covariance_and_shrinks_the_image():
    pca_color = original_pca_color(jnp.asarray(DEVIATIONS**2), jnp.asarray(COLORS))
    pixels = COLORS @ np.diag(DEVIATIONS**2) @ COLORS.T
    shifts = color_shifts(pca_color, 40_000)
    np.testing.assert_allclose(np.cov(shifts.T), 0.01 * pixels / 1.1**2, rtol=0.03)
    gray = jnp.full((9, 4, 4, 3), 55.0)
    moved = add_pca_color(split_keys(9), gray, pca_color, 0)
    black = add_pca_color(split_keys(9), jnp.zeros_like(gray), pca_color, 0)
    np.testing.assert_allclose(moved - black, 50, rtol=1e-5)


def test_each_image_draws_its_own_color_until_pca_color_ends(rng):
    images = jnp.asarray(rng.normal(size=(6, 4, 4, 3)), jnp.float32)
    pca_color = original_pca_color(jnp.asarray(DEVIATIONS**2), jnp.asarray(COLORS))._replace(
        until=7
    )
    at = functools.partial(add_pca_color, split_keys(6), images, pca_color)
    assert len(np.unique(at(6)[:, 0, 0, 0])) == 6
    np.testing.assert_array_equal(at(7), images)


def test_a_crops_row_and_column_are_draws_of_their_own_keys():
    rows, columns = np.meshgrid(np.arange(9), np.arange(14), indexing="ij")
    image = np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)
    keys = jax.random.split(jax.random.key(5), 20)
    crop = functools.partial(random_crops, mean=jnp.zeros((9, 14, 3)), size=4, flip=False)
    images = np.stack([image] * 20)
    corners = np.asarray(crop(keys, images))[:, 0, 0, :2]
    for key, corner in zip(keys, corners, strict=True):
        row_key, column_key, _ = jax.random.split(key, 3)
        expected = (
            jax.random.randint(row_key, (), 0, 9 - 4 + 1),
            jax.random.randint(column_key, (), 0, 14 - 4 + 1),
        )
        np.testing.assert_array_equal(corner, expected)
