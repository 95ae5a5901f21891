"""Nets as files to_json them, layer by layer, laid beside those that are known.

So the order of pooling and normalization and every constant come from the file, and a net that
only looks like one of ours is not taken for it.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    LayerSpec,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
)
from alexnet_jax.weights.loaded import Arrays, with_classes

Norm = ResponseNorm | SpatialNorm
ParsedSpec = Conv | Relu | Norm | MaxPool | Dense | Dropout


class Found(NamedTuple):
    """A layer that a file describes."""

    name: str  # in the file
    word: ParsedSpec  # of a convolution or dense layer, the widths are told by its arrays
    arrays: tuple[np.ndarray, np.ndarray] | None = None  # weights and biases
    rounds_up: bool = False  # a pooling that takes what is left over into a window of its own


def matched(
    found: Sequence[Found], nets: Sequence[Architecture], given: Architecture | None
) -> tuple[Architecture, Arrays]:
    """Return the net whose layers a file describes, with the file's constants, and its arrays.

    Args:
      found: all layers of the file that have an effect at test time, in their order.
      nets: those that it may be; if it has another number of classes, so has what is returned.
      given: the net that it has to be, instead.

    Raises:
      ValueError: layers in the order of none of the nets, or with other strides and sizes.
    """
    order = [_kind(layer.word) for layer in found]
    nets = [given] if given else nets
    alike = [net for net in nets if [_kind(net.layers[i]) for i in _places(net)] == order]
    if not alike:
        names = " or ".join(net.name for net in nets)
        raise ValueError(f"its layers {', '.join(order)} are not those of {names}")
    differences = [_difference(found, net) for net in alike]
    if all(differences):
        raise ValueError(differences[0])
    net = alike[differences.index("")]
    layers, arrays = list(net.layers), {}
    for place, layer in zip(_places(net), found, strict=True):
        word = layers[place]
        if isinstance(layer.word, Norm):
            layers[place] = layer.word
        if isinstance(word, Conv | Dense | Output):
            if layer.arrays is None:
                raise ValueError(f"{layer.name} has no weights and biases")
            arrays[word.name] = layer.arrays
    described = dataclasses.replace(net, layers=tuple(layers))
    if given and described != given:
        raise ValueError(f"its normalization is not that of {given.name}")
    return given or with_classes(described, arrays), arrays


def pooled(name: str, pool: MaxPool, *, rounds_up: bool) -> Found:
    """Return a pooling found; a pixel of padding behind the last stands for rounding up, too."""
    if pool.padding == (0, 1):
        return Found(name, dataclasses.replace(pool, padding=(0, 0)), rounds_up=True)
    return Found(name, pool, rounds_up=rounds_up)


def _places(net: Architecture) -> list[int]:
    """Where the words stand that a file describes; inverted dropout is nothing at test time."""
    words = enumerate(net.layers)
    return [
        i for i, w in words if isinstance(w, ParsedSpec | Output) and w != Dropout(inverted=True)
    ]


def _kind(word: LayerSpec) -> str:
    return type(word).__name__ if not isinstance(word, Output) else "Dense"


def _difference(found: Sequence[Found], net: Architecture) -> str:
    """What the first layer of another stride, padding or size has; nothing if there is none."""
    for place, layer in zip(_places(net), found, strict=True):
        rule, ours = _rule(layer.word), _rule(net.layers[place])
        if rule != ours:
            return f"{layer.name} has {rule}, but {net.name} has {ours} there"
        for size in net.image_sizes if layer.rounds_up else ():
            inputs = net.layer_info(size)[place].input_shape
            if isinstance(layer.word, MaxPool) and _left_over(layer.word, inputs[0]):
                left = f"the pixels left over of {inputs[0]}"
                return f"{layer.name} pools {left}, {net.name} does not"
    return ""


def _rule(word: LayerSpec) -> str:
    """What must agree, in words."""
    match word:
        case Conv(stride=stride, padding=padding):
            return f"stride {stride} and padding {padding}"
        case MaxPool(size, stride, padding):
            return f"size {size}, stride {stride} and padding {padding}"
    return ""


def _left_over(pool: MaxPool, pixels: int) -> int:
    return (pixels + sum(pool.padding) - pool.size) % pool.stride
