"""Learning curves of a run, loss and error by step: `python -m train.figures curves RUN [FILE]`."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..config.errors import BadInput
from ..run_dir.metrics import read_metrics
from . import page

_HELD_OUT: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("val", "validation", {"marker": "o", "markersize": 3, "color": "C1"}),
    ("test", "test", {"marker": "D", "markersize": 4, "color": "C2"}),
)
"""Parts of the data as metrics name them, their labels, and how they are drawn."""

EXAMPLES = (
    "python -m train.figures curves runs/NAME",
    "python -m train.figures curves runs/NAME curves.pdf",
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of the run")
    parser.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="the image; by default RUN/curves.png"
    )


def main(flags: argparse.Namespace) -> Path:
    """Draw the curves of a run."""
    if flags.file is not None:
        page.check_file(flags.file)
    return draw_curves(flags.run, flags.file)


def draw_curves(run_dir: Path, file: Path | None = None) -> Path:
    """Draw loss and error against steps into a file, by default RUN/curves.png. Returns its path.

    Raises BadInput if the run has no metrics, or the file cannot be written.
    """
    rows = read_metrics(run_dir)
    if not run_dir.exists():
        raise BadInput(f"{run_dir} does not exist")
    if not rows:
        raise BadInput(f"{run_dir} holds no metrics to draw (no metrics.jsonl)")
    figure = page.blank(10, 4)
    left, right = figure.subplots(1, 2)
    for axes, name, factor in ((left, "loss", 1), (right, "top1_error", 100)):
        train = _points(rows, name, factor)
        if len(train):
            axes.plot(*train.T, color="0.8", linewidth=0.8)
            axes.plot(train[:, 0], _smooth(train[:, 1]), color="C0", label="training (dropout on)")
        for part, label, style in _HELD_OUT:
            points = _points(rows, f"{part}_{name}", factor)
            if len(points):
                axes.plot(*points.T, label=label, **style)
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
        if axes.lines:
            axes.legend()
    left.set_ylabel("cross entropy (nats)")
    right.set_ylabel("top-1 error (%)")
    return page.write(figure, file or run_dir / "curves.png")


def _points(rows: list[dict[str, Any]], name: str, factor: float) -> np.ndarray:
    """Return the steps and the values of a metric, [n, 2]."""
    return np.array([(row["step"], factor * row[name]) for row in rows if name in row])


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return the running mean over a fiftieth of the run: smooth, and no step is blurred away."""
    width = max(1, len(values) // 50)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return (sums[ends] - sums[starts]) / (ends - starts)
