"""Pictures to shards of small JPEGs, once, before training: `python -m train.prepare SRC OUT`.

SRC holds train/CLASS/* and val/CLASS/* (or test), or CLASS/* alone, or ILSVRC as published:
train/SYNSET/*, and val/* with a list of what they show (--labels). After a stop the same command
goes on; in a folder that is complete it checks the shards, and mends what is damaged.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from .config.config import COMMAND
from .data.formats import manifest
from .data.formats.manifest import Manifest
from .data.preparation.prepare import Options, prepare, reasons
from .runtime.cli import command, parser


def _report(whole: Manifest, out: Path) -> None:
    """Say what there is now, what was converted, and by name what was left out."""
    shards = [shard for split in whole.shards.values() for shard in split]
    train, test = (f"{sum(whole.by_class[split]):,}" for split in manifest.SPLITS)
    size = sum(shard.bytes for shard in shards) / 1e6
    print(
        f"{out} holds {train} training and {test} test pictures of {len(whole.classes)} classes, "
        f"{whole.size} x {whole.size}, in {len(shards)} shards, {size:,.0f} MB"
    )
    if whole.statistics:
        red, green, blue = whole.statistics.channel_mean
        print(f"mean of the training pictures: red {red:.2f}, green {green:.2f}, blue {blue:.2f}")
    if odd := manifest.count_odd(shards):
        counts = ", ".join(f"{count:,} {what}" for what, count in odd.items())
        print(f"converted, and named in {out / manifest.NAME}: {counts}")
    if left_out := reasons(shards):
        print(f"left out: {len(left_out):,}")
    for name, why in sorted(left_out.items()):
        print(f"  {name} {why}")
    print(f"{COMMAND} --data {out} trains on them")


def main(argv: list[str] | None = None) -> None:
    """Read the flags, make the shards, say what came of it."""
    flags = parser("train.prepare", __doc__)
    flags.add_argument("source", type=Path, metavar="SRC", help="the folder of the pictures")
    flags.add_argument("out", type=Path, metavar="OUT", help="the folder for the shards")
    flags.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="what the pictures in a flat SRC/val show: the devkit's ground truth, Caffe's val.txt,"
        " a list of synsets, or Kaggle's CSV",
    )
    flags.add_argument(
        "--synsets",
        type=Path,
        metavar="FILE",
        help="the devkit's meta.mat, or a text with a synset and its words a line: what classes "
        "are called, and the order that the devkit's ground truth counts in",
    )
    flags.add_argument(
        "--class-order",
        choices=("sorted", "devkit"),
        default="sorted",
        help="how the classes are numbered (default: %(default)s)",
    )
    flags.add_argument(
        "--held-out",
        type=_fraction,
        default=0.1,
        help="fraction of CLASS/* to test on, drawn by the seed (%(default)s)",
    )
    flags.add_argument(
        "--size", type=_number(1, 2**14), default=256, help="pixels square (%(default)s)"
    )
    flags.add_argument(
        "--resize",
        choices=("crop", "squash"),
        default="crop",
        help="the shorter side to that size and the center cut out, as in the paper, or both sides,"
        " as Caffe did (default: %(default)s)",
    )
    flags.add_argument(
        "--seed", type=_number(0), default=0, help="the order of training pictures (%(default)s)"
    )
    flags.add_argument(
        "--shard-size", type=_number(1), default=2048, help="pictures a shard (%(default)s)"
    )
    flags.add_argument(
        "--processes", type=_number(1), default=_cores(), help="that decode (%(default)s)"
    )
    flags.add_argument(
        "--strict", action="store_true", help="stop at a picture that cannot be decoded"
    )
    options = Options(**vars(flags.parse_args(argv)))
    _report(prepare(options), options.out)


def _number(least: int, most: int | None = None) -> Callable[[str], int]:
    def number(text: str) -> int:
        if text.isdecimal() and int(text) >= least and (most is None or int(text) <= most):
            return int(text)
        until = "on" if most is None else f"to {most}"
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} {until}, not {text}")

    return number


def _fraction(text: str) -> float:
    try:
        if 0 < float(text) < 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be above 0 and below 1, not {text}")


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    command(main)
