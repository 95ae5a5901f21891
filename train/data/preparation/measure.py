"""The mean image and the principal colors of all training pictures in a folder of records."""

from collections.abc import Callable, Iterable
from functools import partial, reduce
from pathlib import Path

from ..formats.image_file import decode
from ..formats.records import unpack
from ..image_statistics import ImageStatistics, Sums, no_sums, statistics_from, sums_of
from .worker_pool import in_processes, note_done

_AT_ONCE = 64  # records that are in memory


def measure(
    shards: Iterable[Path], size: int, processes: int, advance: Callable[[int], object]
) -> ImageStatistics:
    """Decode all pictures, of `size` pixels, by several processes; their number changes nothing.

    `advance` is told twice a second how many are done.
    """
    parts = in_processes(partial(_sums_of_shard, size=size), shards, processes, advance)
    return statistics_from(reduce(Sums.plus, parts, no_sums(size)))


def _sums_of_shard(path: Path, size: int) -> Sums:
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    total, count = no_sums(size), reader.num_records()
    for first in range(0, count, _AT_ONCE):
        records = reader.read(first, min(first + _AT_ONCE, count))
        images = [decode(unpack(record)["jpeg"], path) for record in records]
        total = total.plus(sums_of(images, size))
        note_done(len(images))
    reader.close()
    return total
