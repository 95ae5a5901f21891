"""The operations of the layers, pure functions of one tower's arrays. Nothing here knows devices.

Axes, everywhere: images and maps are [batch, height, width, maps], features are [batch, features];
kernels are [height, width, maps_in, maps_out], dense weights [features_in, features_out].
"""

import functools
import zlib

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from alexnet_jax.layer_specs import Conv
from alexnet_jax.ops import convolution, winograd
from alexnet_jax.ops.gradients import (
    Tangent,
    on_same_devices,
    varies_over_devices,
    with_gradient,
)
from alexnet_jax.params import Layer

# Most rows that a CPU multiplies with one block of weights after the other, and the features of a
# block (measured, docs/performance.md).
_FEW_ROWS = 32
_BLOCK = 64

_BY_KEY_ALONE = "threefry2x32"
"""Random numbers that `vmap` over keys draws as one key draws them; those of "rbg" are others."""


def conv(spec: Conv, params: Layer, maps: jax.Array) -> jax.Array:
    """Convolve [b, h, w, maps_in] with the layer's kernels and add the biases (§3.5)."""
    stride, padding = spec.stride, spec.padding
    direct = functools.partial(convolution.convolve, stride=stride, rows=padding, columns=padding)
    on_cpu = None
    if on_same_devices(maps, params.weights):
        if (stride, padding) == (1, (1, 1)) and winograd.is_faster(maps, params.weights):
            on_cpu = winograd.convolve
        elif not varies_over_devices(maps):  # a choice of platform slows them down there
            on_cpu = functools.partial(convolution.convolve_on_cpu, stride=stride, padding=padding)
    convolve = direct
    if on_cpu:
        convolve = functools.partial(lax.platform_dependent, cpu=on_cpu, default=direct)
    return add_biases(convolve(maps, params.weights), params.biases)


def dense(params: Layer, features: jax.Array) -> jax.Array:
    """Multiply [b, features_in] with the layer's weights and add the biases."""
    return add_biases(product(features, params.weights), params.biases)


def add_biases(products: jax.Array, biases: jax.Array) -> jax.Array:
    """Add [outputs] to [..., outputs], with the gradient of the biases in float32 or wider.

    That gradient is a sum over the batch and all positions. A bfloat16 sum stops growing after a
    few hundred equal terms. The addition itself is in the type of the products: cuDNN makes it a
    part of a convolution only then.
    """
    *sizes, _ = products.shape

    def repeat(biases: jax.Array) -> jax.Array:
        return jnp.broadcast_to(biases.astype(products.dtype), products.shape)

    def gradient(biases: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
        total = at_least_float32(cotangent).sum(tuple(range(len(sizes))))
        return (total.astype(biases.dtype),)

    return products + with_gradient(repeat, gradient)(biases)


def at_least_float32(x: jax.Array) -> jax.Array:
    """Widen to float32 for sums: bfloat16 keeps two or three digits."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


@jax.custom_jvp
def product(features: jax.Array, weights: jax.Array) -> jax.Array:
    """Multiply [b, features_in] with [features_in, features_out]."""
    if varies_over_devices(features, weights):  # a choice of platform slows it down there
        return features @ weights
    return lax.platform_dependent(features, weights, cpu=_product_on_cpu, default=jnp.matmul)


def _product_on_cpu(features: jax.Array, weights: jax.Array) -> jax.Array:
    """Return F W, of few rows by blocks of features, of others from F^T (docs/performance.md)."""
    rows, count = features.shape
    few = isinstance(rows, int) and rows <= _FEW_ROWS  # the batch of an export is a symbol
    in_blocks = count % _BLOCK == 0 and weights.dtype == jnp.float32
    if few and in_blocks and on_same_devices(features, weights):
        # Both threads read the weights front to back, as fast as the memory gives them.
        blocks = features.reshape(rows, count // _BLOCK, _BLOCK).swapaxes(0, 1)
        return jnp.matmul(blocks, weights.reshape(-1, _BLOCK, weights.shape[1])).sum(0)
    # XLA multiplies a first operand that lies in columns itself. The barrier keeps it from turning
    # it back. Others it hands to the library YNNPACK, which is slower at this.
    columns = lax.optimization_barrier(features.T)
    return lax.dot_general(columns, weights, (((0,), (0,)), ((), ())))


@functools.partial(product.defjvp, symbolic_zeros=True)
def _product_along(
    operands: tuple[jax.Array, jax.Array], tangents: tuple[Tangent, Tangent]
) -> tuple[jax.Array, jax.Array]:
    """Differentiate along a direction. Reverse mode transposes each line, from the last up."""
    (features, weights), (d_features, d_weights) = operands, tangents
    out = product(features, weights)
    terms = []
    if not isinstance(d_weights, SymbolicZero):
        by_weights = features @ d_weights
        if not isinstance(d_features, SymbolicZero):
            # Transposed, in this order nothing reads the weights after their gradient, and the
            # optimizer can overwrite them. XLA's own order may need a second copy of them.
            d_features, by_weights = lax.optimization_barrier((d_features, by_weights))
        terms.append(by_weights)
    if not isinstance(d_features, SymbolicZero):
        terms.append(lax.platform_dependent(d_features, weights, cpu=_times, default=jnp.matmul))
    return out, sum(terms[1:], terms[0]) if terms else jnp.zeros_like(out)


def _times(features: jax.Array, weights: jax.Array) -> jax.Array:
    """Return F W as (W^T F^T)^T. Its transpose for a cotangent C is then (W C^T)^T.

    That transposes the small matrix, in a quarter of the time of C W^T on a CPU. The barriers keep
    XLA from folding the transpositions back into the product.
    """
    transposed = lax.optimization_barrier(features.T)
    return lax.optimization_barrier(weights.T @ transposed).T


@jax.custom_jvp
def relu(x: jax.Array) -> jax.Array:
    """f(x) = max(0, x) (§3.1).

    The gradient takes the sign from the output, which the next layer keeps anyway, so that the
    input need not be kept.
    """
    return jnp.maximum(x, 0)


@relu.defjvp
def _relu_along(
    operands: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    # Without the barrier XLA compares the input instead, keeps both on a CPU and on a GPU, and
    # on a GPU cannot make the ReLU a part of the convolution.
    out = lax.platform_dependent(
        relu(*operands), tpu=lambda out: out, default=lax.optimization_barrier
    )
    return out, jnp.where(out > 0, *tangents, 0)


def dropout_mask(
    key: jax.Array, name: str, examples: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
    """Draw the activations to keep (§4.2): True with probability 1/2, [b, *shape] booleans.

    Each example draws from (key, layer name, its index in the global batch) alone, so the mask
    does not depend on the number of devices that share the batch or the towers.
    """
    if str(jax.random.key_impl(key)) != _BY_KEY_ALONE:
        key = jax.random.wrap_key_data(jax.random.bits(key, (2,), "uint32"), impl=_BY_KEY_ALONE)
    key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    bits = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i), shape, "uint8"))(examples)
    return bits < 128
