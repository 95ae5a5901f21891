"""Where a network sees a class: Grad-CAM."""

from collections.abc import Sequence

import jax
from jax.typing import ArrayLike

from alexnet_jax import architectures
from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import PAPER
from alexnet_jax.layer_specs import Conv, Flatten, Relu
from alexnet_jax.model import activations
from alexnet_jax.params import ParamsLike
from alexnet_jax.visualize import arguments
from alexnet_jax.visualize.attribution import total_score


def grad_cam(
    params: ParamsLike,
    images: jax.Array,
    classes: ArrayLike | Sequence[int],
    *,
    layer: str | None = None,
    architecture: Architecture | str = PAPER,
) -> jax.Array:
    """Return which regions of each image raise the score of a class (Selvaraju et al. 2017).

    Each map A_k of a layer is weighted by the mean over its pixels of the score's gradient
    (equations 1 and 2 of section 3; the score is the logit):

        weight_k = mean over pixels of d score / d A_k
        max(0, sum over k of weight_k * A_k)

    Args:
      params: from `init`.
      images: [n, height, width, 3], as `apply` takes them.
      classes: int [n], one class per image, or one for all.
      layer: a layer whose output is maps; if None, the last nonlinearity before `Flatten`, as
        "relu5", or the last convolution of a network without one.
      architecture: the network that `params` belong to.

    Returns:
      [n, rows, columns] of the layer's maps, at least 0 and not scaled. The map covers the whole
      image: resize it to the image's height and width to lay it over.

    Raises:
      ValueError: a layer that the network does not have, or one without maps; images of another
        shape, another number of classes than of images, or a class that the network does not have.
      TypeError: images of integers.
    """
    images = arguments.as_images(images)
    classes = arguments.as_classes(classes, len(images))
    name = layer or _last_maps(architectures.get(architecture))
    maps = activations(params, images, name, architecture=architecture)[name]
    if maps.ndim != 4:
        raise ValueError(f"{name} has no maps, but {maps.shape[-1]} features")

    gradient = jax.grad(total_score)(maps, params, classes, None, architecture, after=name)
    weights = gradient.mean(axis=(1, 2), keepdims=True)
    return jax.nn.relu((weights * maps).sum(axis=-1))


def _last_maps(architecture: Architecture) -> str:
    """The name of the last nonlinearity before `Flatten`, or of the last convolution."""
    before = []
    for info in architecture.layer_info():
        if isinstance(info.spec, Flatten):
            break
        before.append(info)
    for kind in (Relu, Conv):
        if names := [info.name for info in before if isinstance(info.spec, kind)]:
            return names[-1]
    raise ValueError(f"{architecture.name} has no layer with maps: name one as `layer`")
