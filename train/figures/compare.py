"""Learning curves of several runs in one figure: `python -m train.figures compare RUN ... FILE`.

Runs that differ in nothing but their seed share a line, their mean, in a band from the lowest to
the highest. A line is named after the values that tell it from the others.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..config.saved import load_config
from ..run_dir.metrics import read_metrics
from . import page

EXAMPLES = (
    "python -m train.figures compare runs/A runs/B compare.png",
    "python -m train.figures compare runs/* compare.pdf --metric accuracy",
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", type=Path, help="folders of runs, or of sweeps"
    )
    page.add_file(parser)
    parser.add_argument(
        "--metric",
        choices=("error", "accuracy"),
        default="error",
        help="top-1 error or accuracy in the lower panels (%(default)s)",
    )


def main(flags: argparse.Namespace) -> Path:
    """Draw the figure."""
    page.check_file(flags.file)
    return draw_comparison(flags.runs, flags.file, accuracy=flags.metric == "accuracy")


def draw_comparison(runs: list[Path], file: Path, *, accuracy: bool = False) -> Path:
    """Draw loss and top-1 error of runs by epoch, of training and of held-out images.

    Args:
      runs: their folders, or folders that hold several. Logs beside them, as `runs/A/*` names
        those of a sweep, are passed over.
      file: the image to write.
      accuracy: whether to draw the accuracy in place of the error.

    Returns `file`. Raises BadInput if a folder holds no run, or `file` cannot be written.
    """
    from ..run_dir.groups import group_runs  # imports JAX: not for --help

    lines = [
        (_shown(group.label, len(group.runs)), [_curves(run) for run in group.runs])
        for group in group_runs({run: load_config(run) for run in _find(runs)})
    ]
    figure = page.blank(10, 7)
    panels = figure.subplots(2, 2, sharex=True)
    for row, metric in zip(panels, ("loss", "top1_error"), strict=True):
        for axes, part in zip(row, _PARTS, strict=True):
            for number, (label, members) in enumerate(lines):
                curves = [member[part, metric] for member in members]
                if metric == "top1_error":
                    curves = [_percent(curve, accuracy=accuracy) for curve in curves]
                _draw_line(axes, curves, label, f"C{number}")
    rate = "accuracy" if accuracy else "error"
    for axes, label in zip(
        panels[:, 0], ("cross entropy (nats)", f"top-1 {rate} (%)"), strict=True
    ):
        axes.set_ylabel(label)
    for (above, below), title in zip(panels.T, _PARTS.values(), strict=True):
        above.set_title(title, fontsize=10)
        below.set_xlabel("epoch")
    if panels[0, 0].lines:
        panels[0, 0].legend(fontsize=8)
    return page.write(figure, file)


_PARTS = {
    "train": "training, mean over the epoch, augmented, dropout on",
    "held out": "validation, or test without a validation part",
}
"""Titles of the columns."""


def _find(paths: list[Path]) -> list[Path]:
    from ..run_dir.run_summary import find_runs  # imports JAX: not for --help

    logs = {run.with_name(f"{run.name}.log") for run in paths}
    return [run for path in paths if path not in logs for run in find_runs(path)]


def _shown(label: str, count: int) -> str:
    return page.plain(label, 60) + (f" ({count} seeds)" if count > 1 else "")


def _curves(run: Path) -> dict[tuple[str, str], np.ndarray]:
    """Return epochs and values of the metrics of a run, [2, n], by part and metric."""
    rows = read_metrics(run)
    per_step = next((row["epoch"] / row["step"] for row in rows if row.get("epoch")), 1.0)
    held_out = "val" if any("val_loss" in row for row in rows) else "test"
    curves = {}
    for part, prefix in (("train", "train"), ("held out", held_out)):
        for metric in ("loss", "top1_error"):
            name = f"{prefix}_{metric}"
            points = [(per_step * row["step"], row[name]) for row in rows if name in row]
            curves[part, metric] = np.array(points, float).reshape(-1, 2).T
    return curves


def _percent(curve: np.ndarray, *, accuracy: bool) -> np.ndarray:
    epochs, errors = curve
    return np.stack([epochs, 100 * (1 - errors if accuracy else errors)])


def _draw_line(axes: Any, curves: list[np.ndarray], label: str, color: str) -> None:
    """Draw the mean of curves in a band, as far as all have come that have begun."""
    curves = [curve for curve in curves if curve.shape[1]]
    if not curves:
        return
    length = min(curve.shape[1] for curve in curves)
    epochs, values = curves[0][0, :length], np.stack([curve[1, :length] for curve in curves])
    axes.plot(epochs, values.mean(0), color=color, label=label, linewidth=1.4)
    if len(curves) > 1:
        axes.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.2, linewidth=0)
