"""Pictures that the net finds alike (Figure 4, right): beside each query those nearest to it.

`python -m train.figures neighbors RUN QUERIES GALLERY FILE` compares the features of the last
hidden layer by their Euclidean distance.
"""

import argparse
import heapq
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.errors import BadInput
from ..runtime.cli import positive
from . import page

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    from ..inference.predictor import Predictor

_MOST_QUERIES = 10
_BATCH = 32

Features = Callable[[np.ndarray], "ArrayLike"]
Batches = Iterable[tuple[list[Path], np.ndarray]]
Found = tuple[float, Path]


def add_flags(flags: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    flags.add_argument("run", metavar="RUN", type=Path, help="the folder of the run")
    flags.add_argument("queries", metavar="QUERIES", type=Path, help="a picture, or a folder")
    flags.add_argument("gallery", metavar="GALLERY", type=Path, help="a folder, of any depth")
    flags.add_argument("file", metavar="FILE", type=Path, help="the picture to write")
    flags.add_argument(
        "--nearest", metavar="N", type=positive, default=6, help="of each query (%(default)s)"
    )


def main(given: argparse.Namespace) -> Path:
    """Find the neighbors, print them with their distances, and draw them."""
    page.check_file(given.file)
    from ..inference.image_files import find_album, read_album
    from ..runtime import backend

    queries, gallery = find_album([given.queries]), find_album([given.gallery])
    if len(queries) > _MOST_QUERIES:
        evenly = np.linspace(0, len(queries) - 1, _MOST_QUERIES).astype(int)
        print(f"of {len(queries):,} queries, {_MOST_QUERIES} evenly spaced ones")
        queries = [queries[i] for i in evenly]
    backend.set_up_devices(1)
    backend.enable_compile_cache()
    from ..inference.predictor import open_predictor

    trained = open_predictor(given.run)
    features, size = trained.features(), trained.stored_size
    options = {"batch_size": _BATCH, "threads": trained.config.data.threads}
    asked = read_album(queries, size, **options)
    found = nearest(features, asked, read_album(gallery, size, **options), given.nearest)
    for query, neighbors in found:
        print(query)
        for distance, path in neighbors:
            print(f"  {distance:10.4g}  {path}")
    return draw_neighbors(trained, found, given.file)


def nearest(
    features: Features, queries: Batches, gallery: Batches, count: int
) -> list[tuple[Path, list[Found]]]:
    """Return, for each query, the `count` pictures of the gallery nearest to it, nearest first.

    The query's own file is none of them. Of pictures at the same distance the earlier comes first.
    """
    asked = [
        (path, x)
        for paths, described in _described(features, queries)
        for path, x in zip(paths, described, strict=True)
    ]
    best: list[list[tuple[float, int, Path]]] = [[] for _ in asked]
    seen = 0
    for paths, described in _described(features, gallery):
        own = [path.resolve() for path in paths]
        for number, (query, x) in enumerate(asked):
            distances = np.sqrt(((described - x) ** 2).sum(axis=1))
            rows = zip(distances.tolist(), range(seen, seen + len(paths)), paths, strict=True)
            others = (r for r, path in zip(rows, own, strict=True) if path != query.resolve())
            best[number] = heapq.nsmallest(count, [*best[number], *others])
        seen += len(paths)
    if not asked or not seen:
        raise BadInput("none of the pictures can be decoded")
    found = ([(distance, path) for distance, _, path in rows] for rows in best)
    return [(query, rows) for (query, _), rows in zip(asked, found, strict=True)]


def _described(features: Features, batches: Batches) -> Iterable[tuple[list[Path], np.ndarray]]:
    for paths, images in batches:
        yield paths, np.asarray(features(images), np.float64)[: len(paths)]


def draw_neighbors(
    trained: "Predictor", found: Sequence[tuple[Path, list[Found]]], path: Path
) -> Path:
    """Draw a row for each query, itself at the left. Returns `path`."""
    from ..data.formats.image_file import read_picture

    columns = 1 + max(len(neighbors) for _, neighbors in found)
    figure = page.blank(1.3 * columns + 0.3, 1.45 * len(found) + 0.5)
    widths = [1.25, *[1] * (columns - 1)]
    grid = figure.subplots(len(found), columns, squeeze=False, width_ratios=widths)
    figure.suptitle(
        f"{trained.architecture.name}: queries, and their neighbors by Euclidean distance"
    )
    for row, (query, neighbors) in zip(grid, found, strict=True):
        titles = ["query", *(f"{distance:.3g}" for distance, _ in neighbors)]
        shown = [query, *(neighbor for _, neighbor in neighbors)]
        for axes in row:
            axes.set_axis_off()
        for axes, title, picture in zip(row, titles, shown, strict=False):
            axes.imshow(read_picture(picture, trained.stored_size))
            folder = picture.resolve().parent.name
            name = page.short(trained.words.get(folder, folder), 20)
            axes.set_title(f"{title}\n{name}", fontsize="x-small")
    return page.write(figure, path)
