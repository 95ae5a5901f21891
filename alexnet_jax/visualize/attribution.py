"""What a network looks at: saliency maps, occlusion maps, images that excite a class.

Pure functions. Images are as `apply` takes them, so 0 is the mean color; classes count from 0. The
score of a class is its logit.
"""

import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import PAPER
from alexnet_jax.model import apply
from alexnet_jax.params import Params


def saliency(
    params: Params, images: jax.Array, classes: jax.Array, *, architecture: Architecture = PAPER
) -> jax.Array:
    """Return how much each pixel changes the score of a class (Simonyan et al. 2013, section 3).

        max over the three colors of |d score / d pixel|

    Args:
      params: from `init`.
      images: [n, height, width, 3].
      classes: int [n], one class per image.
      architecture: the network that `params` belong to.

    Returns:
      [n, height, width], at least 0.
    """
    gradient = jax.grad(_total_score)(images, params, classes, architecture)
    return jnp.abs(gradient).max(axis=-1)


def occlusion(
    params: Params,
    image: jax.Array,
    label: jax.Array | int,
    *,
    size: int,
    stride: int,
    architecture: Architecture = PAPER,
) -> jax.Array:
    """Return the probability of a class while a square of the mean color covers part of the image.

    It is low where the square covers what the network needs (Zeiler and Fergus 2013, section 4.2).

    Args:
      params: from `init`.
      image: [height, width, 3].
      label: the class.
      size: of the square, in pixels.
      stride: between positions of the square, in pixels.
      architecture: the network that `params` belong to.

    Returns:
      [rows, columns]: at (i, j) the square's corner is at pixel (i * stride, j * stride); every
      square lies inside the image.
    """
    pixels = image.shape[0]
    starts = stride * jnp.arange((pixels - size) // stride + 1)

    def is_uncovered(start: jax.Array) -> jax.Array:
        indices = jnp.arange(pixels)
        return (indices < start) | (indices >= start + size)

    def row(top: jax.Array) -> jax.Array:
        outside = is_uncovered(top)[:, None] | jax.vmap(is_uncovered)(starts)[:, None]
        images = jnp.where(outside[..., None], image, 0)
        logits = apply(params, images, architecture=architecture)
        return jax.nn.softmax(logits.astype(jnp.float32))[:, label]

    return lax.map(row, starts)


def class_images(
    params: Params,
    classes: jax.Array,
    key: jax.Array,
    *,
    architecture: Architecture = PAPER,
    steps: int = 200,
    rate: float = 4.0,
    decay: float = 0.02,
) -> jax.Array:
    """Return one image per class that excites it (Simonyan et al. 2013, section 2).

    Gradient ascent on the score of the class, starting from faint noise: at the mean color itself,
    units without a bias have no gradient. Every step computes

        image <- (1 - decay) * image + rate * gradient / rms(gradient)

    where the decay is the paper's L2 penalty on the image. The images are not natural: nothing in
    training penalizes an image that no camera takes.

    Args:
      params: from `init`.
      classes: int [n].
      key: for the noise, N(0, 1) gray levels.
      architecture: the network that `params` belong to.
      steps: of ascent.
      rate: root mean square of a step, in gray levels.
      decay: of the image, in each step.

    Returns:
      [n, size, size, 3]; add the mean image to view them.
    """
    size = architecture.image_sizes[0]

    def ascend(_: int, images: jax.Array) -> jax.Array:
        gradient = jax.grad(_total_score)(images, params, classes, architecture)
        mean_square = jnp.square(gradient).mean(axis=(1, 2, 3), keepdims=True)
        # 1e-20 keeps a gradient of 0, of dead units, from a division by 0.
        return (1 - decay) * images + rate * gradient * lax.rsqrt(mean_square + 1e-20)

    noise = jax.random.normal(key, (len(classes), size, size, 3), jnp.float32)
    return lax.fori_loop(0, steps, ascend, noise)


def _total_score(
    images: jax.Array, params: Params, classes: jax.Array, architecture: Architecture
) -> jax.Array:
    """Sum over the images the logit of each one's class."""
    logits = apply(params, images, architecture=architecture)
    return jnp.take_along_axis(logits, classes[:, None], axis=1).sum()
