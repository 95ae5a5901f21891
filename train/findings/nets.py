"""The networks that differ from a named one in what a finding is about."""

import dataclasses
import math

from alexnet_jax import Architecture
from alexnet_jax.architectures import CIFAR_11PCT, CIFAR_19PCT, DIGITS, PHOTOGRAPHS
from alexnet_jax.layer_specs import (
    Conv,
    Dropout,
    Gather,
    LayerSpec,
    LocallyConnected,
    MaxPool,
    Relu,
    Tanh,
)


def _with_layers(
    net: Architecture, name: str, layers: list[LayerSpec], towers: int = 1
) -> Architecture:
    return dataclasses.replace(net, name=name, layers=tuple(layers), towers=towers)


def _with_he_deviations(net: Architecture) -> Architecture:
    """Return a network whose kernels start from sqrt(2 / inputs), as those of PHOTOGRAPHS do."""
    inputs = {info.name: info.weight_shape for info in net.layer_info() if info.weight_shape}
    layers = [
        dataclasses.replace(spec, std=(2 / math.prod(inputs[spec.name][:-1])) ** 0.5)
        if isinstance(spec, Conv)
        else spec
        for spec in net.layers
    ]
    return _with_layers(net, net.name, layers, net.towers)


CIFAR_19PCT_TANH = _with_layers(
    CIFAR_19PCT,
    "CIFAR_19PCT_TANH",
    [Tanh() if isinstance(spec, Relu) else spec for spec in CIFAR_19PCT.layers],
)
"""The four-layer network of Figure 1 with tanh units."""

_WITHOUT_GATHER = [spec for spec in PHOTOGRAPHS.layers if not isinstance(spec, Gather)]

ONE_TOWER = _with_he_deviations(_with_layers(PHOTOGRAPHS, "ONE_TOWER", _WITHOUT_GATHER))
"""PHOTOGRAPHS on one GPU: as many kernels, and each sees all maps."""

NO_COMMUNICATION = _with_he_deviations(
    _with_layers(PHOTOGRAPHS, "PHOTOGRAPHS_NO_COMMUNICATION", _WITHOUT_GATHER, towers=2)
)
"""PHOTOGRAPHS whose towers meet in the logits alone."""

_HALVED = ("conv1", "conv2", "conv3", "conv4")

HALF = _with_he_deviations(
    _with_layers(
        PHOTOGRAPHS,
        "HALF",
        [
            dataclasses.replace(spec, maps=spec.maps // 2)
            if isinstance(spec, Conv) and spec.name in _HALVED
            else spec
            for spec in _WITHOUT_GATHER
        ],
    )
)
"""One tower with half the kernels but in conv5, as the one-GPU net of section 3.2's footnote."""

CIFAR_13PCT_NORM = _with_layers(
    CIFAR_11PCT,
    "CIFAR_13PCT_NORM",
    [
        dataclasses.replace(spec, maps=32) if isinstance(spec, LocallyConnected) else spec
        for spec in CIFAR_11PCT.layers
    ],
)
"""CIFAR_13PCT with the two norms of CIFAR_11PCT, and nothing else of it."""

NO_DROPOUT = _with_layers(
    DIGITS, "NO_DROPOUT", [spec for spec in DIGITS.layers if not isinstance(spec, Dropout)], 2
)


def _with_pools(name: str, pool: MaxPool) -> Architecture:
    layers = [pool if isinstance(spec, MaxPool) else spec for spec in DIGITS.layers]
    return _with_layers(DIGITS, name, layers, 2)


OVERLAPPING = _with_pools("OVERLAPPING", MaxPool(3, 2, padding=(0, 1)))
"""DIGITS whose pools reach past the edge, so that its maps have the sizes of NON_OVERLAPPING's."""

NON_OVERLAPPING = _with_pools("NON_OVERLAPPING", MaxPool(2, 2))


def _without(name: str) -> Architecture:
    """Return DIGITS without a convolution and its ReLU."""
    layers = list(DIGITS.layers)
    at = next(i for i, spec in enumerate(layers) if getattr(spec, "name", None) == name)
    return _with_layers(DIGITS, f"NO_{name.upper()}", layers[:at] + layers[at + 2 :], 2)


# conv3 and conv4 have equal kernels here, so the first two differ in their initial values alone.
NO_CONV3, NO_CONV4, NO_CONV5 = (_without(f"conv{i}") for i in (3, 4, 5))
