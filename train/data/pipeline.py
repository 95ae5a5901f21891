"""From a source to batches, through Grain."""

from collections.abc import Iterator
from typing import TypedDict

import grain
import numpy as np

from train.data.examples import Source


class Batch(TypedDict):
    """Examples: `image` uint8 [n, size, size, 3], `label` [n] integers."""

    image: np.ndarray
    label: np.ndarray


def train_batches(
    source: Source, *, batch_size: int, seed: int, position: int, threads: int, prefetch: int
) -> grain.DatasetIterator:
    """Return the endless stream of training batches from batch number `position` on.

    Each cycle through the source is a new permutation of it; batches run across the end of a
    cycle. The order depends on the seed alone, so a position is all that a checkpoint must keep.
    """
    batches = grain.MapDataset.source(source).seed(seed).shuffle().repeat().batch(batch_size)
    # The buffer counts batches; Grain's own default would decode 500 of them ahead.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    iterator = iter(batches.to_iter_dataset(options))
    iterator.set_state({"next_index": position})
    return iterator


def examples_of(count: int, *, seed: int, numbers: range) -> list[int]:
    """Return the indices, below `count`, of these examples in the stream of training batches."""
    order = grain.MapDataset.source(range(count)).seed(seed).shuffle().repeat()
    return [int(np.asarray(order[number])) for number in numbers]


def evaluation_batches(
    source: Source, *, batch_size: int, threads: int, prefetch: int
) -> Iterator[Batch]:
    """Return every example once, in order, the last batch as large as what is left."""
    batches = grain.MapDataset.source(source).batch(batch_size)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    iterator = iter(batches.to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()
