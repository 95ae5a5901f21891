"""The checkpoints that a run keeps, one folder per step, and the choice among them."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from alexnet_jax.regular_file import read_regular
from alexnet_jax.weights.files import checksums


def list_steps(checkpoints: Path) -> list[int]:
    """Return the steps whose checkpoints are complete, the latest first.

    Orbax names a folder 8 once it is complete, and 8.orbax-checkpoint-tmp until then.
    """
    names = [path.name for path in checkpoints.glob("*") if path.name.isdecimal()]
    return sorted((int(name) for name in names if name == str(int(name))), reverse=True)


def choose_step(
    checkpoints: Path, which: str = "best", fault: Callable[[Path], str | None] = checksums.fault
) -> int | None:
    """Return the step of the best or the latest undamaged checkpoint, None if there is none.

    The best has the lowest test error; if none was evaluated, it is the latest. Every damaged
    checkpoint on the way there is skipped with a note on stderr.

    Args:
      checkpoints: the folder of the steps.
      which: "best" or "latest".
      fault: what is wrong with the folder of a step, None if nothing is.
    """
    undamaged = _undamaged_steps(checkpoints, fault)
    latest = next(undamaged, None)
    if latest is None or which == "latest":
        return latest
    errors = {step: _test_error(checkpoints / str(step)) for step in (latest, *undamaged)}
    evaluated = {step: error for step, error in errors.items() if error is not None}
    return min(evaluated, key=lambda step: evaluated[step], default=latest)


def _undamaged_steps(checkpoints: Path, fault: Callable[[Path], str | None]) -> Iterator[int]:
    """The steps from the latest on: each is compared with its digests only when it is asked for."""
    for step in list_steps(checkpoints):
        folder = checkpoints / str(step)
        if reason := fault(folder):
            print(f"note: checkpoint {folder} is skipped: {reason}", file=sys.stderr)
        else:
            yield step


def _test_error(folder: Path) -> float | None:
    """The test error after a step, None if it was not evaluated."""
    try:
        return float(json.loads(read_regular(folder / "metrics" / "metrics"))["top1_error"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
