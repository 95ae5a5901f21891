"""The size of the pictures in a data set, from headers: none is decoded."""

import contextlib
import gzip
import itertools
import math
import statistics
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from .dataset import find_format
from .formats import cifar, idx, image_folder, manifest, records
from .formats.picture_files import walk_pictures
from .formats.picture_formats import FORMATS

_LISTED = 5000
"""The most files that are listed to choose from: a hundredth of a second of a local disk."""
_OPENED = 200
"""The most headers that are read: a second or two of a slow network disk."""


class PictureSizes(NamedTuple):
    """The shorter sides of some pictures, in pixels."""

    median: float
    pictures: int
    """The number of pictures measured."""


def measure_pictures(directory: Path, kind: str = "auto") -> PictureSizes | None:
    """Return the size of the pictures in a folder of data, None if none can be measured.

    Args:
      directory: in any format that `open_data` reads; if it holds none, `open_data` says why.
      kind: the format, or "auto" to detect it.

    Raises BadInput if there is no such folder, or it or the manifest of records cannot be read.
    """
    data_format = find_format(directory, kind)
    if data_format is records:
        return PictureSizes(manifest.read(directory).size, 1)
    if data_format is cifar:
        return PictureSizes(cifar.SIZE, 1)
    if data_format is idx:
        sides = _idx_sides(directory)
    elif data_format is image_folder:
        sides = [side for path in _sample(directory) if (side := _shorter_side(path))]
    else:
        sides = []
    return PictureSizes(statistics.median(sides), len(sides)) if sides else None


def _sample(directory: Path) -> list[Path]:
    """Return pictures from all over the first `_LISTED` below a folder, `_OPENED` at most."""
    listed = itertools.islice(walk_pictures(directory, Counter()), _LISTED)
    names = sorted(listed)
    return [directory / name for name in names[:: math.ceil(len(names) / _OPENED) or 1]]


def _shorter_side(path: Path) -> int | None:
    """Return the shorter side of a picture in pixels, None if its header cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return min(picture.size)
    except Exception:  # Pillow's parsers raise all kinds; training names the picture
        return None


def _idx_sides(directory: Path) -> list[int]:
    """Return the shorter side that the header of the training images states."""
    path = idx.find_file(directory, "train", "images")
    with contextlib.suppress(OSError, EOFError, zlib.error, struct.error):
        if path is not None:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                return [min(struct.unpack(">8x2I", file.read(16)))]
    return []
