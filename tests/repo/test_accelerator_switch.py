"""`pytest --accelerator`, with a CPU of one device in the accelerator's place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.runtime import accelerators

ROOT = Path(__file__).parents[2]


def run_pytest(*arguments, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--accelerator", "-v", "-rs", *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
    )


def test_it_runs_the_numerical_tests_and_skips_those_that_need_more_devices():
    done = run_pytest(
        "tests/library/test_towers.py",
        "tests/repo/test_cluster.py",
        "-k",
        "half_of_the_parameters or cannot_be_made or understands",
        JAX_PLATFORMS="cpu",
    )
    assert done.returncode == 0, done.stdout
    assert "devices: 1 x cpu" in done.stdout
    assert "needs more devices: 2 devices were requested, and JAX finds 1 CPU" in done.stdout
    # Expected refusals pass, whatever devices there are; other folders are left out.
    assert "3 passed, 1 skipped, " in done.stdout
    assert "test_cluster" not in done.stdout


@pytest.mark.skipif(accelerators.find(os.environ) is not None, reason="this machine has one")
def test_without_an_accelerator_it_refuses():
    done = run_pytest("tests/library/ops/test_winograd.py")
    assert done.returncode == 4
    assert "--accelerator: JAX finds no GPU or TPU; JAX_PLATFORMS=cpu lets" in done.stderr
