"""Runs under real launchers on this machine: `python -m benchmarks.schedulers`.

SLURM with two nodes runs docs/train.sbatch, with a tiny network in place of the paper's: to its
end, and with one fault each behind a checkpoint: SIGTERM to the job, a task killed, the daemon of
a node killed. The job must be requeued and reach its last step, no step missing. Open MPI's mpirun
runs two processes: to their end, and with a signal to one. What is not installed is skipped.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from train.config.errors import Ended
from train.runtime.cli import make_parser, run_command

from .loopback_slurm import LoopbackSlurm, missing
from .processes import steps_of

ROOT = Path(__file__).parents[1]
_STEPS = 400
_LONG = 4000  # goes on until SLURM notices that a daemon is gone, after ten seconds or so
_TIMEOUT = 600.0


def main(argv: list[str] | None = None) -> None:
    """Run all that is installed, print a line for each, and fail if one fails."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("--only", metavar="TEXT", default="", help="those whose names contain this")
    only = flags.parse_args(argv).only
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        if reason := missing():
            print(f"SLURM: skipped: {reason}")
        else:
            (slurm_folder := Path(folder, "slurm")).mkdir()
            with LoopbackSlurm(slurm_folder) as slurm:
                for name, (fault, steps) in _FAULTS.items():
                    if only in f"SLURM: {name}":
                        problem = _slurm_job(slurm, Path(folder), fault, steps)
                        failures += _report(f"SLURM: {name}", problem)
        if shutil.which("mpirun") is None:
            print("Open MPI: skipped: mpirun not installed (Debian's openmpi-bin)")
        else:
            for number in (None, signal.SIGTERM, signal.SIGHUP):
                name = f"Open MPI: {'to its end' if number is None else number.name}"
                if only in name:
                    failures += _report(name, _mpi_run(Path(folder), number))
    if failures:
        raise Ended(f"failed: {', '.join(failures)}", 1)


def _report(name: str, problem: str | None) -> list[str]:
    print(f"{name}: {problem or 'right'}", flush=True)
    return [name] if problem else []


def _flags(steps: int) -> str:
    every = steps // 20
    return f"--net benchmarks.tiny_net:TINY --devices 2 --steps {steps} --save-steps {every}"


def _slurm_job(
    slurm: LoopbackSlurm, folder: Path, fault: Callable | None, steps: int
) -> str | None:
    """Run a job with a fault; return what is wrong with it, None if nothing is."""
    run_dir = Path(tempfile.mkdtemp(dir=folder)) / "run"
    log = run_dir.with_name("log")
    batch_file = run_dir.with_name("small.sbatch")
    batch_file.write_text(_small_form((ROOT / "docs" / "train.sbatch").read_text(), log, steps))
    number = slurm.submit(batch_file, ROOT, DATA="none", RUN_DIR=str(run_dir))
    if fault is not None:
        if not _wait(lambda: bool(steps_of(run_dir)) or slurm.job(number)[0] == "COMPLETED"):
            return f"no checkpoint; {_tail(log)}"
        fault(slurm, number, run_dir)
    _wait(lambda: slurm.job(number)[0] not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED"))
    state, restarts = slurm.job(number)
    if (state, restarts) != ("COMPLETED", int(fault is not None)):
        slurm.run("scancel", number)
        return f"{state} after {restarts} restarts; {_tail(log)}"
    return _incomplete(run_dir, log, steps)


def _small_form(batch: str, log: Path, steps: int) -> str:
    """Return the batch file for two tasks on two nodes without GPUs, and the tiny network."""
    sizes = {"ntasks-per-node": "1", "cpus-per-task": "1", "output": str(log), "time": "1:00:00"}
    for name, value in sizes.items():
        batch = re.sub(rf"(#SBATCH --{name}=).*", rf"\g<1>{value}", batch)
    batch = re.sub(r"#SBATCH --gpus.*\n", "", batch)
    command = (
        f'{sys.executable} -m train.main --run-dir "$RUN_DIR" {_flags(steps)} "${{resume[@]}}"'
    )
    batch, count = re.subn(r"\.venv/bin/python [^|]*?\"\$\{resume\[@\]\}\"", command, batch)
    assert count == 1, "docs/train.sbatch starts the run in another way now"
    return batch


def _terminate(slurm: LoopbackSlurm, number: str, run_dir: Path) -> None:
    slurm.run("scancel", "--signal=TERM", number)


def _kill_a_task(slurm: LoopbackSlurm, number: str, run_dir: Path) -> None:
    os.kill(_process_of_rank(run_dir, "SLURM_PROCID=1"), signal.SIGKILL)


def _kill_a_daemon(slurm: LoopbackSlurm, number: str, run_dir: Path) -> None:
    node = slurm.nodes[1]
    slurm.kill_node(node)
    _wait(lambda: slurm.job(number)[0] != "RUNNING")
    slurm.start_node(node)


_FAULTS: dict[str, tuple[Callable | None, int]] = {
    "to its end": (None, _STEPS),
    "scancel --signal=TERM": (_terminate, _STEPS),
    "one task killed": (_kill_a_task, _STEPS),
    "the daemon of a node killed": (_kill_a_daemon, _LONG),
}


def _mpi_run(folder: Path, number: signal.Signals | None) -> str | None:
    """Run two processes under mpirun, with a signal to one; return what is wrong, or None."""
    run_dir = Path(tempfile.mkdtemp(dir=folder)) / "run"
    log = run_dir.with_name("log")
    mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", sys.executable]
    command = [*mpirun, "-m", "train.main", "--run-dir", str(run_dir), *_flags(_STEPS).split()]
    if number is not None:
        with (
            log.open("w") as output,
            subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT) as process,
        ):
            _wait(lambda: bool(steps_of(run_dir)) or process.poll() is not None)
            os.kill(_process_of_rank(run_dir, "OMPI_COMM_WORLD_RANK=1"), number)
            status = process.wait(_TIMEOUT)
        if status != 128 + number or f"stopped by {number.name}" not in log.read_text():
            return f"status {status} after {number.name}; {_tail(log)}"
        command += ["--resume"]
    with log.open("w") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
    text = log.read_text()
    if done.returncode:
        return f"status {done.returncode}; {_tail(log)}"
    if "\x1b" in text or "\u2501" in text:
        return f"a bar is drawn in the log, of {len(text):,} characters"
    return _incomplete(run_dir, log)


def _process_of_rank(run_dir: Path, variable: str) -> int:
    """Return the number of the training process with this folder and this environment variable."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        is_python = b"python" in arguments[0] and b"train.main" in arguments
        if is_python and str(run_dir).encode() in arguments and variable.encode() in variables:
            return int(process.name)
    raise Ended(f"no process with {variable} trains in {run_dir}", 1)


def _incomplete(run_dir: Path, log: Path, last: int = _STEPS) -> str | None:
    rows = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    steps = [row["step"] for row in rows if "loss" in row]
    if steps != [*range(1, last + 1)]:
        return f"{len(steps)} steps in metrics.jsonl; {_tail(log)}"
    return None if "test accuracy" in log.read_text() else f"no result; {_tail(log)}"


def _tail(log: Path) -> str:
    return f"its log ends:\n{log.read_text(errors='replace')[-1500:] if log.exists() else ''}"


def _wait(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + _TIMEOUT
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    run_command(main)
