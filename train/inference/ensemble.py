"""Evaluate several networks on one test set, as the paper's five and seven CNNs (§6, Table 2)."""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from alexnet_jax.towers import num_batch_shards

from ..config.errors import BadInput
from ..data.dataset import open_data
from ..data.examples import DataSet, Source
from ..data.pipeline import Batch, evaluation_batch_size, evaluation_batches
from ..run_dir.folder import check_data
from ..runtime.progress import ProgressBar
from ..steps.eval_step import EvalResults, evaluate
from .predictor import Predictor


def check_classes(predictors: Sequence[Predictor]) -> None:
    """Raise BadInput unless all networks have the same classes."""
    first = predictors[0]
    for other in predictors[1:]:
        if other.class_names != first.class_names:
            pairs = zip(first.class_names, other.class_names, strict=False)
            names = next((f"{a!r} and {b!r}" for a, b in pairs if a != b), None)
            counts = f"{len(first.class_names)} and {len(other.class_names)} of them"
            raise BadInput(
                f"{first.source} and {other.source} have different classes, {names or counts}"
            )


def open_test_images(predictors: Sequence[Predictor], directory: Path | None) -> dict[int, Source]:
    """Open the test images of the runs, or those in `directory`, once for each stored size.

    If the split is random, these are the images that the runs held out from training.

    Raises BadInput if the data have other classes, or the runs do not share one test set.
    """
    first = predictors[0].config
    path, kind = (first.data.path, first.data.kind) if directory is None else (directory, "auto")
    opened: dict[int, DataSet] = {}
    for predictor in predictors:
        size = predictor.stored_size
        if directory is None:
            _check_same_data(predictors[0], predictor)
        if size not in opened:
            opened[size] = open_data(
                path, kind, size, held_out=first.data.held_out, seed=first.recipe.seed
            )
        if opened[size].random_split:
            _check_same_split(predictors[0], predictor)
        check_data(Path(predictor.source), opened[size])
    return {size: data.test for size, data in opened.items()}


def _check_same_data(first: Predictor, other: Predictor) -> None:
    paths = first.config.data.path, other.config.data.path
    if paths[0] != paths[1]:
        learned = " and ".join(str(path or "the digits") for path in paths)
        raise BadInput(
            f"{first.source} and {other.source} learned from {learned}; "
            "`data` chooses the test data"
        )


def _check_same_split(first: Predictor, other: Predictor) -> None:
    seeds = first.config.recipe.seed, other.config.recipe.seed
    fractions = first.config.data.held_out, other.config.data.held_out
    if seeds[0] != seeds[1] or fractions[0] != fractions[1]:
        raise BadInput(
            f"{first.source} and {other.source} hold out different pictures, by `seed` {seeds[0]} "
            f"and {seeds[1]}, `held_out` {fractions[0]} and {fractions[1]}: "
            "one has learned from what the other is tested on"
        )


def evaluate_together(
    predictors: Sequence[Predictor], sources: dict[int, Source], *, crops: int, batch_size: int
) -> list[list[EvalResults]]:
    """Evaluate networks, each alone and all averaged, on all images of the test set.

    Args:
      predictors: of the networks.
      sources: by stored size, as from `open_test_images`.
      crops: 1 or 10, of each image.
      batch_size: crops per batch. A batch of ten crops per image then needs no more memory than
        one of one crop, unless it holds fewer images than the mesh divides.

    Returns:
      A list for each network, and one for their average if there are several. Each list has the
      results of the center crop and, of ten crops, those of the average over the crops.
    """
    count = len(next(iter(sources.values())))
    shards = math.lcm(*(num_batch_shards(predictor.mesh) for predictor in predictors))
    images_per_batch = evaluation_batch_size(max(1, batch_size // crops), count, shards)
    eval_steps = [predictor.eval_step(crops) for predictor in predictors]
    batches = _batches(predictors, sources, images_per_batch)
    return evaluate(eval_steps, _with_progress(batches, images_per_batch, count))


def _batches(
    predictors: Sequence[Predictor], sources: dict[int, Source], batch_size: int
) -> Iterator[list[Batch]]:
    """Yield the same examples for each network, at its stored size; each size is decoded once."""
    config = predictors[0].config
    streams = [
        evaluation_batches(
            source,
            batch_size=batch_size,
            threads=config.data.threads,
            prefetch=config.data.prefetch,
        )
        for source in sources.values()
    ]
    for batches in zip(*streams, strict=True):
        by_size = dict(zip(sources, batches, strict=True))
        yield [by_size[predictor.stored_size] for predictor in predictors]


def _with_progress(
    batches: Iterator[list[Batch]], batch_size: int, count: int
) -> Iterator[list[Batch]]:
    """Yield the batches, with a bar of images on stderr if that is a terminal."""
    shown, console = sys.stderr.isatty(), Console(stderr=True)
    bar = ProgressBar(count, "images", shown=shown, console=console, transient=True)
    with bar:
        for number, batch in enumerate(batches, 1):
            yield batch
            bar.update(min(number * batch_size, count), "images")
