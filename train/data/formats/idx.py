"""IDX files, the format of MNIST and Fashion-MNIST, gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ...config.errors import BadInput
from ..examples import DataSet
from .array_source import SPLITS, ArraySource, check_labels
from .image_resize import ResizeRule

KIND: str = "idx"
LAYOUT: str = "IDX files"
MAX_BYTES = 2**31
"""The most bytes read of an unpacked file. The largest published files known have 2**29."""
_PREFIXES = {"train": "train", "test": "t10k"}
_RANKS = {"images": 3, "labels": 1}


def detect(directory: Path) -> bool:
    """Return whether the folder holds training images in an IDX file."""
    return find_file(directory, "train", "images") is not None


def open_dataset(
    directory: Path, size: int, *, resize: ResizeRule, held_out: float, seed: int
) -> DataSet:
    """Open the folder. Classes are named by their labels. Raises BadInput if a file is damaged."""
    del held_out, seed  # IDX files come with a split
    splits = [read_split(directory, split) for split in SPLITS]
    check_labels(directory, *(labels for _, labels in splits))
    classes = 1 + max(int(labels.max()) for _, labels in splits)
    train, test = (ArraySource(*split, size, resize) for split in splits)
    return DataSet(train, test, tuple(str(label) for label in range(classes)))


def file_name(split: str, content: str) -> str:
    """Return the published name of the file of "train" or "test" with "images" or "labels"."""
    return f"{_PREFIXES[split]}-{content}-idx{_RANKS[content]}-ubyte"


def find_file(directory: Path, split: str, content: str) -> Path | None:
    """Return the path of the file of that name, gzipped or not, or None."""
    published = file_name(split, content)
    for stem in (published, published.replace("-idx", ".idx")):
        for path in (directory / stem, directory / f"{stem}.gz"):
            if path.is_file():
                return path
    return None


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, decompressed if it is a .gz.

    Raises BadInput if that fails, or would fill the memory, as a few bytes of gzip can.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    if len(data) > MAX_BYTES:
        raise BadInput(f"{path} holds more than {MAX_BYTES:,} bytes, the most that is read")
    return data


def read_array(path: Path) -> np.ndarray:
    """Return the uint8 array in an IDX file. Raises BadInput if the file holds none."""
    data = read_bytes(path)
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
    """Return images [n, height, width] and labels [n]. Raises BadInput if a file is missing."""
    images_path, labels_path = (find_file(directory, split, name) for name in ("images", "labels"))
    if images_path is None or labels_path is None:
        prefix = _PREFIXES[split]
        raise BadInput(
            f"{directory} lacks {prefix}-images-idx3-ubyte or {prefix}-labels-idx1-ubyte"
        )
    images, labels = read_array(images_path), read_array(labels_path)
    if images.ndim != 3 or labels.shape != images.shape[:1] or not len(images):
        raise BadInput(f"{images_path} has shape {images.shape} and its labels {labels.shape}")
    return images, labels
