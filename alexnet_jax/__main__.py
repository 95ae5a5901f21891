"""Print the summary of a net, or draw it; weights of other programs in, and nets for them out.

python -m alexnet_jax PAPER --diagram paper.png
python -m alexnet_jax convert bvlc_alexnet.caffemodel caffe.safetensors
python -m alexnet_jax export runs/digits-20261122 digits.onnx
"""

import argparse
import signal
import sys
from pathlib import Path
from typing import NoReturn

from alexnet_jax import architectures, exports, visualize, weights
from alexnet_jax.architecture import Architecture
from alexnet_jax.visualize.summary import summary

TEXT = """\
Print the layers of a net: shapes, parameters, multiply-accumulates, and where its towers meet.

NET is {names},
or SCALED_FILTERS_PIXELS: SCALED_8_113 has 8 / 64 of PAPER's widths, for images of 113 pixels,
and SCALED_8_113_ONE_TOWER no towers.

python -m alexnet_jax convert --help tells how to read weights of other programs,
python -m alexnet_jax export --help how to write a net for them."""

READ_TEXT = """\
IN is torchvision's .pth or .safetensors, Caffe's .caffemodel, Toronto's bvlc_alexnet.npy, the
ONNX zoo's bvlcalexnet, MatConvNet's .mat, a checkpoint of cuda-convnet, a file of our own, or the
folder of a run of train.main. Its content tells what it is, and nothing in it is run."""

CONVERT_TEXT = f"""\
Read weights of another program, and write them with all that belongs to them (the net, what its
images go through, names of classes) into one safetensors file for alexnet_jax.load.

{READ_TEXT}"""

EXPORT_TEXT = f"""\
Write a net for other programs. The ending of OUT says how:

.stablehlo    a program of jax.export for CPU, CUDA and TPU, from pictures to scores
.onnx         the same for ONNX Runtime and others; needs the package onnx
.pth          a state_dict for torchvision.models.alexnet; torchvision's net only
.safetensors  our own file, as convert writes it

{READ_TEXT}"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what the arguments lack, in one sentence."""
        raise ValueError(f"{message}; {self.prog} --help explains the arguments")


def main(arguments: list[str]) -> int:
    """Do what the arguments say; return the exit status."""
    try:
        if arguments[:1] == ["convert"]:
            _convert(arguments[1:], "convert", CONVERT_TEXT, (".safetensors",))
        elif arguments[:1] == ["export"]:
            _convert(arguments[1:], "export", EXPORT_TEXT, exports.ENDINGS)
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
    try:
        visualize.draw(net, path)
    except OSError as error:
        raise ValueError(f"--diagram {path} cannot be written: {error.strerror}") from None
    print(path)


def _convert(arguments: list[str], word: str, text: str, endings: tuple[str, ...]) -> None:
    """Read what the arguments name, say what it is, and write it in another format."""
    flags = _Parser(
        prog=f"python -m alexnet_jax {word}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("source", metavar="IN", type=Path, help="the weights")
    names = " or ".join(endings)
    flags.add_argument("target", metavar="OUT", type=Path, help=f"a new file, {names}")
    flags.add_argument(
        "--mean",
        metavar="FILE",
        type=Path,
        help="for Caffe's weights: their mean image, a .binaryproto or .npy",
    )
    given = flags.parse_args(arguments)
    source, target = given.source, given.target
    if target.suffix not in endings:
        raise ValueError(f"OUT must end in {names}, not {target}")
    if target.exists():
        raise ValueError(f"OUT {target} exists already")
    if not target.parent.is_dir():
        raise ValueError(f"OUT {target}: there is no folder {target.parent}")
    try:
        contents = weights.read(source, mean=given.mean)
        known = "" if source.is_dir() else f"; {weights.known_files.sentence_on(source)}"
        exports.export(target, *contents[1:])
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from None
    net, count = (
        contents.architecture,
        sum(s.parameters for s in contents.architecture.layer_info()),
    )
    print(f"{source}: {contents.kind} format{known}")
    print(f"{net.name}: {count:,} parameters, {net.classes:,} classes")
    print(f"pictures: {contents.preprocessing}")
    print(target)


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):  # `| head` may have read enough
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
