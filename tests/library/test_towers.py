"""The same numbers on 1, 2, 4 and 8 devices; towers communicate only where Figure 2 lets them."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import alexnet_jax
from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import PAPER
from alexnet_jax.layer_specs import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, Output, Relu
from alexnet_jax.towers import global_batch
from tests.support.tiny import TINY, training_batch
from train.steps.augment import original_pca_color
from train.steps.optimizers import sgd
from train.steps.schedules import constant
from train.steps.train_step import init_state, make_train_step, state_shardings


@pytest.fixture(scope="module")
def params():
    return alexnet_jax.init(jax.random.key(1), TINY)


@pytest.fixture
def images(rng):
    return jnp.asarray(60 * rng.normal(size=(8, 14, 14, 3)), jnp.float32)


def loss(params, images, mesh):
    logits = alexnet_jax.apply(
        params, images, architecture=TINY, dropout_key=jax.random.key(5), mesh=mesh
    )
    labels = jnp.arange(8) % TINY.classes
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits


NAMES = [info.name for info in TINY.layer_info()]

# Compiled once for each mesh that the tests give.
gradient = jax.jit(jax.grad(loss, has_aux=True), static_argnums=2)
activations = jax.jit(
    partial(alexnet_jax.activations, names=NAMES, architecture=TINY), static_argnames="mesh"
)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_logits_and_gradients_do_not_depend_on_the_number_of_devices(params, images, devices):
    """With dropout on: the masks are the same too."""
    grads, logits = gradient(params, images, None)
    sharded_grads, sharded_logits = gradient(params, images, alexnet_jax.make_mesh(devices))
    np.testing.assert_allclose(logits, sharded_logits, rtol=1e-5, atol=1e-5)
    for name in params:
        for one, other in zip(grads[name], sharded_grads[name]):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize("devices", [2, 4])
def test_every_activation_is_the_same_whole_array_on_any_number_of_devices(params, images, devices):
    one = activations(params, images)
    several = activations(params, images, mesh=alexnet_jax.make_mesh(devices))
    for name in NAMES:
        np.testing.assert_allclose(one[name], several[name], rtol=1e-5, atol=1e-4)


def twenty_steps(net, mesh):
    rng, optimizer = np.random.default_rng(0), sgd()
    state = jax.jit(
        partial(init_state, jax.random.key(0), net, optimizer),
        out_shardings=state_shardings(net, optimizer, mesh),
    )()
    mean = jnp.full((18, 18, 3), 128.0)
    color = original_pca_color(jnp.array([20.0, 90.0, 900.0]), jnp.eye(3))._replace(until=15)
    recipe = {
        "schedule": constant(0.001),
        "key": jax.random.key(3),
        "flip": True,
        "pca_color": color,
    }
    step = make_train_step(net, optimizer, mean, **recipe, mesh=mesh)
    losses = []
    for number in range(20):
        images = rng.integers(0, 256, (24, 18, 18, 3), np.uint8)
        labels = rng.integers(0, 7, 24).astype(np.int32)
        batch = training_batch(images, labels, 24 * number)
        batch = {name: global_batch(rows, mesh, 24) for name, rows in batch.items()}
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    return losses, jax.device_get(state.params)


NORMED = Architecture(
    "NORMED",
    image_sizes=(14,),
    towers=1,
    layers=(
        Conv("conv1", 8, kernel=3, stride=2, std=0.1),
        BatchNorm(),
        Relu(),
        MaxPool(),
        Flatten(),
        Dense("fc6", 32, std=0.1, bias=1),
        Relu(),
        Dropout(),
        Output("fc8", 7, std=0.1),
    ),
)


@pytest.mark.parametrize(
    ("net", "layouts"),
    [
        (TINY, [{"devices": 2}, {"devices": 8}]),
        (NORMED, [{"devices": 3, "towers": 1}, {"devices": 8, "dense": 8}]),
    ],
)
def test_twenty_training_steps_do_not_depend_on_the_number_of_devices(net, layouts):
    """With crops, flips, PCA color augmentation, dropout and batch norm, to float32 rounding."""
    losses, params = twenty_steps(net, alexnet_jax.make_mesh(1))
    assert len(set(losses)) == 20
    for layout in layouts:
        sharded_losses, sharded_params = twenty_steps(net, alexnet_jax.make_mesh(**layout))
        np.testing.assert_allclose(losses, sharded_losses, rtol=1e-5)
        for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(sharded_params)):
            size = max(np.abs(one).max(), 0.01)  # biases before a batch norm have no effect
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5 * size)


def test_each_device_holds_its_rows_of_a_batch(rng):
    rows = rng.normal(size=(12, 2))
    for devices, towers, shards in [(1, 2, 1), (2, 2, 1), (8, 2, 4), (3, 1, 3)]:
        mesh = alexnet_jax.make_mesh(devices, towers)
        assert alexnet_jax.towers.num_batch_shards(mesh) == shards
        assert alexnet_jax.towers.local_batch_slice(mesh, 12) == slice(
            0, 12
        )  # this process has all devices
        batch = global_batch(rows, mesh, 12)
        np.testing.assert_array_equal(batch, rows.astype(np.float32))
        local = {tuple(shard.data.ravel().tolist()) for shard in batch.addressable_shards}
        expected = np.split(rows.astype(np.float32), shards)
        assert local == {tuple(shard.ravel().tolist()) for shard in expected}


BATCH = 4
COLLECTIVES = r"all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute"


def collectives(function, *arguments):
    """The collectives of a compiled program, sorted: [(operation, numbers in its result)]."""
    program = function.lower(*arguments).compile().as_text()
    moved = []
    for line in program.splitlines():
        match = re.search(rf"= \(?f32\[([\d,]*)\].* ({COLLECTIVES})(?:-start)?\(", line)
        if re.search(rf" ({COLLECTIVES})(-start)?\(", line):
            assert match, line  # one array of floats, not a tuple of several
            moved.append((match.group(2), np.prod([int(n) for n in match.group(1).split(",")])))
    return sorted(moved)


def lowered(function):
    """A function of (params, images) jitted at full size for two devices, and its arguments."""
    mesh = alexnet_jax.make_mesh(2)
    shardings = alexnet_jax.param_shardings(mesh, PAPER), alexnet_jax.batch_sharding(mesh)
    params = jax.eval_shape(alexnet_jax.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((BATCH, 224, 224, 3), jnp.float32)
    return jax.jit(partial(function, mesh=mesh), in_shardings=shardings), params, images


GATHERS = [
    ("all-gather", BATCH * 13 * 13 * 256),  # conv3 sees both towers' pool2
    ("all-gather", BATCH * 6 * 6 * 256),  # fc6 sees both towers' pool5
    ("all-gather", BATCH * 4096),  # fc7 sees both halves of fc6
]
SUM = ("all-reduce", BATCH * 1000)  # the logits


def test_the_towers_of_the_paper_meet_only_at_conv3_fc6_fc7_and_the_output():
    """Read off the program compiled for two devices: nothing moves at conv2, conv4 and conv5."""
    assert collectives(*lowered(alexnet_jax.apply)) == sorted([*GATHERS, SUM])


def test_the_gradient_goes_back_between_the_towers_at_the_same_places_only():
    """The gradient of a gather is a sum over towers, of which each tower keeps its half."""

    def loss(params, images, mesh):
        key = jax.random.key(0)
        return alexnet_jax.apply(params, images, dropout_key=key, mesh=mesh).sum()

    back = [("reduce-scatter", size // 2) for _, size in GATHERS]
    operations = collectives(*lowered(jax.grad(loss)))
    # The sum of logits itself is not needed for a gradient of their plain sum.
    assert [c for c in operations if c != SUM] == sorted([*GATHERS, *back])


def test_each_device_holds_half_of_the_parameters():
    mesh = alexnet_jax.make_mesh(2)
    shardings = alexnet_jax.param_shardings(mesh, PAPER)
    params = jax.eval_shape(alexnet_jax.init, jax.random.key(0))
    count = sum(
        np.prod(sharding.shard_shape(leaf.shape))
        for leaf, sharding in zip(jax.tree.leaves(params), jax.tree.leaves(shardings))
    )
    assert count == (60_965_224 - 1000) / 2 + 1000  # the biases of the logits are in both


@pytest.mark.parametrize(
    ("devices", "message"), [(3, "a multiple of 2"), (0, "not 0"), (64, "finds")]
)
def test_a_mesh_that_cannot_be_made_is_refused(devices, message):
    with pytest.raises(ValueError, match=message):
        alexnet_jax.make_mesh(devices)


def test_a_batch_that_pairs_of_devices_cannot_share_is_refused(params):
    mesh = alexnet_jax.make_mesh(4)
    with pytest.raises(ValueError, match="of 3 images cannot be divided among 2 pairs"):
        alexnet_jax.apply(params, jnp.zeros((3, 14, 14, 3)), architecture=TINY, mesh=mesh)


def test_one_tower_cannot_run_on_two_devices():
    layers = tuple(layer for layer in TINY.layers if type(layer).__name__ != "Gather")
    single = alexnet_jax.Architecture("SINGLE", (14,), 1, layers)
    params = alexnet_jax.init(jax.random.key(0), single)
    images = jnp.zeros((2, 14, 14, 3))
    logits = jax.eval_shape(partial(alexnet_jax.apply, architecture=single), params, images)
    assert logits.shape == (2, 7)
    mesh = alexnet_jax.make_mesh(2)
    with pytest.raises(ValueError, match="SINGLE has 1 tower, which cannot be divided"):
        alexnet_jax.apply(params, images, architecture=single, mesh=mesh)
