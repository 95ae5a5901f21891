"""Records: pictures in ArrayRecord files, which are read by index.

A record is a MessagePack map of three: `name`, the picture's path below the folder that it was
made from; `label`, its place among the manifest's classes; `jpeg`, the bytes of a JPEG file in RGB,
square, of the manifest's size.
"""

import bisect
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgpack
from PIL import Image

from ...config.errors import BadInput
from ..examples import Example
from ..image_statistics import ImageStatistics, read_statistics
from . import manifest
from .image_file import decode, square
from .manifest import Manifest, Shard

_QUICKLY_READ = 2**30  # bytes, that a start may take the time to read
_OPENED_AT_ONCE = 16


def pack(name: str, label: int, jpeg: bytes) -> bytes:
    """Return a record."""
    # File names of other encodings come as surrogates, and go back as the bytes that they were.
    record = {"name": name, "label": label, "jpeg": jpeg}
    packed = msgpack.packb(record, unicode_errors="surrogateescape")
    assert packed is not None
    return packed


class RecordSource:
    """The pictures of one split, decoded when they are asked for."""

    def __init__(self, directory: Path, holds: Manifest, split: str, size: int) -> None:
        """Open the shards; pictures are brought to `size`.

        Raises BadInput, with the file, if one is missing or does not fit the manifest.
        """
        from grain.sources import ArrayRecordDataSource

        shards = [shard for shard in holds.shards[split] if shard.pictures]
        self.paths = [directory / shard.file for shard in shards]
        self.size, self.classes = size, len(holds.classes)
        quick = sum(s.bytes for split in holds.shards.values() for s in split) <= _QUICKLY_READ
        with ThreadPoolExecutor(_OPENED_AT_ONCE) as pool:
            list(pool.map(_check, self.paths, shards, itertools.repeat(quick)))
        self.ends = list(itertools.accumulate(shard.pictures for shard in shards))
        known = zip(self.paths, shards, strict=True)  # so that it need not open each to count
        self.records = ArrayRecordDataSource([f"{p}[0:{shard.pictures}]" for p, shard in known])

    def __len__(self) -> int:
        """Return the number of records."""
        return self.ends[-1]

    def __getitem__(self, index: int) -> Example:
        """Decode one picture. Raises BadInput with the shard if it is damaged."""
        path, record = self._record(index)
        label = record["label"]
        if label not in range(self.classes):
            raise BadInput(f"{path} has a picture of class {label}, of {self.classes} classes")
        image = decode(record["jpeg"], f"{path}: {record['name']}")
        if len(image) != self.size:
            image = square(Image.fromarray(image), self.size)
        return {"image": image, "label": label}

    def name(self, index: int) -> str:
        """Return the path of the picture that it was made from. Raises BadInput if damaged."""
        return self._record(index)[1]["name"]

    def _record(self, index: int) -> tuple[Path, dict[str, Any]]:
        path = self.paths[bisect.bisect_right(self.ends, index)]
        try:
            return path, unpack(self.records[index])
        except Exception as error:  # RuntimeError, if the file's own checksums do not fit
            raise BadInput(f"{path} is damaged: {str(error).split(';')[0]}") from None


def unpack(record: bytes) -> dict[str, Any]:
    """Return what is in a record. Raises ValueError if it is none."""
    values = msgpack.unpackb(record, unicode_errors="surrogateescape")
    match values:
        case {"name": str(), "label": int(), "jpeg": bytes()}:
            return values
    raise ValueError("it holds no records of pictures")


def open_records(directory: Path, size: int) -> tuple[RecordSource, RecordSource, Manifest]:
    """Return the training and test pictures, and the manifest.

    Sizes of files and numbers of records are compared with the manifest's, and the digests too if
    there is less than a gigabyte to read. Raises BadInput, with the file, where they differ.
    """
    holds = manifest.read(directory)
    for split, there in (("test", "train"), ("train", "test")):
        for name, count, other in zip(
            holds.classes, holds.by_class[split], holds.by_class[there], strict=True
        ):
            if other and not count:
                raise BadInput(f"{directory} holds no {split} pictures of the class {name!r}")
    train, test = (RecordSource(directory, holds, split, size) for split in ("train", "test"))
    return train, test, holds


def statistics_of_records(directory: Path, holds: Manifest, size: int) -> ImageStatistics | None:
    """Return what train.prepare measured on the training pictures, None if there is no such thing.

    That is so for pictures that are brought to another size. Raises BadInput for a damaged file.
    """
    if holds.statistics is None or size != holds.size:
        return None
    if not holds.statistics.fits(directory):
        names = " or ".join(holds.statistics.files)
        raise BadInput(
            f"{names} in {directory} is missing or damaged: its SHA-256 is not the manifest's"
        )
    return read_statistics(directory, size)


def _check(path: Path, shard: Shard, quick: bool) -> None:
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        size = path.stat().st_size
        if size != shard.bytes:
            raise BadInput(
                f"{path} is damaged: it holds {size:,} bytes, and the manifest says {shard.bytes:,}"
            )
        if quick and manifest.sha256(path) != shard.sha256:
            raise BadInput(f"{path} is damaged: its SHA-256 is not the manifest's")
        reader = ArrayRecordReader(str(path))
        count = reader.num_records()
        reader.close()
    except FileNotFoundError:
        raise BadInput(f"{path} is missing") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except RuntimeError as error:
        raise BadInput(f"{path} is damaged: {str(error).split(';')[0]}") from None
    if count != shard.pictures:
        raise BadInput(f"{path} holds {count:,} records, and the manifest says {shard.pictures:,}")
