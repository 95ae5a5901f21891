"""Activations of any layers: on any devices, under jit, grad and vmap, and what they cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.architectures import PAPER
from tests.support import reference
from tests.support.tiny import TINY

LAYERS = ["pool1", "conv2", "relu3", "dropout7", "fc8"]


@pytest.fixture(scope="module")
def params():
    return alexnet_jax.init(jax.random.key(1), TINY)


@pytest.fixture
def images(rng):
    return jnp.asarray(60 * rng.normal(size=(4, 14, 14, 3)), jnp.float32)


def activations(params, images, names, mesh=None):
    return alexnet_jax.activations(params, images, names, architecture=TINY, mesh=mesh)


@pytest.mark.parametrize("names", [LAYERS, ["relu3", "pool1"], ["fc8"], "conv2", []], ids=str)
@pytest.mark.parametrize("devices", [1, 2])
def test_any_layers_equal_loops_on_any_devices_under_jit(params, images, names, devices):
    layers = {"conv2"} if names == "conv2" else {*(names := list(names))}
    mesh = alexnet_jax.make_mesh(devices)
    captured = jax.jit(lambda p, x: activations(p, x, names, mesh))(params, images)
    assert captured.keys() == layers
    expected = reference.tiny_activations(params, np.asarray(images))
    for name, value in captured.items():
        tolerance = 1e-4 * np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=tolerance)


def test_the_gradient_of_an_inner_layer_by_the_image_equals_a_difference_quotient(
    params, images, rng
):
    weights = rng.normal(size=(1, 3, 3, 8))

    def inner(image):
        return jnp.sum(activations(params, image, "relu3")["relu3"] * weights.astype("float32"))

    def by_loops(image):
        return (reference.tiny_activations(params, image)["relu3"] * weights).sum()

    image, direction = np.asarray(images[:1], np.float64), rng.normal(size=(1, 14, 14, 3))
    quotient = (by_loops(image + 1e-4 * direction) - by_loops(image - 1e-4 * direction)) / 2e-4
    gradient = jax.jit(jax.grad(inner))(images[:1])
    assert np.sum(gradient * direction) == pytest.approx(quotient, rel=1e-3)


def test_nets_and_images_of_any_number_go_through_vmap(params, images):
    """`vmap` over single images, and over the parameters of two networks."""
    names = ["pool1", "relu3", "fc8"]
    one_by_one = jax.vmap(lambda image: activations(params, image[None], names))(images)
    nets = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), params)
    stacked = jax.vmap(lambda net: activations(net, images, names))(nets)
    negative = jax.tree.map(jnp.negative, params)
    for net, position in ((params, 0), (negative, 1)):
        expected = reference.tiny_activations(net, np.asarray(images))
        for name in names:
            close = {"rtol": 1e-3, "atol": 1e-4 * np.abs(expected[name]).max()}
            np.testing.assert_allclose(stacked[name][position], expected[name], **close)
            if net is params:
                np.testing.assert_allclose(one_by_one[name][:, 0], expected[name], **close)


def test_in_bfloat16_layers_are_bfloat16_and_near_the_loops(params, images):
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    captured = jax.jit(lambda p, x: activations(p, x, LAYERS))(half, images)
    rounded = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), half)
    expected = reference.tiny_activations(rounded, np.asarray(images.astype(jnp.bfloat16), float))
    for name, value in captured.items():
        assert value.dtype == jnp.bfloat16
        error = np.asarray(value, np.float64) - expected[name]
        assert np.sqrt((error**2).mean()) < 0.02 * np.sqrt((expected[name] ** 2).mean())


MULTIPLY_ACCUMULATES = {  # of PAPER, as published: the sum over all layers up to this one
    "pool1": 105_415_200,
    "conv3": 105_415_200 + 223_948_800 + 149_520_384,
    "fc6": 665_784_864 + 37_748_736,
    "fc8": 724_406_816,
}


@pytest.mark.parametrize("deepest", MULTIPLY_ACCUMULATES)
def test_xla_counts_the_operations_of_the_layers_up_to_the_deepest_and_no_others(deepest):
    """Two for each multiply-accumulate; fewer at the edges, where kernels overlap the padding."""
    params = jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0)))
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    names = ["conv1", deepest]
    function = jax.jit(lambda p, x: alexnet_jax.activations(p, x, names))
    flops = function.lower(params, image).compile().cost_analysis()["flops"]
    assert PAPER.layer_info()[-1].name == "fc8"
    assert 0.9 < flops / (2 * MULTIPLY_ACCUMULATES[deepest]) < 1.1
