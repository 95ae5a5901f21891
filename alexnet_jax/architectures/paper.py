"""The paper's network, and a small version for digits."""

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
)

PAPER = Architecture(
    "PAPER",
    # 224 as the text says: the original program lets conv1 run three pixels past the bottom and
    # right edges, where it sees zeros. On 227 pixels the same padding is never touched.
    image_sizes=(224, 227),
    towers=2,
    layers=(  # comments give the output shape of both towers together, as in Figure 2
        Conv("conv1", 96, kernel=11, stride=4, padding=(0, 3)),  # 55 x 55 x 96
        Relu(),
        ResponseNorm(),
        MaxPool(),  # 27 x 27 x 96
        Conv("conv2", 256, kernel=5, padding=(2, 2), bias=1),  # 27 x 27 x 256
        Relu(),
        ResponseNorm(),
        MaxPool(),  # 13 x 13 x 256
        Gather(),
        Conv("conv3", 384, kernel=3, padding=(1, 1)),  # 13 x 13 x 384
        Relu(),
        Conv("conv4", 384, kernel=3, padding=(1, 1), bias=1),  # 13 x 13 x 384
        Relu(),
        Conv("conv5", 256, kernel=3, padding=(1, 1), bias=1),  # 13 x 13 x 256
        Relu(),
        MaxPool(),  # 6 x 6 x 256
        Gather(),
        Flatten(),  # 9216
        Dense("fc6", 4096, bias=1),
        Relu(),
        Dropout(),
        Gather(),
        Dense("fc7", 4096, bias=1),
        Relu(),
        Dropout(),
        Output("fc8", 1000),
    ),
)
"""The network of the paper's text, section 3.5 and Figure 2: 60,965,224 parameters."""

DIGITS = Architecture(
    "DIGITS",
    image_sizes=(24,),
    towers=2,
    layers=(
        Conv("conv1", 32, kernel=5, padding=(2, 2), std=0.05),  # 24 x 24 x 32
        Relu(),
        ResponseNorm(),
        MaxPool(),  # 11 x 11 x 32
        Conv("conv2", 64, kernel=5, padding=(2, 2), std=0.05),  # 11 x 11 x 64
        Relu(),
        ResponseNorm(),
        MaxPool(),  # 5 x 5 x 64
        Gather(),
        Conv("conv3", 96, kernel=3, padding=(1, 1), std=0.05),  # 5 x 5 x 96
        Relu(),
        Conv("conv4", 96, kernel=3, padding=(1, 1), std=0.05),  # 5 x 5 x 96
        Relu(),
        Conv("conv5", 64, kernel=3, padding=(1, 1), std=0.05),  # 5 x 5 x 64
        Relu(),
        MaxPool(),  # 2 x 2 x 64
        Gather(),
        Flatten(),  # 256
        Dense("fc6", 256, std=0.05),
        Relu(),
        Dropout(),
        Gather(),
        Dense("fc7", 256, std=0.05),
        Relu(),
        Dropout(),
        Output("fc8", 10, std=0.05),
    ),
)
"""The paper's network, layer for layer, made small for handwritten digits. Kernels that see fewer
maps start from a larger standard deviation, so that the signal keeps its size."""
