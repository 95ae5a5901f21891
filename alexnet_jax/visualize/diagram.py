"""A picture of a net as Figure 2 of the paper has it: what each tower holds, and where they meet.

    alexnet_jax.visualize.diagram.draw(alexnet_jax.architectures.PAPER, "paper.png")

Each tower is a column of blocks. Maps of more pixels make a wider block, more maps a higher one;
features make a bar. Layers that keep a block's shape are strata of it. The number on a block is
what one tower holds. Import this module by its name: it alone needs matplotlib.
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
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Split,
)
from alexnet_jax.visualize.canvas import ACCENT, INK, PALE, Box, Canvas

_PITCH = 2.55  # inches from tower to tower
_NAME, _DETAIL, _SHAPE = 3.1, 2.3, 0.2  # where text begins, from the columns' edge
_GAP, _MEETING = 0.23, 0.52
_COLORS = {
    Conv: "#3f74a6",
    Dense: "#3b8a7f",
    Output: INK,
    Relu: "#e8974e",
    MaxPool: "#8d7bb5",
    Dropout: "#b4bcc4",
}
_RGB = ("#c9564f", "#5d9e62", "#4a74b8")
_NORM, _OTHER, _BAND = "#d9bf4f", "#9aa9b7", "#8fa1b3"


def figure(architecture: Architecture, image_size: int | None = None) -> Figure:
    """Return the picture of a net, for images of `image_size` pixels, the net's first if None.

    Raises ValueError for an image size that the net does not take.
    """
    infos = architecture.layer_info(image_size)
    diagram = _Diagram(architecture, infos)
    for info in infos:
        match info.spec:
            case Gather() | Split():
                diagram.turn(info)
            case Output():
                diagram.scores(info)
            case _:
                diagram.layer(info)
    left, right = -diagram.edge - _NAME - 0.25, diagram.edge + _SHAPE + 1.75
    return diagram.canvas.cut(left, right, diagram.y + 0.25)


class _Diagram:
    """A diagram under way: `y` is where the next layer begins, `above` what it stands below."""

    def __init__(self, architecture: Architecture, infos: tuple[LayerInfo, ...]) -> None:
        self.canvas, self.towers, self.y = Canvas(), architecture.towers, 0.6
        pixels = [info.output_shape[0] for info in infos if len(info.output_shape) == 3]
        self.scale = min(0.23, (_PITCH - 0.75) / max([1, *pixels]) ** 0.5)  # inches for a root
        image = self.scale * infos[0].input_shape[0] ** 0.5
        self.edge = max(_PITCH * self.towers / 2, 0.7 * image + 0.1)
        self.columns = [_PITCH * (i - (self.towers - 1) / 2) for i in range(self.towers)]
        self.turned: LayerInfo | None = None  # a Gather or Split between `above` and the next layer
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

    def turn(self, info: LayerInfo) -> None:
        """Leave room for a place where the towers meet or part."""
        self.turned = info
        acts = self._acts(info)
        words = {Gather: "the towers meet", Split: "the towers split"}
        said = words[type(info.spec)] if acts else "changes nothing here"
        room = _MEETING if acts else _GAP
        self._row(self.y + room / 2 + 0.02, info.name, said, color=ACCENT if acts else PALE)
        self.y += room

    def layer(self, info: LayerInfo) -> None:
        """Draw a layer in each tower: the next stratum of the blocks above, or blocks below."""
        held = (
            info.output_shape[-1] if info.replicated_out else info.output_shape[-1] // self.towers
        )
        learns, maps = isinstance(info.spec, Conv | Dense), len(info.output_shape) == 3
        below = learns or self.turned is not None or info.output_shape != info.input_shape
        height = _height(held) if learns and maps else 0.34 if learns else 0.22 if below else 0.18
        width = max(0.45, self.scale * info.output_shape[0] ** 0.5) if maps else _width(held)
        if below and not self.turned:
            self.y += _GAP
        draw = self.canvas.block
        boxes = [
            draw(x, self.y, width, height, _color(info), lid=below, flat=not maps)
            for x in self.columns
        ]
        if below:
            self._connect(boxes)
            for box in boxes:
                self._label(box, held)
        self.above, self.turned, self.y = boxes, None, boxes[0].bottom
        shape = info.output_shape if below else None
        self._row(boxes[0].middle, info.name, _detail(info), shape, info.parameters)

    def scores(self, info: LayerInfo) -> None:
        """Draw the output layer: one bar, the sum of what each tower makes of its own features."""
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
        """Join each tower with what it sees above: its own, or that of all where they meet."""
        turned = self.turned.spec if self.turned and self._acts(self.turned) else None
        for i, under in enumerate(boxes):
            for j, over in enumerate(self.above):
                if i == j:
                    own = over.part(i, self.towers) if isinstance(turned, Split) else over
                    self.canvas.band(own, under, _BAND)
                elif isinstance(turned, Gather):
                    self.canvas.band(over, under, ACCENT)

    def _acts(self, info: LayerInfo) -> bool:
        """Whether a Gather or Split changes what the towers have."""
        return self.towers > 1 and info.replicated_in != info.replicated_out

    def _label(self, box: Box, held: int) -> None:
        self.canvas.text(box.x, box.middle, str(held), color="w", weight="bold", ha="center")

    def _row(
        self,
        y: float,
        name: str,
        detail: str = "",
        shape: Shape | None = None,
        parameters: int = 0,
        color: str = INK,
    ) -> None:
        """Write what a layer is to the left of the columns, and what comes out to the right."""
        self.canvas.text(-self.edge - _NAME, y, name, color=color, weight="bold")
        pale = PALE if color == INK else color
        self.canvas.text(-self.edge - _DETAIL, y, detail, color=pale)
        right = self.edge + _SHAPE
        if shape:
            self.canvas.text(right, y - 0.07 * (parameters > 0), " × ".join(map(str, shape)))
        if parameters:
            learned = f"{parameters:,} parameters"
            self.canvas.text(right, y + 0.07 * bool(shape), learned, color=PALE)


def _height(maps: int) -> float:
    return 0.2 + 0.0175 * maps**0.5


def _width(features: int) -> float:
    return min(max(0.45, 0.16 * math.log2(features)), _PITCH - 0.35)


def _detail(info: LayerInfo) -> str:
    """What there is to say of a layer beside its name and shapes."""
    match info.spec:
        case Conv(maps=maps, kernel=size, stride=stride, padding=padding):
            seen = info.weight_shape[2] if info.weight_shape else 0
            kernels = f"{maps} kernels of {size} × {size} × {seen}"
            return f"{kernels}\nstride {stride}{_padding(padding)}"
        case Dense() | Output() if info.weight_shape:
            return f"weights {info.weight_shape[0]} × {info.weight_shape[1]}"
        case MaxPool(size, stride, padding):
            return f"{size} × {size}, stride {stride}{_padding(padding)}"
        case ResponseNorm(n, k, alpha, beta, by_n):
            return f"n = {n}, k = {k:g}, α = {alpha:g}{' / n' * by_n}, β = {beta:g}"
        case SpatialNorm(size, k, alpha, beta):
            return f"{size} × {size}, k = {k:g}, α = {alpha:g}, β = {beta:g}"
        case Dropout(inverted):
            return "drops half, inverted" if inverted else "drops half"
        case Relu() | Flatten():
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
