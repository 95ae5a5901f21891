"""From stored uint8 images to the net's input, on the device (§2, §4.1)."""

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


def centre_crops(images: jax.Array, mean: jax.Array, *, size: int) -> jax.Array:
    """Subtract the mean and cut out the central patch, as at test time: float32 [n, s, s, 3]."""
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    rows, columns = slice(top, top + size), slice(left, left + size)
    return images[:, rows, columns].astype(jnp.float32) - mean[rows, columns]
