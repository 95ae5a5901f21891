"""All commands by their names: `alexnet-jax COMMAND`, or `python -m alexnet_jax_train COMMAND`."""

import runpy
import sys

from .config.errors import PACKAGE, SCRIPT, BadInput, is_script
from .config.parser import Parser
from .runtime.cli import run_command

COMMANDS = {
    "train": ("main", "train a network, continue a run, or predict its time and memory"),
    "evaluate": ("evaluate", "print test errors of runs and of files of weights"),
    "predict": ("predict", "classify pictures"),
    "features": ("features", "write activations of layers for many pictures"),
    "figures": ("figures", "draw learning curves, kernels, saliency maps, confusions, ..."),
    "runs": ("runs", "print tables of runs, and of their means over seeds"),
    "findings": ("findings", "repeat the paper's findings, with seeds and a test"),
    "fetch": ("fetch", "download a public data set"),
    "prepare": ("prepare", "convert ImageNet, or any pictures, to fast records"),
}
"""By name: the module in this package, and what the list says."""

LIBRARY = {
    "NET": "print the layers of a network such as PAPER, or draw it",
    "convert": "read weights of another program",
    "export": "write a network for another program",
    "page": "write a page on which one draws, and watches both towers",
}
"""What `python -m alexnet_jax` does, which the program does, too."""

EXAMPLES = ("train --devices 2", "predict torchvision cat.jpg", "PAPER --diagram paper.png")


def main() -> None:
    """Run the command that is named first, with the arguments that follow it."""
    match sys.argv[1:]:
        case [name, *rest] if name in COMMANDS:
            sys.argv[1:] = rest
            runpy.run_module(f"{PACKAGE}.{COMMANDS[name][0]}", run_name="__main__")
        case [name, *_] if not name.startswith("-"):
            run_command(lambda: _check_name(name))
            runpy.run_module("alexnet_jax", run_name="__main__")
        case arguments:
            run_command(lambda: _parser().parse_args(arguments or ["--help"]))


def _parser() -> Parser:
    program = _program()
    rows = [(name, about) for name, (_, about) in COMMANDS.items()]
    listed = "\n".join(f"  {name:10}{about}" for name, about in [*rows, *LIBRARY.items()])
    return Parser(
        prog=program,
        usage=f"{program} COMMAND ...",
        description=f"AlexNet (2012) in JAX.\n\ncommands:\n{listed}\n\n"
        f"{program} COMMAND --help explains a command.",
        examples=[f"{program} {example}" for example in EXAMPLES],
    )


def _program() -> str:
    return SCRIPT if is_script() else f"python -m {PACKAGE}"


def _check_name(name: str) -> None:
    """Raise BadInput unless a name is a network's, or a command of the library."""
    from alexnet_jax import architectures
    from alexnet_jax.suggestion import did_you_mean
    from alexnet_jax.user_code import is_own

    if is_own(name) or name in LIBRARY:
        return
    try:
        architectures.by_name(name)
    except ValueError:
        nets = [net.name for net in architectures.NETS]
        hint = (
            did_you_mean(name, [*COMMANDS, *LIBRARY, *nets]) or f"; {_program()} --help lists them"
        )
        raise BadInput(f"there is no command or network named {name!r}{hint}") from None


if __name__ == "__main__":
    main()
