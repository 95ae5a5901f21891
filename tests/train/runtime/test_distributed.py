"""Several processes on this machine train as one process does, and end together."""

import contextlib
import dataclasses
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
from train.config.errors import BadInput
from train.config.flags import parse
from train.config.network import get_architecture
from train.config.saved import load_config
from train.data.dataset import DIGITS
from train.data.examples import DataSet
from train.data.formats import idx
from train.run_dir.checkpoints import Checkpoints
from train.runtime.distributed import PEER_GONE
from train.steps.optimizers import sgd
from train.steps.train_step import init_state, state_shardings
from train.trainer import agreement
from train.trainer.train import train

STEPS = 20
EXAMPLE = {"image": np.zeros((2, 2, 3), np.uint8), "label": 0}
OTHER = {"image": np.ones((2, 2, 3), np.uint8), "label": 0}
FLAGS = ["--batch-size", "16", "--save-steps", "10", "--seed", "7", "--flip"]
FLAGS += ["--pca-color", "original", "--net", "benchmarks.tiny_net:TINY"]
# At a learning rate of 0.01, rounding in conv1 changes the loss by 0.1 % within ten steps.
FLAGS += ["--learning-rate", "0.0001"]


def free_port(lowest=0):
    """A port that nobody listens on, from `lowest` on if that is not 0."""
    for port in range(lowest, 2**16) if lowest else (0,):
        with socket.socket() as server, contextlib.suppress(OSError):
            server.bind(("127.0.0.1", port))
            return server.getsockname()[1]


def free_job():
    """A job number from which JAX computes a free port."""
    return free_port(61440 + os.getpid() % 2000) - 61440


def by_hand(count):
    """The flags and the environment of each process, launched with --coordinator."""
    port = free_port()
    for i in range(count):
        flags = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
        yield [*flags, "--process-id", str(i)], {}


def by_slurm(count):
    """The variables of srun that JAX reads."""
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
    """The variables of mpirun (Open MPI 4) that JAX reads."""
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
def _kill_started_processes():
    yield
    for process in started:
        process.kill()
        process.communicate()
    started.clear()


def start(run_dir, *flags, devices, launch=((), {})):
    launch_flags, environment = launch
    command = [sys.executable, "-m", "train.main", "--run-dir", str(run_dir)]
    command += ["--devices", str(devices), *flags, *launch_flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started.append(subprocess.Popen(command, env=os.environ | environment, **pipes))
    return started[-1]


def run_alone(run_dir, *flags, devices):
    """Train in this process."""
    train(parse(["--run-dir", str(run_dir), "--devices", str(devices), *flags]))


def start_several(run_dir, *flags, devices, count=2, launcher=by_hand):
    return [start(run_dir, *flags, devices=devices, launch=launch) for launch in launcher(count)]


def wait_for_exit(processes, status=0):
    """Check the exit status of each process; returns their [stdout, stderr]."""
    outputs = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), outputs
    return outputs


def rows(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def losses(run_dir):
    return [(row["step"], row["loss"]) for row in rows(run_dir) if "loss" in row]


def params(run_dir, step=STEPS):
    net, optimizer = get_architecture(load_config(run_dir)), sgd()
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), net, optimizer))
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        shardings = state_shardings(net, optimizer, alexnet_jax.make_mesh(1))
        state, position = checkpoints.restore(step, like, shardings)
    assert position == 16 * step  # counts the examples of all processes
    return state.params


def assert_same_run(one, other):
    """Losses, parameters and errors are equal up to float32 rounding."""
    steps, expected = zip(*losses(one), strict=True)
    other_steps, other_losses = zip(*losses(other), strict=True)
    assert other_steps == steps == tuple(range(1, STEPS + 1))
    np.testing.assert_allclose(other_losses, expected, rtol=1e-4)
    for a, b in zip(jax.tree.leaves(params(one)), jax.tree.leaves(params(other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1e-9, np.abs(a).max()))
    evaluated, others = (
        {
            (part, row["step"]): row[f"{part}_loss"]
            for row in rows(run_dir)
            for part in ("val", "test")
            if f"{part}_loss" in row
        }
        for run_dir in (one, other)
    )
    # After an epoch of 270 images, 16 at a time, and at the end.
    assert {*evaluated} == {("val", 17), ("val", STEPS), ("test", STEPS)}
    assert {key: others[key] for key in evaluated} == pytest.approx(evaluated, rel=1e-4)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Some of the digits: 300 to train on, 41 to test on."""
    folder = tmp_path_factory.mktemp("data")
    for split, name, count in (("train", "train", 300), ("test", "t10k", 41)):
        for kind, array in zip(("images", "labels"), idx.read_split(DIGITS, split)):
            part = np.ascontiguousarray(array[:count], np.uint8)
            head = struct.pack(f">HBB{part.ndim}I", 0, 8, part.ndim, *part.shape)
            path = folder / f"{name}-{kind}-idx{part.ndim}-ubyte"
            path.write_bytes(head + part.tobytes())
    return folder


@pytest.fixture(scope="module")
def straight(tmp_path_factory, data):
    """One process with two devices."""
    run_dir = tmp_path_factory.mktemp("straight") / "run"
    flags = [*FLAGS, "--data", str(data), "--steps", str(STEPS)]
    run_alone(run_dir, *flags, devices=2)
    return run_dir


def test_two_processes_of_two_devices_under_slurm_train_what_one_trains(straight, data, tmp_path):
    flags = [*FLAGS, "--data", str(data), "--steps", str(STEPS)]
    outputs = wait_for_exit(start_several(tmp_path / "run", *flags, devices=4, launcher=by_slurm))
    (out, err), (other_out, other_err) = outputs
    assert "on 4 cpu devices of 2 processes" in out
    assert "on 41 images" in out
    # One process logs. Gloo prints from threads of its own, so its words come in any order.
    gloo = "[Gloo] Rank is connected to peer ranks. Expected number of connected ranks is :"
    other_words = [word for word in re.split(r"\d+|\s+|(?=\[)|(?<=\])", other_out) if word]
    assert {*other_words} <= {*gloo.split()}
    assert all(word in out for word in ("step", "epoch", "accuracy", "curves", "checkpoint"))
    assert "Traceback" not in err + other_err
    assert_same_run(straight, tmp_path / "run")


def test_a_run_of_two_processes_that_share_dense_layers_goes_on_in_one_with_towers(
    straight, data, tmp_path
):
    run_dir = tmp_path / "run"
    flags = [*FLAGS, "--data", str(data), "--steps", "10"]
    share = [*flags, "--layout", "dense"]
    (out, _), _ = wait_for_exit(start_several(run_dir, *share, devices=4, launcher=by_open_mpi))
    assert "on 4 cpu devices of 2 processes laid out by dense" in out
    before = [row for row in rows(run_dir) if "loss" in row]
    towers = ["--resume", "--layout", "tower", "--steps", str(STEPS)]
    run_alone(run_dir, *towers, devices=4)
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
    processes = start_several(run_dir, *flags, "--steps", "20000", devices=2)
    wait_for(lambda: logged(run_dir) >= 2, processes)
    os.kill(processes[1].pid, signal.SIGTERM)
    (_, err), (_, other) = wait_for_exit(processes, 128 + signal.SIGTERM)
    [stopped_at] = re.findall(r"stopped by SIGTERM after step (\d+), saved; continue with: ", err)
    assert "SIGTERM: saving after this step" in other
    step = int(stopped_at)
    assert losses(run_dir)[-1][0] == step
    saved = {path.name for path in (run_dir / "checkpoints").iterdir()}
    assert stopped_at in saved
    pairs = list(zip(losses(run_dir), losses(straight)))
    np.testing.assert_allclose(*np.moveaxis(np.array(pairs), 1, 0), rtol=1e-4)


def kill_one_of_two(run_dir, data, victim):
    """Kill one of two processes once there is a checkpoint; check how the other ends."""
    flags = [*FLAGS, "--data", str(data), "--steps", "20000"]
    processes = start_several(run_dir, *flags, devices=2)
    wait_for(lambda: (run_dir / "checkpoints" / "10").is_dir(), processes)
    processes[victim].kill()
    start_time = time.monotonic()
    output = processes[1 - victim].communicate(timeout=100)
    assert time.monotonic() - start_time < 60
    assert processes[1 - victim].returncode == PEER_GONE, output
    # XLA's own threads may still log after it.
    sentence = "stopped: another process of the run has ended or cannot be reached "
    sentence += f"(process {victim}); "
    assert sum(line.startswith(sentence) for line in output[1].splitlines()) == 1, output


@pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="JAX itself ends the other, status 1")
def test_when_the_first_process_dies_the_other_ends_within_a_minute_with_a_sentence(data, tmp_path):
    kill_one_of_two(tmp_path / "run", data, victim=0)


def test_when_another_process_dies_the_first_ends_too_and_the_run_can_be_resumed(data, tmp_path):
    kill_one_of_two(tmp_path / "run", data, victim=1)
    saved = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    latest = max(int(name) for name in saved if name.isdecimal())
    run_alone(tmp_path / "run", "--resume", "--steps", str(latest + 2), devices=2)
    steps = [step for step, _ in losses(tmp_path / "run")]
    assert steps == list(range(1, latest + 3))


def test_what_all_processes_refuse_is_an_error_of_one_sentence(tmp_path):
    for _, err in wait_for_exit(start_several(tmp_path / "run", "--batch-size", "5", devices=4), 2):
        assert "Traceback" not in err
        [line] = [line for line in err.splitlines() if line.startswith("error:")]
        assert "a batch of 5 images cannot be divided among 2 pairs of devices" in line


def test_processes_with_different_flags_or_precision_refuse_together(tmp_path):
    flags = (["--seed", "1", "--threads", "1"], ["--seed", "2", "--threads", "2"])
    precisions = ({}, {"JAX_DEFAULT_MATMUL_PRECISION": "highest"})
    processes = [
        start(tmp_path / "run", *own, devices=2, launch=(launch_flags, environment | precision))
        for own, precision, (launch_flags, environment) in zip(
            flags, precisions, by_hand(2), strict=True
        )
    ]
    for _, err in wait_for_exit(processes, 2):
        [line] = [line for line in err.splitlines() if line.startswith("error:")]
        differ = "differ in --seed, JAX_DEFAULT_MATMUL_PRECISION; start all"
        assert line.startswith(f"error: the processes of the run {differ}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test": [EXAMPLE, EXAMPLE, OTHER]}, "the test images; start"),
        ({"test": [EXAMPLE]}, "the test images; start"),
        ({"class_names": ("b", "a")}, "the classes of the data; start"),
    ],
)
def test_processes_with_different_data_refuse_together(monkeypatch, changes, words):
    data = DataSet(train=[EXAMPLE], test=[EXAMPLE] * 3, class_names=("a", "b"))
    sent = []
    monkeypatch.setattr(agreement.jax, "process_count", lambda: 2)
    monkeypatch.setattr(agreement, "process_allgather", lambda x: sent.append(x) or [x, sent[0]])
    agreement.refuse_other_data(data)
    with pytest.raises(BadInput, match=words):
        agreement.refuse_other_data(dataclasses.replace(data, **changes))
