"""Resizing of 8-bit images to a square, as Pillow does it, under `jit`.

`train.data.formats.image_resize` computes the same pixels of picture files by Pillow itself.
"""

import functools
import importlib.metadata
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Resize = Literal["shorter side", "both sides", "central square"]
Interpolation = Literal["linear", "cubic"]
_FRACTION_BITS = 22  # of Pillow's weights


def resize_images(
    images: jax.Array | np.ndarray, size: int, resize: Resize, interpolation: Interpolation
) -> jax.Array:
    """Resize and crop images to a square: Pillow's pixels, to one level.

    Args:
      images: uint8 [n, height, width, channels].
      size: of the result, in pixels.
      resize: the part of an image that becomes the square; see `Preprocessing`.
      interpolation: the filter, which widens where an image shrinks.

    Returns:
      Whole numbers from 0 to 255 as float32 [n, size, size, channels].
    """
    axes, vertical_first = _geometry((images.shape[1], images.shape[2]), size, resize)
    pixels = jnp.asarray(images)
    for i in (0, 1) if vertical_first else (1, 0):
        first, weights = _weights(images.shape[i + 1], size, axes[i], interpolation)
        pixels = lax.slice_in_dim(pixels, first, first + len(weights), axis=i + 1)
        product = "nhwc,hk->nkwc" if i == 0 else "nhwc,wk->nhkc"
        pixels = jnp.einsum(
            product, pixels.astype(jnp.float32), weights, precision=lax.Precision.HIGHEST
        )
        # Pillow rounds after each axis, and halves up.
        pixels = jnp.clip(jnp.floor(pixels + 0.5), 0, 255)
    return pixels


class _Axis(NamedTuple):
    """The part of a side that becomes the square, in pixels of the image."""

    start: float
    scale: float  # the image's pixels in one of the square's


def _geometry(sides: tuple[int, int], size: int, resize: Resize) -> tuple[list[_Axis], bool]:
    """Return the vertical and the horizontal axis, and whether the vertical one is resized first.

    Sides and corners are rounded as torchvision's `resize` and `center_crop` round them.
    """
    shorter, whole = min(sides), (size, size)
    if resize == "shorter side":
        whole = tuple(size * side // shorter for side in sides)
        corners = [round((new - size) / 2) for new in whole]  # halves to even
        scales = [old / new for old, new in zip(sides, whole, strict=True)]
        axes = [_Axis(corner * scale, scale) for corner, scale in zip(corners, scales, strict=True)]
    elif resize == "both sides":
        axes = [_Axis(0, side / size) for side in sides]
    else:
        axes = [_Axis((side - shorter) // 2, shorter / size) for side in sides]
    lowered, narrowed = (old - new for old, new in zip(sides, whole, strict=True))
    return axes, lowered > max(0, 2 * narrowed) and _pillow_begins_with_the_height()


@functools.cache
def _pillow_begins_with_the_height() -> bool:
    """Whether the Pillow that decodes pictures here does so if it shrinks most: since version 13.

    Pillow rounds after each axis, so that the order changes some pixels.
    """
    try:
        version = importlib.metadata.version("pillow")
    except importlib.metadata.PackageNotFoundError:
        return True
    return int(version.split(".")[0]) >= 13


def _weights(
    side: int, size: int, axis: _Axis, interpolation: Interpolation
) -> tuple[int, np.ndarray]:
    """Return the first pixel of a side that has a weight, and weights, float32 [pixels, size].

    In float64 until they are rounded as Pillow's are: `jax.image.scale_and_translate` computes its
    own in float32, and some pixels then differ by two levels.
    """
    width = max(axis.scale, 1.0)  # of the filter's unit
    centers = axis.start + (np.arange(size) + 0.5) * axis.scale
    radius = width * (1 if interpolation == "linear" else 2)
    first = max(0, int(np.floor(centers[0] - radius)))
    end = min(side, int(np.ceil(centers[-1] + radius)))
    distances = np.abs(np.arange(first, end)[:, None] + 0.5 - centers) / width
    weights = _FILTERS[interpolation](distances)
    weights = weights / weights.sum(axis=0)
    return first, (np.round(weights * 2**_FRACTION_BITS) / 2**_FRACTION_BITS).astype(np.float32)


def _linear(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - x, 0)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys's cubic convolution with a = -1/2 (1981), at distances x >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_FILTERS = {"linear": _linear, "cubic": _cubic}
