"""Which checkpoints are kept, and what becomes of a damaged one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from tests.tiny import TINY
from train.checkpoints import Checkpoints
from train.config import BadInput
from train.optimizer import sgd
from train.step import init_state, state_shardings

OPTIMIZER = sgd()


def state(step):
    return init_state(jax.random.key(step), TINY, OPTIMIZER).replace(step=jnp.int32(step))


def shardings(devices):
    return state_shardings(TINY, OPTIMIZER, alexnet_jax.make_mesh(devices))


def test_the_latest_two_and_the_best_are_kept(tmp_path):
    errors = {1: 0.5, 2: 0.1, 3: 0.4, 4: None, 5: 0.3, 6: None}
    with Checkpoints(tmp_path) as checkpoints:
        for step, error in errors.items():
            checkpoints.save(state(step), step, None if error is None else {"top1_error": error})
            checkpoints.wait()
        kept = sorted(int(path.name) for path in checkpoints.folder.iterdir())
        assert kept == [2, 5, 6]
        assert (checkpoints.latest_step(), checkpoints.best_step()) == (6, 2)


def test_a_checkpoint_is_found_by_step_or_by_name(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(BadInput, match="holds no checkpoint yet"):
            checkpoints.find("latest")
        for step, error in {3: 0.1, 7: 0.2}.items():
            checkpoints.save(state(step), step, {"top1_error": error})
        checkpoints.wait()
        assert [checkpoints.find(which) for which in ("best", "latest", 3, 7)] == [3, 7, 3, 7]
        with pytest.raises(BadInput, match="holds the steps 3, 7, and not 5"):
            checkpoints.find(5)


def test_without_an_evaluation_the_best_is_the_latest(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best_step() is None
        checkpoints.save(state(3), 3, None)
        checkpoints.wait()
        assert checkpoints.best_step() == 3


@pytest.mark.parametrize(("saved_on", "restored_on"), [(1, 2), (2, 1), (2, 4)])
def test_a_checkpoint_restores_on_any_number_of_devices(tmp_path, saved_on, restored_on):
    before = jax.device_put(state(7), shardings(saved_on))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(before, 9, None)
        checkpoints.wait()
        after, position = checkpoints.restore(7, before, shardings(restored_on))
    assert position == 9
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(a, b)
    assert after.params["conv1"].weights.sharding.num_devices == restored_on


def test_a_damaged_checkpoint_is_named(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(7), 7, None)
        checkpoints.wait()
        for path in (checkpoints.path(7) / "state").rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:10])
        with pytest.raises(BadInput, match=r"checkpoints/7 cannot be read"):
            checkpoints.restore(7, state(7), shardings(1))


def test_a_checkpoint_of_another_net_is_refused(tmp_path):
    other = init_state(jax.random.key(0), TINY.with_classes(3), OPTIMIZER)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(7), 7, None)
        checkpoints.wait()
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(BadInput, match=r"7 has weights of \(32, 7\) in fc8, not \(32, 3\)"),
    ):
        checkpoints.restore(7, other, shardings(1))
