"""3 x 3 convolutions with fewer products, for CPUs: F(2 x 2, 3 x 3) of Lavin and Gray (2016).

The output is divided into tiles of 2 x 2 pixels. Each tile depends on 4 x 4 pixels of the input:
these and the kernel are transformed to 4 x 4 values each, multiplied value by value, summed over
the maps, and the sums are transformed to the tile. That takes 16 products, where the direct sum
takes 36. In float32 the results differ from the direct sum by rounding.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from alexnet_jax.ops.gradients import with_gradient

Grid = Sequence[Sequence[jax.Array]]  # rows of arrays, one per pixel of a tile
Matrix = Sequence[Sequence[float]]

# The paper's A^T, B^T and G (§4.1): Y = A^T [(G g G^T) * (B^T d B)] A.
_A = ((1, 1, 1, 0), (0, 1, -1, -1))
_B = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
# Most images at a time, so that the transformed values are few and stay in the cache. A whole batch
# of 128 at once is as fast and takes 0.3 GB more (docs/performance.md).
_MAX_IMAGES = 32
# Fewest images at a time. With fewer, transforming the kernels takes as long as the saved products
# would (measured, docs/performance.md).
_MIN_IMAGES = 4
# Fewest maps of input or output. With fewer, the transforms take as long as the saved products
# would (measured, docs/performance.md).
_MIN_MAPS = 96


def is_faster(maps: jax.Array, kernels: jax.Array) -> bool:
    """Whether `convolve` is faster than XLA's convolution of [b, h, w, maps_in] on a CPU."""
    height, width, *counts = kernels.shape
    return (
        (height, width) == (3, 3)
        and min(counts) >= _MIN_MAPS
        and _images_at_a_time(maps.shape[0]) >= _MIN_IMAGES
        and maps.dtype == jnp.float32
    )


def _convolve(maps: jax.Array, kernels: jax.Array) -> jax.Array:
    transformed = _transform_kernels(kernels)

    def convolve_group(maps: jax.Array) -> jax.Array:
        products = [
            [x @ k for x, k in zip(*rows, strict=True)]
            for rows in zip(_transform_maps(maps), transformed, strict=True)
        ]
        return _join_tiles(_both_sides(_A, products), maps.shape)

    return lax.map(convolve_group, _groups(maps)).reshape(*maps.shape[:3], kernels.shape[-1])


def _gradient(
    maps: jax.Array, kernels: jax.Array, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # Without the barrier XLA flips them again for each value of the transform.
    flipped = lax.optimization_barrier(jnp.flip(kernels, (0, 1)).swapaxes(2, 3))
    return _convolve(cotangent, flipped), _kernels_gradient(maps, kernels, cotangent)


convolve = with_gradient(_convolve, _gradient)
"""Convolve [b, h, w, maps_in] with [3, 3, maps_in, maps_out] at stride 1, padded by 1."""


def _kernels_gradient(maps: jax.Array, kernels: jax.Array, cotangent: jax.Array) -> jax.Array:
    """Transpose each step of the convolution and sum over the batch."""

    # Without `checkpoint`, forward mode would keep the transformed maps of all groups.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def add_group(total: Grid, group: tuple[jax.Array, jax.Array]) -> tuple[Grid, None]:
        maps, cotangent = group
        products = [
            [x.T @ c for x, c in zip(*rows, strict=True)]
            for rows in zip(_transform_maps(maps), _transform_cotangent(cotangent), strict=True)
        ]
        return jax.tree.map(jnp.add, total, products), None

    zeros = jnp.zeros_like(kernels[0, 0])  # varies over the mesh as the kernels do
    start = [[zeros] * 4 for _ in range(4)]
    total, _ = lax.scan(add_group, start, (_groups(maps), _groups(cotangent)))
    return jnp.array(_both_sides(_transpose(_G), total))


def _transform_kernels(kernels: jax.Array) -> Grid:
    """Return G g G^T, arrays [maps_in, maps_out]."""
    return _both_sides(_G, [list(row) for row in kernels])


def _transform_maps(maps: jax.Array) -> Grid:
    """Return B^T d B of the 4 x 4 pixels under each tile, arrays [tiles of all images, maps]."""
    _, h, w, count = maps.shape
    maps = jnp.pad(maps, ((0, 0), (1, 1 + h % 2), (1, 1 + w % 2), (0, 0)))
    h, w = maps.shape[1] - 3, maps.shape[2] - 3
    pixels = [[maps[:, i : i + h : 2, j : j + w : 2] for j in range(4)] for i in range(4)]
    return [[x.reshape(-1, count) for x in row] for row in _both_sides(_B, pixels)]


def _transform_cotangent(cotangent: jax.Array) -> Grid:
    """Return A y A^T of the 2 x 2 pixels of each tile, arrays [tiles of all images, maps]."""
    _, h, w, count = cotangent.shape
    cotangent = jnp.pad(cotangent, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    pixels = [[cotangent[:, i::2, j::2].reshape(-1, count) for j in range(2)] for i in range(2)]
    return _both_sides(_transpose(_A), pixels)


def _join_tiles(tiles: Grid, shape: tuple[int, ...]) -> jax.Array:
    """Join tiles, 2 x 2 arrays [tiles of all images, maps], to maps [b, h, w, maps]."""
    b, h, w, _ = shape
    grid = (b, -(-h // 2), -(-w // 2), -1)
    across = [jnp.stack([x.reshape(grid) for x in row], 3) for row in tiles]
    both = jnp.stack(across, 2)  # [b, tiles down, 2, tiles across, 2, maps]
    return both.reshape(b, h + h % 2, w + w % 2, -1)[:, :h, :w]


def _both_sides(matrix: Matrix, grid: Grid) -> Grid:
    """Return M X M^T for a matrix of numbers, and a grid of arrays for X."""
    columns = [_times(matrix, column) for column in zip(*grid, strict=True)]
    return [_times(matrix, row) for row in zip(*columns, strict=True)]


def _times(matrix: Matrix, xs: Sequence[jax.Array]) -> list[jax.Array]:
    terms = ([_scale(m, x) for m, x in zip(row, xs, strict=True) if m] for row in matrix)
    return [functools.reduce(jnp.add, row) for row in terms]


def _scale(factor: float, x: jax.Array) -> jax.Array:
    return x if factor == 1 else -x if factor == -1 else factor * x


def _transpose(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _groups(x: jax.Array) -> jax.Array:
    """Reshape [b, ...] to [groups, images at a time, ...]."""
    return x.reshape(-1, _images_at_a_time(x.shape[0]), *x.shape[1:])


def _images_at_a_time(batch: int) -> int:
    """Return the largest divisor of the batch that `_MAX_IMAGES` allows."""
    return max(n for n in range(1, _MAX_IMAGES + 1) if batch % n == 0)
