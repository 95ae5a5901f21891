"""Shared by all figures: common arguments, an empty page, names in titles, and the file."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import BadInput
from ..runtime.cli import WEIGHTS_HELP

if TYPE_CHECKING:  # Matplotlib takes a second to import, too long for --help
    from jax.typing import ArrayLike
    from matplotlib.figure import Figure

    from ..inference.predictor import Predictor

SUFFIXES = (".png", ".pdf", ".svg")


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the network as an argument, for `open_weights`."""
    parser.add_argument("weights", metavar="WEIGHTS", help=WEIGHTS_HELP)


def add_picture(parser: argparse.ArgumentParser) -> None:
    """Add a picture as an argument."""
    parser.add_argument(
        "picture", metavar="PICTURE", type=Path, help="of any format that Pillow opens"
    )


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add the file to write as an argument."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the image to write")


def open_weights(flags: argparse.Namespace) -> "Predictor":
    """Check that `flags.file` can be written, and return the network of `flags.weights`."""
    check_file(flags.file)
    from ..runtime import backend, compile_cache

    backend.set_up_devices(1)
    compile_cache.enable()
    from ..inference.predictor import open_predictor

    return open_predictor(flags.weights)


def check_file(path: Path) -> None:
    """Raise BadInput if no figure can be written there; check it before the work."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path} should end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if not path.parent.is_dir():
        raise BadInput(f"{path} cannot be written: {path.parent} is not a folder")


def check_numbers(values: "ArrayLike", predictor: "Predictor") -> None:
    """Raise BadInput if outputs of a network are not numbers, of which no figure can be drawn."""
    import numpy as np

    if not np.isfinite(np.asarray(values)).all():
        raise BadInput(f"{predictor.source}: the network's outputs are not numbers, but NaN or inf")


def blank(width: float, height: float) -> "Figure":
    """Return an empty figure of `width` by `height` inches."""
    from alexnet_jax.visualize.matplotlib_import import import_matplotlib  # imports JAX

    import_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def panel_size(shape: tuple[int, ...], longest: float = 3.2) -> tuple[float, float]:
    """Return width and height, in inches, of a panel for a picture [height, width, 3]."""
    height, width = shape[:2]
    inches = longest / max(height, width)
    # A panel of a narrow picture is still wide enough for its title.
    return max(width * inches, 0.75 * longest), height * inches


def short(label: str, max_length: int = 26) -> str:
    """Return a class label for a figure: the first word of a synset, shortened."""
    return plain(label.split(",")[0], max_length)


def plain(name: str, max_length: int = 26) -> str:
    """Return a name, shortened, that Matplotlib draws literally.

    Text between two dollars is no formula, and bytes that are not Unicode become marks.
    """
    text = os.fsencode(name).decode(errors="replace")
    shortened = text if len(text) <= max_length else f"{text[: max_length - 1]}…"
    return shortened.replace("$", r"\$")


def write(figure: "Figure", path: Path) -> Path:
    """Write a figure and return its path. Raises BadInput if the file cannot be written."""
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}") from None
    return path
