"""Repeat one of the paper's findings: `python -m train.findings NAME --data DIR`."""

import argparse
import shlex
from pathlib import Path

from ..config.errors import BadInput, as_called
from ..runtime.cli import make_folder, make_parser, positive, run_command
from ..runtime.cores import available_cores

DESCRIPTION = """\
Repeat one of the paper's findings: train its runs, several seeds of each, print a table and what
was found, and draw a figure. The runs are in DIR/runs/ARM/seed-S of --out; report.md,
report.json and figure.png in DIR/NAME. After a stop the same command goes on."""

NAMES = (
    "relu",
    "norm",
    "specialization",
    "augmentation",
    "dropout",
    "two-gpus",
    "pooling",
    "depth",
)
"""In the order of a reader's interest."""

DEFAULT_OUT = Path("runs/findings")

COMMAND = ("python", "-m", "train.findings")

EXAMPLES = (
    "python -m train.findings relu --data DIR",
    "python -m train.findings augmentation --data DIR --seeds 0 1 2",
)


def main(argv: list[str] | None = None) -> None:
    """Train what is missing, and report."""
    flags = _parser().parse_args(argv)
    if not flags.data.is_dir():
        raise BadInput(f"--data {flags.data} is not a folder")
    make_folder(folder := flags.out / flags.name, "--out")
    from ..runtime import backend, compile_cache

    backend.set_up_devices(1)  # it draws, and tests trained networks
    compile_cache.enable()
    from .findings import get_finding
    from .trials import Trials

    finding = get_finding(flags.name)
    print(f"the paper: {finding.claim}", flush=True)
    seeds = tuple(dict.fromkeys(flags.seeds or finding.seeds))
    report = finding.find(Trials(flags.out / "runs", flags.data, seeds, flags.jobs))
    words = ("--data", str(flags.data), "--seeds", *map(str, seeds))
    if flags.out != DEFAULT_OUT:
        words = (*words, "--out", str(flags.out))
    report.write(folder, as_called(shlex.join((*COMMAND, flags.name, *words))))
    print(report.table(), report.sentence, f"report  {folder / 'report.md'}", sep="\n\n")


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, DESCRIPTION, EXAMPLES)
    parser.add_argument("name", metavar="NAME", choices=NAMES, help=", ".join(NAMES))
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        required=True,
        help="cifar10 as train.fetch makes it; for specialization and two-gpus, flowers",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=DEFAULT_OUT,
        help="(%(default)s); findings share the runs in DIR/runs",
    )
    parser.add_argument(
        "--seeds", metavar="N", type=_seed, nargs="+", help="of each arm; 0 1 2, or 0 1 2 3 4"
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=positive,
        default=available_cores(),
        help="runs at a time, each on its share of the cores (one for each core)",
    )
    return parser


if __name__ == "__main__":
    run_command(main, outlives_reader=True)
