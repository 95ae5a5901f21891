"""How a field of the configuration is declared: its default, its help and its bounds."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from .errors import BadInput

T = TypeVar("T")


class Bound(NamedTuple):
    """What a value must satisfy, and how a message says it."""

    text: str
    holds: Callable[[Any], bool]


def setting(default: T, help: str, bound: Bound | None = None, name: str | None = None) -> T:
    """Return a field of the configuration.

    Args:
      default: its value unless an experiment or a flag says otherwise.
      help: for `--help`.
      bound: what its values must satisfy; None is always allowed.
      name: its name among flags and in config.json, if that is not the field's.
    """
    return dataclasses.field(default=default, metadata={"help": help, "bound": bound, "name": name})


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def layer_values(texts: Iterable[str]) -> dict[str, float]:
    """Return the numbers by layer: {"conv1": 0.0} of "conv1=0". Raises ValueError for no number."""
    pairs = (text.partition("=") for text in texts)
    return {layer: float(number) for layer, _, number in pairs}


def _decays_layers(texts: tuple[str, ...]) -> bool:
    try:
        values = layer_values(texts)
    except ValueError:
        return False
    named = all(values) and len(values) == len(texts)
    return named and all(map(NOT_NEGATIVE.holds, values.values()))


POSITIVE = Bound("above 0", lambda x: 0 < x < float("inf"))
NOT_NEGATIVE = Bound("at least 0", lambda x: 0 <= x < float("inf"))
FRACTION = Bound("above 0 and below 1", lambda x: 0 < x < 1)
SHARE_OR_COUNT = Bound(
    "at least 0 and below 1, or a whole number above 1",
    lambda x: 0 <= x < 1 or (1 < x < 2**31 and x % 1 == 0),
)
ADDRESS = Bound("HOST:PORT", _is_address)
ASCENDING = Bound(
    "numbers above 0, each above the one before",
    lambda xs: all(a < b for a, b in itertools.pairwise((0, *xs, float("inf")))),
)
LAYER_DECAYS = Bound("LAYER=X, with X at least 0 and each layer once", _decays_layers)
COUNTS = Bound(
    "one number above 0, or two",
    lambda ns: len(ns) <= 2 and all(n > 0 for n in ns[:1]) and all(n >= 0 for n in ns),
)


def flag_name(field: dataclasses.Field[Any]) -> str:
    """Return the name that a field has among flags and in config.json: "data_kind" of `kind`."""
    return field.metadata["name"] or field.name


def check_bounds(part: Any) -> None:
    """Check the values of a dataclass of settings. Raises BadInput."""
    for field in dataclasses.fields(part):
        value, bound = getattr(part, field.name), field.metadata["bound"]
        if bound is None or value is None or _holds(bound, value):
            continue
        shown = " ".join(map(str, value if isinstance(value, tuple) else (value,)))
        raise BadInput(f"`{flag_name(field)}` must be {bound.text}, not {shown}")


def _holds(bound: Bound, value: Any) -> bool:
    try:
        return bound.holds(value)
    except (TypeError, AttributeError):  # a value of another type, such as "3" for 3
        return False
