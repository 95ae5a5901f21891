"""What a class depends on in a picture: `python -m train.figures saliency RUN PICTURE FILE`.

From the left: what the net sees; how much each pixel moves the score of the likeliest class; the
probability of that class with a square of the mean color before each place.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import BadInput
from ..runtime.cli import positive
from . import page

if TYPE_CHECKING:
    from ..inference.predictor import Predictor


def add_flags(flags: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    flags.add_argument("run", metavar="RUN", type=Path, help="the folder of the run")
    flags.add_argument("picture", metavar="PICTURE", type=Path, help="any that Pillow opens")
    flags.add_argument("file", metavar="FILE", type=Path, help="the picture to write")
    flags.add_argument(
        "--square",
        metavar="PIXELS",
        type=positive,
        help="the side of the square, a fifth of what the net sees unless said; larger ones hide "
        "more of what a net is sure of",
    )


def main(given: argparse.Namespace) -> Path:
    """Draw it for the run's best checkpoint."""
    page.check_file(given.file)
    from ..runtime import backend

    backend.set_up_devices(1)
    from ..inference.predictor import open_predictor

    return draw_saliency(open_predictor(given.run), given.picture, given.file, given.square)


def draw_saliency(
    trained: "Predictor", picture: Path, path: Path, square: int | None = None
) -> Path:
    """Draw the three panels. Returns `path`.

    Raises BadInput if `picture` cannot be read, or the square is larger than the image.
    """
    import jax
    import jax.numpy as jnp

    from alexnet_jax import visualize
    from alexnet_jax.evaluation import center_crops

    from ..data.formats.image_file import read_picture

    net, size = trained.architecture, trained.architecture.image_sizes[0]
    square, stride = square or max(1, round(0.2 * size)), max(1, size // 28)
    if square > size:
        raise BadInput(f"--square {square} is larger than the {size} pixels that the net sees")
    stored = read_picture(picture, trained.stored_size)
    image = center_crops(jnp.asarray(stored[None] - trained.mean), size)
    probabilities = jax.nn.softmax(trained.scorer()(stored[None])[0, 0])
    label = int(probabilities.argmax())
    maps = visualize.saliency(trained.params, image, jnp.array([label]), architecture=net)
    covered = visualize.occlusion(
        trained.params, image[0], label, size=square, stride=stride, architecture=net
    )
    figure = page.blank(10, 3.6)
    seen, salient, behind = figure.subplots(1, 3)
    shown = center_crops(jnp.asarray(stored[None]), size)[0]
    seen.imshow(shown)
    seen.set_title(f"{page.short(trained.called(label))}: {100 * probabilities[label]:.1f} %")
    salient.imshow(maps[0], cmap="magma")
    salient.set_title("saliency")
    # A square belongs to the place of its center.
    first = (square - stride) / 2 - 0.5
    edges = first, first + stride * len(covered)
    behind.imshow(shown)
    drawn = behind.imshow(covered, alpha=0.7, vmin=0, vmax=1, extent=(*edges, *edges[::-1]))
    behind.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    low, high = 100 * covered.min(), 100 * covered.max()
    behind.set_title(f"behind {square} x {square} pixels: {low:.1f} to {high:.1f} %")
    figure.colorbar(drawn, ax=behind, shrink=0.8, label="probability")
    for axes in (seen, salient, behind):
        axes.set_axis_off()
    return page.write(figure, path)
