"""Pictures that somebody points at: files, and folders with all that lies below."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..config.errors import BadInput
from ..data.formats.image_file import BadPicture, read_picture
from ..data.formats.image_folder import pictures_below


def find_album(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are named, and the pictures below folders, by their names.

    Raises BadInput if one does not exist, or a folder holds none.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise BadInput(f"{path} does not exist")
        within = pictures_below(path) if path.is_dir() else [path]
        if not within:
            raise BadInput(f"{path} holds no pictures")
        found += within
    return found


def read_album(
    paths: Sequence[Path], size: int, *, batch_size: int, threads: int
) -> Iterator[tuple[list[Path], np.ndarray]]:
    """Read pictures, `size` pixels square: those of a batch, and uint8 [batch_size, size, size, 3].

    A smaller batch is filled up with its first image, so that nothing is compiled for it. Of
    several pictures those that cannot be decoded are named and left out; a single one raises
    BadInput, as does one that cannot be read at all.
    """

    def read(path: Path) -> np.ndarray | None:
        try:
            return read_picture(path, size)
        except BadPicture as error:
            if len(paths) == 1:
                raise
            print(f"left out: {error}", file=sys.stderr)
            return None

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(paths), batch_size):
            some = paths[first : first + batch_size]
            pairs = zip(some, pool.map(read, some), strict=True)
            whole = [(path, image) for path, image in pairs if image is not None]
            if whole:
                names, images = zip(*whole, strict=True)
                filling = [images[0]] * (batch_size - len(images))
                yield list(names), np.stack([*images, *filling])
