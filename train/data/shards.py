"""Makes shards of records, several at once, each in a process of its own."""

import contextlib
import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from PIL import Image

from train.config import BadInput
from train.data.folders import PictureFile
from train.data.manifest import Shard, sha256
from train.data.pictures import BadPicture, open_rgb, square
from train.data.records import pack

QUALITY = 95
"""Of the JPEG files in the records."""

# The bytes of a JPEG file do not shrink; groups of one record are what reading by index wants.
_OPTIONS = "group_size:1,uncompressed"
_SECONDS_BETWEEN_LOOKS = 0.5


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

    One that was made before is kept if its bytes are still the same. What is half-written has
    another name. `advance` is told twice a second how many pictures are done. Raises BadInput.
    """
    context = multiprocessing.get_context("spawn")  # a fork copies other threads' locks
    done, stop = context.Value("Q"), context.Event()
    pool = ProcessPoolExecutor(processes, context, _begin, (done, stop))
    try:
        with _without_ctrl_c():
            waiting = {pool.submit(_make_shard, task) for task in tasks}
        while waiting:
            ready, waiting = wait(waiting, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            for future in ready:
                yield future.result()
            advance(done.value)
    except BrokenProcessPool:
        raise BadInput(
            "a process was ended from outside, as happens when memory is short; the same command "
            "goes on from here, with fewer --processes if need be"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Let the processes that begin in here leave Ctrl-C to their parent, which stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread say so
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_shared: Any = None  # in a process of the pool: the number of pictures done, and the word to stop


def _begin(done: Any, stop: Any) -> None:
    """Set up a process of the pool."""
    global _shared
    _shared = done, stop
    parent = multiprocessing.parent_process()
    assert parent is not None
    # The processes of a pool would wait for ever after their parent has been killed.
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


class _Stopped(Exception):
    """Nobody wants the shard any more."""


def _make_shard(task: Task) -> Shard:
    done, stop = _shared
    if task.made and task.made.fits(task.file.parent) and not (task.strict and task.made.left_out):
        with done.get_lock():
            done.value += len(task.pictures)
        return task.made
    half_written = task.file.with_name(f"{task.file.name}.{os.getpid()}")
    odd: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    try:
        with _writer(half_written) as write:
            for name, label in task.pictures:
                if stop.is_set():
                    raise _Stopped
                try:
                    jpeg, oddities = _jpeg(task.root / name, task.size, task.squash)
                    write(pack(name, label, jpeg))
                    odd |= {name: list(oddities)} if oddities else {}
                except BadPicture as error:
                    if task.strict:
                        raise
                    left_out[name] = str(error).removeprefix(f"{task.root / name} ")
                with done.get_lock():
                    done.value += 1
        return _keep(half_written, task, odd, left_out)
    except OSError as error:
        raise BadInput(f"{task.file} cannot be written: {error.strerror}") from None
    finally:
        half_written.unlink(missing_ok=True)


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
