"""Images of noise in the place of data that are not there, to plan a run and to time its step."""

import numpy as np

from .dataset import DataSet
from .examples import Example
from .image_statistics import ImageStatistics

_DIFFERENT = 16


class SyntheticSource:
    """As many examples as are asked for, of a few images that are drawn beforehand."""

    def __init__(self, count: int, size: int, classes: int) -> None:
        """Draw the few, of `size` pixels square."""
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (_DIFFERENT, size, size, 3), np.uint8)
        self.count, self.classes = count, classes

    def __len__(self) -> int:
        """Return the number of examples."""
        return self.count

    def __getitem__(self, index: int) -> Example:
        """Return one of the few; the classes take turns."""
        return {"image": self.images[index % _DIFFERENT], "label": index % self.classes}

    def name(self, index: int) -> str:
        """Return its place, from 0 on."""
        return f"image {index}"


def synthetic_data(size: int, *, train: int, test: int, classes: int) -> DataSet:
    """Return a data set with so many training and test examples of so many classes."""
    names = tuple(str(label) for label in range(classes))
    return DataSet(
        SyntheticSource(train, size, classes), SyntheticSource(test, size, classes), names
    )


def synthetic_statistics(size: int) -> ImageStatistics:
    """Return some mean image and principal colors, as good as any to compile a step with."""
    # Of a mean whose pixels are equal, a compiler could see that it need not be cut.
    mean = np.random.default_rng(0).uniform(0, 255, (size, size, 3)).astype(np.float32)
    return ImageStatistics(mean, np.array([400.0, 1400.0, 14800.0]), np.eye(3))
