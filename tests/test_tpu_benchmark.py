"""The layouts that benchmarks.tpu compares, as far as they can be checked without its compiler."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from benchmarks import tpu
from tests.tiny import TINY, drawn


@pytest.mark.parametrize("layout", ["joined", "grouped"])
def test_only_the_grouped_layout_has_grouped_convolutions(layout):
    program = tpu.lowered_step(TINY, 2, f"{layout}-float32", jax.devices()).as_text()
    assert ("feature_group_count = 2" in program) == (layout == "grouped")


def test_the_grouped_layout_computes_the_same(rng):
    params, key = drawn(TINY), jax.random.key(1)
    images = jnp.asarray(rng.normal(0, 60, (3, 14, 14, 3)), jnp.float32)
    apply = functools.partial(alexnet_jax.apply, architecture=TINY)
    got, _ = jax.jit(functools.partial(tpu.grouped, architecture=TINY))(params, images, key)
    want = jax.jit(apply)(params, images, dropout_key=key)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
