"""Repeat one of the paper's findings: `python -m train.findings NAME --data DIR`."""

from pathlib import Path
from types import ModuleType

from ..runtime.cli import make_parser, positive, run_command
from ..runtime.cores import available_cores

DESCRIPTION = """\
Repeat one of the paper's findings: train its runs, several seeds of each, print a table and what
was found, and draw a figure. The runs are in DIR/NAME/ARM/seed-S of --out, beside report.md,
report.json and figure.png. After a stop the same command goes on."""

NAMES = ("relu",)
"""Modules of this package with `CLAIM`, `DATA`, `SEEDS` and `find`."""


def main(argv: list[str] | None = None) -> None:
    """Train what is missing, and report."""
    parser = make_parser(__spec__.name, DESCRIPTION)
    parser.add_argument("name", metavar="NAME", choices=NAMES, help=", ".join(NAMES))
    parser.add_argument(
        "--data", metavar="DIR", type=Path, required=True, help="as train.fetch makes it: cifar10"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("runs/findings"), help="(%(default)s)"
    )
    parser.add_argument(
        "--seeds", metavar="N", type=int, nargs="+", help="those of the finding by default"
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=positive,
        default=available_cores(),
        help="runs at a time, each on its share of the cores (one for each core)",
    )
    flags = parser.parse_args(argv)
    from .trials import Trials

    finding = _load(flags.name)
    print(f"the paper: {finding.CLAIM}", flush=True)
    folder = flags.out / flags.name
    seeds = tuple(flags.seeds or finding.SEEDS)
    report = finding.find(Trials(folder, flags.data, seeds, flags.jobs))
    report.write(folder)
    print(report.table(), report.sentence, f"report      {folder / 'report.md'}", sep="\n")


def _load(name: str) -> ModuleType:
    import importlib

    return importlib.import_module(f".{name}", __package__)


if __name__ == "__main__":
    run_command(main, outlives_reader=True)
