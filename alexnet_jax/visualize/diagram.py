"""A network drawn as in Figure 2 of the paper: the layers of each tower, and where towers meet.

Each tower is a column of blocks, or a row in a diagram that lies down. The width of a block, across
the tower, shows the pixels of its maps, the height along it their number; features make a bar. A
layer that keeps the shape is a stratum of the block before it. The number on a block counts the
maps or features of one tower. Needs Matplotlib.
"""

import math

from matplotlib.figure import Figure

from alexnet_jax.architecture import Architecture, LayerInfo, Shape
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    Gather,
    LocallyConnected,
    MaxPool,
    MeanPool,
    Output,
    Relu,
    Split,
    Tanh,
)
from alexnet_jax.visualize.canvas import ACCENT, INK, Box, Canvas, text_width
from alexnet_jax.visualize.diagram_labels import Columns, Rows

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


def figure(
    architecture: Architecture, image_size: int | None = None, *, horizontal: bool = False
) -> Figure:
    """Return the diagram of a network.

    Args:
      architecture: the network.
      image_size: in pixels; the first of the architecture's sizes if None.
      horizontal: whether the towers lie down, as in Figure 2, with fewer words.

    Raises:
      ValueError: an image size that the network does not take.
    """
    infos = architecture.layer_info(image_size)
    diagram = _Diagram(architecture, infos, horizontal)
    for info in infos:
        match info.spec:
            case Gather() | Split():
                diagram.junction(info)
            case Output():
                diagram.output(info)
            case _:
                diagram.layer(info)
    return diagram.labels.crop(diagram.y)


class _Diagram:
    """Draws layer after layer: `y` is where the next one starts, `above` the blocks before it."""

    def __init__(
        self, architecture: Architecture, infos: tuple[LayerInfo, ...], horizontal: bool
    ) -> None:
        labels = Columns if horizontal else Rows
        self.canvas, self.towers, self.pitch = Canvas(horizontal), architecture.towers, labels.pitch
        pixels = [info.output_shape[0] for info in infos if len(info.output_shape) == 3]
        # Inches per root of pixels, so that the widest block leaves room within its column.
        self.scale = min(0.23, (self.pitch - 0.75) / max([1, *pixels]) ** 0.5)
        image = self.scale * infos[0].input_shape[0] ** 0.5
        edge = max(self.pitch * self.towers / 2, 0.7 * image + 0.1)
        self.columns = [self.pitch * (i - (self.towers - 1) / 2) for i in range(self.towers)]
        # A Gather or Split between `above` and the next layer.
        self.pending: LayerInfo | None = None
        self.labels = labels(self.canvas, edge)
        self.labels.title(architecture.name, self.towers, architecture.parameters)
        self._images(infos[0].input_shape, image)

    def _images(self, shape: Shape, width: float) -> None:
        y, height = self.labels.start, 0.09 * self.labels.thickness
        red = box = self.canvas.block(0, y, width, height, _RGB[0], lid=True, flat=False)
        for color in _RGB[1:]:
            box = self.canvas.block(0, box.bottom, width, height, color, lid=False, flat=False)
        self.above, self.y = [box] * self.towers, box.bottom
        self.labels.images(red.top, (red.top + box.bottom) / 2, shape)

    def junction(self, info: LayerInfo) -> None:
        """Leave room for a `Gather` or `Split`, which the next layer draws."""
        self.pending = info
        self.y = self.labels.junction(info, self.y, self._is_effective(info))

    def layer(self, info: LayerInfo) -> None:
        """Draw a layer in each tower: a stratum of the blocks before, or new blocks after them."""
        count = info.output_shape[-1] // (1 if info.replicated_out else self.towers)
        learned = info.spec.has_params and not info.spec.per_map
        maps = len(info.output_shape) == 3
        below = learned or self.pending is not None or info.output_shape != info.input_shape
        height = (
            _height(count) if learned and maps else 0.34 if learned else 0.22 if below else 0.18
        )
        width = self._map_width(info) if maps else self._width(count)
        if below and not self.pending:
            self.y = self.labels.next_block(self.y)
        boxes = [
            self._block(info, x, width, height, lid=below, flat=not maps) for x in self.columns
        ]
        if below:
            self._connect(boxes)
            for box in boxes:
                self._label(box, count)
        self.above, self.pending, self.y = boxes, None, boxes[0].bottom
        self.labels.layer(info, boxes[0], below)

    def output(self, info: LayerInfo) -> None:
        """Draw the output layer: one bar after the sum over the towers."""
        if self.towers > 1:
            self.y = self.labels.summed(self.y)
            self.above = [self.canvas.plus(self.y, self.above)]
        (classes,) = info.output_shape
        self.y = self.labels.next_block(self.y)
        box = self._block(info, 0, self._width(classes), 0.34, lid=True, flat=True)
        self.canvas.band(self.above[0], box, _BAND)
        self._label(box, classes)
        self.labels.layer(info, box, True)
        self.y = box.bottom

    def _block(
        self, info: LayerInfo, x: float, width: float, height: float, *, lid: bool, flat: bool
    ) -> Box:
        height *= self.labels.thickness
        return self.canvas.block(x, self.y, width, height, _color(info), lid=lid, flat=flat)

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
        narrow = self.canvas.horizontal and text_width(f"{count}0") > box.bottom - box.top
        style = {"color": "w", "weight": "bold", "ha": "center"}
        if narrow:
            style |= {"rotation": 90, "va": "center"}
        self.canvas.text(box.x, box.middle, str(count), **style)

    def _map_width(self, info: LayerInfo) -> float:
        return max(0.45, self.scale * info.output_shape[0] ** 0.5)

    def _width(self, features: int) -> float:
        return min(max(0.45, 0.16 * math.log2(features)), self.pitch - 0.35)


def _height(maps: int) -> float:
    return 0.2 + 0.0175 * maps**0.5


def _color(info: LayerInfo) -> str:
    other = _NORM if "Norm" in type(info.spec).__name__ else _OTHER
    return _COLORS.get(type(info.spec), other)
