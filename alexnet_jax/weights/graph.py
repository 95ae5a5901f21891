"""Nets as files describe them, layer by layer, laid beside those that are known.

So the order of pooling and normalisation and every constant come from the file, and a net that
only looks like one of ours is not taken for it.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alexnet_jax.architecture import (
    Architecture,
    Conv,
    Dense,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    Word,
)
from alexnet_jax.weights.contents import Arrays, with_classes

Laid = Conv | Relu | ResponseNorm | MaxPool | Dense


class Found(NamedTuple):
    """A layer that a file describes."""

    name: str  # in the file
    word: Laid  # of a convolution or dense layer, the widths are told by its arrays
    arrays: tuple[np.ndarray, np.ndarray] | None = None  # weights and biases


def matched(
    found: Sequence[Found], nets: Sequence[Architecture], given: Architecture | None
) -> tuple[Architecture, Arrays]:
    """Return the net whose layers a file describes, with the file's constants, and its arrays.

    Args:
      found: all layers of the file that are of these kinds, in their order.
      nets: those that it may be; if it has another number of classes, so has what is returned.
      given: the net that it has to be, instead.

    Raises:
      ValueError: layers in the order of none of the nets, or with other strides and sizes.
    """
    order = [_kind(layer.word) for layer in found]
    for net in [given] if given else nets:
        if [_kind(word) for word in net.layers if isinstance(word, Laid | Output)] == order:
            break
    else:
        names = " or ".join(net.name for net in ([given] if given else nets))
        raise ValueError(f"its layers {', '.join(order)} are not those of {names}")
    arrays = {}
    layers = list(net.layers)
    places = [i for i, word in enumerate(layers) if isinstance(word, Laid | Output)]
    for place, layer in zip(places, found, strict=True):
        word = layers[place]
        if _rule(word) != _rule(layer.word):
            rules = f"{_rule(layer.word)}, but {net.name} has {_rule(word)} there"
            raise ValueError(f"{layer.name} has {rules}")
        if isinstance(word, ResponseNorm):
            layers[place] = layer.word
        if isinstance(word, Conv | Dense | Output):
            if layer.arrays is None:
                raise ValueError(f"{layer.name} has no weights and biases")
            arrays[word.name] = layer.arrays
    described = dataclasses.replace(net, layers=tuple(layers))
    if given and described != given:
        raise ValueError(f"its normalisation is not that of {given.name}")
    return given or with_classes(described, arrays), arrays


def _kind(word: Word) -> str:
    return type(word).__name__ if not isinstance(word, Output) else "Dense"


def _rule(word: Word) -> str:
    """What must agree, in words."""
    match word:
        case Conv(stride=stride, padding=padding):
            return f"stride {stride} and padding {padding}"
        case MaxPool(size, stride, padding):
            return f"size {size}, stride {stride} and padding {padding}"
    return ""
