"""One layer in its place in the net: what each tower sees, to what it makes of it.

Activities travel as a list with one array for each tower held here, see `towers.Towers`.
"""

import functools
import math
from typing import cast

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
from alexnet_jax.params import BatchStats, Params
from alexnet_jax.towers import Towers


def run_layer(
    info: LayerInfo, params: Params, xs: list[jax.Array], key: jax.Array | None, here: Towers
) -> list[jax.Array]:
    """Run one layer: what each tower held here sees, to what each of them makes of it."""
    match info.spec:
        case Conv() as layer:
            kernels = here.cut(params[info.name])
            return [conv(layer, part, x) for part, x in zip(kernels, xs, strict=True)]
        case Dense() if info.replicated_in:
            # One product for all towers held here: to cut the weights would copy them.
            return here.split(dense(params[info.name], xs[0]))
        case Dense():
            return [dense(p, x) for p, x in zip(here.cut(params[info.name]), xs, strict=True)]
        case Output():
            features = here.own(xs[0]) if info.replicated_in else here.join(xs)
            weights, biases = params[info.name]
            return [add_biases(here.sum(product(features, weights)), biases)]
        case Gather():
            return xs if info.replicated_in else here.gather(xs)
        case Split():
            return here.split(here.own(xs[0])) if info.replicated_in else xs
        case Dropout() as layer:
            return _dropout(layer, info, xs, key, here)
        case BatchNorm() as layer:
            return _batch_norm(layer, info, params, xs, here)
        case word if info.replicated_in:  # the same for all towers: once is enough
            return [_alone(word, xs[0])] * here.held
        case word:
            return [_alone(word, x) for x in xs]


def _alone(word: Relu | ResponseNorm | SpatialNorm | MaxPool | Flatten, x: jax.Array) -> jax.Array:
    """Run a layer that has no parameters and needs no other tower."""
    match word:
        case Relu():
            return relu(x)
        case ResponseNorm(n, k, alpha, beta, divide):
            return local_response_norm(x, n, k, alpha, beta, divide)
        case SpatialNorm(size, k, alpha, beta):
            return spatial_norm(x, size, k, alpha, beta)
        case MaxPool() as layer:
            return max_pool(layer, x)
        case Flatten():
            return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _dropout(
    layer: Dropout, info: LayerInfo, xs: list[jax.Array], key: jax.Array | None, here: Towers
) -> list[jax.Array]:
    if key is None:
        return xs if layer.inverted else [0.5 * x for x in xs]
    mask = dropout_mask(key, info.name, here.examples(xs[0].shape[0]), info.output_shape)
    masks = [mask] * here.held if info.replicated_in else here.split(here.own(mask))
    scale = 2.0 if layer.inverted else 1.0
    return [jnp.where(m, scale * x, 0) for m, x in zip(masks, xs, strict=True)]


def _batch_norm(
    layer: BatchNorm, info: LayerInfo, params: Params, xs: list[jax.Array], here: Towers
) -> list[jax.Array]:
    scaling, moments = params[info.name], cast(BatchStats, params[str(info.running)])
    if info.replicated_in:
        return [batch_norm(scaling, moments, xs[0], layer.epsilon)] * here.held
    parts = zip(here.cut(scaling), here.cut(moments), xs, strict=True)
    return [batch_norm(*part, layer.epsilon) for part in parts]


def layer_batch_stats(info: LayerInfo, xs: list[jax.Array], here: Towers) -> BatchStats:
    """This device's share of the mean and variance of each map that comes in."""
    mean = functools.partial(here.mean, whole=info.replicated_in)
    return batch_stats(xs[0] if info.replicated_in else here.join(xs), mean)


def whole(info: LayerInfo, xs: list[jax.Array], here: Towers) -> jax.Array:
    """This device's share of a layer's whole array, for `towers.run` to put together."""
    if isinstance(info.spec, Output):
        return xs[0]
    return here.own(xs[0]) if info.replicated_out else here.join(xs)
