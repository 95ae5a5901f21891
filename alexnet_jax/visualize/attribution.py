"""What a net looks at: saliency maps, occlusion maps, images that excite a class. Pure functions.

Images are as `apply` takes them, so 0 is the mean color; classes are counted from 0.
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
    """Return how much each pixel moves the score of a class (Simonyan et al. 2013, section 3).

        the largest over the three colors of |d score / d pixel|

    Args:
      params: as from `init`.
      images: [n, height, width, 3].
      classes: int [n], the class whose score is asked for in each image.
      architecture: the net that `params` belong to.

    Returns:
      [n, height, width], at least 0.
    """
    gradient = jax.grad(_score)(images, params, classes, architecture)
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
    """Return the probability of a class with a square of the mean color before each place.

    Where it falls, the net sees what it needs (Zeiler and Fergus 2013, section 4.2).

    Args:
      params: as from `init`.
      image: [height, width, 3].
      label: the class.
      size: of the square, in pixels.
      stride: pixels from one place to the next.
      architecture: the net that `params` belong to.

    Returns:
      [rows, columns]: entry (i, j) has the square's corner at pixel (i * stride, j * stride); all
      squares lie within the image.
    """
    pixels = image.shape[0]
    places = stride * jnp.arange((pixels - size) // stride + 1)

    def free(place: jax.Array) -> jax.Array:
        along = jnp.arange(pixels)
        return (along < place) | (along >= place + size)

    def row(top: jax.Array) -> jax.Array:
        outside = free(top)[:, None] | jax.vmap(free)(places)[:, None]
        images = jnp.where(outside[..., None], image, 0)
        scores = apply(params, images, architecture=architecture)
        return jax.nn.softmax(scores.astype(jnp.float32))[:, label]

    return lax.map(row, places)


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
    """Return images that excite a class each (Simonyan et al. 2013, section 2).

    From faint noise, since at the very mean units without a bias have no gradient, in every step

        image <- (1 - decay) * image + rate * gradient / rms(gradient)

    with the gradient of the class's score; the decay is theirs for the image's square. They are no
    likely images: the net has never been asked what is not there.

    Args:
      params: as from `init`.
      classes: int [n].
      key: of the noise, N(0, 1) gray levels.
      architecture: the net that `params` belong to.
      steps: of ascent.
      rate: gray levels, the root mean square of a step.
      decay: of the image, in each step.

    Returns:
      [n, size, size, 3], to which the mean image is to be added.
    """
    size = architecture.image_sizes[0]

    def ascend(_: int, images: jax.Array) -> jax.Array:
        gradient = jax.grad(_score)(images, params, classes, architecture)
        square = jnp.square(gradient).mean(axis=(1, 2, 3), keepdims=True)
        return (1 - decay) * images + rate * gradient * lax.rsqrt(square + 1e-20)

    noise = jax.random.normal(key, (len(classes), size, size, 3), jnp.float32)
    return lax.fori_loop(0, steps, ascend, noise)


def _score(
    images: jax.Array, params: Params, classes: jax.Array, architecture: Architecture
) -> jax.Array:
    """The sum over images of the score of each one's class."""
    scores = apply(params, images, architecture=architecture)
    return jnp.take_along_axis(scores, classes[:, None], axis=1).sum()
