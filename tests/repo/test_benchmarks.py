"""The flags of the benchmarks, and the layouts of benchmarks.tpu as far as a CPU can run them."""

import argparse
import functools
import re
import signal
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from benchmarks import layers, soak, step, throughput, tpu
from tests.support.tiny import TINY, draw_params
from train.config.errors import BadInput, Ended
from train.runtime.distributed import PEER_GONE


@pytest.mark.parametrize("layout", ["joined", "grouped"])
def test_only_the_grouped_layout_has_grouped_convolutions(layout):
    program = tpu.lowered_step(TINY, 2, f"{layout}-float32", jax.devices()).as_text()
    assert ("feature_group_count = 2" in program) == (layout == "grouped")


@pytest.mark.parametrize(("layout", "devices", "images"), [("split", 2, 2), ("dense8", 8, 16)])
def test_a_layout_has_its_devices_and_two_images_for_each_part_of_the_batch(
    layout, devices, images
):
    program = tpu.lowered_step(TINY, 2, f"{layout}-float32", jax.devices()).as_text()
    assert f"mhlo.num_partitions = {devices} : i32" in program
    assert set(re.findall(r"%arg\d+: tensor<(\d+)x\d+x\d+x3xui8>", program)) == {str(images)}


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
        (soak.main, "--minutes -1", "--minutes must be at least 0"),
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


class KilledProcesses:
    """Stands for processes of which every other one saves a new checkpoint before it dies."""

    lives = 0

    def __init__(self, run_dir, flags, count, *, dies_in_deletion):
        self.folder = run_dir / "checkpoints"
        KilledProcesses.lives += 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def wait_for_new_checkpoint(self):
        if KilledProcesses.lives % 2:
            (self.folder / str(KilledProcesses.lives)).mkdir(parents=True)

    def wait_after_death_of(self, number):
        return [-signal.SIGKILL, PEER_GONE]

    def watch(self, seconds):
        pass

    wait_for_a_save = kill = watch


def test_the_soak_test_fails_unless_every_kill_falls_behind_a_new_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "WatchedProcesses", KilledProcesses)
    monkeypatch.setattr(soak, "_MOMENTS", ("any", "save"))
    finished = types.SimpleNamespace(samples=[])
    monkeypatch.setattr(soak, "_finish", lambda *_: finished)
    monkeypatch.setattr(soak, "_losses", lambda *_: [])
    monkeypatch.setattr(soak, "count_differences", lambda *_: 0)
    flags = argparse.Namespace(net="DIGITS", devices=2, save_steps=1, processes=2)
    flags.seed, flags.minutes = 0, 0.0
    flags.kills = 1
    soak.soak(flags, tmp_path / "one")
    flags.kills = 2  # the second falls before its process has saved
    KilledProcesses.lives = 0
    with pytest.raises(Ended, match="the soak test has failed"):
        soak.soak(flags, tmp_path / "two")
