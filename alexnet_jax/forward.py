"""The forward pass of one layer, on the towers of one device.

Activations travel as a list with one array per tower of this device, see `towers.Towers`.
"""

import functools
import math

import jax
import jax.numpy as jnp

from alexnet_jax.architecture import LayerInfo
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Split,
)
from alexnet_jax.ops.layers import add_biases, conv, dense, dropout_mask, max_pool, product, relu
from alexnet_jax.ops.normalization import (
    batch_norm,
    batch_stats,
    local_response_norm,
    spatial_norm,
)
from alexnet_jax.params import BatchStats, Params, get_batch_stats, get_layer
from alexnet_jax.towers import Towers


def run_layer(
    info: LayerInfo, params: Params, xs: list[jax.Array], key: jax.Array | None, towers: Towers
) -> list[jax.Array]:
    """Run one layer on the inputs of each local tower; return the outputs of each.

    `key` draws the dropout masks of a training step; None evaluates.
    """
    match info.spec:
        case Conv() as spec:
            layers = towers.split_params(get_layer(params, info.name))
            return [conv(spec, layer, x) for layer, x in zip(layers, xs, strict=True)]
        case Dense() if info.replicated_in:
            # One product for all local towers: splitting the weights would copy them.
            return towers.split(dense(get_layer(params, info.name), xs[0]))
        case Dense():
            layers = towers.split_params(get_layer(params, info.name))
            return [dense(layer, x) for layer, x in zip(layers, xs, strict=True)]
        case Output():
            features = towers.local_slice(xs[0]) if info.replicated_in else towers.concat(xs)
            weights, biases = get_layer(params, info.name)
            return [add_biases(towers.sum(product(features, weights)), biases)]
        case Gather():
            return xs if info.replicated_in else towers.gather(xs)
        case Split():
            return towers.split(towers.local_slice(xs[0])) if info.replicated_in else xs
        case Dropout() as spec:
            return _dropout(spec, info, xs, key, towers)
        case BatchNorm() as spec:
            return _batch_norm(spec, info, params, xs, towers)
        case spec if info.replicated_in:  # the same on every tower: compute it once
            return [_run_parameter_free(spec, xs[0])] * towers.count
        case spec:
            return [_run_parameter_free(spec, x) for x in xs]


def _run_parameter_free(
    spec: Relu | ResponseNorm | SpatialNorm | MaxPool | Flatten, x: jax.Array
) -> jax.Array:
    """Run a layer that has no parameters and needs no other tower."""
    match spec:
        case Relu():
            return relu(x)
        case ResponseNorm(n, k, alpha, beta, divide_alpha_by_n):
            return local_response_norm(x, n, k, alpha, beta, divide_alpha_by_n)
        case SpatialNorm(size, k, alpha, beta):
            return spatial_norm(x, size, k, alpha, beta)
        case MaxPool():
            return max_pool(spec, x)
        case Flatten():
            return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _dropout(
    spec: Dropout, info: LayerInfo, xs: list[jax.Array], key: jax.Array | None, towers: Towers
) -> list[jax.Array]:
    if key is None:
        return xs if spec.inverted else [0.5 * x for x in xs]
    mask = dropout_mask(key, info.name, towers.examples(xs[0].shape[0]), info.output_shape)
    masks = [mask] * towers.count
    if not info.replicated_in:
        masks = towers.split(towers.local_slice(mask))
    scale = 2.0 if spec.inverted else 1.0
    return [jnp.where(m, scale * x, 0) for m, x in zip(masks, xs, strict=True)]


def _batch_norm(
    spec: BatchNorm, info: LayerInfo, params: Params, xs: list[jax.Array], towers: Towers
) -> list[jax.Array]:
    layer, stats = get_layer(params, info.name), get_batch_stats(params, str(info.stats_name))
    if info.replicated_in:
        return [batch_norm(layer, stats, xs[0], spec.epsilon)] * towers.count
    parts = zip(towers.split_params(layer), towers.split_params(stats), xs, strict=True)
    return [batch_norm(*part, spec.epsilon) for part in parts]


def layer_batch_stats(info: LayerInfo, xs: list[jax.Array], towers: Towers) -> BatchStats:
    """Return the mean and variance of each input map that this device holds, over the batch."""
    mean = functools.partial(towers.mean, replicated=info.replicated_in)
    return batch_stats(xs[0] if info.replicated_in else towers.concat(xs), mean)


def local_output(info: LayerInfo, xs: list[jax.Array], towers: Towers) -> jax.Array:
    """Return this device's slice of a layer's output, which `towers.run_sharded` puts together."""
    if isinstance(info.spec, Output):
        return xs[0]
    return towers.local_slice(xs[0]) if info.replicated_out else towers.concat(xs)
