"""Figures of a run as PNG, PDF or SVG, by the ending of FILE.

`python -m train.figures FIGURE --help` explains each.
"""

from ..runtime.cli import make_parser, run_command
from . import classes, curves, kernels, neighbors, saliency

FIGURES = {
    "curves": curves,
    "kernels": kernels,
    "neighbors": neighbors,
    "saliency": saliency,
    "classes": classes,
}
"""By name: modules with `add_flags` for a parser, and `main` from what it read to the file."""


def main(argv: list[str] | None = None) -> None:
    """Draw the figure on the command line."""
    flags = make_parser(__spec__.name, __doc__)
    names = flags.add_subparsers(metavar="FIGURE", required=True)
    for name, figure in FIGURES.items():
        summary = str(figure.__doc__).split(":")[0]
        added = names.add_parser(name, help=summary, description=figure.__doc__)
        figure.add_flags(added)
        added.set_defaults(main=figure.main)
    given = flags.parse_args(argv)
    print(given.main(given))


if __name__ == "__main__":
    run_command(main)
