"""IDX files, the format of MNIST and Fashion-MNIST, gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from train.config import BadInput

_SPLITS = {"train": "train", "test": "t10k"}


def find(directory: Path, split: str, content: str) -> Path | None:
    """Return the file of `split` ("train" or "test") with "images" or "labels", or None."""
    stem, rank = f"{_SPLITS[split]}-{content}", {"images": 3, "labels": 1}[content]
    for name in (f"{stem}-idx{rank}-ubyte", f"{stem}.idx{rank}-ubyte"):
        for path in (directory / name, directory / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def read(path: Path) -> np.ndarray:
    """Return the array of unsigned bytes in an IDX file. Raises BadInput if it holds none."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
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
