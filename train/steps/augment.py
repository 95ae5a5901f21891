"""Augmentation on the device: from stored uint8 images to the network's input (§2, §4.1)."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .resized_crops import random_resized_crops


class PCAColor(NamedTuple):
    """PCA color augmentation: a random shift of the color of each whole image (§4.1)."""

    components: jax.Array  # [3, 3]: principal components in columns, one standard deviation long
    divisor: float = 1.0  # of the shifted image
    until: int | None = None  # the step from which there is none


def augment(
    key: jax.Array,
    batch: Mapping[str, Any],
    mean: jax.Array,
    *,
    step: jax.Array | int,
    size: int,
    flip: bool,
    pca_color: PCAColor | None = None,
    crops_together: int = 1,
    crop_area: float | None = None,
    center_crops: bool = False,
) -> jax.Array:
    """Return the network's input for a training batch, float32 [n, size, size, 3].

    The random draws of an image depend on (key, epoch, its index in the source) alone, so batch
    size, devices, threads and stops change nothing. Images that share a crop and a flip, as in the
    original program, draw them from (key, epoch, the number of their group in the epoch's order).

    Args:
      key: of the run.
      batch: a `TrainingBatch`, as from `train_batches`.
      mean: float [height, width, 3], subtracted before the crop (§2).
      step: of the run; it decides whether PCA color augmentation is still on.
      size: of the crops, in pixels.
      flip: whether to flip half of the images horizontally.
      pca_color: drawn for each image alone.
      crops_together: how many consecutive images share one crop and flip.
      crop_area: the smallest part of an image's area that a crop takes and resizes to `size`; None
        for crops of `size` itself.
      center_crops: whether to take the center of each image in place of a random crop.
    """
    crop_key, color_key = jax.random.split(key)
    images, epochs, indices = (jnp.asarray(batch[name]) for name in ("image", "epoch", "index"))
    groups = indices
    if crops_together > 1:
        groups = jnp.asarray(batch["place"]) // crops_together
    take_crops = functools.partial(random_crops, center=center_crops)
    if crop_area is not None:
        take_crops = functools.partial(random_resized_crops, least_area=crop_area)
    images = take_crops(example_keys(crop_key, epochs, groups), images, mean, size=size, flip=flip)
    if pca_color is None:
        return images
    return add_pca_color(example_keys(color_key, epochs, indices), images, pca_color, step)


def example_keys(key: jax.Array, epochs: jax.Array, numbers: jax.Array) -> jax.Array:
    """Return a key [n] for each pair of an epoch and a number, [n] integers each."""

    def fold_in_both(epoch: jax.Array, number: jax.Array) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(key, epoch), number)

    return jax.vmap(fold_in_both)(epochs, numbers)


def random_crops(
    keys: jax.Array,
    images: jax.Array,
    mean: jax.Array,
    *,
    size: int,
    flip: bool,
    center: bool = False,
) -> jax.Array:
    """Subtract the mean, take a random crop of each image, flip half of them (§4.1).

    Args:
      keys: [n], one for each image.
      images: uint8 [n, height, width, 3].
      mean: float [height, width, 3].
      size: of the crops, in pixels.
      flip: whether to flip horizontally.
      center: whether to take the center, of pixels that start at half the margin rounded down, as
        `alexnet_jax.evaluation.center_crops` does, in place of a random crop.

    Returns:
      float32 [n, size, size, 3].
    """

    def crop(key: jax.Array, image: jax.Array) -> jax.Array:
        *place_keys, flip_key = jax.random.split(key, 3)
        ends = jnp.array([side - size + 1 for side in image.shape[:2]])
        # One draw for both: XLA compiles the loops of each draw anew.
        draw = jax.vmap(lambda key, end: jax.random.randint(key, (), 0, end))
        row, column = draw(jnp.stack(place_keys), ends)
        if center:
            row, column = ((side - size) // 2 for side in image.shape[:2])
        # Cropping before the conversion to float32 would move fewer bytes, but a TPU then copies
        # the whole batch for each image: most of a step.
        centered = lax.dynamic_slice(image - mean, (row, column, 0), (size, size, 3))
        flipped = flip and jax.random.bernoulli(flip_key)
        return jnp.where(flipped, centered[:, ::-1], centered)

    return jax.vmap(crop)(keys, images.astype(jnp.float32))


STD = 0.1
"""The standard deviation of alpha, which multiplies the principal components (§4.1)."""


def paper_pca_color(variances: jax.Array, components: jax.Array) -> PCAColor:
    """Return the paper's shift, [p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T, a from N(0, 0.1^2) (§4.1).

    The l are eigenvalues for pixels from 0 to 1, as the field reads the formula: for pixels from 0
    to 255 it gives shifts of a thousand gray levels.

    Args:
      variances: [3], the eigenvalues for pixels from 0 to 255.
      components: [3, 3], the eigenvector of each in a column.
    """
    return PCAColor(255 * components * (STD * variances / 255**2))


def original_pca_color(variances: jax.Array, components: jax.Array) -> PCAColor:
    """Return the original program's shift, from the same arguments.

    It multiplies a by the standard deviations, the square roots of the eigenvalues, and divides the
    shifted image by 1.1, so that its scale stays near that of the images at test time.
    """
    return PCAColor(components * (STD * jnp.sqrt(variances)), divisor=1 + STD)


def add_pca_color(
    keys: jax.Array, images: jax.Array, pca_color: PCAColor, step: jax.Array | int
) -> jax.Array:
    """Shift the color of each whole image, [n, height, width, 3], while augmentation is on.

    `keys` are [n], one for each image.
    """

    def shift(key: jax.Array) -> jax.Array:
        return (pca_color.components * jax.random.normal(key, (3,))).sum(axis=1)

    shifts = jax.vmap(shift)(keys)
    shifted = (images + shifts[:, None, None]) / pca_color.divisor
    if pca_color.until is None:
        return shifted
    return jnp.where(step < pca_color.until, shifted, images)


PCA_COLORS = {"paper": paper_pca_color, "original": original_pca_color}
"""By their names in the configuration."""
