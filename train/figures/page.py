"""Shared by all figures: an empty page, names in titles, and the file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import BadInput

if TYPE_CHECKING:  # Matplotlib takes a second to import, too long for --help
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")


def check_file(path: Path) -> None:
    """Raise BadInput if no figure can be written there; check it before the work."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path} should end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if not path.parent.is_dir():
        raise BadInput(f"{path} cannot be written: {path.parent} is not a folder")


def blank(width: float, height: float) -> "Figure":
    """Return an empty figure of `width` by `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


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
