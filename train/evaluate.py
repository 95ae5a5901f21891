"""Errors of networks, each alone and averaged: `python -m train.evaluate WEIGHTS ...`."""

import argparse
from pathlib import Path

from .runtime import backend, compile_cache, output
from .runtime.cli import (
    STANDARD_OUTPUT,
    WEIGHTS_HELP,
    add_devices,
    json_file,
    make_parser,
    positive,
    run_command,
)

DESCRIPTION = """\
Print the top-1 and top-5 errors of networks on test, validation or training images: of each
network, and of the average of their probabilities, as for the paper's five CNNs. Each has its own
preprocessing."""

EXAMPLES = (
    "python -m train.evaluate runs/A --per-class",
    "python -m train.evaluate runs/A runs/B --crops 10",
    "python -m train.evaluate torchvision --data DIR --json -",
)


def main(argv: list[str] | None = None) -> None:
    """Evaluate the runs on the command line."""
    flags = _parser().parse_args(argv)
    if flags.json not in (None, STANDARD_OUTPUT):
        output.outlive_reader()
    backend.set_up_devices(flags.devices)
    compile_cache.enable()
    from .inference import tables
    from .inference.ensemble import check_classes, evaluate_together, open_test_images
    from .inference.predictor import open_predictor

    predictors = [
        open_predictor(weights, flags.checkpoint, devices=flags.devices, layout=flags.layout)
        for weights in flags.weights
    ]
    check_classes(predictors)
    sources = open_test_images(predictors, flags.data, flags.part)
    results = evaluate_together(predictors, sources, crops=flags.crops, batch_size=flags.batch_size)
    summary = tables.summarize(
        predictors,
        results,
        part=flags.part,
        per_class=flags.per_class,
        confusions=flags.confusion,
    )
    if flags.json != STANDARD_OUTPUT:
        tables.show(summary)
    if flags.json is not None:
        tables.write(summary, flags.json)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, DESCRIPTION, EXAMPLES)
    parser.add_argument("weights", metavar="WEIGHTS", nargs="+", help=WEIGHTS_HELP)
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="the folder of the data if it has moved, or of other data with the same classes; only "
        "images of --part are read. Files of weights and published ones need it: their classes are "
        "found by the names of its folders, such as n01440764 or tench",
    )
    parser.add_argument(
        "--part",
        choices=("test", "validation", "training"),
        default="test",
        help="(%(default)s) validation: the images that chose the checkpoints; training: those "
        "that the networks learned from, as they are, without augmentation and dropout",
    )
    parser.add_argument(
        "--crops",
        type=int,
        choices=(1, 10),
        default=1,
        help="10: besides the center crop, also the average over the center, the four corners and "
        "the horizontal flips of these five (section 4.1), which takes ten times as long",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="latest|best|STEP",
        type=_checkpoint,
        default="latest",
        help="of runs; by default latest; best has the lowest error on the run's validation "
        "images, so its error there is too low an estimate of that on new images; without such "
        "images, on its test images",
    )
    add_devices(parser)
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        default=128,
        help="crops per batch (%(default)s, the paper's batch size)",
    )
    parser.add_argument(
        "--per-class", action="store_true", help="also print the errors of each class"
    )
    parser.add_argument(
        "--confusion",
        metavar="N",
        type=positive,
        default=0,
        help="also print the N pairs of classes most often confused",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=json_file,
        help="also write all of it to a file; - prints that in place of the tables",
    )
    return parser


def _checkpoint(text: str) -> str | int:
    if text in ("latest", "best"):
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be latest, best or a step, not {text}")
    return int(text)


if __name__ == "__main__":
    backend.restart_with_huge_pages()
    run_command(main)
