"""Each layer against the paper's formula."""

from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.layer_specs import Conv, MaxPool, ResponseNorm, SpatialNorm
from alexnet_jax.ops import layers, normalization
from alexnet_jax.ops.layers import conv, dense, dropout_mask, max_pool
from alexnet_jax.ops.normalization import local_response_norm, spatial_norm
from alexnet_jax.params import Layer
from tests.support import reference


@pytest.mark.parametrize(("stride", "padding"), [(1, (0, 0)), (4, (0, 3)), (2, (2, 1))])
def test_a_convolution_equals_loops(rng, stride, padding):
    x, w, b = rng.normal(size=(2, 12, 12, 3)), rng.normal(size=(5, 5, 3, 4)), rng.normal(size=4)
    layer = Layer(jnp.asarray(w, jnp.float32), jnp.asarray(b, jnp.float32))
    ours = conv(Conv("c", 4, 5, stride, padding), layer, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(ours, reference.conv(x, w, b, stride, *padding), atol=1e-4)


def test_a_dense_layer_equals_the_formula(rng):
    x, w, b = rng.normal(size=(3, 7)), rng.normal(size=(7, 5)), rng.normal(size=5)
    layer = Layer(jnp.asarray(w, jnp.float32), jnp.asarray(b, jnp.float32))
    ours = dense(layer, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(ours, reference.dense(x, w, b), atol=1e-5)


def test_the_gradient_of_biases_in_bfloat16_sums_in_float32(rng):
    """A sum of 25,088 numbers between 0 and 1, for which bfloat16 has too few digits."""
    zeros = Layer(jnp.zeros((3, 3, 2, 4), jnp.bfloat16), jnp.zeros(4, jnp.bfloat16))
    maps = jnp.zeros((8, 56, 56, 2), jnp.bfloat16)
    cotangent = jnp.asarray(rng.uniform(size=(8, 56, 56, 4)), jnp.bfloat16)
    run = partial(conv, Conv("c", 4, 3, padding=(1, 1)), maps=maps)
    [gradient] = jax.vjp(lambda layer: run(params=layer), zeros)[1](cotangent)
    assert gradient.biases.dtype == jnp.bfloat16
    expected = np.asarray(cotangent, np.float64).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(np.asarray(gradient.biases, np.float64), expected, rtol=0.01)


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1)])
def test_max_pooling_equals_loops(rng, size, stride):
    x = rng.normal(size=(2, 9, 9, 3)).astype(np.float32)
    ours = max_pool(MaxPool(size, stride), jnp.asarray(x))
    np.testing.assert_array_equal(ours, reference.max_pool(x, size, stride).astype(np.float32))


@pytest.mark.parametrize("pool", [max_pool, layers._max_of_windows])
def test_a_window_over_the_edge_takes_the_pixels_inside_the_maps(rng, pool):
    x = -1 - rng.uniform(size=(2, 7, 7, 3)).astype(np.float32)  # less than a padding of zeros
    ours = pool(MaxPool(2, 2, padding=(0, 1)), jnp.asarray(x))
    assert ours.shape == (2, 4, 4, 3)
    np.testing.assert_array_equal(ours[:, 3, 3], x[:, 6, 6])
    np.testing.assert_array_equal(ours[:, 0, 3], x[:, :2, 6].max(axis=1))


def test_max_pooling_is_the_same_on_a_cpu_as_elsewhere_and_so_is_its_gradient(rng):
    x = jnp.asarray(rng.normal(size=(2, 11, 11, 3)), jnp.float32)
    weight = jnp.asarray(rng.normal(size=(2, 5, 5, 3)), jnp.float32)
    gradients = [
        jax.grad(lambda x, pool=pool: (pool(MaxPool(), x) * weight).sum())(x)
        for pool in (max_pool, layers._max_of_windows)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)
    on_cuda = jax.export.export(jax.jit(lambda x: max_pool(MaxPool(), x)), platforms=["cuda"])
    assert "reduce_window" in on_cuda(x).mlir_module()


NORMS = [
    {},
    {"n": 3, "k": 1.0, "alpha": 0.3},
    {"n": 9, "k": 0.7, "alpha": 0.05, "beta": 0.5},
    {"n": 1, "alpha": 1.0, "beta": 2.0},
]


@pytest.mark.parametrize("numbers", NORMS)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_response_normalization_equals_loops(rng, numbers, scale):
    a = scale * rng.normal(size=(2, 3, 3, 7))
    ours = local_response_norm(jnp.asarray(a, jnp.float32), **numbers)
    np.testing.assert_allclose(ours, reference.response_norm(a, **numbers), rtol=2e-5, atol=1e-6)


def test_alpha_can_be_the_papers_or_the_original_programs(rng):
    a = 100 * rng.normal(size=(1, 2, 2, 8))
    printed = local_response_norm(jnp.asarray(a, jnp.float32))
    program = local_response_norm(jnp.asarray(a, jnp.float32), divide_alpha_by_n=True)
    np.testing.assert_allclose(printed, reference.response_norm(a, alpha=1e-4), rtol=2e-5)
    np.testing.assert_allclose(program, reference.response_norm(a, alpha=2e-5), rtol=2e-5)
    assert not np.allclose(printed, program, rtol=0.05)


@pytest.mark.parametrize("numbers", NORMS)
@pytest.mark.parametrize("divide", [False, True])
def test_the_gradient_of_response_normalization_equals_differences(rng, numbers, divide):
    """Central differences of the loop in float64, along random directions."""
    a, weight = 30 * rng.normal(size=(2, 2, 7)), rng.normal(size=(2, 2, 7))
    n = numbers.get("n", 5)
    loop_numbers = dict(numbers, alpha=numbers.get("alpha", 1e-4) / (n if divide else 1))

    def ours(a):
        out = local_response_norm(a, **numbers, divide_alpha_by_n=divide)
        return (out * jnp.asarray(weight, jnp.float32)).sum()

    gradient = jax.grad(ours)(jnp.asarray(a, jnp.float32))
    for _ in range(5):
        direction, step = rng.normal(size=a.shape), 1e-4
        sides = [
            (reference.response_norm(a + s * direction, **loop_numbers) * weight).sum()
            for s in (step, -step)
        ]
        difference = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose((gradient * direction).sum(), difference, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("numbers", [{}, {"size": 3, "k": 0.5, "alpha": 0.1}, {"beta": 0.5}])
def test_spatial_normalization_equals_loops(rng, numbers):
    a = 100 * rng.normal(size=(2, 7, 6, 3))
    ours = spatial_norm(jnp.asarray(a, jnp.float32), **numbers)
    np.testing.assert_allclose(ours, reference.spatial_norm(a, **numbers), rtol=2e-5)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (partial(ResponseNorm, n=4), "n must be odd"),
        (partial(SpatialNorm, size=4), "size must be odd"),
        (partial(MaxPool, 2, 2, (0, 2)), "padding must be below its size"),
    ],
)
def test_a_layer_spec_that_makes_no_sense_is_refused(spec, sentence):
    with pytest.raises(ValueError, match=sentence):
        spec()


def test_dropout_keeps_half_and_draws_each_unit_and_example_apart():
    mask = dropout_mask(jax.random.key(0), "dropout6", jnp.arange(64), (512,))
    assert mask.shape == (64, 512)
    assert abs(mask.mean() - 0.5) < 0.01
    agreement = (mask[:, None] == mask[None, :]).mean(axis=-1) - jnp.eye(64)
    assert abs(agreement[~np.eye(64, dtype=bool)] - 0.5).max() < 0.12
    other = dropout_mask(jax.random.key(0), "dropout7", jnp.arange(64), (512,))
    assert abs((mask == other).mean() - 0.5) < 0.02


def test_a_dropout_mask_belongs_to_the_examples_index_in_the_global_batch():
    full = dropout_mask(jax.random.key(0), "dropout6", jnp.arange(8), (16,))
    half = dropout_mask(jax.random.key(0), "dropout6", jnp.arange(4, 8), (16,))
    np.testing.assert_array_equal(full[4:], half)


def test_the_window_sum_of_a_tpu_equals_that_of_other_devices(rng):
    values = jnp.asarray(rng.standard_normal((2, 3, 3, 11)), jnp.float32)
    for n in (1, 3, 5, 13):
        np.testing.assert_allclose(
            normalization._band_product(values, n),
            normalization._sum_of_shifts(values, n),
            atol=1e-5,
        )


def test_the_inputs_gradient_of_a_product_is_the_same_on_a_cpu_and_elsewhere(rng):
    cotangent = jnp.asarray(rng.standard_normal((4, 6)), jnp.float32)
    weights = jnp.asarray(rng.standard_normal((9, 6)), jnp.float32)
    ours = layers._times_transposed(cotangent, weights)
    np.testing.assert_allclose(ours, np.asarray(cotangent) @ np.asarray(weights).T, rtol=1e-5)
