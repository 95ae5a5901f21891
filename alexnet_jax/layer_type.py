"""What a layer type is: the class that all of `layer_specs` and those of your own inherit."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from alexnet_jax.layer_fields import convert_fields

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerSpec:
    """A kind of layer. To make one of your own, inherit this in a frozen dataclass.

    A layer defines what it computes on one tower, `apply`; if it changes the shape, `output_shape`;
    if it has parameters, `param_shapes`. A field `name` is its name; other layers are called by
    their `label` and the number of the layer before. Fields are numbers, text and tuples of them,
    so that files can keep them. Shapes are those of one image, [height, width, maps] or [features].
    """

    label: ClassVar[str] = ""
    """What a layer without a field `name` is called, before its number; its type if empty."""
    takes: ClassVar[Literal["maps", "features", "both"]] = "both"
    """What may come in; anything else is refused when a network is made."""
    needs_all_maps: ClassVar[bool] = False
    """Whether the towers must have met, in a `Gather`, before the layer."""
    per_map: ClassVar[bool] = False
    """Whether the parameters belong to the maps that come in, one by one, as a norm's scales do."""
    fixes_size: ClassVar[bool] = False
    """Whether the parameters of this layer, or of those after it, fit one image size only."""

    def __post_init__(self) -> None:
        """Check the fields whose type is one of `layer_fields`."""
        convert_fields(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of this shape, by default the same.

        Both are those of all towers together; the last axis is divided over the towers. A
        ValueError that it raises continues the layer's name: "needs an even number of rows".
        """
        return shape

    def param_shapes(self, shape: Shape) -> tuple[Shape, Shape] | None:
        """Return the shapes of weights and biases, those of all towers together.

        The last axis of both counts the maps that go out, and is divided over the towers.

        Args:
          shape: the input that one tower sees: its own maps, or those of all after a `Gather`; with
            `per_map` always those of all towers together.
        """
        return None

    @property
    def has_params(self) -> bool:
        """Whether the type defines `param_shapes`."""
        return type(self).param_shapes is not LayerSpec.param_shapes

    @property
    def has_apply(self) -> bool:
        """Whether the type defines `apply`, as one of a user's own does."""
        return type(self).apply is not LayerSpec.apply

    def weight_uses(self, output_shape: Shape) -> int:
        """Return how often one image uses each weight, by default once for each pixel."""
        return math.prod(output_shape[:-1])

    def init(self, key: jax.Array, weights: Shape, biases: Shape) -> tuple[jax.Array, jax.Array]:
        """Draw the initial weights and biases of these shapes, float32.

        By default weights are from N(0, `std`^2) and every bias is `bias` (§5), the fields of these
        names; without such fields, 0.01 and 0.
        """
        std, bias = getattr(self, "std", 0.01), getattr(self, "bias", 0.0)
        drawn = std * jax.random.normal(key, weights, jnp.float32)
        return drawn, jnp.full(biases, bias, jnp.float32)

    def apply(self, params: Any, x: jax.Array) -> jax.Array:
        """Return what the layer computes on one tower, a pure function of arrays.

        Args:
          params: the tower's `weights` and `biases`; None for a layer without parameters.
          x: [batch, height, width, maps] or [batch, features] of the tower, or those of all towers
            after a `Gather`.
        """
        raise NotImplementedError("`forward` computes the types of `layer_specs`")


def check_layer(layer: Any, place: str) -> None:
    """Raise ValueError, beginning with its place in the list, for what is no usable layer."""
    if isinstance(layer, type):
        raise ValueError(f"{place} is the class {layer.__name__}: write {layer.__name__}(...)")
    if isinstance(layer, tuple | list):
        raise ValueError(f"{place} is a {type(layer).__name__} of layers: put a * before it")
    if not isinstance(layer, LayerSpec):
        raise ValueError(f"{place} is not a layer of alexnet_jax.layer_specs: {layer!r}")
    kind = type(layer)
    bases = [base for base in kind.__mro__ if base is not LayerSpec]
    is_ours = any(base.__module__.startswith("alexnet_jax.") for base in bases)
    if not is_ours and not layer.has_apply:
        raise ValueError(f"{place}: {kind.__name__} needs a method apply(self, params, x)")
    if "__dataclass_params__" not in vars(kind):
        raise ValueError(f"{place}: {kind.__name__} needs @dataclass(frozen=True) before its class")
    if layer.takes not in ("maps", "features", "both"):
        raise ValueError(f"{place}: `takes` of {kind.__name__} must be maps, features or both")
    try:
        hash(layer)
    except TypeError as error:
        raise ValueError(f"{place}: the fields of {kind.__name__} must be fixed: {error}") from None
