"""A network drawn as in Figure 2 of the paper: the layers of each tower, and where towers meet.

Each tower is a column of blocks. The width of a block shows the pixels of its maps, the height
their number; features make a bar. A layer that keeps the shape is a stratum of the block above it.
The number on a block counts the maps or features of one tower. Needs Matplotlib.
"""

import math
import re

from matplotlib.figure import Figure

from alexnet_jax.architecture import Architecture, LayerInfo, Shape
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
    Split,
    Tanh,
)
from alexnet_jax.visualize.canvas import ACCENT, INK, PALE, Box, Canvas

# Sizes in inches, chosen so that every network's text and blocks stay apart at 144 dpi.
_PITCH = 2.55  # from tower to tower
_NAME, _DETAIL, _SHAPE = 3.1, 2.3, 0.2  # from the edge of the columns to the start of the text
_GAP, _MEETING = 0.23, 0.52  # between blocks, and where towers meet
_COLORS = {
    Conv: "#3f74a6",
    LocallyConnected: "#2f5f8c",
    Dense: "#3b8a7f",
    Output: INK,
    Relu: "#e8974e",
    Tanh: "#e8974e",
    MaxPool: "#8d7bb5",
    MeanPool: "#8d7bb5",
    Dropout: "#b4bcc4",
}
_RGB = ("#c9564f", "#5d9e62", "#4a74b8")
_NORM, _OTHER, _BAND = "#d9bf4f", "#9aa9b7", "#8fa1b3"


def figure(architecture: Architecture, image_size: int | None = None) -> Figure:
    """Return the diagram of a network.

    Args:
      architecture: the network.
      image_size: in pixels; the first of the architecture's sizes if None.

    Raises:
      ValueError: an image size that the network does not take.
    """
    infos = architecture.layer_info(image_size)
    diagram = _Diagram(architecture, infos)
    for info in infos:
        match info.spec:
            case Gather() | Split():
                diagram.junction(info)
            case Output():
                diagram.output(info)
            case _:
                diagram.layer(info)
    left, right = -diagram.edge - _NAME - 0.25, diagram.edge + _SHAPE + 1.75
    return diagram.canvas.crop(left, right, diagram.y + 0.25)


class _Diagram:
    """Draws from top to bottom: `y` is the top of the next layer, `above` the blocks over it."""

    def __init__(self, architecture: Architecture, infos: tuple[LayerInfo, ...]) -> None:
        self.canvas, self.towers, self.y = Canvas(), architecture.towers, 0.6
        pixels = [info.output_shape[0] for info in infos if len(info.output_shape) == 3]
        # Inches per root of pixels, so that the widest block leaves room within its column.
        self.scale = min(0.23, (_PITCH - 0.75) / max([1, *pixels]) ** 0.5)
        image = self.scale * infos[0].input_shape[0] ** 0.5
        self.edge = max(_PITCH * self.towers / 2, 0.7 * image + 0.1)
        self.columns = [_PITCH * (i - (self.towers - 1) / 2) for i in range(self.towers)]
        # A Gather or Split between `above` and the next layer.
        self.pending: LayerInfo | None = None
        self._title(architecture.name, sum(info.parameters for info in infos))
        self._images(infos[0].input_shape, image)

    def _title(self, name: str, parameters: int) -> None:
        left, towers = -self.edge - _NAME, f"{self.towers} tower{'s' * (self.towers > 1)}"
        self.canvas.text(left, 0.35, name, size=17, weight="bold")
        self.canvas.text(left, 0.65, f"{towers}, {parameters:,} parameters", color=PALE, size=10)
        if self.towers > 1:
            self.canvas.text(self.edge + _SHAPE, 0.35, "all towers together", color=PALE)

    def _images(self, shape: Shape, width: float) -> None:
        red = box = self.canvas.block(0, self.y, width, 0.09, _RGB[0], lid=True, flat=False)
        for color in _RGB[1:]:
            box = self.canvas.block(0, box.bottom, width, 0.09, color, lid=False, flat=False)
        self.above, self.y = [box] * self.towers, box.bottom
        self._row((red.top + box.bottom) / 2, "images", shape=shape)

    def junction(self, info: LayerInfo) -> None:
        """Leave room for a `Gather` or `Split`, which the next layer draws."""
        self.pending = info
        effective = self._is_effective(info)
        details = {Gather: "the towers meet", Split: "the towers split"}
        detail = details[type(info.spec)] if effective else "changes nothing here"
        height = _MEETING if effective else _GAP
        color = ACCENT if effective else PALE
        self._row(self.y + height / 2 + 0.02, info.name, detail, color=color)
        self.y += height

    def layer(self, info: LayerInfo) -> None:
        """Draw a layer in each tower: a stratum of the blocks above, or new blocks below them."""
        count = info.output_shape[-1] // (1 if info.replicated_out else self.towers)
        learned = info.spec.has_params and not info.spec.per_map
        maps = len(info.output_shape) == 3
        below = learned or self.pending is not None or info.output_shape != info.input_shape
        height = (
            _height(count) if learned and maps else 0.34 if learned else 0.22 if below else 0.18
        )
        width = max(0.45, self.scale * info.output_shape[0] ** 0.5) if maps else _width(count)
        if below and not self.pending:
            self.y += _GAP
        draw = self.canvas.block
        boxes = [
            draw(x, self.y, width, height, _color(info), lid=below, flat=not maps)
            for x in self.columns
        ]
        if below:
            self._connect(boxes)
            for box in boxes:
                self._label(box, count)
        self.above, self.pending, self.y = boxes, None, boxes[0].bottom
        shape = info.output_shape if below else None
        self._row(boxes[0].middle, info.name, _detail(info), shape, info.parameters)

    def output(self, info: LayerInfo) -> None:
        """Draw the output layer: one bar below the sum over the towers."""
        if self.towers > 1:
            self.y += 0.34
            self.above = [self.canvas.plus(self.y, self.above)]
            self._row(self.y, "", "the towers are summed", color=ACCENT)
        (classes,) = info.output_shape
        y, width = self.y + _GAP, _width(classes)
        box = self.canvas.block(0, y, width, 0.34, _color(info), lid=True, flat=True)
        self.canvas.band(self.above[0], box, _BAND)
        self._label(box, classes)
        self._row(box.middle, info.name, _detail(info), info.output_shape, info.parameters)
        self.y = box.bottom

    def _connect(self, boxes: list[Box]) -> None:
        """Connect each block with its inputs: those of its tower, or of all after a Gather."""
        pending = self.pending
        junction = pending.spec if pending and self._is_effective(pending) else None
        for i, under in enumerate(boxes):
            for j, over in enumerate(self.above):
                if i == j:
                    source = over.part(i, self.towers) if isinstance(junction, Split) else over
                    self.canvas.band(source, under, _BAND)
                elif isinstance(junction, Gather):
                    self.canvas.band(over, under, ACCENT)

    def _is_effective(self, info: LayerInfo) -> bool:
        """Whether a Gather or Split changes what a tower holds."""
        return self.towers > 1 and info.replicated_in != info.replicated_out

    def _label(self, box: Box, count: int) -> None:
        self.canvas.text(box.x, box.middle, str(count), color="w", weight="bold", ha="center")

    def _row(
        self,
        y: float,
        name: str,
        detail: str = "",
        shape: Shape | None = None,
        parameters: int = 0,
        color: str = INK,
    ) -> None:
        """Write name and detail of a layer left of the columns, its output shape right of them."""
        self.canvas.text(-self.edge - _NAME, y, name, color=color, weight="bold")
        pale = PALE if color == INK else color
        self.canvas.text(-self.edge - _DETAIL, y, detail, color=pale)
        right = self.edge + _SHAPE
        if shape:
            self.canvas.text(right, y - 0.07 * (parameters > 0), " × ".join(map(str, shape)))
        if parameters:
            label = f"{parameters:,} parameters"
            self.canvas.text(right, y + 0.07 * bool(shape), label, color=PALE)


def _height(maps: int) -> float:
    return 0.2 + 0.0175 * maps**0.5


def _width(features: int) -> float:
    return min(max(0.45, 0.16 * math.log2(features)), _PITCH - 0.35)


def _detail(info: LayerInfo) -> str:
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


def _color(info: LayerInfo) -> str:
    other = _NORM if "Norm" in type(info.spec).__name__ else _OTHER
    return _COLORS.get(type(info.spec), other)
