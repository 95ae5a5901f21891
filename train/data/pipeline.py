"""From a source to batches, through Grain.

Each process of a run reads the rows of a batch that its own devices hold, and no others.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import TypedDict

import grain
import numpy as np

from .examples import Source

FILLER = -1
"""The label of what fills the last batch of an evaluation up."""


class Batch(TypedDict):
    """Examples: `image` uint8 [n, size, size, 3], `label` int32 [n]."""

    image: np.ndarray
    label: np.ndarray


class TrainingBatch(Batch):
    """Examples, and what their random draws follow from, [n] integers each."""

    index: np.ndarray  # in the source
    epoch: np.ndarray  # the cycle through the source, from 0
    place: np.ndarray  # in the order of that cycle, from 0


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

    Each cycle through the source is a new permutation of it; batches run across the end of a
    cycle. The order depends on the seed alone, so a position is all that a checkpoint must keep,
    whatever the number of devices and processes.

    Args:
      source: of the examples.
      batch_size: of the whole batch, over all processes.
      seed: of the order.
      position: how many examples of the stream have been drawn already.
      threads: that decode.
      prefetch: batches read ahead.
      rows: of each batch, those that are read.
    """
    # Only the numbers of the examples are shuffled and put in batches, which costs nothing.
    placed = _order(len(source), seed).map_with_index(functools.partial(_placed, len(source)))
    batches = (
        placed[position:]
        .batch(batch_size)
        .map(
            lambda chosen: _read_placed(
                source, {name: array[rows] for name, array in chosen.items()}
            )
        )
    )
    # The buffer counts batches; Grain's own default would decode 500 of them ahead.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    return iter(batches.to_iter_dataset(options))


def _order(count: int, seed: int) -> grain.MapDataset:
    """The endless stream of indices below `count` that a seed makes."""
    return grain.MapDataset.range(count).seed(seed).shuffle().repeat()


def _placed(count: int, position: int, index: int) -> dict[str, np.ndarray]:
    """The index at a position of the stream, with its place in one of the cycles of `count`."""
    epoch, place = divmod(position, count)
    numbers = {"index": index, "epoch": epoch, "place": place}
    return {name: np.asarray(number, np.int32) for name, number in numbers.items()}


def examples_of(count: int, *, seed: int, numbers: range) -> list[int]:
    """Return the indices, below `count`, of these examples in the stream of training batches."""
    order = _order(count, seed)
    return [int(np.asarray(order[number])) for number in numbers]


def evaluation_size(batch_size: int, count: int, parts: int) -> int:
    """Return how large the batches of an evaluation of `count` examples are.

    At most `batch_size`, but for what lets them be divided into so many equal parts.
    """
    return -(-min(batch_size, count) // parts) * parts


def evaluation_batches(
    source: Source, *, batch_size: int, threads: int, prefetch: int, rows: slice = slice(None)
) -> Iterator[Batch]:
    """Return every example once, in order; the last batch is filled up with `FILLER`s.

    Of each batch, `rows` are read.
    """
    batches = grain.MapDataset.range(-(-len(source) // batch_size)).map(
        lambda number: _read(source, range(number * batch_size, (number + 1) * batch_size)[rows])
    )
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    iterator = iter(batches.to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()


def _read_placed(source: Source, placed: dict[str, np.ndarray]) -> TrainingBatch:
    batch = _read(source, placed["index"])
    return {
        "image": batch["image"],
        "label": batch["label"],
        "index": placed["index"],
        "epoch": placed["epoch"],
        "place": placed["place"],
    }


def _read(source: Source, numbers: Sequence[int] | np.ndarray) -> Batch:
    """The examples of these numbers; for those beyond the end of the source, fillers."""
    examples = [source[int(number)] for number in numbers if number < len(source)]
    [shape, *_] = [example["image"].shape for example in examples or [source[0]]]
    images = np.zeros((len(numbers), *shape), np.uint8)
    labels = np.full(len(numbers), FILLER, np.int32)
    for place, example in enumerate(examples):
        images[place], labels[place] = example["image"], example["label"]
    return {"image": images, "label": labels}
