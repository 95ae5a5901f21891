"""Mean pooling and locally connected layers against loops."""

from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.layer_specs import (
    LocallyConnected,
    MeanPool,
)
from alexnet_jax.ops.windows import locally_connected, mean_pool
from alexnet_jax.params import Layer
from tests.support import reference


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
