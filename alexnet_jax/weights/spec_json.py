"""Architectures and preprocessing as JSON values, and checks of JSON values by annotation.

JSON may come from a stranger's file: every field is checked against its annotation, and no name in
it is looked up except those of the layer types. One that a user has written is called module:Class.
"""

import contextlib
import dataclasses
import inspect
import json
import math
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from jax import export

from alexnet_jax import layer_specs
from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import LayerSpec
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.user_code import class_name, find_class

LAYER_TYPES = {name: vars(layer_specs)[name] for name in layer_specs.__all__ if name != "LayerSpec"}
MAX_LENGTH = 1000  # layers, or image sizes: VGG-19 has 45 layers, so no real network is near it

Bounds = Mapping[type, tuple[float, float]]
NO_BOUNDS: Bounds = MappingProxyType({})
Fields = TypeVar("Fields")

# Widths, sizes and constants of layers. 2**20 is 250 times the paper's widest layer, and keeps a
# stranger's file from asking for a layer that no machine could hold.
_BOUNDS: Bounds = {int: (0, 2**20), float: (-(2**20), 2**20)}
# Names that files written before version 0.1.0 have.
_OLD_LAYER_TYPES = {"Part": "Split"}
_OLD_FIELDS = {"source_colours": "source_colors", "deviation": "std"}


def to_json(value: Architecture | Preprocessing) -> dict[str, Any]:
    """Return the fields as strings, numbers, lists and dicts; arrays are left out.

    Raises:
      ValueError: a layer type of a user's own that JSON cannot hold, or that `find_class` would not
        find.
    """
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Architecture):
        fields["layers"] = [_layer_to_json(spec) for spec in value.layers]
    return {name: item for name, item in fields.items() if not isinstance(item, np.ndarray)}


def architecture_from_json(data: object) -> Architecture:
    """Return the architecture that `to_json` wrote. Raises ValueError if the data are not one."""
    data = data if isinstance(data, dict) else {}
    layers = data.get("layers")
    if not isinstance(layers, list) or len(layers) > MAX_LENGTH:
        raise ValueError(f"its layers are not a list of at most {MAX_LENGTH}")
    specs = {"layers": tuple(_layer_spec(layer) for layer in layers)}
    sizes = data.get("image_sizes")
    if not isinstance(sizes, list) or len(sizes) > MAX_LENGTH:
        raise ValueError(f"its image_sizes are not a list of at most {MAX_LENGTH}")
    return check_fields(Architecture, data, specs, _BOUNDS)


# `jax.export` writes functions that take an architecture: no array of theirs, but part of the key.
export.register_pytree_node_serialization(
    Architecture,
    serialized_name="alexnet_jax.Architecture",
    serialize_auxdata=lambda architecture: json.dumps(to_json(architecture)).encode(),
    deserialize_auxdata=lambda data: architecture_from_json(json.loads(data)),
    from_children=lambda aux_data, children: aux_data,  # it has none
)


def preprocessing_from_json(data: object, mean: np.ndarray) -> Preprocessing:
    """Return the preprocessing that `to_json` wrote, with its mean.

    Raises ValueError if the data are not one.
    """
    if isinstance(data, dict):
        data = {_OLD_FIELDS.get(name, name): value for name, value in data.items()}
    return check_fields(Preprocessing, data, {"mean": mean}, _BOUNDS)


def check_value(value: object, annotation: Any, name: str, bounds: Bounds = NO_BOUNDS) -> Any:
    """Return a value read from JSON as the type that `annotation` says.

    Lists become tuples, strings become paths and dicts become dataclasses where the annotation
    asks for it. Nothing else is converted: True is not an integer, "8" is not a number, and
    Infinity and NaN are not floats.

    Args:
      value: from `json.loads`.
      annotation: int, float, bool, str, None, Path, Any, Literal, a union of them, tuple[X, ...],
        tuple[X, Y], list[X], dict[str, X], or a dataclass of such fields.
      name: of the value, for the message.
      bounds: the least and the largest number for each of int and float; an int that stands for a
        float is checked as a float.

    Raises:
      ValueError: a value of another type or out of bounds, with `name` or, for a field of a nested
        dataclass, with CLASS.FIELD.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return check_fields(annotation, value, bounds=bounds)
    if origin in (Union, types.UnionType):
        for member in arguments:
            with contextlib.suppress(ValueError):
                return check_value(value, member, name, bounds)
    elif origin in (tuple, list) and isinstance(value, list):
        if origin is list or arguments[-1:] == (Ellipsis,):
            return origin(check_value(item, arguments[0], name, bounds) for item in value)
        if len(arguments) == len(value):
            pairs = zip(value, arguments, strict=True)
            return tuple(check_value(item, argument, name, bounds) for item, argument in pairs)
    elif origin is dict and isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            items = value.items()
            return {key: check_value(item, arguments[1], name, bounds) for key, item in items}
    elif annotation is Path and isinstance(value, str):
        return Path(value)
    elif _is_scalar(value, annotation, bounds):
        return value
    raise ValueError(f"{name} cannot be {_shorten(value)}")


def check_fields(
    dataclass: type[Fields],
    data: object,
    checked: Mapping[str, object] | None = None,
    bounds: Bounds = NO_BOUNDS,
) -> Fields:
    """Return a dataclass from a JSON object, which may have no other fields than its own.

    Args:
      dataclass: the class.
      data: from `json.loads`.
      checked: values that replace those of the same fields in `data`, which are not looked at.
      bounds: as for `check_value`.

    Raises:
      ValueError: a field that is missing, of another type, or not one of the dataclass.
    """
    checked = checked or {}
    annotations = get_type_hints(dataclass)
    if not isinstance(data, dict):
        raise ValueError(f"{dataclass.__name__} cannot be {_shorten(data)}")
    if unknown := data.keys() - annotations.keys():
        raise ValueError(f"{dataclass.__name__} has no field {_shorten(min(unknown))}")
    values = {
        name: check_value(item, annotations[name], f"{dataclass.__name__}.{name}", bounds)
        for name, item in data.items()
        if name not in checked
    }
    parameters = inspect.signature(dataclass).parameters.values()
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in {*values, *checked}:
            raise ValueError(f"{dataclass.__name__} needs its field {parameter.name!r}")
    return dataclass(**values, **checked)


def _layer_to_json(spec: LayerSpec) -> dict[str, Any]:
    kind = type(spec)
    if LAYER_TYPES.get(kind.__name__) is kind:
        return {"word": kind.__name__} | dataclasses.asdict(spec)
    data = {"word": class_name(kind)} | dataclasses.asdict(spec)
    try:
        same = _layer_spec(json.loads(json.dumps(data, allow_nan=False))) == spec
    except (TypeError, ValueError, NameError) as error:
        raise ValueError(f"{kind.__name__} cannot be kept in a file: {error}") from None
    if not same:
        raise ValueError(f"{kind.__name__} cannot be kept in a file: a field changes in JSON")
    return data


def _layer_spec(data: object) -> LayerSpec:
    name = data.get("word") if isinstance(data, dict) else None
    name = _OLD_LAYER_TYPES.get(name, name) if isinstance(name, str) else ""
    if not isinstance(data, dict) or not (name in LAYER_TYPES or ":" in name):
        names = ", ".join(LAYER_TYPES)
        raise ValueError(f"a layer must be one of {names}, not {_shorten(data)}")
    fields = {field: value for field, value in data.items() if field != "word"}
    if name in LAYER_TYPES:
        return check_fields(LAYER_TYPES[name], fields, bounds=_BOUNDS)
    return check_fields(find_class(name), fields)


def _is_scalar(value: object, annotation: Any, bounds: Bounds) -> bool:
    if get_origin(annotation) is Literal:
        return any(type(value) is type(one) and value == one for one in get_args(annotation))
    if annotation is float and isinstance(value, int | float) and not isinstance(value, bool):
        least, largest = bounds.get(float, (-math.inf, math.inf))
        return abs(value) <= sys.float_info.max and least <= value <= largest
    if annotation is int and type(value) is int:
        least, largest = bounds.get(int, (-math.inf, math.inf))
        return least <= value <= largest
    return type(value) is (types.NoneType if annotation is None else annotation)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
