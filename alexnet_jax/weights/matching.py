"""Recognizes a network by its layers, as a file of weights lists them.

The order of pooling and normalization and every constant come from the file, so a network that only
resembles one of ours is not taken for it.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    LayerSpec,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Split,
)
from alexnet_jax.weights.loaded import LayerArrays, with_class_count

_MAX_WINDOW = 1000  # maps or pixels of a normalization; the paper's have 5
Norm = ResponseNorm | SpatialNorm
ParsedSpec = Conv | Relu | Norm | MaxPool | Dense | Dropout


class ParsedLayer(NamedTuple):
    """A layer as a file describes it."""

    name: str  # in the file
    spec: ParsedSpec  # its name, width and kernel size mean nothing: the arrays have them
    arrays: tuple[np.ndarray, np.ndarray] | None = None  # weights and biases
    rounds_up: bool = False  # a pooling whose last window may reach past the edge


def match_architecture(
    layers: Sequence[ParsedLayer],
    candidates: Sequence[Architecture],
    expected: Architecture | None,
) -> tuple[Architecture, LayerArrays]:
    """Return the architecture with these layers, and the layers' arrays by our names.

    Args:
      layers: all layers of a file that have an effect at test time, in order.
      candidates: the architectures that it may be. What is returned has the normalization
        constants of the file, and as many classes as the last biases.
      expected: the architecture that it must be instead, if not None.

    Raises:
      ValueError: layers in another order than any of them has, or with other strides, sizes or
        paddings.
    """
    for layer in layers:
        _check_norm(layer)
    order = [_kind(layer.spec) for layer in layers]
    candidates = [expected] if expected else candidates
    same_order = [net for net in candidates if _order(net) == order]
    if not same_order:
        names = " or ".join(net.name for net in candidates)
        raise ValueError(f"its layers {', '.join(order)} are not those of {names}")
    differences = [_first_difference(layers, net) for net in same_order]
    if all(differences):
        raise ValueError(differences[0])
    net = same_order[differences.index("")]
    specs, arrays = list(net.layers), {}
    for place, layer in zip(_effective_places(net), layers, strict=True):
        spec = specs[place]
        if isinstance(layer.spec, Norm):
            specs[place] = layer.spec
        if isinstance(spec, Conv | Dense | Output):
            if layer.arrays is None:
                raise ValueError(f"{layer.name} has no weights and biases")
            arrays[spec.name] = layer.arrays
    parsed = dataclasses.replace(net, layers=tuple(specs))
    if expected and parsed != expected:
        raise ValueError(f"its normalization is not that of {expected.name}")
    return expected or with_class_count(parsed, arrays), arrays


def parsed_pool(name: str, pool: MaxPool, *, rounds_up: bool) -> ParsedLayer:
    """Return a parsed pooling layer.

    One pixel of padding after the last row and column is how converters write that the number of
    windows is rounded up.
    """
    if pool.padding == (0, 1):
        return ParsedLayer(name, dataclasses.replace(pool, padding=(0, 0)), rounds_up=True)
    return ParsedLayer(name, pool, rounds_up=rounds_up)


def _check_norm(layer: ParsedLayer) -> None:
    """Raise ValueError for constants that no network has: they would reach past all maps."""
    if isinstance(layer.spec, Norm):
        spec = layer.spec
        n = spec.n if isinstance(spec, ResponseNorm) else spec.size
        constants = [spec.k, spec.alpha, spec.beta]
        if n > _MAX_WINDOW or not all(map(math.isfinite, constants)):
            raise ValueError(f"{layer.name} has the constants {[n, *constants]}")


def _effective_places(net: Architecture) -> list[int]:
    """The indices of the layers that a file lists; inverted dropout does nothing at test time."""
    return [
        place
        for place, spec in enumerate(net.layers)
        if not isinstance(spec, Gather | Split | Flatten) and spec != Dropout(inverted=True)
    ]


def _order(net: Architecture) -> list[str]:
    return [_kind(net.layers[place]) for place in _effective_places(net)]


def _kind(spec: LayerSpec) -> str:
    return type(spec).__name__ if not isinstance(spec, Output) else "Dense"


def _first_difference(layers: Sequence[ParsedLayer], net: Architecture) -> str:
    """A sentence on the first layer with another stride, padding or size, "" if there is none."""
    for place, layer in zip(_effective_places(net), layers, strict=True):
        theirs, ours = _geometry(layer.spec), _geometry(net.layers[place])
        if theirs != ours:
            return f"{layer.name} has {theirs}, but {net.name} has {ours} there"
        for size in net.image_sizes if layer.rounds_up else ():
            pixels = net.layer_info(size)[place].input_shape[0]
            if isinstance(layer.spec, MaxPool) and _remainder(layer.spec, pixels):
                return f"{layer.name} pools the last of {pixels} pixels, which {net.name} drops"
    return ""


def _geometry(spec: LayerSpec) -> str:
    """The numbers that must agree; normalization is taken from the file, widths from arrays."""
    match spec:
        case Conv(stride=stride, padding=padding):
            return f"stride {stride} and padding {padding}"
        case MaxPool(size, stride, padding):
            return f"size {size}, stride {stride} and padding {padding}"
    return ""


def _remainder(pool: MaxPool, pixels: int) -> int:
    return (pixels + sum(pool.padding) - pool.size) % pool.stride
