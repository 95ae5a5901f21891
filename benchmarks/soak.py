"""A run that is killed again and again, against one that is not: `python -m benchmarks.soak`.

First a run trains for half of --minutes without a stop, its memory and file handles watched. Then
another trains to the same step, and is killed (SIGKILL) at random moments, every other time while
it saves, and resumed. Their last checkpoints must hold the same bits.
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

_LATE = 0.75  # of the lives: so many come to a checkpoint first
_LONGEST_SAVE = 20.0  # seconds to wait for one to begin
_SAMPLES_TO_JUDGE = 600  # ten minutes: what is compiled and first touched takes one or two
_MAY_GROW = 0.05  # of the memory, from the second quarter of a run to its last


class Watched:
    """A training process, and what it takes up."""

    def __init__(self, run_dir: Path, flags: list[str]) -> None:
        """Start it, or resume it if the folder holds a run."""
        self.run_dir = run_dir
        resume = ["--resume"] if (run_dir / "config.json").exists() else []
        module = [sys.executable, "-m", "train.main", "--run-dir", str(run_dir)]
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        self.process = subprocess.Popen(
            [*module, *flags, *resume], stdout=self.said, stderr=subprocess.STDOUT
        )
        self.samples: list[tuple[float, int]] = []
        """Megabytes in memory and open files, once a second."""

    def wait(self, seconds: float) -> bool:
        """Watch it for so long. Returns whether it still runs."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            self._sample()
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))
        return self.process.poll() is None

    def wait_for_progress(self) -> None:
        """Watch it until it has saved once more than when it began, or ended."""
        before = set(_steps(self.run_dir))
        while self.process.poll() is None and set(_steps(self.run_dir)) <= before:
            self.wait(0.2)

    def wait_for_a_save(self) -> bool:
        """Watch it until it is saving. Returns whether it is."""
        until = time.monotonic() + _LONGEST_SAVE
        while self.process.poll() is None and time.monotonic() < until:
            if any((self.run_dir / "checkpoints").glob("*.orbax-checkpoint-tmp*")):
                return True
            time.sleep(0.002)
        return False

    def end(self, number: int) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait()

    def last_words(self) -> str:
        """Return the end of what it printed."""
        self.said.seek(0)
        return self.said.read()[-2000:]

    def _sample(self) -> None:
        process = Path("/proc", str(self.process.pid))
        with contextlib.suppress(OSError, IndexError):  # it may have ended
            status = (process / "status").read_text()
            kilobytes = int(status.split("VmRSS:")[1].split()[0])
            self.samples.append((kilobytes / 1024, len(list((process / "fd").iterdir()))))


def main(argv: list[str] | None = None) -> None:
    """Run both, compare them, and print what came of it."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("--minutes", type=float, default=45, help="of training, both runs together")
    flags.add_argument("--kills", type=positive, default=20)
    flags.add_argument("--seed", type=int, default=0, help="of the moments")
    flags.add_argument("--devices", type=positive, default=2)
    flags.add_argument("--save-steps", type=positive, default=200)
    flags.add_argument("--out", type=Path, help="a folder for both runs; a temporary one if not")
    arguments = flags.parse_args(argv)
    if not arguments.minutes > 0:
        raise BadInput("--minutes must be above 0")
    backend.set_up_devices(1)
    with contextlib.ExitStack() as stack:
        out = arguments.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        soak(arguments, out)


def soak(arguments: argparse.Namespace, out: Path) -> None:
    """Do what the module says. Raises Ended, exit status 1, if the runs differ or memory grows."""
    # So many epochs that time alone ends the first run; the rate is not cut on the way.
    settings = ["--devices", arguments.devices, "--save-steps", arguments.save_steps]
    settings += ["--epochs", 900_000, "--cut-epochs", 100_000]
    chosen = [str(setting) for setting in settings]
    seconds = 30 * arguments.minutes
    straight = Watched(out / "straight", chosen)
    if not straight.wait(seconds):
        raise Ended(f"the run without a stop ended by itself:\n{straight.last_words()}", 1)
    status = straight.end(signal.SIGTERM)
    if status != 128 + signal.SIGTERM:
        raise Ended(f"the run ended with {status} after SIGTERM:\n{straight.last_words()}", 1)
    step = max(_steps(out / "straight"))
    print(f"without a stop: {step:,} steps in {seconds:.0f} s", flush=True)
    grown = _report(straight.samples)

    begun = time.monotonic()
    lives, in_saves = _killed(out / "killed", [*chosen, "--steps", str(step)], arguments, seconds)
    took = time.monotonic() - begun
    print(f"killed {lives - 1} times, {in_saves} of them in a save: {step:,} steps in {took:.0f} s")
    different = _differences(out, step)
    print(f"arrays of the last checkpoint that differ: {different}")
    print(f"losses that differ: {_losses(out / 'straight', step) != _losses(out / 'killed', step)}")
    if different or grown > _MAY_GROW:
        raise Ended("the soak has failed", 1)


def _killed(
    run_dir: Path, flags: list[str], arguments: argparse.Namespace, seconds: float
) -> tuple[int, int]:
    """Train to the last step, killed on the way. Returns how many processes, how many in a save."""
    chance, in_saves = random.Random(arguments.seed), 0
    for life in range(1, arguments.kills + 2):
        watched = Watched(run_dir, flags)
        if life <= arguments.kills:
            if chance.random() < _LATE:
                watched.wait_for_progress()
            running = watched.wait(chance.uniform(0, 1.6 * seconds / (arguments.kills + 1)))
            saving = running and life % 2 == 0 and watched.wait_for_a_save()
            if watched.process.poll() is None:
                time.sleep(chance.uniform(0, 0.2) if saving else 0)
                watched.end(signal.SIGKILL)
                in_saves += saving
                latest = max(_steps(run_dir), default=0)
                print(f"killed after {len(watched.samples)} s, latest step {latest}", flush=True)
                continue
        watched.wait(float("inf"))
        if watched.process.returncode != 0:
            raise Ended(f"a resumed run failed:\n{watched.last_words()}", 1)
        _report(watched.samples)
        return life, in_saves
    raise AssertionError("the last life is not killed")


def _steps(run_dir: Path) -> list[int]:
    names = [path.name for path in (run_dir / "checkpoints").glob("*")]
    return [int(name) for name in names if name.isdecimal()]


def _report(samples: list[tuple[float, int]]) -> float:
    """Print memory and files of a process by quarters; return by how much the memory grew."""
    size = len(samples) // 4
    if size < 5:
        return 0.0
    quarters = [samples[i * size : (i + 1) * size] for i in range(4)]
    memory = [statistics.median(megabytes for megabytes, _ in quarter) for quarter in quarters]
    files = [max(files for _, files in quarter) for quarter in quarters]
    print(f"memory by quarters, MB: {', '.join(f'{m:.0f}' for m in memory)}; open files: {files}")
    return memory[3] / memory[1] - 1 if len(samples) >= _SAMPLES_TO_JUDGE else 0.0


def _differences(out: Path, step: int) -> int:
    """The number of arrays, of all that the checkpoints hold, whose bits differ."""
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
        lies = state_shardings(net, optimizer, make_mesh(net, 1))
        state, position = checkpoints.restore(step, like, lies)
    return [*map(np.asarray, jax.tree.leaves(state)), np.asarray(position)]


def _losses(run_dir: Path, step: int) -> list[tuple[int, float]]:
    rows = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [(row["step"], row["loss"]) for row in rows if "loss" in row and row["step"] <= step]


if __name__ == "__main__":
    run_command(main)
