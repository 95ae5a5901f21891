"""The commands of docs/cluster.md; the SLURM file runs with a mock scheduler."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from train.config.flags import parse

DOCS = Path(__file__).parents[2] / "docs"


def parse_command(command):
    """Return the Config of the flags after train.main; "..." stands for more of them."""
    arguments = shlex.split(command)
    arguments = arguments[arguments.index("train.main") + 1 :]
    return parse([argument for argument in arguments if argument != "..."])


def submit(tmp_path, status, **environment):
    """Return the exit status and the calls of srun and scontrol, if srun ends with `status`."""
    for name, ending in (("srun", f"exit {status}"), ("scontrol", "exit 0")):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n{ending}\n')
        program.chmod(0o755)
    environment |= {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "DATA": "/data",
        "RUN_DIR": str(tmp_path),
        "SLURM_NTASKS": "8",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_JOB_ID": "77",
    }
    process = subprocess.run(["bash", DOCS / "train.sbatch"], env=environment, capture_output=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    (tmp_path / "calls").unlink()
    return process.returncode, calls


def test_the_slurm_file_starts_a_run_that_the_command_understands(tmp_path):
    assert subprocess.run(["bash", "-n", DOCS / "train.sbatch"]).returncode == 0
    status, [srun] = submit(tmp_path, 0)
    assert status == 0
    config = parse_command(srun)
    assert (config.recipe.net, config.launch.devices, config.recipe.batch_size) == (
        "PAPER",
        8,
        512,
    )
    assert (config.recipe.base_batch, config.recipe.warmup_epochs) == (128, 5)


# 137: real SLURM 22.05 returns the highest status, so a killed task's hides the 75 of the others.
@pytest.mark.parametrize("status", [143, 75, 137, 129, 134, 139])
def test_a_job_that_was_stopped_or_lost_a_machine_goes_on(tmp_path, status):
    exit_status, [_, requeue] = submit(tmp_path, status)
    assert (exit_status, requeue) == (0, "scontrol requeue 77")
    (tmp_path / "config.json").touch()
    _, [srun, _] = submit(tmp_path, status)
    assert "--resume" in srun.split()


def test_a_job_does_not_go_on_for_ever_or_after_a_mistake(tmp_path):
    for status, environment in ((2, {}), (1, {}), (130, {}), (75, {"SLURM_RESTART_COUNT": "20"})):
        exit_status, calls = submit(tmp_path, status, **environment)
        assert (exit_status, len(calls)) == (status, 1)


def test_the_commands_by_hand_and_on_tpus_are_understood():
    text = (DOCS / "cluster.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"python -m train\.main [^\n\"#]*", text)
    assert [parse_command(command).launch.devices for command in commands] == [2, 8, 8, 8, 8, 16]
