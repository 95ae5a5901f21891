"""Schedules against their sources' tables and the paper's rule as a loop."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import alexnet_jax
from alexnet_jax.architectures import ORIGINAL
from train.config.errors import BadInput
from train.config.recipe import Recipe
from train.steps import schedules
from train.steps.schedules import Row, Schedule, initial_plateau, update_plateau
from train.trainer.build import make_schedule

PARAMS = jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0), ORIGINAL))
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def rates(schedule, step, cuts=0):
    """The learning rates (weights, biases) of every layer."""
    plateau = replace(initial_plateau(), cuts=jnp.int32(cuts))
    by_layer = schedule.rates(jnp.int32(step), plateau, PARAMS)
    return {name: tuple(float(rate) for rate in layer) for name, layer in by_layer.items()}


@pytest.mark.parametrize(
    ("epoch", "conv1", "others"),
    [
        (0, (1e-2, 0.02), (1e-2, 0.02)),
        (24.9, (1e-2, 0.02), (1e-2, 0.02)),
        (25, (1e-3, 0.02), (1e-3, 0.02)),
        (51, (1e-4, 0.02), (1e-4, 0.02)),
        (67, (1e-5, 0.02), (1e-4, 0.02)),
        (72, (0, 0), (1e-4, 0.02)),
        (79, (0, 0), (1e-5, 0.02)),
        (90.9, (0, 0), (1e-5, 0.02)),
    ],
)
def test_net_145_learns_at_its_own_rates_layer_by_layer(epoch, conv1, others):
    schedule = schedules.by_epochs(schedules.original(), steps_per_epoch=10)
    by_layer = rates(schedule, round(10 * epoch))
    assert by_layer.keys() == set(LAYERS)
    for name, rate in by_layer.items():
        assert rate == pytest.approx(conv1 if name == "conv1" else others, rel=1e-6)
    assert schedule.learning_rate(jnp.int32(10 * epoch), initial_plateau()) == pytest.approx(
        others[0]
    )


@pytest.mark.parametrize(
    ("progress", "weights", "biases"),
    [
        (0.0, 0.01, 0.02),
        (0.24, 0.01, 0.02),
        (0.26, 0.00159, 0.02),
        (0.49, 0.00159, 0.02),
        (0.51, 0.00025, 0.002),
        (0.76, 0.00004, 0.002),
        (1.0, 0.00004, 0.002),
    ],
)
def test_the_discretized_exponential_has_the_rates_of_its_documentation(progress, weights, biases):
    schedule = schedules.by_epochs(schedules.dexp(0.01, epochs=90), steps_per_epoch=100)
    by_layer = rates(schedule, round(progress * 9000))
    assert set(by_layer.values()) == {by_layer["fc8"]}
    assert by_layer["fc8"] == pytest.approx((weights, biases), rel=0.01)


def test_step_decay_divides_the_rate_by_ten_and_biases_learn_twice_as_fast():
    """Caffe: 20, 40, ... epochs of batches of 256."""
    schedule = schedules.by_epochs(schedules.step_decay(0.01, (20, 40), 2), steps_per_epoch=5004.5)
    for step, rate in [(0, 1e-2), (100_089, 1e-2), (100_090, 1e-3), (200_180, 1e-4)]:
        assert rates(schedule, step)["fc6"] == pytest.approx((rate, 2 * rate))


def test_another_learning_rate_scales_the_whole_table():
    schedule = Schedule(schedules.original(0.02))
    assert rates(schedule, 68)["conv1"] == pytest.approx((2e-5, 0.04))


def test_a_layer_named_in_a_row_ignores_later_rows_for_all_layers():
    schedule = Schedule((Row(0, 4, 5), Row(2, 7, 8, ("fc8",)), Row(3, 1, 2)))
    assert [rates(schedule, step)["fc8"] for step in (1, 2, 3)] == [(4, 5), (7, 8), (7, 8)]
    assert [rates(schedule, step)["fc7"] for step in (1, 2, 3)] == [(4, 5), (4, 5), (1, 2)]


def decays_in_a_loop(errors, patience):
    """Section 5 written out: the evaluations that decay the learning rate, three at most."""
    best, waited, decays = float("inf"), 0, []
    for number, error in enumerate(errors):
        if error < best:
            best, waited = error, 0
        else:
            waited += 1
        if waited == patience and len(decays) < 3:
            decays.append(number)
            waited = 0
    return decays


def plateau_decays(errors, patience):
    plateau, decays = initial_plateau(), []
    update = jax.jit(update_plateau, static_argnames="patience")
    for number, error in enumerate(errors):
        before, plateau = plateau, update(plateau, error, patience=patience)
        decays += [number] * int(plateau.cuts - before.cuts)
    return decays


def test_the_learning_rate_decays_when_the_error_stops_improving(rng):
    assert plateau_decays([0.5, 0.4, 0.4, 0.41, 0.3, 0.3, 0.3, 0.3], patience=2) == [3, 6]
    falling = 1 / np.arange(1, 60)
    assert plateau_decays(falling, patience=1) == []
    assert plateau_decays(np.full(20, 0.7), patience=4) == [4, 8, 12]  # and no fourth at 16
    counts = set()
    for patience in (1, 2, 3, 5) * 10:
        errors = np.round(rng.uniform(size=30) + falling[:30], 2).tolist()
        assert plateau_decays(errors, patience) == decays_in_a_loop(errors, patience)
        counts.add(len(plateau_decays(errors, patience)))
    assert counts >= {2, 3}


def test_the_plateau_schedule_follows_the_decays_and_not_the_steps():
    schedule = schedules.by_plateau(0.01, bias_rate=2)
    for cuts, rate in enumerate([1e-2, 1e-3, 1e-4, 1e-5]):
        assert rates(schedule, 10**6, cuts)["conv3"] == pytest.approx((rate, 2 * rate))


def schedule_for(images, **settings):
    """The schedule of a run on `images` training images."""
    return make_schedule(Recipe(**settings), images)


@pytest.mark.parametrize("kind", ["cuts", "plateau"])
def test_rates_grow_with_the_batch_after_a_warm_up(kind):
    """Goyal et al. (2017): linear from 0.1 to 8 times that over the steps of 5 epochs."""
    schedule = schedule_for(
        81920,
        batch_size=2048,  # 40 steps an epoch
        base_batch=256,
        warmup_epochs=5,
        learning_rate=0.1,
        bias_rate=2,
        cut_epochs=(30,),
        schedule=kind,
    )
    for step in (0, 1, 50, 199, 200, 1199):
        rate = 0.1 + 0.7 * min(step / 200, 1)
        assert rates(schedule, step)["fc6"] == pytest.approx((rate, 2 * rate), rel=1e-6)
        assert schedule.learning_rate(step, initial_plateau()) == pytest.approx(rate, rel=1e-6)
    later = rates(schedule, 1200, cuts=1)["fc6"]
    assert later == pytest.approx((0.08, 0.16), rel=1e-6)


@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_the_cosine_is_optaxs_warm_up_and_cosine(warmup_epochs):
    schedule = schedule_for(
        1600,
        batch_size=32,  # 50 steps an epoch
        base_batch=4,
        warmup_epochs=warmup_epochs,
        learning_rate=0.004,
        bias_rate=2,
        schedule="cosine",
        epochs=10,
    )
    expected = optax.warmup_cosine_decay_schedule(0.004, 0.032, 50 * warmup_epochs, 500)
    for step in (0, 1, 99, 100, 101, 250, 499, 500, 501):
        rate = 0 if step >= 500 else float(expected(step))
        assert rates(schedule, step)["fc6"] == pytest.approx((rate, 2 * rate), rel=1e-4, abs=1e-9)
        assert schedule.learning_rate(step, initial_plateau()) == pytest.approx(
            rate, rel=1e-4, abs=1e-9
        )


def test_without_a_base_batch_the_learning_rate_is_not_scaled():
    schedule = schedule_for(1000, batch_size=500, learning_rate=0.1, cut_epochs=())
    assert rates(schedule, 0)["fc6"] == rates(schedule, 99)["fc6"] == pytest.approx((0.1, 0.1))
    with pytest.raises(BadInput, match="`warmup_epochs` needs `base_batch`, whose rate"):
        Recipe(warmup_epochs=5)
