"""The bytes that a compiled step sends, read off the program, against numbers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

import alexnet_jax
from alexnet_jax.architectures import PAPER
from benchmarks import scaling
from benchmarks.programs import Instruction, lowered_step
from tests.support.tiny import TINY


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("replica_groups={{0,1},{2,3}}, dimensions={0}", [[0, 1], [2, 3]]),
        ("replica_groups=mesh['data'=2,'tower'=2] {'tower'}, use_global", [[0, 1], [2, 3]]),
        ("replica_groups=mesh['data'=2,'tower'=2] {'data'}, use_global", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'a','b'}, use_global", [[0, 1, 2, 3]]),
        ("replica_groups=[2,3]<=[6], use_global", [[0, 1, 2], [3, 4, 5]]),
        ("replica_groups=[2,4]<=[4,2]T(1,0), use_global", [[0, 2, 4, 6], [1, 3, 5, 7]]),
    ],
)
def test_the_devices_that_a_collective_joins_are_read(text, groups):
    assert Instruction("x", "f32[1]", "all-reduce", [], text).groups.tolist() == groups


@pytest.mark.parametrize(
    ("axis", "collective", "sent"),
    [
        # A device has 3 x 5 floats of 4 bytes; there are two along "tower", four along "data".
        ("tower", lambda x: lax.all_gather(x, "tower", axis=0, tiled=True), 60),
        ("data", lambda x: lax.all_gather(x, "data", axis=0, tiled=True), 3 * 60),
        ("tower", lambda x: lax.psum(x, "tower"), 2 * 60 / 2),
        ("data", lambda x: lax.psum(x, "data"), 2 * 60 * 3 / 4),
        ("other", lambda x: lax.psum(x, ("data", "tower")), 2 * 60 * 7 / 8),
    ],
)
def test_the_bytes_of_a_collective_are_those_round_a_ring(axis, collective, sent):
    mesh = alexnet_jax.make_mesh(8)
    varying = P(("data", "tower"))
    run = jax.shard_map(
        lambda x: 0 * x + collective(x).sum(), mesh=mesh, in_specs=varying, out_specs=varying
    )
    program = jax.jit(run).lower(jnp.zeros((24, 5))).compile().as_text()
    by_axis = scaling.bytes_sent(program, mesh)
    assert by_axis.pop(axis) == pytest.approx(sent)
    assert set(by_axis.values()) == {0}


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_a_step_sends_no_more_than_its_layout_needs(devices):
    """By hand: TINY's towers gather 3 x 3 x 12, 8 and 32 activations, and sum 7 logits."""
    mesh, images = alexnet_jax.make_mesh(devices), 4
    pairs = max(1, devices // 2)
    least = scaling.least_bytes(TINY, mesh, images * pairs)
    tower = 4 * images * (2 * (3 * 3 * 12 + 8 + 32) / 2 + 7) * (devices > 1)
    parameters = sum(
        np.prod(info.weight_shape) + info.output_shape[-1]
        for info in TINY.layer_info()
        if info.weight_shape
    )
    per_device = (parameters - 7) / 2 + 7  # the biases of the logits are on both
    assert least == {"tower": tower, "data": 4 * per_device * 2 * (pairs - 1) / pairs}

    sent = scaling.bytes_sent(lowered_step(TINY, images * pairs, mesh).compile().as_text(), mesh)
    scalars = 100 * (pairs > 1)  # loss and error are means over the batch
    assert sent["tower"] == tower
    assert least["data"] <= sent["data"] <= least["data"] + scalars
    assert sent["other"] <= scalars


def test_the_efficiency_follows_from_operations_and_bytes():
    """PAPER: 6 x 724,406,816 operations an image, at 1e12 a second; 1 and 2 GB at 1e10."""
    mesh = alexnet_jax.make_mesh(8)
    sent = {"tower": 1e9, "data": 2e9, "other": 0}
    prediction = scaling.predict(PAPER, mesh, 512, sent, 1e12, 1e10)
    computing = 6 * 724_406_816 * 512 / 8 / 1e12
    assert prediction["seconds"] == pytest.approx(computing + 0.3)
    assert prediction["efficiency"] == pytest.approx(computing / (computing + 0.3))
    assert prediction["efficiency_overlapped"] == pytest.approx(computing / (computing + 0.1))
