"""Protocol buffers, in which a message is a row of fields: a number, a kind and a value each.

They are read without a schema: of Caffe's and ONNX's hundreds of fields some twenty matter here.
Arrays are not copied, and no more memory is taken than is in proportion to the file.
"""

import math
from collections.abc import Iterator

import numpy as np

Value = int | memoryview
Message = dict[int, list[Value]]
"""The values of each field, in their order."""

MOST = 100_000  # fields of one message; the largest net has hundreds
_INTEGER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Give the number and the value of each field: an integer, or the bytes of all else.

    Raises ValueError where the bytes make no field, or end in the middle of one.
    """
    at = 0
    for _ in range(MOST):
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
            raise ValueError(f"its field {number} is of no known kind")
        yield number, value
    raise ValueError(f"it has a message of more than {MOST:,} fields")


def message(value: Value) -> Message:
    """Return all fields of a message, by their numbers. Raises ValueError if it is damaged."""
    found, damage = fields_up_to_damage(_bytes(value))
    if damage:
        raise damage
    return found


def fields_up_to_damage(data: memoryview) -> tuple[Message, ValueError | None]:
    """Return what can be read of a message, to tell what it is; and what is wrong, if anything."""
    found: Message = {}
    try:
        for number, field in fields(data):
            found.setdefault(number, []).append(field)
    except ValueError as error:
        return found, error
    return found, None


def integers(values: list[Value]) -> list[int]:
    """Return the integers in a field that may be repeated, packed into bytes or not."""
    found = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(number)
            if len(found) > MOST:
                raise ValueError(f"it has a row of more than {MOST:,} integers")
    return [number - 2**64 if number >= 2**63 else number for number in found]


def numbers(values: list[Value], dtype: str) -> np.ndarray:
    """Return the numbers in a repeated field of a fixed width, packed into bytes or not."""
    rows = [np.frombuffer(_bytes(value), dtype) for value in values]
    return rows[0] if len(rows) == 1 else np.concatenate([np.empty(0, dtype), *rows])


def real(values: list[Value], default: float) -> float:
    """Return a float32 as the shortest number that becomes it: 0.0001, not 9.99999974e-05."""
    number = float(str(np.frombuffer(_bytes(values[-1]), "<f4")[0])) if values else default
    if not math.isfinite(number):
        raise ValueError(f"it has {number} where a number should be")
    return number


def text(values: list[Value]) -> str:
    """Return a string; an empty one if there is none."""
    return bytes(_bytes(values[-1])).decode(errors="replace") if values else ""


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it has an integer where something larger should be")
    return value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """An integer in groups of seven bits, the lowest first; and where it ends."""
    number = 0
    for shift in range(0, 64, 7):
        if at == len(data):
            raise ValueError("it is cut off in the middle of a number")
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
    raise ValueError("it has a number that does not end")
