"""Print or draw a network; read and write weights of other programs; a page that shows towers.

python -m alexnet_jax PAPER --diagram paper.png --horizontal
python -m alexnet_jax mine.py:MINE
python -m alexnet_jax convert bvlc_alexnet.caffemodel caffe.safetensors
python -m alexnet_jax export runs/digits-20261122 digits.onnx
python -m alexnet_jax page runs/digits-20261122 page/
"""

import argparse
import os
import shlex
import sys
import textwrap
from pathlib import Path

from alexnet_jax import architectures, exports, page, visualize, weights
from alexnet_jax.architecture import Architecture
from alexnet_jax.command_line import Parser, program
from alexnet_jax.suggestion import did_you_mean
from alexnet_jax.user_code import find_architecture, is_own
from alexnet_jax.visualize.summary import summary

SUMMARY_HELP = """\
Print the layers of a network: shapes, parameters, multiply-accumulates, and where its towers meet.

NET is one of
{names},
or SCALED_FILTERS_PIXELS: SCALED_8_113 has 8 / 64 of PAPER's widths, for images of 113 pixels,
and SCALED_8_113_ONE_TOWER has one tower;
or one of your own, FILE.py:NAME or module:NAME. The file is run. NAME is an Architecture in it, or
a function without arguments that returns one.

{program} convert --help explains how to read weights of other programs,
{program} export --help how to write a network for them,
{program} page --help a page on which one draws, and watches the towers."""

SUMMARY_EXAMPLES = """\
  PROGRAM PAPER
  PROGRAM CAFFE --diagram caffe.png
  PROGRAM mine.py:MINE"""

SOURCE_HELP = """\
IN is torchvision's .pth or .safetensors, Caffe's .caffemodel, Toronto's bvlc_alexnet.npy, the
ONNX zoo's bvlcalexnet, MatConvNet's .mat, a checkpoint of cuda-convnet, a file that convert wrote,
the folder of a training run, or the name of published weights, such as torchvision or caffe, which
are fetched. The content of a file selects the reader, and no code in it is run."""

CONVERT_HELP = f"""\
Read weights of another program and write them into one .safetensors file for alexnet_jax.load,
with the network, its preprocessing and the names of the classes.

{SOURCE_HELP}"""

CONVERT_EXAMPLES = """\
  PROGRAM convert bvlc_alexnet.caffemodel caffe.safetensors
  PROGRAM convert bvlc_alexnet.caffemodel caffe.safetensors --mean imagenet_mean.binaryproto
  PROGRAM convert torchvision torchvision.safetensors"""

EXPORT_HELP = f"""\
Write a network for other programs. The suffix of OUT selects the format:

.stablehlo    a program of jax.export for CPU, CUDA and TPU, from pictures to logits
.onnx         the same for ONNX Runtime and others; needs the package onnx
.pth          a state_dict for torchvision.models.alexnet; torchvision's network only

{SOURCE_HELP}"""

EXPORT_EXAMPLES = """\
  PROGRAM export runs/NAME digits.onnx
  PROGRAM export torchvision alexnet.stablehlo"""

PAGE_HELP = f"""\
Write a page on which one draws a digit and watches both towers: kernels, the maps of every layer,
where the towers meet, the probabilities. A network of color pictures also takes a picture file.

OUT is a new folder of static files for any server, or for this one: python -m http.server -d OUT.
A browser loads nothing from elsewhere. The network has at most {page.LARGEST} MB of parameters. The
command needs the package onnx, and npm, which fetches onnxruntime-web into the user's cache once.

{SOURCE_HELP}"""

PAGE_EXAMPLES = """\
  PROGRAM page runs/NAME page/
  PROGRAM page runs/NAME page/ --runtime node_modules/onnxruntime-web"""

READER_GONE = 141
"""Exit status if nobody reads the output any more: 128 + SIGPIPE, as a shell's."""

SAFETENSORS = ".safetensors"
COMMANDS = ("convert", "export", "page")


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    try:
        match arguments:
            case ["convert" | "export" as command, *rest]:
                _convert_or_export(command, rest)
            case ["page", *rest]:
                _page(rest)
            case [word, *_] if not is_own(word) and (hint := did_you_mean(word, COMMANDS)):
                raise ValueError(f"there is no command {word}{hint}")
            case _:
                _show(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _show(arguments: list[str]) -> None:
    """Print or draw the network that the arguments name."""
    names = ", ".join(net.name for net in architectures.NETS)
    about = SUMMARY_HELP.format(names=textwrap.fill(names, 79), program=program())
    parser = Parser("", about, SUMMARY_EXAMPLES)
    parser.add_argument("net", metavar="NET", help="its name, or FILE.py:NAME of your own")
    parser.add_argument(
        "--diagram", metavar="FILE", type=Path, help="draw it instead, into a .png, .svg or .pdf"
    )
    parser.add_argument(
        "--horizontal", action="store_true", help="draw it lying down, for a slide or a wide page"
    )
    options = parser.parse_args(arguments)
    net = find_architecture(options.net)
    if options.diagram is not None:
        _draw(net, options.diagram, options.horizontal)
    elif options.horizontal:
        raise ValueError("--horizontal is about a drawing: it needs --diagram FILE")
    else:
        print(summary(net))


def _draw(net: Architecture, path: Path, horizontal: bool) -> None:
    try:
        visualize.draw(net, path, horizontal=horizontal)
    except OSError as error:
        raise ValueError(f"--diagram {path} cannot be written: {error.strerror}") from None
    print(path)


def _convert_or_export(command: str, arguments: list[str]) -> None:
    """Read IN, write OUT, and print what was read."""
    formats = exports.SUFFIXES if command == "export" else (SAFETENSORS,)
    if command == "export":
        parser = Parser(command, EXPORT_HELP, EXPORT_EXAMPLES)
    else:
        parser = Parser(command, CONVERT_HELP, CONVERT_EXAMPLES)
    _add_source(parser)
    parser.add_argument(
        "target", metavar="OUT", type=Path, help=f"a new file, {' or '.join(formats)}"
    )
    options = parser.parse_args(arguments)
    source, target = options.source, options.target
    _check_target(command, target, formats)
    write = exports.export if command == "export" else weights.save
    loaded, origin = _read(options)
    try:
        write(target, loaded.params, loaded.architecture, loaded.preprocessing, loaded.class_names)
    except OSError as error:
        raise ValueError(f"OUT {target} cannot be written: {error.strerror or error}") from None
    net = loaded.architecture
    print(f"{source}: {loaded.kind} format{origin}")
    print(f"{net.name}: {net.parameters:,} parameters, {net.classes:,} classes")
    print(f"pictures: {loaded.preprocessing}")
    print(target)


def _page(arguments: list[str]) -> None:
    """Read IN, write the folder OUT with a page, and print how to look at it."""
    parser = Parser("page", PAGE_HELP, PAGE_EXAMPLES)
    _add_source(parser)
    parser.add_argument("target", metavar="OUT", type=Path, help="a new folder")
    parser.add_argument(
        "--runtime",
        metavar="FOLDER",
        type=Path,
        help="the unpacked npm package onnxruntime-web, of the version that a page needs: "
        f"{page.browser_runtime.VERSION}",
    )
    options = parser.parse_args(arguments)
    target = options.target
    _check_is_new(target)
    loaded, _ = _read(options)
    try:
        page.write_page(
            target,
            loaded.params,
            loaded.architecture,
            loaded.preprocessing,
            loaded.class_names,
            runtime=options.runtime,
        )
    except OSError as error:
        raise ValueError(f"OUT {target} cannot be written: {error.strerror or error}") from None
    print(target)
    server = f"python -m http.server --bind 127.0.0.1 --directory {shlex.quote(str(target))}"
    print(f"to look at it: {server}, and http://127.0.0.1:8000 in a browser")


def _add_source(parser: Parser) -> None:
    """Add the arguments of commands that read weights."""
    parser.add_argument("source", metavar="IN", type=Path, help="the weights")
    parser.add_argument(
        "--mean",
        metavar="FILE",
        type=Path,
        help="for Caffe's weights: their mean image, a .binaryproto or .npy",
    )
    parser.add_argument(
        "--net",
        metavar="NET",
        help="the network of the weights, if it is not the published one: a name, or FILE.py:NAME",
    )


def _read(options: argparse.Namespace) -> tuple[weights.LoadedWeights, str]:
    """Return the weights of IN, and which published file it is, "" for none."""
    net = None if options.net is None else find_architecture(options.net)
    try:
        loaded = weights.read(options.source, architecture=net, mean=options.mean)
        path = weights.find(options.source)
        origin = "" if path.is_dir() else f"; {weights.known_files.identify(path)}"
    except OSError as error:
        path = error.filename or options.source
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    return loaded, origin


def _check_target(command: str, target: Path, formats: tuple[str, ...]) -> None:
    """Raise ValueError unless `target` is a new file of one of the formats."""
    if command == "export" and target.suffix == SAFETENSORS:
        raise ValueError(f"export writes no {SAFETENSORS}: use convert for OUT {target}")
    if target.suffix not in formats:
        raise ValueError(f"OUT must end in {' or '.join(formats)}, not {target}")
    _check_is_new(target)


def _check_is_new(target: Path) -> None:
    """Raise ValueError if `target` exists, or the folder around it does not."""
    if target.exists():
        raise ValueError(f"OUT {target} exists already")
    if not target.parent.is_dir():
        raise ValueError(f"OUT {target}: there is no folder {target.parent}")


def _run() -> int:
    """Run the command, which ends silently if its reader leaves early, as `| head` does."""
    try:
        try:
            return main(sys.argv[1:])
        finally:
            if sys.stdout:  # None if the caller has closed it: `>&-`
                sys.stdout.flush()
    except BrokenPipeError:
        # Python writes what is still buffered once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE


if __name__ == "__main__":
    sys.exit(_run())
