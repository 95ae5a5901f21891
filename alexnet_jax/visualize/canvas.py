"""The shapes of a diagram: blocks, bands and text on a Matplotlib figure. Used by `diagram` alone.

Lengths are in inches: x from the middle of the figure to the right, y from its top edge down.
"""

from typing import Any, NamedTuple

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon

INK, PALE, ACCENT = "#22303c", "#6b7885", "#c8443c"


class Box(NamedTuple):
    """The front of a drawn block: x of its middle, y of its upper and lower edge, its width."""

    x: float
    top: float
    bottom: float
    width: float

    @property
    def middle(self) -> float:
        """The y coordinate of its middle."""
        return (self.top + self.bottom) / 2

    def part(self, number: int, parts: int) -> "Box":
        """Return one of `parts` equal parts, counted from the left."""
        width = self.width / parts
        return self._replace(x=self.x + (number - (parts - 1) / 2) * width, width=width)


class Canvas:
    """A figure that grows downwards as layers are drawn."""

    def __init__(self) -> None:
        """Start with an empty figure."""
        self.figure = Figure()
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()

    def crop(self, left: float, right: float, bottom: float) -> Figure:
        """Crop the figure to these edges and return it."""
        self.axes.set(xlim=(left, right), ylim=(bottom, 0))
        self.figure.set_size_inches(right - left, bottom)
        return self.figure

    def block(
        self, x: float, y: float, width: float, height: float, color: str, *, lid: bool, flat: bool
    ) -> Box:
        """Draw a block in perspective: a flat bar, or a block as deep as it is wide.

        `x` is the middle of its front; `y` is the top of its lid, or of its front without `lid`.
        """
        depth, rise = (0.07, 0.05) if flat else (0.2 * width, 0.13 * width)
        left, right, back = x - width / 2, x + width / 2, x + width / 2 + depth
        top = y + rise if lid else y
        bottom = top + height
        self._polygon([(left, top), (right, top), (right, bottom), (left, bottom)], color)
        beside = [(right, top), (back, top - rise), (back, bottom - rise), (right, bottom)]
        self._polygon(beside, _darker(color))
        if lid:
            above = [(left, top), (left + depth, top - rise), (back, top - rise), (right, top)]
            self._polygon(above, _lighter(color))
        return Box(x, top, bottom, width)

    def band(self, over: Box, under: Box, color: str) -> None:
        """Draw a band from the bottom of one block to the top of another, behind both."""
        corners = [
            (over.x - over.width / 2, over.bottom),
            (over.x + over.width / 2, over.bottom),
            (under.x + under.width / 2, under.top),
            (under.x - under.width / 2, under.top),
        ]
        self.axes.add_patch(Polygon(corners, fc=color, ec="none", alpha=0.25, zorder=1))

    def plus(self, y: float, over: list[Box]) -> Box:
        """Draw lines from the blocks to a plus sign in the middle."""
        for box in over:
            self.axes.plot([box.x, 0], [box.bottom, y], color=ACCENT, lw=1.4, zorder=1)
        self.axes.add_patch(Circle((0, y), 0.12, fc="w", ec=ACCENT, lw=1.4, zorder=5))
        self.text(0, y, "+", color=ACCENT, size=13, ha="center", zorder=6)
        return Box(0, y, y, 0.2)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write text that starts at `x`; `style` overrides the properties of Matplotlib's text."""
        style = {"color": INK, "size": 8.5, "va": "center_baseline", "zorder": 4, **style}
        self.axes.text(x, y, text, **style)

    def _polygon(self, corners: list[tuple[float, float]], color: str | tuple[float, ...]) -> None:
        self.axes.add_patch(Polygon(corners, fc=color, ec="w", lw=0.6, zorder=3))


def _darker(color: str) -> tuple[float, ...]:
    return tuple(0.78 * part for part in to_rgb(color))


def _lighter(color: str) -> tuple[float, ...]:
    return tuple(1 - 0.64 * (1 - part) for part in to_rgb(color))
