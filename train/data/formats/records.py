"""Records: pictures in ArrayRecord files, which are read by index.

A record is a MessagePack map: `name`, the picture's path below the folder that it came from;
`label`, the index of its class in the manifest; and the picture, RGB and square, of the manifest's
size: `jpeg`, the bytes of a JPEG file, or `raw`, its pixels as uint8 [size, size, 3].
"""

import bisect
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from PIL import Image

from ...config.errors import BadInput, as_called
from ...runtime.progress import PictureProgress
from ..examples import DataSet, Example, ImageStatistics, LabeledName
from ..image_statistics import read_statistics
from . import manifest
from .image_file import BadPicture, decode_jpeg
from .image_resize import ResizeRule
from .manifest import SPLITS, VAL, Manifest, Shard
from .record_labels import read_labels

KIND: str = "records"
LAYOUT: str = "records of train.prepare"
_DIGEST_BYTES = 2**30  # up to this total, digests are checked: a second or two of SHA-256
_OPEN_THREADS = 16  # hide the latency of a network file system
_ANNOUNCED = 10_000  # records that are read for their labels; a second or two
_SHOWN_EVERY = 1000  # records; a tenth of a second or so


def detect(directory: Path) -> bool:
    """Return whether the folder holds records, complete or not."""
    return manifest.exists(directory)


def open_dataset(
    directory: Path, size: int, *, resize: ResizeRule, held_out: float, seed: int
) -> DataSet:
    """Open the shards of a folder.

    File sizes and record counts are compared with the manifest, and digests too if there is less
    than a gigabyte to read. Raises BadInput, with the file, where they differ.
    """
    del held_out, seed  # records were split when they were made
    contents = manifest.read(directory)
    for split, other in (SPLITS, SPLITS[::-1]):
        counts = zip(contents.class_counts[split], contents.class_counts[other], strict=True)
        for name, (count, other_count) in zip(contents.class_names, counts, strict=True):
            if other_count and not count:
                raise BadInput(f"{directory} holds no {split} pictures of the class {name!r}")
    splits = (*SPLITS, VAL) if VAL in contents.shards else SPLITS
    train, test, *val = (RecordSource(directory, contents, split, size, resize) for split in splits)
    only_val = contents.only_val or (not val and _lay_in_val(test))
    return DataSet(
        train,
        test,
        contents.class_names,
        val=test if only_val else next(iter(val), None),
        statistics=read_record_statistics(directory, contents, size),
        class_descriptions=contents.class_descriptions,
    )


class RecordSource:
    """The pictures of one split; a picture is decoded when it is read."""

    def __init__(
        self, directory: Path, contents: Manifest, split: str, size: int, resize: ResizeRule
    ) -> None:
        """Open the shards; `resize` brings pictures of another size to `size`.

        Raises BadInput, with the file, if one is missing or does not match the manifest.
        """
        from ...runtime.grain_import import grain

        shards = [shard for shard in contents.shards[split] if shard.picture_count]
        self.paths = [directory / shard.file for shard in shards]
        self.size, self.resize, self.classes = size, resize, len(contents.class_names)
        self.recorded_size = contents.size
        self.directory, self.split, self.labels_digest = directory, split, contents.labels_digest
        total = sum(shard.byte_count for split in contents.shards.values() for shard in split)
        with ThreadPoolExecutor(_OPEN_THREADS) as pool:
            digests = itertools.repeat(total <= _DIGEST_BYTES)
            list(pool.map(_check_shard, self.paths, shards, digests))
        self.ends = list(itertools.accumulate(shard.picture_count for shard in shards))
        # With its number of records, Grain need not open a file to count them.
        pairs = zip(self.paths, shards, strict=True)
        self.records = grain.sources.ArrayRecordDataSource(
            [f"{p}[0:{shard.picture_count}]" for p, shard in pairs]
        )

    def __len__(self) -> int:
        """Return the number of records."""
        return self.ends[-1]

    def __getitem__(self, index: int) -> Example:
        """Decode one picture. Raises BadInput, with the shard, if the record is damaged."""
        path, record = self._read_record(index)
        image = decode_record(record, self.recorded_size, path)
        if len(image) != self.size:
            image = self.resize(Image.fromarray(image), self.size)
        return {"image": image, "label": record["label"]}

    def name(self, index: int) -> str:
        """Return the path of the original picture. Raises BadInput if the record is damaged."""
        return self._read_record(index)[1]["name"]

    def labeled_names(self) -> list[LabeledName]:
        """Return the name and the label of each picture; none is decoded.

        Raises BadInput if the list of them, or a record, is damaged.
        """
        if self.labels_digest is None:
            return self._scan_labels()
        images = read_labels(self.directory, self.labels_digest, self.split)
        if len(images) != len(self):
            raise BadInput(
                f"{self.directory} lists {len(images):,} {self.split} pictures, and holds "
                f"{len(self):,}; train.prepare mends it"
            )
        for _, label in images:
            self._check_label(label, self.directory)
        return images

    def _scan_labels(self) -> list[LabeledName]:
        """Read all records, as those of early versions have no list of names and labels."""
        if len(self) >= _ANNOUNCED:
            print(
                as_called(
                    f"reading {len(self):,} records for their labels, of which {self.directory} "
                    "has no list; the same train.prepare command, run again, adds one"
                ),
                flush=True,
            )
        images = []
        with ThreadPoolExecutor(_OPEN_THREADS) as pool, PictureProgress(len(self)) as progress:
            for image in pool.map(self._read_label, range(len(self))):
                images.append(image)
                if len(images) % _SHOWN_EVERY == 0:
                    progress.done(len(images))
        return images

    def _read_label(self, index: int) -> LabeledName:
        record = self._read_record(index)[1]
        return record["name"], record["label"]

    def _read_record(self, index: int) -> tuple[Path, dict[str, Any]]:
        path = self.paths[bisect.bisect_right(self.ends, index)]
        try:
            record = unpack_record(self.records[index])
        except Exception as error:  # RuntimeError if a checksum in the file does not match
            raise BadInput(f"{path} is damaged: {str(error).split(';')[0]}") from None
        self._check_label(record["label"], path)
        return path, record

    def _check_label(self, label: int, path: Path) -> None:
        if label not in range(self.classes):
            raise BadInput(f"{path} has a picture of class {label}, of {self.classes} classes")


def _lay_in_val(test: RecordSource) -> bool:
    """Return whether test pictures lay in a folder val; older manifests do not say."""
    return test.name(0).split("/")[0] in ("val", "validation")


def pack_record(name: str, label: int, encoding: str, picture: bytes) -> bytes:
    """Return the bytes of a record; `encoding` is "jpeg" or "raw"."""
    # Bytes of a file name that are not UTF-8 are surrogates in `name`, and are stored as they were.
    record = {"name": name, "label": label, encoding: picture}
    data = msgpack.packb(record, unicode_errors="surrogateescape")
    assert data is not None
    return data


def unpack_record(data: bytes) -> dict[str, Any]:
    """Return the map in a record. Raises ValueError if the bytes are not a record."""
    values = msgpack.unpackb(data, unicode_errors="surrogateescape")
    match values:
        case {"name": str(), "label": int(), "jpeg": bytes()}:
            return values
        case {"name": str(), "label": int(), "raw": bytes()}:
            return values
    raise ValueError("it holds no records of pictures")


def decode_record(record: dict[str, Any], size: int, shard: Path) -> np.ndarray:
    """Return the picture of a record, uint8 [size, size, 3].

    The size is the manifest's; a JPEG file may have another. Raises BadPicture, with the shard.
    """
    name = f"{shard}: {record['name']}"
    if "jpeg" in record:
        return decode_jpeg(record["jpeg"], name)
    pixels = np.frombuffer(record["raw"], np.uint8)
    if pixels.size != 3 * size**2:
        raise BadPicture(
            f"{name} cannot be decoded: it holds {pixels.size:,} bytes, not {size} x {size} x 3"
        )
    return pixels.reshape(size, size, 3)


def read_record_statistics(
    directory: Path, contents: Manifest, size: int
) -> ImageStatistics | None:
    """Return the statistics that train.prepare measured, or None if pictures are resized.

    Raises BadInput if a file is damaged.
    """
    if contents.statistics is None or size != contents.size:
        return None
    if not contents.statistics.matches(directory):
        names = " or ".join(contents.statistics.files)
        raise BadInput(
            f"{names} in {directory} is missing or damaged: its SHA-256 is not the manifest's"
        )
    return read_statistics(directory, size)


def _check_shard(path: Path, shard: Shard, check_digest: bool) -> None:
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        size = path.stat().st_size
        if size != shard.byte_count:
            raise BadInput(
                f"{path} is damaged: it holds {size:,} bytes, and the manifest says "
                f"{shard.byte_count:,}"
            )
        if check_digest and manifest.sha256(path) != shard.sha256:
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
    if count != shard.picture_count:
        raise BadInput(
            f"{path} holds {count:,} records, and the manifest says {shard.picture_count:,}"
        )
