"""The jitted training step: in bfloat16, and lowered for accelerators that this machine lacks."""

import re
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import alexnet_jax
from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import PAPER
from alexnet_jax.layer_specs import Flatten, Output
from tests.support.products import count_levels
from tests.support.tiny import SMALL, TINY, training_batch
from train.steps.augment import PCA_COLORS
from train.steps.optimizers import sgd
from train.steps.schedules import by_cosine, by_epochs, by_plateau, constant, step_decay
from train.steps.train_step import abstract_batch, init_state, make_train_step

# One layer, for tests of what does not depend on the layers: it compiles in a second.
LINEAR = Architecture("LINEAR", image_sizes=14, towers=1, layers=(Flatten(), Output("fc1", 7)))


def losses_and_params(precision):
    """Twenty steps on two images of each class, dropout and crops included."""
    rng, optimizer = np.random.default_rng(0), sgd()
    state = init_state(jax.random.key(0), TINY, optimizer)
    labels = np.repeat(np.arange(7), 2)
    images = rng.integers(0, 256, (14, 18, 18, 3), np.uint8) // 4
    images += (30 * labels[:, None, None, None]).astype(np.uint8)
    step = make_train_step(
        TINY,
        optimizer,
        jnp.full((18, 18, 3), 128.0),
        schedule=constant(0.001),
        key=jax.random.key(3),
        flip=True,
        mesh=alexnet_jax.make_mesh(2),
        precision=precision,
    )
    losses = []
    for _ in range(20):
        state, metrics = step(state, training_batch(images, labels))
        losses.append(float(metrics["loss"]))
    return np.array(losses), state.params


def test_losses_in_bfloat16_track_those_in_float32():
    exact, _ = losses_and_params("default")
    rounded, params = losses_and_params("bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert not np.array_equal(exact, rounded)
    assert exact[-1] < 0.9 * exact[0]  # the loss falls, so there is a curve to track
    np.testing.assert_allclose(rounded, exact, rtol=0.02)


@pytest.mark.parametrize(
    ("schedule", "cuts", "rates"),
    [
        (by_epochs(step_decay(0.01, (1.5,)), steps_per_epoch=2), 0, [0.01, 0.01, 0.01, 0.001]),
        (by_plateau(0.01), 2, [0.0001] * 4),
        (by_cosine(0.01, end=4), 0, 0.005 * (1 + np.cos(np.pi * np.arange(4) / 4))),
        (replace(constant(0.01), warm_up=2, warm_up_from=0.5), 0, [0.005, 0.0075, 0.01, 0.01]),
    ],
)
def test_each_step_returns_its_learning_rate(schedule, cuts, rates):
    optimizer = sgd()
    state = init_state(jax.random.key(0), LINEAR, optimizer)
    state = replace(state, plateau=replace(state.plateau, cuts=jnp.int32(cuts)))
    step = make_train_step(
        LINEAR,
        optimizer,
        jnp.full((18, 18, 3), 128.0),
        schedule=schedule,
        key=jax.random.key(3),
        flip=True,
        mesh=alexnet_jax.make_mesh(1),
    )
    batch = training_batch(np.zeros((2, 18, 18, 3), np.uint8), np.zeros(2, np.int32))
    for rate in rates:
        state, metrics = step(state, batch)
        assert metrics["learning_rate"] == pytest.approx(rate, rel=1e-6)


def predict(params, images):
    return jax.nn.softmax(alexnet_jax.apply(params, images))


def lowered_prediction(platform):
    params = jax.eval_shape(alexnet_jax.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((32, 224, 224, 3), jnp.float32)
    return export.export(jax.jit(predict), platforms=[platform])(params, images).mlir_module()


def lowered_step(platform, devices):
    optimizer = sgd()
    state = jax.eval_shape(partial(init_state, jax.random.key(0), PAPER, optimizer))
    step = make_train_step(
        PAPER,
        optimizer,
        jnp.zeros((256, 256, 3)),
        schedule=constant(0.01),
        key=jax.random.key(1),
        flip=True,
        mesh=alexnet_jax.make_mesh(devices),
    )
    batch = abstract_batch(32, 256)
    return export.export(step, platforms=[platform])(state, batch).mlir_module()


def counts(program):
    names = ("convolution", "reduce_window", "select_and_scatter", "optimization_barrier")
    return [len(re.findall(rf"stablehlo\.{name}\b", program)) for name in names]


@pytest.mark.parametrize(("platform", "pools"), [("cuda", 0), ("tpu", 6)])
def test_prediction_lowers_for_accelerators_with_xlas_own_operations(platform, pools):
    """Five layers and three pools in each of two towers, no grouped convolution.

    On a GPU a pool is maxima of slices, whose gradient has no scatter.
    """
    program = lowered_prediction(platform)
    assert counts(program) == [10, pools, 0, 0]
    assert "feature_group_count = 2" not in program


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_the_step_lowers_for_accelerators_with_xlas_own_operations(platform, devices):
    """Convolutions a tower: 5 forward, 5 gradients of kernels, 4 gradients of inputs.

    Barriers: one for each dense layer; on a GPU also one for each of seven ReLUs and two norms.
    """
    program = lowered_step(platform, devices)
    towers = 2 if devices == 1 else 1
    pools, barriers = (0, (7 + 2) * towers) if platform == "cuda" else (3 * towers, 0)
    assert counts(program) == [14 * towers, pools, pools, 3 + barriers]


def test_only_the_cpu_gets_winograd_products_and_their_barriers():
    """Eight convolutions for the first two layers; the others become products (`winograd`).

    Barriers: three for each dense layer, 4 for norms, 14 for ReLUs; one for the gradient of the
    kernels of conv1, and that of the maps of conv3; in each of two towers one for the gradient of
    the kernels of conv2, and one for those of the maps of conv2, conv4 and conv5.
    """
    program = lowered_step("cpu", 1)
    assert counts(program) == [8, 0, 0, 3 * 3 + 4 + 14 + 2 + 2 * 4]


def small_step(**options):
    """The step of a small network with every augmentation that multiplies, and its arguments."""
    optimizer, color = sgd(), PCA_COLORS["paper"](jnp.ones(3), jnp.eye(3))._replace(until=9)
    options = {"crop_area": 0.5, "pca_color": color} | options
    step = make_train_step(
        SMALL,
        optimizer,
        jnp.zeros((10, 10, 3)),
        schedule=constant(0.01),
        key=jax.random.key(1),
        flip=True,
        mesh=alexnet_jax.make_mesh(1),
        **options,
    )
    state = jax.eval_shape(partial(init_state, jax.random.key(0), SMALL, optimizer))
    return step, (state, abstract_batch(6, 10))


def levels_of_step(precision):
    step, arguments = small_step(precision=precision)
    program = export.export(step, platforms=["cpu", "cuda", "tpu"])(*arguments).mlir_module()
    return count_levels(program)


def test_all_products_of_a_step_are_at_highest_if_that_is_asked_for():
    """Those of random crops and of the gradients as well, whatever JAX's own setting is."""
    with jax.default_matmul_precision("bfloat16"):
        levels = levels_of_step("highest")
    assert levels.keys() == {"HIGHEST"}


@pytest.mark.parametrize("precision", ["default", "bfloat16"])
def test_other_steps_leave_their_products_to_jaxs_setting(precision):
    with jax.default_matmul_precision(None):
        assert "DEFAULT" in levels_of_step(precision)
    with jax.default_matmul_precision("highest"):
        assert levels_of_step(precision).keys() == {"HIGHEST"}


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="not promised on other devices")
def test_a_step_on_a_cpu_has_the_same_bits_at_any_precision_of_float32_and_twice():
    def params(**options):
        step, (like, _) = small_step(**options)
        state = init_state(jax.random.key(0), SMALL, sgd())
        assert jax.tree.structure(state) == jax.tree.structure(like)
        images = np.random.default_rng(0).integers(0, 256, (6, 10, 10, 3), np.uint8)
        for _ in range(2):
            state, _ = step(state, training_batch(images, np.arange(6) % 3))
        return jax.tree.leaves(state.params)

    first = params()
    for options in ({}, {"precision": "highest"}, {"deterministic": True}):
        for one, other in zip(first, params(**options), strict=True):
            np.testing.assert_array_equal(one, other)
