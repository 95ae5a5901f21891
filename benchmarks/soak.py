"""A run killed again and again must equal one that was not: `python -m benchmarks.soak`.

First a run trains for half of --minutes without a stop, its memory and open files watched. Then
another run trains to the same step. It is killed (SIGKILL) at random moments, every other time
during a save, and resumed. The last checkpoints of both must have the same bits.
"""

import argparse
import contextlib
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from train.config.errors import BadInput, Ended
from train.runtime import backend
from train.runtime.cli import make_parser, positive, run_command

if TYPE_CHECKING:
    import numpy as np

_CHECKPOINT_FRACTION = 0.75
"""Fraction of processes killed only after a new checkpoint, so that the run gets ahead."""
_SAVE_TIMEOUT = 20.0
"""Seconds to wait for a save to begin; DIGITS saves after each epoch, every 11 s when measured."""
_MIN_SAMPLES = 600
"""Seconds of a run whose memory is judged: compiling and warming up take one or two minutes."""
_MAX_GROWTH = 0.05
"""Allowed growth of memory from the second quarter of a run to its last; 1 to 2 % was measured."""


class WatchedProcess:
    """A training process with samples of its memory and open files."""

    def __init__(self, run_dir: Path, flags: list[str]) -> None:
        """Start a run, or resume the one in the folder."""
        self.run_dir = run_dir
        resume = ["--resume"] if (run_dir / "config.json").exists() else []
        module = [sys.executable, "-m", "train.main", "--run-dir", str(run_dir)]
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        self.process = subprocess.Popen(
            [*module, *flags, *resume], stdout=self.output, stderr=subprocess.STDOUT
        )
        self.samples: list[tuple[float, int]] = []
        """Megabytes of memory and the number of open files, once a second."""

    def wait(self, seconds: float) -> bool:
        """Watch the process for some seconds. Returns whether it is still running."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            self._sample()
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))
        return self.process.poll() is None

    def wait_for_progress(self) -> None:
        """Watch the process until it has saved a new checkpoint, or ended."""
        before = set(_steps(self.run_dir))
        while self.process.poll() is None and set(_steps(self.run_dir)) <= before:
            self.wait(0.2)

    def wait_for_a_save(self) -> bool:
        """Watch the process until it is saving. Returns whether it is."""
        until = time.monotonic() + _SAVE_TIMEOUT
        while self.process.poll() is None and time.monotonic() < until:
            if any((self.run_dir / "checkpoints").glob("*.orbax-checkpoint-tmp*")):
                return True
            time.sleep(0.002)
        return False

    def end(self, number: int) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait()

    def output_tail(self) -> str:
        """Return the last 2,000 characters that the process printed."""
        self.output.seek(0)
        return self.output.read()[-2000:]

    def _sample(self) -> None:
        process = Path("/proc", str(self.process.pid))
        with contextlib.suppress(OSError, IndexError):  # it may have ended
            status = (process / "status").read_text()
            kilobytes = int(status.split("VmRSS:")[1].split()[0])
            self.samples.append((kilobytes / 1024, len(list((process / "fd").iterdir()))))


def main(argv: list[str] | None = None) -> None:
    """Run both, compare them, and print the result."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument(
        "--minutes", type=float, default=45, help="minutes of training, both runs together"
    )
    flags.add_argument("--kills", type=positive, default=20)
    flags.add_argument("--seed", type=int, default=0, help="of the random moments")
    flags.add_argument("--devices", type=positive, default=2)
    flags.add_argument("--save-steps", type=positive, default=200)
    flags.add_argument("--out", type=Path, help="a folder for both runs; by default temporary")
    arguments = flags.parse_args(argv)
    if not arguments.minutes > 0:
        raise BadInput("--minutes must be above 0")
    backend.set_up_devices(1)
    with contextlib.ExitStack() as stack:
        out = arguments.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        soak(arguments, out)


def soak(arguments: argparse.Namespace, out: Path) -> None:
    """Run and compare both. Raises Ended, exit status 1, if the runs differ or memory grows."""
    # Enough epochs that only time ends the first run, and no step decay before that.
    flags = ["--devices", arguments.devices, "--save-steps", arguments.save_steps]
    flags += ["--epochs", 900_000, "--cut-epochs", 100_000]
    flags = [str(value) for value in flags]
    seconds = 30 * arguments.minutes
    straight = WatchedProcess(out / "straight", flags)
    if not straight.wait(seconds):
        raise Ended(f"the run without a stop ended by itself:\n{straight.output_tail()}", 1)
    status = straight.end(signal.SIGTERM)
    if status != 128 + signal.SIGTERM:
        raise Ended(f"the run ended with {status} after SIGTERM:\n{straight.output_tail()}", 1)
    step = max(_steps(out / "straight"))
    print(f"without a stop: {step:,} steps in {seconds:.0f} s", flush=True)
    growth = _report(straight.samples)

    start = time.monotonic()
    processes, in_saves = _run_killed(
        out / "killed", [*flags, "--steps", str(step)], arguments, seconds
    )
    took = f"{step:,} steps in {time.monotonic() - start:.0f} s"
    print(f"killed {processes - 1} times, {in_saves} of them in a save: {took}")
    different = _count_differences(out, step)
    print(f"arrays of the last checkpoint that differ: {different}")
    print(f"losses that differ: {_losses(out / 'straight', step) != _losses(out / 'killed', step)}")
    if different or growth > _MAX_GROWTH:
        raise Ended("the soak test has failed", 1)


def _run_killed(
    run_dir: Path, flags: list[str], arguments: argparse.Namespace, seconds: float
) -> tuple[int, int]:
    """Train to the last step, killed on the way. Returns counts: processes, kills during a save."""
    rng, in_saves = random.Random(arguments.seed), 0
    for number in range(1, arguments.kills + 2):
        process = WatchedProcess(run_dir, flags)
        if number <= arguments.kills:
            if rng.random() < _CHECKPOINT_FRACTION:
                process.wait_for_progress()
            running = process.wait(rng.uniform(0, 1.6 * seconds / (arguments.kills + 1)))
            saving = running and number % 2 == 0 and process.wait_for_a_save()
            if process.process.poll() is None:
                time.sleep(rng.uniform(0, 0.2) if saving else 0)
                process.end(signal.SIGKILL)
                in_saves += saving
                latest = max(_steps(run_dir), default=0)
                print(f"killed after {len(process.samples)} s, latest step {latest}", flush=True)
                continue
        process.wait(float("inf"))
        if process.process.returncode != 0:
            raise Ended(f"a resumed run failed:\n{process.output_tail()}", 1)
        _report(process.samples)
        return number, in_saves
    raise AssertionError("the last process is not killed")


def _steps(run_dir: Path) -> list[int]:
    names = [path.name for path in (run_dir / "checkpoints").glob("*")]
    return [int(name) for name in names if name.isdecimal()]


def _report(samples: list[tuple[float, int]]) -> float:
    """Print memory and open files by quarters of the samples. Returns the growth of memory."""
    size = len(samples) // 4
    if size < 5:
        return 0.0
    quarters = [samples[i * size : (i + 1) * size] for i in range(4)]
    memory = [statistics.median(megabytes for megabytes, _ in quarter) for quarter in quarters]
    files = [max(files for _, files in quarter) for quarter in quarters]
    print(f"memory by quarters, MB: {', '.join(f'{m:.0f}' for m in memory)}; open files: {files}")
    return memory[3] / memory[1] - 1 if len(samples) >= _MIN_SAMPLES else 0.0


def _count_differences(out: Path, step: int) -> int:
    """Return the number of arrays whose bits differ between the two checkpoints."""
    one, other = (_arrays(out / name, step) for name in ("straight", "killed"))
    return sum(a.tobytes() != b.tobytes() for a, b in zip(one, other, strict=True))


def _arrays(run_dir: Path, step: int) -> "list[np.ndarray]":
    import jax
    import numpy as np

    from train.config.network import get_architecture
    from train.config.saved import load_config, read_record
    from train.run_dir.checkpoints import Checkpoints
    from train.runtime.mesh import make_mesh
    from train.steps.optimizers import OPTIMIZERS
    from train.steps.train_step import init_state, state_shardings

    config, classes = load_config(run_dir), read_record(run_dir)["data"]["class_names"]
    net, optimizer = (
        get_architecture(config).with_classes(len(classes)),
        OPTIMIZERS[config.recipe.optimizer](),
    )
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), net, optimizer))
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        shardings = state_shardings(net, optimizer, make_mesh(net, 1))
        state, position = checkpoints.restore(step, like, shardings)
    return [*map(np.asarray, jax.tree.leaves(state)), np.asarray(position)]


def _losses(run_dir: Path, step: int) -> list[tuple[int, float]]:
    rows = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [(row["step"], row["loss"]) for row in rows if "loss" in row and row["step"] <= step]


if __name__ == "__main__":
    run_command(main)
