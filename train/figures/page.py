"""What all figures share: an empty page, and how it is written."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import BadInput

if TYPE_CHECKING:  # Matplotlib takes a second, which --help need not
    from matplotlib.figure import Figure

ENDINGS = (".png", ".pdf", ".svg")


def check_file(path: Path) -> None:
    """Raise BadInput if no picture can be written there, before there is one."""
    if path.suffix.lower() not in ENDINGS:
        raise BadInput(f"{path} should end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if not path.parent.is_dir():
        raise BadInput(f"{path} cannot be written: {path.parent} is not a folder")


def blank(width: float, height: float) -> "Figure":
    """Return an empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def short(name: str, longest: int = 26) -> str:
    """Return a class's name as a figure is to show it: the first of a synset's words, cut off."""
    return plain(name.split(",")[0], longest)


def plain(name: str, longest: int = 26) -> str:
    """Return a name, cut off, so that a figure shows it letter by letter.

    Between two dollars there is no formula, and what is no Unicode becomes a mark.
    """
    shown = os.fsencode(name).decode(errors="replace")
    cut = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    return cut.replace("$", r"\$")


def write(figure: "Figure", path: Path) -> Path:
    """Write a figure, and return where it is. Raises BadInput if that cannot be done."""
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}") from None
    return path
