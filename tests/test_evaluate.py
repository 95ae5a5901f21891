"""Error rates, counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from tests import reference
from tests.tiny import TINY
from train.augment import centre_crops
from train.evaluate import evaluate, make_evaluation_step, missed


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_errors_equal_a_sort_by_hand_ties_included(rng, k):
    scores = rng.integers(0, 4, (200, 7)).astype(np.float32)  # many equal scores
    labels = rng.integers(0, 7, 200)
    ours = missed(jnp.asarray(scores), jnp.asarray(labels), k)
    assert int(ours.sum()) == reference.missed(scores, labels, k)


def test_with_fewer_than_five_classes_top_5_misses_nothing():
    assert not missed(jnp.zeros((3, 2)), jnp.array([0, 1, 1]), 5).any()


@pytest.mark.parametrize("batch_size", [1, 4, 7, 10, 64])
@pytest.mark.parametrize("devices", [1, 2])
def test_every_image_counts_once_whatever_the_batch_size(rng, batch_size, devices):
    images = rng.integers(0, 256, (10, 16, 16, 3), np.uint8)
    labels = rng.integers(0, 7, 10)
    mean = jnp.full((16, 16, 3), 100.0)
    params = alexnet_jax.init(jax.random.key(0), TINY)
    step = make_evaluation_step(TINY, mean, alexnet_jax.make_mesh(devices))
    batches = [
        {"image": images[i : i + batch_size], "label": labels[i : i + batch_size]}
        for i in range(0, 10, batch_size)
    ]
    ours = evaluate(step, params, batches, batch_size)

    scores = reference.tiny_scores(params, centre_crops(jnp.asarray(images), mean, size=14))
    log_sum = np.log(np.exp(scores).sum(axis=1))
    assert ours["count"] == 10
    assert ours["top1_error"] == pytest.approx(reference.missed(scores, labels, 1) / 10)
    assert ours["top5_error"] == pytest.approx(reference.missed(scores, labels, 5) / 10)
    expected = (log_sum - scores[np.arange(10), labels]).mean()
    assert ours["loss"] == pytest.approx(expected, rel=1e-4)
