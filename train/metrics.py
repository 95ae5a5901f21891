"""What a run writes down: JSON lines, which figures and tests read, and TensorBoard events."""

import contextlib
import json
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from train.config import BadInput


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics.jsonl.

    What is no row of numbers is left out, as the last line of a process that was killed.
    Raises BadInput if the file cannot be read.
    """
    path = run_dir / "metrics.jsonl"
    try:
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    rows = []
    for line in lines:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                numbers = {k: v for k, v in row.items() if isinstance(v, int | float)}
                rows.append(numbers)
    return rows


class MetricsLog:
    """Appends one row a step, and one an evaluation, whose names begin with `test_`."""

    def __init__(self, run_dir: Path, step: int) -> None:
        """Open the log of a run that stands at `step`; rows behind it will be written anew."""
        kept = [row for row in read_metrics(run_dir) if row["step"] <= step]
        half_written = run_dir / "metrics.tmp.jsonl"
        half_written.write_text("".join(json.dumps(row) + "\n" for row in kept))
        half_written.rename(run_dir / "metrics.jsonl")
        self._lines = (run_dir / "metrics.jsonl").open("a")
        self._events = SummaryWriter(str(run_dir / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> "MetricsLog":
        """Return the log, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Write what is still held back."""
        self._lines.close()
        self._events.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append the values of one step."""
        row = {"step": step} | {name: float(f"{value:.6g}") for name, value in values.items()}
        self._lines.write(json.dumps(row) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
