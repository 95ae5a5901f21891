"""Files of `torch.save`, without torch: named tensors as arrays.

There are three formats: a tar archive before PyTorch 0.1.10, then a sequence of pickles with the
numbers after them, and since 1.6 a zip archive. In each a pickle describes the tensors, and the
numbers are outside of it.
"""

import io
import math
import mmap
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from alexnet_jax.weights.files.restricted_pickle import load_pickle, ordered_dict
from alexnet_jax.weights.files.safetensors_file import TensorReaders

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle of a sequence
_TYPES = {"Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": jnp.bfloat16}
_TYPES |= {"Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?"}


class _Storage:
    """A flat row of numbers, which is not read until it is needed."""

    def __init__(self, dtype: np.dtype, numbers: Callable[[], np.ndarray] | None = None) -> None:
        self.dtype, self.numbers = dtype, numbers or self._missing

    def _missing(self) -> np.ndarray:
        raise ValueError("its numbers are missing")

    def view(self, start: int, count: int) -> "_Storage":
        """A part of the row."""
        return _Storage(self.dtype, lambda: self.numbers()[start : start + count])

    def read_from(self, data: mmap.mmap) -> None:
        """Take the numbers at the file's position, after their count, and move past them."""
        count, start = int.from_bytes(data.read(8), "little"), data.tell()
        data.seek(start + count * self.dtype.itemsize)
        self.numbers = lambda: np.frombuffer(data, self.dtype, count, start)


class _Tensor(NamedTuple):
    """A strided view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # counted in numbers

    def array(self) -> np.ndarray:
        """The array. Raises ValueError if the storage is too short for it."""
        numbers = self.storage.numbers()
        sizes = (self.offset, *self.shape, *self.strides)
        if not all(type(size) is int and size >= 0 for size in sizes):
            raise ValueError("its shape or strides are not sizes")
        axes = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in axes)
        if last >= len(numbers) or math.prod(self.shape) > len(numbers):
            raise ValueError("it is larger than its storage")
        strides = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides)


class _Parameter:
    """A tensor of a module, as the first versions of PyTorch saved it."""

    data: Any = None

    def __init__(self, data: Any = None, *_: Any) -> None:
        self.data = data

    def __setstate__(self, state: Any) -> None:
        if len(state) == 5:
            self.data = state[0]


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): ordered_dict,
    ("torch._utils", "_rebuild_tensor"): lambda *window: _Tensor(*window),
    ("torch._utils", "_rebuild_tensor_v2"): lambda *window: _Tensor(*window[:4]),
    ("torch._utils", "_rebuild_parameter"): lambda *parts: _Parameter(*parts),
    ("torch.nn.parameter", "Parameter"): _Parameter,
}
for _name, _type in _TYPES.items():
    _NAMES["torch", f"{_name}Storage"] = _NAMES["torch", f"{_name}Tensor"] = np.dtype(_type)


def tensors(path: Path, data: mmap.mmap) -> TensorReaders:
    """Return how to read each tensor of a `state_dict`, by its name.

    The file is a state_dict, or a checkpoint with one under "state_dict" or "model".

    Raises:
      ValueError: a file that holds something else, or asks for more than tensors.
    """
    if data[:2] == b"PK":
        state = _read_zip(path)
    elif data[: len(MAGIC)] == MAGIC:
        state = _read_sequence(data)
    else:
        state = _read_tar(path, data)
    for name in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict):
        raise ValueError("it holds no state_dict")
    readers = {}
    for name, value in state.items():
        tensor = value.data if isinstance(value, _Parameter) else value
        if not isinstance(tensor, _Tensor) or not isinstance(tensor.storage, _Storage):
            raise ValueError(f"its {name} is not a tensor")
        readers[name] = tensor.array
    return readers


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickled = next((name for name in names if name.endswith("/data.pkl")), None)
        if pickled is None:
            raise ValueError("it is a zip archive, but not one of PyTorch's")
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and _member(archive, f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        file = io.BytesIO(_member(archive, pickled))

    def numbers(dtype: np.dtype, key: str) -> np.ndarray:
        with zipfile.ZipFile(path) as archive:
            return np.frombuffer(_member(archive, f"{folder}data/{key}"), dtype)

    def storage(identity: Any) -> _Storage:
        _, dtype, key, *_ = identity
        return _Storage(dtype, lambda: numbers(dtype, key))

    return load_pickle(file, _NAMES, storage)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its {name} is compressed, which PyTorch never does")
    return archive.read(member)


def _read_sequence(data: mmap.mmap) -> Any:
    storages: dict[str, _Storage] = {}

    def storage(identity: Any) -> _Storage:
        _, dtype, key, _, _, view = identity
        shared = storages.setdefault(key, _Storage(dtype))
        return shared.view(*view[1:]) if view else shared

    for _ in ("magic number", "version", "sizes of C's types"):
        load_pickle(data, {})
    state = load_pickle(data, _NAMES, storage)
    for key in load_pickle(data, {}):
        storages[key].read_from(data)
    return state


def _read_tar(path: Path, data: mmap.mmap) -> Any:
    with tarfile.open(path, "r:") as archive:
        starts = {member.name: member.offset_data for member in archive}
    objects: dict[int, Any] = {}  # storages and tensors
    data.seek(starts["storages"])
    for _ in range(load_pickle(data, {})):
        key, _, dtype = load_pickle(data, _NAMES)
        objects[key] = _Storage(dtype)
        objects[key].read_from(data)
    for key, shared, start, count in load_pickle(data, {}):
        objects[key] = objects[shared].view(start, count)
    data.seek(starts["tensors"])
    for _ in range(load_pickle(data, {})):
        key, storage, _ = load_pickle(data, _NAMES)
        rank = int.from_bytes(data.read(8)[:4], "little")
        *sizes, offset = struct.unpack(f"<{2 * rank + 1}q", data.read(16 * rank + 8))
        objects[key] = _Tensor(objects[storage], offset, tuple(sizes[:rank]), tuple(sizes[rank:]))
    data.seek(starts["pickle"])
    return load_pickle(data, _NAMES, lambda identity: objects[int(identity)])
