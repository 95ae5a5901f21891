"""Which classes are taken for which: `python -m train.figures confusion WEIGHTS FILE`.

Each row has the test images of one class, each column those taken for one class, from the center
crop. Colors are fractions of a row; numbers are images.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.cli import positive
from . import page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inference.predictor import Predictor

_MAX_NUMBERS = 20  # classes: more numbers would be too small to read
_MAX_NAMES = 100  # likewise for names

EXAMPLES = (
    "python -m train.figures confusion runs/NAME confusion.png",
    "python -m train.figures confusion torchvision confusion.png --data DIR",
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    page.add_weights(parser)
    page.add_file(parser)
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="as for train.evaluate: other data than the run's; a file of weights needs it",
    )
    parser.add_argument(
        "--batch-size", metavar="N", type=positive, default=128, help="images at once (%(default)s)"
    )


def main(flags: argparse.Namespace) -> Path:
    """Evaluate a network and draw its confusion matrix."""
    predictor = page.open_weights(flags)
    from ..inference.ensemble import evaluate_together, open_test_images

    sources = open_test_images([predictor], flags.data)
    [[results]] = evaluate_together([predictor], sources, crops=1, batch_size=flags.batch_size)
    page.check_numbers(results.losses, predictor)
    counts = count_pairs(
        np.asarray(results.labels), np.asarray(results.predictions), len(predictor.class_names)
    )
    return draw_confusion(predictor, counts, flags.file)


def count_pairs(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Return how often each class (row) was taken for each (column): int [classes, classes]."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def draw_confusion(predictor: "Predictor", counts: np.ndarray, path: Path) -> Path:
    """Draw a confusion matrix of `count_pairs`. Returns `path`."""
    classes, images = len(counts), int(counts.sum())
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    inches = min(12.0, 1.5 + max(2.5, 0.45 * classes))
    figure = page.blank(inches + 1.6, inches + 0.6)
    from matplotlib.colors import PowerNorm

    axes = figure.subplots()
    error = 100 * (1 - counts.trace() / images)
    name = page.plain(predictor.title, 80)
    title = f"{name}\ntop-1 error {error:.2f} % on {images:,} test images"
    figure.suptitle(title, fontsize="medium")
    # By the square root, so that confusions of a few per cent are seen beside the diagonal.
    scale = PowerNorm(0.5, vmin=0, vmax=1)
    image = axes.imshow(fractions, cmap="Blues", norm=scale, interpolation="nearest")
    figure.colorbar(image, ax=axes, shrink=0.8, label="fraction of the class")
    axes.set(xlabel="taken for", ylabel="class")
    _name_classes(axes, predictor)
    if classes <= _MAX_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if fractions[row, column] > 0.3 else "black"
            text = f"{count:,}" if count else ""
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize="small")
    return page.write(figure, path)


def _name_classes(axes: "Axes", predictor: "Predictor") -> None:
    classes = len(predictor.class_names)
    if classes > _MAX_NAMES:  # then ticks are indices
        return
    names = [page.short(predictor.class_label(index), 20) for index in range(classes)]
    size = "medium" if classes <= _MAX_NUMBERS else "xx-small"
    axes.set_xticks(range(classes), names, rotation=90 if classes > 6 else 30, fontsize=size)
    axes.set_yticks(range(classes), names, fontsize=size)
