"""Whether a run that is repeated, or stopped and resumed, ends in the same bits."""

from pathlib import Path
from typing import Any

from benchmarks.gpu.check import Check
from train.run_dir.metrics import read_metrics


def run(check: Check) -> None:
    """Compare three runs as they are, and three with --deterministic."""
    found = {}
    for name, flags in check.sizes.resumed_as.items():
        found[name] = _compare(check, name, flags)
        check.keep("resume", found)
        check.say(f"resume, {name}: {found[name]}")
    if failed := [name for name, result in found.items() if "error" in result]:
        raise RuntimeError(f"{failed[0]}: {found[failed[0]]['error']}")


def _compare(check: Check, name: str, flags: tuple[str, ...]) -> dict[str, Any]:
    """Train straight, again, and with a stop half-way; count the arrays that differ.

    On a card each compiles anew, without a cache, so that its kernels are also chosen anew.
    """
    steps, half = check.sizes.resumed_steps, check.sizes.resumed_steps // 2
    straight, again, stopped = (check.work / f"resume-{name}-{n}" for n in range(3))
    begin = ["--devices", 1, *check.sizes.first_flags, "--batch-size", 16, *flags]
    cache = {} if check.dry else {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    for folder, count, words in (
        (straight, steps, begin),
        (again, steps, begin),
        (stopped, half, begin),
        (stopped, steps, ["--resume"]),
    ):
        command = [*words, "--run-dir", folder, "--steps", count]
        finished = check.train(*command, **cache)
        if finished.status != 0:
            return {"error": f"train.main fails: {finished.errors.strip()[-300:]}"}
    losses = [_last_loss(folder) for folder in (straight, again, stopped)]
    # In a process of its own: this one leaves the card to its children.
    with check.ours(JAX_PLATFORMS="cpu") as worker:
        again, resumed = (
            worker.ask(
                "differences", check.seconds_left(), one=str(straight), other=str(other), step=steps
            )
            for other in (again, stopped)
        )
    return {
        "steps": steps,
        "arrays_that_differ_again": again["arrays"],
        "arrays_that_differ_resumed": resumed["arrays"],
        "last_losses": losses,
    }


def _last_loss(folder: Path) -> float | None:
    losses = [row["loss"] for row in read_metrics(folder) if "loss" in row]
    return losses[-1] if losses else None
