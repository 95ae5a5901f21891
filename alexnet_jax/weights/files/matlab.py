"""MATLAB's .mat files as dictionaries, lists, strings and arrays.

Version 5 (which MATLAB calls 5 to 7) is read here, for SciPy's reader crashes on damaged files;
version 7.3 by h5py. Nothing unpacks to more than `LARGEST`.
"""

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
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_NUMBERS |= {13: "u8"}
_TEXT = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)


def read(path: Path, data: mmap.mmap) -> dict[str, Any]:
    """Return the variables of a file: structs as dictionaries, cells as lists, squeezed arrays.

    Raises ValueError for what is larger or deeper than a net. A damaged file can raise anything.
    """
    if data[:10] == VERSION_7_3:
        return _version_7_3(path)
    order = "<" if data[126:128] == b"IM" else ">"
    return _Version5(order).variables(memoryview(data)[128:])


class _Version5:
    """A reader of one file, which counts its parts."""

    def __init__(self, order: str) -> None:
        self.order, self.count = order, MOST

    def variables(self, data: memoryview) -> dict[str, Any]:
        """All variables by their names."""
        plain = memoryview(_unpacked(data, self.order))
        matrices = (value for kind, _, value in _elements(plain, self.order) if kind == _MATRIX)
        return dict(self.matrix(value, DEEPEST) for value in matrices)

    def matrix(self, data: memoryview, depth: int) -> tuple[str, Any]:
        """The name of a variable, and its value."""
        self.count -= 1
        if depth < 0 or self.count < 0:
            raise ValueError("it has more, or deeper, parts than a net")
        if not data:
            return "", np.empty(0)
        flags, shape, name, *parts = self.parts(data)
        kind = int(self.numbers(flags)[0]) & 255
        size = math.prod(int(side) for side in self.numbers(shape))
        if kind in (_CELL, _STRUCT):
            value = self.compound(kind, size, parts, depth)
        elif kind == _CHAR:
            value = self.text(parts[0])
        elif kind in _NUMERIC:
            value = np.squeeze(self.numbers(parts[0]).reshape(self.numbers(shape), order="F"))
        else:
            raise ValueError(f"it has a value of MATLAB's class {kind}, which no net has")
        return self.text(name), value

    def compound(self, kind: int, size: int, parts: list, depth: int) -> Any:
        """The items of a cell, or the dictionary of a struct; a list where it has several."""
        names = []
        if kind == _STRUCT:
            length, text, *parts = parts
            width, data = int(self.numbers(length)[0]), bytes(text[1])
            names = [data[i : i + width].split(b"\0")[0] for i in range(0, len(data), width)]
            names = [name.decode("latin1") for name in names]
        if len(parts) != size * (len(names) if kind == _STRUCT else 1):
            raise ValueError("it has a cell or a struct with other parts than it says")
        items = [self.matrix(value, depth - 1)[1] for _, value in parts]
        if kind == _CELL:
            return items
        rows = [items[i * len(names) :][: len(names)] for i in range(size)]
        structs = [dict(zip(names, row, strict=True)) for row in rows]
        return structs[0] if size == 1 else structs

    def parts(self, data: memoryview) -> list[tuple[int, memoryview]]:
        """The kinds and values of what a value is made of."""
        return [(kind, value) for kind, _, value in _elements(data, self.order)]

    def numbers(self, part: tuple[int, memoryview]) -> np.ndarray:
        """A row of numbers."""
        kind, value = part
        if kind not in _NUMBERS:
            raise ValueError(f"it has numbers of MATLAB's type {kind}")
        return np.frombuffer(value, self.order + _NUMBERS[kind])

    def text(self, part: tuple[int, memoryview]) -> str:
        """A string."""
        kind, value = part
        if kind not in _TEXT:
            raise ValueError(f"it has text of MATLAB's type {kind}")
        wide = _TEXT[kind].startswith("utf-") and kind != 16
        end = ("-le" if self.order == "<" else "-be") if wide else ""
        return bytes(value).decode(_TEXT[kind] + end)


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
        import h5py  # pyright: ignore[reportMissingImports] - an extra
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
