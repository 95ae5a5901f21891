"""Print the summary of a net, or draw it; convert weights of other programs.

python -m alexnet_jax PAPER --diagram paper.png
python -m alexnet_jax convert bvlc_alexnet.caffemodel caffe.safetensors
"""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from alexnet_jax import architectures, weights
from alexnet_jax.architecture import Architecture
from alexnet_jax.summary import summary

TEXT = """\
Print the layers of a net: shapes, parameters, multiply-accumulates, and where its towers meet.

NET is {names},
or SCALED_FILTERS_PIXELS: SCALED_8_113 has 8 / 64 of PAPER's widths, for images of 113 pixels.

python -m alexnet_jax convert --help tells how to convert weights of other programs."""

CONVERT_TEXT = """\
Read weights of another program, and write them with all that belongs to them (the net, what its
images go through, names of classes) into one safetensors file for alexnet_jax.load.

IN is torchvision's .pth or .safetensors, Caffe's .caffemodel, Toronto's bvlc_alexnet.npy or the
ONNX zoo's bvlcalexnet; what it is tells its content. Nothing in it is run."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what the arguments lack, in one sentence."""
        raise ValueError(f"{message}; {self.prog} --help explains the arguments")


def main(arguments: list[str]) -> int:
    """Do what the arguments say; return the exit status."""
    try:
        if arguments[:1] == ["convert"]:
            _convert(arguments[1:])
        else:
            _show(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _show(arguments: list[str]) -> None:
    """Print or draw the net that the arguments name."""
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
    given = flags.parse_args(arguments)
    net = architectures.by_name(given.net)
    if given.diagram is None:
        print(summary(net))
    else:
        _draw(net, given.diagram)


def _draw(net: Architecture, path: Path) -> None:
    from alexnet_jax import diagram  # needs matplotlib, which takes long to import

    try:
        diagram.draw(net, path)
    except OSError as error:
        raise ValueError(f"--diagram {path} cannot be written: {error.strerror}") from None
    print(path)


def _convert(arguments: list[str]) -> None:
    flags = _Parser(
        prog="python -m alexnet_jax convert",
        description=CONVERT_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("source", metavar="IN", type=Path, help="the file of weights")
    flags.add_argument("target", metavar="OUT", type=Path, help="a new file, .safetensors")
    flags.add_argument(
        "--mean",
        metavar="FILE",
        type=Path,
        help="for Caffe's weights: their mean image, a .binaryproto or .npy",
    )
    given = flags.parse_args(arguments)
    source, target = given.source, given.target
    if target.suffix != ".safetensors":
        raise ValueError(f"OUT must end in .safetensors, not {target}")
    if target.exists():
        raise ValueError(f"OUT {target} exists already")
    try:
        contents = weights.read(source, mean=given.mean)
        known = weights.published.entry_of(source)
        weights.save(target, *contents[1:])
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from None
    net, count = contents.architecture, sum(s.parameters for s in contents.architecture.steps())
    name = "none of the files published with a digest"
    if known:
        name = f"{known.name}, by its published {known.algorithm.upper()}"
    print(f"{source}: {contents.kind} format; {name}")
    print(f"{net.name}: {count:,} parameters, {net.classes:,} classes")
    print(f"pictures: {contents.preprocessing}")
    print(target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
