"""Each layer against the paper's formula."""

import re
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    LocallyConnected,
    MaxPool,
    MeanPool,
    Output,
    ResponseNorm,
    SpatialNorm,
)
from alexnet_jax.ops import layers, normalization, pooling
from alexnet_jax.ops.layers import conv, dense, dropout_mask
from alexnet_jax.ops.normalization import local_response_norm, spatial_norm
from alexnet_jax.ops.pooling import max_pool
from alexnet_jax.ops.windows import locally_connected, mean_pool
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


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (0, 2), (2, 1)])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 1), (4, 3)])
def test_mean_pooling_equals_loops_over_the_pixels_inside_the_maps(rng, size, stride, padding):
    x = rng.normal(size=(2, 8, 7, 3))
    ours = mean_pool(MeanPool(size, stride, padding), jnp.asarray(x, jnp.float32))
    expected = reference.mean_pool(x, size, stride, *padding)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("stride", "padding"), [(1, (0, 0)), (2, (1, 1)), (1, (2, 0))])
def test_a_locally_connected_layer_equals_loops(rng, stride, padding):
    spec = LocallyConnected("local", 4, 3, stride, padding)
    x = rng.normal(size=(2, 6, 5, 3))
    layer = Layer(*(rng.normal(size=shape) for shape in spec.param_shapes((6, 5, 3))))
    ours = locally_connected(
        spec, jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), layer), jnp.float32(x)
    )
    expected = reference.locally_connected(x, *layer, 3, stride, *padding)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_the_gradients_of_the_layers_of_windows_equal_differences(rng):
    """Central differences of the loops in float64, along random directions; forward mode, too."""
    spec, pool = LocallyConnected("local", 2, 3, 2, (1, 0)), MeanPool(3, 2, (1, 1))
    x = rng.normal(size=(2, 6, 6, 2))
    layer = tuple(rng.normal(size=shape) for shape in spec.param_shapes((6, 6, 2)))

    def ours(x, layer):
        return (mean_pool(pool, jnp.tanh(locally_connected(spec, Layer(*layer), x))) ** 2).sum()

    def loops(x, layer):
        maps = np.tanh(reference.locally_connected(x, *layer, 3, 2, 1, 0))
        return (reference.mean_pool(maps, 3, 2, 1, 1) ** 2).sum()

    single = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree)  # noqa: E731
    gradient = jax.jit(jax.grad(ours, (0, 1)))(*single((x, layer)))
    forward_mode = jax.jit(lambda *arguments: jax.jvp(ours, *arguments)[1])
    for _ in range(3):
        direction = jax.tree.map(lambda a: rng.normal(size=a.shape), (x, layer))
        sides = [
            loops(*jax.tree.map(lambda a, d, s=s: a + s * d, (x, layer), direction))
            for s in (1e-5, -1e-5)
        ]
        difference = (sides[0] - sides[1]) / 2e-5
        products = jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)
        np.testing.assert_allclose(sum(jax.tree.leaves(products)), difference, rtol=1e-3)
        tangent = forward_mode(single((x, layer)), single(direction))
        np.testing.assert_allclose(tangent, difference, rtol=1e-3)


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


WHOLE = "must be a whole number above 0, not"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (partial(ResponseNorm, n=4), "ResponseNorm's n must be odd and at least 1, not 4"),
        (partial(SpatialNorm, size=4), "SpatialNorm's size must be odd and at least 1, not 4"),
        (partial(MaxPool, 2, 2, (0, 2)), "MaxPool's padding must be below its size, not (0, 2)"),
        (partial(MeanPool, 2, padding=2), "MeanPool's padding must be below its size, not (2, 2)"),
        (partial(Conv, 96, 11, 4), "Conv's name must be text, not 96"),
        (partial(Conv, "conv1", 0, 3), f"conv1's maps {WHOLE} 0"),
        (partial(Conv, "conv1", 2.5, 3), f"conv1's maps {WHOLE} 2.5"),
        (partial(Conv, "conv1", True, 3), f"conv1's maps {WHOLE} True"),
        (
            partial(Conv, "conv1", 4, (3, 5)),
            "conv1's kernel must be one number for rows and columns, not (3, 5)",
        ),
        (partial(Conv, "conv1", 4, 3, stride=0), f"conv1's stride {WHOLE} 0"),
        (
            partial(Conv, "conv1", 4, 3, padding="FULL"),
            'conv1\'s padding must be "SAME", "VALID" or numbers of zeros, not \'FULL\'',
        ),
        (
            partial(Conv, "conv1", 4, 3, padding=((1, 1), (0, 0))),
            "conv1's padding must be the same for rows and columns, not ((1, 1), (0, 0))",
        ),
        (
            partial(Conv, "conv1", 4, 3, padding=(1, 1, 1)),
            "conv1's padding must be (before, after), not (1, 1, 1)",
        ),
        (
            partial(Conv, "conv1", 4, 3, padding=(0, -1)),
            "conv1's padding must be a whole number that is not negative, not -1",
        ),
        (partial(Dense, "fc6", 8, std=-1), "fc6's std must be at least 0, not -1"),
        (partial(Dense, "fc6", 8, bias="one"), "fc6's bias must be a number, not 'one'"),
        (partial(Output, "fc8", 8, std=float("nan")), "fc8's std must be finite, not nan"),
        (
            partial(Dropout, 0.5),
            "Dropout drops half and takes no rate: write Dropout(), or Dropout(inverted=True) "
            "for that of later libraries, not Dropout(0.5)",
        ),
    ],
)
def test_a_layer_spec_that_makes_no_sense_is_refused(spec, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        spec()


@pytest.mark.parametrize(
    ("written", "zeros"),
    [(1, (1, 1)), ([0, 3], (0, 3)), (((1, 2), (1, 2)), (1, 2)), ("valid", (0, 0))],
)
def test_the_spellings_of_other_libraries_make_the_same_layer(written, zeros):
    spec = Conv("conv1", np.int64(4), (3, 3), stride=[2, 2], padding=written, std=np.float32(0.5))
    assert spec == Conv("conv1", 4, 3, stride=2, padding=zeros, std=0.5)
    assert {type(value) for value in (spec.maps, *spec.padding)} == {int}
    assert type(spec.std) is float


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
