"""Pictures with the most probable classes as bars beside them (Figure 4, left)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import page
from .photograph import draw_photograph, read_photograph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inference.predictor import Predictor

_COLUMNS = 2  # a picture with its bars is half as wide as a page, as in Figure 4


class Prediction(NamedTuple):
    """The most probable classes of a picture."""

    path: Path
    classes: Sequence[str]  # labels, the most probable first
    probabilities: Sequence[float]
    truth: str | None  # the label of the true class, if it is known
    true_index: int | None  # of the true class in `classes`: two synsets may share a label
    names: Sequence[str] = ()  # of the classes, such as synsets, which no two share


def draw_predictions(predictions: Sequence[Prediction], predictor: "Predictor", path: Path) -> Path:
    """Draw each picture, its crop framed, and its bars, the true class's in red. Returns `path`."""
    rows = -(-len(predictions) // _COLUMNS)
    columns = min(_COLUMNS, len(predictions))
    figure = page.blank(5.5 * columns, 1.9 * rows + 0.4)
    figure.suptitle(page.plain(predictor.title, 80))
    widths = [1, 1.6] * columns
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=widths)
    for axes in grid.ravel():
        axes.set_axis_off()
    for number, prediction in enumerate(predictions):
        row, column = divmod(number, columns)
        picture, bars = grid[row, 2 * column], grid[row, 2 * column + 1]
        draw_photograph(picture, read_photograph(prediction.path, predictor.preprocessing))
        truth, name = prediction.truth, prediction.path.name
        title = f"true class: {page.short(truth)}" if truth else page.plain(name)
        picture.set_title(title, fontsize="small")
        draw_bars(bars, prediction)
    return page.write(figure, path)


def draw_bars(axes: "Axes", prediction: Prediction) -> None:
    """Draw the probabilities of one picture's classes, the true class's in red."""
    axes.set_axis_on()
    positions = range(len(prediction.classes))
    colors = ["#f08080" if i == prediction.true_index else "0.8" for i in positions]
    axes.barh(positions, prediction.probabilities, color=colors, height=0.8)
    for y, label, probability in zip(
        positions, prediction.classes, prediction.probabilities, strict=True
    ):
        axes.text(0.02, y, page.short(label), va="center", fontsize="small")
        percent = f"{100 * probability:.1f} %"
        axes.text(0.98, y, percent, va="center", ha="right", fontsize="small")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(prediction.classes) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
