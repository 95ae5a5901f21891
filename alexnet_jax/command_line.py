"""The parser of `python -m alexnet_jax`, and what `--version` prints."""

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import jax

import alexnet_jax
from alexnet_jax.suggestion import did_you_mean

SCRIPT = "alexnet-jax"


def program() -> str:
    """Return how this process was called: by the installed script, or as a module."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m alexnet_jax"


def version_line() -> str:
    """Return the versions that a report of a fault needs, in a line."""
    theirs = f"jax {jax.__version__}, jaxlib {importlib.metadata.version('jaxlib')}"
    return f"alexnet_jax {alexnet_jax.__version__}, {theirs}, Python {platform.python_version()}"


class Parser(argparse.ArgumentParser):
    """A parser that raises ValueError, in one sentence, instead of ending the process.

    As train's parser, which the library cannot import: it does not know the training code.
    """

    def __init__(self, command: str, description: str, examples: str) -> None:
        """Make the parser of a command, "" for none, with its description and examples."""
        super().__init__(
            prog=f"{program()} {command}".rstrip(),
            description=description,
            epilog=f"examples:\n{examples}".replace("PROGRAM", program()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        about = "print the versions of alexnet_jax, JAX and Python, and exit"
        self.add_argument("--version", action="version", version=version_line(), help=about)

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] - of overloads
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse the arguments, after a look for flags that there are not."""
        arguments = [*(sys.argv[1:] if args is None else args)]
        for argument in arguments:
            name = argument.partition("=")[0]
            if name.startswith("--") and name not in self._option_string_actions:
                flags = self._option_string_actions
                self.error(f"there is no flag {name}{did_you_mean(name, flags)}")
        return super().parse_known_args(arguments, namespace)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if not arg_string:  # `Path` would take it for the current folder
            raise argparse.ArgumentError(action, "'' names nothing; is a shell variable unset?")
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        """Raise ValueError in place of printing the usage and exiting."""
        end = " " if message.endswith("?") else "; "
        raise ValueError(f"{message}{end}{self.prog} --help explains the arguments")
