"""Only one process at a time trains in a folder."""

import os
import platform
import subprocess
import sys

import pytest

from tests.support.full_disk import largest_file
from train.config.errors import BadInput
from train.main import main
from train.runtime import lock

HOLD = "import sys, time; from pathlib import Path; from train.runtime import lock\n"
HOLD += "with lock.acquire(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_a_second_run_on_a_folder_is_refused_and_a_dead_ones_lock_taken_over(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        words = f"is being trained by process {first.pid} on {platform.node()}"
        with pytest.raises(BadInput, match=words), lock.acquire(tmp_path):
            pass
        first.kill()
    with lock.acquire(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text()
        with pytest.raises(BadInput, match=f"process {os.getpid()} on"), lock.acquire(tmp_path):
            pass
    with lock.acquire(tmp_path):
        pass


def test_a_disk_that_takes_no_name_takes_the_lock(tmp_path):
    with largest_file(1), lock.acquire(tmp_path):
        words = f"{tmp_path} is being trained by p"
        with pytest.raises(BadInput, match=words), lock.acquire(tmp_path):
            pass


def test_the_command_refuses_a_folder_in_which_another_process_trains(tmp_path):
    words = f"{tmp_path} is being trained by process {os.getpid()} on {platform.node()}"
    with lock.acquire(tmp_path), pytest.raises(BadInput, match=words):
        main(["--run-dir", str(tmp_path), "--steps", "1"])
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_without_file_locks_a_run_warns_and_begins(tmp_path, monkeypatch, capsys):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    with lock.acquire(tmp_path):
        assert "lock cannot be locked: Operation not supported" in capsys.readouterr().err
