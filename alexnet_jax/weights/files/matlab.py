"""MATLAB's .mat files as dictionaries, lists, strings and arrays.

Version 5 of the format (MATLAB 5 to 7) is read here, because SciPy's reader ends the process with a
segmentation fault on some damaged files; version 7.3 is HDF5, and read by h5py.
"""

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_jax.regular_file import open_regular

VERSION_5, VERSION_7_3 = b"MATLAB 5.0", b"MATLAB 7.3"
MAX_BYTES = 2**30  # of one file, unpacked; AlexNet has 2**28
MAX_RATIO = 10  # of a file unpacked to the file itself, beyond MIN_BYTES; weights have less than 2
MIN_BYTES = 2**24  # that any file may unpack to
MAX_DEPTH = 20  # cells in structs in cells; MatConvNet's files have 4
MAX_ELEMENTS = 200_000  # five for each number or string; the meta.mat of ILSVRC 2012 has 75,000
MAX_OBJECTS = 10_000  # of a file of version 7.3; AlexNet with its class names has 2,300
MAX_AXES = 32

_MATRIX, _COMPRESSED = 14, 15  # types of data elements
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_NUMBERS |= {13: "u8"}
_TEXT = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MAX_WIDTH = 1024  # of a field's name; MATLAB's have 64 at most
_CELL, _STRUCT, _CHAR, _NUMERIC = 1, 2, 4, range(6, 16)  # classes of arrays

_TOO_MANY = f"it has more than {MAX_OBJECTS:,} values, which no network has"
_TOO_LARGE = "it unpacks to more than {:,} MiB"

Element = tuple[int, memoryview]
"""The type of a data element, and its bytes."""


def read_mat(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the variables of a file by name.

    A struct is a dictionary, an array of structs a list of dictionaries, a cell a list, a char
    array a string, and a numeric array a squeezed array.

    Args:
      path: of the file.
      max_bytes: that it may unpack to.

    Raises:
      ValueError: a file of another format, or one with more, larger or deeper values than the
        limits above. A damaged file may raise anything else.
      OSError: a file that cannot be opened.
    """
    max_bytes = min(max_bytes, MIN_BYTES + MAX_RATIO * path.stat().st_size)
    with open_regular(path) as file:
        version = file.read(10)
        if version == VERSION_7_3:
            return _read_version_7_3(path, max_bytes)
        if version != VERSION_5:
            raise ValueError("it is not a MATLAB file")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    order = "<" if data[126:128] == b"IM" else ">"
    return _Version5(order, max_bytes).read_variables(data[128:])


class _Version5:
    """Reads one file of version 5, and counts bytes and elements against the limits."""

    def __init__(self, order: str, max_bytes: int) -> None:
        self.order, self.max_bytes = order, max_bytes
        self.bytes_left, self.elements_left = max_bytes, MAX_ELEMENTS

    def read_variables(self, data: memoryview) -> dict[str, Any]:
        """All variables by name."""
        variables = {}
        for element in self.elements(data):
            matrices = (value for kind, value in self.decompress(element) if kind == _MATRIX)
            variables |= dict(self.read_array(value, MAX_DEPTH) for value in matrices)
        return variables

    def decompress(self, element: Element) -> list[Element]:
        """The elements in a compressed one; any other is returned as it is."""
        kind, value = element
        if kind != _COMPRESSED:
            self.count_bytes(len(value))
            return [element]
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(value, self.bytes_left + 1)
        self.count_bytes(len(data))
        if not unpacker.eof:
            raise ValueError("it is cut off in the middle of a variable")
        return list(self.elements(memoryview(data)))

    def read_array(self, data: memoryview, depth: int) -> tuple[str, Any]:
        """The name of a variable (empty within cells and structs), and its value."""
        if depth < 0:
            raise ValueError("its values are nested deeper than those of a network")
        if not data:
            return "", np.empty(0)
        flags, shape, name, *elements = self.elements(data)
        array_class = int(self.numbers(flags)[0]) & 255
        sides = self.numbers(shape)
        if len(sides) > MAX_AXES:
            raise ValueError(f"it has an array of {len(sides):,} axes")
        size = math.prod(int(side) for side in sides)
        if array_class == _CELL:
            value = self.read_items(elements, size, depth)
        elif array_class == _STRUCT:
            value = self.read_structs(elements, size, depth)
        elif array_class == _CHAR:
            value = self.text(elements[0])
        elif array_class in _NUMERIC:
            numbers = self.numbers(elements[0])
            value = np.squeeze(numbers.reshape(sides, order="F"))
        else:
            raise ValueError(
                f"it has a value of MATLAB's class {array_class}, which no network has"
            )
        return self.text(name), value

    def read_structs(self, elements: list[Element], size: int, depth: int) -> Any:
        """The dictionary of a struct; a list of them for an array of another size than 1."""
        (_, width_bytes), (_, names_bytes), *fields = elements
        width = struct.unpack(f"{self.order}i", width_bytes)[0]
        if not 0 < width <= _MAX_WIDTH:
            raise ValueError(f"it has a struct with field names of {width:,} characters")
        self.count_elements(len(names_bytes) // width + size)
        rows = (bytes(names_bytes[i : i + width]) for i in range(0, len(names_bytes), width))
        names = [row.split(b"\0")[0].decode("latin1") for row in rows]
        values = self.read_items(fields, size * len(names), depth)
        starts = (i * len(names) for i in range(size))
        structs = [dict(zip(names, values[i : i + len(names)], strict=True)) for i in starts]
        return structs[0] if size == 1 else structs

    def read_items(self, elements: list[Element], size: int, depth: int) -> list[Any]:
        """The values of a cell, or of the fields of structs."""
        if len(elements) != size:
            raise ValueError(f"it has a cell or a struct of {size} values with {len(elements)}")
        return [self.read_array(value, depth - 1)[1] for _, value in elements]

    def count_bytes(self, count: int) -> None:
        """Refuse a file that unpacks to too much."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise ValueError(_TOO_LARGE.format(self.max_bytes >> 20))

    def count_elements(self, count: int) -> None:
        """Refuse a file with too many elements before memory is taken for them."""
        self.elements_left -= count
        if count < 0 or self.elements_left < 0:
            raise ValueError(f"it has more than {MAX_ELEMENTS:,} elements, which no network has")

    def numbers(self, element: Element) -> np.ndarray:
        """The numbers of an element, in one row."""
        kind, value = element
        if kind not in _NUMBERS:
            raise ValueError(f"it has numbers of MATLAB's type {kind}")
        return np.frombuffer(value, self.order + _NUMBERS[kind])

    def text(self, element: Element) -> str:
        """The string of an element."""
        kind, value = element
        if kind not in _TEXT:
            raise ValueError(f"it has text of MATLAB's type {kind}")
        wide = _TEXT[kind] in ("utf-16", "utf-32")
        end = ("-le" if self.order == "<" else "-be") if wide else ""
        return bytes(value).decode(_TEXT[kind] + end)

    def elements(self, data: memoryview) -> Iterator[Element]:
        """The data elements that follow one another in `data`."""
        at = 0
        while at < len(data):
            self.count_elements(1)
            if len(data) < at + 8:
                raise ValueError("it is cut off in the middle of a value")
            kind, size = struct.unpack(f"{self.order}II", data[at : at + 8])
            start, padding = at + 8, -size % 8 if kind != _COMPRESSED else 0
            if kind >> 16:  # a small element: size and type in four bytes, the value in the next
                kind, size, start, padding = kind & 0xFFFF, kind >> 16, at + 4, 4 - (kind >> 16)
            if len(data) < start + size or padding < 0:
                raise ValueError("it is cut off in the middle of a value")
            yield kind, data[start : start + size]
            at = start + size + padding


def _read_version_7_3(path: Path, max_bytes: int) -> dict[str, Any]:
    try:
        import h5py  # pyright: ignore[reportMissingImports] - an extra
    except ImportError:
        hint = "pip install h5py, or save it with -v7"
        raise ValueError(f"it is of MATLAB's version 7.3: {hint}") from None
    with h5py.File(path, "r") as file:
        return _Version73(h5py, file, max_bytes).read_group(file, MAX_DEPTH)


class _Version73:
    """Reads one file of version 7.3, and counts bytes and elements against the limits."""

    def __init__(self, h5py: Any, file: Any, max_bytes: int) -> None:
        self.h5py, self.file, self.max_bytes = h5py, file, max_bytes
        self.bytes_left, self.objects_left = max_bytes, MAX_OBJECTS

    def read_group(self, group: Any, depth: int) -> dict[str, Any]:
        """The fields of a struct, or the variables of the file without MATLAB's own."""
        self.count_objects(len(group))
        names = [name for name in group if not name.startswith("#")]
        if not all(type(group.get(n, getlink=True)) is self.h5py.HardLink for n in names):
            raise ValueError("it refers to something outside of it")
        return {name: self.read_value(group[name], depth - 1) for name in names}

    def read_value(self, item: Any, depth: int) -> Any:
        """The value of a group or a data set."""
        self.count_objects(1)
        if depth < 0:
            raise ValueError("its values are nested deeper than those of a network")
        if isinstance(item, self.h5py.Group):
            return self.read_group(item, depth)
        if not isinstance(item, self.h5py.Dataset):
            raise ValueError("it has something else than arrays and structs")
        if item.external or item.is_virtual:
            raise ValueError("it refers to something outside of it")
        if item.dtype.kind not in "fiu" and item.dtype != self.h5py.ref_dtype:
            raise ValueError(f"it has an array of type {item.dtype}")
        shape, chunks = item.shape or (0,), item.chunks or item.shape or (1,)
        # HDF5 takes some hundred bytes for each chunk, also for one that the file does not have.
        self.count_objects(math.prod(-(-n // m) for n, m in zip(shape, chunks, strict=True)))
        self.bytes_left -= math.prod(shape) * item.dtype.itemsize
        if self.bytes_left < 0:
            raise ValueError(_TOO_LARGE.format(self.max_bytes >> 20))
        array_class = item.attrs.get("MATLAB_class", b"")
        if item.attrs.get("MATLAB_empty"):
            return "" if array_class == b"char" else np.empty(0)
        values = item[()].T  # HDF5 counts rows first, MATLAB columns
        if array_class == b"cell":
            references = values.ravel(order="F")
            if len(references) > self.objects_left:
                raise ValueError(_TOO_MANY)
            return [self.read_value(self.file[reference], depth - 1) for reference in references]
        if array_class == b"char":
            codes = values.ravel(order="F").astype("<u2").tobytes()
            return codes.decode("utf-16-le", errors="replace")
        return np.squeeze(values)

    def count_objects(self, count: int) -> None:
        """Refuse a file with too many groups and data sets."""
        self.objects_left -= count
        if self.objects_left < 0:
            raise ValueError(_TOO_MANY)
