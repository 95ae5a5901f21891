"""Max pooling against loops, and its gradient on each platform."""

import re
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.layer_specs import (
    MaxPool,
)
from alexnet_jax.ops import pooling
from alexnet_jax.ops.pooling import max_pool
from tests.support import reference

POOLS = [pooling._max_of_slices, pooling._max_of_windows, pooling._max_by_index]  # CPU, TPU, GPU


@pytest.mark.parametrize("pool", [max_pool, *POOLS])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1), (2, 3)])
def test_max_pooling_equals_loops(rng, size, stride, pool):
    x = rng.normal(size=(2, 9, 9, 3)).astype(np.float32)
    ours = jax.jit(partial(pool, MaxPool(size, stride)))(x)
    np.testing.assert_array_equal(ours, reference.max_pool(x, size, stride).astype(np.float32))


@pytest.mark.parametrize("pool", [max_pool, *POOLS])
def test_a_window_over_the_edge_takes_the_pixels_inside_the_maps(rng, pool):
    x = -1 - rng.uniform(size=(2, 7, 7, 3)).astype(np.float32)  # less than a padding of zeros
    run = jax.jit(partial(pool, MaxPool(2, 2, padding=(0, 1))))
    ours = run(x)
    assert ours.shape == (2, 4, 4, 3)
    np.testing.assert_array_equal(ours[:, 3, 3], x[:, 6, 6])
    np.testing.assert_array_equal(ours[:, 0, 3], x[:, :2, 6].max(axis=1))
    gradient = jax.jit(jax.grad(lambda x: run(x)[:, 3, 3].sum()))(x)
    np.testing.assert_array_equal(gradient[:, 6, 6], 1)
    assert gradient.sum() == 6


def pool_gradient(pool, spec, x, cotangent):
    return jax.jit(lambda x, c: jax.vjp(partial(pool, spec), x)[1](c)[0])(x, cotangent)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1), (2, 3)])
def test_the_gradient_of_max_pooling_goes_to_the_largest_value_of_each_window(
    rng, size, stride, pool
):
    x = rng.normal(size=(2, 8, 9, 3)).astype(np.float32)
    cotangent = rng.normal(size=reference.max_pool(x, size, stride).shape).astype(np.float32)
    ours = pool_gradient(pool, MaxPool(size, stride), x, cotangent)
    expected = reference.max_pool_gradient(x, cotangent, size, stride)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_of_equal_values_the_first_of_a_window_takes_the_gradient_on_a_tpu_and_a_gpu(rng):
    x = rng.integers(0, 3, size=(2, 9, 9, 3)).astype(np.float32)
    cotangent = rng.integers(1, 9, size=(2, 4, 4, 3)).astype(np.float32)
    expected = reference.max_pool_gradient(x, cotangent)
    for pool in POOLS[1:]:
        np.testing.assert_array_equal(pool_gradient(pool, MaxPool(), x, cotangent), expected)


def test_a_window_of_more_than_256_pixels_has_indices_of_two_bytes(rng):
    x, cotangent = rng.permutation(18 * 17).reshape(1, 18, 17, 1), np.ones((1, 2, 1, 1))
    expected = reference.max_pool_gradient(x, cotangent, 17, 1)
    ours = pool_gradient(
        pooling._max_by_index, MaxPool(17, 1), np.float32(x), np.float32(cotangent)
    )
    np.testing.assert_array_equal(ours, expected)


def test_of_equal_values_those_of_a_window_share_the_gradient_on_a_cpu():
    maps, cotangent = jnp.ones((1, 3, 3, 1)), jnp.full((1, 1, 1, 1), 8.0)
    gradient = pool_gradient(pooling._max_of_slices, MaxPool(), maps, cotangent)
    assert gradient.sum() == 8
    assert (gradient > 0).all()


@pytest.mark.parametrize("pool", POOLS)
def test_max_pooling_passes_on_what_is_no_number(pool):
    maps = np.ones((9, 3, 3, 1), np.float32)
    maps.reshape(9, 9)[range(9), range(9)] = np.nan  # an image for each place
    assert np.isnan(jax.jit(partial(pool, MaxPool()))(maps)).all()


def test_the_gradient_of_max_pooling_in_bfloat16_sums_in_float32():
    """Nine windows share their largest value: 256 and eight ones, which bfloat16 would lose."""
    maps = jnp.zeros((1, 5, 5, 1), jnp.bfloat16).at[0, 2, 2, 0].set(1)
    cotangent = jnp.ones((1, 3, 3, 1), jnp.bfloat16).at[0, 0, 0, 0].set(256)
    gradient = pool_gradient(pooling._max_by_index, MaxPool(3, 1), maps, cotangent)
    assert gradient[0, 2, 2, 0] == 264


def test_each_platform_has_a_max_pooling_of_its_own():
    gradient = jax.jit(jax.grad(lambda x: max_pool(MaxPool(), x).sum()))

    def operations(platform):
        x = jax.ShapeDtypeStruct((2, 11, 11, 3), jnp.float32)
        module = jax.export.export(gradient, platforms=[platform])(x).mlir_module()
        index = r"stablehlo\.select.*xui8>"  # of one byte
        return [bool(re.search(name, module)) for name in ("select_and_scatter", index)]

    assert operations("cpu") == [False, False]
    assert operations("tpu") == [True, False]
    assert operations("cuda") == operations("rocm") == [False, True]
