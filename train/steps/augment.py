"""From stored uint8 images to the net's input, on the device (§2, §4.1)."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class PCAColorNoise(NamedTuple):
    """How far, and along which colors, whole images are shifted (§4.1)."""

    colors: jax.Array  # [3, 3]: a column is a principal color, one deviation of the noise long
    divisor: float = 1.0  # of the shifted image
    until: float = math.inf  # from this step on there is none


def augment(
    key: jax.Array,
    batch: Mapping[str, Any],
    mean: jax.Array,
    *,
    step: jax.Array | int,
    size: int,
    flip: bool,
    noise: PCAColorNoise | None = None,
    patches_together: int = 1,
) -> jax.Array:
    """Return the net's input of a training batch, float32 [n, size, size, 3].

    What an image draws follows from (key, epoch, its index in the source) alone, so batches,
    devices, threads and stops change nothing. Images that share a patch and its reflection, the
    original program's way, draw them from (key, epoch, which so many of the epoch's order).

    Args:
      key: of the run.
      batch: as `train_batches` gives it.
      mean: float [height, width, 3], subtracted pixel by pixel before the patch is cut (§2).
      step: of the run, on which it depends whether there is color noise still.
      size: of the patches, in pixels.
      flip: whether to mirror half of them.
      noise: of the colors, each image's own.
      patches_together: how many images in a row share a patch.
    """
    patch_key, noise_key = jax.random.split(key)
    images, epochs, indices = (jnp.asarray(batch[name]) for name in ("image", "epoch", "index"))
    shared = indices
    if patches_together > 1:
        shared = jnp.asarray(batch["place"]) // patches_together
    keys = example_keys(patch_key, epochs, shared)
    images = random_crops(keys, images, mean, size=size, flip=flip)
    if noise is None:
        return images
    return add_pca_color_noise(example_keys(noise_key, epochs, indices), images, noise, step)


def example_keys(key: jax.Array, epochs: jax.Array, numbers: jax.Array) -> jax.Array:
    """Return a key [n] for each pair of an epoch and a number, [n] integers each."""

    def of_one(epoch: jax.Array, number: jax.Array) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(key, epoch), number)

    return jax.vmap(of_one)(epochs, numbers)


def random_crops(
    keys: jax.Array, images: jax.Array, mean: jax.Array, *, size: int, flip: bool
) -> jax.Array:
    """Subtract the mean, cut a random patch out of each image, mirror half of them (§4.1).

    Args:
      keys: [n], one for each image.
      images: uint8 [n, height, width, 3].
      mean: float [height, width, 3].
      size: of the patches, in pixels.
      flip: whether to mirror.

    Returns:
      float32 [n, size, size, 3].
    """

    def patch(key: jax.Array, image: jax.Array) -> jax.Array:
        row_key, column_key, flip_key = jax.random.split(key, 3)
        row = jax.random.randint(row_key, (), 0, image.shape[0] - size + 1)
        column = jax.random.randint(column_key, (), 0, image.shape[1] - size + 1)
        # To cut while the image is still bytes would move less, but a TPU copies the whole batch
        # for each image then: most of a step.
        centered = lax.dynamic_slice(image - mean, (row, column, 0), (size, size, 3))
        mirrored = flip and jax.random.bernoulli(flip_key)
        return jnp.where(mirrored, centered[:, ::-1], centered)

    return jax.vmap(patch)(keys, images.astype(jnp.float32))


DEVIATION = 0.1
"""Of alpha, by which the principal colors are multiplied (§4.1)."""


def paper_color_noise(variances: jax.Array, colors: jax.Array) -> PCAColorNoise:
    """Return the noise [p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T, a from N(0, 0.1^2) (§4.1).

    The l are eigenvalues for pixels from 0 to 1, as the field reads it: for those from 0 to 255 the
    same formula makes shifts of a thousand gray levels.

    Args:
      variances: [3], the eigenvalues for pixels from 0 to 255.
      colors: [3, 3], in each column the eigenvector of one of them.
    """
    return PCAColorNoise(255 * colors * (DEVIATION * variances / 255**2))


def original_color_noise(variances: jax.Array, colors: jax.Array) -> PCAColorNoise:
    """Return the original program's noise, of the same arguments.

    It multiplies a by the deviations, the roots of the eigenvalues, and divides the shifted image
    by 1.1, so that its scale stays near that of the images at test time.
    """
    return PCAColorNoise(colors * (DEVIATION * jnp.sqrt(variances)), divisor=1 + DEVIATION)


def add_pca_color_noise(
    keys: jax.Array, images: jax.Array, noise: PCAColorNoise, step: jax.Array | int
) -> jax.Array:
    """Shift the color of each image [n, height, width, 3] as a whole, as long as there is noise.

    `keys` are [n], one for each image.
    """

    def shift(key: jax.Array) -> jax.Array:
        return (noise.colors * jax.random.normal(key, (3,))).sum(axis=1)

    shifts = jax.vmap(shift)(keys)
    shifted = (images + shifts[:, None, None]) / noise.divisor
    return jnp.where(step < noise.until, shifted, images)


NOISES = {"paper": paper_color_noise, "original": original_color_noise}
"""By the name that the configuration has for them."""
