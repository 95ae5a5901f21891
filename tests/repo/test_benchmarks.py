"""The flags of the benchmarks, and the layouts of benchmarks.tpu as far as a CPU can run them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from benchmarks import layers, soak, step, throughput, tpu
from tests.support.tiny import TINY, draw_params
from train.config.errors import BadInput


@pytest.mark.parametrize("layout", ["joined", "grouped"])
def test_only_the_grouped_layout_has_grouped_convolutions(layout):
    program = tpu.lowered_step(TINY, 2, f"{layout}-float32", jax.devices()).as_text()
    assert ("feature_group_count = 2" in program) == (layout == "grouped")


def test_the_grouped_layout_computes_the_same(rng):
    params, key = draw_params(TINY), jax.random.key(1)
    images = jnp.asarray(rng.normal(0, 60, (3, 14, 14, 3)), jnp.float32)
    apply = functools.partial(alexnet_jax.apply, architecture=TINY)
    ours, _ = jax.jit(functools.partial(tpu.grouped, architecture=TINY))(params, images, key)
    expected = jax.jit(apply)(params, images, dropout_key=key)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("main", "flags", "sentence"),
    [
        (step.main, "--steps 0", "--steps: '0' is not a whole number above 0"),
        (step.main, "--steps 0", "; python -m benchmarks.step --help explains the arguments"),
        (soak.main, "--kills -1", "--kills: '-1' is not a whole number above 0"),
        (soak.main, "--minutes 0", "--minutes must be above 0"),
        (layers.main, "--json /", "--json: / cannot be written: it is a folder"),
        (step.main, "--net NONE --devices 1", "there is no net named 'NONE'"),
        (layers.main, "--net NONE", "there is no net named 'NONE'"),
        (throughput.main, "--peers NONE", "NONE is none of torch,"),
        (tpu.main, "--variants NONE", "NONE is none of split-float32,"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_measured(main, flags, sentence):
    with pytest.raises(BadInput, match=sentence):
        main(flags.split())
