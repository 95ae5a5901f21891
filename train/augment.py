"""From stored uint8 images to the net's input, on the device (§2, §4.1)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


def random_crops(
    key: jax.Array, images: jax.Array, mean: jax.Array, *, size: int, flip: bool
) -> jax.Array:
    """Subtract the mean, cut a random patch out of each image, mirror half of them (§4.1).

    Each image draws from (key, its index in the batch) alone.

    Args:
      key: of this step.
      images: uint8 [n, height, width, 3].
      mean: float [height, width, 3], subtracted pixel by pixel before the patch is cut (§2).
      size: of the patches, in pixels.
      flip: whether to mirror.

    Returns:
      float32 [n, size, size, 3].
    """

    def patch(index: jax.Array, image: jax.Array) -> jax.Array:
        row_key, column_key, flip_key = jax.random.split(jax.random.fold_in(key, index), 3)
        row = jax.random.randint(row_key, (), 0, image.shape[0] - size + 1)
        column = jax.random.randint(column_key, (), 0, image.shape[1] - size + 1)
        # To cut while the image is still bytes would move less, but a TPU copies the whole batch
        # for each image then: most of a step.
        centred = lax.dynamic_slice(image - mean, (row, column, 0), (size, size, 3))
        mirrored = flip and jax.random.bernoulli(flip_key)
        return jnp.where(mirrored, centred[:, ::-1], centred)

    return jax.vmap(patch)(jnp.arange(images.shape[0]), images.astype(jnp.float32))


class ColourNoise(NamedTuple):
    """How far, and along which colours, whole images are shifted (§4.1)."""

    colours: jax.Array  # [3, 3]: a column is a principal colour, one deviation of the noise long
    divisor: float = 1.0  # of the shifted image
    until: float = math.inf  # from this step on there is none


DEVIATION = 0.1
"""Of alpha, by which the principal colours are multiplied (§4.1)."""


def papers_noise(variances: jax.Array, colours: jax.Array) -> ColourNoise:
    """Return the noise [p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T, a from N(0, 0.1^2) (§4.1).

    The l are eigenvalues for pixels from 0 to 1, as the field reads it: for those from 0 to 255 the
    same formula makes shifts of a thousand gray levels.

    Args:
      variances: [3], the eigenvalues for pixels from 0 to 255.
      colours: [3, 3], in each column the eigenvector of one of them.
    """
    return ColourNoise(255 * colours * (DEVIATION * variances / 255**2))


def originals_noise(variances: jax.Array, colours: jax.Array) -> ColourNoise:
    """Return the original program's noise, of the same arguments.

    It multiplies a by the deviations, the roots of the eigenvalues, and divides the shifted image
    by 1.1, so that its scale stays near that of the images at test time.
    """
    return ColourNoise(colours * (DEVIATION * jnp.sqrt(variances)), divisor=1 + DEVIATION)


def add_colour_noise(
    key: jax.Array, images: jax.Array, noise: ColourNoise, step: jax.Array | int
) -> jax.Array:
    """Shift the colour of each image [n, height, width, 3] as a whole, as long as there is noise.

    Each image draws from (key, its index in the batch) alone.
    """

    def shift(index: jax.Array) -> jax.Array:
        draws = jax.random.normal(jax.random.fold_in(key, index), (3,))
        return (noise.colours * draws).sum(axis=1)

    shifts = jax.vmap(shift)(jnp.arange(images.shape[0]))
    shifted = (images + shifts[:, None, None]) / noise.divisor
    return jnp.where(step < noise.until, shifted, images)


NOISES = {"paper": papers_noise, "original": originals_noise}
"""By the name that the configuration has for them."""
