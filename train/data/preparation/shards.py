"""Writes shards of records, several at once, each in a worker process."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from ...config.errors import BadInput
from ..formats.class_folders import LabeledFile
from ..formats.image_file import BadPicture, open_rgb
from ..formats.image_resize import ResizeRule
from ..formats.manifest import Shard, sha256
from ..formats.records import pack_record
from .worker_pool import report_done, run_in_workers

QUALITY = 95
"""Of the JPEG files in the records: the highest that Pillow recommends. A picture of ILSVRC at 256
pixels square takes 32 kB."""


def _encode_jpeg(image: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=QUALITY)
    return data.getvalue()


ENCODINGS: Mapping[str, Callable[[np.ndarray], bytes]] = MappingProxyType(
    {"jpeg": _encode_jpeg, "raw": np.ndarray.tobytes}
)
"""The bytes that a record holds of an image, uint8 [size, size, 3], by the key that they have."""

# JPEG data do not compress further, and raw pixels are there to be read fast; reading by index is
# fastest with one record per group.
_OPTIONS = "group_size:1,uncompressed"


@dataclass(frozen=True)
class ShardTask:
    """A shard to write."""

    file: Path
    root: Path  # of the pictures
    pictures: Sequence[LabeledFile]
    size: int
    resize: ResizeRule
    encoding: str  # "jpeg" or "raw"
    strict: bool  # fail at a picture that cannot be decoded, instead of skipping it
    previous: Shard | None  # as an earlier run wrote it


def write_shards(
    tasks: list[ShardTask], processes: int, on_progress: Callable[[int], object]
) -> Iterator[Shard]:
    """Write the shards, and yield each when it is complete, in any order.

    A shard of an earlier run is kept if its bytes are unchanged and the pictures that it skipped
    still cannot be decoded. A file has another name until it is complete. `on_progress` receives
    the number of pictures done, twice a second. Raises BadInput.
    """
    return run_in_workers(_write_shard, tasks, processes, on_progress)


def _write_shard(task: ShardTask) -> Shard:
    if task.previous and _is_current(task, task.previous):
        report_done(len(task.pictures))
        return task.previous
    temporary = task.file.with_name(f"{task.file.name}.{os.getpid()}")
    conversions: dict[str, list[str]] = {}
    skipped: dict[str, str] = {}
    try:
        with _open_writer(temporary) as write:
            for name, label in task.pictures:
                try:
                    picture, kinds = open_rgb(task.root / name, task.root / name)
                    image = task.resize(picture, task.size)
                    write(pack_record(name, label, task.encoding, ENCODINGS[task.encoding](image)))
                    conversions |= {name: list(kinds)} if kinds else {}
                except BadPicture as error:
                    if task.strict:
                        raise
                    skipped[name] = str(error).removeprefix(f"{task.root / name} ")
                report_done()
        return _finish(temporary, task, conversions, skipped)
    except OSError as error:
        raise BadInput(f"{task.file} cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _is_current(task: ShardTask, shard: Shard) -> bool:
    """Return whether the file is unchanged, and writing it again would give the same bytes."""
    if not shard.matches(task.file.parent):
        return False
    if not shard.skipped:
        return True
    return not task.strict and not any(_can_be_decoded(task.root / name) for name in shard.skipped)


def _can_be_decoded(path: Path) -> bool:
    try:
        open_rgb(path, path)
    except BadPicture:
        return False
    return True


@contextlib.contextmanager
def _open_writer(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that appends a record to a new file. Raises BadInput."""
    from array_record.python.array_record_module import ArrayRecordWriter

    try:
        writer = ArrayRecordWriter(str(path), _OPTIONS)
        yield writer.write
        writer.close()
    except RuntimeError as error:
        raise BadInput(f"{path} cannot be written: {str(error).split(';')[0]}") from None


def _finish(
    temporary: Path, task: ShardTask, conversions: dict[str, list[str]], skipped: dict[str, str]
) -> Shard:
    """Flush the file to the disk and give it its name.

    `atomic.replacing` would do that, but imports JAX, which a worker does without.
    """
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    count = len(task.pictures) - len(skipped)
    size, digest = temporary.stat().st_size, sha256(temporary)
    os.replace(temporary, task.file)
    return Shard(task.file.name, count, size, digest, conversions, skipped)
