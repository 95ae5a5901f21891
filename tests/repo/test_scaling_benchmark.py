"""The bytes that a compiled step sends, read off the program, against numbers by hand."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

import alexnet_jax
from alexnet_jax.architectures import PAPER
from alexnet_jax.towers import num_batch_shards
from benchmarks import scaling
from benchmarks.programs import Instruction, collectives, lowered_step, megabytes_sent
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
    ("kind", "collective", "sent"),
    [
        # A device has 3 x 5 floats of 4 bytes; there are two along "tower", four along "data".
        ("activations", lambda x: lax.all_gather(x, "tower", axis=0, tiled=True), 60),
        ("activations", lambda x: lax.all_gather(x, "data", axis=0, tiled=True), 3 * 60),
        ("activations", lambda x: lax.psum(x, "tower"), 2 * 60 / 2),
        ("gradients", lambda x: lax.psum(x, "data"), 2 * 60 * 3 / 4),
        ("gradients", lambda x: lax.psum(x, ("data", "tower")), 2 * 60 * 7 / 8),
    ],
)
def test_the_bytes_of_a_collective_are_those_round_a_ring(kind, collective, sent):
    mesh = alexnet_jax.make_mesh(8)
    varying = P(("data", "tower"))
    run = jax.shard_map(
        lambda x: 0 * x + collective(x).sum(), mesh=mesh, in_specs=varying, out_specs=varying
    )
    program = jax.jit(run).lower(jnp.zeros((24, 5))).compile().as_text()
    by_kind = scaling.bytes_sent(program, mesh)
    assert by_kind.pop(kind) == pytest.approx(sent)
    assert set(by_kind.values()) == {0}


PROGRAM = """HloModule m

ENTRY %main (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  %all-reduce-start.1 = ((f32[8]{0}), f32[8]{0}) all-reduce-start(%p), replica_groups={{0,1}}
  %product = f32[8]{0} multiply(%p, %p)
  %all-gather = f32[16]{0} all-gather(%product), replica_groups={{0,1}}, dimensions={0}
  %all-reduce-done.1 = f32[8]{0} all-reduce-done(%all-reduce-start.1)
  ROOT %sum = f32[8]{0} add(%all-reduce-done.1, %product)
}
"""


def test_what_runs_while_a_collective_sends_is_read_off_the_schedule():
    between = {
        start.name: [instruction.name for instruction in run] for start, run in collectives(PROGRAM)
    }
    assert between == {"all-reduce-start.1": ["product", "all-gather"], "all-gather": []}
    # Of two devices each sends half of the gathered 64 bytes, and half of 32 bytes twice.
    sent = {"MB sent": 64e-6, "of these, while it computes": 32e-6}
    assert megabytes_sent(PROGRAM) == pytest.approx(sent)


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_a_step_sends_no_more_than_its_layout_needs(devices):
    """By hand: TINY's towers gather 3 x 3 x 12, 8 and 32 activations, and sum 7 logits."""
    mesh, images = alexnet_jax.make_mesh(devices), 4
    pairs = max(1, devices // 2)
    least = scaling.least_bytes(TINY, mesh, images * pairs)
    tower = 4 * images * (2 * (3 * 3 * 12 + 8 + 32) / 2 + 7) * (devices > 1)
    per_device = (
        sum(parameters(TINY).values()) - 7
    ) / 2 + 7  # the biases of the logits are on both
    data = 4 * per_device * 2 * (pairs - 1) / pairs
    assert least == {"activations": tower, "gradients": pytest.approx(data)}
    check_sent(mesh, images * pairs, least)


def test_a_step_on_shared_dense_layers_sends_no_more_than_they_need():
    """By hand: fc6 and fc7 read 8 and 32 features, of three other devices; 7 logits go to them."""
    mesh, images = alexnet_jax.make_mesh(8, dense=4), 4
    least = scaling.least_bytes(TINY, mesh, images * 8)
    counts = parameters(TINY)
    dense = sum(counts.pop(name) for name in ("fc6", "fc7", "fc8")) - 7
    gradients = 4 * (2 * 7 / 8 * (sum(counts.values()) + 7) + 2 * 1 / 2 * dense / 4)
    activations = 4 * images * 2 * 3 * (8 + 32 + 7)
    assert least == {"activations": activations, "gradients": pytest.approx(gradients)}
    check_sent(mesh, images * 8, least)


def parameters(net):
    return {info.name: info.parameters for info in net.layer_info() if info.weight_shape}


def check_sent(mesh, batch, least):
    sent = scaling.bytes_sent(lowered_step(TINY, batch, mesh).compile().as_text(), mesh)
    scalars = 100 * (num_batch_shards(mesh) > 1)  # loss and error are means over the batch
    assert sent["activations"] == least["activations"]
    assert least["gradients"] - 1 <= sent["gradients"] <= least["gradients"] + scalars


def test_shared_dense_layers_send_less_than_a_third_of_the_papers_gradients(tmp_path):
    """At most 0.3 of what data parallelism sends on eight devices, and 0.4 on 64."""
    report = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.scaling",
        "--net",
        "tests.support.tiny:PAPER_DENSE",
    ]
    command += ["--devices", "8", "64", "--layout", "dense", "--json", str(report)]
    subprocess.run(command, check=True, capture_output=True)
    of_paper = 4 * 60_965_224
    for row, ceiling in zip(json.loads(report.read_text()), (0.3, 0.4), strict=True):
        by_data = 2 * (row["devices"] - 1) / row["devices"] * of_paper
        assert sum(row["sent"].values()) < ceiling * by_data


def test_the_efficiency_follows_from_operations_and_bytes():
    """PAPER: 6 x 724,406,816 operations an image, at 1e12 a second; 1 and 2 GB at 1e10."""
    mesh = alexnet_jax.make_mesh(8)
    sent = {"activations": 1e9, "gradients": 2e9}
    prediction = scaling.predict(PAPER, mesh, 512, sent, 1e12, 1e10)
    computing = 6 * 724_406_816 * 512 / 8 / 1e12
    assert prediction["seconds"] == pytest.approx(computing + 0.3)
    assert prediction["efficiency"] == pytest.approx(computing / (computing + 0.3))
    assert prediction["efficiency_overlapped"] == pytest.approx(computing / (computing + 0.1))
