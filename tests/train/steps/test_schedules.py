"""Schedules against their sources' tables and the paper's rule as a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.architectures import ORIGINAL
from train.config.config import Recipe
from train.config.errors import BadInput
from train.steps import schedules
from train.steps.schedules import Row, Schedule, initial_plateau, update_plateau
from train.trainer.build import make_schedule

PARAMS = jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0), ORIGINAL))
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def rates(schedule, step, cuts=0):
    """(weights, biases) of every layer."""
    plateau = initial_plateau().replace(cuts=jnp.int32(cuts))
    found = schedule.rates(jnp.int32(step), plateau, PARAMS)
    return {name: tuple(float(rate) for rate in layer) for name, layer in found.items()}


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
    found = rates(schedule, round(10 * epoch))
    assert found.keys() == set(LAYERS)
    for name, rate in found.items():
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
def test_the_discretised_exponential_has_the_rates_of_its_documentation(progress, weights, biases):
    schedule = schedules.by_epochs(schedules.dexp(0.01, epochs=90), steps_per_epoch=100)
    found = rates(schedule, round(progress * 9000))
    assert set(found.values()) == {found["fc8"]}
    assert found["fc8"] == pytest.approx((weights, biases), rel=0.01)


def test_the_rate_is_cut_by_ten_after_each_epoch_and_biases_learn_twice_as_fast():
    """Caffe: 20, 40, ... epochs of batches of 256."""
    schedule = schedules.by_epochs(schedules.step_decay(0.01, (20, 40), 2), steps_per_epoch=5004.5)
    for step, rate in [(0, 1e-2), (100_089, 1e-2), (100_090, 1e-3), (200_180, 1e-4)]:
        assert rates(schedule, step)["fc6"] == pytest.approx((rate, 2 * rate))


def test_another_learning_rate_scales_the_whole_table():
    schedule = Schedule(schedules.original(0.02))
    assert rates(schedule, 68)["conv1"] == pytest.approx((2e-5, 0.04))


def test_a_layer_that_a_row_names_no_longer_goes_by_the_others():
    schedule = Schedule((Row(0, 4, 5), Row(2, 7, 8, ("fc8",)), Row(3, 1, 2)))
    assert [rates(schedule, step)["fc8"] for step in (1, 2, 3)] == [(4, 5), (7, 8), (7, 8)]
    assert [rates(schedule, step)["fc7"] for step in (1, 2, 3)] == [(4, 5), (4, 5), (1, 2)]


def cuts_in_a_loop(errors, patience):
    """Section 5, written out: after which evaluations the rate is cut, three times at most."""
    best, waited, cuts = float("inf"), 0, []
    for number, error in enumerate(errors):
        if error < best:
            best, waited = error, 0
        else:
            waited += 1
        if waited == patience and len(cuts) < 3:
            cuts.append(number)
            waited = 0
    return cuts


def cuts_of(errors, patience):
    plateau, found = initial_plateau(), []
    judge = jax.jit(update_plateau, static_argnames="patience")
    for number, error in enumerate(errors):
        before, plateau = plateau, judge(plateau, error, patience=patience)
        found += [number] * int(plateau.cuts - before.cuts)
    return found


def test_the_rate_is_cut_when_the_error_stops_improving(rng):
    assert cuts_of([0.5, 0.4, 0.4, 0.41, 0.3, 0.3, 0.3, 0.3], patience=2) == [3, 6]
    falling = 1 / np.arange(1, 60)
    assert cuts_of(falling, patience=1) == []
    assert cuts_of(np.full(20, 0.7), patience=4) == [4, 8, 12]  # and no fourth at 16
    seen = set()
    for patience in (1, 2, 3, 5) * 10:
        errors = np.round(rng.uniform(size=30) + falling[:30], 2).tolist()
        assert cuts_of(errors, patience) == cuts_in_a_loop(errors, patience)
        seen.add(len(cuts_of(errors, patience)))
    assert seen >= {2, 3}


def test_the_rate_follows_the_cuts_and_not_the_steps():
    schedule = schedules.by_plateau(0.01, bias_rate=2)
    for cuts, rate in enumerate([1e-2, 1e-3, 1e-4, 1e-5]):
        assert rates(schedule, 10**6, cuts)["conv3"] == pytest.approx((rate, 2 * rate))


def schedule_of(images, **settings):
    """The schedule of a run on that many training images."""
    return make_schedule(Recipe(**settings), images)


@pytest.mark.parametrize("kind", ["cuts", "plateau"])
def test_rates_grow_with_the_batch_after_a_warm_up(kind):
    """Goyal et al. (2017): from 0.1 evenly, over the steps of 5 epochs, to 8 times that."""
    schedule = schedule_of(
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


def test_without_a_base_batch_the_rate_is_as_it_is_given():
    schedule = schedule_of(1000, batch_size=500, learning_rate=0.1, cut_epochs=())
    assert rates(schedule, 0)["fc6"] == rates(schedule, 99)["fc6"] == pytest.approx((0.1, 0.1))
    with pytest.raises(BadInput, match="`warmup_epochs` needs `base_batch`, whose rate"):
        Recipe(warmup_epochs=5)
