"""Makes shards of records, several at once, each in a process of its own."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...config.errors import BadInput
from ..formats.image_file import BadPicture, open_rgb, square
from ..formats.image_folder import PictureFile
from ..formats.manifest import Shard, sha256
from ..formats.records import pack
from .worker_pool import in_processes, note_done

QUALITY = 95
"""Of the JPEG files in the records."""

# The bytes of a JPEG file do not shrink; groups of one record are what reading by index wants.
_OPTIONS = "group_size:1,uncompressed"


@dataclass(frozen=True)
class Task:
    """A shard to make."""

    file: Path
    root: Path  # of the pictures
    pictures: list[PictureFile]
    size: int
    squash: bool
    strict: bool  # refuse a picture that cannot be decoded, instead of leaving it out
    made: Shard | None  # what it was when it was made before


def make_shards(
    tasks: list[Task], processes: int, advance: Callable[[int], object]
) -> Iterator[Shard]:
    """Make the shards, and yield each when it is complete, in any order.

    One that was made before is kept if its bytes are still the same, and what was left out cannot
    be decoded yet. What is half-written has another name. `advance` is told twice a second how
    many pictures are done. Raises BadInput.
    """
    return in_processes(_make_shard, tasks, processes, advance)


def _make_shard(task: Task) -> Shard:
    if task.made and _is_kept(task, task.made):
        note_done(len(task.pictures))
        return task.made
    half_written = task.file.with_name(f"{task.file.name}.{os.getpid()}")
    odd: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    try:
        with _writer(half_written) as write:
            for name, label in task.pictures:
                try:
                    jpeg, oddities = _jpeg(task.root / name, task.size, task.squash)
                    write(pack(name, label, jpeg))
                    odd |= {name: list(oddities)} if oddities else {}
                except BadPicture as error:
                    if task.strict:
                        raise
                    left_out[name] = str(error).removeprefix(f"{task.root / name} ")
                note_done()
        return _keep(half_written, task, odd, left_out)
    except OSError as error:
        raise BadInput(f"{task.file} cannot be written: {error.strerror}") from None
    finally:
        half_written.unlink(missing_ok=True)


def _is_kept(task: Task, made: Shard) -> bool:
    """Whether it is as it was made, and would be made so again."""
    if not made.fits(task.file.parent):
        return False
    return not made.left_out or not (task.strict or any(_is_mended(task, x) for x in made.left_out))


def _is_mended(task: Task, name: str) -> bool:
    try:
        open_rgb(task.root / name, task.root / name)
    except BadPicture:
        return False
    return True


def _jpeg(path: Path, size: int, squash: bool) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a JPEG file of the picture, and what was odd about it."""
    picture, oddities = open_rgb(path, path)
    data = io.BytesIO()
    Image.fromarray(square(picture, size, squash=squash)).save(data, "JPEG", quality=QUALITY)
    return data.getvalue(), oddities


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Callable[[bytes], None]]:
    """A function that appends a record to a new file. Raises BadInput."""
    from array_record.python.array_record_module import ArrayRecordWriter

    try:
        writer = ArrayRecordWriter(str(path), _OPTIONS)
        yield writer.write
        writer.close()
    except RuntimeError as error:
        raise BadInput(f"{path} cannot be written: {str(error).split(';')[0]}") from None


def _keep(
    half_written: Path, task: Task, odd: dict[str, list[str]], left_out: dict[str, str]
) -> Shard:
    """Give the file its name, now that all of it is on the disk."""
    with half_written.open("rb") as file:
        os.fsync(file.fileno())
    count = len(task.pictures) - len(left_out)
    size = half_written.stat().st_size
    shard = Shard(task.file.name, count, size, sha256(half_written), odd, left_out)
    os.replace(half_written, task.file)
    return shard
