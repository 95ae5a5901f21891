"""`train.main --seeds`: a run for each seed, each by a child process, and the tables of them."""

import os
import signal
import stat
import sys
import threading
import time

import pytest

from tests.support.commands import refusal
from tests.support.recorded_runs import write_run
from train import main
from train.config.errors import Ended
from train.config.flags import without_seeds

STEPS = ("--steps", 20)
"""As long as the runs of `write_run`."""

CHILD = """#!/bin/sh
# Stands for the command of a run: says what it was called with, and leaves what it would leave.
echo "$@" >> {calls}
shift 2
while [ "$1" != --run-dir ]; do shift; done
name=$(basename "$2")
if [ $name = {fails} ]; then echo first; echo "the loss is nan"; exit 3; fi
if [ $name = {hangs} ]; then echo > {calls}.hangs; exec sleep 60; fi
mkdir -p "$2" && cp -r {made}/$name/. "$2"
if [ -e "$2/diverged.json" ]; then echo "the loss is nan"; exit 1; fi
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Return a function that runs the command, with children that copy what was written before."""

    def call(*flags, fails="none", hangs="none"):
        python, calls = tmp_path / "python", tmp_path / "calls"
        names = {"calls": calls, "made": tmp_path / "made", "fails": fails, "hangs": hangs}
        python.write_text(CHILD.format(**names))
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        calls.write_text("")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(python))
            try:
                main.main([*map(str, flags)])
            finally:
                call.calls = calls.read_text().splitlines()

    for seed, error in ((0, 0.10), (1, 0.12), (2, 0.11)):
        write_run(tmp_path / "made" / f"seed-{seed}", seed=seed, test=error, steps=20)
    return call


def test_each_seed_has_a_run_and_their_mean_is_printed(tmp_path, sweep, capsys):
    sweep("--seeds", 0, 2, 1, *STEPS, "--run-dir", tmp_path / "out")
    flags = [f"--steps 20 --seed {s} --run-dir {tmp_path}/out/seed-{s}" for s in (0, 2, 1)]
    assert sweep.calls == [f"-m train.main {one}" for one in flags]
    printed = capsys.readouterr().out
    assert "seed-1: training error 25.00 %, test error 12.00 %, 0.0 min" in printed
    assert "11.00 ± 1.00 %" in printed
    assert "difference" not in printed  # there is nothing to compare with


def test_the_same_command_skips_what_is_finished_and_resumes_what_has_begun(tmp_path, sweep):
    out = tmp_path / "out"
    write_run(out / "seed-0", seed=0, steps=20)
    write_run(out / "seed-1", seed=1, steps=20, epochs=(0.5,), test=None)
    sweep("--seeds", 0, 1, 2, *STEPS, "--run-dir", out)
    assert [call.split(" ", 4)[4] for call in sweep.calls] == [
        f"--seed 1 --run-dir {out}/seed-1 --resume",
        f"--seed 2 --run-dir {out}/seed-2",
    ]
    sweep("--seeds", 0, 1, 2, *STEPS, "--run-dir", out)
    assert sweep.calls == []
    sweep("--seeds", 2, "--steps", 21, "--run-dir", out)
    assert [call.endswith("--resume") for call in sweep.calls] == [True]


def test_seeds_of_another_runs_recipe_begin_like_it_and_are_resumed_without_it(tmp_path, sweep):
    recipe = {"flip": True, "data": tmp_path}
    like, out = ("--like", write_run(tmp_path / "first", **recipe)), tmp_path / "out"
    write_run(out / "seed-0", **recipe, test=None)
    sweep(*like, "--seeds", 0, 1, "--run-dir", out)
    assert [call.split(f"--run-dir {out}/")[1] for call in sweep.calls] == [
        "seed-0 --resume",
        f"seed-1 {' '.join(map(str, like))}",
    ]


@pytest.mark.parametrize(
    ("begun", "flags", "words"),
    [
        ({"flip": True}, (), "holds a run with --flip True, not False"),
        ({"net": "PAPER"}, (), "holds a run with --net PAPER, not DIGITS"),
        ({"learning_rate": 0.5}, ("--flip",), "holds a run with --learning-rate 0.5, not "),
        ({"data": "", "flip": True}, (), "holds a run with --flip True, not False"),
    ],
)
def test_a_run_that_began_with_more_flags_is_not_taken_for_one_of_these(
    tmp_path, sweep, begun, flags, words
):
    data = ("--data", tmp_path) if "data" in begun else ()
    values = begun | ({"data": tmp_path} if data else {})
    write_run(tmp_path / "out" / "seed-1", **{"seed": 1, "steps": 20} | values)
    words = "seed-1 holds a run with --" if flags else words
    assert words in refusal("--seeds", 1, 2, *STEPS, *data, *flags, "--run-dir", tmp_path / "out")


def test_a_run_like_another_is_not_taken_for_one_like_a_third(tmp_path, sweep):
    first, third = (
        write_run(tmp_path / name, data=tmp_path, steps=20, learning_rate=rate)
        for name, rate in (("first", 0.1), ("third", 0.2))
    )
    out = tmp_path / "out"
    write_run(out / "seed-0", data=tmp_path, steps=20, learning_rate=0.1)
    sweep("--like", first, "--seeds", 0, "--run-dir", out)
    text = refusal("--like", third, "--seeds", 0, "--run-dir", out)
    assert "seed-0 holds a run with --learning-rate 0.1, not 0.2" in text


def test_a_run_that_is_longer_is_not_taken_for_a_shorter_one(tmp_path, sweep):
    write_run(tmp_path / "out" / "seed-0", steps=20)
    text = refusal("--seeds", 0, "--steps", 10, "--run-dir", tmp_path / "out")
    assert "seed-0 is at step 20, past the last step, 10" in text


def test_a_seed_that_diverges_does_not_keep_the_others_from_being_trained(tmp_path, sweep, capsys):
    made = write_run(tmp_path / "made" / "seed-3", seed=3, epochs=(0.5,), test=None)
    (made / "diverged.json").write_text('{"step": 11}')
    command = ("--seeds", 3, 0, *STEPS, "--run-dir", tmp_path / "out")
    for calls in (2, 0):  # the same command again leaves it as it is
        with pytest.raises(Ended, match=r"^diverged: seed-3; a lower") as caught:
            sweep(*command)
        assert caught.value.status == 1
        assert len(sweep.calls) == calls
    printed = capsys.readouterr().out
    assert "out/seed-3: the loss is nan\n" in printed
    assert printed.count("10.00 %") == 3  # when it was trained, and in two tables


def test_without_a_folder_a_new_one_is_made_and_the_way_on_names_it(
    tmp_path, sweep, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    sweep("--seeds", 0, 1, *STEPS)
    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("seeds-2")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("seed-0", "seed-0.log", "seed-1", "seed-1.log")
    ]


def test_a_run_that_fails_ends_the_sweep_with_its_last_line_and_its_status(tmp_path, sweep):
    out = tmp_path / "out"
    with pytest.raises(Ended, match="seed-1 ended with status 3: the loss is nan") as caught:
        sweep("--seeds", 0, 1, 2, *STEPS, "--run-dir", out, fails="seed-1")
    assert caught.value.status == 3
    assert len(sweep.calls) == 2
    assert (out / "seed-1.log").read_text() == "first\nthe loss is nan\n"


def test_ctrl_c_stops_the_run_and_the_sweep(tmp_path, sweep):
    def interrupt():
        while not (tmp_path / "calls.hangs").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    flags = ["--seeds", 0, 1, *STEPS, "--run-dir", tmp_path / "out dir"]
    with pytest.raises(Ended) as caught:
        sweep(*flags, hangs="seed-0")
    thread.join()
    way_on = f"python -m train.main --seeds 0 1 --steps 20 --run-dir '{tmp_path}/out dir'"
    assert str(caught.value) == f"stopped by SIGINT; continue with: {way_on}"
    assert caught.value.status == 130
    assert len(sweep.calls) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seed", 0], "--seeds and --seed exclude each other; drop one"),
        (["--resume"], "--seeds continues what was stopped without --resume; drop that"),
        (["--plan"], "--plan is for one run; give it --seed in place of --seeds"),
        (
            ["--coordinator", "h:1", "--processes", 2, "--process-id", 0],
            "--coordinator is for one run; give it --seed in place of --seeds",
        ),
        (["--seeds", 1, 2, 1], "--seeds names 1 twice"),
        (["--seeds"], "--seeds: expected at least one argument"),
        (["--seeds", 1, "x"], "--seeds: 'x' is not a whole number"),
        (["--seeds", -1], "--seed must be from 0 to 4294967295, not -1"),
        (["--epochs", 0], "--epochs must be above 0"),
        (["--run-dir", "/proc/x"], "--run-dir /proc/x cannot be written"),
        (["--run-dir", "made/seed-0"], "--run-dir made/seed-0 holds a run, and --seeds needs"),
        (["--run-dir", "made", "--flip"], "made/seed-1 holds a run with --flip False, not True"),
    ],
)
def test_seeds_that_cannot_be_trained_are_refused(tmp_path, sweep, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    assert words in refusal("--seeds", 1, 2, *flags)


def test_seeds_are_for_one_process(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    assert "--seeds is for one process, not for several of SLURM" in refusal("--seeds", 1, 2)


@pytest.mark.parametrize(
    ("flags", "shared"),
    [
        ("--net PAPER --seeds 0 1 --flip", "--net PAPER --flip"),
        ("--cut-epochs 3 5 --seeds=7 --run-dir x --no-flip", "--cut-epochs 3 5 --no-flip"),
        (
            "--run_dir=x --like y --seeds 0 --batch_size 8 --cut-epochs",
            "--batch-size 8 --cut-epochs",
        ),
    ],
)
def test_the_other_flags_are_those_of_every_seed(flags, shared):
    assert " ".join(without_seeds(flags.split())) == shared
