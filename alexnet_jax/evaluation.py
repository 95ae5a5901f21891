"""From images to error rates: crops of an image, averaged predictions, top-k misses (§4.1, §6).

Images and crops are [n, height, width, 3]; the last axis of logits counts the classes.
"""

import math

import jax
import jax.numpy as jnp

from alexnet_jax.layer_fields import whole_number

CENTER = 2
"""Index of the center crop among the ten crops."""


def center_crops(images: jax.Array, size: int) -> jax.Array:
    """Cut the center crop out of each image: [n, height, width, 3] to [n, size, size, 3].

    Raises:
      ValueError: images smaller than the crop, or of another number of axes; a size that is no
        whole number above 0.
    """
    bottom, right = _margins(images, size)
    return _crop(images, bottom // 2, right // 2, size)


def ten_crops(images: jax.Array, size: int) -> jax.Array:
    """Cut ten crops out of each image: four corners, the center, and their flips (§4.1).

    The order is that of the original program: top left, top right, center, bottom left, bottom
    right, then the same five flipped horizontally.

    Args:
      images: [n, height, width, 3], with the mean subtracted.
      size: of the crops, in pixels.

    Returns:
      [n, 10, size, size, 3].

    Raises:
      ValueError: images smaller than the crops, or of another number of axes; a size that is no
        whole number above 0.
    """
    bottom, right = _margins(images, size)
    corners = ((0, 0), (0, right), (bottom // 2, right // 2), (bottom, 0), (bottom, right))
    five = jnp.stack([_crop(images, row, column, size) for row, column in corners], axis=1)
    return jnp.concatenate([five, five[:, :, :, ::-1]], axis=1)


def average_predictions(logits: jax.Array, axis: int) -> jax.Array:
    """Average predictions, as the paper does over crops and over networks (§4.1, §6).

    The softmax runs over the classes, the mean over `axis`:

        logits <- log(mean(softmax(logits)))

    The softmax of the result is the mean of the probabilities, so that averages can be averaged
    again. As logarithms, two different small probabilities do not both round to 0.
    """
    log_probabilities = jax.nn.log_softmax(logits, axis=-1)
    return jax.nn.logsumexp(log_probabilities, axis=axis) - math.log(logits.shape[axis])


def top_k_misses(logits: jax.Array, labels: jax.Array, k: int) -> jax.Array:
    """Return whether each label [n] is missing from the k largest logits [n, classes].

    Of equal logits the class with the lower number ranks first; in the original program they share
    the credit.

    Raises:
      ValueError: labels that are not one number for each row of logits.
    """
    labels = jnp.asarray(labels)
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels must be {[*logits.shape[:-1]]}, a class for each row of logits, "
            f"not {[*labels.shape]}"
        )
    top = jax.lax.top_k(logits, min(k, logits.shape[-1]))[1]
    return ~jnp.any(top == labels[..., None], axis=-1)


def _margins(images: jax.Array, size: int) -> tuple[int, int]:
    """Return the rows and columns outside of a crop. Raises ValueError if it does not fit."""
    if images.ndim != 4:
        raise ValueError(f"images must be [n, height, width, 3], not {list(images.shape)}")
    height, width = images.shape[1:3]
    size = whole_number(size, "size")
    if size > min(height, width):
        raise ValueError(
            f"no {size} x {size} pixels can be cut out of images of {height} x {width}"
        )
    return height - size, width - size


def _crop(images: jax.Array, row: int, column: int, size: int) -> jax.Array:
    return images[:, row : row + size, column : column + size]
