"""Images that maximize the logit of a class: `python -m train.figures classes WEIGHTS FILE`.

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
_GRAY_LEVELS = 4.0  # a step of the ascent, the default of `class_images`

EXAMPLES = ("python -m train.figures classes runs/NAME classes.png",)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    page.add_weights(parser)
    page.add_file(parser)


def main(flags: argparse.Namespace) -> Path:
    """Draw the images for a network."""
    return draw_classes(page.open_weights(flags), flags.file)


def draw_classes(predictor: "Predictor", path: Path) -> Path:
    """Draw the images, each below the name of its class. Returns `path`.

    Raises BadInput if the network's outputs are not numbers.
    """
    import jax
    import jax.numpy as jnp

    from alexnet_jax import visualize

    net, count = predictor.architecture, min(predictor.architecture.classes, MAX_CLASSES)
    rule = predictor.preprocessing
    # The images themselves stay numbers: a nonlinearity passes no gradient back from NaN.
    black = np.zeros((1, rule.stored_size, rule.stored_size, 3), np.uint8)
    page.check_numbers(predictor.eval_step()(black), predictor)
    rate = _GRAY_LEVELS * rule.scale / float(np.mean(rule.std))  # in the units of the input
    with jax.default_matmul_precision("highest"):
        images = visualize.class_images(
            predictor.params, jnp.arange(count), jax.random.key(0), architecture=net, rate=rate
        )
    page.check_numbers(images, predictor)
    images = predictor.to_pixels(images)
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = page.blank(1.7 * columns, 0.3 + 1.9 * rows)
    figure.suptitle(f"{page.plain(predictor.title, 80)}: images that maximize a class's logit")
    panels = [*figure.subplots(rows, columns, squeeze=False).flat]
    for axes in panels:
        axes.set_axis_off()
    for label, (axes, image) in enumerate(zip(panels, images, strict=False)):
        axes.imshow(np.clip(image, 0, 255).astype(np.uint8))
        axes.set_title(page.short(predictor.class_label(label), 18), fontsize="medium")
    return page.write(figure, path)
