"""Test errors of runs, each alone and all averaged: `python -m train.evaluate RUN [RUN ...]`."""

import argparse
from pathlib import Path

from .runtime import backend
from .runtime.cli import make_parser, new_file, positive, run_command

TEXT = """\
Print the top-1 and top-5 errors of runs on their test images: of each run, and of the mean of all
(of their probabilities, as of the paper's five CNNs)."""


def main(argv: list[str] | None = None) -> None:
    """Evaluate the runs on the command line."""
    given = _flags().parse_args(argv)
    backend.set_up_devices(given.devices)
    backend.enable_compile_cache()
    from .inference import tables
    from .inference.ensemble import check_classes, evaluate_together, open_test_images
    from .inference.predictor import open_predictor

    nets = [open_predictor(run, given.checkpoint, devices=given.devices) for run in given.runs]
    check_classes(nets)
    images = open_test_images(nets, given.data)
    outcomes = evaluate_together(nets, images, patches=given.crops, batch_size=given.batch_size)
    found = tables.figures(nets, outcomes, per_class=given.per_class, confusions=given.confusion)
    tables.show(found)
    if given.json is not None:
        tables.write(found, given.json)


def _flags() -> argparse.ArgumentParser:
    flags = make_parser(__spec__.name, TEXT)
    flags.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="the folder of a run")
    flags.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="where the data are now, or others with the same classes; only test images are read",
    )
    flags.add_argument(
        "--crops",
        type=int,
        choices=(1, 10),
        default=1,
        help="10: besides the central patch, the mean over it, the four corners and the mirror "
        "images of the five (section 4.1), which costs ten times as much",
    )
    flags.add_argument(
        "--checkpoint",
        metavar="latest|best|STEP",
        type=_checkpoint,
        default="latest",
        help="latest, unless said; the best is the one with the lowest error on the run's test "
        "images, so its error there is not that of new ones",
    )
    flags.add_argument(
        "--devices",
        metavar="N",
        type=positive,
        default=1,
        help="1, or 2 for one tower on each; 4, 6, 8, ... divide the batch, and so does any number "
        "of them for a net of one tower",
    )
    flags.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        default=128,
        help="patches that go through the net at once",
    )
    flags.add_argument("--per-class", action="store_true", help="the errors of each class, too")
    flags.add_argument(
        "--confusion",
        metavar="N",
        type=positive,
        default=0,
        help="the N pairs of classes most often confused, too",
    )
    flags.add_argument(
        "--json", metavar="FILE", type=new_file, help="write all that into a file, too"
    )
    return flags


def _checkpoint(text: str) -> str | int:
    if text in ("latest", "best"):
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be latest, best or a step, not {text}")
    return int(text)


if __name__ == "__main__":
    backend.restart_with_huge_pages()
    run_command(main)
