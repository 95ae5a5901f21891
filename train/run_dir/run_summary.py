"""What a run folder tells of its run in a line: network, data, seed, errors, time."""

import datetime
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.config import Config
from ..config.errors import BadInput
from ..config.network import get_architecture
from ..config.recipe import Recipe
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
    epoch_images: int
    """Training images in an epoch; 0 if its folder does not say."""
    tested: bool
    """Whether there is a test error of its latest step."""
    validated: bool
    """Whether it has validation images. Then it looks at the test images at its end alone."""
    diverged: bool
    """Whether it ended because its loss or its parameters were no longer finite."""

    @property
    def finished(self) -> bool:
        """Whether the run is over, at its last step or because a callback has ended it."""
        over = self.validated or self.has_ended(self.config.recipe)
        return self.tested and over and not self.diverged

    def has_ended(self, recipe: Recipe) -> bool:
        """Return whether a run of this recipe, which may be longer, would end where this one is."""
        goal, error, images = recipe.until_error, self.train_error, self.epoch_images
        at_goal = goal is not None and error is not None and error <= goal
        at_end = images > 0 and self.step >= last_step(recipe, images)
        return self.tested and (at_goal or at_end)

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
        epoch_images=_count_epoch_images(run_dir),
        tested=any(row["step"] == step and "test_top1_error" in row for row in rows),
        validated=any("val_top1_error" in row for row in rows),
        diverged=_has_diverged(run_dir, step),
    )


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders in a folder and below, by name. Raises BadInput if there are none."""
    if not folder.is_dir():
        raise BadInput(f"{folder} does not exist" if not folder.exists() else f"{folder} is a file")
    runs = sorted(path.parent for path in folder.rglob("config.json") if path.is_file())
    if not runs:
        raise BadInput(f"{folder} holds no runs (no config.json)")
    return runs


def _count_epoch_images(run_dir: Path) -> int:
    data = read_record(run_dir)["data"]
    taken = data.get("val", 0) if data.get("validation") == "training" else 0
    try:
        return data["train"] - taken
    except (KeyError, TypeError):
        return 0  # not as `record_run` writes it


def _has_diverged(run_dir: Path, step: int) -> bool:
    """Return whether a run diverged at its latest step, or right after it.

    One that was resumed and has come further, as with another precision, has not.
    """
    try:
        return json.loads((run_dir / "diverged.json").read_text())["step"] >= step
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _oldest(run_dir: Path) -> datetime.datetime:
    """Return the time of the oldest file of a run: a resumed run writes config.json anew."""
    times = [path.stat().st_mtime for path in run_dir.iterdir() if path.is_file()]
    return datetime.datetime.fromtimestamp(min(times))


def _last(rows: list[dict[str, Any]], name: str) -> float | None:
    return next((row[name] for row in reversed(rows) if name in row), None)


_LOWEST_SPEED = 1e-3
"""Images per second; what is lower is no speed, but a damaged line."""


def _training_seconds(steps: list[dict[str, Any]], batch_size: int) -> float:
    """Add up the seconds of all steps; one whose speed is unknown took the median."""
    rates = [row.get("images_per_second", 0) for row in steps]
    rates = [rate for rate in rates if rate > _LOWEST_SPEED]
    if not rates:
        return 0.0
    unknown = len(steps) - len(rates)
    return batch_size * (sum(1 / rate for rate in rates) + unknown / statistics.median(rates))
