"""Convolutions on a CPU equal XLA's own, and are none that XLA hands to a slow library."""

import json
import os
import re
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.architectures import PAPER
from alexnet_jax.layer_specs import Conv
from alexnet_jax.ops.convolution import convolve, convolve_on_cpu
from tests.support import reference


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((7, 9), 5, 1, (2, 2)),  # as high as the input
        ((6, 5), 3, 1, (0, 0)),
        ((5, 6), 2, 1, (0, 1)),
        ((4, 5), 3, 1, (2, 2)),  # higher
        ((13, 11), 5, 2, (2, 1)),
        ((15, 16), 4, 3, (3, 0)),  # padding that is a stride
        ((12, 10), 3, 4, (1, 1)),  # pixels that no window sees
        ((16, 14), 7, 4, (0, 3)),  # pixels over the edge, as conv1's of PAPER
        ((4, 30), 1, 1, (0, 0)),
        ((2, 30), 2, 1, (0, 1)),  # so wide that XLA would turn the convolution around
        ((5, 5), 5, 1, (0, 0)),  # one window
    ],
)
def test_a_cpus_convolution_and_its_gradients_equal_xlas_in_float64(
    rng, size, kernel, stride, padding
):
    maps, kernels = rng.normal(size=(2, *size, 3)), rng.normal(size=(kernel, kernel, 3, 4))
    with reference.enable_x64(True):
        plain = partial(convolve, stride=stride, rows=padding, columns=padding)
        exact, pull_back = jax.vjp(plain, jnp.asarray(maps), jnp.asarray(kernels))
        cotangent = rng.normal(size=exact.shape)
        expected = exact, *pull_back(jnp.asarray(cotangent))
    maps, kernels, cotangent = (jnp.asarray(x, jnp.float32) for x in (maps, kernels, cotangent))
    out, pull_back = jax.vjp(
        partial(convolve_on_cpu, stride=stride, padding=padding), maps, kernels
    )
    for ours, array in zip((out, *pull_back(cotangent)), expected, strict=True):
        np.testing.assert_allclose(ours, array, atol=3e-6 * np.abs(array).max())


COMPILE = """
import json, sys
import jax, jax.numpy as jnp
from jax import lax
from alexnet_jax.layer_specs import Conv
from alexnet_jax.ops.layers import conv, dense
from alexnet_jax.params import Layer

def program(function, *shapes):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function).lower(*arrays).compile().as_text()

def gradient(function, of):
    return lambda *arrays: jax.vjp(function, *arrays[:-1])[1](arrays[-1])[of]

programs = {}
for name, kernel, stride, padding, maps, kernels, out in json.loads(sys.argv[1]):
    spec = Conv(name, kernels[-1], kernel, stride=stride, padding=tuple(padding))
    run = lambda x, w: conv(spec, Layer(w, jnp.zeros(w.shape[-1])), x)
    programs[f"{name} kernels"] = program(gradient(run, 1), maps, kernels, out)
    if stride == 1:
        programs[f"{name} forward"] = program(run, maps, kernels)
        programs[f"{name} maps"] = program(gradient(run, 0), maps, kernels, out)
run = lambda x, w: dense(Layer(w, jnp.zeros(w.shape[-1])), x)
for images in 16, 128:
    programs[f"dense, {images} images"] = program(run, (images, 512), (512, 256))
plain = lambda x, w: lax.conv_general_dilated(
    x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
shapes = (8, 27, 27, 48), (5, 5, 48, 128), (8, 27, 27, 128)
programs["XLA's"] = program(gradient(plain, 1), *shapes)
print(json.dumps(programs))
"""


def operations_of_ynnpack(program):
    """The convolutions and products in the fusions of a program that YNNPACK takes."""
    found = set()
    for body in re.findall(r"%ynn_fusion\S* = .* calls=(%[^\s,]+)", program):
        (text,) = re.findall(rf"^{re.escape(body)} .*?^}}", program, re.M | re.S)
        found |= set(re.findall(r" (convolution|dot)\(", text))
    return found


def test_a_users_program_leaves_to_ynnpack_products_of_few_rows_and_no_convolution():
    """In a process that sets no flag; JAX before 0.10 has none of these fusions."""
    layers = [
        (
            info.name,
            info.spec.kernel,
            info.spec.stride,
            info.spec.padding,
            (8, *info.input_shape[:2], info.weight_shape[2]),
            (*info.weight_shape[:3], info.weight_shape[3] // 2),
            (8, *info.output_shape[:2], info.weight_shape[3] // 2),
        )
        for info in PAPER.layer_info()
        if isinstance(info.spec, Conv) and info.weight_shape
    ]
    assert len(layers) == 5
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-c", COMPILE, json.dumps(layers)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    taken = {name: operations_of_ynnpack(text) for name, text in json.loads(done.stdout).items()}
    assert [name for name, found in taken.items() if "convolution" in found] in (["XLA's"], [])
    assert not taken["dense, 128 images"]
    if jax.__version_info__ >= (0, 12):
        assert taken["XLA's"] == {"convolution"}
        assert taken["dense, 16 images"] == {"dot"}


def count_in_choices(jaxpr, inside=False):
    """The convolutions of a program that lie in a branch of a choice of platform."""
    found = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        found += inside and name == "conv_general_dilated"
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=is_program):
            if is_program(value):
                found += count_in_choices(getattr(value, "jaxpr", value), inside or name == "cond")
    return found


def is_program(value):
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")


def test_convolutions_of_several_devices_lie_in_no_choice_of_platform_which_slows_them_down():
    params = alexnet_jax.init(jax.random.key(0), "DIGITS")
    images = np.zeros((8, 24, 24, 3), np.float32)

    def program(mesh):
        def loss(params):
            return alexnet_jax.apply(params, images, architecture="DIGITS", mesh=mesh).sum()

        return jax.make_jaxpr(jax.grad(loss))(params).jaxpr

    assert count_in_choices(program(None))  # on one device the forms of a CPU are chosen
    assert not count_in_choices(program(alexnet_jax.make_mesh(2)))
