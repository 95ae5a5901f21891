"""Figures of a network as PNG, PDF or SVG, by the ending of FILE.

`python -m train.figures FIGURE --help` explains each.
"""

import argparse

from ..runtime.cli import make_parser, run_command
from . import classes, compare, confusion, curves, gradcam, kernels, neighbors, saliency

FIGURES = {
    "curves": curves,
    "compare": compare,
    "kernels": kernels,
    "neighbors": neighbors,
    "saliency": saliency,
    "gradcam": gradcam,
    "classes": classes,
    "confusion": confusion,
}
"""By name: modules with `EXAMPLES`, `add_flags(parser)`, and `main(flags)`, which returns the file
drawn."""

ALIASES = {"neighbors": ["neighbours"]}
"""British spellings, which commands had until November 2026."""


def main(argv: list[str] | None = None) -> None:
    """Draw the figure on the command line."""
    flags = _parser().parse_args(argv)
    print(flags.main(flags))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, __doc__)
    figures = parser.add_subparsers(metavar="FIGURE", required=True)
    for name, figure in FIGURES.items():
        options = {
            "aliases": ALIASES.get(name, []),
            "description": figure.__doc__,
            "examples": figure.EXAMPLES,
        }
        subparser = figures.add_parser(name, help=str(figure.__doc__).split(":")[0], **options)
        figure.add_flags(subparser)
        subparser.set_defaults(main=figure.main)
    return parser


if __name__ == "__main__":
    run_command(main, outlives_reader=True)
