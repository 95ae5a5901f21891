"""Pictures with the likeliest classes as bars beside them (Figure 4, left), for `train.predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 2


class Prediction(NamedTuple):
    """What a net sees in a picture."""

    path: Path
    image: np.ndarray  # uint8 [size, size, 3], as the net's patch is cut from
    classes: Sequence[str]  # the likeliest first
    probabilities: Sequence[float]
    truth: str | None  # what it shows, where that is known
    right: int | None  # its place among the classes: two synsets may be called by one word


def draw_predictions(predictions: Sequence[Prediction], title: str, path: Path) -> Path:
    """Draw each picture and its bars; that of the truth has another color. Returns `path`."""
    rows = -(-len(predictions) // _COLUMNS)
    columns = min(_COLUMNS, len(predictions))
    figure = page.blank(5.5 * columns, 1.9 * rows + 0.4)
    figure.suptitle(title)
    widths = [1, 1.6] * columns
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=widths)
    for axes in grid.ravel():
        axes.set_axis_off()
    for number, prediction in enumerate(predictions):
        row, column = divmod(number, columns)
        picture, bars = grid[row, 2 * column], grid[row, 2 * column + 1]
        picture.imshow(prediction.image)
        truth, name = prediction.truth, prediction.path.name
        picture.set_title(page.short(truth) if truth else page.plain(name), fontsize="small")
        draw_bars(bars, prediction)
    return page.write(figure, path)


def draw_bars(axes: "Axes", prediction: Prediction) -> None:
    """Draw the probabilities of one picture's classes; that of the right one has another color."""
    axes.set_axis_on()
    places = range(len(prediction.classes))
    colors = ["#f08080" if place == prediction.right else "0.8" for place in places]
    axes.barh(places, prediction.probabilities, color=colors, height=0.8)
    for place, name in zip(places, prediction.classes, strict=True):
        axes.text(0.02, place, page.short(name), va="center", fontsize="small")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(prediction.classes) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
