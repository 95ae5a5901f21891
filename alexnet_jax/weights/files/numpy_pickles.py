"""Arrays in pickles, as numpy's versions under Python 2 and 3 wrote them."""

import math
from typing import Any

import numpy as np

_TYPES = ("f2", "f4", "f8")


class _Type:
    """A type of numpy's, of which the order of bytes is told later."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class Array:
    """An array, of which everything is told later. No memory is taken for what it claims to be."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        """Take nothing of the empty array that a pickle begins with."""

    def __setstate__(self, state: Any) -> None:
        """Keep what the pickle says: version, shape, type, order of axes, numbers."""
        self.state = state

    def only(self) -> Any:
        """Return the one object in an array of objects. Raises ValueError if there are more."""
        _, shape, _, _, [content] = self.state
        if shape not in ((), (1,)):
            raise ValueError(f"it is an array of {list(shape)}, not one dictionary")
        return content

    def numbers(self) -> np.ndarray:
        """Return the array, of floating numbers. Raises ValueError if it is none."""
        _, shape, kind, by_columns, raw = self.state
        if kind.code not in _TYPES or kind.order not in "<>":
            raise ValueError(f"it has numbers of type {kind.order}{kind.code}")
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2's strings
        numbers = np.frombuffer(raw, kind.order + kind.code)
        if min(shape, default=0) < 0 or math.prod(shape) != numbers.size:
            raise ValueError(f"{numbers.size} numbers do not make an array of {list(shape)}")
        return numbers.reshape(shape, order="F" if by_columns else "C")


# numpy moved its core to another name in version 2; Python 3 wraps bytes for Python 2 to read.
NAMES = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("_codecs", "encode"): lambda text, _: text,
}
"""What stands for numpy's names, for `pickles.unpickled`."""
