"""Error rates of one network and of an ensemble, counted by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import alexnet_jax
from tests.support import reference
from tests.support.products import count_levels
from tests.support.tiny import TINY, draw_params
from train.data.pipeline import evaluation_batches
from train.steps.eval_step import evaluate, make_eval_step

SMALL, LARGE = TINY, dataclasses.replace(TINY, image_sizes=(15,))
COUNT = 10


@pytest.fixture(scope="module")
def two_nets():
    """Two networks (architecture, parameters, mean, images of its stored size), and labels."""
    rng = np.random.default_rng(0)
    nets = []
    for net, stored, params in [
        (SMALL, 16, draw_params(SMALL)),
        (LARGE, 18, jax.tree.map(lambda leaf: 1.2 * leaf, draw_params(LARGE))),
    ]:
        mean = rng.uniform(80, 120, (stored, stored, 3)).astype(np.float32)
        nets.append((net, params, mean, rng.integers(0, 256, (COUNT, stored, stored, 3), np.uint8)))
    return nets, rng.integers(0, 7, COUNT)


@pytest.fixture(scope="module")
def expected(two_nets):
    """The probabilities [n, 10, classes] of each network, by loops over its crops."""
    probabilities = []
    for net, params, mean, images in two_nets[0]:
        size = net.image_sizes[0]
        far, middle = len(mean) - size, (len(mean) - size) // 2
        by_crop = []
        for mirror in (1, -1):
            for top, left in ((0, 0), (0, far), (middle, middle), (far, 0), (far, far)):
                window = (images - mean)[:, top : top + size, left : left + size][:, :, ::mirror]
                powers = np.exp(reference.tiny_logits(params, window))
                by_crop.append(powers / powers.sum(axis=1, keepdims=True))
        probabilities.append(np.stack(by_crop, axis=1))
    return probabilities


def batches(images, labels, batch_size):
    """Batches of all images, the last one padded."""
    source = [{"image": image, "label": label} for image, label in zip(images, labels)]
    return evaluation_batches(source, batch_size=batch_size, threads=1, prefetch=1)


@pytest.mark.parametrize(
    ("devices", "batch_size", "crops"),
    [(1, 1, 1), (1, 64, 1), (2, 7, 1), (2, 4, 10), (4, 10, 10)],
)
def test_every_image_counts_once_whatever_the_batch_size(
    two_nets, expected, devices, batch_size, crops
):
    nets, labels = two_nets
    mesh = alexnet_jax.make_mesh(devices)
    eval_steps = [
        functools.partial(make_eval_step(net, jnp.asarray(mean), mesh, crops=crops), params)
        for net, params, mean, _ in nets
    ]
    ours = evaluate(eval_steps, zip(*(batches(images, labels, batch_size) for *_, images in nets)))

    center = [p[:, 2] for p in expected]
    views = [center] if crops == 1 else [center, [p.mean(axis=1) for p in expected]]
    assert len(ours) == 3
    for net, outcomes_by_view in enumerate(ours):
        assert len(outcomes_by_view) == len(views)
        for view, outcomes in zip(views, outcomes_by_view):
            probabilities = [*view, (view[0] + view[1]) / 2][net]
            assert_outcomes(outcomes, probabilities, labels)


def assert_outcomes(outcomes, probabilities, labels):
    np.testing.assert_array_equal(outcomes.labels, labels)
    np.testing.assert_array_equal(outcomes.predictions, probabilities.argmax(axis=1))
    losses = -np.log(probabilities[np.arange(COUNT), labels])
    np.testing.assert_allclose(outcomes.losses, losses, rtol=1e-3)
    rates = outcomes.rates()
    assert rates["loss"] == pytest.approx(losses.mean(), rel=1e-4)
    for k in (1, 5):
        top_k_misses = reference.top_k_misses(probabilities, labels, k)
        assert rates[f"top{k}_error"] == pytest.approx(top_k_misses / COUNT)


def test_one_net_alone_has_no_averaged_predictions(two_nets):
    (net, params, mean, images), labels = two_nets[0][0], two_nets[1]
    eval_step = make_eval_step(net, jnp.asarray(mean), alexnet_jax.make_mesh(1))
    one_batch = ([batch] for batch in batches(images, labels, COUNT))
    [[outcomes]] = evaluate([functools.partial(eval_step, params)], one_batch)
    assert outcomes.losses.shape == (COUNT,)


@pytest.mark.parametrize("setting", [None, "bfloat16"])
def test_all_products_of_an_evaluation_are_at_highest_whatever_jaxs_setting(two_nets, setting):
    net, params, mean, images = two_nets[0][0]
    eval_step = make_eval_step(net, jnp.asarray(mean), alexnet_jax.make_mesh(1), crops=10)
    with jax.default_matmul_precision(setting):
        exported = export.export(eval_step, platforms=["cpu", "cuda", "tpu"])(params, images[:8])
    assert count_levels(exported.mlir_module()).keys() == {"HIGHEST"}
