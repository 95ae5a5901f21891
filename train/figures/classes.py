"""An image for each class that excites it: `python -m train.figures classes RUN FILE`.

Of the first twelve classes. Gradient ascent on the score, from the mean image.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import page

if TYPE_CHECKING:
    from ..inference.predictor import Predictor

MOST = 12
_COLUMNS = 6


def add_flags(flags: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    flags.add_argument("run", metavar="RUN", type=Path, help="the folder of the run")
    flags.add_argument("file", metavar="FILE", type=Path, help="the picture to write")


def main(given: argparse.Namespace) -> Path:
    """Draw the images for the run's best checkpoint."""
    page.check_file(given.file)
    from ..runtime import backend

    backend.set_up_devices(1)
    from ..inference.predictor import open_predictor

    return draw_classes(open_predictor(given.run), given.file)


def draw_classes(trained: "Predictor", path: Path) -> Path:
    """Draw the images, each below the name of its class. Returns `path`."""
    import jax
    import jax.numpy as jnp

    from alexnet_jax import visualize
    from alexnet_jax.evaluation import center_crops

    net, count = trained.architecture, min(trained.architecture.classes, MOST)
    images = visualize.class_images(
        trained.params, jnp.arange(count), jax.random.key(0), architecture=net
    )
    images += center_crops(jnp.asarray(trained.mean[None]), net.image_sizes[0])
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = page.blank(1.7 * columns, 0.3 + 1.9 * rows)
    figure.suptitle(f"{net.name}, after step {trained.step:,}")
    panels = [*figure.subplots(rows, columns, squeeze=False).flat]
    for axes in panels:
        axes.set_axis_off()
    for label, (axes, image) in enumerate(zip(panels, images, strict=False)):
        axes.imshow(np.clip(image, 0, 255).astype(np.uint8))
        axes.set_title(page.short(trained.called(label), 18), fontsize="medium")
    return page.write(figure, path)
