"""From a source to batches, through Grain.

Each process of a run reads only the rows of a batch that its own devices hold.
"""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import numpy as np

from ..runtime.grain_import import grain
from .examples import Source

PADDING = -1
"""The label of the rows that pad the last batch of an evaluation."""


class Batch(TypedDict):
    """Examples: `image` uint8 [n, size, size, 3], `label` int32 [n]."""

    image: np.ndarray
    label: np.ndarray


class TrainingBatch(Batch):
    """Examples, and the numbers that their random draws depend on, int32 [n] each."""

    index: np.ndarray  # in the source
    epoch: np.ndarray  # from 0
    place: np.ndarray  # in the order of the epoch, from 0


def train_batches(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    position: int,
    threads: int,
    prefetch: int,
    rows: slice = slice(None),
) -> grain.DatasetIterator[TrainingBatch]:
    """Return the endless stream of training batches from example number `position` on.

    Each epoch is a new permutation of the source; a batch may span two epochs. The order depends on
    the seed alone, so the position is all that a checkpoint must keep, whatever the number of
    devices and processes.

    Args:
      source: of the examples.
      batch_size: of the global batch, over all processes.
      seed: of the permutations.
      position: the number of examples that the run has already consumed.
      threads: number of threads that decode images.
      prefetch: number of batches to read ahead.
      rows: the rows of each batch to read.
    """
    reader = _Reader(source, threads)
    # Only example numbers are shuffled and batched, at no cost; images are read after that.
    located = _order(len(source), seed).map_with_index(functools.partial(_locate, len(source)))
    batches = (
        located[position:]
        .batch(batch_size)
        .map(
            lambda numbers: _read_located(
                reader, {name: array[rows] for name, array in numbers.items()}
            )
        )
    )
    return iter(batches.to_iter_dataset(_read_options(prefetch)))


def _order(count: int, seed: int) -> grain.MapDataset:
    """Return the endless stream of indices below `count` for a seed."""
    return grain.MapDataset.range(count).seed(seed).shuffle().repeat()


def _locate(count: int, position: int, index: int) -> dict[str, np.ndarray]:
    """Return an index with its epoch and its place in it, given its position in the stream."""
    epoch, place = divmod(position, count)
    numbers = {"index": index, "epoch": epoch, "place": place}
    return {name: np.asarray(number, np.int32) for name, number in numbers.items()}


def example_indices(count: int, *, seed: int, numbers: range) -> list[int]:
    """Return the source indices, below `count`, of these example numbers of the stream."""
    order = _order(count, seed)
    return [int(np.asarray(order[number])) for number in numbers]


def evaluation_batch_size(batch_size: int, count: int, shards: int) -> int:
    """Return the batch size to evaluate `count` examples with: a multiple of `shards`.

    It is the smallest multiple that is at least `batch_size`, or `count` if that is less.
    """
    return -(-min(batch_size, count) // shards) * shards


def evaluation_batches(
    source: Source, *, batch_size: int, threads: int, prefetch: int, rows: slice = slice(None)
) -> Iterator[Batch]:
    """Yield every example once, in order. `PADDING` fills the last batch.

    Only `rows` of each batch are read.
    """
    reader = _Reader(source, threads)
    batches = grain.MapDataset.range(-(-len(source) // batch_size)).map(
        lambda number: reader.read(range(number * batch_size, (number + 1) * batch_size)[rows])
    )
    iterator = iter(batches.to_iter_dataset(_read_options(prefetch)))
    try:
        yield from iterator
    finally:
        iterator.close()


def _read_options(prefetch: int) -> grain.ReadOptions:
    """Return options to read this number of batches ahead; Grain's own default would read 500.

    Grain's threads only hand batches to a `_Reader`, and wait for them.
    """
    return grain.ReadOptions(num_threads=prefetch, prefetch_buffer_size=prefetch)


def _read_located(reader: "_Reader", numbers: dict[str, np.ndarray]) -> TrainingBatch:
    batch = reader.read(numbers["index"])
    return {
        "image": batch["image"],
        "label": batch["label"],
        "index": numbers["index"],
        "epoch": numbers["epoch"],
        "place": numbers["place"],
    }


class _Reader:
    """Reads batches. Its threads share the examples of each batch.

    Were each batch read by one thread, no more threads would be busy than batches are read ahead.
    """

    def __init__(self, source: Source, threads: int) -> None:
        self._source, self._threads = source, threads
        self._pool = ThreadPoolExecutor(threads, "decode")

    def read(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Read examples; indices beyond the end of the source, the last ones, give padding."""
        source = self._source
        count = sum(index < len(source) for index in indices)
        first = self._pool.submit(source.__getitem__, int(indices[0]) if count else 0).result()
        images = np.zeros((len(indices), *first["image"].shape), np.uint8)
        labels = np.full(len(indices), PADDING, np.int32)

        def fill(rows: range) -> None:
            for row in rows:
                example = source[int(indices[row])] if row else first
                images[row], labels[row] = example["image"], example["label"]

        each = -(-len(indices) // self._threads)
        parts = [range(start, min(start + each, count)) for start in range(0, count, each)]
        list(self._pool.map(fill, parts))  # raises what a thread has raised
        return {"image": images, "label": labels}
