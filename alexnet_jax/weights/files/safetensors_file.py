"""Files of the safetensors library; only this module imports it."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

MAX_HEADER = 2**22  # bytes of JSON: 100 for each tensor, and the names of the classes

TensorReaders = Mapping[str, Callable[[], np.ndarray]]
"""How to read each array of a file, by its name."""


def serialize(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """Return the bytes of a file with these arrays and metadata."""
    from safetensors.numpy import save

    return save(tensors, metadata)


def read(path: Path) -> tuple[TensorReaders, dict[str, str]]:
    """Return the arrays and the metadata of a file, which stays open until the arrays are read.

    Raises ValueError for a header that is too long, and what the library raises.
    """
    from safetensors import safe_open

    with path.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
    if size > MAX_HEADER:
        raise ValueError(f"its header of {size:,} bytes is longer than that of any network")
    file: Any = safe_open(path, framework="numpy")
    names = list(file.keys())
    readers = {name: functools.partial(_read_tensor, file, name) for name in names}
    return readers, file.metadata() or {}


def _read_tensor(file: Any, name: str) -> np.ndarray:
    dtype = file.get_slice(name).get_dtype()
    if dtype.startswith("F") and dtype not in ("F16", "F32", "F64"):
        raise ValueError(f"{name} has numbers of type {dtype}, which NumPy does not know")
    return file.get_tensor(name)
