"""The metrics of a run: metrics.jsonl, which our figures read, and TensorBoard events."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import (  # classes that protobuf builds while it runs
    Event,  # pyright: ignore[reportAttributeAccessIssue]
    SessionLog,  # pyright: ignore[reportAttributeAccessIssue]
)

from ..config.errors import BadInput

_LARGEST = 1e300  # a float's limit is 1.8e308, but integers in JSON have none
_SECONDS_BETWEEN_FLUSHES = 60  # of TensorBoard's events; the page itself reloads every 30 s
_START = SessionLog(status=SessionLog.START)


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics.jsonl, without damaged lines and values.

    The last line is damaged if its process was killed. Raises BadInput if the file cannot be read.
    """
    path = run_dir / "metrics.jsonl"
    try:
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
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
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


class MetricsLog:
    """Appends a row for each step, for each epoch, and for the test images.

    A step has `loss` and `top1_error`; an epoch, `train_loss`, `val_loss` and so on; without
    validation images, `test_loss` in place of `val_loss`.
    """

    def __init__(self, run_dir: Path, step: int) -> None:
        """Open the log of a run that starts from `step`, without the rows of later steps."""
        # Imported late, as it imports JAX: figures read metrics before they start JAX.
        from alexnet_jax.weights.files.atomic import write_atomically

        kept = [row for row in read_metrics(run_dir) if row["step"] <= step]
        path = run_dir / "metrics.jsonl"
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._lines = path.open("a")
        (run_dir / "tensorboard").mkdir(exist_ok=True)
        # Not SummaryWriter, whose thread dies on a full disk, and then the training waits forever.
        self._events = EventsWriter(str(run_dir / "tensorboard" / "events"))
        self._flushed = time.monotonic()
        # TensorBoard drops events of later steps, which a killed run has left.
        for purge in ({"file_version": "brain.Event:2"}, {"session_log": _START}):
            self._events.write_event(Event(wall_time=time.time(), step=step + 1, **purge))

    def __enter__(self) -> "MetricsLog":
        """Return the log, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Write what is still buffered."""
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
        if time.monotonic() - self._flushed > _SECONDS_BETWEEN_FLUSHES:
            self._events.flush()
            self._flushed = time.monotonic()
