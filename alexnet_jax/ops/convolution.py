"""Convolutions of any size and stride, in forms that are fast on a CPU."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax.ops.gradients import with_gradient
from alexnet_jax.ops.padding import pad_axis

Padding = tuple[int, int]


def convolve(
    maps: jax.Array, kernels: jax.Array, stride: int, rows: Padding, columns: Padding
) -> jax.Array:
    """Convolve [b, h, w, maps_in] with [k, k, maps_in, maps_out], padded at rows and columns."""
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        maps, kernels, (stride, stride), (rows, columns), dimension_numbers=dimensions
    )


def convolve_on_cpu(
    maps: jax.Array, kernels: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """Convolve as `convolve` does, in forms that XLA compiles to its own convolutions.

    Others of float32 XLA hands to the library YNNPACK, unless a flag of the process forbids it.
    That is up to twice as slow for maps, and two to five times for kernels (docs/performance.md).
    """
    forward = functools.partial(_convolve, stride=stride, padding=padding)

    def gradient(
        maps: jax.Array, kernels: jax.Array, cotangent: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return (
            _maps_gradient(maps, kernels, cotangent, stride, padding),
            _kernels_gradient(maps, kernels, cotangent, stride, padding),
        )

    return with_gradient(forward, gradient)(maps, kernels)


def _convolve(maps: jax.Array, kernels: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolve; an output as high as the input gets one more row, which is cut off.

    YNNPACK takes no convolution whose output is higher than its input.
    """
    before, after = padding
    height = maps.shape[1]
    if stride == 1 and before + after + 1 == kernels.shape[0]:
        return convolve(maps, kernels, stride, (before, after + 1), padding)[:, :height]
    return convolve(maps, kernels, stride, padding, padding)


def _maps_gradient(
    maps: jax.Array, kernels: jax.Array, cotangent: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """Convolve the cotangent with the kernels turned around, at stride 1 as the maps were."""
    if stride == 1:
        before, after = (kernels.shape[0] - 1 - pixels for pixels in padding)
        # Without the barrier XLA turns them within the convolution, which is slower.
        turned = lax.optimization_barrier(jnp.flip(kernels, (0, 1)).swapaxes(2, 3))
        return _convolve(cotangent, turned, stride, (before, after))
    forward = functools.partial(_convolve, kernels=kernels, stride=stride, padding=padding)
    return jax.linear_transpose(forward, maps)(cotangent)[0]


def _kernels_gradient(
    maps: jax.Array, kernels: jax.Array, cotangent: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """Convolve the maps with the cotangent, a kernel of all its rows and columns.

    YNNPACK takes no kernel that is higher than its input. So the rows of the maps are dealt out to
    `stride` maps each, which have as many rows as the cotangent or a few more, and rows of zeros
    make the cotangent the higher one.
    """
    size, _, maps_in, maps_out = kernels.shape
    before, _ = padding
    rows, columns = cotangent.shape[1:3]
    kernel_rows, offset = -(-size // stride), before // stride
    top = before - offset * stride
    input_rows = min(-(-(maps.shape[1] + top) // stride), rows + kernel_rows - 1 - offset)
    input_columns = (columns - 1) * stride + size
    higher = max(input_rows + 1, rows)
    if higher * columns > input_rows * input_columns:
        # A convolution whose kernel is larger than its input XLA turns around, into slow loops.
        forward = functools.partial(_convolve, maps, stride=stride, padding=padding)
        return jax.linear_transpose(forward, kernels)(cotangent)[0]

    x = pad_axis(maps, 1, top, input_rows * stride - maps.shape[1] - top)
    x = pad_axis(x, 2, before, input_columns - maps.shape[2] - before)
    x = x.reshape(-1, input_rows, stride, input_columns, maps_in).transpose(2, 4, 1, 3, 0)
    # The barrier keeps the columns' padding out of the convolution, and its input larger.
    x = lax.optimization_barrier(x.reshape(stride * maps_in, *x.shape[2:]))
    gradient = lax.conv_general_dilated(
        x,
        pad_axis(cotangent, 1, 0, higher - rows),
        (1, 1),
        [(offset, kernel_rows - 1 + higher - input_rows - offset), (0, 0)],
        rhs_dilation=(1, stride),
        dimension_numbers=("NHWC", "IHWO", "HWNC"),
    )  # [kernel rows, columns, stride * maps in, maps out]
    gradient = gradient.reshape(kernel_rows, size, stride, maps_in, maps_out).swapaxes(1, 2)
    return gradient.reshape(kernel_rows * stride, size, maps_in, maps_out)[:size]
