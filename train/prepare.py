"""Pack pictures into shards of small JPEGs, or of raw pixels, once, before training.

SRC holds train/CLASS/* and val/CLASS/* (or test), or CLASS/*
alone, or ILSVRC as published: train/SYNSET/*, and val/* with a list of their labels (--labels).
After an interruption the same command continues. In a complete folder it checks the shards, and
writes damaged ones again.
"""

import argparse
import os
import shlex
from collections.abc import Callable
from pathlib import Path

from .config.errors import as_called
from .data.formats import manifest
from .data.formats.manifest import Manifest
from .data.preparation.prepare import PrepareOptions, prepare, skip_reasons
from .runtime.cli import make_parser, run_command

EXAMPLES = (
    "python -m train.prepare PICTURES OUT",
    "python -m train.prepare ILSVRC OUT --labels val.txt --synsets meta.mat",
    "python -m train.prepare PICTURES OUT --encoding raw --processes 8",
)


def _report(contents: Manifest, out: Path) -> None:
    """Print what the folder holds, what was converted, and the names of skipped pictures."""
    shards = [shard for split in contents.shards.values() for shard in split]
    totals = {split: f"{sum(counts):,}" for split, counts in contents.class_counts.items()}
    val = f"{totals['val']} validation and " if "val" in totals else ""
    megabytes = sum(shard.byte_count for shard in shards) / 1e6
    print(
        f"{out} holds {totals['train']} training and {val}{totals['test']} test pictures of "
        f"{len(contents.class_names)} classes, {contents.size} x {contents.size}, in "
        f"{len(shards)} shards, {megabytes:,.0f} MB"
    )
    if contents.statistics:
        red, green, blue = contents.statistics.channel_mean
        print(f"mean of the training pictures: red {red:.2f}, green {green:.2f}, blue {blue:.2f}")
    if conversions := manifest.count_conversions(shards):
        counts = ", ".join(f"{count:,} {kind}" for kind, count in conversions.items())
        print(f"converted, and listed in {out / manifest.NAME}: {counts}")
    if reasons := skip_reasons(shards):
        print(f"left out: {len(reasons):,}")
        for name, reason in sorted(reasons.items()):
            print(f"  {name} {reason}")
    command = as_called("python -m train.main --data")
    print(f"{command} {shlex.quote(str(out))} trains on them")


def main(argv: list[str] | None = None) -> None:
    """Read the flags, write the shards, report."""
    options = PrepareOptions(**vars(_parser().parse_args(argv)))
    _report(prepare(options), options.out)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, __doc__, EXAMPLES)
    parser.add_argument("source", type=Path, metavar="SRC", help="the folder of the pictures")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder for the shards")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="labels of the pictures in a flat SRC/val: the devkit's ground truth, Caffe's val.txt,"
        " a list of synsets, or Kaggle's CSV",
    )
    parser.add_argument(
        "--synsets",
        type=Path,
        metavar="FILE",
        help="the devkit's meta.mat, or a text with a synset and its description in each line: the "
        "descriptions of the classes, and the order in which the devkit numbers them",
    )
    parser.add_argument(
        "--class-order",
        choices=("sorted", "devkit"),
        default="sorted",
        help="how the classes are numbered (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out",
        type=_fraction,
        default=0.1,
        help="fraction of CLASS/* to test on, drawn at random by the seed (%(default)s)",
    )
    parser.add_argument(
        "--size", type=_number(1, 2**14), default=256, help="height and width (%(default)s pixels)"
    )
    parser.add_argument(
        "--resize",
        choices=("crop", "squash"),
        default="crop",
        help="resize the shorter side and crop the center, as in the paper, or resize both sides, "
        "as Caffe did (default: %(default)s)",
    )
    parser.add_argument(
        "--encoding",
        choices=tuple(manifest.KINDS),
        default="jpeg",
        help="small JPEGs of quality 95, or raw pixels, which need no decoding and 3 x SIZE x SIZE "
        "bytes a picture: at 256 pixels some six times as many (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=_number(0), default=0, help="of the order of training pictures (%(default)s)"
    )
    parser.add_argument(
        "--shard-size",
        type=_number(1),
        default=2048,
        help="pictures per shard (%(default)s: some 65 MB at 256 pixels, 403 MB of raw pixels)",
    )
    parser.add_argument(
        "--processes", type=_number(1), default=_cores(), help="to decode with (%(default)s)"
    )
    parser.add_argument(
        "--strict", action="store_true", help="fail at a picture that cannot be decoded"
    )
    return parser


def _number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a converter of flags with whole numbers from `least` to `most`."""

    def convert(text: str) -> int:
        if text.isdecimal() and int(text) >= least and (most is None or int(text) <= most):
            return int(text)
        until = "on" if most is None else f"to {most}"
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} {until}, not {text}")

    return convert


def _fraction(text: str) -> float:
    try:
        if 0 < float(text) < 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be above 0 and below 1, not {text}")


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    run_command(main, outlives_reader=True)
