"""`init`, `apply` and `activations`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.architectures import DIGITS, PAPER
from alexnet_jax.layer_specs import Conv, Dense, Output
from alexnet_jax.ops.layers import dropout_mask
from tests.support import reference
from tests.support.tiny import TINY


@pytest.fixture(scope="module")
def params():
    return alexnet_jax.init(jax.random.key(1), TINY)


@pytest.fixture
def images(rng):
    return jnp.asarray(60 * rng.normal(size=(4, 14, 14, 3)), jnp.float32)


def test_the_forward_pass_equals_loops_over_two_towers(params, images):
    ours = alexnet_jax.apply(params, images, architecture=TINY)
    expected = reference.tiny_logits(params, np.asarray(images))
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.skipif(
    not hasattr(jax.monitoring, "unregister_event_duration_listener"), reason="not in JAX 0.7.2"
)
def test_a_caller_that_compiles_nothing_runs_few_programs_and_compiles_them_once(params, images):
    """Operation by operation there are a hundred and more, which take seconds."""
    compiled = []

    def count(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration)

    functions = {
        "apply": lambda p: alexnet_jax.apply(p, images, architecture=TINY),
        "gradient": jax.grad(lambda p: alexnet_jax.apply(p, images, architecture=TINY).sum()),
    }
    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        for name, most in {"apply": 1, "gradient": 25}.items():
            compiled.clear()
            first = functions[name](params)
            assert 0 < len(compiled) <= most, name
            compiled.clear()
            again = functions[name](params)
            assert not compiled
            jax.tree.map(np.testing.assert_array_equal, first, again)
            jitted = jax.jit(functions[name])(params)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-4), first, jitted)
    finally:
        jax.monitoring.unregister_event_duration_listener(count)


def test_an_image_of_224_pixels_is_one_of_227_with_zeros_at_the_bottom_and_right(rng):
    params = alexnet_jax.init(jax.random.key(0), PAPER)
    small = jnp.asarray(rng.normal(size=(1, 224, 224, 3)), jnp.float32)
    large = jnp.pad(small, [(0, 0), (0, 3), (0, 3), (0, 0)])
    maps = [alexnet_jax.activations(params, x, ["conv1"])["conv1"] for x in (small, large)]
    assert maps[0].shape == (1, 55, 55, 96)
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-6)


def test_initial_values_follow_section_5():
    params = alexnet_jax.init(jax.random.key(0), PAPER)
    assert params.keys() == {*(f"conv{i}" for i in range(1, 6)), "fc6", "fc7", "fc8"}
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for name, layer in params.items():
        np.testing.assert_array_equal(layer.biases, float(name in ones))
        weights = np.asarray(layer.weights)
        tolerance = 0.01 * 5 / np.sqrt(2 * weights.size)  # five standard errors
        assert abs(weights.std() - 0.01) < tolerance
        assert abs(weights.mean()) < 0.01 * 5 / np.sqrt(weights.size)


def test_a_layers_draw_does_not_depend_on_the_other_layers():
    full, five = (alexnet_jax.init(jax.random.key(0), net) for net in (TINY, TINY.with_classes(5)))
    for name in full.keys() - {"fc8"}:
        np.testing.assert_array_equal(full[name].weights, five[name].weights)


def test_dropout_is_off_without_a_key_and_repeats_with_the_same_one(params, images):
    def apply(key):
        return alexnet_jax.apply(params, images, architecture=TINY, dropout_key=key)

    np.testing.assert_array_equal(apply(jax.random.key(0)), apply(jax.random.key(0)))
    assert not np.allclose(apply(jax.random.key(0)), apply(jax.random.key(1)))
    assert not np.allclose(apply(jax.random.key(0)), apply(None))


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_a_dropout_mask_does_not_depend_on_the_other_images_whatever_the_kind_of_key(kind):
    key, shape = jax.random.key(3, impl=kind), (300,)
    draw = functools.partial(dropout_mask, key, "dropout6")
    together = draw(jnp.arange(6), shape)
    np.testing.assert_array_equal(together[3:], draw(jnp.arange(3, 6), shape))
    assert len({row.tobytes() for row in np.asarray(together)}) == 6
    assert 0.4 < together.mean() < 0.6
    with jax.default_prng_impl(kind):
        assert draw(jnp.arange(2), shape).shape == (2, 300)
        raw = jax.random.PRNGKey(3)  # without a type, of the default kind
        np.testing.assert_array_equal(
            dropout_mask(raw, "dropout6", jnp.arange(2), shape), together[:2]
        )


@pytest.mark.parametrize("net", [PAPER, DIGITS], ids=lambda net: net.name)
def test_no_images_have_no_logits(net):
    params = jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0), net))
    size = net.image_sizes[0]

    def total(params, images):
        logits = alexnet_jax.apply(params, images, architecture=net)
        return logits.sum(), logits

    images = jax.ShapeDtypeStruct((0, size, size, 3), jnp.float32)
    gradient, logits = jax.eval_shape(jax.grad(total, has_aux=True), params, images)
    assert logits.shape == (0, net.classes)
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, params)


def test_the_mean_over_dropout_masks_is_near_the_test_time_logits(params, images):
    """Halving at test time is what makes this so (§4.2); the nonlinearity leaves a small gap."""
    draw = jax.jit(
        jax.vmap(lambda key: alexnet_jax.apply(params, images, architecture=TINY, dropout_key=key))
    )
    mean = draw(jax.random.split(jax.random.key(0), 2000)).mean(axis=0)
    at_test = alexnet_jax.apply(params, images, architecture=TINY)
    np.testing.assert_allclose(mean, at_test, atol=0.2 * np.abs(at_test).max())


def test_activations_have_every_layers_name_and_shape(params, images):
    names = [info.name for info in TINY.layer_info()]
    captured = alexnet_jax.activations(params, images, names, architecture=TINY)
    assert {k: v.shape[1:] for k, v in captured.items()} == {
        info.name: info.output_shape for info in TINY.layer_info()
    }
    logits = alexnet_jax.apply(params, images, architecture=TINY)
    np.testing.assert_array_equal(captured["fc8"], logits)
    np.testing.assert_array_equal(captured["relu1"], np.maximum(captured["conv1"], 0))
    np.testing.assert_array_equal(captured["dropout6"], 0.5 * captured["relu6"])
    pooled = np.asarray(captured["pool4"])
    np.testing.assert_array_equal(captured["flatten4"], pooled.reshape(len(pooled), -1))


def test_the_functions_go_through_jit_grad_and_vmap(params, images):
    def loss(params, images):
        return alexnet_jax.apply(params, images, architecture=TINY).sum()

    grads = jax.jit(jax.grad(loss))(params, images)
    assert jax.tree.all(jax.tree.map(lambda g, p: g.shape == p.shape, grads, params))
    several = jax.vmap(loss, in_axes=(None, 0))(params, images[:, None])
    np.testing.assert_allclose(several.sum(), loss(params, images), rtol=1e-4)


def test_images_of_any_float_type_are_computed_in_the_parameters_type(params, images):
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    assert (
        alexnet_jax.apply(params, images.astype(jnp.float16), architecture=TINY).dtype == "float32"
    )
    assert alexnet_jax.apply(half, images, architecture=TINY).dtype == "bfloat16"


@pytest.mark.parametrize(
    ("images", "error", "sentence"),
    [
        (jnp.zeros((1, 13, 13, 3)), ValueError, "TINY takes images of 14 x 14 or 15 x 15"),
        (jnp.zeros((1, 14, 15, 3)), ValueError, "TINY takes .* pixels, not 14 x 15; only its"),
        (jnp.zeros((14, 14, 3)), ValueError, r"must be \[n, height, width, 3\]"),
        (jnp.zeros((1, 14, 14, 3), jnp.uint8), TypeError, "floating and mean-subtracted"),
    ],
)
def test_images_that_the_net_cannot_take_are_refused(params, images, error, sentence):
    with pytest.raises(error, match=sentence):
        alexnet_jax.apply(params, images, architecture=TINY)


def test_parameters_of_another_net_are_refused_by_layer(params, images):
    with pytest.raises(ValueError, match=r"fc8 has weights and biases of \(32, 7\)"):
        alexnet_jax.apply(params, images, architecture=TINY.with_classes(9))
    with pytest.raises(ValueError, match="PAPER has the layers conv1, conv2"):
        alexnet_jax.apply(params, jnp.zeros((1, 224, 224, 3)))


def test_an_unknown_activation_is_refused_with_the_known_names(params, images):
    with pytest.raises(ValueError, match="TINY has no layer 'conv9', but conv1, relu1, norm1"):
        alexnet_jax.activations(params, images, ["conv9"], architecture=TINY)


def test_small_kernels_of_the_digits_net_start_from_a_larger_deviation():
    specs = [layer for layer in DIGITS.layers if isinstance(layer, Conv | Dense | Output)]
    assert {spec.std for spec in specs} == {0.05}


@pytest.mark.parametrize("seed", [0, True, 7])
def test_a_seed_is_no_key_in_any_network(params, images, seed):
    for net in (TINY, "DIGITS"):
        with pytest.raises(TypeError, match=r"dropout_key must be a key, as jax\.random\.key\(0\)"):
            alexnet_jax.apply(params, images, architecture=net, dropout_key=seed)
