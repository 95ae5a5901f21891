"""The parameters of a network: a pytree of named layers, and a check that it fits the network."""

from typing import NamedTuple

import jax

from alexnet_jax.architecture import Architecture


class Layer(NamedTuple):
    """The parameters of one layer. The last axis of both arrays counts the layer's outputs."""

    weights: jax.Array
    biases: jax.Array


class BatchStats(NamedTuple):
    """Mean and variance of each map, [maps]: of one batch, or the running ones of a `BatchNorm`."""

    means: jax.Array
    variances: jax.Array


Params = dict[str, Layer | BatchStats]
"""All parameters of a network by layer name, "conv1" ... "fc8".

Each value is a `Layer`, save for the running statistics of a batch normalization: "norm1" holds its
scales and offsets as weights and biases, and "norm1_running" its `BatchStats`, which no gradient
changes. A type checker takes a value for either; `kernels, biases = params["conv1"]` suits both,
and `get_layer(params, "conv1").weights` tells it which.
"""


def get_layer(params: Params, name: str) -> Layer:
    """Return the weights and biases of a layer. Raises TypeError if the name holds statistics."""
    layer = params[name]
    if not isinstance(layer, Layer):
        raise TypeError(f"{name} holds {type(layer).__name__}, not weights and biases")
    return layer


def get_batch_stats(params: Params, name: str) -> BatchStats:
    """Return the batch statistics stored under a name. Raises TypeError if it holds weights."""
    stats = params[name]
    if not isinstance(stats, BatchStats):
        raise TypeError(f"{name} holds {type(stats).__name__}, not batch statistics")
    return stats


def check_params(params: Params, architecture: Architecture) -> None:
    """Raise ValueError if the parameters do not fit the architecture, by name and shape."""
    expected = architecture.parameter_shapes()
    if params.keys() != expected.keys():
        raise ValueError(
            f"{architecture.name} has the layers {', '.join(expected)}; "
            f"the parameters have {', '.join(params)}"
        )
    for name, expected_shapes in expected.items():
        shapes = tuple(tuple(leaf.shape) for leaf in params[name])
        if shapes != expected_shapes:
            fields = " and ".join(params[name]._fields)
            raise ValueError(
                f"{name} has {fields} of {shapes[0]} and {shapes[1]}, "
                f"but {architecture.name} needs {expected_shapes[0]} and {expected_shapes[1]}"
            )
