"""Random crops of any size and shape, resized to the network's input, on the device.

Not in the paper. Szegedy and others 2015 (arXiv:1409.4842, section 6); torchvision's
RandomResizedCrop.
"""

import math

import jax
import jax.numpy as jnp

WIDEST = 4 / 3
"""The largest aspect ratio of a crop; its inverse is the smallest."""


def random_resized_crops(
    keys: jax.Array,
    images: jax.Array,
    mean: jax.Array,
    *,
    size: int,
    flip: bool,
    least_area: float,
) -> jax.Array:
    """Subtract the mean, take a random crop of each image, resize it, and flip half of them.

    Args:
      keys: [n], one for each image.
      images: uint8 [n, stored, stored, 3].
      mean: float [stored, stored, 3].
      size: of the results, in pixels.
      flip: whether to flip horizontally.
      least_area: the smallest crop, as a part of the image's area; the largest is the image.

    Returns:
      float32 [n, size, size, 3].
    """
    stored = images.shape[1]

    def crop(key: jax.Array, image: jax.Array) -> jax.Array:
        area_key, ratio_key, row_key, column_key, flip_key = jax.random.split(key, 5)
        area = jax.random.uniform(area_key, minval=least_area, maxval=1.0)
        log_ratio = jax.random.uniform(ratio_key, minval=-1.0, maxval=1.0) * math.log(WIDEST)
        side, stretch = stored * jnp.sqrt(area), jnp.exp(log_ratio / 2)
        height, width = (jnp.minimum(x, stored) for x in (side / stretch, side * stretch))
        top = jax.random.uniform(row_key) * (stored - height)
        left = jax.random.uniform(column_key) * (stored - width)
        columns = resize_weights(left, width, stored, size)
        flipped = flip and jax.random.bernoulli(flip_key)
        columns = jnp.where(flipped, columns[::-1], columns)
        rows = resize_weights(top, height, stored, size)
        narrow = jnp.einsum("yh,hwc->ywc", rows, image - mean)
        return jnp.einsum("xw,ywc->yxc", columns, narrow)

    return jax.vmap(crop)(keys, images.astype(jnp.float32))


def resize_weights(
    start: jax.Array | float, length: jax.Array | float, stored: int, size: int
) -> jax.Array:
    """Return the weights [size, stored] of bilinear interpolation along an axis, as Pillow's.

    They resize the `length` pixels from `start` on, fractions included, to `size` pixels. Where
    they shrink, each result averages all the pixels that it covers.
    """
    scale = length / size
    centers = start + scale * (jnp.arange(size, dtype=jnp.float32) + 0.5)
    pixels = jnp.arange(stored, dtype=jnp.float32) + 0.5
    distances = jnp.abs(pixels[None] - centers[:, None]) / jnp.maximum(scale, 1.0)
    weights = jnp.maximum(1.0 - distances, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)
