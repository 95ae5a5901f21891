"""Print the summary of a net, or draw it: `python -m alexnet_jax PAPER --diagram paper.png`."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from alexnet_jax import architectures
from alexnet_jax.architecture import Architecture
from alexnet_jax.summary import summary

TEXT = """\
Print the layers of a net: shapes, parameters, multiply-accumulates, and where its towers meet.

NET is {names},
or SCALED_FILTERS_PIXELS: SCALED_8_113 has 8 / 64 of PAPER's widths, for images of 113 pixels."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what the arguments lack, in one sentence."""
        raise ValueError(f"{message}; {self.prog} --help explains the arguments")


def main(arguments: list[str]) -> int:
    """Print or draw the net that the arguments name; return the exit status."""
    flags = _Parser(
        prog="python -m alexnet_jax",
        description=TEXT.format(names=", ".join(net.name for net in architectures.NETS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("net", metavar="NET", help="its name in alexnet_jax.architectures")
    flags.add_argument(
        "--diagram", metavar="FILE", type=Path, help="draw it instead, into a .png, .svg or .pdf"
    )
    try:
        given = flags.parse_args(arguments)
        net = architectures.by_name(given.net)
        if given.diagram is None:
            print(summary(net))
        else:
            _draw(net, given.diagram)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _draw(net: Architecture, path: Path) -> None:
    from alexnet_jax import diagram  # needs matplotlib, which takes long to import

    try:
        diagram.draw(net, path)
    except OSError as error:
        raise ValueError(f"--diagram {path} cannot be written: {error.strerror}") from None
    print(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
