"""What a run writes down: JSON lines, which figures and tests read, and TensorBoard events."""

import json
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics.jsonl; a last line that was cut off is left out."""
    path = run_dir / "metrics.jsonl"
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break  # the process was killed while it wrote
    return rows


class MetricsLog:
    """Appends one row a step, and one an evaluation, whose names begin with `test_`."""

    def __init__(self, run_dir: Path, step: int) -> None:
        """Open the log of a run that stands at `step`; rows behind it will be written anew."""
        kept = [row for row in read_metrics(run_dir) if row["step"] <= step]
        self._lines = (run_dir / "metrics.jsonl").open("w")
        self._lines.writelines(json.dumps(row) + "\n" for row in kept)
        self._lines.flush()
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
