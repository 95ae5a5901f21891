"""What is measured on the training images before the first step: their mean, and their colors."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config.errors import BadInput
from .examples import Source

MEAN, COLORS = "mean.npy", "colours.npy"
"""The files that a run's folder and a folder of records keep them in."""


class ImageStatistics(NamedTuple):
    """The mean image (§2), and the principal colors of all pixels (§4.1), on 0 to 255."""

    mean: np.ndarray  # float32 [size, size, 3]
    variances: np.ndarray  # float64 [3], along the principal colors, ascending
    colors: np.ndarray  # float64 [3, 3], in its columns; red, green and blue of each in its rows


class Sums(NamedTuple):
    """What adds up over images: whole numbers, so that the total is the same in any order."""

    images: int
    pixels: np.ndarray  # int64 [size, size, 3]
    products: np.ndarray  # int64 [3, 3], of two colors of one pixel

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums over the images of both."""
        pixels, products = self.pixels + other.pixels, self.products + other.products
        return Sums(self.images + other.images, pixels, products)


def no_sums(size: int) -> Sums:
    """Return the sums over no image of `size` pixels square."""
    return Sums(0, np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64))


def sums_of(images: Iterable[np.ndarray], size: int) -> Sums:
    """Sum up images, uint8 [size, size, 3] each."""
    count, total, products = no_sums(size)
    for image in images:
        count += 1
        total += image
        pixels = image.reshape(-1, 3).astype(np.float64)
        products += (pixels.T @ pixels).astype(np.int64)  # whole numbers below 2^53: exact
    return Sums(count, total, products)


def statistics_from(sums: Sums) -> ImageStatistics:
    """Return the mean image and the principal colors that follow from sums over images."""
    mean = sums.pixels / sums.images
    color = mean.mean(axis=(0, 1))
    count = sums.images * len(mean) ** 2
    covariance = sums.products / count - np.outer(color, color)
    variances, colors = np.linalg.eigh(covariance)
    # Of gray images all but one are 0, and rounding may leave them below it.
    return ImageStatistics(mean.astype(np.float32), np.maximum(variances, 0), colors)


def image_statistics(source: Source, *, at_most: int = 5000) -> ImageStatistics:
    """Read the training images once, and sum up their pixels and the products of their colors.

    Of a source with more than `at_most` examples, that many are read, evenly spaced.
    """
    indices = np.linspace(0, len(source) - 1, min(len(source), at_most)).astype(int)
    images = (source[int(index)]["image"] for index in indices)
    return statistics_from(sums_of(images, len(source[0]["image"])))


def with_mean_by_channel(found: ImageStatistics) -> ImageStatistics:
    """Return the same with one mean for each of red, green and blue in all pixels."""
    channels = found.mean.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return found._replace(mean=np.broadcast_to(channels, found.mean.shape))


def write_statistics(folder: Path, found: ImageStatistics) -> None:
    """Write the two files, each whole or not at all."""
    arrays = {MEAN: found.mean, COLORS: np.vstack([found.variances, found.colors])}
    for name, array in arrays.items():
        half_written = (folder / name).with_suffix(".tmp.npy")
        np.save(half_written, array)
        half_written.rename(folder / name)


def read_statistics(folder: Path, size: int) -> ImageStatistics:
    """Read the two files of images of `size` pixels. Raises BadInput if one is damaged."""
    mean = read_mean(folder, size)
    variances, *colors = _read(folder / COLORS, (4, 3), np.float64, "the color statistics")
    return ImageStatistics(mean, variances, np.array(colors))


def read_mean(folder: Path, size: int) -> np.ndarray:
    """Return the mean image that is kept, float32 [size, size, 3]. Raises BadInput if none is."""
    return _read(folder / MEAN, (size, size, 3), np.float32, "a mean image")


def _read(path: Path, shape: tuple[int, ...], dtype: type, what: str) -> np.ndarray:
    try:
        # Of a mapped file no more is read than its header promises and the file holds.
        array = np.load(path, mmap_mode="r")
    except Exception as error:  # the parser of the header raises what it likes
        raise BadInput(f"{path} cannot be read: {error}") from None
    wanted = isinstance(array, np.ndarray) and array.shape == shape
    if not wanted or array.dtype != dtype or not np.isfinite(array).all():
        numbers = " x ".join(map(str, shape))
        raise BadInput(f"{path} is not {what} of {numbers} finite numbers")
    return np.array(array)
