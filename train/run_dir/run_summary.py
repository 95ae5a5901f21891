"""What a run folder tells of its run in a line: network, data, seed, errors, time."""

import datetime
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.config import Config
from ..config.errors import BadInput
from ..config.network import get_architecture
from ..config.run_length import last_step
from ..config.saved import load_config, read_record
from .metrics import read_metrics


@dataclass(frozen=True)
class RunSummary:
    """A run as far as it has come. Errors are fractions; None is what it has not measured yet."""

    run_dir: Path
    config: Config
    step: int
    epoch: float | None
    began: datetime.datetime
    seconds: float
    """Of its training steps, without compilation, evaluations and the time between stops."""
    train_error: float | None
    """Mean over the last epoch, with augmentation and dropout."""
    val_error: float | None
    test_error: float | None
    finished: bool
    """Whether the last of its steps was tested."""

    @property
    def network(self) -> str:
        """The name of its network."""
        return get_architecture(self.config).name

    @property
    def data(self) -> str:
        """The name of the folder of its data, or what the package brings."""
        path = self.config.data.path
        return "digits of the package" if path is None else path.name


def summarize_run(run_dir: Path) -> RunSummary:
    """Read a run folder. Raises BadInput if it holds no run."""
    config, rows = load_config(run_dir), read_metrics(run_dir)
    steps = [row for row in rows if "loss" in row]
    step = max((row["step"] for row in rows), default=0)
    return RunSummary(
        run_dir=run_dir,
        config=config,
        step=step,
        epoch=_last(rows, "epoch"),
        began=_oldest(run_dir),
        seconds=_training_seconds(steps, config.recipe.batch_size),
        train_error=_last(rows, "train_top1_error"),
        val_error=_last(rows, "val_top1_error"),
        test_error=_last(rows, "test_top1_error"),
        finished=_is_finished(run_dir, config, rows, step),
    )


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders in a folder and below, by name. Raises BadInput if there are none."""
    if not folder.is_dir():
        raise BadInput(f"{folder} does not exist" if not folder.exists() else f"{folder} is a file")
    runs = sorted(path.parent for path in folder.rglob("config.json") if path.is_file())
    if not runs:
        raise BadInput(f"{folder} holds no runs (no config.json)")
    return runs


def _is_finished(run_dir: Path, config: Config, rows: list[dict[str, Any]], step: int) -> bool:
    """Return whether a run is over: test images are looked at after its last step.

    Without validation images they are looked at after each epoch, and steps are counted.
    """
    tested = any(row["step"] == step and "test_top1_error" in row for row in rows)
    if not tested or any("val_top1_error" in row for row in rows):
        return tested
    goal, error = config.recipe.until_error, _last(rows, "train_top1_error")
    if goal is not None and error is not None and error <= goal:
        return True
    images = read_record(run_dir)["data"].get("train")
    return isinstance(images, int) and step >= last_step(config.recipe, images)


def _oldest(run_dir: Path) -> datetime.datetime:
    """Return the time of the oldest file of a run: a resumed run writes config.json anew."""
    times = [path.stat().st_mtime for path in run_dir.iterdir() if path.is_file()]
    return datetime.datetime.fromtimestamp(min(times))


def _last(rows: list[dict[str, Any]], name: str) -> float | None:
    return next((row[name] for row in reversed(rows) if name in row), None)


def _training_seconds(steps: list[dict[str, Any]], batch_size: int) -> float:
    """Add up the seconds of all steps; one whose speed is unknown took the median."""
    rates = [row["images_per_second"] for row in steps if row.get("images_per_second", 0) > 0]
    if not rates:
        return 0.0
    unknown = len(steps) - len(rates)
    return batch_size * (sum(1 / rate for rate in rates) + unknown / statistics.median(rates))
