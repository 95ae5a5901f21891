"""Local response normalization (§3.3) with a gradient written by hand; spatial and batch norms."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax.ops.gradients import with_gradient
from alexnet_jax.ops.layers import at_least_float32
from alexnet_jax.ops.padding import pad_axis
from alexnet_jax.params import BatchStats, Layer


def local_response_norm(
    maps: jax.Array,
    n: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    divide_alpha_by_n: bool = False,
) -> jax.Array:
    """Divide each activation by a function of those of the n neighboring maps (§3.3).

        b_i = a_i / (k + alpha * sum_j a_j^2) ^ beta

    with j over the n maps centered on i, at the same pixel; maps beyond the ends count as zero.

    The paper prints alpha undivided; TensorFlow (`depth_radius` = n // 2) and Theano-AlexNet
    compute the same. `divide_alpha_by_n` replaces alpha by alpha / n, also where the window is cut
    off at an end, as the original program (`layer.py` of cuda-convnet, `scale /= size`), Caffe,
    PyTorch and ONNX do. These four default to k = 1; the original sets 2.

    Args:
      maps: [..., maps] of one tower, floating.
      n: the window, odd.
      k: added to the sum, above 0.
      alpha: the weight of the squares.
      beta: the power.
      divide_alpha_by_n: whether `alpha` is the weight of the mean square, or of the sum.

    Returns:
      An array like `maps`. Sums and powers are taken in float32 or wider.
    """
    constants = {"n": n, "k": k, "alpha": alpha / n if divide_alpha_by_n else alpha, "beta": beta}
    normalize = functools.partial(_normalize, **constants)
    return with_gradient(normalize, functools.partial(_gradient, **constants))(maps)


def _normalize(maps: jax.Array, n: int, k: float, alpha: float, beta: float) -> jax.Array:
    wide = at_least_float32(maps)
    return (wide * _power(_denominator(wide, n, k, alpha), beta)).astype(maps.dtype)


def _gradient(
    maps: jax.Array, cotangent: jax.Array, n: int, k: float, alpha: float, beta: float
) -> tuple[jax.Array]:
    """Differentiate, with d = k + alpha * sum_j a_j^2 and g the gradient of b.

        da_i = g_i d_i^-beta - 2 alpha beta a_i sum_j g_j a_j d_j^(-beta - 1)

    d is computed again: keeping it would take as much memory as the maps. A barrier stops XLA from
    reusing the one of the forward pass: on a CPU around both operands, on a GPU around the maps
    alone, where the cotangent is computed within the kernels that read it.
    """

    def compute(maps: jax.Array, cotangent: jax.Array) -> jax.Array:
        wide, g = at_least_float32(maps), at_least_float32(cotangent)
        d = _denominator(wide, n, k, alpha)
        scale = _power(d, beta)
        coupling = _window_sum(g * wide * scale / d, n)
        return (g * scale - 2 * alpha * beta * wide * coupling).astype(maps.dtype)

    again = jax.checkpoint(compute, prevent_cse=False)

    def on_gpu(maps: jax.Array, cotangent: jax.Array) -> jax.Array:
        return again(lax.optimization_barrier(maps), cotangent)

    cpu = jax.checkpoint(compute)
    return (lax.platform_dependent(maps, cotangent, cpu=cpu, tpu=again, default=on_gpu),)


def spatial_norm(
    maps: jax.Array, size: int = 5, k: float = 1.0, alpha: float = 1e-3, beta: float = 0.75
) -> jax.Array:
    """Divide each activation by a function of its neighbors in the same map.

        b = a / (k + alpha / size^2 * sum a^2) ^ beta

    with the sum over the size x size pixels centered on it; pixels beyond the edges count as zero.
    It is the layer "rnorm" of the original program, which divides alpha by size^2 on reading.

    Args:
      maps: [batch, height, width, maps], floating.
      size: of the window, odd.
      k: added to the sum, above 0.
      alpha: the weight of the mean square.
      beta: the power.

    Returns:
      An array like `maps`. Sums and powers are taken in float32 or wider.
    """
    wide = at_least_float32(maps)
    rows = _sum_of_shifts(wide * wide, size, axis=1)
    d = k + alpha / size**2 * _sum_of_shifts(rows, size, axis=2)
    return (wide * _power(d, beta)).astype(maps.dtype)


def _denominator(maps: jax.Array, n: int, k: float, alpha: float) -> jax.Array:
    return k + alpha * _window_sum(maps * maps, n)


def _power(d: jax.Array, beta: float) -> jax.Array:
    """Return d^-beta; for 0.75 by square roots, in a third of the time of a power on a CPU."""
    return lax.rsqrt(d * jnp.sqrt(d)) if beta == 0.75 else d**-beta


def _window_sum(values: jax.Array, n: int) -> jax.Array:
    """Sum over the n maps centered on each map."""
    shifts, band = functools.partial(_sum_of_shifts, n=n), functools.partial(_band_product, n=n)
    return lax.platform_dependent(values, tpu=band, default=shifts)


def _band_product(values: jax.Array, n: int) -> jax.Array:
    """Multiply by a band of ones: TPUs have a unit for it, and none for shifts along maps."""
    maps = jnp.arange(values.shape[-1])
    band = (abs(maps[:, None] - maps[None]) <= n // 2).astype(values.dtype)
    return jnp.matmul(values, band, precision="highest")


def _sum_of_shifts(values: jax.Array, n: int, axis: int = -1) -> jax.Array:
    """Sum n shifted copies, which compile to one loop."""
    axis, count = axis % values.ndim, values.shape[axis]
    padded = pad_axis(values, axis, n // 2, n // 2)
    first = lax.slice_in_dim(padded, 0, count, axis=axis)
    return sum((lax.slice_in_dim(padded, i, i + count, axis=axis) for i in range(1, n)), first)


def batch_norm(params: Layer, stats: BatchStats, x: jax.Array, epsilon: float) -> jax.Array:
    """Normalize each map of [b, ..., maps] by the statistics, then scale and shift it.

    weight * (x - mean) / sqrt(variance + epsilon) + bias
    """
    scale = params.weights * lax.rsqrt(stats.variances + epsilon)
    means, scale, biases = (
        lax.broadcast_to_rank(array, x.ndim) for array in (stats.means, scale, params.biases)
    )
    return ((at_least_float32(x) - means) * scale + biases).astype(x.dtype)


def batch_stats(x: jax.Array, mean: Callable[[jax.Array], jax.Array]) -> BatchStats:
    """Return the mean and variance of each map of [b, ..., maps], in float32 or wider.

    `mean` averages over the devices that share the batch.
    """
    x, axes = at_least_float32(x), tuple(range(x.ndim - 1))
    means = mean(x.mean(axes))
    deviations = x - lax.broadcast_to_rank(means, x.ndim)
    return BatchStats(means, mean(jnp.square(deviations).mean(axes)))
