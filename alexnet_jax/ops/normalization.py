"""Local response normalization (§3.3), its gradient written by hand; the spatial and batch ones."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax.ops.layers import at_least_float32
from alexnet_jax.params import BatchStats, Layer


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4, 5))
def local_response_norm(
    maps: jax.Array,
    n: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    divide_alpha_by_n: bool = False,
) -> jax.Array:
    """Divide each activity by a function of the activities of its n neighboring maps (§3.3).

        b_i = a_i / (k + alpha * sum_j a_j^2) ^ beta

    with j over the n maps centered on i, at the same pixel; maps beyond the ends count as zero.

    The paper prints alpha undivided, and so compute TensorFlow (`depth_radius` = n // 2) and
    Theano-AlexNet. With `divide_alpha_by_n` alpha / n takes its place, also where the window is
    cut off at an end: so do the original program (`layer.py` of cuda-convnet, `scale /= size`),
    Caffe, PyTorch and ONNX. Those four have k = 1 unless told otherwise; the original says 2.

    Reverse-mode differentiation only (`jax.grad`, `jax.vjp`): the gradient is written by hand.

    Args:
      maps: [..., maps] of one tower, floating.
      n: the window, odd.
      k: added to the sum, above 0.
      alpha: the weight of the squares.
      beta: the power.
      divide_alpha_by_n: which of the two conventions `alpha` follows.

    Returns:
      An array like `maps`; whatever its type, sums and powers are taken in float32 at least.
    """
    wide = at_least_float32(maps)
    scale = _power(_denominator(wide, n, k, alpha, divide_alpha_by_n), beta)
    return (wide * scale).astype(maps.dtype)


def _forward(maps, n, k, alpha, beta, divide_alpha_by_n):
    return local_response_norm(maps, n, k, alpha, beta, divide_alpha_by_n), maps


def _backward(n, k, alpha, beta, divide_alpha_by_n, maps, cotangent):
    """Differentiate, with d = k + alpha * sum_j a_j^2 and g the gradient of b.

        da_i = g_i d_i^-beta - 2 alpha beta a_i sum_j g_j a_j d_j^(-beta - 1)

    d is computed anew: keeping it would cost as much memory as the maps themselves. On a CPU
    a barrier keeps XLA from finding that the forward pass has it.
    """
    maps, cotangent = lax.platform_dependent(
        maps, cotangent, cpu=lambda *xs: lax.optimization_barrier(xs), default=lambda *xs: xs
    )
    wide, g = at_least_float32(maps), at_least_float32(cotangent)
    d = _denominator(wide, n, k, alpha, divide_alpha_by_n)
    scale = _power(d, beta)
    coupling = _window_sum(g * wide * scale / d, n)
    weight = 2 * beta * _per_map(alpha, n, divide_alpha_by_n)
    return ((g * scale - weight * wide * coupling).astype(maps.dtype),)


local_response_norm.defvjp(_forward, _backward)


def spatial_norm(
    maps: jax.Array, size: int = 5, k: float = 1.0, alpha: float = 1e-3, beta: float = 0.75
) -> jax.Array:
    """Divide each activity by a function of its neighbors in the same map.

        b = a / (k + alpha / size^2 * sum a^2) ^ beta

    with the sum over the size x size pixels centered on it; pixels beyond the edges count as zero.
    The layer "rnorm" of the original program, which divides alpha by size^2 when it reads it.

    Args:
      maps: [batch, height, width, maps], floating.
      size: of the window, odd.
      k: added to the sum, above 0.
      alpha: the weight of the mean square.
      beta: the power.

    Returns:
      An array like `maps`; whatever its type, sums and powers are taken in float32 at least.
    """
    wide = at_least_float32(maps)
    rows = _sum_of_shifts(wide * wide, size, axis=1)
    d = k + alpha / size**2 * _sum_of_shifts(rows, size, axis=2)
    return (wide * _power(d, beta)).astype(maps.dtype)


def _denominator(maps: jax.Array, n: int, k: float, alpha: float, divide: bool) -> jax.Array:
    return k + _per_map(alpha, n, divide) * _window_sum(maps * maps, n)


def _per_map(alpha: float, n: int, divide: bool) -> float:
    return alpha / n if divide else alpha


def _power(d: jax.Array, beta: float) -> jax.Array:
    """D ^ -beta. For the paper's 0.75 by square roots, a third of the time of a power on a CPU."""
    return lax.rsqrt(d * jnp.sqrt(d)) if beta == 0.75 else d**-beta


def _window_sum(values: jax.Array, n: int) -> jax.Array:
    """The sum over the n maps centered on each."""
    shifts, band = functools.partial(_sum_of_shifts, n=n), functools.partial(_band_product, n=n)
    return lax.platform_dependent(values, tpu=band, default=shifts)


def _band_product(values: jax.Array, n: int) -> jax.Array:
    """A product with a band of ones, which a TPU has a unit for; shifts along maps it has not."""
    maps = jnp.arange(values.shape[-1])
    band = (abs(maps[:, None] - maps) <= n // 2).astype(values.dtype)
    return jnp.matmul(values, band, precision="highest")


def _sum_of_shifts(values: jax.Array, n: int, axis: int = -1) -> jax.Array:
    """The sum of n shifted copies, which compile to one loop."""
    axis, count = axis % values.ndim, values.shape[axis]
    padding = [(n // 2, n // 2) if i == axis else (0, 0) for i in range(values.ndim)]
    padded = jnp.pad(values, padding)
    first = lax.slice_in_dim(padded, 0, count, axis=axis)
    return sum((lax.slice_in_dim(padded, i, i + count, axis=axis) for i in range(1, n)), first)


def batch_norm(params: Layer, moments: BatchStats, x: jax.Array, epsilon: float) -> jax.Array:
    """Bring each map of [b, ..., maps] to the layer's scale and offset, by the moments given.

    weight * (x - mean) / sqrt(variance + epsilon) + bias
    """
    scale = params.weights * lax.rsqrt(moments.variances + epsilon)
    return ((at_least_float32(x) - moments.means) * scale + params.biases).astype(x.dtype)


def batch_stats(x: jax.Array, mean: Callable[[jax.Array], jax.Array]) -> BatchStats:
    """Return mean and variance of each map of [b, ..., maps], in float32 at least.

    `mean` takes the mean of what all devices have, each of its own share of the batch.
    """
    x, axes = at_least_float32(x), tuple(range(x.ndim - 1))
    means = mean(x.mean(axes))
    return BatchStats(means, mean(jnp.square(x - means).mean(axes)))
