"""Print the summary of a net: `python -m alexnet_jax PAPER`."""

import sys

from alexnet_jax import architectures
from alexnet_jax.summary import summary

USAGE = """\
usage: python -m alexnet_jax NET

Print the layers of a net: shapes, parameters, multiply-accumulates, and where its towers meet.

NET is {names},
or SCALED_FILTERS_PIXELS: SCALED_8_113 has 8 / 64 of PAPER's widths, for images of 113 pixels."""


def main(arguments: list[str]) -> int:
    """Print the summary of the net that the arguments name; return the exit status."""
    names = ", ".join(net.name for net in architectures.NETS)
    if arguments in (["--help"], ["-h"]):
        print(USAGE.format(names=names))
        return 0
    try:
        if len(arguments) != 1:
            raise ValueError(f"one net is needed, not {len(arguments)}; there are {names}")
        print(summary(architectures.by_name(arguments[0])))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
