"""Devices share the dense layers, and compute the numbers of one device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import alexnet_jax
from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import PAPER
from alexnet_jax.dense_layers import shared_layers
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    MaxPool,
    Output,
    Relu,
    Tanh,
)
from tests.support.own_layers import PRelu
from tests.support.tiny import draw_params

CONVOLUTIONS = (Conv("conv1", 4, kernel=3, std=0.05), Relu(), MaxPool(), Gather(), Flatten())
HIDDEN = (Dense("fc2", 16, std=0.2, bias=0.1), BatchNorm(), Relu(), Dropout())
LAYERS = (*CONVOLUTIONS, *HIDDEN, Gather(), Dense("fc3", 8, std=0.3), Tanh(), Dropout())
NETS = {
    towers: Architecture(f"NET_{towers}", 8, towers, (*LAYERS, Output("fc4", 3, std=0.3)))
    for towers in (1, 2)
}
BATCH = 8


def loss(params, images, net, mesh=None):
    logits, stats = alexnet_jax.apply_train(
        params, images, jax.random.key(1), architecture=net, mesh=mesh
    )
    labels = jnp.arange(BATCH) % net.classes
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean(), (logits, stats)


gradient = jax.jit(jax.grad(loss, has_aux=True), static_argnames="mesh")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(2)
    return jnp.asarray(30 * rng.normal(size=(BATCH, 8, 8, 3)), jnp.float32)


@pytest.fixture(scope="module")
def on_one_device(images):
    """Parameters, and what `gradient` returns, by the number of towers."""
    params = {towers: draw_params(net) for towers, net in NETS.items()}
    return {
        towers: (params[towers], gradient(params[towers], images, NETS[towers])) for towers in NETS
    }


@pytest.mark.parametrize(
    ("towers", "devices", "dense"), [(2, 2, 2), (2, 4, 4), (2, 8, 4), (1, 8, 8)]
)
def test_devices_that_share_dense_layers_compute_what_one_computes(
    images, on_one_device, towers, devices, dense
):
    """Gradients, logits and batch statistics, with the dropout masks of one device."""
    params, expected = on_one_device[towers]
    ours = gradient(params, images, NETS[towers], alexnet_jax.make_mesh(devices, dense=dense))
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(ours), strict=True):
        # The gradient of fc2's biases is 0: batch normalization subtracts them.
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6 + 1e-5 * np.abs(one).max())


def test_activations_of_shared_layers_are_whole_and_the_network_runs_on_from_them(
    images, on_one_device
):
    net, mesh = NETS[2], alexnet_jax.make_mesh(4, dense=4)
    params, _ = on_one_device[2]
    names = ["relu1", "flatten1", "fc2", "relu2", "gather2", "fc3", "fc4"]
    run = jax.jit(partial(alexnet_jax.activations, names=names, architecture=net, mesh=mesh))
    maps = run(params, images)
    expected = alexnet_jax.activations(params, images, names, architecture=net)
    for name in names:
        np.testing.assert_allclose(maps[name], expected[name], rtol=1e-4, atol=1e-5)
    for name in ("flatten1", "fc2", "gather2"):  # the next layer needs all features, or its own
        run_on = jax.jit(partial(alexnet_jax.apply, after=name, architecture=net, mesh=mesh))
        np.testing.assert_allclose(
            run_on(params, maps[name]), expected["fc4"], rtol=1e-4, atol=1e-5
        )


def test_dense_parameters_are_divided_and_those_of_convolutions_are_on_every_device():
    """By hand: PAPER has 2,334,080 parameters in its convolutions, 1,000 biases of logits."""
    mesh = alexnet_jax.make_mesh(8, dense=8)
    shardings = alexnet_jax.param_shardings(mesh, PAPER)
    params = jax.eval_shape(alexnet_jax.init, jax.random.key(0))
    count = sum(
        np.prod(sharding.shard_shape(leaf.shape))
        for leaf, sharding in zip(jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True)
    )
    everywhere = 2_334_080 + 1000
    assert count == everywhere + (60_965_224 - everywhere) / 8


@pytest.mark.parametrize(
    ("towers", "hidden", "shared"),
    [
        (1, (Dense("fc2", 16), Relu(), Dense("fc3", 8)), {"fc2", "relu2", "fc3", "fc4"}),
        (2, (Dense("fc2", 16), Relu(), Dense("fc3", 8)), {"fc4"}),
        (1, (Dense("fc2", 16), PRelu(), Dense("fc3", 8)), {"fc3", "fc4"}),
    ],
)
def test_devices_share_the_end_of_a_network_that_begins_with_all_features(towers, hidden, shared):
    """Not a dense layer that reads its own tower alone, nor one before a layer of a user's own."""
    layers = (*CONVOLUTIONS, *hidden, Output("fc4", 3))
    assert {*shared_layers(Architecture("NET", 8, towers, layers))} == shared


def test_dense_layers_that_cannot_be_divided_are_refused_in_one_sentence(images, on_one_device):
    net = NETS[2]
    mesh = alexnet_jax.make_mesh(6, dense=6)
    with pytest.raises(ValueError, match="NET_2 has dense layers of 16 features, which cannot be"):
        alexnet_jax.param_shardings(mesh, net)
    with pytest.raises(ValueError, match="6 devices cannot be divided into groups of 4"):
        alexnet_jax.make_mesh(6, dense=4)
