"""NumPy's .npy files of plain numbers, such as mean images."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.regular_file import open_regular

MAGIC = b"\x93NUMPY"
MAX_BYTES = 2**26  # a mean image of 2,048 pixels has 50 MB


def read(path: Path) -> np.ndarray:
    """Return the array in a file.

    Raises:
      ValueError: a file of something else than numbers, that is cut off, or larger than any mean.
      OSError: a file that cannot be opened.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        shape, by_columns, dtype = read_header(file)
        data = file.read(MAX_BYTES)
    if dtype.kind not in "fiu":
        raise ValueError(f"it has no numbers but {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"its {len(data):,} bytes do not make an array of {list(shape)}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")


def read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether columns come first, and type; leave the file at the numbers.

    Raises ValueError for a header that is none.
    """
    try:
        if np.lib.format.read_magic(file) == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)
    except Exception:  # it is parsed as Python, whose parser has errors of all kinds
        raise ValueError("its header cannot be read") from None
