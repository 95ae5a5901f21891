"""MATLAB's .mat files as dictionaries, lists, strings and arrays.

SciPy reads version 5 (which MATLAB calls 5 to 7), h5py version 7.3. Both trust what a file says of
its sizes, so that it is looked through before: nothing unpacks to more than `LARGEST`.
"""

import io
import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

VERSION_5, VERSION_7_3 = b"MATLAB 5.0", b"MATLAB 7.3"
LARGEST = 2**30  # bytes of all that a file unpacks to; AlexNet has 2**28
DEEPEST = 20  # cells in structs in cells
MOST = 200_000  # parts
_MATRIX, _PACKED = 14, 15


def read(path: Path, data: mmap.mmap) -> dict[str, Any]:
    """Return the variables of a file: structs as dictionaries, cells as lists, squeezed arrays.

    Raises ValueError for what is larger or deeper than a net. A damaged file can raise anything.
    """
    return _version_5(data) if data[:10] == VERSION_5 else _version_7_3(path)


def _version_5(data: mmap.mmap) -> dict[str, Any]:
    import scipy.io

    order = "<" if data[126:128] == b"IM" else ">"
    plain = _unpacked(memoryview(data)[128:], order)
    _look_through(memoryview(plain), order)
    variables = scipy.io.loadmat(io.BytesIO(data[:128] + plain), simplify_cells=True)
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def _unpacked(data: memoryview, order: str) -> bytes:
    """All variables without their compression."""
    parts, room = [], LARGEST
    for kind, whole, value in _elements(data, order):
        part = bytes(whole)
        if kind == _PACKED:
            unpacker = zlib.decompressobj()
            part = unpacker.decompress(value, room + 1)
            if not unpacker.eof and len(part) <= room:
                raise ValueError("it is cut off in the middle of a variable")
        room -= len(part)
        if room < 0:
            raise ValueError(f"it unpacks to more than {LARGEST >> 20:,} MiB")
        parts.append(part)
    return b"".join(parts)


def _look_through(data: memoryview, order: str, depth: int = 0, count: int = 0) -> int:
    """Raise ValueError if parts reach past what holds them, or are too deep or many."""
    for kind, _, value in _elements(data, order):
        count += 1
        if count > MOST or depth > DEEPEST:
            raise ValueError("it has more, or deeper, parts than a net")
        if kind == _MATRIX:
            count = _look_through(value, order, depth + 1, count)
    return count


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview, memoryview]]:
    """The kind of each element, all of its bytes, and those of its value."""
    at = 0
    while at < len(data):
        if len(data) < at + 8:
            raise ValueError("it is cut off in the middle of a part")
        kind, size = struct.unpack(f"{order}II", data[at : at + 8])
        start, padding = at + 8, -size % 8 if kind != _PACKED else 0
        if kind >> 16:  # a small one: size and kind in four bytes, the value in the next four
            kind, size, start, padding = kind & 0xFFFF, kind >> 16, at + 4, 4 - (kind >> 16)
        if len(data) < start + size or padding < 0:
            raise ValueError("it is cut off in the middle of a part")
        yield kind, data[at : start + size + padding], data[start : start + size]
        at = start + size + padding


def _version_7_3(path: Path) -> dict[str, Any]:
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError:
        hint = "pip install h5py, or save it with -v7"
        raise ValueError(f"it is of MATLAB's version 7.3: {hint}") from None
    with h5py.File(path, "r") as file:
        return _Hdf5(h5py, file).struct(file, DEEPEST)


class _Hdf5:
    """What is read of a file of HDF5, and how much more of it may be."""

    def __init__(self, h5py: Any, file: Any) -> None:
        self.h5py, self.file = h5py, file
        self.room, self.count = LARGEST, MOST

    def struct(self, group: Any, depth: int) -> dict[str, Any]:
        """The fields of a struct, or the variables of the file, but for MATLAB's own."""
        names = [name for name in group if not name.startswith("#")]
        if not all(type(group.get(n, getlink=True)) is self.h5py.HardLink for n in names):
            raise ValueError("it refers to something outside of it")
        return {name: self.value(group[name], depth - 1) for name in names}

    def value(self, item: Any, depth: int) -> Any:
        """What stands under a name or behind a reference."""
        self.count -= 1
        if depth < 0 or self.count < 0:
            raise ValueError("it has more, or deeper, parts than a net")
        if isinstance(item, self.h5py.Group):
            return self.struct(item, depth)
        if item.external or item.is_virtual:
            raise ValueError("it refers to something outside of it")
        self.room -= math.prod(item.shape) * item.dtype.itemsize
        if self.room < 0:
            raise ValueError(f"it unpacks to more than {LARGEST >> 20:,} MiB")
        kind = item.attrs.get("MATLAB_class", b"")
        if item.attrs.get("MATLAB_empty"):
            return "" if kind == b"char" else np.empty(0)
        values = item[()].T  # HDF5 counts rows first, MATLAB columns
        if kind == b"cell":
            references = values.ravel(order="F")
            return [self.value(self.file[one], depth - 1) for one in references]
        if kind == b"char":
            return "".join(map(chr, values.ravel(order="F")))
        return np.squeeze(values)
