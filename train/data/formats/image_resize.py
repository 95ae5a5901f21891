"""The one way in which a picture of any size becomes a stored image: resized, then cropped.

`alexnet_jax.Preprocessing` computes the same pixels from arrays, to one level of 255, without
Pillow. This module does without JAX, for the worker processes of train.prepare.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import PIL
from PIL import Image

if TYPE_CHECKING:  # JAX
    from alexnet_jax.preprocessing import Interpolation, Resize

_FILTERS = {"linear": Image.Resampling.BILINEAR, "cubic": Image.Resampling.BICUBIC}
_RADIUS = 2  # of the bicubic filter, the larger of the two, in pixels
_TALL_FIRST = int(PIL.__version__.split(".")[0]) >= 13
"""Pillow rounds after each axis, the horizontal one first unless the height shrinks most."""
_LONGEST = 2**13  # pixels of a side that is resized whole: photographs and panoramas, no strips


class ResizeRule(NamedTuple):
    """How a picture becomes a square image; the fields are those of `Preprocessing`."""

    resize: "Resize" = "shorter side"
    interpolation: "Interpolation" = "cubic"

    def __call__(self, picture: Image.Image, size: int) -> np.ndarray:
        """Return an RGB picture as uint8 [size, size, 3], and a gray one as [size, size].

        The pixels are those of Pillow's `resize` and then `crop`.
        """
        axes, vertical_first = _geometry(picture.size, size, self.resize)
        windows = [axis.window(side) for axis, side in zip(axes, picture.size, strict=True)]
        (left, right), (top, bottom) = windows
        picture = picture.crop((left, top, right, bottom))
        for i in (1, 0) if vertical_first else (0, 1):
            # One axis at a time: with a box, Pillow may choose another order than without.
            (width, height), start = picture.size, axes[i].start - windows[i][0]
            end = min(start + axes[i].length * axes[i].scale, picture.size[i])
            box = (start, 0, end, height) if i == 0 else (0, start, width, end)
            sides = (axes[i].length, height) if i == 0 else (width, axes[i].length)
            picture = picture.resize(sides, _FILTERS[self.interpolation], box)
        left, top = (axis.corner for axis in axes)
        return np.asarray(picture.crop((left, top, left + size, top + size)))


RULES: Mapping[str, ResizeRule] = MappingProxyType(
    {
        "crop": ResizeRule(),
        "squash": ResizeRule("both sides"),
        "central-square": ResizeRule("central square"),
    }
)
"""The rules of runs and records, by their names in config.json and on the command line."""


class _Axis(NamedTuple):
    """How one side of a picture is resized."""

    start: float  # of the part that is resized, in pixels of the picture
    scale: float  # of the picture's pixels in one of the image's
    length: int  # of the part, in pixels of the image
    corner: int = 0  # of the image in it

    def window(self, side: int) -> tuple[int, int]:
        """Return the first of the picture's pixels that the filter reads, and one past the last."""
        margin = math.ceil(_RADIUS * max(self.scale, 1)) + 1
        end = math.ceil(self.start + self.length * self.scale)
        return max(0, math.floor(self.start) - margin), min(side, end + margin)


def _geometry(sides: tuple[int, int], size: int, resize: "Resize") -> tuple[list[_Axis], bool]:
    """Return the horizontal and the vertical axis, and whether the vertical one is resized first.

    Sides and corners are rounded as torchvision's `resize` and `center_crop` round them.
    """
    shorter, whole = min(sides), (size, size)
    if resize == "shorter side":
        whole = tuple(size * side // shorter for side in sides)
        axes = [_shorter_side_axis(old, new, size) for old, new in zip(sides, whole, strict=True)]
    elif resize == "both sides":
        axes = [_Axis(0, side / size, size) for side in sides]
    else:
        axes = [_Axis((side - shorter) // 2, shorter / size, size) for side in sides]
    narrowed, lowered = (old - new for old, new in zip(sides, whole, strict=True))
    return axes, _TALL_FIRST and lowered > max(0, 2 * narrowed)


def _shorter_side_axis(old: int, new: int, size: int) -> _Axis:
    """Resize a side whole: a box from a fraction of a pixel on would cost Pillow some precision.

    Of a long thin strip, which would take gigabytes, only the center is resized.
    """
    corner = round((new - size) / 2)  # halves to even
    if new <= max(_LONGEST, 2 * size):
        return _Axis(0, old / new, new, corner)
    return _Axis(corner * old / new, old / new, size)
