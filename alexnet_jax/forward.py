"""The forward pass of several layers on all devices, and of one on the towers of a device.

Activations travel as a list with one array per tower of this device, see `towers.Towers`.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax.architecture import Architecture, LayerInfo
from alexnet_jax.dense_layers import weights_all_features
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    LayerSpec,
    LocallyConnected,
    MaxPool,
    MeanPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Split,
    Tanh,
)
from alexnet_jax.mesh import MeshAxes
from alexnet_jax.ops.gradients import varies_over_devices
from alexnet_jax.ops.layers import add_biases, conv, dense, dropout_mask, product, relu
from alexnet_jax.ops.normalization import (
    batch_norm,
    batch_stats,
    local_response_norm,
    spatial_norm,
)
from alexnet_jax.ops.pooling import max_pool
from alexnet_jax.ops.windows import locally_connected, mean_pool
from alexnet_jax.params import BatchStats, Layer, Params, get_batch_stats, get_layer
from alexnet_jax.shardings import shared_on
from alexnet_jax.towers import Towers, run_sharded


def run_layers(
    params: Params,
    inputs: jax.Array,
    dropout_key: jax.Array | None,
    *,
    infos: tuple[LayerInfo, ...],
    names: tuple[str, ...],
    net: Architecture,
    axes: MeshAxes | None,
) -> tuple[dict[str, jax.Array], Params]:
    """Run the layers `infos` one after the other.

    Returns:
      The outputs of those in `names` and, given a key, the statistics of this batch.
    """
    shared = shared_on(axes, net)
    infos = tuple(shared.get(info.name, info) for info in infos)

    def forward(params: Params, inputs: jax.Array, key: jax.Array | None, towers: Towers):
        outputs: dict[str, jax.Array] = {}
        stats: Params = {}
        is_whole = not infos or infos[0].replicated_in  # on every tower, as images are
        xs = [inputs] * towers.count if is_whole else towers.split(towers.local_slice(inputs))
        for info in infos:
            if info.name in shared and towers.dense_axis:
                xs, towers = towers.share_dense(xs, info)
            if info.stats_name:  # batch normalization, which computes in the dtype of its input
                if key is not None:
                    stats[info.stats_name] = _layer_batch_stats(info, xs, towers)
            elif info.name in params and (dtype := params[info.name][0].dtype) != xs[0].dtype:
                xs = [x.astype(dtype) for x in xs]
            xs = run_layer(info, params | stats, xs, key, towers)
            if info.name in names:
                outputs[info.name] = _local_output(info, xs, towers)
        return outputs, stats

    return run_sharded(
        forward, params, inputs, dropout_key, names=names, architecture=net, axes=axes
    )


# One program where the caller compiles none: operation by operation, a first call takes five times
# as long, and each gradient ten times. The program of a caller who compiles stays as it is.
run_layers_compiled = jax.jit(
    run_layers, static_argnames=("infos", "names", "net", "axes"), inline=True
)


def run_layer(
    info: LayerInfo, params: Params, xs: list[jax.Array], key: jax.Array | None, towers: Towers
) -> list[jax.Array]:
    """Run one layer on the inputs of each local tower; return the outputs of each.

    `key` draws the dropout masks of a training step; None evaluates.
    """
    if info.spec.has_apply:
        return _run_on_each_tower(info, params, xs, towers)
    match info.spec:
        case Dense() if weights_all_features(info):
            # One product for all local towers: splitting the weights would copy them.
            x, *_ = xs if info.replicated_in else towers.gather(xs)
            return towers.split(run_operation(info.spec, get_layer(params, info.name), x))
        case Output():
            features = towers.local_slice(xs[0]) if info.replicated_in else towers.concat(xs)
            weights, biases = get_layer(params, info.name)
            return [add_biases(towers.sum(product(features, weights)), biases)]
        case Conv() as spec if _shares_input(info, params, xs):
            layer = get_layer(params, info.name)
            # One convolution for all local towers packs the patches of their input once, on a CPU.
            return lax.platform_dependent(
                xs[0],
                cpu=lambda x: towers.split(run_operation(spec, layer, x)),
                default=lambda x: [
                    run_operation(spec, part, x) for part in towers.split_params(layer)
                ],
            )
        case Gather():
            return xs if info.replicated_in else towers.gather(xs)
        case Split():
            return towers.split(towers.local_slice(xs[0])) if info.replicated_in else xs
        case Dropout() as spec:
            return _dropout(spec, info, xs, key, towers)
        case BatchNorm() as spec:
            return _batch_norm(spec, info, params, xs, towers)
        case _:
            return _run_on_each_tower(info, params, xs, towers)


def _run_on_each_tower(
    info: LayerInfo, params: Params, xs: list[jax.Array], towers: Towers
) -> list[jax.Array]:
    """Run a layer that needs no other tower."""
    layer = get_layer(params, info.name) if info.spec.has_params else None
    if info.replicated_in and info.replicated_out:  # the same on every tower: compute it once
        return [_run_on_tower(info, layer, xs[0])] * towers.count
    layers = [None] * towers.count if layer is None else towers.split_params(layer)
    return [_run_on_tower(info, layer, x) for layer, x in zip(layers, xs, strict=True)]


def _run_on_tower(info: LayerInfo, layer: Layer | None, x: jax.Array) -> jax.Array:
    """Run a layer on the maps of one tower, or on those of all towers."""
    if info.spec.has_apply:
        return _run_own(info.spec, info, layer, x)
    return run_operation(info.spec, layer, x)


# JAX traces and differentiates it once for all towers, and for all layers of equal type and shape.
@functools.partial(jax.jit, static_argnames="spec", inline=True)
def run_operation(spec: LayerSpec, layer: Layer | None, x: jax.Array) -> jax.Array:
    """Run a layer of one of the library's types."""
    match spec, layer:
        case Conv(), Layer():
            return conv(spec, layer, x)
        case LocallyConnected(), Layer():
            return locally_connected(spec, layer, x)
        case Dense(), Layer():
            return dense(layer, x)
        case Relu(), _:
            return relu(x)
        case Tanh(), _:
            return jnp.tanh(x)
        case ResponseNorm(n, k, alpha, beta, divide_alpha_by_n), _:
            return local_response_norm(x, n, k, alpha, beta, divide_alpha_by_n)
        case SpatialNorm(size, k, alpha, beta), _:
            return spatial_norm(x, size, k, alpha, beta)
        case MaxPool(), _:
            return max_pool(spec, x)
        case MeanPool(), _:
            return mean_pool(spec, x)
        case Flatten(), _:
            return x.reshape(x.shape[0], math.prod(x.shape[1:]))
    raise AssertionError(spec)  # `Architecture` has checked that the others have `apply`


def _run_own(spec: LayerSpec, info: LayerInfo, layer: Layer | None, x: jax.Array) -> jax.Array:
    """Run a layer type of a user's own. Raises ValueError if its shape is not what it said."""
    out = spec.apply(layer, x)
    *sides, maps = info.output_shape
    if not info.replicated_out:
        whole, part = info.input_shape[-1], x.shape[-1]
        if info.weight_shape and layer is not None:
            whole, part = info.weight_shape[-1], layer.weights.shape[-1]
        maps = maps * part // whole
    expected = (x.shape[0], *sides, maps)
    if jnp.shape(out) != expected:
        raise ValueError(
            f"{info.name}: apply returned {list(jnp.shape(out))}, "
            f"and by its output_shape it should be {list(expected)}"
        )
    return out


def _shares_input(info: LayerInfo, params: Params, xs: list[jax.Array]) -> bool:
    """Whether all towers convolve the same maps, and lie on one device.

    Within `shard_map` XLA's convolutions on a CPU are ten times slower once they have been in a
    choice of platform (docs/performance.md).
    """
    shared = info.replicated_in and not info.replicated_out
    return shared and not varies_over_devices(xs[0], *get_layer(params, info.name))


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


def _layer_batch_stats(info: LayerInfo, xs: list[jax.Array], towers: Towers) -> BatchStats:
    """Return the mean and variance of each input map that this device holds, over the batch."""
    mean = functools.partial(towers.mean, replicated=info.replicated_in)
    return batch_stats(xs[0] if info.replicated_in else towers.concat(xs), mean)


def _local_output(info: LayerInfo, xs: list[jax.Array], towers: Towers) -> jax.Array:
    """Return this device's slice of a layer's output, which `towers.run_sharded` puts together."""
    if isinstance(info.spec, Output):
        return xs[0]
    return towers.local_slice(xs[0]) if info.replicated_out else towers.concat(xs)
