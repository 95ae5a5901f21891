"""Statistics of the training images: the mean image, and the PCA of the pixels' colors."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config.errors import BadInput
from .examples import ImageStatistics, Source

MEAN, COLORS = "mean.npy", "colours.npy"
"""The names of the files in a run folder and in a folder of records."""


class PixelSums(NamedTuple):
    """Sums over images. They are integers, so that the order of addition does not matter."""

    images: int
    pixels: np.ndarray  # int64 [size, size, 3]
    products: np.ndarray  # int64 [3, 3], of two colors of the same pixel

    def plus(self, other: "PixelSums") -> "PixelSums":
        """Return the sums over the images of both."""
        pixels, products = self.pixels + other.pixels, self.products + other.products
        return PixelSums(self.images + other.images, pixels, products)


def zero_sums(size: int) -> PixelSums:
    """Return the sums over no images, of `size` pixels square."""
    return PixelSums(0, np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64))


def sum_images(images: Iterable[np.ndarray], size: int) -> PixelSums:
    """Sum up images, uint8 [size, size, 3] each."""
    count, total, products = zero_sums(size)
    for image in images:
        count += 1
        total += image
        pixels = image.reshape(-1, 3).astype(np.float64)
        products += (pixels.T @ pixels).astype(np.int64)  # integers below 2^53: exact
    return PixelSums(count, total, products)


def compute_statistics(sums: PixelSums) -> ImageStatistics:
    """Compute the mean image, and the eigenvectors of the colors' covariance (§4.1)."""
    mean = sums.pixels / sums.images
    color = mean.mean(axis=(0, 1))
    count = sums.images * len(mean) ** 2
    covariance = sums.products / count - np.outer(color, color)
    variances, components = np.linalg.eigh(covariance)
    # Gray images have a single variance above 0; rounding may make the others negative.
    return ImageStatistics(mean.astype(np.float32), np.maximum(variances, 0), components)


def measure_statistics(source: Source, *, at_most: int = 5000) -> ImageStatistics:
    """Measure the statistics of a source, on evenly spaced examples if it has over `at_most`.

    The mean of 5,000 images has a standard error of about 1 in each pixel, of 255.
    """
    indices = np.linspace(0, len(source) - 1, min(len(source), at_most)).astype(int)
    images = (source[int(index)]["image"] for index in indices)
    return compute_statistics(sum_images(images, len(source[0]["image"])))


def with_channel_mean(statistics: ImageStatistics) -> ImageStatistics:
    """Replace the mean image by one mean for each of red, green and blue."""
    channels = statistics.mean.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return statistics._replace(mean=np.broadcast_to(channels, statistics.mean.shape))


def write_statistics(folder: Path, statistics: ImageStatistics) -> None:
    """Write the two files, each whole or not at all."""
    from alexnet_jax.weights.files.atomic import write_atomically  # imports JAX; workers do without

    colors = np.vstack([statistics.variances, statistics.components])
    for name, array in {MEAN: statistics.mean, COLORS: colors}.items():
        data = io.BytesIO()
        np.save(data, array)  # into a file it would raise errors of a full disk without its number
        write_atomically(folder / name, data.getvalue())


def read_statistics(folder: Path, size: int) -> ImageStatistics:
    """Read the two files, for images of `size` pixels. Raises BadInput if one is damaged."""
    mean = read_mean(folder, size)
    variances, *components = _read(folder / COLORS, (4, 3), np.float64, "the color statistics")
    return ImageStatistics(mean, variances, np.array(components))


def read_mean(folder: Path, size: int) -> np.ndarray:
    """Read the mean image, float32 [size, size, 3]. Raises BadInput if it is missing or damaged."""
    return _read(folder / MEAN, (size, size, 3), np.float32, "a mean image")


def _read(path: Path, shape: tuple[int, ...], dtype: type, content: str) -> np.ndarray:
    if path.exists() and not path.is_file():  # a pipe would wait for its writer
        raise BadInput(f"{path} is not a file")
    try:
        # Mapping reads no more than the header promises and the file holds.
        array = np.load(path, mmap_mode="r")
    except Exception as error:  # the parser of the header raises all kinds
        raise BadInput(f"{path} cannot be read: {error}") from None
    matches = isinstance(array, np.ndarray) and array.shape == shape and array.dtype == dtype
    if not matches or not np.isfinite(array).all():
        numbers = " x ".join(map(str, shape))
        raise BadInput(f"{path} is not {content} of {numbers} finite numbers")
    return np.array(array)
