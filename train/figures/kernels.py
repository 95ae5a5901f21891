"""The first layer's kernels, towers apart (Figure 3): `python -m train.figures kernels RUN FILE`.

Each kernel is as bright as it can be: gray is 0, black or white its largest weight. In place of a
run, a file of weights: any that `alexnet_jax.load` reads, so Caffe's and torchvision's.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.errors import BadInput
from . import page

if TYPE_CHECKING:
    from alexnet_jax import Architecture, Params

_COLUMNS = 16
_GAP = 1  # pixels of a kernel


def add_flags(flags: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    flags.add_argument(
        "run", metavar="RUN", type=Path, help="the folder of the run, or a file of weights"
    )
    flags.add_argument("file", metavar="FILE", type=Path, help="the picture to write")


def main(given: argparse.Namespace) -> Path:
    """Draw the kernels of the run's best checkpoint, or of a file."""
    page.check_file(given.file)
    from ..runtime import backend

    backend.set_up_devices(1)
    if given.run.is_file():
        return draw_kernels(*_read(given.run), "", given.file)
    from ..inference.predictor import open_predictor

    trained = open_predictor(given.run)
    when = f", after step {trained.step:,}"
    return draw_kernels(trained.params, trained.architecture, when, given.file)


def _read(path: Path) -> "tuple[Params, Architecture]":
    import alexnet_jax

    try:
        params, architecture, _ = alexnet_jax.load(path)
    except (ValueError, OSError) as error:
        raise BadInput(str(error)) from None
    return params, architecture


def draw_kernels(params: "Params", architecture: "Architecture", when: str, path: Path) -> Path:
    """Draw the kernels of the first layer, a block for each tower. Returns `path`.

    `when` ends the title.
    """
    first = next(info for info in architecture.layer_info() if info.weight_shape)
    kernels = np.asarray(params[first.name].weights, np.float32)
    towers = np.split(kernels, architecture.towers, axis=-1)
    blocks = [mosaic(tower, _COLUMNS) for tower in towers]
    height, width = blocks[0].shape[:2]
    figure = page.blank(10, 0.5 + len(blocks) * (0.4 + 10 * height / width))
    figure.suptitle(f"{architecture.name}, {first.name}{when}")
    all_axes = figure.subplots(len(blocks), 1, squeeze=False)[:, 0]
    for number, (axes, block) in enumerate(zip(all_axes, blocks, strict=True), 1):
        size, _, colors, count = towers[0].shape
        title = f"tower {number}: {count} kernels of {size} x {size} x {colors}"
        axes.set_title(title, fontsize="medium", loc="left")
        axes.imshow(block, interpolation="nearest")
        axes.set_axis_off()
    return page.write(figure, path)


def mosaic(kernels: np.ndarray, columns: int) -> np.ndarray:
    """Lay kernels [height, width, 3, n] side by side in rows, as colors from 0 to 1.

    Each is scaled alone, 0.5 + w / (2 max |w|), in the order of the maps that they make. Between
    them and where there is none it is white.
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
