"""The library multiplies as JAX's own setting has it: all products follow it, on every platform."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import alexnet_jax
from alexnet_jax import Preprocessing, architectures, exports, visualize
from alexnet_jax.architectures import PAPER
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    LocallyConnected,
    MeanPool,
    Output,
    SpatialNorm,
)
from tests.support.products import count_levels
from tests.support.tiny import TINY, draw_params

PLATFORMS = ("cpu", "cuda", "tpu")
OTHERS = dataclasses.replace(
    TINY,
    name="OTHERS",
    image_sizes=(14,),
    towers=1,
    layers=(
        Conv("conv1", 8, kernel=3),
        BatchNorm(),
        SpatialNorm(),
        MeanPool(3, 2),
        LocallyConnected("local2", 6, kernel=3),
        Flatten(),
        Dense("fc3", 6),
        Output("fc4", 7),
    ),
)
"""The layers with parameters or products that PAPER does not have."""


def lowered(function, *arguments, platforms=PLATFORMS):
    return export.export(jax.jit(function), platforms=platforms)(*arguments).mlir_module()


def abstract(net, batch):
    """Shapes of parameters and images; 32 images of PAPER take Winograd's products on a CPU."""
    size = net.image_sizes[0]
    params = jax.eval_shape(partial(alexnet_jax.init, architecture=net), jax.random.key(0))
    return params, jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)


def gradients(net, devices=1):
    def total(params, images):
        key, mesh = jax.random.key(1), alexnet_jax.make_mesh(devices, net.towers)
        return alexnet_jax.apply(params, images, architecture=net, dropout_key=key, mesh=mesh).sum()

    return jax.value_and_grad(total, argnums=(0, 1))


@pytest.mark.parametrize(("net", "devices"), [(PAPER, 1), (PAPER, 2), (OTHERS, 1)])
def test_every_product_and_its_gradients_are_at_highest_where_jax_is_told_so(net, devices):
    with jax.default_matmul_precision("highest"):
        program = lowered(gradients(net, devices), *abstract(net, 32))
    levels = count_levels(program)
    assert levels.keys() == {"HIGHEST"}
    layers = sum(bool(info.weight_shape) for info in net.layer_info())
    assert levels["HIGHEST"] >= 2 * 2 * layers  # two operands, forward and one gradient at least


def test_without_a_setting_only_sums_that_are_products_on_a_tpu_are_at_highest():
    with jax.default_matmul_precision(None):
        program = lowered(gradients(PAPER), *abstract(PAPER, 32), platforms=("tpu",))
    levels = count_levels(program)
    norms = 2 * 2 * 3 * 2  # operands, response norms a tower, sums of each, towers
    assert levels["HIGHEST"] == norms
    assert levels["DEFAULT"] > norms


def test_derivatives_along_a_direction_follow_the_setting():
    params, images = draw_params(TINY), jnp.zeros((2, 14, 14, 3))

    def along(params, images):
        apply = partial(alexnet_jax.apply, architecture=TINY)
        return jax.jvp(apply, (params, images), (params, images))

    with jax.default_matmul_precision("highest"):
        program = lowered(along, params, images)
    assert count_levels(program).keys() == {"HIGHEST"}


@pytest.mark.parametrize("name", ["saliency", "grad_cam"])
def test_visualizations_follow_the_setting(name):
    params, images = draw_params(TINY), jnp.zeros((2, 14, 14, 3))
    draw = partial(getattr(visualize, name), architecture=TINY)
    with jax.default_matmul_precision("highest"):
        program = lowered(draw, params, images, jnp.array([0, 1]))
    assert count_levels(program).keys() == {"HIGHEST"}


@pytest.mark.parametrize(("setting", "lowest"), [(None, "DEFAULT"), ("highest", "HIGHEST")])
def test_a_stablehlo_file_keeps_the_setting_that_it_was_exported_with(tmp_path, setting, lowest):
    path, net = tmp_path / "net.stablehlo", architectures.DIGITS
    preprocessing = Preprocessing(stored_size=28, input_size=24, mean=np.zeros(3))
    with jax.default_matmul_precision(setting):
        exports.export(path, draw_params(net), net, preprocessing)
    program = export.deserialize(bytearray(path.read_bytes())).mlir_module()
    assert min(count_levels(program)) == lowest  # by name, DEFAULT comes before HIGHEST
