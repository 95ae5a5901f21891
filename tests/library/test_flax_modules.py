"""The network as an NNX and as a Linen module: arrays, logits and steps as without Flax."""

import dataclasses

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import alexnet_jax
from alexnet_jax.architectures import PAPER
from alexnet_jax.flax_modules import AlexNet, LinenAlexNet, linen_params, linen_variables
from tests.library.test_batch_norm import NET as NORMED
from tests.support.tiny import TINY, draw_params

NETS = pytest.mark.parametrize("net", [TINY, NORMED], ids=lambda net: net.name)


def draw_images(net, count=4):
    size = net.image_sizes[0]
    pixels = np.random.default_rng(3).normal(size=(count, size, size, 3))
    return jnp.asarray(60 * pixels, jnp.float32)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert type(one[name]) is type(other[name])
        for a, b in zip(one[name], other[name], strict=True):
            np.testing.assert_array_equal(a, b)


@NETS
def test_parameters_come_back_from_both_kinds_as_they_went_in(net):
    params = draw_params(net)
    assert_same(AlexNet(net, params=params).params, params)
    variables = linen_variables(params)
    assert ("batch_stats" in variables) == (net is NORMED)
    assert_same(linen_params(variables), params)
    graph, state = nnx.split(AlexNet(net, params=params))
    assert_same(nnx.merge(graph, state).params, params)


@NETS
def test_a_module_gives_the_logits_of_apply_on_any_devices(net):
    params, images = draw_params(net), draw_images(net)
    expected = alexnet_jax.apply(params, images, architecture=net)
    np.testing.assert_array_equal(AlexNet(net, params=params)(images), expected)
    logits = LinenAlexNet(net).apply(linen_variables(params), images)
    np.testing.assert_array_equal(logits, expected)
    mesh = alexnet_jax.make_mesh(2)
    model = AlexNet(net, params=params, mesh=mesh)
    on_two_devices = nnx.jit(lambda model, images: model(images))(model, images)
    np.testing.assert_allclose(on_two_devices, expected, rtol=1e-4, atol=1e-3)
    on_two_devices = LinenAlexNet(net, mesh).apply(linen_variables(params), images)
    np.testing.assert_allclose(on_two_devices, expected, rtol=1e-4, atol=1e-3)


@NETS
def test_a_new_module_has_the_initial_values_of_section_5(net):
    model = AlexNet(net, rngs=nnx.Rngs(0))
    variables = LinenAlexNet(net).init(jax.random.key(0), draw_images(net))
    shapes = jax.tree.map(jnp.shape, alexnet_jax.init(jax.random.key(0), net))
    for params in (model.params, linen_params(variables)):
        assert jax.tree.map(jnp.shape, params) == shapes
        for info in net.layer_info():
            if isinstance(params.get(info.name), alexnet_jax.Layer) and "norm" not in info.name:
                weights, biases = params[info.name]
                error = info.spec.std * 5 / np.sqrt(2 * weights.size)  # five standard errors
                assert abs(np.std(weights) - info.spec.std) < error
                np.testing.assert_array_equal(biases, info.spec.bias)


def loss(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@NETS
def test_a_step_of_nnx_optimizer_is_that_of_optax_on_the_plain_parameters(net):
    images, labels = draw_images(net), jnp.array([0, 1, 2, 0])
    params, transform = draw_params(net), optax.sgd(0.01, momentum=0.9)
    model = AlexNet(net, params=params)
    optimizer = nnx.Optimizer(model, transform, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        gradients = nnx.grad(lambda model: loss(model(images), labels))(model)
        optimizer.update(model, gradients)

    step(model, optimizer)
    step(model, optimizer)

    trained = {name: x for name, x in params.items() if isinstance(x, alexnet_jax.Layer)}
    state = transform.init(trained)
    for _ in range(2):
        gradients = jax.grad(
            lambda p: loss(alexnet_jax.apply(params | p, images, architecture=net), labels)
        )(trained)
        updates, state = transform.update(gradients, state)
        trained = optax.apply_updates(trained, updates)
    for name, layer in (params | trained).items():
        for a, b in zip(model.params[name], layer, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert not np.allclose(model.params["conv1"].weights, params["conv1"].weights)


def test_in_training_nnx_draws_other_masks_each_time_and_none_after_eval():
    images = draw_images(TINY)
    model = AlexNet(TINY, rngs=nnx.Rngs(0))
    assert not np.allclose(model(images), model(images))
    model.eval()
    expected = alexnet_jax.apply(model.params, images, architecture=TINY)
    np.testing.assert_array_equal(model(images), expected)
    without_rngs = AlexNet(TINY, params=draw_params(TINY))
    without_rngs.train()
    with pytest.raises(ValueError, match="must be made with rngs, which draw dropout masks"):
        without_rngs(images)
    with pytest.raises(ValueError, match="AlexNet needs rngs to draw its parameters, or params"):
        AlexNet(TINY)


def test_in_training_both_kinds_update_the_running_statistics_as_keras_does():
    params, images = draw_params(NORMED), draw_images(NORMED)
    maps = alexnet_jax.activations(params, images, "relu1", architecture=NORMED)["relu1"]
    maps = np.asarray(maps, np.float64)
    initial = params["norm1_running"]
    means = 0.99 * initial.means + 0.01 * maps.mean((0, 1, 2))
    variances = 0.99 * initial.variances + 0.01 * maps.var((0, 1, 2))

    model = AlexNet(NORMED, params=params, rngs=nnx.Rngs(0))
    nnx.jit(lambda model: nnx.grad(lambda model: model(images).sum())(model))(model)
    updates = [model.params["norm1_running"]]
    apply = LinenAlexNet(NORMED).apply
    rngs = {"dropout": jax.random.key(0)}
    _, variables = apply(
        linen_variables(params), images, train=True, rngs=rngs, mutable=["batch_stats"]
    )
    updates.append(variables["batch_stats"]["norm1_running"])
    for running in updates:
        np.testing.assert_allclose(running.means, means, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(running.variances, variances, rtol=1e-4)


def test_linen_differentiates_by_its_variables_as_jax_does_by_the_parameters():
    params, images = draw_params(TINY), draw_images(TINY)
    key = jax.random.key(5)
    model = LinenAlexNet(TINY)

    def sum_logits(variables):
        return model.apply({"params": variables}, images, train=True, rngs={"dropout": key}).sum()

    gradients = jax.grad(sum_logits)(linen_variables(params)["params"])
    assert gradients.keys() == params.keys()
    assert isinstance(gradients["conv1"], alexnet_jax.Layer)
    assert np.isfinite(gradients["conv1"].weights).all()
    assert np.abs(gradients["conv1"].weights).max() > 0
    assert isinstance(model, flax.linen.Module)


def test_a_module_is_the_papers_net_by_default():
    model = nnx.eval_shape(lambda: AlexNet(rngs=nnx.Rngs(0)))
    assert model.conv2.weights.shape == (5, 5, 48, 256)
    assert LinenAlexNet().architecture == PAPER


@pytest.mark.parametrize("name", ["params", "train", "mesh", "dropout"])
def test_a_layer_with_the_name_of_an_attribute_is_refused_by_its_name(name):
    conv, *others = TINY.layers
    net = dataclasses.replace(TINY, layers=(dataclasses.replace(conv, name=name), *others))
    params = alexnet_jax.init(jax.random.key(0), net)
    with pytest.raises(ValueError, match=f"^{name} cannot be the name of a layer"):
        AlexNet(net, params=params)
    if name == "params":
        with pytest.raises(ValueError, match=r"^params cannot be the name of a layer"):
            LinenAlexNet(net).init(jax.random.key(0), draw_images(net))
