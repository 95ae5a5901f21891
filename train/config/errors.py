"""How a command ends early: bad input, or a run that stops before its last step."""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = __name__.split(".")[0]
"""`train` in a clone; `alexnet_jax_train` where it is installed, since `train` would clash."""

_ARGUMENT = re.compile(r"`(\w+)`")
_COMMAND = re.compile(
    r"(python -m )?\btrain\."
    r"(main|prepare|fetch|evaluate|predict|features|figures|findings|runs)\b"
)

SCRIPT = "alexnet-jax"
"""The installed program, whose commands are ours; `train.main` is `alexnet-jax train`."""

LONGEST = 400
"""Characters of a sentence about bad input: lists in it are cut, so that it rarely needs more."""


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

    def shown(self, flags: Mapping[str, str] | None = None) -> str:
        """Return the sentence `with_flags` for one line of a terminal, also if a name in it is not.

        Control characters become visible, and a sentence far too long loses its middle.
        """
        sentence = self.with_flags(flags)
        if len(sentence) <= LONGEST and sentence.isprintable():
            return sentence
        # It takes JAX, for which a short sentence does not wait.
        from alexnet_jax.printable import printable

        return printable(sentence, LONGEST)


class BadInput(Sentence, ValueError):
    """Bad input, which the user can mend: exit status 2."""


class Ended(Sentence):
    """A run that ended before its last step, with the exit status for it."""

    def __init__(self, sentence: str, status: int, *, at_once: bool = False) -> None:
        """Keep what to print, the status to exit with, and whether to wait for nothing more."""
        super().__init__(sentence)
        self.status, self.at_once = status, at_once


def list_some(names: Iterable[object], most: int = 8) -> str:
    """Return names with commas, and how many more there are: "cat, dog, ... and 998 more"."""
    listed = [str(name) for name in names]
    more = f", ... and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def flag(argument: str) -> str:
    """Return the flag of an argument: "--run-dir" of "run_dir"."""
    return "--" + argument.replace("_", "-")


def as_called(text: str) -> str:
    """Return a text with each of our commands, "train.main", as this process would be called.

    That is "alexnet_jax_train.main" where the package is installed, and "alexnet-jax train" in the
    program of that name.
    """

    def name(match: re.Match[str]) -> str:
        python, command = match.groups(default="")
        if is_script():
            return f"{SCRIPT} {'train' if command == 'main' else command}"
        return f"{python}{PACKAGE}.{command}"

    text = _COMMAND.sub(name, text)
    return text.replace("python -m alexnet_jax ", f"{SCRIPT} ") if is_script() else text


def is_script() -> bool:
    """Return whether this process is the installed program, and not `python -m`."""
    return Path(sys.argv[0]).stem == SCRIPT
