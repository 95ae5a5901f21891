"""What is measured on the training images before the first step: their mean, and their colours."""

from typing import NamedTuple

import numpy as np

from train.data.examples import Source


class ImageStatistics(NamedTuple):
    """The mean image (§2), and the principal colours of all pixels (§4.1), on 0 to 255."""

    mean: np.ndarray  # float32 [size, size, 3]
    variances: np.ndarray  # float64 [3], along the principal colours, ascending
    colours: np.ndarray  # float64 [3, 3], in its columns; red, green and blue of each in its rows


def image_statistics(source: Source, *, at_most: int = 5000) -> ImageStatistics:
    """Read the training images once, and sum up their pixels and the products of their colours.

    Of a source with more than `at_most` examples, that many are read, evenly spaced.
    """
    indices = np.linspace(0, len(source) - 1, min(len(source), at_most)).astype(int)
    total = np.zeros(source[0]["image"].shape, np.float64)
    products = np.zeros((3, 3), np.float64)  # of whole numbers below 2^53: the sums are exact
    for index in indices:
        image = source[int(index)]["image"].astype(np.float64)
        total += image
        pixels = image.reshape(-1, 3)
        products += pixels.T @ pixels
    mean = total / len(indices)
    colour = mean.mean(axis=(0, 1))
    covariance = products / (len(indices) * len(total) ** 2) - np.outer(colour, colour)
    variances, colours = np.linalg.eigh(covariance)
    # Of gray images all but one are 0, and rounding may leave them below it.
    return ImageStatistics(mean.astype(np.float32), np.maximum(variances, 0), colours)
