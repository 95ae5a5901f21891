"""Activations of any layers: on any devices, under jit, grad and vmap, and what they cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.architectures import PAPER, TORCHVISION
from tests.support import reference
from tests.support.tiny import TINY, draw_params, narrow

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
    # A GPU's programs call libraries, whose operations XLA does not count.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        flops = function.lower(params, image).compile().cost_analysis()["flops"]
    assert PAPER.layer_info()[-1].name == "fc8"
    assert 0.9 < flops / (2 * MULTIPLY_ACCUMULATES[deepest]) < 1.1


@pytest.mark.parametrize("size", [(14, 23), (33, 16)], ids=str)
@pytest.mark.parametrize("devices", [1, 2])
def test_layers_before_flatten_equal_loops_for_images_of_any_size(params, rng, devices, size):
    images = jnp.asarray(60 * rng.normal(size=(2, *size, 3)), jnp.float32)
    mesh = alexnet_jax.make_mesh(devices)
    captured = jax.jit(lambda p, x: activations(p, x, ["conv2", "relu4"], mesh))(params, images)
    expected = reference.tiny_maps(params, images)
    for name, value in captured.items():
        tolerance = 1e-4 * np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=tolerance)
    infos = {info.name: info.output_shape for info in TINY.layer_info(size, last="relu4")}
    assert infos["relu4"] == captured["relu4"].shape[1:]


@pytest.mark.parametrize(
    ("size", "name", "sentence"),
    [
        (16, "flatten4", "14 x 14 or 15 x 15 pixels, not 16 x 16; only its layers before flatten4"),
        ((15, 14), "fc6", "14 x 14 or 15 x 15 pixels, not 15 x 14; only its layers before"),
        ((5, 40), "conv2", "pool1 needs at least 3 pixels, and only 2 are left"),
    ],
)
def test_an_image_size_that_a_layer_cannot_take_is_refused(params, size, name, sentence):
    height, width = size if isinstance(size, tuple) else (size, size)
    with pytest.raises(ValueError, match=sentence):
        activations(params, jnp.zeros((1, height, width, 3)), name)


@pytest.mark.parametrize("devices", [1, 2])
def test_only_the_parameters_of_the_layers_that_run_are_needed(params, images, devices):
    """The others may be missing, or be those of another number of classes."""
    mesh = alexnet_jax.make_mesh(devices)
    expected = reference.tiny_maps(params, images)["relu3"]
    first = {name: params[name] for name in ("conv1", "conv2", "conv3")}
    for some in (first, params | {"fc8": first["conv1"]}):
        captured = jax.jit(lambda p, x: activations(p, x, "relu3", mesh))(some, images)
        np.testing.assert_allclose(captured["relu3"], expected, rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="TINY needs conv4; the parameters have conv1, conv2"):
        activations(first, images, "relu4", mesh)


def test_in_training_half_of_the_activations_are_dropped_and_apply_sees_the_same_ones(
    params, images
):
    options = {"architecture": TINY, "dropout_key": jax.random.key(5)}
    captured = jax.jit(lambda p, x: alexnet_jax.activations(p, x, **options))(params, images)
    assert [*captured] == sorted(TINY.layer_names())  # names=None asks for all; jit sorts a dict
    kept = np.asarray(captured["dropout6"]) != 0
    on = np.asarray(captured["relu6"]) > 0
    assert 0.3 < kept[on].mean() < 0.7
    np.testing.assert_array_equal(captured["dropout6"], np.where(kept, captured["relu6"], 0))
    logits = jax.jit(lambda p, x: alexnet_jax.apply(p, x, **options))(params, images)
    np.testing.assert_allclose(captured["fc8"], logits, rtol=1e-5)


# torchvision.models.alexnet as it prints itself: the modules of `features` and `classifier`.
FEATURES = 2 * "Conv2d ReLU MaxPool2d " + 3 * "Conv2d ReLU " + "MaxPool2d"
CLASSIFIER = "Dropout Linear ReLU Dropout Linear ReLU Linear"
LAYER_TYPES = {
    **{"Conv2d": "Conv", "ReLU": "Relu", "MaxPool2d": "MaxPool", "Dropout": "Dropout"},
    "Linear": ("Dense", "Output"),
}


def test_torchvisions_names_stand_for_the_layers_of_these_types():
    types = {info.name: type(info.spec).__name__ for info in TORCHVISION.layer_info()}
    resolve = alexnet_jax.architectures.torchvision_names.layer_name
    names = []
    for part, modules in (("features", FEATURES), ("classifier", CLASSIFIER)):
        for i, module in enumerate(modules.split()):
            names.append(resolve(TORCHVISION, f"{part}.{i}"))
            assert types[names[-1]] in LAYER_TYPES[module]
    assert names == [name for name in TORCHVISION.layer_names() if name != "flatten5"]
    assert resolve(TORCHVISION, "flatten") == "flatten5"


def test_torchvisions_names_are_returned_as_they_were_asked_for():
    net = narrow(TORCHVISION)
    params, images = draw_params(net), jnp.ones((1, 224, 224, 3))
    pairs = {"features.2": "pool1", "avgpool": "pool5", "classifier.1": "fc6"}

    @jax.jit
    def capture(params, images):
        return alexnet_jax.activations(params, images, [*pairs, *pairs.values()], architecture=net)

    captured = capture(params, images)
    for alias, name in pairs.items():
        np.testing.assert_array_equal(captured[alias], captured[name])
    assert captured["avgpool"].shape[1:3] == (6, 6)
    tail = {"after": "avgpool", "architecture": net}
    logits = jax.eval_shape(lambda x: alexnet_jax.apply(params, x, **tail), captured["avgpool"])
    assert logits.shape == (1, 7)


def test_torchvisions_names_are_refused_where_they_would_mean_something_else():
    net, images = narrow(TORCHVISION), jnp.ones((1, 300, 200, 3))
    params = draw_params(net)
    with pytest.raises(ValueError, match="takes images of 224 x 224 pixels, not 300 x 200"):
        alexnet_jax.activations(params, images, "avgpool", architecture=net)
    with pytest.raises(ValueError, match=r"no layer 'features.13', but .* features.0 to class"):
        alexnet_jax.activations(params, images, "features.13", architecture=net)
    with pytest.raises(ValueError, match=r"TINY has no layer .features\.0., but conv1"):
        activations(draw_params(TINY), images, "features.0")


def test_images_without_pixels_are_refused():
    params = alexnet_jax.init(jax.random.key(0), TINY)
    with pytest.raises(ValueError, match=r"and those of \[2, 0, 9, 3\] have none"):
        alexnet_jax.activations(params, jnp.zeros((2, 0, 9, 3)), "conv1", architecture=TINY)
