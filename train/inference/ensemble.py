"""Evaluate several networks on one test set, as the paper's five and seven CNNs (§6, Table 2)."""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from alexnet_jax.towers import num_batch_shards

from ..config.config import Config
from ..config.errors import BadInput
from ..config.saved import read_record
from ..data.examples import DataSet, Source
from ..data.formats.image_resize import ResizeRule
from ..data.pipeline import Batch, evaluation_batch_size, evaluation_batches
from ..run_dir.same_data import check_data
from ..runtime import output
from ..runtime.cores import decoding_threads
from ..runtime.progress import ProgressBar
from ..steps.eval_step import EvalResults, evaluate
from . import evaluation_data
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


def open_test_images(
    predictors: Sequence[Predictor], directory: Path | None, part: str = "test"
) -> list[Source]:
    """Open one part of the runs' data, or of those in `directory`, as each network takes it.

    If the split is random, these are the images that the runs held out from training. Without a
    run, all pictures of a folder without a split are test images.

    Args:
      predictors: of the networks.
      directory: of other data than the runs'.
      part: "test", "validation" (the images that chose the runs' best checkpoints) or "training"
        (the images that the runs learned from).

    Returns:
      A source for each network, shared by networks with the same size and resizing. Its labels
      are those of the network.

    Raises BadInput if the data have other classes, or the runs do not share one such part.
    """
    first_run = next((predictor for predictor in predictors if predictor.config), None)
    if directory is None and first_run is None:
        raise BadInput(
            f"`data` is needed: {predictors[0].source} is not a run, which knows its own"
        )
    opened: dict[tuple[int, ResizeRule], DataSet] = {}
    sources: dict[tuple[int, ResizeRule], Source] = {}
    for predictor in predictors:
        rule = predictor.stored_size, predictor.resize
        is_run = predictor.config is not None
        if first_run and is_run and directory is None:
            _check_same_data(first_run, predictor)
        if rule not in opened:
            opened[rule] = data = evaluation_data.open_for(predictor, first_run, directory, part)
            sources[rule] = evaluation_data.relabel(predictor, data, part)
        if first_run and is_run:
            _check_same_split(first_run, predictor, opened[rule], part)
        if is_run:
            counted = _counted_parts(predictor, directory, part)
            check_data(Path(predictor.source), opened[rule], counted, sys.stderr)
    return [sources[predictor.stored_size, predictor.resize] for predictor in predictors]


def _check_same_data(first: Predictor, other: Predictor) -> None:
    assert first.config
    assert other.config
    paths = first.config.data.path, other.config.data.path
    if paths[0] != paths[1]:
        learned = " and ".join(str(path or "the digits") for path in paths)
        raise BadInput(
            f"{first.source} and {other.source} learned from {learned}; "
            "`data` chooses the test data"
        )


def _counted_parts(predictor: Predictor, directory: Path | None, part: str) -> list[str]:
    """Return the parts that hold as many images as a run recorded, unless its data changed."""
    assert predictor.config
    if predictor.config.data.bad_images:  # left out by the run from all, and here from `part`
        return ["test"] if part == "test" else []
    if directory and part == "test" and predictor.config.recipe.train_images:  # opened whole
        return ["test"]
    return ["train", "test"]


def _chosen_by(predictor: Predictor, data: DataSet, part: str) -> dict[str, object]:
    """Return the flags of a run, and their values, that have chosen the images of `part`."""
    assert predictor.config
    values, recorded = predictor.config.values(), read_record(Path(predictor.source))["data"]
    takes_share = recorded.get("validation") == "training"
    chosen = {"held_out": values["held_out"]} if data.random_split else {}
    if part != "test":
        chosen["validation"] = values["validation"] if takes_share else 0
        if takes_share or part == "training":
            chosen["train_images"] = values["train_images"]
        if takes_share:
            chosen["validation_from"] = values["validation_from"]
    by_seed = data.random_split or chosen.get("train_images")
    if by_seed or chosen.get("validation_from") == "classes":
        chosen["seed"] = values["seed"]
    return chosen


def _check_same_split(first: Predictor, other: Predictor, data: DataSet, part: str) -> None:
    """Raise BadInput if the images of `part` may differ between two runs."""
    one, two = (_chosen_by(predictor, data, part) for predictor in (first, other))
    different = [name for name in one if name in two and one[name] != two[name]]
    if different:
        pairs = ", ".join(f"`{name}` {one[name]} and {two[name]}" for name in different)
        runs = f"{first.source} and {other.source}"
        if part == "training":
            raise BadInput(f"{runs} have learned from different images, by {pairs}")
        raise BadInput(
            f"{runs} hold out different pictures, by {pairs}: "
            "one has learned from what the other is tested on"
        )


def evaluate_together(
    predictors: Sequence[Predictor], sources: Sequence[Source], *, crops: int, batch_size: int
) -> list[list[EvalResults]]:
    """Evaluate networks, each alone and all averaged, on all images of the test set.

    Args:
      predictors: of the networks.
      sources: one for each network, as from `open_test_images`.
      crops: 1 or 10, of each image.
      batch_size: crops per batch. A batch of ten crops per image then needs no more memory than
        one of one crop, unless it holds fewer images than the mesh divides.

    Returns:
      A list for each network, and one for their average if there are several. Each list has the
      results of the center crop and, of ten crops, those of the average over the crops.
    """
    count = len(sources[0])
    shards = math.lcm(*(num_batch_shards(predictor.mesh) for predictor in predictors))
    images_per_batch = evaluation_batch_size(max(1, batch_size // crops), count, shards)
    eval_steps = [predictor.eval_step(crops) for predictor in predictors]
    batches = _batches(predictors, sources, images_per_batch)
    return evaluate(eval_steps, _with_progress(batches, images_per_batch, count))


def _batches(
    predictors: Sequence[Predictor], sources: Sequence[Source], batch_size: int
) -> Iterator[list[Batch]]:
    """Yield the same examples for each network, as it takes them; each source is decoded once."""
    settings = next((predictor.config for predictor in predictors if predictor.config), Config())
    different = {id(source): source for source in sources}
    streams = [
        evaluation_batches(
            source,
            batch_size=batch_size,
            threads=decoding_threads(settings.data.threads),
            prefetch=settings.data.prefetch,
        )
        for source in different.values()
    ]
    for batches in zip(*streams, strict=True):
        batch_of = dict(zip(different, batches, strict=True))
        yield [batch_of[id(source)] for source in sources]


def _with_progress(
    batches: Iterator[list[Batch]], batch_size: int, count: int
) -> Iterator[list[Batch]]:
    """Yield the batches, with a bar of images on stderr if that is a terminal."""
    shown = output.is_watched(sys.stderr)
    bar = ProgressBar(count, "images", shown=shown, stream=sys.stderr, transient=True)
    with bar:
        for number, batch in enumerate(batches, 1):
            yield batch
            bar.update(min(number * batch_size, count), "images")
