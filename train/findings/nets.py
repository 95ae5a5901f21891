"""The networks that differ from a named one in what a finding is about."""

import dataclasses

from alexnet_jax import Architecture
from alexnet_jax.architectures import CIFAR_19PCT, PHOTOGRAPHS
from alexnet_jax.layer_specs import Conv, Gather, LayerSpec, Relu, Tanh


def _with_layers(
    net: Architecture, name: str, layers: list[LayerSpec], towers: int = 1
) -> Architecture:
    return dataclasses.replace(net, name=name, layers=tuple(layers), towers=towers)


def _with_he_deviations(net: Architecture) -> Architecture:
    """Return a network whose kernels start from sqrt(2 / inputs), as those of PHOTOGRAPHS do."""
    inputs = {info.name: info.weight_shape for info in net.layer_info() if info.weight_shape}
    layers = [
        dataclasses.replace(spec, std=(2 / _product(inputs[spec.name][:-1])) ** 0.5)
        if isinstance(spec, Conv)
        else spec
        for spec in net.layers
    ]
    return _with_layers(net, net.name, layers, net.towers)


def _product(sizes: tuple[int, ...]) -> int:
    height, width, maps = sizes
    return height * width * maps


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
