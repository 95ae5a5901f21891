"""Several processes on this machine train what one process trains, and end together."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import alexnet_jax
from train.config.config import Config
from train.config.errors import BadInput
from train.config.saved import load_config
from train.data.dataset import DIGITS
from train.data.formats import idx
from train.run_dir.checkpoints import Checkpoints
from train.runtime.distributed import PEER_GONE, detect_launcher, join
from train.steps.optimizers import sgd
from train.steps.train_step import init_state, state_shardings

STEPS = 20
FLAGS = ["--batch-size", "16", "--save-steps", "10", "--seed", "7", "--flip"]
FLAGS += ["--pca-color", "original"]
# At 0.01 a rounding of conv1 becomes a thousandth of the loss within ten steps.
FLAGS += ["--learning-rate", "0.0001"]


def free_port(lowest=0):
    """One that nobody listens at; from `lowest` on, if that is given."""
    for port in range(lowest, 2**16) if lowest else (0,):
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return found.getsockname()[1]


def free_job():
    """A number of a job from which JAX makes a port that is free."""
    return free_port(61440 + os.getpid() % 2000) - 61440


def by_hand(count):
    """Flags and environment of each process."""
    port = free_port()
    for i in range(count):
        where = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
        yield [*where, "--process-id", str(i)], {}


def by_slurm(count):
    """What srun sets, as JAX reads it."""
    job = free_job()
    for i in range(count):
        yield (
            [],
            {
                "SLURM_JOB_ID": str(job),
                "SLURM_STEP_NODELIST": "localhost",
                "SLURM_NTASKS": str(count),
                "SLURM_STEP_NUM_TASKS": str(count),
                "SLURM_PROCID": str(i),
                "SLURM_LOCALID": str(i),
            },
        )


def by_open_mpi(count):
    """What mpirun of Open MPI 4 sets, as JAX reads it."""
    job = free_job()
    for i in range(count):
        yield (
            [],
            {
                "OMPI_MCA_orte_hnp_uri": f"{4096 * job}.0;tcp://127.0.0.1:34911",
                "OMPI_COMM_WORLD_SIZE": str(count),
                "OMPI_COMM_WORLD_RANK": str(i),
                "OMPI_COMM_WORLD_LOCAL_RANK": str(i),
                "OMPI_VERSION": "4.1.6",
            },
        )


started = []


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    yield
    for process in started:
        process.kill()
        process.communicate()
    started.clear()


def start(run_dir, *flags, devices, launched=((), {})):
    own, environment = launched
    command = [sys.executable, "-m", "train.main", "--run-dir", str(run_dir)]
    command += ["--devices", str(devices), *flags, *own]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started.append(subprocess.Popen(command, env=os.environ | environment, **pipes))
    return started[-1]


def start_several(run_dir, *flags, devices, count=2, how=by_hand):
    return [start(run_dir, *flags, devices=devices, launched=one) for one in how(count)]


def ends_of(processes, status=0):
    """What they said, if they ended as they should."""
    said = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), said
    return said


def rows(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def losses(run_dir):
    return [(row["step"], row["loss"]) for row in rows(run_dir) if "loss" in row]


def params(run_dir, step=STEPS):
    net, optimizer = alexnet_jax.architectures.by_name(load_config(run_dir).recipe.net), sgd()
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), net, optimizer))
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        shardings = state_shardings(net, optimizer, alexnet_jax.make_mesh(1))
        state, position = checkpoints.restore(step, like, shardings)
    assert position == 16 * step  # a count of examples over all processes
    return state.params


def assert_same_run(one, other):
    """To the rounding of float32: losses, parameters and the errors on all test images."""
    steps, expected = zip(*losses(one), strict=True)
    steps_there, found = zip(*losses(other), strict=True)
    assert steps_there == steps == tuple(range(1, STEPS + 1))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for a, b in zip(jax.tree.leaves(params(one)), jax.tree.leaves(params(other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1e-9, np.abs(a).max()))
    tests, tests_there = (
        {row["step"]: row["test_loss"] for row in rows(run_dir) if "test_loss" in row}
        for run_dir in (one, other)
    )
    assert sorted(tests) == [19, STEPS]  # after an epoch and at the end
    assert {step: tests_there[step] for step in tests} == pytest.approx(tests, rel=1e-4)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Some of the digits: 300 to learn from, 41 to test on."""
    folder = tmp_path_factory.mktemp("data")
    for split, name, count in (("train", "train", 300), ("test", "t10k", 41)):
        for kind, array in zip(("images", "labels"), idx.read_split(DIGITS, split)):
            some = np.ascontiguousarray(array[:count], np.uint8)
            head = struct.pack(f">HBB{some.ndim}I", 0, 8, some.ndim, *some.shape)
            path = folder / f"{name}-{kind}-idx{some.ndim}-ubyte"
            path.write_bytes(head + some.tobytes())
    return folder


@pytest.fixture(scope="module")
def straight(tmp_path_factory, data):
    """One process with two devices."""
    run_dir = tmp_path_factory.mktemp("straight") / "run"
    flags = [*FLAGS, "--data", str(data), "--steps", str(STEPS)]
    ends_of([start(run_dir, *flags, devices=2)])
    return run_dir


def test_two_processes_of_two_devices_under_slurm_train_what_one_trains(straight, data, tmp_path):
    flags = [*FLAGS, "--data", str(data), "--steps", str(STEPS)]
    said = ends_of(start_several(tmp_path / "run", *flags, devices=4, how=by_slurm))
    (out, err), (other_out, other_err) = said
    assert "on 4 cpu devices of 2 processes" in out
    assert "on 41 images" in out
    # One process writes logs; the words of Gloo's, of threads of its own, come in any order.
    gloo = "[Gloo] Rank is connected to peer ranks. Expected number of connected ranks is :"
    said_by_other = [word for word in re.split(r"\d+|\s+|(?=\[)|(?<=\])", other_out) if word]
    assert {*said_by_other} <= {*gloo.split()}
    assert all(word in out for word in ("step", "epoch", "accuracy", "curves", "checkpoint"))
    assert "Traceback" not in err + other_err
    assert_same_run(straight, tmp_path / "run")


def test_a_run_of_two_processes_under_open_mpi_goes_on_in_one_with_four_devices(
    straight, data, tmp_path
):
    run_dir = tmp_path / "run"
    flags = [*FLAGS, "--data", str(data), "--steps", "10"]
    ends_of(start_several(run_dir, *flags, devices=2, how=by_open_mpi))
    before = [row for row in rows(run_dir) if "loss" in row]
    ends_of([start(run_dir, "--resume", "--steps", str(STEPS), devices=4)])
    assert [row for row in rows(run_dir) if "loss" in row][:10] == before
    assert_same_run(straight, run_dir)


def wait_for(condition, processes):
    while not condition():
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def logged(run_dir):
    path = run_dir / "metrics.jsonl"
    return path.read_text().count('"loss"') if path.exists() else 0


def test_a_signal_to_one_process_ends_all_after_the_same_step_saved(straight, data, tmp_path):
    run_dir = tmp_path / "run"
    flags = [*FLAGS, "--data", str(data)]
    processes = start_several(run_dir, *flags, "--steps", "2000", devices=2)
    wait_for(lambda: logged(run_dir) >= 2, processes)
    os.kill(processes[1].pid, signal.SIGTERM)
    (_, err), (_, other) = ends_of(processes, 128 + signal.SIGTERM)
    [stopped_at] = re.findall(r"stopped by SIGTERM after step (\d+), saved; go on with: ", err)
    assert "SIGTERM: saving after this step" in other
    step = int(stopped_at)
    assert losses(run_dir)[-1][0] == step
    kept = {path.name for path in (run_dir / "checkpoints").iterdir()}
    assert stopped_at in kept
    together = list(zip(losses(run_dir), losses(straight)))
    np.testing.assert_allclose(*np.moveaxis(np.array(together), 1, 0), rtol=1e-4)


def left_behind(run_dir, data, victim):
    """Kill one of two processes once there is a checkpoint; what the other says in the end."""
    flags = [*FLAGS, "--data", str(data), "--steps", "2000"]
    processes = start_several(run_dir, *flags, devices=2)
    wait_for(lambda: (run_dir / "checkpoints" / "10").is_dir(), processes)
    processes[victim].kill()
    begun = time.monotonic()
    said = processes[1 - victim].communicate(timeout=100)
    assert time.monotonic() - begun < 60
    assert processes[1 - victim].returncode == PEER_GONE, said
    last = said[1].strip().splitlines()[-1]
    assert last.startswith("stopped: another process of the run has ended or cannot be reached")


@pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="JAX itself ends the other, status 1")
def test_when_the_first_process_dies_the_other_ends_within_a_minute_with_a_sentence(data, tmp_path):
    left_behind(tmp_path / "run", data, victim=0)


def test_when_another_process_dies_the_first_ends_likewise_and_the_run_can_go_on(data, tmp_path):
    left_behind(tmp_path / "run", data, victim=1)
    kept = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    latest = max(int(name) for name in kept if name.isdecimal())
    ends_of([start(tmp_path / "run", "--resume", "--steps", str(latest + 2), devices=2)])
    steps = [step for step, _ in losses(tmp_path / "run")]
    assert steps == list(range(1, latest + 3))


def test_what_all_processes_refuse_is_said_in_a_sentence(tmp_path):
    for _, err in ends_of(start_several(tmp_path / "run", "--batch-size", "5", devices=4), 2):
        assert "Traceback" not in err
        [line] = [line for line in err.splitlines() if line.startswith("error:")]
        assert "a batch of 5 images cannot be divided among 2 pairs of devices" in line


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (1, "`devices` 1 cannot be divided among 2 processes (SLURM)"),
        (2, "several processes (SLURM) need a `run_dir` that all of them see"),
    ],
)
def test_a_launch_that_cannot_work_is_refused_before_anybody_waits(devices, words, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(BadInput) as caught:
        join(Config().replace(devices=devices))
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("environment", "devices", "chips", "expected"),
    [
        ({}, 8, 0, None),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"}, 8, 0, None),  # a shell of salloc's
        ({"SLURM_STEP_NUM_TASKS": "1"}, 8, 0, None),
        ({"SLURM_STEP_NUM_TASKS": "4"}, 8, 0, ("SLURM", 4)),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, 6, 0, ("Open MPI", 3)),
        ({"KUBERNETES_SERVICE_HOST": "h", "JOB_COMPLETION_INDEX": "0"}, 4, 0, ("Kubernetes", None)),
        ({"KUBERNETES_SERVICE_HOST": "h", "JOB_COMPLETION_INDEX": "0"}, 1, 0, None),
        ({"KUBERNETES_SERVICE_HOST": "h"}, 4, 0, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, 8, 4, ("Cloud TPU", None)),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, 8, 8, None),
        ({}, 16, 8, ("Cloud TPU", None)),
    ],
)
def test_a_launcher_is_known_by_its_environment(environment, devices, chips, expected):
    assert detect_launcher(environment, devices, chips) == expected
