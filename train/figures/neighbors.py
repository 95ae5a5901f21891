"""The pictures most similar to each query (Figure 4, right): nearest features.

`python -m train.figures neighbors WEIGHTS QUERIES GALLERY FILE` compares the features of the
last hidden layer by Euclidean distance.
"""

import argparse
import heapq
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.errors import BadInput
from ..runtime.cli import positive
from . import page
from .photograph import draw_photograph, read_photograph

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    from ..inference.predictor import Predictor

_MAX_QUERIES = 10  # rows of the figure; the paper's has five
_BATCH_SIZE = 32  # enough to keep a CPU busy, and little memory

Features = Callable[[np.ndarray], "ArrayLike"]
Batches = Iterable[tuple[list[Path], np.ndarray]]
Neighbor = tuple[float, Path]
"""A distance and a picture."""

EXAMPLES = ("python -m train.figures neighbors runs/NAME QUERIES GALLERY neighbors.png",)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this figure."""
    page.add_weights(parser)
    parser.add_argument("queries", metavar="QUERIES", type=Path, help="a picture, or a folder")
    parser.add_argument("gallery", metavar="GALLERY", type=Path, help="a folder, of any depth")
    page.add_file(parser)
    parser.add_argument(
        "--nearest", metavar="N", type=positive, default=6, help="of each query (%(default)s)"
    )


def main(flags: argparse.Namespace) -> Path:
    """Find the nearest neighbors, print their distances, and draw them."""
    page.check_file(flags.file)  # before the folders are searched
    from ..inference.image_files import find_pictures, read_batches

    queries, gallery = find_pictures([flags.queries]), find_pictures([flags.gallery])
    if len(queries) > _MAX_QUERIES:
        evenly = np.linspace(0, len(queries) - 1, _MAX_QUERIES).astype(int)
        print(f"of {len(queries):,} queries, {_MAX_QUERIES} evenly spaced ones")
        queries = [queries[i] for i in evenly]
    predictor = page.open_weights(flags)
    features, size = predictor.extract_features(), predictor.stored_size
    options = {
        "batch_size": _BATCH_SIZE,
        "threads": predictor.threads,
        "resize": predictor.resize,
    }
    query_batches = read_batches(queries, size, **options)
    results = nearest(
        features, query_batches, read_batches(gallery, size, **options), flags.nearest
    )
    distances = [distance for _, neighbors in results for distance, _ in neighbors]
    page.check_numbers(np.array(distances), predictor)
    for query, neighbors in results:
        print(query)
        for distance, path in neighbors:
            print(f"  {distance:10.4g}  {path}")
    return draw_neighbors(predictor, results, flags.file)


def nearest(
    features: Features, queries: Batches, gallery: Batches, count: int
) -> list[tuple[Path, list[Neighbor]]]:
    """Return, for each query, the `count` pictures of the gallery nearest to it, nearest first.

    The query's own file is left out. Of pictures at the same distance the earlier comes first.
    """
    query_features = [
        (path, x)
        for paths, rows in _extract(features, queries)
        for path, x in zip(paths, rows, strict=True)
    ]
    best: list[list[tuple[float, int, Path]]] = [[] for _ in query_features]
    gallery_count = 0
    for paths, rows in _extract(features, gallery):
        resolved = [path.resolve() for path in paths]
        numbers = range(gallery_count, gallery_count + len(paths))
        for i, (query, x) in enumerate(query_features):
            distances = np.sqrt(((rows - x) ** 2).sum(axis=1)).tolist()
            candidates = zip(distances, numbers, paths, strict=True)
            others = (
                candidate
                for candidate, path in zip(candidates, resolved, strict=True)
                if path != query.resolve()
            )
            best[i] = heapq.nsmallest(count, [*best[i], *others])
        gallery_count += len(paths)
    if not query_features or not gallery_count:
        raise BadInput("none of the pictures can be decoded")
    neighbors = ([(distance, path) for distance, _, path in nearest] for nearest in best)
    return [(query, row) for (query, _), row in zip(query_features, neighbors, strict=True)]


def _extract(features: Features, batches: Batches) -> Iterable[tuple[list[Path], np.ndarray]]:
    """Yield the paths and features of each batch, without its padding."""
    for paths, images in batches:
        yield paths, np.asarray(features(images), np.float64)[: len(paths)]


def draw_neighbors(
    predictor: "Predictor", results: Sequence[tuple[Path, list[Neighbor]]], path: Path
) -> Path:
    """Draw a row for each query, with the query at the left. Returns `path`."""
    columns = 1 + max(len(neighbors) for _, neighbors in results)
    figure = page.blank(1.3 * columns + 0.3, 1.45 * len(results) + 0.5)
    widths = [1.25, *[1] * (columns - 1)]
    grid = figure.subplots(len(results), columns, squeeze=False, width_ratios=widths)
    name = page.plain(predictor.title, 80)
    figure.suptitle(f"{name}: queries, and their neighbors by Euclidean distance")
    for row, (query, neighbors) in zip(grid, results, strict=True):
        titles = ["query", *(f"{distance:.3g}" for distance, _ in neighbors)]
        pictures = [query, *(neighbor for _, neighbor in neighbors)]
        for axes in row:
            axes.set_axis_off()
        for axes, title, picture in zip(row, titles, pictures, strict=False):
            draw_photograph(axes, read_photograph(picture, predictor.preprocessing))
            folder = Path(os.path.abspath(picture)).parent.name
            name = page.short(predictor.class_descriptions.get(folder, folder), 20)
            axes.set_title(f"{title}\n{name}", fontsize="x-small")
    return page.write(figure, path)
