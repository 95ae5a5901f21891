"""A network whose training starts in seconds, for checks that start it a hundred times."""

from alexnet_jax import Architecture
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

TINY = Architecture(
    "TINY",
    image_sizes=(24,),
    towers=2,
    layers=(
        Conv("conv1", 8, kernel=5, stride=4, std=0.02),
        Relu(),
        ResponseNorm(),
        MaxPool(),
        Gather(),
        Flatten(),
        Dense("fc2", 16, std=0.1),
        Relu(),
        Dropout(),
        Gather(),
        Output("fc3", 10, std=0.03),  # the loss begins near ln(10)
    ),
)
