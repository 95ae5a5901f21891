"""Noise in place of images, to plan a run and to time its step without the data."""

import numpy as np

from .examples import DataSet, Example, ImageStatistics

_IMAGES = 16  # different ones; a step takes as long for any pixels, and more would take memory


class SyntheticSource:
    """Any number of examples, which repeat a few images of noise."""

    def __init__(self, count: int, size: int, classes: int) -> None:
        """Draw the images, of `size` pixels square."""
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (_IMAGES, size, size, 3), np.uint8)
        self.count, self.classes = count, classes

    def __len__(self) -> int:
        """Return the number of examples."""
        return self.count

    def __getitem__(self, index: int) -> Example:
        """Return one of the images; labels cycle through the classes."""
        return {"image": self.images[index % _IMAGES], "label": index % self.classes}


def synthetic_data(size: int, *, train: int, test: int, classes: int) -> DataSet:
    """Return a data set with these numbers of training and test examples and classes."""
    names = tuple(str(label) for label in range(classes))
    return DataSet(
        SyntheticSource(train, size, classes), SyntheticSource(test, size, classes), names
    )


def synthetic_statistics(size: int) -> ImageStatistics:
    """Return plausible statistics of photographs to compile a step with."""
    # If all pixels of the mean were equal, the compiler could see that it need not be cropped.
    mean = np.random.default_rng(0).uniform(0, 255, (size, size, 3)).astype(np.float32)
    # Some gray levels squared, as photographs have them; no compiled program depends on the values.
    return ImageStatistics(mean, np.array([400.0, 1400.0, 14800.0]), np.eye(3))
