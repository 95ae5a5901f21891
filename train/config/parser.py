"""The parser of all commands' flags: one sentence for a mistake, examples, `--version`."""

import argparse
import itertools
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from .errors import BadInput, as_called


class Parser(argparse.ArgumentParser):
    """A parser of flags that raises BadInput, in one sentence, instead of ending the process."""

    def __init__(self, *, examples: Sequence[str] = (), **options: Any) -> None:
        """Make a parser.

        Args:
          examples: commands that --help shows at its end.
          **options: argparse's.
        """
        if examples:
            options["epilog"] = "\n  ".join(["examples:", *examples])
        options.setdefault("formatter_class", _Paragraphs)
        super().__init__(allow_abbrev=False, **options)
        about = "print the versions of alexnet_jax, JAX and Python, and exit"
        suppress = argparse.SUPPRESS  # commands take what is parsed for the arguments of a function
        self.add_argument("--version", action=_Version, nargs=0, help=about, default=suppress)

    def format_help(self) -> str:
        """Return the help, its commands by the name of the program that was called."""
        return as_called(super().format_help())

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] - of overloads
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse the arguments, after a look for flags that there are not.

        Argparse would look last: a mistyped flag's value then is a positional argument too many.
        """
        arguments = [*(sys.argv[1:] if args is None else args)]
        if self._subparsers is None and {"-h", "--help"}.isdisjoint(arguments):
            for argument in itertools.takewhile(lambda text: text != "--", arguments):
                self._check_flag(argument.partition("=")[0])
        return super().parse_known_args(arguments, namespace)

    def _check_flag(self, name: str) -> None:
        actions = self._option_string_actions
        if name.startswith("--") and " " not in name and name not in actions:
            shown = [key for key, a in actions.items() if a.help is not argparse.SUPPRESS]
            self.error(f"there is no flag {name}{_did_you_mean(name, shown)}")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        whole = action.nargs == argparse.PARSER  # all arguments of a command of the command
        if not arg_string and not whole:  # `Path` would take it for the current folder
            raise argparse.ArgumentError(action, "'' names nothing; is a shell variable unset?")
        return super()._get_value(action, arg_string)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Argparse's own message has no suggestion before Python 3.14.
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            names = [str(choice) for choice in action.choices or ()]
            message = f"invalid choice: {value!r} (choose from {', '.join(names)})"
            suggestion = _did_you_mean(str(value), names)
            raise argparse.ArgumentError(action, message + suggestion) from error

    def error(self, message: str) -> NoReturn:
        """Raise BadInput with what is wrong with the flags."""
        end = " " if message.endswith("?") else "; "
        hint = f"{self.prog} --help explains the arguments"
        raise BadInput(f"{message.removeprefix('argument ')}{end}{hint}")


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    from alexnet_jax.suggestion import did_you_mean  # takes JAX, which --help does not wait for

    return did_you_mean(name, names)


class _Version(argparse.Action):
    """Prints the versions and exits. They take JAX, which other flags do not wait for."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Print the line."""
        from alexnet_jax.command_line import version_line

        print(version_line())
        parser.exit()


class _Paragraphs(argparse.HelpFormatter):
    """Wraps each paragraph of a description by itself, and keeps lines that are indented."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            paragraph
            if "\n  " in paragraph
            else textwrap.fill(" ".join(paragraph.split()), width, break_on_hyphens=False)
            for paragraph in text.strip().split("\n\n")
        )
