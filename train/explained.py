"""What a run's net looks at, as pictures: in a photograph, and of a class as such."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax import explanations
from alexnet_jax.evaluation import centre_crops
from train.config import BadInput
from train.data.pictures import read_picture
from train.trained import Trained

MOST_CLASSES = 12
"""Drawn beside each other."""


def draw_explanation(trained: Trained, picture: Path, path: Path) -> Path:
    """Draw a picture, and what the net's likeliest class for it depends on, into `path`.

    From the left: what the net sees; how much each pixel moves the class's score; the probability
    of the class with a square over each place, dark where it falls. Returns `path`.

    Raises BadInput if the picture cannot be read, or `path` not be written.
    """
    net, size = trained.architecture, trained.architecture.image_sizes[0]
    stored = read_picture(picture, trained.stored_size)
    image = centre_crops(jnp.asarray(stored[None] - trained.mean), size)
    probabilities = jax.nn.softmax(trained.scorer()(stored[None])[0, 0])
    label = int(probabilities.argmax())
    maps = explanations.saliency(trained.params, image, jnp.array([label]), architecture=net)
    square, stride = max(1, round(0.2 * size)), max(1, size // 28)
    covered = jax.jit(explanations.occlusion, static_argnames=("size", "stride", "architecture"))(
        trained.params, image[0], label, size=square, stride=stride, architecture=net
    )
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
    shown = centre_crops(jnp.asarray(stored[None]), size)[0]
    axes[0].imshow(shown)
    axes[0].set_title(f"{trained.class_names[label]}: {100 * probabilities[label]:.1f} %")
    axes[1].imshow(maps[0], cmap="magma")
    axes[1].set_title("saliency")
    # A square belongs to the place of its centre.
    edges = (square - stride) / 2 - 0.5, (square - stride) / 2 - 0.5 + stride * len(covered)
    axes[2].imshow(shown, alpha=0.4)
    drawn = axes[2].imshow(covered, cmap="viridis", alpha=0.7, extent=(*edges, *edges[::-1]))
    axes[2].set_xlim(-0.5, size - 0.5)
    axes[2].set_ylim(size - 0.5, -0.5)
    axes[2].set_title(f"probability behind {square} x {square}")
    figure.colorbar(drawn, ax=axes[2], shrink=0.8)
    return _save(figure, axes, path)


def draw_class_images(trained: Trained, path: Path, classes: Sequence[int] | None = None) -> Path:
    """Draw an image for each class that excites it, the first twelve if `classes` is None.

    Raises BadInput if there is no such class, or `path` cannot be written.
    """
    count = trained.architecture.classes
    chosen = range(min(count, MOST_CLASSES)) if classes is None else classes
    for label in chosen:
        if not 0 <= label < count:
            raise BadInput(f"{trained.folder} has the classes 0 to {count - 1}, and not {label}")
    net, size = trained.architecture, trained.architecture.image_sizes[0]
    images = explanations.class_images(
        trained.params, jnp.array(chosen), jax.random.key(0), architecture=net
    )
    pixels = images + centre_crops(jnp.asarray(trained.mean[None]), size)
    pyplot = _pyplot()
    columns = min(len(chosen), 6)
    rows = -(-len(chosen) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(1.7 * columns, 1.9 * rows), layout="constrained", squeeze=False
    )
    for panel, label, image in zip(axes.flat, chosen, pixels, strict=False):
        panel.imshow(np.clip(image, 0, 255).astype(np.uint8))
        panel.set_title(trained.class_names[label])
    return _save(figure, axes, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, axes: np.ndarray, path: Path) -> Path:
    for panel in axes.flat:
        panel.axis("off")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from None
    finally:
        _pyplot().close(figure)
    return path
