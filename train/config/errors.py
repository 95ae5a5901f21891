"""How a command ends early: bad input, or a run that stops before its last step."""

import re
from collections.abc import Mapping

PACKAGE = __name__.split(".")[0]
"""`train` in a clone; `alexnet_jax_train` where it is installed, since `train` would clash."""

_ARGUMENT = re.compile(r"`(\w+)`")
_COMMAND = re.compile(r"\btrain\.(?=(main|prepare|fetch|evaluate|predict|features|figures)\b)")


class Sentence(Exception):
    """An error that is one sentence for a user: a command prints it without a traceback.

    The sentence names arguments of functions in backquotes: "`epochs` must be above 0, not -1". A
    command shows them as its flags: "--epochs must be above 0, not -1".
    """

    def with_flags(self, flags: Mapping[str, str] | None = None) -> str:
        """Return the sentence with flags for arguments, and commands as they were called.

        Args:
          flags: the flag of an argument where it is not "--" and the argument's name.
        """

        def flag_of(match: re.Match[str]) -> str:
            return (flags or {}).get(match[1], flag(match[1]))

        return as_called(_ARGUMENT.sub(flag_of, str(self)))


class BadInput(Sentence, ValueError):
    """Bad input, which the user can mend: exit status 2."""


class Ended(Sentence):
    """A run that ended before its last step, with the exit status for it."""

    def __init__(self, sentence: str, status: int) -> None:
        """Keep what to print and the status to exit with."""
        super().__init__(sentence)
        self.status = status


def flag(argument: str) -> str:
    """Return the flag of an argument: "--run-dir" of "run_dir"."""
    return "--" + argument.replace("_", "-")


def as_called(text: str) -> str:
    """Return a text with the name of the package in each of our commands, `train.main` ..."""
    return _COMMAND.sub(f"{PACKAGE}.", text)
