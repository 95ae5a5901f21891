"""What a run writes down: JSON lines, which figures and tests read, and TensorBoard events."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore

from ..config.errors import BadInput

_HUGE = 1e300  # JSON's whole numbers know no bound
_SECONDS_UNSEEN = 60  # that TensorBoard may lag behind
_START = SessionLog(status=SessionLog.START)


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
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict) and type(row.get("step")) is int:
                numbers = {k: v for k, v in row.items() if _is_finite(v)}
                rows += [numbers] if "step" in numbers else []
    return rows


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < _HUGE  # pyright: ignore


class MetricsLog:
    """Appends one row a step, and one an evaluation, whose names begin with `test_`."""

    def __init__(self, run_dir: Path, step: int) -> None:
        """Open the log of a run that stands at `step`; rows behind it will be written anew."""
        kept = [row for row in read_metrics(run_dir) if row["step"] <= step]
        half_written = run_dir / "metrics.tmp.jsonl"
        half_written.write_text("".join(json.dumps(row) + "\n" for row in kept))
        half_written.rename(run_dir / "metrics.jsonl")
        self._lines = (run_dir / "metrics.jsonl").open("a")
        (run_dir / "tensorboard").mkdir(exist_ok=True)
        # Not SummaryWriter, whose thread dies on a full disk and lets the training wait for ever.
        self._events = EventsWriter(str(run_dir / "tensorboard" / "events"))
        self._flushed = time.monotonic()
        # Of a run that was killed, TensorBoard forgets what is behind.
        for purge in ({"file_version": "brain.Event:2"}, {"session_log": _START}):
            self._events.write_event(Event(wall_time=time.time(), step=step + 1, **purge))

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
            scalar = summary.scalar(name, value)
            self._events.write_event(Event(wall_time=time.time(), step=step, summary=scalar))
        if time.monotonic() - self._flushed > _SECONDS_UNSEEN:
            self._events.flush()
            self._flushed = time.monotonic()
