"""Several trained nets on one test set, as the paper's five and seven CNNs (§6, Table 2)."""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from alexnet_jax.towers import num_batch_shards

from ..config.errors import BadInput
from ..data.dataset import open_data
from ..data.examples import DataSet, Source
from ..data.pipeline import Batch, evaluation_batch_size, evaluation_batches
from ..run_dir.folder import check_data
from ..steps.eval_step import EvalResults, evaluate
from .predictor import Predictor


def check_classes(nets: Sequence[Predictor]) -> None:
    """Raise BadInput unless all nets tell the same classes apart."""
    first = nets[0]
    for net in nets[1:]:
        if net.class_names != first.class_names:
            pairs = zip(first.class_names, net.class_names, strict=False)
            names = next((f"{a!r} and {b!r}" for a, b in pairs if a != b), None)
            counts = f"{len(first.class_names)} and {len(net.class_names)} of them"
            raise BadInput(
                f"{first.folder} and {net.folder} have different classes, {names or counts}"
            )


def open_test_images(nets: Sequence[Predictor], directory: Path | None) -> dict[int, Source]:
    """Open the test images of the nets' runs, or those in `directory`, once for each stored size.

    Where the seed drew them, they are those that the runs have not learned from. Raises BadInput if
    the data have other classes, or the runs no test images in common.
    """
    first = nets[0].config
    place, kind = (first.data.path, first.data.kind) if directory is None else (directory, "auto")
    opened: dict[int, DataSet] = {}
    for net in nets:
        config, size = net.config, net.stored_size
        runs = f"{nets[0].folder} and {net.folder}"
        if directory is None and config.data.path != place:
            learned = f"{place or 'the digits'} and {config.data.path or 'the digits'}"
            raise BadInput(f"{runs} learned from {learned}; --data says what to test them on")
        if size not in opened:
            opened[size] = open_data(
                place, kind, size, held_out=first.data.held_out, seed=first.recipe.seed
            )
        if opened[size].random_split and (config.recipe.seed, config.data.held_out) != (
            first.recipe.seed,
            first.data.held_out,
        ):
            raise BadInput(
                f"{runs} hold out different pictures, by --seed {first.recipe.seed} and {config.recipe.seed}, "
                f"--held-out {first.data.held_out} and {config.data.held_out}: "
                "one has learned from what the other is tested on"
            )
        check_data(net.folder, opened[size])
    return {size: data.test for size, data in opened.items()}


def evaluate_together(
    nets: Sequence[Predictor], sources: dict[int, Source], *, patches: int, batch_size: int
) -> list[list[EvalResults]]:
    """Return what `evaluate` does, for all images of the test set that `open_test_images` opened.

    A batch is one of `batch_size` patches, so ten patches an image take no more memory than one.
    """
    count = len(next(iter(sources.values())))
    parts = math.lcm(*(num_batch_shards(net.mesh) for net in nets))
    images = evaluation_batch_size(max(1, batch_size // patches), count, parts)
    batches = track(
        _shared_batches(nets, sources, images),
        total=-(-count // images),
        description="evaluating",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    return evaluate([net.scorer(patches) for net in nets], batches)


def _shared_batches(
    nets: Sequence[Predictor], sources: dict[int, Source], batch_size: int
) -> Iterator[list[Batch]]:
    """The same examples for each net, at its stored size; for nets of one size decoded once."""
    config = nets[0].config
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
        of_size = dict(zip(sources, batches, strict=True))
        yield [of_size[net.stored_size] for net in nets]
