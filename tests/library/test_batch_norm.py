"""Batch normalization in training and at test time, its running statistics, on any devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import BatchStats, Layer
from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import BatchNorm, Conv, Dropout, Flatten, Gather, MaxPool, Output, Relu
from tests.support import reference
from tests.support.tiny import draw_params, training_batch
from train.run_dir.checkpoints import Checkpoints
from train.steps.optimizers import sgd
from train.steps.schedules import constant
from train.steps.train_step import init_state, make_train_step, state_shardings

NET = Architecture(
    "NORMED",
    image_sizes=(9,),
    towers=2,
    layers=(
        Conv("conv1", 8, kernel=3, std=0.3),
        Relu(),
        BatchNorm(),  # over the maps of each tower
        MaxPool(),
        Conv("conv2", 8, kernel=3, std=0.3),
        Gather(),
        BatchNorm(momentum=0.9),  # over all maps, the same in both towers
        Flatten(),
        Dropout(),
        Output("fc3", 3, std=0.3),
    ),
)


@pytest.fixture
def images(rng):
    return jnp.asarray(60 * rng.normal(size=(4, 9, 9, 3)), jnp.float32)


def first_maps(params, images):
    return reference.relu(reference.conv(images, *params["conv1"]))


def second_maps(params, normed):
    halves = [
        reference.conv(reference.max_pool(x), weights, biases)
        for x, (weights, biases) in zip(
            reference.split_towers(normed), reference.split_params(params["conv2"]), strict=True
        )
    ]
    return np.concatenate(halves, axis=-1)


def test_in_bfloat16_it_is_bfloat16_in_training_and_at_test_time(images):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), draw_params(NET))
    names = [info.name for info in NET.layer_info()]
    for key in (None, jax.random.key(0)):
        captured = alexnet_jax.activations(params, images, names, architecture=NET, dropout_key=key)
        types = {name: value.dtype for name, value in captured.items()}
        assert types == dict.fromkeys(names, jnp.bfloat16)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_at_test_time_the_running_statistics_normalize(devices, images):
    params, mesh = draw_params(NET), alexnet_jax.make_mesh(devices)
    names = ["norm1", "norm2"]
    ours = jax.jit(partial(alexnet_jax.activations, names=names, architecture=NET, mesh=mesh))(
        params, images
    )
    normed = first_maps(params, images)
    normed = reference.batch_norm(normed, params["norm1"], params["norm1_running"])
    np.testing.assert_allclose(ours["norm1"], normed, rtol=1e-4, atol=1e-3)
    normed = second_maps(params, normed)
    normed = reference.batch_norm(normed, params["norm2"], params["norm2_running"])
    np.testing.assert_allclose(ours["norm2"], normed, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_in_training_the_batch_statistics_are_those_of_the_global_batch(devices, images):
    params, mesh = draw_params(NET), alexnet_jax.make_mesh(devices)
    run = jax.jit(partial(alexnet_jax.apply_train, architecture=NET, mesh=mesh))
    _, stats = run(params, images, jax.random.key(0))
    maps = first_maps(params, images)
    first = reference.batch_stats(maps)
    np.testing.assert_allclose(stats["norm1_running"], first, rtol=1e-4)
    maps = second_maps(params, reference.batch_norm(maps, params["norm1"], first))
    np.testing.assert_allclose(
        stats["norm2_running"], reference.batch_stats(maps), rtol=1e-4, atol=1e-5
    )


def test_in_training_the_running_statistics_have_no_effect(images):
    params, key = draw_params(NET), jax.random.key(0)
    others = params | {"norm1_running": BatchStats(jnp.full(8, 7.0), jnp.full(8, 50.0))}
    apply = partial(alexnet_jax.apply, images=images, architecture=NET)
    np.testing.assert_array_equal(apply(params, dropout_key=key), apply(others, dropout_key=key))
    assert not np.allclose(apply(params), apply(others))


@pytest.mark.parametrize("devices", [2, 4])
def test_logits_and_gradients_are_the_same_on_any_devices(devices, images):
    def loss(mesh, params):
        logits, _ = alexnet_jax.apply_train(
            params, images, jax.random.key(0), architecture=NET, mesh=mesh
        )
        return (logits**3).sum(), logits

    params = draw_params(NET)
    run = jax.jit(jax.grad(loss, 1, has_aux=True), static_argnums=0)
    (grads, logits), (sharded_grads, sharded_logits) = (
        run(mesh, params) for mesh in (None, alexnet_jax.make_mesh(devices))
    )
    np.testing.assert_allclose(logits, sharded_logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())
    for name in params:
        for one, other in zip(grads[name], sharded_grads[name], strict=True):
            size = max(np.abs(one).max(), 1)  # conv2's biases have no effect
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * size)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_step_updates_the_running_statistics_and_a_checkpoint_keeps_them(devices, rng, tmp_path):
    mesh, optimizer = alexnet_jax.make_mesh(devices), sgd()
    initial = jax.device_put(
        init_state(jax.random.key(0), NET, optimizer), state_shardings(NET, optimizer, mesh)
    )
    images = rng.integers(0, 256, (4, 9, 9, 3)).astype(np.uint8)
    batch = training_batch(images, np.array([0, 1, 2, 0]))
    maps = first_maps(initial.params, images.astype(np.float32))
    means, variances = reference.batch_stats(maps)
    recipe = {"schedule": constant(0.1), "key": jax.random.key(0), "flip": False}
    step = make_train_step(NET, optimizer, jnp.zeros((9, 9, 3)), **recipe, mesh=mesh)
    state, _ = step(initial, batch)
    running = state.params["norm1_running"]
    # The initial means are 0, the variances 1.
    np.testing.assert_allclose(running.means, 0.01 * means, rtol=1e-4)
    np.testing.assert_allclose(running.variances, 0.99 + 0.01 * variances, rtol=1e-4)
    assert np.abs(state.params["norm1"].weights - 1).max() > 1e-6

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, 1, None)
        checkpoints.wait()
        restored, _ = checkpoints.restore(1, state, state_shardings(NET, optimizer, mesh))
    jax.tree.map(np.testing.assert_array_equal, restored.params, state.params)


def test_parameters_without_running_statistics_are_refused(images):
    params = draw_params(NET)
    del params["norm1_running"]
    with pytest.raises(ValueError, match="NORMED has the layers conv1, norm1, norm1_running"):
        alexnet_jax.apply(params, images, architecture=NET)
    params = draw_params(NET) | {"norm1": Layer(jnp.ones(4), jnp.zeros(4))}
    with pytest.raises(ValueError, match=r"norm1 has weights and biases of \(4,\) and \(4,\)"):
        alexnet_jax.apply(params, images, architecture=NET)
