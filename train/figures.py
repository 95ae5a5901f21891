"""Learning curves of a run as a picture: `python -m train.figures RUN`."""

from pathlib import Path

import numpy as np

from train.command import command, parser
from train.config import BadInput
from train.metrics import read_metrics


def draw_curves(run_dir: Path) -> Path:
    """Draw loss and error against steps into RUN/curves.png. Returns its path.

    Raises BadInput if the run has written no metrics.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = read_metrics(run_dir)
    if not rows:
        raise BadInput(f"{run_dir} holds no metrics to draw (no metrics.jsonl)")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, name, factor in ((left, "loss", 1), (right, "top1_error", 100)):
        train = np.array([(row["step"], factor * row[name]) for row in rows if name in row])
        test = np.array(
            [(row["step"], factor * row["test_" + name]) for row in rows if "test_" + name in row]
        )
        if len(train):
            axes.plot(*train.T, color="0.8", linewidth=0.8)
            axes.plot(train[:, 0], _smooth(train[:, 1]), color="C0", label="training (dropout on)")
        if len(test):
            axes.plot(*test.T, "o-", color="C1", markersize=3, label="test")
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
        if len(train) or len(test):
            axes.legend()
    left.set_ylabel("cross entropy (nats)")
    right.set_ylabel("top-1 error (%)")
    path = run_dir / "curves.png"
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error}") from None
    pyplot.close(figure)
    return path


def _smooth(values: np.ndarray) -> np.ndarray:
    """The running mean over a fiftieth of the run."""
    width = max(1, len(values) // 50)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return (sums[ends] - sums[starts]) / (ends - starts)


def main(argv: list[str] | None = None) -> None:
    """Draw the curves of the run on the command line."""
    flags = parser("train.figures", __doc__)
    flags.add_argument("run", type=Path, help="the folder of the run")
    print(draw_curves(flags.parse_args(argv).run))


if __name__ == "__main__":
    command(main)
