"""Protocol buffers on the wire: a message is a sequence of fields with a number, a type, a value.

They are read without a schema: of Caffe's and ONNX's hundreds of fields, about twenty matter here.
Arrays are not copied, and the memory taken is at most in proportion to the file.
"""

import math

import numpy as np
from numpy.typing import DTypeLike

Value = int | memoryview

MAX_FIELDS = 200_000
"""Of all messages of a file that are read, and integers of their fields, at 200 bytes each; the
largest network has thousands."""
_MAX_AXES = 32
_MAX_TEXT = 2**16  # bytes of a name
_INTEGER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class _Budget:
    """Counts the fields and integers of a file against the limit."""

    left = MAX_FIELDS

    def count(self) -> None:
        """Count one. Raises ValueError if there are too many."""
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"it has more than {MAX_FIELDS:,} fields and integers")


class Message(dict[int, list[Value]]):
    """The values of each field in order, by its number: integers, or the bytes of other types."""

    def __init__(self, data: Value, budget: _Budget | None = None) -> None:
        """Read the fields up to any damage, which tell the kind of file.

        Args:
          data: the bytes of the message.
          budget: of the file, None for its outermost message.
        """
        super().__init__()
        self.damage: ValueError | None = None
        self._budget = budget or _Budget()
        try:
            self._read(_bytes(data))
        except ValueError as error:
            self.damage = error

    def message(self, value: Value) -> "Message":
        """Return a message in this one. Raises ValueError if it is damaged."""
        inner = Message(value, self._budget)
        if inner.damage:
            raise inner.damage
        return inner

    def messages(self, field: int) -> list["Message"]:
        """Return the messages of a repeated field. Raises ValueError if one is damaged."""
        return [self.message(value) for value in self.get(field, [])]

    def integers(self, *fields: int) -> list[int]:
        """Return the integers of repeated fields, packed into bytes or not."""
        result = []
        for value in (value for field in fields for value in self.get(field, [])):
            if isinstance(value, int):
                result.append(value)
                continue
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                self._budget.count()
                result.append(number)
        return [number - 2**64 if number >= 2**63 else number for number in result]

    def shape(self, *fields: int) -> list[int]:
        """Return the sides of an array. Raises ValueError for more than NumPy has, or larger."""
        sides = self.integers(*fields)
        if len(sides) > _MAX_AXES or not all(0 <= side < 2**40 for side in sides):
            raise ValueError(f"its shape {sides[:8]} is not that of an array")
        return sides

    def numbers(self, field: int, dtype: DTypeLike) -> np.ndarray:
        """Return the numbers of a repeated field of fixed width, packed into bytes or not."""
        rows = [np.frombuffer(_bytes(value), dtype) for value in self.get(field, [])]
        return rows[0] if len(rows) == 1 else np.concatenate([np.empty(0, dtype), *rows])

    def real(self, field: int, default: float) -> float:
        """Return a float32 as the shortest decimal that rounds to it, such as 0.0001."""
        values = self.get(field)
        number = float(str(np.frombuffer(_bytes(values[-1]), "<f4")[0])) if values else default
        if not math.isfinite(number):
            raise ValueError(f"it has {number} where a number should be")
        return number

    def text(self, field: int) -> str:
        """Return a string, which is empty if there is none."""
        values = self.get(field)
        return text(values[-1]) if values else ""

    def _read(self, data: memoryview) -> None:
        at = 0
        while at < len(data):
            self._budget.count()
            key, at = _varint(data, at)
            number, kind = key >> 3, key & 7
            if kind == _INTEGER:
                value, at = _varint(data, at)
            elif kind in (_EIGHT_BYTES, _BYTES, _FOUR_BYTES):
                size = 8 if kind == _EIGHT_BYTES else 4
                if kind == _BYTES:
                    size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
                if len(value) < size:
                    raise ValueError(f"it is cut off in the middle of field {number}")
            else:
                raise ValueError(f"its field {number} has an unknown type")
            self.setdefault(number, []).append(value)


def text(value: Value) -> str:
    """Return one string of a repeated field. Raises ValueError if it is too long for a name."""
    data = _bytes(value)
    if len(data) > _MAX_TEXT:
        raise ValueError(f"it has a name of {len(data):,} bytes")
    return bytes(data).decode(errors="replace")


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it has an integer in place of bytes")
    return value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """An integer in groups of seven bits, the lowest first, and the position after it."""
    number = 0
    for shift in range(0, 64, 7):
        if at == len(data):
            raise ValueError("it is cut off in the middle of a number")
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
    raise ValueError("it has a number that does not end")
