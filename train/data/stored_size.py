"""The size that images are brought to before the network's input is cropped out, and how (§2)."""

import math

from alexnet_jax import Architecture

from ..config.config import Config
from ..config.errors import BadInput
from .formats import manifest

_LARGEST = 2**14
"""Pixels square, 0.8 GB an image. The largest JPEG is 2^16, which would take 13 GB."""


def stored_size(config: Config, architecture: Architecture) -> int:
    """Return the side of the stored images, in pixels.

    It is `stored_size` of the configuration, by default 8/7 of the network's input, as the paper's
    256 for 224. By default, records are not enlarged to that.

    Raises BadInput if the size, or the records' size, is smaller than the network's input.
    """
    net, size = architecture.name, architecture.image_sizes[0]
    stored = config.recipe.stored_size or math.ceil(size * 8 / 7)
    if stored < size:
        raise BadInput(f"`stored_size` {stored} is smaller than {net}'s input, {size}")
    if stored > _LARGEST:
        raise BadInput(f"images of {stored} pixels square are too large: {_LARGEST} is the most")
    folder, kind = config.data.path, config.data.kind
    if config.recipe.stored_size or folder is None or kind not in ("auto", "records"):
        return stored
    if not manifest.exists(folder):
        return stored
    recorded = manifest.read(folder).size
    if recorded < size:
        raise BadInput(
            f"{folder} holds pictures of {recorded} pixels, and {net}'s input has {size}; "
            f"`stored_size` {stored} enlarges them"
        )
    return min(stored, recorded)


def stored_resize(config: Config) -> str:
    """Return the name, in `RULES`, of the rule that brings pictures to the stored size.

    Raises BadInput if records were made by another rule than that of the configuration.
    """
    name, folder = config.recipe.resize, config.data.path
    default = "crop" if name == "auto" else name
    if folder is None or config.data.kind not in ("auto", "records") or not manifest.exists(folder):
        return default
    recorded = manifest.read(folder).resize
    if name == "auto":
        return recorded
    # Runs from before there were names have this one, even if their records were squashed.
    if name not in (recorded, "central-square"):
        raise BadInput(
            f"{folder} holds records made by the rule {recorded}, and `resize` is {name}; "
            "train.prepare makes others"
        )
    return name
