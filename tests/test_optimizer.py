"""The optimiser against section 5 written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import reference
from train.optimizer import adam, cut_by_ten, sgd


def test_the_update_equals_section_5_across_two_cuts_of_the_rate(rng):
    w = rng.normal(size=20)
    gradients = rng.normal(size=(12, 20))
    rates = [0.1] * 4 + [0.01] * 3 + [0.001] * 5
    expected = reference.section_5(w, gradients, rates)

    optimizer = sgd(cut_by_ten(0.1, [4, 7]))
    ours = jnp.asarray(w, jnp.float32)
    state = optimizer.init(ours)
    for gradient, want in zip(gradients, expected):
        update, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, ours)
        ours = ours + update
        np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-6)


def test_momentum_and_weight_decay_are_those_that_are_asked_for(rng):
    w, gradients = rng.normal(size=3), rng.normal(size=(6, 3))
    expected = reference.section_5(w, gradients, [0.05] * 6, momentum=0.5, weight_decay=0.1)
    optimizer = sgd(0.05, momentum=0.5, weight_decay=0.1)
    ours = jnp.asarray(w, jnp.float32)
    state = optimizer.init(ours)
    for gradient in gradients:
        update, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, ours)
        ours = ours + update
    np.testing.assert_allclose(ours, expected[-1], rtol=1e-5)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_equals_the_algorithm_of_its_paper(rng, weight_decay):
    """Algorithm 1 of Kingma and Ba (2015), in float64."""
    w, gradients = rng.normal(size=5), rng.normal(size=(8, 5))
    expected, m, v = w.copy(), np.zeros(5), np.zeros(5)
    for t, gradient in enumerate(gradients, 1):
        g = gradient + weight_decay * expected
        m, v = 0.8 * m + 0.2 * g, 0.999 * v + 0.001 * g**2
        expected -= 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    optimizer = adam(0.01, momentum=0.8, weight_decay=weight_decay)
    ours = jnp.asarray(w, jnp.float32)
    state = optimizer.init(ours)
    for gradient in gradients:
        with jax.numpy_dtype_promotion("standard"):  # Optax raises a float to an integer
            update, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, ours)
        ours = ours + update
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
