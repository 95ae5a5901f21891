"""The shapes of a diagram: blocks, bands and text on a Matplotlib figure. Used by `diagram` alone.

A network flows along y, and x goes across it from the middle of the towers; lengths are in inches.
Upright, y is down and x to the right; lying down, y is to the right and x down.
"""

from typing import Any, NamedTuple

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from matplotlib.textpath import TextPath

INK, PALE, ACCENT = "#22303c", "#6b7885", "#c8443c"
SIZE = 8.5  # of text, in points

Color = str | tuple[float, ...]


class Box(NamedTuple):
    """The front of a drawn block: x of its middle, y where it starts and ends, its width."""

    x: float
    top: float
    bottom: float
    width: float

    @property
    def middle(self) -> float:
        """The y coordinate of its middle."""
        return (self.top + self.bottom) / 2

    def part(self, number: int, parts: int) -> "Box":
        """Return one of `parts` equal parts, counted across the flow."""
        width = self.width / parts
        return self._replace(x=self.x + (number - (parts - 1) / 2) * width, width=width)


class Canvas:
    """A figure that grows along y as layers are drawn."""

    def __init__(self, horizontal: bool) -> None:
        """Start with an empty figure, upright or lying down."""
        self.horizontal = horizontal
        self.figure = Figure()
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()

    def crop(self, start: float, end: float, length: float) -> Figure:
        """Crop the figure to x from `start` to `end` and y from 0 to `length`, and return it."""
        across, along = (start, end), (0, length)
        (left, right), (top, bottom) = (along, across) if self.horizontal else (across, along)
        self.axes.set(xlim=(left, right), ylim=(bottom, top))
        self.figure.set_size_inches(right - left, bottom - top)
        return self.figure

    def block(
        self, x: float, y: float, width: float, height: float, color: str, *, lid: bool, flat: bool
    ) -> Box:
        """Draw a block in perspective: a flat bar, or a block as deep as it is wide.

        `x` is the middle of its front; `y` is where its lid starts, or its front without `lid`.
        The light comes from above: upright, the lid is bright, and lying down the side.
        """
        depth, rise = (0.07, 0.05) if flat else (0.2 * width, 0.13 * width)
        depth = -depth if self.horizontal else depth
        left, right = x - width / 2, x + width / 2
        side = left if self.horizontal else right
        top = y + rise if lid else y
        bottom = top + height
        self._polygon([(left, top), (right, top), (right, bottom), (left, bottom)], color)
        bright, dark = _lighter(color), _darker(color)
        back = side + depth
        beside = [(side, top), (back, top - rise), (back, bottom - rise), (side, bottom)]
        self._polygon(beside, bright if self.horizontal else dark)
        if lid:
            over = [(left, top), (left + depth, top - rise), (right + depth, top - rise)]
            self._polygon([*over, (right, top)], dark if self.horizontal else bright)
        return Box(x, top, bottom, width)

    def band(self, over: Box, under: Box, color: str) -> None:
        """Draw a band from the end of one block to the start of another, behind both."""
        corners = [
            (over.x - over.width / 2, over.bottom),
            (over.x + over.width / 2, over.bottom),
            (under.x + under.width / 2, under.top),
            (under.x - under.width / 2, under.top),
        ]
        self._polygon(corners, color, ec="none", alpha=0.25, zorder=1)

    def plus(self, y: float, over: list[Box]) -> Box:
        """Draw lines from the blocks to a plus sign in the middle."""
        for box in over:
            ends = zip(self._place(box.x, box.bottom), self._place(0, y), strict=True)
            self.axes.plot(*ends, color=ACCENT, lw=1.4, zorder=1)
        self.axes.add_patch(Circle(self._place(0, y), 0.12, fc="w", ec=ACCENT, lw=1.4, zorder=5))
        self.text(0, y, "+", color=ACCENT, size=13, ha="center", zorder=6)
        return Box(0, y, y, 0.2)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write text that starts at a place; `style` overrides the properties of Matplotlib's."""
        style = {"color": INK, "size": SIZE, "va": "center_baseline", "zorder": 4, **style}
        self.axes.text(*self._place(x, y), text, **style)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return (y, x) if self.horizontal else (x, y)

    def _polygon(self, corners: list[tuple[float, float]], color: Color, **style: Any) -> None:
        style = {"ec": "w", "lw": 0.6, "zorder": 3, **style}
        self.axes.add_patch(Polygon([self._place(*c) for c in corners], fc=color, **style))


def text_width(text: str) -> float:
    """Return the width in inches of a line in the usual size."""
    return TextPath((0, 0), text, size=SIZE).get_extents().width / 72 if text else 0


def _darker(color: str) -> tuple[float, ...]:
    return tuple(0.78 * part for part in to_rgb(color))


def _lighter(color: str) -> tuple[float, ...]:
    return tuple(1 - 0.64 * (1 - part) for part in to_rgb(color))
