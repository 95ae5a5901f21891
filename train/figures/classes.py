"""Images that maximize the logit of a class: `python -m train.figures classes RUN FILE`.

Shows the first twelve classes, by gradient ascent from the mean image.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import page

if TYPE_CHECKING:
    from ..inference.predictor import Predictor

MAX_CLASSES, _COLUMNS = 12, 6  # two rows of six are as wide as a page, and names can be read


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of the run")
    parser.add_argument("file", metavar="FILE", type=Path, help="the image to write")


def main(flags: argparse.Namespace) -> Path:
    """Draw the images for the best checkpoint of a run."""
    page.check_file(flags.file)
    from ..runtime import backend

    backend.set_up_devices(1)
    from ..inference.predictor import open_predictor

    return draw_classes(open_predictor(flags.run), flags.file)


def draw_classes(predictor: "Predictor", path: Path) -> Path:
    """Draw the images, each below the name of its class. Returns `path`."""
    import jax
    import jax.numpy as jnp

    from alexnet_jax import visualize
    from alexnet_jax.evaluation import center_crops

    net, count = predictor.architecture, min(predictor.architecture.classes, MAX_CLASSES)
    images = visualize.class_images(
        predictor.params, jnp.arange(count), jax.random.key(0), architecture=net
    )
    images += center_crops(jnp.asarray(predictor.mean[None]), net.image_sizes[0])
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = page.blank(1.7 * columns, 0.3 + 1.9 * rows)
    figure.suptitle(f"{net.name}, after step {predictor.step:,}")
    panels = [*figure.subplots(rows, columns, squeeze=False).flat]
    for axes in panels:
        axes.set_axis_off()
    for label, (axes, image) in enumerate(zip(panels, images, strict=False)):
        axes.imshow(np.clip(image, 0, 255).astype(np.uint8))
        axes.set_title(page.short(predictor.class_label(label), 18), fontsize="medium")
    return page.write(figure, path)
