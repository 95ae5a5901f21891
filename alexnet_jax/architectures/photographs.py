"""The paper's network made small for a few thousand photographs."""

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Gather,
    LayerSpec,
    MaxPool,
    MeanPool,
    Output,
    Relu,
)


def _conv(name: str, maps_in: int, maps: int, kernel: int = 3, stride: int = 1) -> list[LayerSpec]:
    """Return a convolution, its batch normalization and the ReLU.

    Kernels start from the standard deviation sqrt(2 / inputs) (He and others 2015).
    """
    padding = ((kernel - stride) // 2, kernel // 2)
    std = (2 / (kernel**2 * maps_in)) ** 0.5
    return [Conv(name, maps, kernel, stride, padding, std), BatchNorm(momentum=0.9), Relu()]


PHOTOGRAPHS = Architecture(
    "PHOTOGRAPHS",
    image_sizes=(96,),
    towers=2,
    layers=(
        *_conv("conv1", 3, 32, kernel=7, stride=2),  # 48 x 48 x 32
        MaxPool(),  # 23 x 23 x 32
        *_conv("conv2", 16, 64, kernel=5),  # 23 x 23 x 64
        MaxPool(),  # 11 x 11 x 64
        Gather(),
        *_conv("conv3", 64, 128),  # 11 x 11 x 128
        *_conv("conv4", 64, 128),  # 11 x 11 x 128
        *_conv("conv5", 64, 128),  # 11 x 11 x 128
        MeanPool(11),  # 1 x 1 x 128
        Flatten(),  # 128
        Dropout(inverted=True),
        Output("fc8", 5),
    ),
)
"""The paper's two towers of five convolutions, for photographs of 96 pixels: 254,533 parameters.

Batch normalization comes before each ReLU, and the mean of each last map replaces fc6 and fc7. The
running statistics, 960 of the parameters, forget in tens of steps: runs may take a few hundred.
"""
