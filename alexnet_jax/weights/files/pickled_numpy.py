"""NumPy's arrays in pickles, as its versions under Python 2 and 3 wrote them.

They are read without NumPy's own unpickling, which takes the memory that an array claims.
"""

import math
from typing import Any

import numpy as np

from alexnet_jax.weights.files.restricted_pickle import Names, PickledObject, latin1_bytes


class PickledArray(PickledObject):
    """A NumPy array that stays bytes until `numbers`: its claimed shape takes no memory."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Keep version, shape, type, order of axes and numbers."""
        self.state = state

    def size_in_file(self) -> int:
        """Return the number of bytes of its numbers."""
        match self.state:
            case (_, _, _, _, str() | bytes() as raw):
                return len(raw)
        return 0

    def item(self) -> Any:
        """Return the one object of an array of objects. Raises ValueError if there are more."""
        match self.state:
            case (_, () | (1,), _, _, [content]):
                return content
        raise ValueError("it is not an array of one dictionary")

    def numbers(self) -> np.ndarray:
        """Return the array, which shares its memory. Raises ValueError if it is not of floats."""
        match self.state:
            case (_, tuple(shape), PickledDtype() as dtype, by_columns, str() | bytes() as raw):
                numbers = np.frombuffer(_as_bytes(raw), dtype.float())
            case _:
                raise ValueError("it has no array of numbers")
        if len(shape) > 32 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
            raise ValueError("it has an array without a shape")
        if math.prod(shape) != numbers.size:
            raise ValueError(f"{numbers.size} numbers do not make an array of {list(shape)}")
        return numbers.reshape(shape, order="F" if by_columns is True else "C")


class PickledDtype(PickledObject):
    """A NumPy type, whose byte order follows as its state."""

    order: Any = "<"

    def __init__(self, code: Any = None, *_: Any) -> None:
        """Keep the code, such as "f4"."""
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Keep the byte order."""
        self.order = state[1]

    def float(self) -> str:
        """Return NumPy's name of a floating type. Raises ValueError for all others."""
        if self.code not in ("f2", "f4", "f8") or self.order not in ("<", ">"):
            name = self.code if isinstance(self.code, str) else "that is unknown"
            raise ValueError(f"it has numbers of type {name}")
        return self.order + self.code


def _as_bytes(raw: str | bytes) -> bytes:
    return raw.encode("latin1") if isinstance(raw, str) else raw  # a short string of Python 2


NUMPY_NAMES: Names = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,  # its name since NumPy 2
    ("numpy.core.multiarray", "scalar"): PickledObject,
    ("numpy._core.multiarray", "scalar"): PickledObject,
    ("_codecs", "encode"): latin1_bytes,
}
"""What replaces NumPy's names, for `load_pickle`."""
