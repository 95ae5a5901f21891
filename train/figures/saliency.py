"""Which pixels a prediction depends on: `python -m train.figures saliency WEIGHTS PICTURE FILE`.

From the left: the picture, with the crop that the network sees framed; the gradient of the most
probable class's logit with respect to each pixel; the probability of that class while a square of
the mean color covers each position.
"""

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import BadInput
from ..runtime.cli import positive
from . import page
from .photograph import Box, draw_map, draw_photograph, read_photograph

if TYPE_CHECKING:
    from ..inference.predictor import Predictor

EXAMPLES = ("python -m train.figures saliency torchvision cat.jpg saliency.png",)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    page.add_weights(parser)
    page.add_picture(parser)
    page.add_file(parser)
    parser.add_argument(
        "--square",
        metavar="PIXELS",
        type=positive,
        help="the side of the square, by default a fifth of the input's; a larger one hides more "
        "of what makes the network certain",
    )


def main(flags: argparse.Namespace) -> Path:
    """Draw the panels for a network."""
    predictor = page.open_weights(flags)
    return draw_saliency(predictor, flags.picture, flags.file, flags.square)


def draw_saliency(
    predictor: "Predictor", picture: Path, path: Path, square: int | None = None
) -> Path:
    """Draw the three panels. Returns `path`.

    Raises BadInput if `picture` cannot be read, the square is larger than the image, or the
    network's outputs are not numbers.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from alexnet_jax import visualize

    net, size = predictor.architecture, predictor.input_size
    square = square or max(1, round(0.2 * size))
    stride = max(1, size // 28)  # 20 to 50 positions a side: fine enough, and seconds to compute
    if square > size:
        raise BadInput(f"`square` {square} is larger than the {size} pixels of the network's input")
    photograph = read_photograph(picture, predictor.preprocessing)
    stored = predictor.read_picture(picture)
    image = predictor.preprocess(stored[None])
    probabilities = jax.nn.softmax(predictor.eval_step()(stored[None])[0, 0])
    page.check_numbers(probabilities, predictor)
    label = int(probabilities.argmax())
    saliency = jax.jit(functools.partial(visualize.saliency, architecture=net))
    occlusion = functools.partial(visualize.occlusion, size=square, stride=stride, architecture=net)
    with jax.default_matmul_precision("highest"):
        gradients = saliency(predictor.params, image, jnp.array([label]))
        covered = np.asarray(jax.jit(occlusion)(predictor.params, image[0], label))
    for values in (gradients, covered):
        page.check_numbers(values, predictor)
    width, height = page.panel_size(photograph.pixels.shape)
    figure = page.blank(3 * width + 0.9, height + 0.6)
    figure.suptitle(page.plain(predictor.title, 80))
    input_axes, saliency_axes, occlusion_axes = figure.subplots(1, 3)
    draw_photograph(input_axes, photograph)
    name = page.short(predictor.class_label(label))
    input_axes.set_title(f"{name}: {100 * probabilities[label]:.1f} %", fontsize="medium")
    draw_photograph(saliency_axes, photograph, faded=True)
    # Few pixels have by far the largest gradients, which would leave the rest black.
    gradient = np.asarray(gradients[0])
    brightest = np.quantile(gradient, 0.995)
    draw_map(saliency_axes, photograph, gradient, cmap="magma", vmin=0, vmax=brightest)
    saliency_axes.set_title(f"saliency of {name}", fontsize="medium")
    draw_photograph(occlusion_axes, photograph, faded=True)
    # A probability is drawn at the center of its square.
    first, sides = (square - stride) / 2 / size, stride * np.array(covered.shape[::-1]) / size
    region = Box(first, first, *sides.tolist())
    low, high = float(covered.min()), float(covered.max())
    style = {"alpha": 0.75, "vmin": 0, "vmax": high}
    overlay = draw_map(occlusion_axes, photograph, covered, region, **style)
    title = f"{square} x {square} covered: {100 * low:.1f} to {100 * high:.1f} %"
    occlusion_axes.set_title(title, fontsize="medium")
    figure.colorbar(overlay, ax=occlusion_axes, shrink=0.8, label="probability")
    return page.write(figure, path)
