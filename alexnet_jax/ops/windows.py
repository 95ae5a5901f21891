"""Mean pooling and locally connected layers, of the original program's networks for CIFAR-10.

Both read the pixels of every window by slices with strides, one for each pixel of a window.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax.layer_specs import LocallyConnected, MeanPool
from alexnet_jax.ops.layers import at_least_float32
from alexnet_jax.ops.padding import pad_axis
from alexnet_jax.ops.pooling import window_slices
from alexnet_jax.params import Layer


def mean_pool(spec: MeanPool, maps: jax.Array) -> jax.Array:
    """Take the mean of each window, [b, h, w, maps] -> [b, h', w', maps].

    A window that reaches past an edge is the mean of its pixels inside the maps. The sum is taken
    in float32 or wider.
    """
    total, sides = at_least_float32(maps), maps.shape[1:3]
    for axis in (1, 2):
        pixels = _strided(total, axis, spec.size, spec.stride, spec.padding)
        total = functools.reduce(jnp.add, pixels)
    rows, columns = (_pixels_inside(spec, pixels) for pixels in sides)
    counts = jnp.asarray(np.outer(rows, columns)[None, :, :, None], total.dtype)
    return (total / counts).astype(maps.dtype)


def locally_connected(spec: LocallyConnected, params: Layer, maps: jax.Array) -> jax.Array:
    """Multiply each window of [b, h, w, maps_in] with its own kernels, and add its own biases.

    Products and sums of a window are taken in float32 or wider.
    """
    kernel, stride, padding = spec.kernel, spec.stride, spec.padding
    windows = [
        pixels
        for rows in _strided(maps, 1, kernel, stride, padding)
        for pixels in _strided(rows, 2, kernel, stride, padding)
    ]
    biases = at_least_float32(params.biases)[None]
    out = jnp.einsum(
        "bhwi,hwio->bhwo",
        jnp.concatenate(windows, axis=-1),
        params.weights,
        preferred_element_type=biases.dtype,
    )
    return (out + biases).astype(maps.dtype)


def _strided(
    x: jax.Array, axis: int, window: int, stride: int, padding: tuple[int, int]
) -> list[jax.Array]:
    """Return `window_slices` of an array with zeros around it."""
    if any(padding):
        x = pad_axis(x, axis, *padding)
    return window_slices(x, axis, window, stride)


def _pixels_inside(spec: MeanPool, pixels: int) -> np.ndarray:
    """Return how many of the `pixels` of a side each window holds."""
    before, after = spec.padding
    starts = np.arange(-before, pixels + after - spec.size + 1, spec.stride)
    return np.minimum(starts + spec.size, pixels) - np.maximum(starts, 0)
