"""Classify pictures with a trained network: `python -m train.predict WEIGHTS PATH ...`."""

import argparse
import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .figures import page
from .figures.predictions import Prediction, draw_predictions
from .inference import prediction_table
from .runtime import output
from .runtime.cli import add_devices, make_parser, new_file, run_command

if TYPE_CHECKING:  # JAX is imported after the flags are parsed
    from PIL import Image

    from .inference.predictor import Predictor

EXAMPLES = (
    "python -m train.predict torchvision cat.jpg",
    "python -m train.predict runs/NAME FOLDER --figure top5.png --out table.csv",
)

_BATCH_SIZE = 32  # enough to keep a CPU busy, and little memory
_LONGEST_NAME = 10_000  # other programs read the paths, of 4,096 characters at most
_MAX_DRAWN = 24  # twelve rows of two, as much as a page shows


def main(argv: list[str] | None = None) -> None:
    """Print the five most probable classes of each picture."""
    flags = _parser().parse_args(argv)
    if flags.figure:
        page.check_file(flags.figure)
    if flags.out:
        prediction_table.check_file(flags.out)
    if flags.figure or flags.out:
        output.outlive_reader()
    from .inference.image_files import find_pictures
    from .runtime import backend, compile_cache

    pictures = find_pictures(flags.paths)
    backend.set_up_devices(flags.devices)
    compile_cache.enable()
    from alexnet_jax.printable import printable

    from .inference.predictor import open_predictor

    predictor = open_predictor(flags.weights, devices=flags.devices, layout=flags.layout)
    drawn, without_numbers, count = [], 0, 0
    table = prediction_table.open_table(flags.out) if flags.out else contextlib.nullcontext()
    with table as write:
        for prediction in predict(predictor, pictures):
            count += 1
            without_numbers += not all(map(math.isfinite, prediction.probabilities))
            print(printable(prediction.path, _LONGEST_NAME))
            for label, probability in zip(
                prediction.classes, prediction.probabilities, strict=True
            ):
                print(f"  {100 * probability:6.2f} %  {printable(label, _LONGEST_NAME)}")
            if write:
                write(prediction._asdict())
            if flags.figure and len(drawn) < _MAX_DRAWN:
                drawn.append(prediction)
    if without_numbers:
        print(
            f"note: {predictor.source}: the network's outputs are not numbers, but NaN or inf, "
            f"for {without_numbers:,} of {count:,} pictures",
            file=sys.stderr,
        )
    if drawn:
        print(draw_predictions(drawn, predictor, flags.figure))
    if flags.out:
        print(flags.out)


def show(weights: str | os.PathLike[str], *pictures: str | os.PathLike[str]) -> "Image.Image":
    """Return a drawing of pictures and their five most probable classes, which notebooks show.

        show("torchvision", "cat.jpg")

    Args:
      weights: the folder of a run, a file of weights, or a published name.
      *pictures: files, or folders with pictures at any depth; the first 24 are drawn.

    Raises BadInput if there are no such weights or pictures.
    """
    from PIL import Image

    from .inference.image_files import find_pictures
    from .inference.predictor import open_predictor

    paths = find_pictures(map(Path, pictures))[:_MAX_DRAWN]
    predictor = open_predictor(weights)
    with tempfile.TemporaryDirectory() as folder:
        drawing = draw_predictions(
            [*predict(predictor, paths)], predictor, Path(folder, "predictions.png")
        )
        with Image.open(drawing) as image:
            return image.convert("RGB")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, __doc__, EXAMPLES)
    page.add_weights(parser)
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
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=new_file,
        help="also write them as a table: a row for each class to FILE.csv, or an object for each "
        "picture to FILE.jsonl",
    )
    add_devices(parser)
    return parser


def predict(predictor: "Predictor", pictures: list[Path]) -> Iterator[Prediction]:
    """Yield the predictions, at most five classes, from the center crop of each picture."""
    import jax
    import numpy as np

    from .inference.image_files import read_batches

    eval_step = predictor.eval_step()
    batches = read_batches(
        pictures,
        predictor.stored_size,
        batch_size=predictor.batch_size(_BATCH_SIZE, len(pictures)),
        threads=predictor.threads,
        resize=predictor.resize,
    )
    for paths, images in batches:
        probabilities = np.asarray(jax.nn.softmax(eval_step(images)[:, 0]))
        for path, row in zip(paths, probabilities, strict=False):
            top = np.argsort(-row, kind="stable")[:5].tolist()
            truth = predictor.class_index(Path(os.path.abspath(path)).parent.name)
            yield Prediction(
                path,
                [predictor.class_label(index) for index in top],
                [float(row[index]) for index in top],
                None if truth is None else predictor.class_label(truth),
                top.index(truth) if truth in top else None,
                [predictor.class_names[index] for index in top],
            )


if __name__ == "__main__":
    run_command(main)
