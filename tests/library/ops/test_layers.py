"""Convolutions, dense layers and dropout against the paper's formulas."""

from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.layer_specs import (
    Conv,
)
from alexnet_jax.ops import layers
from alexnet_jax.ops.layers import conv, dense, dropout_mask
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


def test_the_inputs_gradient_of_a_product_is_the_same_on_a_cpu_and_elsewhere(rng):
    features = jnp.asarray(rng.standard_normal((4, 9)), jnp.float32)
    cotangent = jnp.asarray(rng.standard_normal((4, 6)), jnp.float32)
    weights = jnp.asarray(rng.standard_normal((9, 6)), jnp.float32)
    np.testing.assert_allclose(layers._times(features, weights), features @ weights, rtol=1e-5)
    (ours,) = jax.linear_transpose(lambda f: layers._times(f, weights), features)(cotangent)
    np.testing.assert_allclose(ours, np.asarray(cotangent) @ np.asarray(weights).T, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 32, 33])
@pytest.mark.parametrize("features_in", [128, 100])
def test_products_of_few_and_of_many_rows_equal_numpys_with_their_gradients(rng, rows, features_in):
    """Few rows, and features in whole blocks of 64, take another way on a CPU."""
    shapes = (rows, features_in), (features_in, 5), (rows, 5)
    features, weights, cotangent = map(rng.standard_normal, shapes)
    f, w, c = (jnp.asarray(x, jnp.float32) for x in (features, weights, cotangent))
    out, pull_back = jax.vjp(layers.product, f, w)
    np.testing.assert_allclose(out, features @ weights, atol=1e-4)
    by_features, by_weights = pull_back(c)
    np.testing.assert_allclose(by_features, cotangent @ weights.T, atol=1e-4)
    np.testing.assert_allclose(by_weights, features.T @ cotangent, atol=1e-4)
