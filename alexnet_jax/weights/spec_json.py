"""A net, and what its images go through, as plain data that JSON can hold, and back.

What is read may come from anybody: every field is checked, and nothing is looked up but words.
"""

import dataclasses
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import LayerSpec
from alexnet_jax.preprocessing import Preprocessing

WORDS = {word.__name__: word for word in get_args(LayerSpec)}
MOST = 1000  # layers of a net, or sizes of its images
LARGEST = 2**20  # of its numbers


def to_json(value: Architecture | Preprocessing) -> dict[str, Any]:
    """Return its fields as strings, numbers, lists and dicts; arrays are left out."""
    data = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Architecture):
        words = value.layers
        data["layers"] = [{"word": type(w).__name__} | dataclasses.asdict(w) for w in words]
    return {name: item for name, item in data.items() if not isinstance(item, np.ndarray)}


def architecture_from_json(data: object) -> Architecture:
    """Return the net that was described. Raises ValueError where the data make none."""
    fields = _checked_fields(Architecture, data, apart="layers")
    layers = data["layers"] if isinstance(data, dict) and "layers" in data else None
    if not isinstance(layers, list) or len(layers) > MOST:
        raise ValueError(f"its layers are not a list of at most {MOST}")
    architecture = _made(Architecture, fields | {"layers": tuple(map(_word_of, layers))})
    if not 0 < len(architecture.image_sizes) <= MOST or 0 in architecture.image_sizes:
        raise ValueError("its image_sizes are no sizes")
    if architecture.towers < 1:
        raise ValueError("it has no towers")
    for size in architecture.image_sizes:
        architecture.layer_info(size)  # says what is wrong
    return architecture


def preprocessing_from_json(data: object, mean: np.ndarray) -> Preprocessing:
    """Return what was described, with its mean. Raises ValueError where the data make none."""
    return _made(Preprocessing, _checked_fields(Preprocessing, data, apart="mean") | {"mean": mean})


def _word_of(data: object) -> LayerSpec:
    if not isinstance(data, dict) or data.get("word") not in WORDS:
        names = ", ".join(WORDS)
        raise ValueError(f"a layer is none of the words {names}, but {_short(data)}")
    kind = WORDS[data["word"]]
    fields = {name: value for name, value in data.items() if name != "word"}
    return _made(kind, _checked_fields(kind, fields))


def _made(kind: type, fields: dict[str, Any]) -> Any:
    try:
        return kind(**fields)
    except TypeError as error:  # names a field that is missing
        raise ValueError(str(error)) from None


def _checked_fields(kind: type, data: object, apart: str = "") -> dict[str, Any]:
    """The fields of a dataclass, but for one, out of data that must have no others."""
    hints = get_type_hints(kind)
    if not isinstance(data, dict) or not data.keys() <= hints.keys():
        raise ValueError(f"{kind.__name__} is not described by its fields, but by {_short(data)}")
    return {
        name: _checked(value, hints[name], f"{kind.__name__}.{name}")
        for name, value in data.items()
        if name != apart
    }


def _checked(value: object, hint: Any, name: str) -> Any:
    """The value of a field, if it is of the type that its hint says."""
    if get_origin(hint) is tuple and isinstance(value, list):
        kinds = get_args(hint)
        if kinds[-1] is Ellipsis or len(kinds) == len(value):
            return tuple(_checked(item, kinds[0], name) for item in value)
    elif get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) <= LARGEST:  # neither infinite nor no number
            return value
    elif hint is int and type(value) is int:
        if 0 <= value <= LARGEST:
            return value
    elif hint in (str, bool) and type(value) is hint:
        return value
    raise ValueError(f"{name} cannot be {_short(value)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
