"""From a source to batches, through Grain."""

import functools
from collections.abc import Iterator
from typing import TypedDict

import grain
import numpy as np

from train.data.examples import Source


class Batch(TypedDict):
    """Examples: `image` uint8 [n, size, size, 3], `label` [n] integers."""

    image: np.ndarray
    label: np.ndarray


class TrainingBatch(Batch):
    """Examples, and what their random draws follow from, [n] integers each."""

    index: np.ndarray  # in the source
    epoch: np.ndarray  # the cycle through the source, from 0
    place: np.ndarray  # in the order of that cycle, from 0


def train_batches(
    source: Source, *, batch_size: int, seed: int, position: int, threads: int, prefetch: int
) -> grain.DatasetIterator[TrainingBatch]:
    """Return the endless stream of training batches from batch number `position` on.

    Each cycle through the source is a new permutation of it; batches run across the end of a
    cycle. The order depends on the seed alone, so a position is all that a checkpoint must keep.
    """
    examples = grain.MapDataset.source(_Numbered(source)).seed(seed).shuffle().repeat()
    placed = examples.map_with_index(functools.partial(_placed, len(source)))
    batches = placed.batch(batch_size)
    # The buffer counts batches; Grain's own default would decode 500 of them ahead.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    iterator = iter(batches.to_iter_dataset(options))
    iterator.set_state({"next_index": position})
    return iterator


class _Numbered:
    """A source whose examples know their index in it."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, object]:
        return {**self.source[index], "index": index}


def _placed(count: int, position: int, example: dict[str, object]) -> dict[str, object]:
    """The example at a position of the stream, with its place in one of the cycles of `count`."""
    epoch, place = divmod(position, count)
    return {**example, "epoch": epoch, "place": place}


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
