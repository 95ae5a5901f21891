"""A resumed run equals an uninterrupted one bit for bit; the command is really killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

import alexnet_jax
from benchmarks.tiny_net import TINY
from train.config.config import Config
from train.config.saved import load_config
from train.run_dir.checkpoints import Checkpoints
from train.run_dir.metrics import read_metrics
from train.steps.optimizers import sgd
from train.steps.train_step import init_state, state_shardings
from train.trainer.train import train

STEPS = 20
FLAGS = ["--devices", "2", "--batch-size", "16", "--save-steps", "10", "--seed", "7"]


def start(run_dir, *flags):
    command = [sys.executable, "-m", "train.main", "--run-dir", str(run_dir), *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes)


def finish(run_dir, *flags):
    process = start(run_dir, *flags)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


def logged_steps(run_dir):
    path = run_dir / "metrics.jsonl"
    return path.read_text().count('"loss"') if path.exists() else 0


def leaves(run_dir, step=STEPS):
    """Every array of the last checkpoint of a run: parameters, velocity, counters."""
    config = load_config(run_dir)
    net = alexnet_jax.architectures.by_name(config.recipe.net)
    optimizer = sgd()
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), net, optimizer))
    shardings = state_shardings(net, optimizer, alexnet_jax.make_mesh(1))
    with Checkpoints(run_dir) as checkpoints:
        state, position = checkpoints.restore(step, like, shardings)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)] + [np.asarray(position)]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """An uninterrupted run of 20 steps."""
    run_dir = tmp_path_factory.mktemp("straight") / "run"
    out = finish(run_dir, *FLAGS, "--steps", str(STEPS))
    assert "test accuracy" in out
    assert str(run_dir / "checkpoints" / str(STEPS)) in out
    return run_dir


def losses(run_dir):
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


def assert_same_run(one, other):
    assert (
        len(leaves(one)) == 8 * 2 * 2 + 5
    )  # weights, biases, their velocities; step, plateau, position
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert losses(one) == losses(other)
    assert [step for step, _ in losses(other)] == list(range(1, STEPS + 1))


def test_a_run_killed_after_ten_steps_resumes_bit_for_bit(straight, tmp_path):
    run_dir = tmp_path / "run"
    process = start(run_dir, *FLAGS, "--steps", "1000")
    wait_for(lambda: (run_dir / "checkpoints" / "10").exists(), process)
    wait_for(lambda: logged_steps(run_dir) > 10, process)
    process.kill()
    process.communicate()
    checkpoints = {path.name for path in (run_dir / "checkpoints").iterdir()}
    assert "10" in checkpoints
    for later in checkpoints - {"10"}:  # the kill may have come after the next save
        subprocess.run(["rm", "-r", run_dir / "checkpoints" / later], check=True)
    finish(run_dir, "--resume", "--steps", str(STEPS))
    assert_same_run(straight, run_dir)


def test_a_run_killed_at_random_moments_and_in_saves_ends_as_the_straight_one(straight, tmp_path):
    run_dir, chance, in_saves = tmp_path / "run", random.Random(6), 0
    flags = [*FLAGS, "--save-steps", "3", "--steps", str(STEPS)]

    def saving():
        return list((run_dir / "checkpoints").glob("*.orbax-checkpoint-tmp*"))

    for life in range(4):
        more = 1 + logged_steps(run_dir)
        process = start(run_dir, *flags, *["--resume"] * (run_dir / "config.json").exists())
        wait_for(saving if life % 2 else lambda n=more: logged_steps(run_dir) >= n, process)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate()
        in_saves += bool(saving())
    assert in_saves
    finish(run_dir, "--resume")
    assert_same_run(straight, run_dir)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_interrupted_is_saved_and_says_how_to_go_on(straight, tmp_path, number):
    run_dir = tmp_path / "run"
    process = start(run_dir, *FLAGS, "--steps", "2000")
    wait_for(lambda: logged_steps(run_dir) > 2, process)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert err.count("\n") == 2, err
    assert "saving after this step; once more stops at once" in err
    assert "saved; continue with: python -m train.main" in err
    stopped_at = int(err.split("after step ")[1].split(",")[0])
    assert losses(run_dir)[-1][0] == stopped_at
    if stopped_at < STEPS:
        finish(run_dir, "--resume", "--steps", str(STEPS))
        assert_same_run(straight, run_dir)


def test_a_checkpoint_of_two_devices_goes_on_with_one(tmp_path):
    """One step, of one rounding or the other: a later step may break a tie of a pool otherwise."""
    two, one = tmp_path / "two", tmp_path / "one"
    finish(two, *FLAGS, "--steps", "10")
    shutil.copytree(two, one)
    finish(two, "--resume", "--steps", "11")
    finish(one, "--resume", "--steps", "11", "--devices", "1")
    for a, b in zip(leaves(two, 11), leaves(one, 11), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1e-9, np.abs(a).max()))


def test_a_run_stopped_within_an_epoch_decays_its_rate_where_the_straight_run_does(tmp_path):
    """The error never improves: of 11 epochs of 3 steps, the 3rd, 5th and 7th end in a decay."""
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(3):
                picture = Image.new("RGB", (24, 24), (60 * i, 90, 99 * (name == "b")))
                picture.save(tmp_path / split / name / f"{i}.png")
    config = Config().replace(
        data=tmp_path,
        net=TINY,
        batch_size=2,
        steps=33,
        learning_rate=1e-6,
        schedule="plateau",
        patience=2,
        validation=0,
        stored_size=24,
    )
    rates = {}
    for name, stops in {"straight": (33,), "stopped": (4, 13, 33)}.items():
        for steps in stops:  # the first stop has waited for no epoch, the second has
            resume = steps != stops[0]
            train(config.replace(run_dir=tmp_path / name, steps=steps, resume=resume))
        rows = read_metrics(tmp_path / name)
        rates[name] = [row["learning_rate"] for row in rows if "loss" in row]
    assert rates["straight"] == [1e-6] * 9 + [1e-7] * 6 + [1e-8] * 6 + [1e-9] * 12
    assert rates["stopped"] == rates["straight"]


def test_resuming_a_finished_run_only_prints_its_report(straight):
    before = losses(straight)
    out = finish(straight, "--resume")
    assert "test accuracy" in out
    assert losses(straight) == before
