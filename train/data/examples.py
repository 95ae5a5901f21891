"""What a source of images gives."""

from typing import Protocol, TypedDict

import numpy as np


class Example(TypedDict):
    """One example: `image` is uint8 [size, size, 3], RGB."""

    image: np.ndarray
    label: int


class Source(Protocol):
    """What Grain reads: examples by index."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, index: int) -> Example:
        """Return one example, the same at every call."""
        ...

    def name(self, index: int) -> str:
        """Return what to call an example: its file, or its place."""
        ...
