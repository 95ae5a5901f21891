"""Layers after a given one: from its output to logits, activations, gradients and statistics."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.architectures import TORCHVISION
from tests.library.test_batch_norm import NET as NORMED
from tests.support import reference
from tests.support.tiny import TINY, draw_params, narrow

ONE_TOWER = narrow(TORCHVISION)


def draw_images(net, count=4):
    size = net.image_sizes[0]
    pixels = np.random.default_rng(3).normal(size=(count, size, size, 3))
    return jnp.asarray(60 * pixels, jnp.float32)


@pytest.mark.parametrize(
    ("net", "devices"),
    [(TINY, 1), (TINY, 2), (NORMED, 4), (ONE_TOWER, 1)],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_layer_follows_from_the_one_before_it_in_evaluation_and_in_training(net, devices):
    """The same dropout masks and the same batch statistics as in one pass."""
    mesh = None if devices == 1 else alexnet_jax.make_mesh(devices, net.towers)
    names = net.layer_names()

    @jax.jit
    def compute(params, images):
        results = []
        for key in (None, jax.random.key(0)):
            options = {"architecture": net, "dropout_key": key, "mesh": mesh}
            whole = alexnet_jax.activations(params, images, **options)
            steps = {}
            for before, name in itertools.pairwise(names):
                maps = whole[before]
                steps |= alexnet_jax.activations(params, maps, name, after=before, **options)
            results.append((whole, steps))
        return results

    evaluation, training = compute(draw_params(net), draw_images(net))
    for whole, steps in (evaluation, training):
        assert [*steps] == sorted(names[1:])
        for name, value in steps.items():
            close = 1e-5 * np.abs(whole[name]).max()
            np.testing.assert_allclose(value, whole[name], rtol=1e-4, atol=close, err_msg=name)
    assert not np.allclose(evaluation[0][names[-1]], training[0][names[-1]])


@pytest.mark.parametrize("devices", [1, 2])
def test_an_ablated_map_gives_the_logits_of_loops_from_the_maps_that_are_left(devices):
    params, images = draw_params(TINY), draw_images(TINY)
    mesh = None if devices == 1 else alexnet_jax.make_mesh(devices)

    @jax.jit
    def without_map_5(params, images):
        options = {"architecture": TINY, "mesh": mesh}
        maps = alexnet_jax.activations(params, images, "relu4", **options)["relu4"]
        return alexnet_jax.apply(params, maps.at[..., 5].set(0), after="relu4", **options)

    relu4 = reference.tiny_activations(params, images)["relu4"]
    relu4[..., 5] = 0
    expected = reference.tiny_tail(params, relu4)["fc8"]
    np.testing.assert_allclose(without_map_5(params, images), expected, rtol=1e-4, atol=1e-3)


def test_the_gradient_through_two_parts_of_a_net_is_that_of_the_whole():
    params, images = draw_params(NORMED), draw_images(NORMED)
    middle, key = "norm1", jax.random.key(0)
    options = {"architecture": NORMED, "mesh": alexnet_jax.make_mesh(2)}

    def whole(params, images):
        logits, stats = alexnet_jax.apply_train(params, images, key, **options)
        return (logits**2).sum(), stats

    def in_two_parts(params, images):
        maps, first = alexnet_jax.activations_train(params, images, key, middle, **options)
        tail = {"after": middle, **options}
        logits, second = alexnet_jax.apply_train(params, maps[middle], key, **tail)
        assert not first.keys() & second.keys()
        return (logits**2).sum(), first | second

    one, other = (
        jax.jit(jax.grad(function, argnums=(0, 1), has_aux=True))(params, images)
        for function in (whole, in_two_parts)
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(np.abs(a).max()))


def test_the_middle_of_a_net_takes_maps_of_any_size_and_runs_without_other_parameters():
    params, maps = draw_params(TINY), np.random.default_rng(0).normal(size=(2, 5, 8, 8))
    maps = jnp.asarray(maps, jnp.float32)
    middle = {"conv4": params["conv4"]}
    captured = alexnet_jax.activations(middle, maps, "relu4", after="relu3", architecture=TINY)
    halves = zip(reference.split_towers(maps), reference.split_params(params["conv4"]), strict=True)
    expected = np.concatenate([reference.conv(x, w, b, 1, 1, 1) for x, (w, b) in halves], -1)
    np.testing.assert_allclose(captured["relu4"], np.maximum(expected, 0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "after", "sentence"),
    [
        ((1, 5, 5, 8), "relu3", r"output of relu3 in TINY is \[n, 3, 3, 8\], not \[n, 5, 5, 8\]"),
        ((1, 3, 3, 9), "relu3", r"is \[n, 3, 3, 8\], not \[n, 3, 3, 9\]"),
        ((1, 32), "dropout6", None),
        ((1, 31), "dropout6", r"output of dropout6 in TINY is \[n, 32\], not \[n, 31\]"),
        ((1, 7), "fc8", "fc8 does not come after fc8 in TINY"),
        ((1, 7), "conv9", "TINY has no layer 'conv9', but conv1, relu1"),
    ],
)
def test_an_output_that_the_layer_does_not_have_is_refused(shape, after, sentence):
    params, maps = draw_params(TINY), jnp.zeros(shape)
    if sentence is None:
        assert alexnet_jax.apply(params, maps, after=after, architecture=TINY).shape == (1, 7)
        return
    with pytest.raises(ValueError, match=sentence):
        alexnet_jax.apply(params, maps, after=after, architecture=TINY)


def test_names_and_maps_that_do_not_fit_the_layer_before_are_refused():
    options = {"after": "relu3", "architecture": TINY}
    with pytest.raises(ValueError, match="relu1 does not come after relu3 in TINY"):
        alexnet_jax.activations(draw_params(TINY), jnp.zeros((1, 3, 3, 8)), "relu1", **options)
    with pytest.raises(TypeError, match="the output of relu3 must be floating, not int32"):
        alexnet_jax.apply(draw_params(TINY), jnp.zeros((1, 3, 3, 8), "int32"), **options)
    with pytest.raises(ValueError, match=r"is \[n, height, width, 8\], not \[n, 5, 5, 9\]"):
        alexnet_jax.activations(draw_params(TINY), jnp.zeros((1, 5, 5, 9)), "conv4", **options)
