"""Networks of the original program, Caffe and notebooks: against loops, and on two devices."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import alexnet_jax
from alexnet_jax import architectures
from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import NETS
from alexnet_jax.layer_specs import (
    Conv,
    Dropout,
    Flatten,
    Gather,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    Split,
)
from alexnet_jax.ops.layers import dropout_mask
from tests.library.test_towers import collectives
from tests.support import reference
from tests.support.tiny import draw_params, narrow
from train.steps.optimizers import sgd


def images_for(net, rng, count=2):
    size = net.image_sizes[0]
    return jnp.asarray(60 * rng.normal(size=(count, size, size, 3)), jnp.float32)


def squares_and_logits(net, images, mesh, params):
    key = jax.random.key(2)
    logits = alexnet_jax.apply(params, images, architecture=net, dropout_key=key, mesh=mesh)
    return (logits**2).sum(), logits


TWO_TOWERS = [net for net in NETS if net.towers == 2]


@pytest.mark.parametrize("net", TWO_TOWERS, ids=lambda net: net.name)
def test_a_net_of_two_towers_is_the_same_on_one_device_and_on_two(net, rng):
    """With dropout on; norms across the maps of both towers included."""
    net = narrow(net)
    params, images = draw_params(net), images_for(net, rng)
    run = jax.jit(partial(squares_and_logits, net, images), static_argnums=0)
    one, two = (run(alexnet_jax.make_mesh(n), params)[1] for n in (1, 2))
    assert one.std() > 1e-3
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4 * np.abs(one).max())


def test_the_original_nets_order_and_norms_equal_loops(rng):
    net = narrow(architectures.ORIGINAL)
    params, images = draw_params(net), images_for(net, rng, 1)
    ours = jax.jit(partial(alexnet_jax.apply, architecture=net))(params, images)
    expected = reference.original_logits(params, np.asarray(images))
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_original_starts_its_last_convolutions_from_a_larger_deviation():
    specs = [layer for layer in architectures.ORIGINAL.layers if isinstance(layer, Conv)]
    assert [spec.std for spec in specs] == [0.01, 0.01, 0.03, 0.03, 0.03]


def layer_types(net):
    return [type(layer).__name__ for layer in net.layers]


def test_the_nets_without_norms_are_the_original_without_them():
    norms = [i for i, name in enumerate(layer_types(architectures.ORIGINAL)) if "Norm" in name]
    layers = architectures.ORIGINAL.layers
    without = lambda at: tuple(layer for i, layer in enumerate(layers) if i not in at)  # noqa: E731
    assert architectures.NO_NORM.layers == without(norms)
    assert architectures.ORIGINAL_PLAIN_CONV2.layers == without(norms[1:])


def test_pools_that_do_not_overlap_bring_the_maps_to_the_sizes_of_the_originals():
    shapes = {s.name: s.output_shape[0] for s in architectures.NON_OVERLAPPING_POOL.layer_info()}
    names = ("conv1", "pool1", "conv2", "pool2", "conv4", "conv5", "pool5")
    assert [shapes[name] for name in names] == [55, 28, 26, 13, 13, 11, 6]


def test_without_communication_nothing_but_the_output_sees_both_towers():
    infos = architectures.NO_COMMUNICATION.layer_info()
    assert not any(info.replicated_out for info in infos[:-1])


@pytest.mark.parametrize("name", ["CAFFE", "CAFFENET"])
@pytest.mark.parametrize("devices", [1, 2])
def test_caffes_norm_runs_across_the_maps_of_both_towers(name, devices, rng):
    net = narrow(architectures.by_name(name))
    params, images = draw_params(net), images_for(net, rng)
    options = {"architecture": net, "mesh": alexnet_jax.make_mesh(devices)}
    run = jax.jit(lambda *arrays: alexnet_jax.activations(*arrays, "conv3", **options)["conv3"])
    ours = run(params, images)
    expected = reference.caffe_maps(params, np.asarray(images), pool_first=name == "CAFFENET")
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_caffes_towers_meet_at_the_norms_fc6_fc7_and_the_output():
    net, mesh = narrow(architectures.CAFFE), alexnet_jax.make_mesh(2)
    apply = partial(alexnet_jax.apply, architecture=net, mesh=mesh)
    shardings = alexnet_jax.param_shardings(mesh, net), alexnet_jax.batch_sharding(mesh)
    params = jax.eval_shape(partial(alexnet_jax.init, architecture=net), jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 227, 227, 3), jnp.float32)
    sizes = [2 * 55 * 55 * 6, 2 * 27 * 27 * 16, 2 * 6 * 6 * 16, 2 * 32]  # maps of 96 / 16, ...
    transfers = collectives(jax.jit(apply, in_shardings=shardings), params, images)
    assert transfers == sorted([*(("all-gather", n) for n in sizes), ("all-reduce", 2 * 7)])


def test_the_summary_shows_where_towers_split_again():
    lines = alexnet_jax.summary(architectures.CAFFE).splitlines()
    assert [line.split()[0] for line in lines if "towers split" in line] == ["split1"]
    meeting = [line.split()[0] for line in lines if "towers meet" in line]
    assert meeting == ["gather1", "gather2", "gather5", "gather6"]


MEETING = Architecture(
    "MEETING",
    image_sizes=(9,),
    towers=2,
    layers=(
        Conv("conv1", 8, kernel=3, std=0.3),
        Gather(),
        ResponseNorm(alpha=0.1),
        Relu(),
        Split(),
        MaxPool(),
        Conv("conv2", 8, kernel=3, std=0.3),
        Flatten(),
        Dropout(inverted=True),
        Output("fc3", 3, std=0.3),
    ),
)


@pytest.fixture(scope="module")
def meeting():
    """A gradient and logits by the mesh, and without one."""
    params, images = draw_params(MEETING), images_for(MEETING, np.random.default_rng(0), 4)
    gradient = jax.grad(partial(squares_and_logits, MEETING, images), 1, has_aux=True)
    run = jax.jit(gradient, static_argnums=0)
    return lambda mesh: run(mesh, params), run(None, params)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_the_gradient_goes_back_through_a_norm_across_the_towers(devices, meeting):
    """The gradients of a replicated map are summed over the towers, on any devices."""
    run, (grads, logits) = meeting
    sharded_grads, sharded_logits = run(alexnet_jax.make_mesh(devices))
    np.testing.assert_allclose(logits, sharded_logits, rtol=1e-5, atol=1e-5 * np.abs(logits).max())
    for name in grads:
        for one, other in zip(grads[name], sharded_grads[name]):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(one).max())


def test_maps_are_the_same_after_a_gather_and_a_split():
    infos = {info.name: info for info in MEETING.layer_info()}
    assert [infos[name].replicated_out for name in ("conv1", "norm1", "split1")] == [
        False,
        True,
        False,
    ]
    assert infos["conv2"].weight_shape == (3, 3, 4, 8)
    params = draw_params(MEETING)
    images = images_for(MEETING, np.random.default_rng(0))
    for mesh in (None, alexnet_jax.make_mesh(2)):
        activations = partial(alexnet_jax.activations, architecture=MEETING, mesh=mesh)
        maps = jax.jit(lambda *arrays, run=activations: run(*arrays, ["relu1", "split1"]))(
            params, images
        )
        np.testing.assert_array_equal(maps["relu1"], maps["split1"])


def test_inverted_dropout_doubles_in_training_and_leaves_test_time_alone(rng):
    net = Architecture(
        "NET", (4,), 1, (Flatten(), Dropout(inverted=True), Output("fc1", 2, std=0.3))
    )
    params, images = draw_params(net), images_for(net, rng, 3)
    features = images.reshape(3, -1)
    logits = alexnet_jax.apply(params, images, architecture=net)
    np.testing.assert_allclose(logits, features @ params["fc1"].weights, rtol=1e-4, atol=1e-4)
    key = jax.random.key(1)
    mask = dropout_mask(key, "dropout", jnp.arange(3), (48,))
    logits = alexnet_jax.apply(params, images, architecture=net, dropout_key=key)
    expected = jnp.where(mask, 2 * features, 0) @ params["fc1"].weights
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_torchvisions_dropout_comes_before_fc6_and_fc7():
    names = [info.name for info in architectures.TORCHVISION.layer_info()]
    tail = "flatten5 dropout5 fc6 relu6 dropout6 fc7 relu7 fc8"
    assert names[-8:] == tail.split()
    assert not any("norm" in name for name in names)


def test_the_paper_can_be_scaled_to_any_width_and_image():
    assert architectures.scaled(64, 224).layers == architectures.PAPER.layers
    net = architectures.scaled(8, 113)
    shapes = {info.name: info.output_shape for info in net.layer_info()}
    assert [shapes[f"conv{i}"][-1] for i in range(1, 6)] == [12, 32, 48, 48, 32]
    assert [shapes[f"pool{i}"][0] for i in (1, 2, 5)] == [13, 6, 2]
    assert shapes["fc6"] == shapes["fc7"] == (512,)
    by_layer = [
        11 * 11 * 3 * 12 + 12,
        5 * 5 * 6 * 32 + 32,
        3 * 3 * 32 * 48 + 48,
        3 * 3 * 24 * 48 + 48,
        3 * 3 * 24 * 32 + 32,
        2 * 2 * 32 * 512 + 512,
        512 * 512 + 512,
        512 * 1000 + 1000,
    ]
    assert [info.parameters for info in net.layer_info() if info.weight_shape] == by_layer
    assert architectures.by_name("SCALED_8_113") == net
    assert architectures.by_name("SCALED_2_113_ONE_TOWER").layer_info()[0].output_shape == (
        27,
        27,
        3,
    )


SHARED = "an even number with one tower, a multiple of 4 with two"


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ((2, 113), f"filters must be {SHARED}, not 2"),
        ((8, 113, 0), "the paper's net has 1 tower or 2, not 0"),
        ((7, 113), f"filters must be {SHARED}, not 7"),
        ((8, 9), "pool1 needs at least 3 pixels, and only 1 are left"),
        ((8, 40), "pool5 needs at least 3 pixels, and only 1 are left"),
    ],
)
def test_a_scale_that_makes_no_net_is_refused(sizes, sentence):
    with pytest.raises(ValueError, match=sentence):
        architectures.scaled(*sizes)


def test_a_scaled_net_learns_eight_colors_at_113_pixels():
    net, optimizer = architectures.scaled(8, 113).with_classes(8), sgd()
    colors = jnp.asarray(list(itertools.product([-60.0, 60.0], repeat=3)), jnp.float32)
    images = jnp.broadcast_to(colors[:, None, None], (8, 113, 113, 3))

    @jax.value_and_grad
    def loss(params):
        logits = alexnet_jax.apply(params, images, architecture=net)
        return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.arange(8)).mean()

    @jax.jit
    def step(params, state):
        value, gradients = loss(params)
        rates = jax.tree.map(lambda _: jnp.float32(0.01), params)
        updates, state = optimizer.update(gradients, state, params, rates=rates)
        return optax.apply_updates(params, updates), state, value

    params = draw_params(net)
    state, value = optimizer.init(params), 2.0
    for _ in range(120):
        params, state, value = step(params, state)
    assert value < 0.1


@pytest.mark.parametrize("net", [net for net in NETS if net.towers == 1], ids=lambda net: net.name)
def test_a_net_of_one_tower_gives_logits(net, rng):
    net = narrow(net)
    params, images = draw_params(net), images_for(net, rng)
    logits = jax.jit(partial(alexnet_jax.apply, architecture=net))(params, images)
    assert logits.shape == (2, 7)
    assert logits.std() > 1e-3
