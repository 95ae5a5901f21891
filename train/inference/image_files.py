"""Read pictures by their paths: files, and folders with all pictures below them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet_jax import Preprocessing

from ..config.errors import BadInput
from ..data.formats.image_file import BadPicture, crop_and_resize, open_rgb
from ..data.formats.image_folder import pictures_below

Resize = Callable[[Image.Image, int], np.ndarray]
"""From a picture, RGB, and a size to an image, uint8 [size, size, 3]."""


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """Return the given files, and in place of each folder the pictures below it, sorted by name.

    Raises BadInput if a path does not exist, or a folder holds no pictures.
    """
    pictures: list[Path] = []
    for path in paths:
        if not path.exists():
            raise BadInput(f"{path} does not exist")
        files = pictures_below(path) if path.is_dir() else [path]
        if not files:
            raise BadInput(f"{path} holds no pictures")
        pictures += files
    return pictures


def make_resize(preprocessing: Preprocessing | None) -> Resize:
    """Return the rule by which pictures are resized: that of `preprocessing`, or of our runs.

    It has the pixels of `Preprocessing`, to one level, and needs no compilation for each size.
    """
    if preprocessing is None:
        return crop_and_resize
    linear = preprocessing.interpolation == "linear"
    resampling = Image.Resampling.BILINEAR if linear else Image.Resampling.BICUBIC
    squash = preprocessing.resize == "both sides"

    def resize(picture: Image.Image, size: int) -> np.ndarray:
        box = (0.0, 0.0, float(picture.width), float(picture.height))
        if not squash:
            # The central square of the picture resized as a whole. Pillow computes it alone.
            shorter = min(picture.size)
            whole = [size * side // shorter for side in picture.size]
            corner = [round((side - size) / 2) for side in whole]
            pixel = [old / new for old, new in zip(picture.size, whole, strict=True)]
            (x, y), (w, h) = corner, pixel
            right, bottom = min((x + size) * w, box[2]), min((y + size) * h, box[3])
            box = (x * w, y * h, right, bottom)
        return np.asarray(picture.resize((size, size), resampling, box=box))

    return resize


def read_batches(
    paths: Sequence[Path],
    size: int,
    *,
    batch_size: int,
    threads: int,
    resize: Resize = crop_and_resize,
) -> Iterator[tuple[list[Path], np.ndarray]]:
    """Read pictures as batches of images.

    The first image pads a smaller batch, so that all batches share one compiled program. Among
    several pictures, one that cannot be decoded is left out with a note.

    Args:
      paths: of the pictures.
      size: every image is brought to [size, size, 3].
      batch_size: pictures per batch.
      threads: that decode.
      resize: the rule by which a picture is brought to that size.

    Yields:
      The paths of the pictures that were decoded, and uint8 [batch_size, size, size, 3].

    Raises BadInput if a file cannot be read, or the only picture cannot be decoded.
    """

    def read(path: Path) -> np.ndarray | None:
        try:
            return resize(open_rgb(path, path)[0], size)
        except BadPicture as error:
            if len(paths) == 1:
                raise
            print(f"left out: {error}", file=sys.stderr)
            return None

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(paths), batch_size):
            batch = paths[first : first + batch_size]
            pairs = zip(batch, pool.map(read, batch), strict=True)
            decoded = [(path, image) for path, image in pairs if image is not None]
            if decoded:
                names, images = zip(*decoded, strict=True)
                padding = [images[0]] * (batch_size - len(images))
                yield list(names), np.stack([*images, *padding])
