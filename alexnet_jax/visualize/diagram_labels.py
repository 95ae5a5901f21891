"""The text around a diagram: in rows beside an upright one, in columns around one that lies down.

Both decide how far apart the drawn blocks are, so that text and blocks stay apart.
"""

import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from alexnet_jax.architecture import LayerInfo, Shape
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    LocallyConnected,
    MaxPool,
    MeanPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Tanh,
)
from alexnet_jax.visualize.canvas import ACCENT, INK, PALE, Box, Canvas, text_width

# Sizes in inches, chosen so that every network's text and blocks stay apart at 144 dpi.
_NAME, _DETAIL, _SHAPE = 3.1, 2.3, 0.2  # from the edge of the columns to the start of the text
_LINE = 0.15


class Rows:
    """Name and detail of a layer left of the towers, its output shape right of them."""

    pitch = 2.55  # from tower to tower
    thickness = 1.0  # of blocks, as a multiple
    start = 0.6

    def __init__(self, canvas: Canvas, edge: float) -> None:
        """Write on a canvas whose towers end at `edge`, from the middle."""
        self.canvas, self.edge = canvas, edge

    def title(self, name: str, towers: int, parameters: int) -> None:
        """Write the name of the network and its size."""
        left = -self.edge - _NAME
        self.canvas.text(left, 0.35, name, size=17, weight="bold")
        self.canvas.text(left, 0.65, size_of(towers, parameters), color=PALE, size=10)
        if towers > 1:
            self.canvas.text(self.edge + _SHAPE, 0.35, "all towers together", color=PALE)

    def images(self, y: float, middle: float, shape: Shape) -> None:
        """Write the shape of the images."""
        self._row(middle, "images", shape=shape)

    def next_block(self, y: float) -> float:
        """Return where a block starts, given where the one before ends."""
        return y + 0.23

    def junction(self, info: LayerInfo, y: float, effective: bool) -> float:
        """Write where towers meet or split; return where the next block starts."""
        height = 0.52 if effective else 0.23
        detail = junction_detail(info) if effective else "changes nothing here"
        self._row(y + height / 2 + 0.02, info.name, detail, color=ACCENT if effective else PALE)
        return y + height

    def layer(self, info: LayerInfo, box: Box, new_block: bool) -> None:
        """Write the name of a layer, its constants, and its shape if a block is drawn for it."""
        shape = info.output_shape if new_block else None
        self._row(box.middle, info.name, detail(info), shape, info.parameters)

    def summed(self, y: float) -> float:
        """Write what the plus sign stands for; return where it is drawn."""
        self._row(y + 0.34, "", "the towers are summed", color=ACCENT)
        return y + 0.34

    def crop(self, y: float) -> Figure:
        """Return the figure, which ends after a block that ends at `y`."""
        return self.canvas.crop(-self.edge - _NAME - 0.25, self.edge + _SHAPE + 1.75, y + 0.25)

    def _row(
        self,
        y: float,
        name: str,
        detail: str = "",
        shape: Shape | None = None,
        parameters: int = 0,
        color: str = INK,
    ) -> None:
        self.canvas.text(-self.edge - _NAME, y, name, color=color, weight="bold")
        pale = PALE if color == INK else color
        self.canvas.text(-self.edge - _DETAIL, y, detail, color=pale)
        right = self.edge + _SHAPE
        if shape:
            self.canvas.text(right, y - 0.07 * (parameters > 0), dimensions(shape))
        if parameters:
            label = f"{parameters:,} parameters"
            self.canvas.text(right, y + 0.07 * bool(shape), label, color=PALE)


class Columns:
    """The names of a block's layers above the towers, its kernels and shape below them."""

    pitch = 1.75
    thickness = 1.0
    start = 0.3

    def __init__(self, canvas: Canvas, edge: float) -> None:
        """Write on a canvas whose towers end at `edge`, from the middle."""
        self.canvas, self.edge = canvas, edge
        self.names = 0  # above the last block
        self.left = self.end = 0.0  # where the text of the last block starts and ends
        self.lines = 0  # the most below any block

    def title(self, name: str, towers: int, parameters: int) -> None:
        """Write the name of the network and its size."""
        self.canvas.text(-self.edge - 1.3, self.start, name, size=17, weight="bold")
        size, right = size_of(towers, parameters), self.start + 0.2 + 2.25 * text_width(name)
        self.canvas.text(-self.edge - 1.3, right, size, color=PALE, size=10)

    def images(self, y: float, middle: float, shape: Shape) -> None:
        """Write the shape of the images."""
        self._column(y, "images", _narrow(shape))

    def next_block(self, y: float) -> float:
        """Return where a block starts, given where the one before ends."""
        return max(y + 0.25, self.end + 0.1)

    def junction(self, info: LayerInfo, y: float, effective: bool) -> float:
        """Write where towers meet or split; return where the next block starts."""
        y = max(y + 0.1, self.end + 0.1)
        self._column(y, info.name, (), color=ACCENT if effective else PALE)
        return max(y + 0.4, self.end + 0.1)

    def layer(self, info: LayerInfo, box: Box, new_block: bool) -> None:
        """Write the name of a layer, and below a new block its kernels and shape."""
        if not new_block:
            self.names += 1
            self._name(info.name, self.names, color=PALE)
            return
        lines = [*window(info)]
        if info.parameters:
            lines += [f"{info.parameters:,}", "parameters"]
        self._column(box.top, info.name, _narrow(info.output_shape), lines)

    def summed(self, y: float) -> float:
        """Write what the plus sign stands for; return where it is drawn."""
        half = text_width("summed") / 2
        y = max(y + 0.34, self.end + 0.1 + half)
        self.left = y - half
        self._name("summed", 0, color=ACCENT, weight="bold")
        return y

    def crop(self, y: float) -> Figure:
        """Return the figure, which ends after a block that ends at `y`."""
        bottom = self.edge + 0.3 + _LINE * self.lines
        return self.canvas.crop(-self.edge - 1.6, bottom, max(y, self.end) + 0.3)

    def _column(
        self, y: float, name: str, shape: Sequence[str], lines: Sequence[str] = (), color: str = INK
    ) -> None:
        self.names, self.left, self.end = 0, y, y
        self.lines = max(self.lines, len(shape) + len(lines))
        self._name(name, 0, color=color, weight="bold")
        for i, line in enumerate([*shape, *lines]):
            pale = PALE if i >= len(shape) else INK
            self.canvas.text(self.edge + 0.25 + _LINE * i, y, line, color=pale)
            self.end = max(self.end, y + text_width(line))

    def _name(self, name: str, number: int, **style: str) -> None:
        self.canvas.text(-self.edge - 0.8 + _LINE * number, self.left, name, **style)
        self.end = max(self.end, self.left + 1.1 * text_width(name))  # bold is wider


def size_of(towers: int, parameters: int) -> str:
    """Describe a network in a few words."""
    return f"{towers} tower{'s' * (towers > 1)}, {parameters:,} parameters"


def dimensions(shape: Shape) -> str:
    """Write a shape."""
    return " × ".join(map(str, shape))


def _narrow(shape: Shape) -> list[str]:
    """Write a shape in two lines, pixels and maps."""
    return [dimensions(shape)] if len(shape) == 1 else [dimensions(shape[:2]), f"× {shape[2]}"]


def junction_detail(info: LayerInfo) -> str:
    """Say what happens at a `Gather` or `Split`."""
    return "the towers meet" if isinstance(info.spec, Gather) else "the towers split"


def window(info: LayerInfo) -> list[str]:
    """Return the size of a kernel or pool, and its stride unless it is 1, each in a line."""
    match info.spec:
        case Conv(kernel=size, stride=stride) if info.weight_shape:
            shape = info.weight_shape[:3]
        case LocallyConnected(kernel=size, stride=stride):
            shape = (size, size)
        case MaxPool(size, stride) | MeanPool(size, stride):
            shape = (size, size)
        case _:
            return []
    return [dimensions(shape), f"stride {stride}"][: 1 + (stride > 1)]


def detail(info: LayerInfo) -> str:
    """Describe a layer, beside its name and shapes."""
    match info.spec:
        case Conv(maps=maps, kernel=size, stride=stride, padding=padding):
            maps_in = info.weight_shape[2] if info.weight_shape else 0
            kernels = f"{maps} kernels of {size} × {size} × {maps_in}"
            return f"{kernels}\nstride {stride}{_padding(padding)}"
        case Dense() | Output() if info.weight_shape:
            return f"weights {info.weight_shape[0]} × {info.weight_shape[1]}"
        case LocallyConnected(kernel=size, stride=stride, padding=padding):
            return f"{size} × {size}, others at each pixel\nstride {stride}{_padding(padding)}"
        case MaxPool(size, stride, padding) | MeanPool(size, stride, padding):
            return f"{size} × {size}, stride {stride}{_padding(padding)}"
        case ResponseNorm(n, k, alpha, beta, by_n):
            return f"n = {n}, k = {k:g}, α = {alpha:g}{' / n' * by_n}, β = {beta:g}"
        case SpatialNorm(size, k, alpha, beta):
            return f"{size} × {size}, k = {k:g}, α = {alpha:g}, β = {beta:g}"
        case Dropout(inverted):
            return "drops half, inverted" if inverted else "drops half"
        case Relu() | Tanh() | Flatten():
            return ""
        case other:  # BatchNorm: "batch norm"
            return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(other).__name__).lower()


def _padding(padding: tuple[int, int]) -> str:
    before, after = padding
    if before == after:
        return f", padding {before}" * (before > 0)
    return f", padding {before} before, {after} after"
