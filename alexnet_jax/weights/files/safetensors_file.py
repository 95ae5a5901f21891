"""Files of the safetensors library; only this module imports it."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TensorReaders = Mapping[str, Callable[[], np.ndarray]]
"""How to read each array of a file, by its name."""


def serialize(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """Return the bytes of a file with these arrays and metadata."""
    from safetensors.numpy import save

    return save(tensors, metadata)


def read(path: Path) -> tuple[TensorReaders, dict[str, str]]:
    """Return the arrays and the metadata of a file, which stays open until the arrays are read."""
    from safetensors import safe_open

    file: Any = safe_open(path, framework="numpy")
    names = list(file.keys())
    return {name: functools.partial(file.get_tensor, name) for name in names}, file.metadata() or {}
