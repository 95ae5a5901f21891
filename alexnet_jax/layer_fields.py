"""The types of the fields of layers, each with a check and the other spellings that it takes.

`layer_specs` annotates its fields with them, and so may a layer type of your own. A wrong value
raises ValueError in one sentence that names the layer.
"""

import contextlib
import dataclasses
import functools
import math
import numbers
import operator
from typing import Annotated, Any, get_type_hints

import numpy as np

SAME = "SAME"
"""A padding that depends on the size of the image, until an `Architecture` replaces it by zeros."""


def convert_fields(spec: Any) -> None:
    """Check the fields of a frozen dataclass by their annotations, and replace other spellings."""
    name = getattr(spec, "name", None)
    owner = name if isinstance(name, str) and name else type(spec).__name__
    for field, convert in _converters(type(spec)):
        value = getattr(spec, field)
        converted = convert(value, f"{owner}'s {field}")
        if converted is not value:
            object.__setattr__(spec, field, converted)


@functools.cache
def _converters(dataclass: type) -> tuple[tuple[str, Any], ...]:
    """The fields with a type of this module, and the function that checks each."""
    try:
        hints = get_type_hints(dataclass, include_extras=True)
    except NameError:  # a user's own type, with annotations for type checkers alone
        return ()
    return tuple(
        (field.name, convert)
        for field in dataclasses.fields(dataclass)
        for convert in getattr(hints[field.name], "__metadata__", ())
        if callable(convert)
    )


def _name(value: Any, label: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{label} must be text, not {value!r}")
    return value


def whole_number(value: Any, label: str, least: int = 1) -> int:
    """Return an int, of Python's or NumPy's, as Python's."""
    number = None
    if not isinstance(value, bool | np.bool_):
        with contextlib.suppress(TypeError):
            number = operator.index(value)
    if number is None or number < least:
        bound = f"above {least - 1}" if least else "that is not negative"
        raise ValueError(f"{label} must be a whole number {bound}, not {value!r}")
    return number


def side(value: Any, label: str) -> int:
    """Return the side of a square: 3, or (3, 3) as other libraries write it."""
    if not isinstance(value, tuple | list):
        return whole_number(value, label)
    if len(value) != 2 or value[0] != value[1]:
        raise ValueError(f"{label} must be one number for rows and columns, not {value!r}")
    return whole_number(value[0], label)


def _odd(value: Any, label: str) -> int:
    number = side(value, label)
    if number % 2 == 0:
        raise ValueError(f"{label} must be odd and at least 1, not {value!r}")
    return number


def _zeros(value: Any, label: str) -> Any:
    """Return (before, after). One number stands for both; "VALID" and "SAME" are TensorFlow's."""
    if isinstance(value, str):
        if value.upper() == "VALID":
            return (0, 0)
        if value.upper() == SAME:
            return SAME
        raise ValueError(f'{label} must be "SAME", "VALID" or numbers of zeros, not {value!r}')
    if not isinstance(value, tuple | list):
        return (whole_number(value, label, least=0),) * 2
    if len(value) == 2 and all(isinstance(side, tuple | list) for side in value):
        rows, columns = map(tuple, value)
        if rows != columns:
            raise ValueError(f"{label} must be the same for rows and columns, not {value!r}")
        value = rows
    if len(value) != 2:
        raise ValueError(f"{label} must be (before, after), not {value!r}")
    zeros = tuple(whole_number(count, label, least=0) for count in value)
    return value if zeros == value and all(type(count) is int for count in value) else zeros


def _number(value: Any, label: str) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ValueError(f"{label} must be a number, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{label} must be finite, not {value!r}")
    return value if isinstance(value, int) or type(value) is float else float(value)


def _deviation(value: Any, label: str) -> float:
    if _number(value, label) < 0:
        raise ValueError(f"{label} must be at least 0, not {value!r}")
    return _number(value, label)


def _positive(value: Any, label: str) -> float:
    if _number(value, label) <= 0:
        raise ValueError(f"{label} must be above 0, not {value!r}")
    return _number(value, label)


def _share(value: Any, label: str) -> float:
    if not 0 <= _number(value, label) <= 1:
        raise ValueError(f"{label} must be from 0 to 1, not {value!r}")
    return _number(value, label)


def _switch(value: Any, label: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{label} must be True or False, not {value!r}")
    return bool(value)


Name = Annotated[str, _name]
Count = Annotated[int, whole_number]
"""At least 1."""
Side = Annotated[int, side]
"""Pixels, the same for rows and columns; (3, 3) is taken for 3."""
Odd = Annotated[int, _odd]
"""The width of a window with a center."""
Zeros = Annotated[tuple[int, int], _zeros]
"""Zeros (before, after) the first and last row and column; 1 is taken for (1, 1)."""
Number = Annotated[float, _number]
Deviation = Annotated[float, _deviation]
Positive = Annotated[float, _positive]
Share = Annotated[float, _share]
"""From 0 to 1."""
Switch = Annotated[bool, _switch]


def count_windows(
    sides: tuple[int, ...], window: int, stride: int, padding: tuple[int, int]
) -> list[int]:
    """Return how many windows fit along each side of an image with zeros around it.

    Raises ValueError, for a layer's name to precede, if none fits.
    """
    if padding == SAME:
        return [-(-pixels // stride) for pixels in sides]
    padded = [pixels + sum(padding) for pixels in sides]
    if min(padded) < window:
        raise ValueError(f"needs at least {window} pixels, and only {min(padded)} are left")
    return [(pixels - window) // stride + 1 for pixels in padded]


def same_zeros(pixels: int, window: int, stride: int) -> tuple[int, int]:
    """Return the zeros (before, after) of TensorFlow's "SAME".

    They are the fewest for ceil(pixels / stride) windows; an odd one comes after the last pixel.
    """
    total = max((-(-pixels // stride) - 1) * stride + window - pixels, 0)
    return total // 2, total - total // 2
