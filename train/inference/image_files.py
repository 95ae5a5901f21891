"""Read pictures by their paths: files, and folders with all pictures below them."""

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..config.errors import BadInput
from ..data.formats.image_file import BadPicture, open_rgb
from ..data.formats.image_resize import ResizeRule
from ..data.formats.picture_files import pictures_below

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def read_batches(
    paths: Sequence[Path],
    size: int,
    *,
    batch_size: int,
    threads: int,
    resize: ResizeRule,
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

    def read(path: Path) -> np.ndarray:
        return resize(open_rgb(path, path)[0], size)

    for pairs in read_ahead(paths, read, batch_size=batch_size, threads=threads):
        images = pad_images([image for _, image in pairs], batch_size)
        yield [path for path, _ in pairs], images


def read_ahead(
    items: Sequence[Item], read: Callable[[Item], Result], *, batch_size: int, threads: int
) -> Iterator[list[tuple[Item, Result]]]:
    """Yield pairs of an item and what `read` makes of it, in batches; read one batch ahead.

    Among several items, one for which `read` raises BadPicture is left out with a note. A batch is
    smaller by what is left out, and never empty.
    """

    def read_or_note(item: Item) -> list[tuple[Item, Result]]:
        try:
            return [(item, read(item))]
        except BadPicture as error:
            if len(items) == 1:
                raise
            print(f"left out: {error}", file=sys.stderr)
            return []

    batches = (items[first : first + batch_size] for first in range(0, len(items), batch_size))
    with ThreadPoolExecutor(threads) as pool:
        ahead = deque([pool.map(read_or_note, next(batches, ()))])
        while ahead:
            ahead.extend(pool.map(read_or_note, batch) for batch in itertools.islice(batches, 1))
            if pairs := list(itertools.chain.from_iterable(ahead.popleft())):
                yield pairs


def pad_images(images: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
    """Stack images to [batch_size, ...]; the first one fills what is missing."""
    return np.stack([*images, *[images[0]] * (batch_size - len(images))])
