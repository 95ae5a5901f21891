"""Response and spatial normalization against the formulas."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax.ops import normalization
from alexnet_jax.ops.normalization import local_response_norm, spatial_norm
from tests.support import reference

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


def test_the_window_sum_of_a_tpu_equals_that_of_other_devices(rng):
    values = jnp.asarray(rng.standard_normal((2, 3, 3, 11)), jnp.float32)
    for n in (1, 3, 5, 13):
        np.testing.assert_allclose(
            normalization._band_product(values, n),
            normalization._sum_of_shifts(values, n),
            atol=1e-5,
        )
