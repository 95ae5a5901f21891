"""Protocol buffers on the wire: a message is a sequence of fields with a number, a type, a value.

They are read without a schema: of Caffe's and ONNX's hundreds of fields, about twenty matter here.
Arrays are not copied, and the memory taken is at most in proportion to the file.
"""

import math
from collections.abc import Iterator

import numpy as np

Value = int | memoryview
Message = dict[int, list[Value]]
"""The values of each field in order, by its number."""

MAX_FIELDS = 100_000  # of one message, and integers of one field; the largest network has hundreds
_INTEGER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the number and the value of each field: an integer, or the bytes of any other type.

    Raises ValueError if the bytes are not a field, or end in the middle of one.
    """
    at = 0
    for _ in range(MAX_FIELDS):
        if at == len(data):
            return
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
        yield number, value
    raise ValueError(f"it has a message of more than {MAX_FIELDS:,} fields")


def message(value: Value) -> Message:
    """Return all fields of a message, by number. Raises ValueError if it is damaged."""
    result, damage = fields_up_to_damage(_bytes(value))
    if damage:
        raise damage
    return result


def fields_up_to_damage(data: memoryview) -> tuple[Message, ValueError | None]:
    """Return the fields before any damage, which tell the kind of file, and the damage or None."""
    result: Message = {}
    try:
        for number, field in fields(data):
            result.setdefault(number, []).append(field)
    except ValueError as error:
        return result, error
    return result, None


def integers(values: list[Value]) -> list[int]:
    """Return the integers of a repeated field, packed into bytes or not."""
    result = []
    for value in values:
        if isinstance(value, int):
            result.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            result.append(number)
            if len(result) > MAX_FIELDS:
                raise ValueError(f"it has a field of more than {MAX_FIELDS:,} integers")
    return [number - 2**64 if number >= 2**63 else number for number in result]


def numbers(values: list[Value], dtype: str) -> np.ndarray:
    """Return the numbers of a repeated field of fixed width, packed into bytes or not."""
    rows = [np.frombuffer(_bytes(value), dtype) for value in values]
    return rows[0] if len(rows) == 1 else np.concatenate([np.empty(0, dtype), *rows])


def real(values: list[Value], default: float) -> float:
    """Return a float32 as the shortest decimal that rounds to it: 0.0001, not 9.99999974e-05."""
    number = float(str(np.frombuffer(_bytes(values[-1]), "<f4")[0])) if values else default
    if not math.isfinite(number):
        raise ValueError(f"it has {number} where a number should be")
    return number


def text(values: list[Value]) -> str:
    """Return a string, which is empty if there is none."""
    return bytes(_bytes(values[-1])).decode(errors="replace") if values else ""


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
