"""A full disk ends the run in one sentence, and no saved checkpoint is lost."""

import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.support.full_disk import largest_file
from train.config.errors import Ended
from train.data.examples import ImageStatistics
from train.data.image_statistics import write_statistics
from train.run_dir import disk_errors
from train.run_dir.open_folder import OpenFolder

FLAGS = ["--devices", "2", "--batch-size", "16", "--seed", "7"]


LIMITED = """
import os, resource, sys
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def run(run_dir, *flags, largest_file=None):
    limited = ["-c", LIMITED, str(largest_file)] if largest_file else []
    module = ["-m", "train.main", "--run-dir", str(run_dir)]
    command = [sys.executable, *limited, *module, *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def assert_stopped(done, run_dir, words, step):
    assert done.returncode == 1, done.stderr
    assert (  # Orbax may print lines from its threads
        f"stopped: {run_dir} cannot be written: {words}; the last checkpoint is "
        f"{run_dir}/checkpoints/{step}; when the disk is mended, continue with: "
        f"python -m train.main --run-dir {run_dir} --resume\n"
    ) in done.stderr


@pytest.fixture(scope="module")
def ten_steps(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("disk") / "run"
    done = run(run_dir, *FLAGS, "--steps", 10)
    assert done.returncode == 0, done.stderr
    return run_dir


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_checkpoint_that_cannot_be_written_leaves_the_previous_one_to_resume_from(
    ten_steps, tmp_path
):
    run_dir = shutil.copytree(ten_steps, tmp_path / "run")
    before = files(run_dir / "checkpoints" / "10")
    more = ["--resume", "--steps", 20, "--save-steps", 5]
    done = run(run_dir, *more, largest_file=60_000)
    assert_stopped(done, run_dir, "File too large", 10)
    assert files(run_dir / "checkpoints" / "10") == before
    done = run(run_dir, *more)
    assert (done.returncode, done.stderr) == (0, "")
    assert "from step 10 of 20" in done.stdout


def test_a_log_that_cannot_be_written_ends_the_run_too(ten_steps, tmp_path):
    run_dir = shutil.copytree(ten_steps, tmp_path / "run")
    size = (run_dir / "metrics.jsonl").stat().st_size
    done = run(run_dir, "--resume", "--steps", 40, largest_file=max(size + 300, 2500))
    assert_stopped(done, run_dir, "File too large", 10)


def test_a_full_disk_stops_the_run_which_resumes_when_there_is_space(ten_steps, tmp_path):
    disk = tmp_path / "small"
    disk.mkdir()
    used = sum(len(content) for content in files(ten_steps).values())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={used + 300_000}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        run_dir = shutil.copytree(ten_steps, disk / "run")
        (disk / "filler").write_bytes(bytes(150_000))
        done = run(run_dir, "--resume", "--steps", 20)
        assert_stopped(done, run_dir, "No space left on device", 10)
        subprocess.run([*mount[:3], "-o", "remount,size=100M", str(disk)], check=True)
        done = run(run_dir, "--resume", "--steps", 20)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_takes_no_mean_is_reported_as_such(tmp_path):
    statistics = ImageStatistics(np.zeros((28, 28, 3), np.float32), np.ones(3), np.eye(3))
    with pytest.raises(OSError, match=r"File too large: .*mean\.npy") as caught, largest_file(500):
        write_statistics(tmp_path, statistics)
    assert disk_errors.find_disk_error(caught.value) == "File too large"
    assert [*tmp_path.iterdir()] == []


def test_a_run_that_has_saved_nothing_says_how_to_begin(tmp_path):
    with (
        OpenFolder(tmp_path) as folder,
        pytest.raises(Ended, match=r"File too large; no checkpoint was kept yet$"),
        disk_errors.end_run_on_disk_error(folder),
    ):
        raise OSError(errno.EFBIG, "")
    (tmp_path / "config.json").touch()
    begin = rf"kept yet; when the disk is mended, begin with: .* --run-dir {tmp_path} --resume$"
    with (
        OpenFolder(tmp_path) as folder,
        pytest.raises(Ended, match=begin),
        disk_errors.end_run_on_disk_error(folder),
    ):
        raise OSError(errno.EFBIG, "")


def test_only_errors_of_the_disk_are_reported_as_such():
    full = OSError(28, os.strerror(28))
    assert disk_errors.find_disk_error(full) == "No space left on device"
    assert disk_errors.find_disk_error(
        ValueError("RESOURCE_EXHAUSTED: [OS error 28: No space left on device]")
    )
    wrapped = RuntimeError("the save has failed")
    wrapped.__cause__ = full
    assert disk_errors.find_disk_error(wrapped) == "No space left on device"
    assert disk_errors.find_disk_error(RuntimeError("a mistake in the program")) is None
