"""A photograph as it is, with a frame around the crop that the network sees."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from alexnet_jax import Preprocessing

_MAX_SIDE = 640  # pixels; a panel of four inches at 120 dots per inch has fewer


class Box(NamedTuple):
    """A rectangle in a picture, in its pixels; whole pixels begin at whole numbers."""

    left: float
    top: float
    width: float
    height: float


class Photograph(NamedTuple):
    """A picture, and the part of it that the network sees."""

    pixels: np.ndarray
    """uint8 [height, width, 3], of the picture's aspect ratio."""
    crop: Box


def read_photograph(path: Path, preprocessing: "Preprocessing") -> Photograph:
    """Read a picture, reduced if it is larger than a panel. Raises BadInput."""
    from ..data.formats.image_file import open_rgb

    picture, _ = open_rgb(path, path)
    picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
    return Photograph(np.asarray(picture), center_crop_box(*picture.size, preprocessing))


def center_crop_box(width: float, height: float, preprocessing: "Preprocessing") -> Box:
    """Return the box of the network's input in a picture of `width` by `height` pixels."""
    stored, size = preprocessing.stored_size, preprocessing.input_size
    sides = (width, height)
    if preprocessing.resize != "both sides":
        sides = (min(sides), min(sides))
    first = (stored - size) // 2 / stored  # of the stored image, as `Preprocessing` cuts it
    left, top = (
        (whole - side) / 2 + first * side
        for whole, side in zip((width, height), sides, strict=True)
    )
    return Box(left, top, sides[0] * size / stored, sides[1] * size / stored)


def draw_photograph(axes: "Axes", photograph: Photograph, *, faded: bool = False) -> None:
    """Draw the picture with its frame; `faded`, in pale gray, for a map above it."""
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    pixels = photograph.pixels
    if faded:
        gray = pixels @ np.array([0.299, 0.587, 0.114])  # the luma of BT.601
        pixels = np.repeat(128 + gray[..., None] / 2, 3, axis=-1).astype(np.uint8)
    height, width = pixels.shape[:2]
    extent = (0, width, height, 0)
    axes.imshow(pixels, extent=extent)
    left, top, *sides = photograph.crop
    frame = Rectangle((left, top), *sides, fill=False, edgecolor="white", linewidth=1.2)
    frame.set_clip_on(False)
    frame.set_path_effects([patheffects.withStroke(linewidth=2.6, foreground="black")])
    axes.add_patch(frame)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()


def draw_map(
    axes: "Axes",
    photograph: Photograph,
    values: np.ndarray,
    region: Box | None = None,
    **style: Any,
) -> "AxesImage":
    """Draw a map [rows, columns] smoothly over the crop, or over a part of it.

    Args:
      axes: with the photograph drawn.
      photograph: that the map belongs to.
      values: each covers a rectangle of the region.
      region: in fractions of the crop's sides; all of it by default.
      **style: for `imshow`.

    Returns:
      The map's image, for a color bar.
    """
    crop, region = photograph.crop, region or Box(0, 0, 1, 1)
    left, top = crop.left + region.left * crop.width, crop.top + region.top * crop.height
    right, bottom = left + region.width * crop.width, top + region.height * crop.height
    limits = axes.get_xlim(), axes.get_ylim()
    extent = (left, right, bottom, top)
    image = axes.imshow(values, extent=extent, interpolation="bilinear", **style)
    axes.set(xlim=limits[0], ylim=limits[1])
    return image
