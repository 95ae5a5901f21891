"""Launchers by their environment, and what is said of a process that is gone."""

import pytest

from train.config.config import Config
from train.config.errors import BadInput
from train.runtime import accelerators
from train.runtime.distributed import detect_launcher, join, peer_gone_message


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (1, "`devices` 1 cannot be divided among 2 processes (SLURM)"),
        (2, "several processes (SLURM) need a `run_dir` that all of them see"),
    ],
)
def test_an_invalid_launch_is_refused_before_any_process_waits(devices, words, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(BadInput) as caught:
        join(Config().replace(devices=devices))
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("environment", "devices", "tpu_hosts", "expected"),
    [
        ({}, 8, 1, None),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"}, 8, 1, None),  # a shell started by salloc
        ({"SLURM_STEP_NUM_TASKS": "1"}, 8, 1, None),
        ({"SLURM_STEP_NUM_TASKS": "4"}, 8, 1, ("SLURM", 4)),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, 6, 1, ("Open MPI", 3)),
        ({"KUBERNETES_SERVICE_HOST": "h", "JOB_COMPLETION_INDEX": "0"}, 4, 1, ("Kubernetes", None)),
        ({"KUBERNETES_SERVICE_HOST": "h", "JOB_COMPLETION_INDEX": "0"}, 1, 1, None),
        ({"KUBERNETES_SERVICE_HOST": "h"}, 4, 1, None),
        ({"KUBERNETES_SERVICE_HOST": "h", "JOB_COMPLETION_INDEX": "0"}, 8, 2, ("Cloud TPU", 2)),
        ({}, 16, 4, ("Cloud TPU", 4)),
    ],
)
def test_a_launcher_is_detected_by_its_environment(environment, devices, tpu_hosts, expected):
    assert detect_launcher(environment, devices, tpu_hosts) == expected


def test_a_machine_with_one_tpu_chip_or_a_device_for_virtual_machines_runs_one_process(
    tmp_path, monkeypatch
):
    """As Colab's: --devices 2 without --run-dir joins nobody, and the count of devices refuses."""
    monkeypatch.setattr(accelerators, "ROOT", tmp_path)
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    (tmp_path / "dev/vfio").mkdir(parents=True)
    (tmp_path / "dev/vfio/0").touch()
    assert join(Config().replace(devices=2)) == 1
    card = tmp_path / "sys/bus/pci/devices/0000:00:05.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x1ae0\n")
    (card / "device").write_text("0x0063\n")
    assert accelerators.count_tpu_chips() == 1
    assert join(Config().replace(devices=2)) == 1


# Texts of JAX 0.12.
@pytest.mark.parametrize(
    ("error", "only_peer", "which"),
    [
        ("UNAVAILABLE: Task /job:jax_worker/replica:0/task:12 heartbeat timeout.", None, "12"),
        ("tasks are unhealthy (stopped sending heartbeats):\n3\nThe tasks have crashed.", 1, "3"),
        ("Gloo all-reduce failed: Read error [10.0.0.7]:15786: Connection reset by peer", 1, "1"),
    ],
)
def test_the_process_that_is_gone_is_named(error, only_peer, which):
    assert f"cannot be reached (process {which}); " in peer_gone_message(error, only_peer)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("[external/xla/gloo/pair.cc:538] Read error [10.0.0.7]:15786: reset", "(at 10.0.0.7);"),
        ("[a/b.cc:72] Read timeout [fe80::1]:38624", "(at fe80::1);"),
        ("", "(which one is unknown here, JAX's lines above may tell);"),
    ],
)
def test_a_process_whose_number_is_unknown_is_told_by_its_address(error, words):
    assert words in peer_gone_message(error)
