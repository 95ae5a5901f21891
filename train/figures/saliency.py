"""Which pixels a prediction depends on: `python -m train.figures saliency RUN PICTURE FILE`.

From the left: the network's input; the gradient of the most probable class's logit with respect to
each pixel; the probability of that class while a square of the mean color covers each position.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import BadInput
from ..runtime.cli import positive
from . import page

if TYPE_CHECKING:
    from ..inference.predictor import Predictor


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of the run")
    parser.add_argument(
        "picture", metavar="PICTURE", type=Path, help="of any format that Pillow opens"
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the image to write")
    parser.add_argument(
        "--square",
        metavar="PIXELS",
        type=positive,
        help="the side of the square, by default a fifth of the input's; a larger one hides more "
        "of what makes the network certain",
    )


def main(flags: argparse.Namespace) -> Path:
    """Draw the panels for the best checkpoint of a run."""
    page.check_file(flags.file)
    from ..runtime import backend

    backend.set_up_devices(1)
    from ..inference.predictor import open_predictor

    return draw_saliency(open_predictor(flags.run), flags.picture, flags.file, flags.square)


def draw_saliency(
    predictor: "Predictor", picture: Path, path: Path, square: int | None = None
) -> Path:
    """Draw the three panels. Returns `path`.

    Raises BadInput if `picture` cannot be read, or the square is larger than the image.
    """
    import jax
    import jax.numpy as jnp

    from alexnet_jax import visualize
    from alexnet_jax.evaluation import center_crops

    from ..data.formats.image_file import read_picture

    net, size = predictor.architecture, predictor.architecture.image_sizes[0]
    square = square or max(1, round(0.2 * size))
    stride = max(1, size // 28)  # 20 to 50 positions a side: fine enough, and seconds to compute
    if square > size:
        raise BadInput(f"`square` {square} is larger than the {size} pixels of the network's input")
    stored = read_picture(picture, predictor.stored_size)
    image = center_crops(jnp.asarray(stored[None] - predictor.mean), size)
    probabilities = jax.nn.softmax(predictor.eval_step()(stored[None])[0, 0])
    label = int(probabilities.argmax())
    gradients = visualize.saliency(predictor.params, image, jnp.array([label]), architecture=net)
    covered = visualize.occlusion(
        predictor.params, image[0], label, size=square, stride=stride, architecture=net
    )
    figure = page.blank(10, 3.6)
    input_axes, saliency_axes, occlusion_axes = figure.subplots(1, 3)
    crop = center_crops(jnp.asarray(stored[None]), size)[0]
    input_axes.imshow(crop)
    input_axes.set_title(
        f"{page.short(predictor.class_label(label))}: {100 * probabilities[label]:.1f} %"
    )
    saliency_axes.imshow(gradients[0], cmap="magma")
    saliency_axes.set_title("saliency")
    # A probability is drawn at the center of its square.
    first = (square - stride) / 2 - 0.5
    edges = first, first + stride * len(covered)
    occlusion_axes.imshow(crop)
    overlay = occlusion_axes.imshow(
        covered, alpha=0.7, vmin=0, vmax=1, extent=(*edges, *edges[::-1])
    )
    occlusion_axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    low, high = 100 * covered.min(), 100 * covered.max()
    occlusion_axes.set_title(f"covered by {square} x {square} pixels: {low:.1f} to {high:.1f} %")
    figure.colorbar(overlay, ax=occlusion_axes, shrink=0.8, label="probability")
    for axes in (input_axes, saliency_axes, occlusion_axes):
        axes.set_axis_off()
    return page.write(figure, path)
