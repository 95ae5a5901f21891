"""A run killed again and again must equal one that was not: `python -m benchmarks.soak`.

A run is killed (SIGKILL) and resumed, each time after it has saved a new checkpoint: in turn at a
random moment, during a save, and while an old checkpoint is being deleted. Of several processes
one is killed, and the others must end by themselves. Then another run trains to the same step
without a stop, its memory and open files watched. The last checkpoints must have the same bits.
"""

import argparse
import contextlib
import itertools
import json
import random
import signal
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from train.config.errors import BadInput, Ended
from train.runtime import backend
from train.runtime.cli import make_parser, positive, run_command
from train.runtime.distributed import PEER_GONE

from .processes import WatchedProcesses, steps_of

if TYPE_CHECKING:
    import numpy as np

_MOMENTS: tuple[str, ...] = ("any", "save", "deletion")
_MIN_SAMPLES = 600
"""Seconds of a run whose memory is judged: compiling and warming up take one or two minutes."""
_MAX_GROWTH = 0.05
"""Allowed growth of memory from the second quarter of a run to its last; 1 to 2 % was measured."""


def main(argv: list[str] | None = None) -> None:
    """Run both, compare them, and print the result."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument(
        "--minutes", type=float, default=20, help="minutes that the kills are spread over, at least"
    )
    flags.add_argument("--kills", type=positive, default=20)
    flags.add_argument("--processes", type=positive, default=1, help="one of them is killed")
    flags.add_argument("--seed", type=int, default=0, help="of the random moments")
    flags.add_argument("--net", default="benchmarks.tiny_net:TINY", help="as for train.main")
    flags.add_argument("--devices", type=positive, default=2)
    flags.add_argument("--save-steps", type=positive, default=20)
    flags.add_argument("--out", type=Path, help="a folder for both runs; by default temporary")
    arguments = flags.parse_args(argv)
    if not arguments.minutes >= 0:
        raise BadInput("--minutes must be at least 0")
    backend.set_up_devices(1)
    with contextlib.ExitStack() as stack:
        out = arguments.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        soak(arguments, out)


def soak(arguments: argparse.Namespace, out: Path) -> None:
    """Run and compare both. Raises Ended, exit status 1, if anything is not as it should be."""
    # Enough epochs that only a signal ends the run, and no step decay before that.
    flags = ["--net", arguments.net, "--devices", arguments.devices, "--epochs", 900_000]
    flags += ["--save-steps", arguments.save_steps, "--cut-epochs", 100_000, "--flip"]
    flags = [str(value) for value in flags]
    killed, straight = out / "killed", out / "straight"
    if any(steps_of(run_dir) for run_dir in (killed, straight)):
        raise BadInput(f"--out {out} holds runs already")
    kills = _kill_again_and_again(killed, flags, arguments)
    step = max(steps_of(killed)) + arguments.save_steps
    _finish(killed, [*flags, "--steps", str(step)], arguments.processes)
    processes = _finish(straight, [*flags, "--steps", str(step)], arguments.processes)
    growth = _report(processes.samples)

    each = ", ".join(f"{count} {moment}" for moment, count in kills.items())
    print(f"killed {sum(kills.values())} times behind a checkpoint ({each}), to step {step:,}")
    different = count_differences(straight, killed, step)
    losses = _losses(straight, step) != _losses(killed, step)
    print(f"arrays of the last checkpoint that differ: {different}; losses differ: {losses}")
    missing = arguments.kills - sum(kills.values())
    if different or losses or missing or growth > _MAX_GROWTH:
        raise Ended("the soak test has failed", 1)


def _kill_again_and_again(
    run_dir: Path, flags: list[str], arguments: argparse.Namespace
) -> dict[str, int]:
    """Return how many kills fell behind a new checkpoint, by the moment in which they fell."""
    rng, kills = random.Random(arguments.seed), dict.fromkeys(_MOMENTS, 0)
    spread = 120 * arguments.minutes / arguments.kills
    for number, moment in zip(range(arguments.kills), itertools.cycle(_MOMENTS)):
        before = max(steps_of(run_dir), default=0)
        with WatchedProcesses(
            run_dir, flags, arguments.processes, dies_in_deletion=moment == "deletion"
        ) as processes:
            # Only the first process of several deletes and renames folders.
            victim = number % arguments.processes if moment == "any" else 0
            if moment != "deletion":
                processes.wait_for_new_checkpoint()
                processes.watch(rng.uniform(0, spread) if moment == "any" else 0)
                if moment == "save":
                    processes.wait_for_a_save(rng.uniform(0, 0.05))
                processes.kill(victim)
            status, *others = processes.wait_after_death_of(victim)
            if status != -signal.SIGKILL or {*others} - {PEER_GONE}:
                statuses = processes.statuses()
                raise Ended(f"processes ended with {statuses}:\n{processes.output_tail()}", 1)
        after = max(steps_of(run_dir), default=0)
        if after > before:
            kills[_moment(run_dir)] += 1
        print(f"kill {number + 1}: meant for {moment}, steps {before} to {after}", flush=True)
    return kills


def _moment(run_dir: Path) -> str:
    """Return the moment of a kill by what it has left behind."""
    checkpoints = run_dir / "checkpoints"
    if (checkpoints / "deleted").is_dir() and _is_torn(checkpoints / "deleted"):
        return "deletion"
    return "save" if any(checkpoints.glob("*.orbax-checkpoint-tmp*")) else "any"


def _is_torn(deleted: Path) -> bool:
    """Whether a checkpoint there lacks files that its digests name."""
    from alexnet_jax.weights.files import checksums

    return any(checksums.fault(folder) for folder in deleted.iterdir())


def _finish(run_dir: Path, flags: list[str], count: int) -> WatchedProcesses:
    with WatchedProcesses(run_dir, flags, count) as processes:
        processes.watch(float("inf"))
        if set(processes.statuses()) != {0}:
            raise Ended(f"a run failed:\n{processes.output_tail()}", 1)
    return processes


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


def count_differences(one: Path, other: Path, step: int) -> int:
    """Return the number of arrays whose bits differ between the two checkpoints."""
    pairs = zip(_arrays(one, step), _arrays(other, step), strict=True)
    return sum(a.tobytes() != b.tobytes() for a, b in pairs)


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
    net = get_architecture(config).with_classes(len(classes))
    optimizer = OPTIMIZERS[config.recipe.optimizer]()
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
