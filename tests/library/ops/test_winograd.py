"""Winograd's 3 x 3 convolutions equal the direct sum, and run where they pay."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from alexnet_jax.layer_specs import Conv
from alexnet_jax.ops import winograd
from alexnet_jax.ops.layers import conv
from alexnet_jax.params import Layer
from tests.support import reference


def arrays(rng, size, counts, images=32):
    maps, kernels = rng.normal(size=(images, *size, counts[0])), rng.normal(size=(3, 3, *counts))
    return jnp.asarray(maps, jnp.float32), jnp.asarray(kernels, jnp.float32)


@pytest.mark.parametrize(
    ("images", "size"), [(32, (5, 6)), (32, (4, 7)), (32, (1, 2)), (10, (5, 6)), (34, (3, 4))]
)
def test_winograd_convolutions_equal_loops(rng, images, size):
    maps, kernels = arrays(rng, size, (2, 3), images)
    ours = winograd.convolve(maps, kernels)
    expected = reference.conv(maps, kernels, np.zeros(3), 1, 1, 1)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(5, 6), (4, 7)])
def test_winograd_gradients_equal_those_of_xlas_convolution_in_float64(rng, size):
    def plain(maps, kernels):
        window, axes = [(1, 1), (1, 1)], ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(maps, kernels, (1, 1), window, dimension_numbers=axes)

    maps, kernels = arrays(rng, size, (2, 3))
    maps = jnp.concatenate([maps, 2 * maps])  # two groups of 32 images
    cotangent = rng.normal(size=(64, *size, 3))
    ours = jax.vjp(winograd.convolve, maps, kernels)[1](jnp.asarray(cotangent, jnp.float32))
    with reference.enable_x64(True):
        arguments = [jnp.asarray(np.asarray(x, np.float64)) for x in (maps, kernels)]
        exact = jax.vjp(plain, *arguments)[1](jnp.asarray(cotangent))
    for gradient, expected in zip(ours, exact):
        np.testing.assert_allclose(gradient, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("batch", "counts", "dtype", "convolutions"),
    [
        (64, (96, 128), jnp.float32, 0),
        (10, (96, 128), jnp.float32, 0),
        (1, (96, 128), jnp.float32, 1),  # transforming the kernels would not pay
        (127, (96, 128), jnp.float32, 1),  # in groups of one image
        (64, (48, 128), jnp.float32, 1),
        (64, (96, 128), jnp.bfloat16, 1),  # its rounding would show
    ],
)
def test_a_cpu_uses_winograd_where_it_pays(batch, counts, dtype, convolutions):
    layer = Layer(jnp.zeros((3, 3, *counts), dtype), jnp.zeros(counts[1], dtype))
    run = jax.jit(partial(conv, Conv("c", counts[1], 3, padding=(1, 1)), layer))
    images = jax.ShapeDtypeStruct((batch, 6, 6, counts[0]), dtype)
    program = run.trace(images).lower(lowering_platforms=("cpu",)).as_text()
    assert program.count("stablehlo.convolution") == convolutions
