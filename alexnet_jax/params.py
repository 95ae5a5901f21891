"""The parameters of a network: a pytree of named layers, and a check that it fits the network."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from alexnet_jax.architecture import Architecture, Shape
from alexnet_jax.architectures import NETS


class Layer(NamedTuple):
    """The parameters of one layer. The last axis of both arrays counts the layer's outputs."""

    weights: jax.Array
    biases: jax.Array


class BatchStats(NamedTuple):
    """Mean and variance of each map, [maps]: of one batch, or the running ones of a `BatchNorm`."""

    means: jax.Array
    variances: jax.Array


# `jax.export` writes functions that take or return parameters, gradients among them.
for _type in (Layer, BatchStats):
    export.register_namedtuple_serialization(_type, serialized_name=f"alexnet_jax.{_type.__name__}")

Params = dict[str, Layer | BatchStats]
"""All parameters of a network by layer name, "conv1" ... "fc8".

Each value is a `Layer`, save for the running statistics of a batch normalization: "norm1" holds its
scales and offsets as weights and biases, and "norm1_running" its `BatchStats`, which no gradient
changes. A type checker takes a value for either; `kernels, biases = params["conv1"]` suits both,
and `get_layer(params, "conv1").weights` tells it which.
"""

ParamsLike = Mapping[str, Any]
"""What functions take as parameters: `Params`, or the same arrays in other containers.

Programs that read parameters without a template give back a dict {"weights": ..., "biases": ...},
a pair (weights, biases) or {"0": weights, "1": biases} in place of a `Layer`. A gradient has the
containers of the parameters.
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


def as_params(params: ParamsLike) -> Params:
    """Return parameters in any containers as `Layer` and `BatchStats`, without a copy.

    Raises TypeError if they are no dict of layers, or a layer is no pair of arrays.
    """
    _check_is_dict(params)
    return {name: _as_pair(name, value) for name, value in params.items()}


def _check_is_dict(params: ParamsLike) -> None:
    if not isinstance(params, Mapping):
        raise TypeError(f"params must be a dict of layers by name, not {type(params).__name__}")


def _as_pair(name: str, value: Any) -> Layer | BatchStats:
    if isinstance(value, Layer | BatchStats):
        return value
    kind = BatchStats if name.endswith("_running") else Layer
    if isinstance(value, Mapping):
        for fields in (kind._fields, ("0", "1")):
            if value.keys() == {*fields}:
                return kind(*(value[field] for field in fields))
        found = ", ".join(map(str, value)) or "nothing"
    elif isinstance(value, tuple | list):
        if len(value) == 2:
            return kind(*value)
        found = f"{len(value)} values"
    else:
        found = type(value).__name__
    raise TypeError(f"{name} must hold {' and '.join(kind._fields)}, not {found}")


def check_params(
    params: ParamsLike, architecture: Architecture, layers: Collection[str] | None = None
) -> Params:
    """Return the parameters of some layers of a network, as `Layer` and `BatchStats`.

    Args:
      params: in any containers.
      architecture: the network.
      layers: their names; if None, all, and `params` must have no others.

    Raises:
      ValueError: parameters that do not fit the architecture, by name and shape.
      TypeError: parameters that are not floating, or no dict of layers.
    """
    _check_is_dict(params)
    shapes = architecture.parameter_shapes()
    is_whole = layers is None or len(layers) == len(architecture.layers)
    if layers is not None:
        infos = [info for info in architecture.layer_info() if info.name in layers]
        names = {name for info in infos for name in (info.name, info.stats_name)}
        shapes = {name: pair for name, pair in shapes.items() if name in names}
    missing = [name for name in shapes if name not in params]
    if missing or (is_whole and len(params) > len(shapes)):
        _refuse_other_net(params, architecture)
        needed = f"has the layers {', '.join(shapes)}" if is_whole else f"needs {missing[0]}"
        found = ", ".join(map(str, params)) or "none"
        raise ValueError(f"{architecture.name} {needed}; the parameters have {found}")
    layers_that_run = as_params({name: params[name] for name in shapes})
    for name, layer in layers_that_run.items():
        _check_arrays(name, layer)
        if _shapes(layer) != shapes[name]:
            _refuse_other_net(params, architecture)
            found, needed = (f"{one} and {two}" for one, two in (_shapes(layer), shapes[name]))
            raise ValueError(
                f"{name} has {' and '.join(layer._fields)} of {found}, "
                f"but {architecture.name} needs {needed}"
            )
    return layers_that_run


def _check_arrays(name: str, layer: Layer | BatchStats) -> None:
    """Raise TypeError if a layer holds anything but floating arrays."""
    for field, leaf in zip(layer._fields, layer, strict=True):
        if not hasattr(leaf, "dtype"):
            raise TypeError(f"the {field} of {name} must be an array, not {type(leaf).__name__}")
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"parameters must be floating, not {leaf.dtype} as the {field} of {name}"
            )


def _shapes(layer: Layer | BatchStats) -> tuple[Shape, ...]:
    return tuple(np.shape(leaf) for leaf in layer)


def _refuse_other_net(params: ParamsLike, architecture: Architecture) -> None:
    """Raise ValueError with the published networks that the parameters fit, if there are any."""
    try:
        shapes = {name: _shapes(layer) for name, layer in as_params(params).items()}
    except TypeError:  # something else is among the layers
        return
    fitting = {}
    for net in NETS:
        _, output_biases = shapes.get(net.layer_names()[-1], ((), ()))
        classes = output_biases[0] if output_biases else net.classes
        if shapes == net.with_classes(classes).parameter_shapes():
            suffix = "" if classes == net.classes else f".with_classes({classes})"
            fitting[net.name + suffix] = (
                f"architectures.{net.name}{suffix}" if suffix else repr(net.name)
            )
    if fitting:
        nets, values = list(fitting), list(fitting.values())
        raise ValueError(
            f"these parameters fit {' or '.join(nets)}, not {architecture.name}: "
            f"give architecture={' or '.join(values)}"
        )
