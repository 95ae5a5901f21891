"""A user's own layer types, and those of the original program's CIFAR nets: a net of two towers."""

import re
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import Preprocessing
from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    Conv,
    Dropout,
    Flatten,
    Gather,
    LayerSpec,
    LocallyConnected,
    MeanPool,
    Output,
    Split,
    Tanh,
)
from alexnet_jax.ops.windows import locally_connected, mean_pool
from alexnet_jax.params import Layer
from tests.support import own_layers, reference
from tests.support.own_layers import GlobalMean, Mix, PRelu, Wrong, WrongParams
from tests.support.tiny import draw_params

NET = Architecture(
    "NET",
    image_sizes=9,
    towers=2,
    layers=[
        Conv("conv1", 8, kernel=3, padding=1, std=0.1),  # 9 x 9 x 8
        PRelu(),
        MeanPool(padding=1),  # 5 x 5 x 8
        Tanh(),
        LocallyConnected("local2", 4, kernel=3, std=0.3),  # 3 x 3 x 4
        Gather(),
        PRelu(slope=0.5),
        Mix("mix3", 6),
        Tanh(),
        Tanh(),
        GlobalMean(),
        Dropout(),
        Output("fc4", 3, std=0.3),
    ],
)


@pytest.fixture(scope="module")
def params():
    return draw_params(NET)


def images_for(rng, count=2):
    return jnp.asarray(rng.normal(size=(count, 9, 9, 3)), jnp.float32)


def test_names_shapes_and_counts_follow_from_the_layer_types():
    infos = {info.name: info for info in NET.layer_info()}
    names = "conv1 prelu1 pool1 tanh1 local2 gather2 prelu2 mix3 tanh3 tanh3_2 globalmean3"
    assert [*infos] == [*names.split(), "dropout3", "fc4"]
    assert infos["local2"].weight_shape == (3, 3, 3 * 3 * 4, 4)
    assert infos["local2"].bias_shape == (3, 3, 4)
    assert infos["mix3"].weight_shape == (4, 6)
    assert infos["prelu2"].parameters == 2 * 4
    assert infos["local2"].multiply_accumulates == 3 * 3 * (3 * 3 * 4) * 4
    assert [infos[name].replicated_out for name in ("prelu1", "prelu2", "mix3", "tanh3")] == [
        False,
        True,
        False,
        False,
    ]
    summary = alexnet_jax.summary(NET)
    assert re.search(r"local2 +3 x 3 x 4 +1,332 +1,296 +kernels 3 x 3, others at each", summary)


def test_initial_values_are_those_of_the_layer_type():
    local = LocallyConnected("local1", 4, 3, std=0.3, bias=0.1)
    net = Architecture("NET", 9, 1, [local, PRelu(slope=0.5), Flatten(), Output("fc2", 1)])
    params = jax.jit(partial(alexnet_jax.init, architecture=net))(jax.random.key(0))
    np.testing.assert_array_equal(params["prelu1"].weights, np.full(4, 0.5, "f4"))
    np.testing.assert_array_equal(params["local1"].biases, np.full((7, 7, 4), 0.1, "f4"))
    assert abs(params["local1"].weights.std() - 0.3) < 0.01


@pytest.mark.parametrize("devices", [1, 2])
def test_each_tower_computes_on_its_own_maps_as_loops_do(params, rng, devices):
    images, names = images_for(rng), ["prelu1", "local2", "mix3"]
    mesh = alexnet_jax.make_mesh(devices)
    run = jax.jit(partial(alexnet_jax.activations, names=names, architecture=NET, mesh=mesh))
    ours = run(params, images)

    def prelu(x, weights, biases):
        return np.where(x > 0, x, np.asarray(weights) * x) + np.asarray(biases)

    rows = []
    for tower in range(2):
        own = ("conv1", "prelu1", "local2")
        layer = {name: [half(leaf)[tower] for leaf in params[name]] for name in own}
        prelu1 = prelu(reference.conv(images, *layer["conv1"], 1, 1, 1), *layer["prelu1"])
        tanh1 = np.tanh(reference.mean_pool(prelu1, 3, 2, 1, 1))
        rows.append((prelu1, reference.locally_connected(tanh1, *layer["local2"], 3)))
    prelu1, local2 = (np.concatenate(halves, axis=-1) for halves in zip(*rows))
    weights, biases = (np.asarray(leaf, np.float64) for leaf in params["mix3"])
    expected = {
        "prelu1": prelu1,
        "local2": local2,
        "mix3": prelu(local2, *params["prelu2"]) @ weights + biases,
    }
    for name in names:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-4, atol=1e-5)


def half(leaf):
    return np.split(np.asarray(leaf), 2, axis=-1)


def test_the_gradients_are_the_same_on_one_device_and_on_two(params, rng):
    """With dropout on, in the network and between devices."""
    images, key = images_for(rng, 4), jax.random.key(1)

    def loss(params, mesh):
        logits = alexnet_jax.apply(params, images, architecture=NET, dropout_key=key, mesh=mesh)
        return (logits**2).sum()

    gradient = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    one, gradients = gradient(params, None)
    two, gradients_of_two = gradient(params, alexnet_jax.make_mesh(2))
    np.testing.assert_allclose(one, two, rtol=1e-5)
    for name in params:
        for a, b in zip(gradients[name], gradients_of_two[name]):
            assert np.abs(a).max() > 0
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(a).max())


def test_the_layers_of_windows_take_vmap_other_types_and_explicit_meshes(rng):
    spec, pool = LocallyConnected("local", 2, 3, 2, (1, 0)), MeanPool(3, 2, (1, 1))
    x = jnp.asarray(rng.normal(size=(4, 6, 6, 2)), jnp.float32)
    layer = Layer(
        *(jnp.asarray(rng.normal(size=s), jnp.float32) for s in spec.param_shapes((6, 6, 2)))
    )

    def value(layer, x):
        return (mean_pool(pool, locally_connected(spec, layer, x)) ** 2).sum()

    with jax.numpy_rank_promotion("raise"):
        gradient = jax.jit(jax.grad(value))(layer, x)
        by_image = jax.jit(jax.vmap(jax.grad(value), (None, 0)))(layer, x[:, None])
    explicit = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(explicit):
        spread = jax.device_put(x, jax.P("x"))
        on_mesh = jax.jit(jax.grad(value))(jax.device_put(layer, jax.P()), spread)
    for i, whole in enumerate(gradient):
        tolerance = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(by_image[i].sum(axis=0), whole, **tolerance)
        np.testing.assert_allclose(on_mesh[i], whole, **tolerance)
    halves = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (layer, x))
    assert locally_connected(spec, *halves).dtype == jnp.bfloat16
    assert mean_pool(pool, halves[1]).dtype == jnp.bfloat16


def make(*layers, towers=2):
    layers = (Conv("conv1", 4, 3), *layers, Flatten(), Output("fc2", 3))
    return Architecture("MINE", 9, towers, layers)


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([Wrong(output="odd")], "MINE: wrong1 needs an even number of rows"),
        (
            [Wrong(output=(7, 7))],
            "MINE: wrong1 has an output_shape (7, 7), which should be (height, width, maps) or "
            "(features,)",
        ),
        (
            [Wrong(output=(7, 7, 0))],
            "MINE: wrong1 has an output_shape (7, 7, 0), which should be (height, width, maps) or "
            "(features,)",
        ),
        ([Wrong(output=(7, 7, 5))], "MINE: the 5 maps of wrong1 cannot be shared by 2 towers"),
        (
            [WrongParams(params=(4, 4))],
            "MINE: wrongparams1 has param_shapes (4, 4), which should be two tuples: the shapes of "
            "weights and of biases",
        ),
        (
            [WrongParams(params=((4, 2), (4,)))],
            "MINE: wrongparams1 has param_shapes ((4, 2), (4,)), whose last axes should be its 4 "
            "maps",
        ),
        ([Mix("mix2", 4)], "MINE: mix2 needs the maps of all towers: a Gather before it"),
        ([Flatten(), GlobalMean()], "MINE: globalmean1 needs maps, and comes after Flatten"),
        (
            [own_layers.Undecorated()],
            "layer 2 of MINE: Undecorated needs @dataclass(frozen=True) before its class",
        ),
        (
            [own_layers.Misspelled()],
            "layer 2 of MINE: `takes` of Misspelled must be maps, features or both",
        ),
        (
            [own_layers.Shapeless()],
            "layer 2 of MINE: Shapeless needs a method apply(self, params, x)",
        ),
        ([Mix(3, 4)], "MINE: the name of a layer must be text, not 3"),
        (
            [Wrong(params=[4])],
            "layer 2 of MINE: the fields of Wrong must be fixed: unhashable type: 'list'",
        ),
    ],
)
def test_a_layer_type_that_makes_no_sense_is_refused_when_the_net_is_made(layers, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make(*layers)


@pytest.mark.parametrize("towers", [1, 2])
def test_an_apply_that_returns_another_shape_than_it_said_is_named(towers):
    net = make(Wrong(output=(5, 5, 4)), towers=towers)
    params = jax.eval_shape(partial(alexnet_jax.init, architecture=net), jax.random.key(0))
    sentence = (
        f"wrong1: apply returned [2, 7, 7, {4 // towers}], "
        f"and by its output_shape it should be [2, 5, 5, {4 // towers}]"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        jax.eval_shape(partial(alexnet_jax.apply, architecture=net), params, jnp.ones((2, 9, 9, 3)))


def test_a_layer_of_ones_own_sees_values_where_nothing_is_compiled():
    seen = []

    @dataclass(frozen=True)
    class Watch(LayerSpec):
        def apply(self, params, x):
            seen.append(float(jnp.max(x)))
            return x

    net = make(Watch())
    alexnet_jax.apply(draw_params(net), jnp.ones((2, 9, 9, 3)), architecture=net)
    assert len(seen) == net.towers


def test_layers_in_which_towers_meet_have_no_apply_of_ones_own():
    @dataclass(frozen=True)
    class Half(Split):
        def apply(self, params, x):
            return x

    with pytest.raises(ValueError, match="half1 changes how towers or batches meet: inherit Layer"):
        make(Half())


def test_a_file_of_weights_keeps_layer_types_of_ones_own(params, tmp_path):
    preprocessing = Preprocessing(stored_size=9, input_size=9, mean=[120, 110, 100])
    alexnet_jax.save(tmp_path / "net", params, NET, preprocessing)
    loaded, net, _ = alexnet_jax.load(tmp_path / "net")
    assert net == NET
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_a_layer_type_that_no_file_can_name_is_not_saved(tmp_path):
    @dataclass(frozen=True)
    class Local(LayerSpec):
        def apply(self, params, x):
            return x

    sentences = {
        Local(): "Local must be a class at the top of a module",
        Wrong(): "Wrong cannot be kept in a file: Wrong.output cannot be None",
    }
    preprocessing = Preprocessing(stored_size=9, input_size=9, mean=[120, 110, 100])
    for layer, sentence in sentences.items():
        net = make(layer)
        with pytest.raises(ValueError, match=sentence):
            alexnet_jax.save(tmp_path / "net", draw_params(net), net, preprocessing)
        assert not (tmp_path / "net").exists()
