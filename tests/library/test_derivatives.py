"""Every kind of differentiation gives the derivatives of the same network in plain jax.numpy."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import alexnet_jax
from alexnet_jax.ops import winograd
from alexnet_jax.ops.normalization import local_response_norm
from tests.support import reference
from tests.support.platforms import choose_gpu
from tests.support.tiny import SMALL


def plain(params, images):
    """Compute SMALL as it is defined, without a line of the library."""
    axes = ("NHWC", "HWIO", "NHWC")
    weights, biases = params["conv1"]
    x = lax.conv_general_dilated(images, weights, (1, 1), [(1, 1)] * 2, dimension_numbers=axes)
    x = jnp.maximum(x + biases, 0)
    towers = jnp.split(x, 2, axis=-1)
    for i, maps in enumerate(towers):  # windows of 3 over the 2 maps of a tower: all of them
        towers[i] = maps / (1 + 0.5 * (maps**2).sum(-1, keepdims=True)) ** 0.75
    x = jnp.concatenate(towers, axis=-1)
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
    weights, biases = params["conv2"]
    x = lax.conv_general_dilated(x, weights, (1, 1), "VALID", dimension_numbers=axes) + biases
    x = jnp.maximum(x, 0)
    own = [maps.reshape(len(maps), -1) for maps in jnp.split(x, 2, axis=-1)]
    weights, biases = params["fc3"]
    parts = [a @ w for a, w in zip(own, jnp.split(weights, 2, axis=-1), strict=True)]
    x = jnp.maximum(jnp.concatenate(parts, axis=-1) + biases, 0)
    weights, biases = params["fc4"]
    return x @ weights + biases


@pytest.fixture(scope="module")
def point():
    """Parameters, images, and a direction for each."""
    rng = np.random.default_rng(2)
    params = alexnet_jax.init(jax.random.key(3), SMALL)
    images = jnp.asarray(30 * rng.normal(size=(2, 8, 8, 3)), jnp.float32)
    drawn = [jnp.asarray(rng.normal(size=x.shape), jnp.float32) for x in jax.tree.leaves(params)]
    directions = jax.tree.unflatten(jax.tree.structure(params), drawn)
    return params, images, directions, jnp.asarray(rng.normal(size=images.shape), jnp.float32)


def loss(apply, params, images):
    return jax.nn.log_softmax(apply(params, images))[:, 0].sum()


def by_params(apply, point):
    params, images, *_ = point
    return partial(loss, apply, images=images), params


def jvp(apply, point):
    params, images, *directions = point
    return jax.jvp(apply, (params, images), tuple(directions))


def jvp_of_images(apply, point):
    params, images, _, direction = point
    return jax.jvp(partial(apply, params), (images,), (direction,))


def linearize(apply, point):
    params, images, direction, _ = point
    logits, along = jax.linearize(lambda p: apply(p, images), params)
    return logits, along(direction), jax.linear_transpose(along, params)(jnp.ones_like(logits))


def jacobian_forward(apply, point):
    params, images, *_ = point
    return jax.jacfwd(lambda bias: apply(params | {"conv2": (params["conv2"][0], bias)}, images))(
        params["conv2"][1]
    )


def forward_over_reverse(apply, point):
    of_params, params = by_params(apply, point)
    return jax.jvp(jax.grad(of_params), (params,), (point[2],))


def reverse_over_forward(apply, point):
    of_params, params = by_params(apply, point)
    return jax.grad(lambda p: jax.jvp(of_params, (p,), (point[2],))[1])(params)


def reverse_over_reverse(apply, point):
    of_params, params = by_params(apply, point)
    return jax.grad(lambda p: _dot(jax.grad(of_params)(p), point[2]))(params)


def gauss_newton(apply, point):
    params, images, direction, _ = point
    of_params = partial(_swapped, apply, images)
    logits, along = jax.jvp(of_params, (params,), (direction,))
    curved = jax.jvp(jax.grad(lambda z: -jax.nn.log_softmax(z)[:, 0].sum()), (logits,), (along,))[1]
    return jax.vjp(of_params, params)[1](curved)


def neural_tangent_kernel(apply, point):
    params, images, *_ = point

    def of_one(p, image):
        return apply(p, image[None])[0]

    back = jax.vjp(lambda p: of_one(p, images[0]), params)[1]
    return jax.vmap(lambda c: jax.jvp(lambda p: of_one(p, images[1]), (params,), back(c))[1])(
        jnp.eye(3)
    )


def per_example(apply, point):
    """The derivative of each example along its own direction, and each example's gradient."""
    params, images, _, image_directions = point

    def of_one(image, along):
        return jax.jvp(lambda i: apply(params, i[None]), (image,), (along,))[1]

    gradients = jax.vmap(jax.grad(partial(loss, apply)), (None, 0))(params, images[:, None])
    return jax.vmap(of_one)(images, image_directions), gradients


def _swapped(apply, images, params):
    return apply(params, images)


def _dot(one, other):
    return sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other)))


KINDS = [
    jvp,
    jvp_of_images,
    linearize,
    jacobian_forward,
    forward_over_reverse,
    reverse_over_forward,
    reverse_over_reverse,
    gauss_newton,
    neural_tangent_kernel,
    per_example,
]


OF_TWO_DEVICES = [kind for kind in KINDS if kind not in (jvp_of_images, per_example)]
if jax.__version_info__ < (0, 12):  # JAX 0.7 does not batch this derivative of a shard_map
    OF_TWO_DEVICES.remove(neural_tangent_kernel)
CPU = {1: KINDS, 2: OF_TWO_DEVICES}
GPU = {1: KINDS, 2: [forward_over_reverse]}


def compute(apply, kinds, point):
    """All kinds in one program: it compiles in three quarters of the time of one for each."""
    run = jax.jit(lambda point: [kind(apply, point) for kind in kinds])
    return dict(zip(kinds, run(point), strict=True))


@pytest.fixture(scope="module")
def expected(point):
    with reference.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), point)
        return compute(plain, KINDS, wide)


@pytest.fixture(scope="module")
def ours(point):
    """A function that returns the library's derivatives, by kind, on some devices."""

    @cache
    def on(platform, devices):
        mesh = None if devices == 1 else alexnet_jax.make_mesh(devices)
        apply = partial(alexnet_jax.apply, architecture=SMALL, mesh=mesh)
        with pytest.MonkeyPatch.context() as patch:
            if platform == "gpu":
                patch.setattr(lax, "platform_dependent", choose_gpu)
            return compute(apply, (GPU if platform == "gpu" else CPU)[devices], point)

    return on


@pytest.mark.parametrize(
    ("kind", "devices"), [(kind, devices) for devices in CPU for kind in CPU[devices]]
)
def test_derivatives_equal_those_of_plain_operations(ours, expected, kind, devices):
    check(ours("cpu", devices)[kind], expected[kind])


@pytest.mark.parametrize(
    ("kind", "devices"), [(kind, devices) for devices in GPU for kind in GPU[devices]]
)
def test_so_do_those_of_the_operations_for_a_gpu(ours, expected, kind, devices):
    check(ours("gpu", devices)[kind], expected[kind])


def check(ours, expected):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())


def test_the_derivative_of_winograds_convolution_is_that_of_the_direct_one(rng):
    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    def direct(maps, kernels):
        axes = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(maps, kernels, (1, 1), "SAME", dimension_numbers=axes)

    def curvature(convolve, *arguments):  # forward over reverse of a function that is not linear
        gradient = jax.grad(lambda m, k: jnp.sin(convolve(m, k) / 8).sum(), (0, 1))
        return jax.jvp(gradient, arguments[:2], arguments[2:])

    point = draw(32, 5, 6, 2), draw(3, 3, 2, 3), draw(32, 5, 6, 2), draw(3, 3, 2, 3)
    ours = jax.jit(partial(curvature, winograd.convolve))(*point)
    plain = jax.jit(partial(curvature, direct))(*point)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max())


def test_the_hessian_of_the_response_normalization_equals_that_of_its_formula(rng):
    def formula(maps):
        sums = jnp.stack([(maps[max(i - 1, 0) : i + 2] ** 2).sum() for i in range(5)])
        return maps / (2 + 0.3 * sums) ** 0.75

    maps = rng.normal(size=5)
    hessian = jax.jit(jax.hessian(partial(local_response_norm, n=3, alpha=0.3)))
    ours = hessian(jnp.asarray(maps, "float32"))
    with reference.enable_x64(True):
        expected = jax.jit(jax.hessian(formula))(jnp.asarray(maps))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
