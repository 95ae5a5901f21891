"""Where a network sees a class (Grad-CAM): `python -m train.figures gradcam WEIGHTS PICTURE FILE`.

From the left: the picture, with the crop that the network sees framed; for the three most probable
classes, which regions of the crop raise the class's logit (Selvaraju et al. 2017), each map on its
own scale from 0.
"""

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import BadInput
from . import page
from .photograph import draw_map, draw_photograph, read_photograph

if TYPE_CHECKING:
    from ..inference.predictor import Predictor

_CLASSES = 3  # with the photograph, four panels are as wide as a page

EXAMPLES = (
    "python -m train.figures gradcam torchvision cat.jpg gradcam.png",
    "python -m train.figures gradcam runs/NAME cat.jpg gradcam.png --layer relu3",
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    page.add_weights(parser)
    page.add_picture(parser)
    page.add_file(parser)
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="whose maps are weighted; by default the last convolution's, after its nonlinearity",
    )


def main(flags: argparse.Namespace) -> Path:
    """Draw the panels for a network."""
    predictor = page.open_weights(flags)
    return draw_grad_cam(predictor, flags.picture, flags.file, flags.layer)


def draw_grad_cam(
    predictor: "Predictor", picture: Path, path: Path, layer: str | None = None
) -> Path:
    """Draw the photograph and a map for each class. Returns `path`.

    Raises BadInput if `picture` cannot be read, the network has no such layer with maps, or its
    outputs are not numbers.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from alexnet_jax import visualize

    photograph = read_photograph(picture, predictor.preprocessing)
    stored = predictor.read_picture(picture)
    probabilities = np.asarray(jax.nn.softmax(predictor.eval_step()(stored[None])[0, 0]))
    page.check_numbers(probabilities, predictor)
    labels = np.argsort(-probabilities, kind="stable")[:_CLASSES]
    images = jnp.repeat(predictor.preprocess(stored[None]), len(labels), axis=0)
    grad_cam = functools.partial(
        visualize.grad_cam, layer=layer, architecture=predictor.architecture
    )
    try:
        with jax.default_matmul_precision("highest"):
            maps = jax.jit(grad_cam)(predictor.params, images, jnp.asarray(labels))
    except ValueError as error:
        raise BadInput(f"`layer`: {error}") from None
    page.check_numbers(maps, predictor)
    width, height = page.panel_size(photograph.pixels.shape)
    figure = page.blank((1 + len(labels)) * width + 0.3, height + 0.6)
    figure.suptitle(f"{page.plain(predictor.title, 80)}: Grad-CAM of the most probable classes")
    photo_axes, *map_axes = figure.subplots(1, 1 + len(labels))
    draw_photograph(photo_axes, photograph)
    photo_axes.set_title(page.plain(picture.name), fontsize="medium")
    for axes, label, values in zip(map_axes, labels.tolist(), np.asarray(maps), strict=True):
        draw_photograph(axes, photograph, faded=True)
        largest = values.max() or 1.0  # all 0 where nothing raises the logit
        # Clear where the map is 0, so that the picture shows through.
        opacity = 0.8 * np.sqrt(values / largest)
        draw_map(axes, photograph, values, cmap="inferno", alpha=opacity, vmin=0, vmax=largest)
        name = page.short(predictor.class_label(label), 20)
        axes.set_title(f"{name}: {100 * probabilities[label]:.1f} %", fontsize="medium")
    return page.write(figure, path)
