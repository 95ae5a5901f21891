"""What each layer computes, as pure functions of one tower's arrays. Nothing here knows devices.

Axes, everywhere: images and maps are [batch, height, width, maps], features are [batch, features];
kernels are [height, width, maps_in, maps_out], dense weights [features_in, features_out].
"""

import functools
import zlib

import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax.layer_specs import Conv, MaxPool
from alexnet_jax.ops import winograd
from alexnet_jax.params import Layer


def conv(layer: Conv, params: Layer, maps: jax.Array) -> jax.Array:
    """Convolve [b, h, w, maps_in] with the layer's kernels and add the biases (§3.5)."""
    plain = functools.partial(
        lax.conv_general_dilated,
        window_strides=(layer.stride, layer.stride),
        padding=[layer.padding] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    convolve = plain
    if (layer.stride, layer.padding) == (1, (1, 1)) and winograd.pays(maps, params.weights):
        convolve = functools.partial(lax.platform_dependent, cpu=winograd.convolve, default=plain)
    return add_biases(convolve(maps, params.weights), params.biases)


def dense(params: Layer, features: jax.Array) -> jax.Array:
    """Multiply [b, features_in] with the layer's weights and add the biases."""
    return add_biases(product(features, params.weights), params.biases)


def add_biases(products: jax.Array, biases: jax.Array) -> jax.Array:
    """Add [outputs] to [..., outputs]; in float32 at least, for the gradient's sake.

    That of the biases is a sum over the whole batch and all positions, which bfloat16 stops
    counting at some thousand.
    """
    out = at_least_float32(products) + at_least_float32(biases)
    return out.astype(products.dtype)


def at_least_float32(x: jax.Array) -> jax.Array:
    """The same in a type that sums can be taken in: bfloat16 keeps two or three digits."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


@jax.custom_vjp
def product(features: jax.Array, weights: jax.Array) -> jax.Array:
    """Multiply [b, features_in] with [features_in, features_out]."""
    return features @ weights


def _product_backward(operands, cotangent):
    features, weights = operands
    d_features = lax.platform_dependent(
        cotangent, weights, cpu=_times_transposed, default=lambda c, w: c @ w.T
    )
    # In this order, nothing needs the weights any more when their gradient is there, and the
    # optimizer can overwrite them. XLA's own order may need a second copy of them.
    d_features, cotangent = lax.optimization_barrier((d_features, cotangent))
    return d_features, features.T @ cotangent


def _times_transposed(cotangent: jax.Array, weights: jax.Array) -> jax.Array:
    """C W^T as (W C^T)^T, a quarter of the time on a CPU: the small matrix is turned over.

    The barriers keep XLA from folding the transpositions back into the product.
    """
    turned = lax.optimization_barrier(cotangent.T)
    return lax.optimization_barrier(weights @ turned).T


product.defvjp(
    lambda features, weights: (features @ weights, (features, weights)), _product_backward
)


@jax.custom_vjp
def relu(x: jax.Array) -> jax.Array:
    """f(x) = max(0, x) (§3.1).

    The gradient asks the output for its sign, which the next layer keeps anyway, so that what
    went in need not be kept for it.
    """
    return jnp.maximum(x, 0)


def _relu_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    # On a CPU, XLA would keep what went in, and compute the output from it wherever it is used.
    out = lax.platform_dependent(relu(x), cpu=lax.optimization_barrier, default=lambda out: out)
    return out, out


relu.defvjp(_relu_forward, lambda out, cotangent: (jnp.where(out > 0, cotangent, 0),))


def max_pool(layer: MaxPool, maps: jax.Array) -> jax.Array:
    """Take the largest value of each window, [b, h, w, maps] -> [b, h', w', maps] (§3.4).

    Where several values of a window are the largest, who receives the gradient is not defined.
    """
    window = functools.partial(_max_of_windows, layer)
    return lax.platform_dependent(
        maps, cpu=functools.partial(_max_of_slices, layer), default=window
    )


def _max_of_windows(layer: MaxPool, maps: jax.Array) -> jax.Array:
    window = (1, layer.size, layer.size, 1)
    strides = (1, layer.stride, layer.stride, 1)
    padding = ((0, 0), layer.padding, layer.padding, (0, 0))
    return lax.reduce_window(maps, -jnp.inf, lax.max, window, strides, padding)


def _max_of_slices(layer: MaxPool, maps: jax.Array) -> jax.Array:
    """The same as maxima of strided slices, whose gradient is several times faster on a CPU."""
    if any(layer.padding):
        padding = ((0, 0), layer.padding, layer.padding, (0, 0))
        maps = jnp.pad(maps, padding, constant_values=-jnp.inf)
    for axis in (2, 1):
        end = (maps.shape[axis] - layer.size) // layer.stride * layer.stride + 1
        slices = [
            lax.slice_in_dim(maps, start, start + end, layer.stride, axis)
            for start in range(layer.size)
        ]
        maps = functools.reduce(jnp.maximum, slices)
    return maps


def dropout_mask(
    key: jax.Array, name: str, examples: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
    """Draw which activities stay (§4.2): True with probability 1/2, [b, *shape] booleans.

    Each example draws from (key, layer name, its index in the global batch) alone, so the mask
    does not depend on how many devices share the batch or the towers.
    """
    key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    bits = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i), shape, "uint8"))(examples)
    return bits < 128
