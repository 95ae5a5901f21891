"""NumPy's .npy files of plain numbers, such as mean images."""

import math
import os
from pathlib import Path

import numpy as np

MAGIC = b"\x93NUMPY"
MAX_BYTES = 2**26  # a mean image of 2,048 pixels has 50 MB


def read(path: Path) -> np.ndarray:
    """Return the array in a file.

    Raises:
      ValueError: a file of something else than numbers, that is cut off, or larger than any mean.
      OSError: a file that cannot be opened.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, by_columns, dtype = read_header(file)
        data = file.read(MAX_BYTES)
    if dtype.kind not in "fiu":
        raise ValueError(f"it has no numbers but {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"its {len(data):,} bytes do not make an array of {list(shape)}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")
