"""The original program's networks for CIFAR-10, against loops over its formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import architectures
from tests.support import reference
from tests.support.tiny import draw_params, narrow


def maps_of(rng, net):
    size = net.image_sizes[0]
    return jnp.asarray(60 * rng.normal(size=(1, size, size, 3)), jnp.float32)


def conv(x, layer):
    return reference.conv(x, *layer, before=2, after=2)


def local(x, layer):
    return reference.relu(reference.locally_connected(x, *layer, kernel=3, before=1, after=1))


def logits(x, layer):
    return reference.dense(x.reshape(len(x), -1), *layer)


def whole_images(params, x, spatial):
    """Its layers-19pct and layers-18pct: max pool, ReLU; ReLU, mean pool; ReLU, mean pool."""
    norm = (lambda x: reference.spatial_norm(x, 3, 1, 5e-5)) if spatial else (lambda x: x)
    x = norm(reference.relu(reference.max_pool(conv(x, params["conv1"]), after=1)))
    for name in ("conv2", "conv3"):
        x = reference.mean_pool(reference.relu(conv(x, params[name])), after=1)
        x = norm(x) if name == "conv2" else x
    return logits(x, params["fc10"])


def crops(params, x, normalized):
    """Its layers-conv-local-13pct and -11pct, whose norm divides alpha by its nine maps."""
    norm = lambda x: reference.response_norm(x, 9, 1, 1e-3 / 9) if normalized else x  # noqa: E731
    x = norm(reference.max_pool(reference.relu(conv(x, params["conv1"])), after=1))
    x = reference.max_pool(norm(reference.relu(conv(x, params["conv2"]))), after=1)
    return logits(local(local(x, params["local3"]), params["local4"]), params["fc10"])


@pytest.mark.parametrize(
    ("name", "expected", "normalized"),
    [
        ("CIFAR_19PCT", whole_images, False),
        ("CIFAR_18PCT", whole_images, True),
        ("CIFAR_13PCT", crops, False),
        ("CIFAR_11PCT", crops, True),
    ],
)
def test_a_network_for_cifar_equals_loops(name, expected, normalized, rng):
    net = narrow(architectures.by_name(name))
    params, images = draw_params(net), maps_of(rng, net)
    ours = jax.jit(lambda x: alexnet_jax.apply(params, x, architecture=net))(images)
    loops = expected(params, np.asarray(images), normalized)
    assert ours.std() > 1e-3
    np.testing.assert_allclose(ours, loops, rtol=1e-4, atol=1e-4 * np.abs(loops).max())
