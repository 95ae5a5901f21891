"""IDX files, the format of MNIST and Fashion-MNIST, gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ...config.errors import BadInput

_SPLITS = {"train": "train", "test": "t10k"}
MOST_BYTES = 2**31
"""That are read of a file, when it is unpacked; the largest known to be published have 2**29."""
_RANKS = {"images": 3, "labels": 1}


def name(split: str, content: str) -> str:
    """Return what the file of `split` ("train" or "test") with "images" or "labels" is called."""
    return f"{_SPLITS[split]}-{content}-idx{_RANKS[content]}-ubyte"


def find(directory: Path, split: str, content: str) -> Path | None:
    """Return the file of that name, gzipped or not, or None."""
    published = name(split, content)
    for stem in (published, published.replace("-idx", ".idx")):
        for path in (directory / stem, directory / f"{stem}.gz"):
            if path.is_file():
                return path
    return None


def unpacked(path: Path) -> bytes:
    """Return what is in a file, decompressed if it is a .gz.

    Raises BadInput if that fails, or would fill the memory, as a few bytes of gzip can.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    if len(data) > MOST_BYTES:
        raise BadInput(f"{path} holds more than {MOST_BYTES:,} bytes, which are not read at once")
    return data


def read(path: Path) -> np.ndarray:
    """Return the array of unsigned bytes in an IDX file. Raises BadInput if it holds none."""
    data = unpacked(path)
    # Two zero bytes, the type (8: unsigned byte), the rank, then the sizes, big-endian.
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise BadInput(f"{path} is not an IDX file of bytes")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    start = 4 + 4 * len(shape)
    if len(data) - start != math.prod(shape):
        raise BadInput(
            f"{path} should hold {math.prod(shape)} bytes of data, and holds {len(data) - start}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_split(directory: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images [n, height, width] and labels [n]. Raises BadInput on a missing file."""
    paths = [find(directory, split, content) for content in ("images", "labels")]
    if paths[0] is None or paths[1] is None:
        raise BadInput(f"{directory} lacks {_SPLITS[split]}-images-idx3-ubyte or its labels-idx1")
    images, labels = read(paths[0]), read(paths[1])
    if images.ndim != 3 or labels.shape != images.shape[:1] or not len(images):
        raise BadInput(f"{paths[0]} has shape {images.shape} and its labels {labels.shape}")
    return images, labels
