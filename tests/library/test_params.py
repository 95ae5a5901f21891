"""Parameters in other containers and dtypes, of other networks, and in exported functions."""

import functools
import warnings

import flax.core
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
import pytest
from jax import export

import alexnet_jax
from alexnet_jax import BatchStats, Layer, architectures, visualize
from alexnet_jax.flax_modules import AlexNet, LinenAlexNet, linen_params, linen_variables
from tests.library.test_batch_norm import NET as NORMED
from tests.library.test_exports import preprocessing_for
from tests.support.tiny import TINY, draw_params, narrow

CONTAINERS = {
    "dict": lambda pair: pair._asdict(),
    "tuple": tuple,
    "list": list,
    "msgpack": lambda pair: dict(zip("01", pair, strict=True)),
    "FrozenDict": lambda pair: flax.core.freeze(pair._asdict()),
    "NumPy": lambda pair: [np.asarray(leaf, np.float64) for leaf in pair],
}


def draw_images(net, count=4):
    size = net.image_sizes[0]
    pixels = np.random.default_rng(3).normal(size=(count, size, size, 3))
    return jnp.asarray(60 * pixels, jnp.float32)


@functools.cache
def steps():
    """Jitted functions of NORMED, which has layers and running statistics."""
    options = {"architecture": NORMED}

    def loss(params, images):
        logits, stats = alexnet_jax.apply_train(params, images, jax.random.key(0), **options)
        return (logits**2).sum(), alexnet_jax.update_batch_stats(params, stats, NORMED)

    return jax.jit(jax.grad(loss, has_aux=True)), jax.jit(
        lambda params, images: alexnet_jax.apply(params, images, **options)
    )


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_logits_and_a_gradient_in_the_same_container(container):
    params, images = draw_params(NORMED), draw_images(NORMED)
    others = {name: CONTAINERS[container](pair) for name, pair in params.items()}
    if container == "FrozenDict":
        others = flax.core.freeze(others)
    train, evaluate = steps()
    np.testing.assert_array_equal(evaluate(others, images), evaluate(params, images))
    (gradient, updated), (expected, expected_stats) = train(others, images), train(params, images)
    assert jax.tree.structure(gradient) == jax.tree.structure(others)
    assert jax.tree.structure(updated) == jax.tree.structure({k: others[k] for k in expected_stats})
    for ours, theirs in ((gradient, expected), (updated, expected_stats)):
        for name, pair in alexnet_jax.params.as_params(ours).items():
            for one, other in zip(pair, theirs[name], strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("reader", ["Orbax", "msgpack"])
def test_what_a_program_reads_without_a_template_is_taken_everywhere(reader, tmp_path):
    params, images = draw_params(NORMED), draw_images(NORMED)
    if reader == "Orbax":
        with orbax.checkpoint.PyTreeCheckpointer() as checkpointer, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it takes the shardings from the file
            checkpointer.save(tmp_path / "params", params)
            restored = checkpointer.restore(tmp_path / "params")
    else:
        content = flax.serialization.to_bytes(params)
        restored = flax.serialization.msgpack_restore(content)
    assert not isinstance(restored["conv1"], Layer)
    expected = alexnet_jax.apply(params, images, architecture=NORMED)
    preprocessing = preprocessing_for(NORMED)
    for name, write in (("one", params), ("other", restored)):
        path = tmp_path / f"{name}.safetensors"
        alexnet_jax.save(path, write, NORMED, preprocessing)
    saved = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("one", "other")]
    assert saved[0] == saved[1]
    alexnet_jax.export(tmp_path / "net.stablehlo", restored, NORMED, preprocessing)
    logits = [
        alexnet_jax.apply(restored, images, architecture=NORMED),
        AlexNet(NORMED, params=restored)(images),
        LinenAlexNet(NORMED).apply(linen_variables(restored), images),
    ]
    for value in logits:
        np.testing.assert_array_equal(value, expected)
    assert isinstance(linen_params(linen_variables(restored))["norm1_running"], BatchStats)
    maps = [
        visualize.saliency(p, images, jnp.arange(4) % 3, architecture=NORMED)
        for p in (params, restored)
    ]
    np.testing.assert_array_equal(*maps)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"conv2": (np.zeros((3, 3, 4, 12), "int8"), np.zeros(12, "int8"))}, TypeError,
         "parameters must be floating, not int8 as the weights of conv2"),
        ({"fc8": (np.zeros((32, 7), "float32"), np.zeros(7, bool))}, TypeError,
         "parameters must be floating, not bool as the biases of fc8"),
        ({"conv1": {"kernel": 1, "bias": 2}}, TypeError,
         "conv1 must hold weights and biases, not kernel, bias"),
        ({"conv1": (1, 2, 3)}, TypeError, "conv1 must hold weights and biases, not 3 values"),
        ({"conv1": None}, TypeError, "conv1 must hold weights and biases, not NoneType"),
        ({"conv1": (1.0, 2.0)}, TypeError, "the weights of conv1 must be an array, not float"),
    ],
)  # fmt: skip
def test_what_holds_no_floating_weights_and_biases_is_refused_by_layer(change, error, sentence):
    params = draw_params(TINY) | change
    with pytest.raises(error, match=sentence):
        alexnet_jax.apply(params, draw_images(TINY), architecture=TINY)


def test_parameters_that_are_no_dict_are_refused():
    with pytest.raises(TypeError, match="params must be a dict of layers by name, not list"):
        alexnet_jax.apply([1], draw_images(TINY), architecture=TINY)


def test_each_layer_computes_in_the_dtype_of_its_weights():
    params = draw_params(TINY)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    mixed = {name: (half if name in ("conv2", "fc8") else params)[name] for name in params}
    captured = jax.eval_shape(
        lambda params, images: alexnet_jax.activations(params, images, architecture=TINY),
        mixed, draw_images(TINY),
    )  # fmt: skip
    types = {name: value.dtype.name for name, value in captured.items()}
    assert {name for name, dtype in types.items() if dtype == "bfloat16"} == {
        *("conv2", "relu2", "norm2", "gather2", "fc8")
    }

    def loss(params):
        return alexnet_jax.apply(params, draw_images(TINY), architecture=TINY).sum()

    gradient = jax.eval_shape(jax.grad(loss), mixed)
    for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(mixed), strict=True):
        assert one.dtype == other.dtype


def test_a_batch_normalization_computes_in_float32_whatever_its_parameters_are():
    params, images = draw_params(NORMED), draw_images(NORMED)
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    mixed = params | {name: rounded[name] for name in params if name.startswith("norm")}
    exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixed)
    train, evaluate = steps()
    np.testing.assert_array_equal(evaluate(mixed, images), evaluate(exact, images))
    _, updated = train(mixed, images)
    _, expected = train(exact, images)
    for name, stats in updated.items():
        for one, other in zip(stats, expected[name], strict=True):
            assert one.dtype == jnp.bfloat16
            np.testing.assert_array_equal(one, other.astype(jnp.bfloat16))


def shapes_of(net):
    return jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0), net))


@pytest.mark.parametrize(
    ("net", "asked", "sentence"),
    [
        (architectures.DIGITS, "PAPER",
         "these parameters fit DIGITS, not PAPER: give architecture='DIGITS'"),
        (architectures.TORCHVISION, "PAPER",
         "fit ONE_WEIRD_TRICK or TORCHVISION, not PAPER: give architecture='ONE_WEIRD_TRICK' or "
         "'TORCHVISION'"),
        (architectures.DIGITS.with_classes(5), "DIGITS",
         r"fit DIGITS.with_classes\(5\), not DIGITS: give "
         r"architecture=architectures.DIGITS.with_classes\(5\)"),
    ],
    ids=lambda value: getattr(value, "name", value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_parameters_of_another_published_net_are_refused_with_its_name(net, asked, sentence):
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    apply = functools.partial(alexnet_jax.apply, architecture=asked)
    with pytest.raises(ValueError, match=sentence):
        jax.eval_shape(apply, shapes_of(net), images)


def test_an_architecture_is_an_argument_of_a_jitted_function_and_a_name_stands_for_it():
    net = architectures.DIGITS
    params, images = draw_params(net), draw_images(net)
    traced = []

    def forward(params, images, architecture):
        traced.append(architecture)
        return alexnet_jax.apply(params, images, architecture=architecture)

    apply = jax.jit(forward)
    expected = apply(params, images, architecture=net)
    apply(params, images, architecture=architectures.by_name("DIGITS"))
    assert traced == [net]
    by_name = jax.jit(alexnet_jax.apply, static_argnames="architecture")
    np.testing.assert_array_equal(by_name(params, images, architecture="DIGITS"), expected)
    assert jax.tree.leaves({"net": net, "params": params["fc8"]}) == [*params["fc8"]]
    assert alexnet_jax.summary("DIGITS") == alexnet_jax.summary(net)
    with pytest.raises(ValueError, match="there is no net named 'ALEX'"):
        alexnet_jax.apply(params, images, architecture="ALEX")
    with pytest.raises(TypeError, match="must be an Architecture or the name of one, not int"):
        alexnet_jax.init(jax.random.key(0), 3)


def test_an_exported_function_of_parameters_is_read_back_with_its_gradient():
    params, images = draw_params(NORMED), draw_images(NORMED)
    apply = jax.jit(functools.partial(alexnet_jax.apply, architecture=NORMED))
    exported = export.deserialize(export.export(apply)(params, images).serialize(vjp_order=1))
    np.testing.assert_allclose(exported.call(params, images), apply(params, images), rtol=1e-6)

    def gradient(function):
        return jax.grad(lambda params: (function(params, images) ** 2).sum())(params)

    whole = export.export(jax.jit(alexnet_jax.apply))(params, images, architecture=NORMED)
    whole = export.deserialize(whole.serialize())
    np.testing.assert_array_equal(
        whole.call(params, images, architecture=NORMED), exported.call(params, images)
    )
    ours, theirs = gradient(apply), gradient(exported.call)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(np.abs(a).max()))


@pytest.mark.parametrize("name", ["TINY", "NORMED", "ORIGINAL", "CAFFE", "TORCHVISION"])
def test_no_array_is_promoted_to_a_higher_rank(name):
    net = {"TINY": TINY, "NORMED": NORMED}.get(name)
    net = net or narrow(architectures.by_name(name))

    def loss(params, images, mesh):
        key, options = jax.random.key(0), {"architecture": net, "mesh": mesh}
        logits, stats = alexnet_jax.apply_train(params, images, key, **options)
        return logits.sum(), alexnet_jax.update_batch_stats(params, stats, net)

    with jax.numpy_rank_promotion("raise"):
        for mesh in (None, alexnet_jax.make_mesh(2, net.towers)):
            step = jax.grad(functools.partial(loss, mesh=mesh), argnums=(0, 1), has_aux=True)
            jax.eval_shape(step, draw_params(net), draw_images(net))
        preprocess = preprocessing_for(net)
        pictures = jnp.zeros((1, *preprocess.mean.shape), "uint8")
        jax.eval_shape(preprocess, pictures)
