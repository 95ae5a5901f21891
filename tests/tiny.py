"""A two-tower net with every word of the paper's, small enough for loops in Python."""

from alexnet_jax.architecture import (
    Architecture,
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

TINY = Architecture(
    "TINY",
    image_sizes=(14, 15),
    towers=2,
    layers=(
        Conv("conv1", 8, kernel=3, stride=2, padding=(0, 1), std=0.1),  # 7 x 7 x 8
        Relu(),
        ResponseNorm(),
        MaxPool(),  # 3 x 3 x 8
        Conv("conv2", 12, kernel=3, padding=(1, 1), std=0.1, bias=1),
        Relu(),
        ResponseNorm(),
        Gather(),
        Conv("conv3", 8, kernel=3, padding=(1, 1), std=0.1),
        Relu(),
        Conv("conv4", 8, kernel=3, padding=(1, 1), std=0.1, bias=1),
        Relu(),
        MaxPool(),  # 1 x 1 x 8
        Gather(),
        Flatten(),
        Dense("fc6", 32, std=0.3, bias=1),
        Relu(),
        Dropout(),
        Gather(),
        Dense("fc7", 32, std=0.3, bias=1),
        Relu(),
        Dropout(),
        Output("fc8", 7, std=0.3),
    ),
)
