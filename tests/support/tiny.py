"""Networks small enough for loops in Python: one of the paper's layers, and any other narrowed."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import PAPER
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    LocallyConnected,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
)
from alexnet_jax.params import BatchStats, Layer

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

# Compiled fast, with every operation whose gradient is written by hand but Winograd's.
SMALL = Architecture(
    "SMALL",
    image_sizes=(8,),
    towers=2,
    layers=(
        Conv("conv1", 4, kernel=3, padding=(1, 1), std=0.02, bias=0.1),
        Relu(),
        ResponseNorm(n=3, k=1, alpha=0.5),
        MaxPool(),
        Gather(),
        Conv("conv2", 4, kernel=3, std=0.3, bias=0.1),
        Relu(),
        Flatten(),
        Dense("fc3", 6, std=0.5, bias=0.2),
        Relu(),
        Output("fc4", 3, std=0.5),
    ),
)

# PAPER's dense layers after two convolutions that have as many weights as its five, and a few more.
PAPER_DENSE = Architecture(
    "PAPER_DENSE",
    image_sizes=(6,),
    towers=1,
    layers=(
        Conv("conv1", 256, kernel=3, padding=(1, 1)),
        Relu(),
        Conv("conv2", 256, kernel=6, padding=(2, 3)),
        Flatten(),
        *PAPER.layers[PAPER.layers.index(Flatten()) + 1 :],
    ),
)


def narrow(net):
    """Narrow any network to a sixteenth of its maps, with larger weights that keep its signal."""

    def scale(layer):
        if isinstance(layer, Conv | LocallyConnected):
            return dataclasses.replace(layer, maps=max(layer.maps // 16, 4), std=0.05)
        if isinstance(layer, Dense):
            return dataclasses.replace(layer, features=max(layer.features // 128, 16), std=0.3)
        return dataclasses.replace(layer, std=0.3) if isinstance(layer, Output) else layer

    layers = tuple(scale(layer) for layer in net.with_classes(7).layers)
    return dataclasses.replace(net, name=f"NARROW_{net.name}", layers=layers)


def draw_params(net):
    """Draw parameters without `init`, which compiles for every shape: ten seconds per network."""
    rng, params = np.random.default_rng(1), {}
    for info in net.layer_info():
        if info.weight_shape:
            std = getattr(info.spec, "std", 1.0)
            weights = jnp.asarray(std * rng.normal(size=info.weight_shape), jnp.float32)
            bias = getattr(info.spec, "bias", 0.0)
            biases = jnp.asarray(np.full(info.bias_shape, bias, "float32"))  # compiles nothing
            params[info.name] = Layer(weights, biases)
        if info.stats_name:
            means, variances = 5 * rng.normal(size=(2, *info.weight_shape))
            stats = jnp.asarray(means, "float32"), jnp.asarray(1 + variances**2, "float32")
            params[info.stats_name] = BatchStats(*stats)
    return params


def training_batch(images, labels, first=0):
    """Return a batch as the pipeline does: examples of the first epoch, from index `first` on."""
    index = first + np.arange(len(labels))
    numbers = {"index": index, "epoch": np.zeros_like(index), "place": index}
    return {"image": images, "label": labels} | numbers
