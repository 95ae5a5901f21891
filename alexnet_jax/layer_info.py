"""The layers of a network with their names, shapes and parameters, each from the ones before it."""

import math
import operator
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from alexnet_jax.layer_specs import BatchNorm, Dropout, Gather, Output, Split
from alexnet_jax.layer_type import LayerSpec, Shape


class LayerInfo(NamedTuple):
    """One layer at its position in the network.

    Shapes are those of one image, [height, width, maps] or [features], all towers together.
    """

    name: str  # as `activations` takes it: conv1, relu1, norm1, pool1, ..., fc8
    spec: LayerSpec
    input_shape: Shape
    output_shape: Shape
    replicated_in: bool  # every tower holds the input of all towers
    replicated_out: bool  # every tower holds the output of all towers
    weight_shape: Shape | None  # None for a layer without parameters
    bias_shape: Shape | None  # as weight_shape

    @property
    def parameters(self) -> int:
        """Number of weights and biases, running statistics included."""
        if self.weight_shape is None or self.bias_shape is None:
            return 0
        return math.prod(self.weight_shape) + math.prod(self.bias_shape) + self.statistics

    @property
    def statistics(self) -> int:
        """Number of running means and variances, which no gradient changes."""
        return 2 * self.output_shape[-1] if self.stats_name else 0

    @property
    def stats_name(self) -> str | None:
        """Name of a batch normalization's running statistics in the parameters, or None."""
        return _stats_name(self.name) if isinstance(self.spec, BatchNorm) else None

    @property
    def multiply_accumulates(self) -> int:
        """Number of multiply-accumulates of a weight and an activation, for one image."""
        if self.weight_shape is None:
            return 0
        return math.prod(self.weight_shape) * self.spec.weight_uses(self.output_shape)


def name_layers(layers: Sequence[LayerSpec]) -> tuple[str, ...]:
    """Return the name of every layer.

    A layer without a name of its own has the number of the last one with: conv1, relu1, norm1.
    Where that name is taken, a second number follows: relu1, relu1_2.

    Raises:
      ValueError: two layers with the same name of their own, one whose name ends in
        "_running", as those of running statistics do, or an output layer before the last.
    """
    own = [name for spec in layers if (name := getattr(spec, "name", ""))]
    if wrong := [name for name in own if not isinstance(name, str)]:
        raise ValueError(f"the name of a layer must be text, not {wrong[0]!r}")
    if early := [spec.name for spec in layers[:-1] if isinstance(spec, Output)]:
        raise ValueError(f"{early[0]} is an Output, and other layers follow it")
    if doubles := [name for i, name in enumerate(own) if name in own[:i]]:
        raise ValueError(f"two layers are named {doubles[0]}")
    names: list[str] = []
    number = ""
    for spec in layers:
        name = getattr(spec, "name", "")
        # conv1 has number 1, and conv1_2 has 1_2.
        if digits := re.search(r"\d+(_\d+)*$", name):
            number = digits.group()
        names.append(name or _free_name(_label(spec) + number, {*own, *names}))
    if running := [name for name in names if name.endswith(_stats_name(""))]:
        raise ValueError(
            f"{running[0]} cannot be the name of a layer: names that end in {_stats_name('')} are "
            "those of running statistics"
        )
    return tuple(names)


def _stats_name(name: str) -> str:
    return f"{name}_running"


def _label(spec: LayerSpec) -> str:
    return spec.label or type(spec).__name__.lower()


def _free_name(name: str, taken: set[str]) -> str:
    numbered, count = name, 1
    while numbered in taken:
        count += 1
        numbered = f"{name}_{count}"
    return numbered


def is_replicated_after(spec: LayerSpec, replicated: bool) -> bool:
    """Return whether every tower holds the output of all towers, given the same of the input."""
    if isinstance(spec, Gather | Output):
        return True
    divides = isinstance(spec, Split) or (spec.has_params and not spec.per_map)
    return replicated and not divides


def follow(spec: LayerSpec, name: str, shape: Shape, replicated: bool, towers: int) -> LayerInfo:
    """Return a layer whose input has this shape.

    Args:
      spec: its type.
      name: its name.
      shape: of the input, of all towers together.
      replicated: whether every tower holds the input of all towers.
      towers: their number.

    Raises:
      ValueError: a layer that cannot follow; the message starts with its name.
    """
    _check_input(spec, name, shape, towers > 1 and not replicated)
    output_shape = _output_shape(spec, name, shape)
    if output_shape[-1] % towers and not isinstance(spec, Output):
        raise ValueError(
            f"the {output_shape[-1]} maps of {name} cannot be shared by {towers} towers"
        )
    weight_shape, bias_shape = None, None
    if spec.has_params:
        sees_all = replicated or spec.per_map or isinstance(spec, Output)
        seen = shape if sees_all else (*shape[:-1], shape[-1] // towers)
        weight_shape, bias_shape = _param_shapes(spec, name, seen, output_shape)
    replicated_out = is_replicated_after(spec, replicated)
    return LayerInfo(
        name, spec, shape, output_shape, replicated, replicated_out, weight_shape, bias_shape
    )


def _check_input(spec: LayerSpec, name: str, shape: Shape, apart: bool) -> None:
    """Raise ValueError if the layer does not take an input of this shape."""
    if spec.has_apply and isinstance(spec, BatchNorm | Dropout | Gather | Output | Split):
        raise ValueError(f"{name} changes how towers or batches meet: inherit LayerSpec instead")
    if spec.takes == "maps" and len(shape) != 3:
        raise ValueError(f"{name} needs maps, and comes after Flatten")
    if spec.takes == "features" and len(shape) != 1:
        raise ValueError(f"{name} needs features: a Flatten before it")
    if spec.needs_all_maps and apart:
        raise ValueError(f"{name} needs the maps of all towers: a Gather before it")


def _output_shape(spec: LayerSpec, name: str, shape: Shape) -> Shape:
    """Return the output shape. Raises ValueError if the type returns no shape, or none fits."""
    try:
        returned = spec.output_shape(shape)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    output_shape = _as_shape(returned)
    if len(output_shape) not in (1, 3):
        raise ValueError(
            f"{name} has an output_shape {returned!r}, "
            "which should be (height, width, maps) or (features,)"
        )
    if spec.per_map and output_shape[-1] != shape[-1]:
        raise ValueError(f"{name} has per_map, and makes {output_shape[-1]} maps of {shape[-1]}")
    return output_shape


def _param_shapes(
    spec: LayerSpec, name: str, seen: Shape, output_shape: Shape
) -> tuple[Shape, Shape]:
    """Return the shapes of weights and biases. Raises ValueError if they are not two shapes."""
    returned: Any = spec.param_shapes(seen)
    pair = returned if isinstance(returned, tuple | list) else ()
    shapes = tuple(_as_shape(shape) for shape in pair)
    if len(shapes) != 2 or not all(shapes):
        raise ValueError(
            f"{name} has param_shapes {returned!r}, which should be two tuples: "
            "the shapes of weights and of biases"
        )
    if {shape[-1] for shape in shapes} != {output_shape[-1]}:
        raise ValueError(
            f"{name} has param_shapes {returned!r}, whose last axes should be "
            f"its {output_shape[-1]} maps"
        )
    return shapes


def _as_shape(value: object) -> Shape:
    """Return a tuple or list of whole numbers above 0 as a shape, and () for anything else."""
    if not isinstance(value, tuple | list):
        return ()
    try:
        shape = tuple(operator.index(n) for n in value)
    except TypeError:
        return ()
    return shape if all(n > 0 for n in shape) else ()
