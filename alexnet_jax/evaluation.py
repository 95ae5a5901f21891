"""From images to error rates: patches of an image, mean predictions, misses (§4.1, §6).

Images and patches are [n, height, width, 3]; the last axis of scores counts the classes.
"""

import math

import jax
import jax.numpy as jnp

CENTER = 2
"""The place of the central patch among the ten."""


def center_crops(images: jax.Array, size: int) -> jax.Array:
    """Cut the central patch out of each image: [n, height, width, 3] to [n, size, size, 3].

    Raises ValueError if the images are smaller.
    """
    rows, columns = _spare(images, size)
    return _cut(images, rows // 2, columns // 2, size)


def ten_crops(images: jax.Array, size: int) -> jax.Array:
    """Cut ten patches out of each image: four corners, the center, and their reflections (§4.1).

    They come in the order of the original program: top left, top right, center, bottom left,
    bottom right, then the same five mirrored.

    Args:
      images: [n, height, width, 3], the mean subtracted already.
      size: of the patches, in pixels.

    Returns:
      [n, 10, size, size, 3].

    Raises:
      ValueError: images that are smaller.
    """
    bottom, right = _spare(images, size)
    places = ((0, 0), (0, right), (bottom // 2, right // 2), (bottom, 0), (bottom, right))
    five = jnp.stack([_cut(images, row, column, size) for row, column in places], axis=1)
    return jnp.concatenate([five, five[:, :, :, ::-1]], axis=1)


def average_predictions(scores: jax.Array, axis: int) -> jax.Array:
    """Average predictions, as the paper does over patches and over nets (§4.1, §6).

    The softmax runs over the classes, the mean over `axis`:

        scores <- log(mean(softmax(scores)))

    These are scores again, whose softmax is the mean of the probabilities, so that means can be
    averaged in turn. As logarithms no two small probabilities become equal by being rounded to 0.
    """
    log_probabilities = jax.nn.log_softmax(scores, axis=-1)
    return jax.nn.logsumexp(log_probabilities, axis=axis) - math.log(scores.shape[axis])


def top_k_misses(scores: jax.Array, labels: jax.Array, k: int) -> jax.Array:
    """Return, for scores [n, classes], whether the label [n] is not among the k best classes.

    Of equal scores the class with the lower number comes first; in the original program they share
    the credit.
    """
    best = jax.lax.top_k(scores, min(k, scores.shape[-1]))[1]
    return ~jnp.any(best == labels[:, None], axis=-1)


def _spare(images: jax.Array, size: int) -> tuple[int, int]:
    """The rows and columns that a patch leaves over."""
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise ValueError(
            f"no {size} x {size} pixels can be cut out of images of {height} x {width}"
        )
    return height - size, width - size


def _cut(images: jax.Array, row: int, column: int, size: int) -> jax.Array:
    return images[:, row : row + size, column : column + size]
