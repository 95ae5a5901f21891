"""What a trained net sees in pictures: `python -m train.predict RUN PATH ...`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .figures import page
from .figures.predictions import Prediction, draw_predictions
from .runtime.cli import make_parser, run_command

if TYPE_CHECKING:  # JAX itself waits until the flags are read
    from .inference.predictor import Predictor

_BATCH = 32
_MOST_DRAWN = 24


def main(argv: list[str] | None = None) -> None:
    """Print the five likeliest classes of each picture, with their probabilities."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("run", metavar="RUN", type=Path, help="the folder of the run")
    flags.add_argument(
        "paths",
        metavar="PATH",
        type=Path,
        nargs="+",
        help="a picture, of any kind that Pillow opens, or a folder with pictures at any depth",
    )
    flags.add_argument(
        "--figure",
        metavar="FILE",
        type=Path,
        help=f"draw the first {_MOST_DRAWN} pictures with bars beside them, too; in a folder named"
        " as a class, that class's bar is red",
    )
    given = flags.parse_args(argv)
    if given.figure:
        page.check_file(given.figure)
    from .inference.image_files import find_album
    from .runtime import backend

    album = find_album(given.paths)
    backend.set_up_devices(1)
    backend.enable_compile_cache()
    from .inference.predictor import open_predictor

    trained = open_predictor(given.run)
    drawn = []
    for seen in predictions(trained, album):
        print(seen.path)
        for name, probability in zip(seen.classes, seen.probabilities, strict=True):
            print(f"  {100 * probability:6.2f} %  {name}")
        if given.figure and len(drawn) < _MOST_DRAWN:
            drawn.append(seen)
    if drawn:
        title = f"{trained.architecture.name}, after step {trained.step:,}"
        print(draw_predictions(drawn, title, given.figure))


def predictions(trained: "Predictor", album: list[Path]) -> Iterator[Prediction]:
    """Return what the net sees in the center of each picture, five classes at most."""
    import jax
    import numpy as np

    from .inference.image_files import read_album

    score = trained.scorer()
    batches = read_album(
        album,
        trained.stored_size,
        batch_size=min(_BATCH, len(album)),
        threads=trained.config.data.threads,
    )
    for paths, images in batches:
        rows = np.asarray(jax.nn.softmax(score(images)[:, 0]))
        for path, image, row in zip(paths, images, rows, strict=False):
            labels = np.argsort(-row, kind="stable")[:5].tolist()
            folder = path.resolve().parent.name
            shown = trained.class_names.index(folder) if folder in trained.class_names else None
            yield Prediction(
                path,
                image,
                [trained.called(label) for label in labels],
                [float(row[label]) for label in labels],
                None if shown is None else trained.called(shown),
                labels.index(shown) if shown in labels else None,
            )


if __name__ == "__main__":
    run_command(main)
