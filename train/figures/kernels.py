"""The first layer's kernels by tower (Figure 3): `python -m train.figures kernels WEIGHTS FILE`.

Each kernel has its own scale: gray is 0, black or white its largest weight.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.errors import BadInput
from . import page

if TYPE_CHECKING:
    from ..inference.predictor import Predictor

_COLUMNS = 16  # PAPER's 48 kernels of a tower fill three rows, as in Figure 3
_GAP = 1  # between kernels, as wide as one of their pixels

EXAMPLES = (
    "python -m train.figures kernels runs/NAME kernels.png",
    "python -m train.figures kernels torchvision kernels.pdf",
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    page.add_weights(parser)
    page.add_file(parser)


def main(flags: argparse.Namespace) -> Path:
    """Draw the kernels of a network."""
    return draw_kernels(page.open_weights(flags), flags.file)


def draw_kernels(predictor: "Predictor", path: Path) -> Path:
    """Draw the kernels of the first layer, a block for each tower. Returns `path`.

    Raises BadInput if that layer is no convolution.
    """
    from alexnet_jax.layer_specs import Conv  # takes JAX

    architecture = predictor.architecture
    first = next(info for info in architecture.layer_info() if info.weight_shape)
    if not isinstance(first.spec, Conv):
        raise BadInput(
            f"{predictor.title}: {architecture.name} does not begin with a convolution of the image"
        )
    weights, _ = predictor.params[first.name]
    kernels = np.asarray(weights, np.float32)
    towers = np.split(kernels, architecture.towers, axis=-1)
    blocks = [mosaic(tower, _COLUMNS) for tower in towers]
    height, width = blocks[0].shape[:2]
    figure = page.blank(10, 0.5 + len(blocks) * (0.4 + 10 * height / width))
    figure.suptitle(f"{page.plain(predictor.title, 80)}: {first.name}")
    all_axes = figure.subplots(len(blocks), 1, squeeze=False)[:, 0]
    for number, (axes, block) in enumerate(zip(all_axes, blocks, strict=True), 1):
        size, _, colors, count = towers[0].shape
        title = f"tower {number}: {count} kernels of {size} x {size} x {colors}"
        axes.set_title(title, fontsize="medium", loc="left")
        axes.imshow(block, interpolation="nearest")
        axes.set_axis_off()
    return page.write(figure, path)


def mosaic(kernels: np.ndarray, columns: int) -> np.ndarray:
    """Return kernels [height, width, 3, n] side by side in rows, as colors from 0 to 1.

    They are in the order of their maps, each scaled by itself as 0.5 + w / (2 max |w|). Gaps and
    unused places are white.
    """
    height, width, colors, count = kernels.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    down, right = height + _GAP, width + _GAP
    sheet = np.ones((rows * down - _GAP, columns * right - _GAP, colors))
    for number in range(count):
        kernel = kernels[..., number]
        largest = np.abs(kernel).max() or 1.0
        top, left = number // columns * down, number % columns * right
        sheet[top : top + height, left : left + width] = 0.5 + kernel / (2 * largest)
    return sheet
