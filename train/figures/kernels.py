"""The first layer's kernels by tower (Figure 3): `python -m train.figures kernels RUN FILE`.

Each kernel has its own scale: gray is 0, black or white its largest weight. RUN can also be a file
of weights that `alexnet_jax.load` reads, as Caffe's and torchvision's.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.errors import BadInput
from . import page

if TYPE_CHECKING:
    from alexnet_jax import Architecture, Params

_COLUMNS = 16  # PAPER's 48 kernels of a tower fill three rows, as in Figure 3
_GAP = 1  # between kernels, as wide as one of their pixels


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="the folder of the run, or a file of weights"
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the image to write")


def main(flags: argparse.Namespace) -> Path:
    """Draw the kernels of the best checkpoint of a run, or of a file of weights."""
    page.check_file(flags.file)
    from ..runtime import backend

    backend.set_up_devices(1)
    if flags.run.is_file():
        return draw_kernels(*_read(flags.run), "", flags.file)
    from ..inference.predictor import open_predictor

    predictor = open_predictor(flags.run)
    suffix = f", after step {predictor.step:,}"
    return draw_kernels(predictor.params, predictor.architecture, suffix, flags.file)


def _read(path: Path) -> "tuple[Params, Architecture]":
    import alexnet_jax

    try:
        params, architecture, _ = alexnet_jax.load(path)
    except (ValueError, OSError) as error:
        raise BadInput(str(error)) from None
    return params, architecture


def draw_kernels(params: "Params", architecture: "Architecture", suffix: str, path: Path) -> Path:
    """Draw the kernels of the first layer, a block for each tower. Returns `path`.

    `suffix` ends the title.
    """
    first = next(info for info in architecture.layer_info() if info.weight_shape)
    weights, _ = params[first.name]
    kernels = np.asarray(weights, np.float32)
    towers = np.split(kernels, architecture.towers, axis=-1)
    blocks = [mosaic(tower, _COLUMNS) for tower in towers]
    height, width = blocks[0].shape[:2]
    figure = page.blank(10, 0.5 + len(blocks) * (0.4 + 10 * height / width))
    figure.suptitle(f"{architecture.name}, {first.name}{suffix}")
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
