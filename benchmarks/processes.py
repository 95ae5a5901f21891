"""Training processes that are started, watched and killed: for `benchmarks.soak`."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_TIMEOUT = 300.0
"""Seconds for a process to save, or for the others to notice that it is gone; 30 are usual."""

# The first argument is the module to run. It dies after the first file of the second deletion.
_DIES_IN_DELETION = """
import os, pathlib, runpy, shutil, signal, sys
remove, deletions = shutil.rmtree, []
def remove_and_die(folder, *arguments, **options):
    deleted = pathlib.Path(folder)
    files = sorted(path for path in deleted.rglob("*") if path.is_file())
    if deleted.name == "deleted" and files:
        deletions.append(deleted)
        if len(deletions) == 2:
            files[len(files) // 2].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    return remove(folder, *arguments, **options)
shutil.rmtree = remove_and_die
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def steps_of(run_dir: Path) -> list[int]:
    """Return the steps of a run's complete checkpoints."""
    names = [path.name for path in (run_dir / "checkpoints").glob("*")]
    return [int(name) for name in names if name.isdecimal()]


class WatchedProcesses:
    """The processes of one run, and samples of the memory and open files of the first."""

    def __init__(
        self, run_dir: Path, flags: list[str], count: int = 1, *, dies_in_deletion: bool = False
    ) -> None:
        """Start a run of `count` processes, or resume the one in the folder."""
        self.run_dir, self._before = run_dir, max(steps_of(run_dir), default=0)
        self.samples: list[tuple[float, int]] = []
        """Megabytes of memory and the number of open files, once a second."""
        flags = ["--run-dir", str(run_dir), *flags]
        flags += ["--resume"] if (run_dir / "config.json").exists() else []
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the processes
        # Restarting with huge pages would lose the patch of the one that dies in a deletion.
        environment = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"} | os.environ
        self._processes = []
        for number, launch in enumerate(_launches(count)):
            dies = ["-c", _DIES_IN_DELETION] if dies_in_deletion and number == 0 else ["-m"]
            command = [sys.executable, *dies, "train.main", *flags, *launch]
            self._processes.append(
                subprocess.Popen(
                    command, stdout=self._output, stderr=subprocess.STDOUT, env=environment
                )
            )

    def __enter__(self) -> "WatchedProcesses":
        """Return the processes, none of which outlives the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kill those that still run."""
        for process in self._processes:
            process.kill()
            process.wait()

    def watch(self, seconds: float) -> None:
        """Watch the first process for some seconds, or until any has ended."""
        until = time.monotonic() + seconds
        while all(status is None for status in self.statuses()) and time.monotonic() < until:
            self._sample()
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))
        if seconds == float("inf"):
            for process in self._processes:
                process.wait()

    def wait_for_new_checkpoint(self) -> None:
        """Wait until the run has saved a new checkpoint. Returns early if a process has ended."""
        self._wait(lambda: max(steps_of(self.run_dir), default=0) > self._before, 0.02)

    def wait_for_a_save(self, seconds: float) -> None:
        """Wait until the run is saving, and some seconds more."""
        folder = self.run_dir / "checkpoints"
        self._wait(lambda: any(folder.glob("*.orbax-checkpoint-tmp*")), 0.002)
        time.sleep(seconds)

    def kill(self, number: int) -> None:
        """Kill a process."""
        self._processes[number].send_signal(signal.SIGKILL)

    def wait_after_death_of(self, number: int) -> list[int | None]:
        """Wait until this process is dead, and the others after it.

        Returns its exit status and those of the others, None for one that still runs.
        """
        for process in (self._processes[number], *self._processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_TIMEOUT)
        statuses = self.statuses()
        return [statuses.pop(number), *statuses]

    def statuses(self) -> list[int | None]:
        """Return the exit status of each process, None while it runs."""
        return [process.poll() for process in self._processes]

    def output_tail(self) -> str:
        """Return the last 2,000 characters that the processes printed."""
        self._output.seek(0)
        return self._output.read()[-2000:]

    def _wait(self, condition: Callable[[], bool], pause: float) -> None:
        until = time.monotonic() + _TIMEOUT
        while not condition() and time.monotonic() < until:
            if any(status is not None for status in self.statuses()):
                return
            time.sleep(pause)

    def _sample(self) -> None:
        process = Path("/proc", str(self._processes[0].pid))
        with contextlib.suppress(OSError, IndexError):  # it may have ended
            status = (process / "status").read_text()
            kilobytes = int(status.split("VmRSS:")[1].split()[0])
            self.samples.append((kilobytes / 1024, len(list((process / "fd").iterdir()))))


def _launches(count: int) -> list[list[str]]:
    """Return the flags of each process that let it find the others."""
    if count == 1:
        return [[]]
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    together = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
    return [[*together, "--process-id", str(number)] for number in range(count)]
