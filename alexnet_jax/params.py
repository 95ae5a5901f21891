"""The parameters of a network: a pytree of named layers, and a check that it fits a network."""

from typing import NamedTuple

import jax

from alexnet_jax.architecture import Architecture


class Layer(NamedTuple):
    """One layer's parameters. The last axis of both counts the layer's outputs."""

    weights: jax.Array
    biases: jax.Array


class BatchStats(NamedTuple):
    """Mean and variance of each map, [maps]: of a batch, or the running ones of a BatchNorm."""

    means: jax.Array
    variances: jax.Array


Params = dict[str, Layer]
"""All parameters of a net by layer name, "conv1" ... "fc8".

A net with batch normalization also has the running `BatchStats` of each in it: "norm1" holds scales
and offsets as weights and biases, "norm1_running" the statistics, which no gradient changes.
"""


def check_params(params: Params, architecture: Architecture) -> None:
    """Raise ValueError if the parameters are not those of the architecture, by name and shape."""
    expected = architecture.parameter_shapes()
    if params.keys() != expected.keys():
        raise ValueError(
            f"{architecture.name} has the layers {', '.join(expected)}; "
            f"the parameters have {', '.join(params)}"
        )
    for name, want in expected.items():
        have = tuple(tuple(leaf.shape) for leaf in params[name])
        if have != want:
            fields = " and ".join(params[name]._fields)
            raise ValueError(
                f"{name} has {fields} of {have[0]} and {have[1]}, "
                f"but {architecture.name} needs {want[0]} and {want[1]}"
            )
