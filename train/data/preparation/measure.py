"""Image statistics over all training pictures in a folder of records."""

from collections.abc import Callable, Iterable
from functools import partial, reduce
from pathlib import Path

from ..examples import ImageStatistics
from ..formats.records import decode_record, unpack_record
from ..image_statistics import PixelSums, compute_statistics, sum_images, zero_sums
from .worker_pool import report_done, run_in_workers

_RECORDS_AT_ONCE = 64  # decoded in memory: 13 MB at 256 pixels square


def measure_records(
    shards: Iterable[Path], size: int, processes: int, on_progress: Callable[[int], object]
) -> ImageStatistics:
    """Decode all pictures, of `size` pixels, and compute the statistics.

    The result does not depend on the number of processes. `on_progress` receives the number of
    pictures done, twice a second.
    """
    sums = run_in_workers(partial(_sum_shard, size=size), shards, processes, on_progress)
    return compute_statistics(reduce(PixelSums.plus, sums, zero_sums(size)))


def _sum_shard(path: Path, size: int) -> PixelSums:
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    total, count = zero_sums(size), reader.num_records()
    for first in range(0, count, _RECORDS_AT_ONCE):
        records = reader.read(first, min(first + _RECORDS_AT_ONCE, count))
        images = [decode_record(unpack_record(record), size, path) for record in records]
        total = total.plus(sum_images(images, size))
        report_done(len(images))
    reader.close()
    return total
