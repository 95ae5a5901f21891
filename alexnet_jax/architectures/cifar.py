"""The original program's example networks for CIFAR-10, each named by its test error.

They are the files `example-layers/layers-NAME.cfg` of cuda-convnet. The paper compares ReLU with
tanh on "a four-layer convolutional neural network" (§3.1), and the 13 % and 11 % of §3.3 are the
errors of two of these. Biases learn at twice the weights' rate there.

A pool's last window reaches one pixel past the right and bottom edges, because the program rounds
the number of windows up.
"""

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    Conv,
    Flatten,
    LayerSpec,
    LocallyConnected,
    MaxPool,
    MeanPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
)

_MAX, _MEAN = MaxPool(padding=(0, 1)), MeanPool(padding=(0, 1))


def _without_crops(norm: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    """Return the layers of a network for whole images, with `norm` before conv2 and conv3."""
    return (
        Conv("conv1", 32, kernel=5, padding=(2, 2), std=1e-4),  # 32 x 32 x 32
        _MAX,  # 16 x 16 x 32
        Relu(),
        *norm,
        Conv("conv2", 32, kernel=5, padding=(2, 2)),  # 16 x 16 x 32
        Relu(),
        _MEAN,  # 8 x 8 x 32
        *norm,
        Conv("conv3", 64, kernel=5, padding=(2, 2)),  # 8 x 8 x 64
        Relu(),
        _MEAN,  # 4 x 4 x 64
        Flatten(),
        Output("fc10", 10),
    )


CIFAR_19PCT = Architecture("CIFAR_19PCT", (32,), towers=1, layers=_without_crops(()))
"""Three convolutions and a dense layer, without normalization: 89,578 parameters."""

CIFAR_18PCT = Architecture(
    "CIFAR_18PCT", (32,), towers=1, layers=_without_crops((SpatialNorm(size=3, alpha=5e-5),))
)
"""The same with two normalizations of each map by its own neighborhood: 89,578 parameters."""


def _for_crops(norm: tuple[LayerSpec, ...], local_maps: int) -> tuple[LayerSpec, ...]:
    """Return the layers of a network for crops, with `norm` before conv2 and after its ReLU."""
    return (
        Conv("conv1", 64, kernel=5, padding=(2, 2), std=1e-4),  # 24 x 24 x 64
        Relu(),
        _MAX,  # 12 x 12 x 64
        *norm,
        Conv("conv2", 64, kernel=5, padding=(2, 2)),  # 12 x 12 x 64
        Relu(),
        *norm,
        _MAX,  # 6 x 6 x 64
        LocallyConnected("local3", local_maps, kernel=3, padding=(1, 1), std=0.04),
        Relu(),
        LocallyConnected("local4", 32, kernel=3, padding=(1, 1), std=0.04),  # 6 x 6 x 32
        Relu(),
        Flatten(),
        Output("fc10", 10),
    )


CIFAR_13PCT = Architecture("CIFAR_13PCT", (24,), towers=1, layers=_for_crops((), local_maps=32))
"""Crops of 24 pixels and flips, without normalization: 1,116,490 parameters."""

_NORM = ResponseNorm(n=9, k=1, alpha=1e-3, divide_alpha_by_n=True)

CIFAR_11PCT = Architecture(
    "CIFAR_11PCT", (24,), towers=1, layers=_for_crops((_NORM,), local_maps=64)
)
"""CIFAR_13PCT with two response normalizations, and 64 maps in local3: 2,112,970 parameters."""
