"""What a network looks at: saliency maps, occlusion maps, images that excite a class.

Pure functions. Images are as `apply` takes them, so 0 is the mean color; classes count from 0. The
score of a class is its logit. With `layer`, the score is that of a map or feature of this layer
instead: the mean of its activations over all positions. Images are then of any size, if the layer
comes before `Flatten`. A class or map that is not there is refused; where JAX traces it, as under
`jit`, it is not checked.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from alexnet_jax.architecture import Architecture, ImageSize
from alexnet_jax.architectures import PAPER, get
from alexnet_jax.layer_fields import whole_number
from alexnet_jax.model import activations
from alexnet_jax.params import ParamsLike
from alexnet_jax.visualize import arguments


def saliency(
    params: ParamsLike,
    images: jax.Array,
    classes: ArrayLike | Sequence[int],
    *,
    layer: str | None = None,
    architecture: Architecture | str = PAPER,
) -> jax.Array:
    """Return how much each pixel changes the score of a class (Simonyan et al. 2013, section 3).

        max over the three colors of |d score / d pixel|

    Args:
      params: from `init`.
      images: [n, height, width, 3].
      classes: int [n], one class per image, or one for all; or maps of `layer`.
      layer: name of a layer; if None, the logits.
      architecture: the network that `params` belong to, or its name.

    Returns:
      [n, height, width], at least 0.

    Raises:
      ValueError: images of another shape, another number of classes than of images, or a class or
        layer that the network does not have.
      TypeError: images of integers.
    """
    images = arguments.as_images(images)
    classes = arguments.as_classes(classes, len(images))
    gradient = jax.grad(total_score)(images, params, classes, layer, architecture)
    return jnp.abs(gradient).max(axis=-1)


def occlusion(
    params: ParamsLike,
    image: jax.Array,
    label: jax.Array | int,
    *,
    size: int,
    stride: int,
    layer: str | None = None,
    architecture: Architecture | str = PAPER,
) -> jax.Array:
    """Return the probability of a class while a square of the mean color covers part of the image.

    It is low where the square covers what the network needs (Zeiler and Fergus 2013, section 4.2).

    Args:
      params: from `init`.
      image: [height, width, 3].
      label: the class; or a map of `layer`.
      size: of the square, in pixels.
      stride: between positions of the square, in pixels.
      layer: name of a layer, whose score is returned in place of the probability of a class.
      architecture: the network that `params` belong to, or its name.

    Returns:
      [rows, columns]: at (i, j) the square's corner is at pixel (i * stride, j * stride); every
      square lies inside the image.

    Raises:
      ValueError: a batch of images, a square larger than the image, a size or stride below 1, or a
        class or layer that the network does not have.
      TypeError: an image of integers.
    """
    image, index = arguments.as_image(image), arguments.as_indices(label, "label")
    if index.ndim:
        raise ValueError(f"`label` must be one number, not an array of shape {list(index.shape)}")
    size, stride = whole_number(size, "`size`"), whole_number(stride, "`stride`")
    height, width = image.shape[:2]
    if size > min(height, width):
        raise ValueError(f"`size` {size} is larger than the image of {height} x {width} pixels")

    def starts(pixels: int) -> jax.Array:
        return stride * jnp.arange((pixels - size) // stride + 1)

    def is_uncovered(start: jax.Array, pixels: int) -> jax.Array:
        indices = jnp.arange(pixels)
        return (indices < start) | (indices >= start + size)

    across = jax.vmap(lambda start: is_uncovered(start, width))(starts(width))

    def row(top: jax.Array) -> jax.Array:
        down = is_uncovered(top, height)
        images = jnp.where(down[None, :, None, None] | across[:, None, :, None], image[None], 0)
        scores = _scores(params, images, layer, architecture)
        _check_classes(index, scores, "label", layer, architecture)
        if layer is None:
            scores = jax.nn.softmax(scores.astype(jnp.float32))
        return scores[:, index]

    return lax.map(row, starts(height))


def class_images(
    params: ParamsLike,
    classes: ArrayLike | Sequence[int],
    key: jax.Array,
    *,
    layer: str | None = None,
    image_size: ImageSize | None = None,
    architecture: Architecture | str = PAPER,
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
      classes: int [n], or one; or maps of `layer`.
      key: for the noise, N(0, 1) gray levels.
      layer: name of a layer; if None, the logits.
      image_size: in pixels, of squares or (height, width); the first of the architecture's sizes if
        None.
      architecture: the network that `params` belong to, or its name.
      steps: of ascent.
      rate: root mean square of a step, in gray levels.
      decay: of the image, in each step.

    Returns:
      [n, height, width, 3]; add the mean image to view them.

    Raises:
      ValueError: a class or layer that the network does not have, an image size that it does not
        take, or a negative number of steps.
    """
    indices = arguments.as_indices(classes, "classes")
    if indices.ndim > 1:
        raise ValueError(f"`classes` must be [n], not an array of shape {list(indices.shape)}")
    indices = indices.reshape(-1)
    if arguments.is_readable(steps):
        steps = whole_number(steps, "`steps`", least=0)
    height, width = _sides(get(architecture).image_sizes[0] if image_size is None else image_size)

    def ascend(_: int, images: jax.Array) -> jax.Array:
        gradient = jax.grad(total_score)(images, params, indices, layer, architecture)
        mean_square = jnp.square(gradient).mean(axis=(1, 2, 3), keepdims=True)
        # 1e-20 keeps a gradient of 0, of dead units, from a division by 0.
        return (1 - decay) * images + rate * gradient * lax.rsqrt(mean_square + 1e-20)

    noise = jax.random.normal(key, (len(indices), height, width, 3), jnp.float32)
    return lax.fori_loop(0, steps, ascend, noise)


def _sides(size: Any) -> tuple[int, int]:
    """The height and width of an image, of squares or both."""
    sides = size if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"`image_size` must be one number, or (height, width), not {size!r}")
    return whole_number(sides[0], "`image_size`"), whole_number(sides[1], "`image_size`")


def _scores(
    params: ParamsLike,
    images: jax.Array,
    layer: str | None,
    architecture: Architecture | str,
    after: str | None = None,
) -> jax.Array:
    """Return the score of every class, or of every map of the layer: [n, classes]."""
    net = get(architecture)
    name = net.layer_names()[-1] if layer is None else layer
    outputs = activations(params, images, name, after=after, architecture=net)[name]
    return outputs.mean(axis=tuple(range(1, outputs.ndim - 1)))


def total_score(
    images: jax.Array,
    params: ParamsLike,
    classes: np.ndarray | jax.Array,
    layer: str | None,
    architecture: Architecture | str,
    after: str | None = None,
) -> jax.Array:
    """Sum over the images the score of each one's class; `images` as `apply` takes them.

    `classes` are from `as_classes`. Raises ValueError if the network has no such class or map.
    """
    scores = _scores(params, images, layer, architecture, after)
    _check_classes(classes, scores, "classes", layer, architecture)
    return jnp.take_along_axis(scores, jnp.asarray(classes)[:, None], axis=1).sum()


def _check_classes(
    classes: Any, scores: jax.Array, label: str, layer: str | None, architecture: Architecture | str
) -> None:
    """Raise ValueError if there is no score of a class."""
    count = scores.shape[-1]
    owner = get(architecture).name
    has = f"{owner} has {count:,} classes" if layer is None else f"{layer} of {owner} has {count:,}"
    arguments.check_range(classes, count, label, has)
