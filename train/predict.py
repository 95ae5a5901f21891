"""Classify pictures with a trained network: `python -m train.predict RUN PATH ...`."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .figures import page
from .figures.predictions import Prediction, draw_predictions
from .runtime.cli import make_parser, run_command

if TYPE_CHECKING:  # JAX is imported after the flags are parsed
    from .inference.predictor import Predictor

_BATCH_SIZE = 32  # enough to keep a CPU busy, and little memory
_MAX_DRAWN = 24  # twelve rows of two, as much as a page shows


def main(argv: list[str] | None = None) -> None:
    """Print the five most probable classes of each picture."""
    flags = _parser().parse_args(argv)
    if flags.figure:
        page.check_file(flags.figure)
    from .inference.image_files import find_pictures
    from .runtime import backend

    pictures = find_pictures(flags.paths)
    backend.set_up_devices(1)
    backend.enable_compile_cache()
    from .inference.predictor import open_predictor

    predictor = open_predictor(flags.weights)
    drawn = []
    for prediction in predict(predictor, pictures):
        print(prediction.path)
        for label, probability in zip(prediction.classes, prediction.probabilities, strict=True):
            print(f"  {100 * probability:6.2f} %  {label}")
        if flags.figure and len(drawn) < _MAX_DRAWN:
            drawn.append(prediction)
    if drawn:
        print(draw_predictions(drawn, predictor.title, flags.figure))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, __doc__)
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="the folder of a run, a file of weights, or a published name, such as torchvision",
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        type=Path,
        nargs="+",
        help="a picture of any format that Pillow opens, or a folder with pictures at any depth",
    )
    parser.add_argument(
        "--figure",
        metavar="FILE",
        type=Path,
        help=f"also draw the first {_MAX_DRAWN} pictures with bars beside them; if a picture's "
        "folder is named as a class, the bar of that class is red",
    )
    return parser


def predict(predictor: "Predictor", pictures: list[Path]) -> Iterator[Prediction]:
    """Yield the predictions, at most five classes, from the center crop of each picture."""
    import jax
    import numpy as np

    from .inference.image_files import read_batches

    eval_step, names = predictor.eval_step(), predictor.class_names
    batches = read_batches(
        pictures,
        predictor.stored_size,
        batch_size=min(_BATCH_SIZE, len(pictures)),
        threads=predictor.threads,
        resize=predictor.resize,
    )
    for paths, images in batches:
        probabilities = np.asarray(jax.nn.softmax(eval_step(images)[:, 0]))
        for path, image, row in zip(paths, images, probabilities, strict=False):
            top = np.argsort(-row, kind="stable")[:5].tolist()
            folder = path.resolve().parent.name
            truth = names.index(folder) if folder in names else None
            yield Prediction(
                path,
                image,
                [predictor.class_label(index) for index in top],
                [float(row[index]) for index in top],
                None if truth is None else predictor.class_label(truth),
                top.index(truth) if truth in top else None,
            )


if __name__ == "__main__":
    run_command(main)
