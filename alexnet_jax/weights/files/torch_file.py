"""Files of `torch.save`, without torch: named tensors as arrays.

There are three formats: a tar archive before PyTorch 0.1.10, then a sequence of pickles with the
numbers after them, and since 1.6 a zip archive. In each a pickle describes the tensors, and the
numbers are outside of it.
"""

import functools
import io
import mmap
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.weights.files.restricted_pickle import RefusedName, load_pickle
from alexnet_jax.weights.files.safetensors_file import TensorReaders
from alexnet_jax.weights.files.torch_names import TORCH_NAMES, Parameter, Storage, Tensor
from alexnet_jax.weights.files.zip_members import ZipMembers

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle of a sequence
MAX_CONTAINERS = 100_000  # dictionaries and lists that are searched for tensors, and tensors found
_MAX_PATH = 1000  # characters of the name of a tensor, with the keys of all that it is in
_MAX_OBJECTS = 10_000  # storages or tensors of a tar archive
_MAX_RANK = 64  # PyTorch's limit


def tensors(path: Path, data: mmap.mmap) -> TensorReaders:
    """Return how to read each tensor, by its name.

    The name of a tensor in a dictionary within others has all keys:
    "state_dict/module.features.0.weight". Indices of lists count as keys.

    Raises:
      ValueError: a file that holds no tensors, or asks for more than data.
    """
    try:
        content = _read_content(path, data)
    except RefusedName as error:  # a whole module, or settings of a class of somebody's own
        raise ValueError(f"{error}: save the state_dict() of the model alone") from None
    return {name: tensor.array for name, tensor in _find_tensors(content).items()}


def _read_content(path: Path, data: mmap.mmap) -> Any:
    if data[:2] == b"PK":
        return _read_zip(path)
    if data[: len(MAGIC)] == MAGIC:
        return _read_sequence(data)
    return _read_tar(data)


def _find_tensors(content: Any) -> dict[str, Tensor]:
    """All tensors by name. What is in several places is found in one of them."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", content)]
    while waiting:
        path, value = waiting.pop()
        value = value.data if isinstance(value, Parameter) else value
        if isinstance(value, Tensor) and isinstance(value.storage, Storage):
            found.setdefault(path, value)
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in pairs:
                if isinstance(item, dict | list | tuple | Parameter) and isinstance(key, str | int):
                    name = f"{path}/{key}" if path else str(key)
                    waiting += [(name, item)] if len(name) <= _MAX_PATH else []
                if len(waiting) + len(found) + len(seen) > MAX_CONTAINERS:
                    raise ValueError(f"it has more than {MAX_CONTAINERS:,} tensors and lists")
    return dict(reversed(found.items()))  # the last was looked at first


def _read_zip(path: Path) -> Any:
    archive = ZipMembers(path)
    pickled = next((name for name in archive.names if name.endswith("/data.pkl")), None)
    if pickled is None:
        raise ValueError("it is a zip archive, but not one of PyTorch's")
    folder = pickled.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.names and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("its numbers are big-endian")

    @functools.cache  # many tensors may share one storage
    def read(key: str) -> bytes:
        return archive.read(f"{folder}data/{key}")

    def storage(identity: Any) -> Storage:
        dtype, key = _storage_identity(identity)
        return Storage(dtype, lambda: np.frombuffer(read(key), dtype))

    return load_pickle(io.BytesIO(archive.read(pickled)), TORCH_NAMES, storage)


def _storage_identity(identity: Any) -> tuple[Any, str]:
    """The type of a storage's numbers, and its key."""
    match identity:
        case (_, dtype, str() | int() as key, *_):
            return dtype, str(key)
    raise ValueError("it refers to a storage without a key")


def _read_sequence(data: mmap.mmap) -> Any:
    storages: dict[str, Storage] = {}

    def storage(identity: Any) -> Storage:
        dtype, key = _storage_identity(identity)
        shared = storages.setdefault(key, Storage(dtype))
        view = identity[5] if len(identity) > 5 else None
        return shared.view(*view[1:]) if view else shared

    for _ in ("magic number", "version", "sizes of C's types"):
        load_pickle(data, {})
    content = load_pickle(data, TORCH_NAMES, storage)
    for key in load_pickle(data, {}):
        if not isinstance(key, str | int) or str(key) not in storages:
            raise ValueError("it has numbers of an unknown storage")
        _read_numbers(storages[str(key)], data)
    return content


def _read_numbers(storage: Storage, data: mmap.mmap) -> None:
    """Take the numbers at the file's position, after their count, and move past them."""
    if not isinstance(storage.dtype, np.dtype):
        raise ValueError("it has numbers of a type that NumPy has not")
    count, start = int.from_bytes(data.read(8), "little"), data.tell()
    if start + count * storage.dtype.itemsize > len(data):
        raise ValueError("it is cut off in the middle of its numbers")
    data.seek(start + count * storage.dtype.itemsize)
    storage.numbers = lambda: np.frombuffer(data, storage.dtype, count, start)


def _read_tar(data: mmap.mmap) -> Any:
    starts = _tar_members(data)
    objects: dict[int, Any] = {}  # storages and tensors
    data.seek(starts["storages"])
    for _ in range(_count(load_pickle(data, {}))):
        key, _, dtype = load_pickle(data, TORCH_NAMES)
        objects[_number(key)] = storage = Storage(dtype)
        _read_numbers(storage, data)
    for key, shared, start, count in load_pickle(data, {}):
        objects[_number(key)] = objects[_number(shared)].view(start, count)
    data.seek(starts["tensors"])
    for _ in range(_count(load_pickle(data, {}))):
        key, storage, _ = load_pickle(data, TORCH_NAMES)
        rank = int.from_bytes(data.read(8)[:4], "little")
        if rank > _MAX_RANK:
            raise ValueError(f"it has a tensor of {rank:,} axes")
        *sizes, offset = struct.unpack(f"<{2 * rank + 1}q", data.read(16 * rank + 8))
        shape, strides = tuple(sizes[:rank]), tuple(sizes[rank:])
        objects[_number(key)] = Tensor(objects[_number(storage)], offset, shape, strides)
    data.seek(starts["pickle"])
    return load_pickle(data, TORCH_NAMES, lambda identity: objects[int(identity)])


def _tar_members(data: mmap.mmap) -> dict[str, int]:
    """Where the content of each member begins, by its name; PyTorch wrote four."""
    starts, at = {}, 0
    for _ in range(100):
        header = data[at : at + 512]
        if header[257:262] != b"ustar":
            break
        starts[header[:100].split(b"\0")[0].decode("latin1")] = at + 512
        size = header[124:136].strip(b"\0 ") or b"0"
        if not re.fullmatch(b"[0-7]+", size):
            raise ValueError("it is a tar archive with a member without a size")
        at += 512 + -(-int(size, 8) // 512) * 512
    if missing := {"storages", "tensors", "pickle"} - starts.keys():
        raise ValueError(f"it is a tar archive without {min(missing)}, which PyTorch's have")
    return starts


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= _MAX_OBJECTS:
        raise ValueError(f"it has not up to {_MAX_OBJECTS:,} tensors")
    return value


def _number(value: Any) -> int:
    """The number of a storage or a tensor."""
    if not isinstance(value, int) or abs(value) >= 2**64:
        raise ValueError("it has a tensor without a number")
    return value
