"""The optimizers against section 5, and Kingma and Ba's algorithm, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax import Layer
from tests.support import reference
from train.steps.optimizers import adam, lars, sgd


def run_steps(optimizer, w, gradients, rates):
    """A layer's weights and biases after each step, [steps, 2, n]; both start from `w`.

    `rates` [steps, 2]: the learning rates of weights and of biases.
    """
    both = lambda x: Layer(jnp.asarray(x, jnp.float32), jnp.asarray(x, jnp.float32))  # noqa: E731
    params, history = {"conv1": both(w)}, []
    state = optimizer.init(params)
    for gradient, (weights, biases) in zip(gradients, rates, strict=True):
        rate = {"conv1": Layer(jnp.float32(weights), jnp.float32(biases))}
        with jax.numpy_dtype_promotion("standard"):  # Optax raises a float to an integer
            update, state = optimizer.update({"conv1": both(gradient)}, state, params, rates=rate)
        params = jax.tree.map(jnp.add, params, update)
        history.append(np.stack(params["conv1"]))
    return np.array(history)


def test_the_update_equals_section_5_across_two_step_decays(rng):
    w, gradients = rng.normal(size=20), rng.normal(size=(12, 20))
    weights = [0.1] * 4 + [0.01] * 3 + [0.001] * 5
    biases = [0.2] * 8 + [0.02] * 4
    ours = run_steps(sgd(), w, gradients, list(zip(weights, biases)))
    expected = reference.section_5(w, gradients, weights)
    np.testing.assert_allclose(ours[:, 0], expected, rtol=1e-5, atol=1e-6)
    expected = reference.section_5(w, gradients, biases)
    np.testing.assert_allclose(ours[:, 1], expected, rtol=1e-5, atol=1e-6)


def test_momentum_and_weight_decay_follow_their_arguments(rng):
    w, gradients = rng.normal(size=3), rng.normal(size=(6, 3))
    ours = run_steps(sgd(momentum=0.5, weight_decay=0.1), w, gradients, [(0.05, 0.05)] * 6)
    expected = reference.section_5(w, gradients, [0.05] * 6, momentum=0.5, weight_decay=0.1)
    np.testing.assert_allclose(ours[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("by_layer", "weight_decay"), [({"conv1": 0.3}, 0.3), ({"conv1": 0}, 0), ({"fc10": 3}, 0.1)]
)
def test_a_layer_decays_by_its_own_factor_and_the_others_by_the_common_one(
    rng, by_layer, weight_decay
):
    w, gradients = rng.normal(size=3), rng.normal(size=(6, 3))
    optimizer = sgd(weight_decay=0.1, layer_weight_decay=by_layer, decay_biases=False)
    ours = run_steps(optimizer, w, gradients, [(0.05, 0.05)] * 6)
    decayed = reference.section_5(w, gradients, [0.05] * 6, weight_decay=weight_decay)
    undecayed = reference.section_5(w, gradients, [0.05] * 6, weight_decay=0)
    np.testing.assert_allclose(ours[:, 0], decayed, rtol=1e-5)
    np.testing.assert_allclose(ours[:, 1], undecayed, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [adam, lars])
def test_a_factor_of_a_layer_is_to_adam_and_lars_what_the_common_one_is(rng, optimizer):
    w, gradients = rng.normal(size=3), rng.normal(size=(3, 3))
    by_layer, common, none = (
        run_steps(optimizer(**decay), w, gradients, [(0.05, 0.05)] * 3)
        for decay in (
            {"weight_decay": 0, "layer_weight_decay": {"conv1": 0.3}},
            {"weight_decay": 0.3},
            {"weight_decay": 0},
        )
    )
    np.testing.assert_array_equal(by_layer, common)
    assert np.all(by_layer[-1] != none[-1])


def test_biases_do_not_decay_without_decay_biases(rng):
    w, gradients = rng.normal(size=3), rng.normal(size=(6, 3))
    ours = run_steps(sgd(weight_decay=0.1, decay_biases=False), w, gradients, [(0.05, 0.05)] * 6)
    decayed = reference.section_5(w, gradients, [0.05] * 6, weight_decay=0.1)
    undecayed = reference.section_5(w, gradients, [0.05] * 6, weight_decay=0)
    np.testing.assert_allclose(ours[:, 0], decayed, rtol=1e-5)
    np.testing.assert_allclose(ours[:, 1], undecayed, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [sgd(), adam(weight_decay=0.1), lars()])
def test_a_learning_rate_of_zero_freezes_an_array_at_once_and_not_its_neighbor(rng, optimizer):
    """Neither weight decay nor the accumulated velocity moves it."""
    w, gradients = rng.normal(size=5), rng.normal(size=(9, 5))
    ours = run_steps(optimizer, w, gradients, [(0.1, 0.1)] * 4 + [(0.0, 0.1)] * 5)
    weights, biases = ours[:, 0], ours[:, 1]
    assert np.all(weights[3:] == weights[3])
    assert not np.any(weights[3] == weights[2])
    assert not np.any(biases[4:] == biases[3:-1])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_equals_the_algorithm_of_its_paper(rng, weight_decay):
    """Algorithm 1 of Kingma and Ba (2015), in float64."""
    w, gradients = rng.normal(size=5), rng.normal(size=(8, 5))
    expected, m, v = w.copy(), np.zeros(5), np.zeros(5)
    for t, gradient in enumerate(gradients, 1):
        g = gradient + weight_decay * expected
        m, v = 0.8 * m + 0.2 * g, 0.999 * v + 0.001 * g**2
        expected -= 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    optimizer = adam(momentum=0.8, weight_decay=weight_decay)
    ours = run_steps(optimizer, w, gradients, [(0.01, 0.01)] * 8)
    np.testing.assert_allclose(ours[-1], [expected, expected], rtol=1e-4)


def test_lars_moves_the_weights_of_a_layer_by_a_thousandth_of_their_norm(rng):
    """LARS as Optax implements it (You, Gitman and Ginsburg, 2017), in float64; biases use SGD."""
    w, b = rng.normal(size=(4, 5)), rng.normal(size=5)
    gradients, rates = rng.normal(size=(6, 4, 5)), [8.0] * 3 + [0.8] * 3
    expected, velocity = w.copy(), np.zeros_like(w)
    for gradient, rate in zip(gradients, rates, strict=True):
        decayed = gradient + 0.1 * expected
        local = 0.001 * np.sqrt((expected**2).sum()) / np.sqrt((decayed**2).sum())
        velocity = 0.8 * velocity - rate * local * decayed
        expected = expected + velocity

    optimizer = lars(momentum=0.8, weight_decay=0.1, decay_biases=False)
    arrays = lambda *xs: {"fc6": Layer(*(jnp.asarray(x, jnp.float32) for x in xs))}  # noqa: E731
    params = arrays(w, b)
    state, updates = optimizer.init(params), []
    for gradient, rate in zip(gradients, rates, strict=True):
        layer_gradients, layer_rates = arrays(gradient, gradient[0]), arrays(rate, rate / 100)
        update, state = optimizer.update(layer_gradients, state, params, rates=layer_rates)
        params = jax.tree.map(jnp.add, params, update)
        updates.append(np.linalg.norm(update["fc6"].weights))
    np.testing.assert_allclose(params["fc6"].weights, expected, rtol=1e-5, atol=1e-6)
    assert updates[0] == pytest.approx(8 * 0.001 * np.linalg.norm(w), rel=1e-5)
    biases = [rate / 100 for rate in rates]
    expected = reference.section_5(b, gradients[:, 0], biases, momentum=0.8, weight_decay=0)
    np.testing.assert_allclose(params["fc6"].biases, expected[-1], rtol=1e-5, atol=1e-6)
