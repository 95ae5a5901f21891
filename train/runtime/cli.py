"""What all commands of `train` share: how they end on bad input, and simple command lines."""

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..config.errors import BadInput, Ended


def command(run: Callable[[], object]) -> None:
    """Run a command; bad input ends it with one sentence and exit status 2, without traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be Unicode
    try:
        run()
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Ended as end:
        print(end, file=sys.stderr)
        sys.exit(end.status)
    except MemoryError as error:
        print(f"stopped: the memory does not suffice: {error or 'none is left'}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped before anything was to be saved", file=sys.stderr)
        sys.exit(130)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what the flags lack, in one sentence."""
        raise BadInput(f"{message}; {self.prog} --help explains the arguments")


def parser(module: str, text: str | None) -> argparse.ArgumentParser:
    """Return an empty parser of the flags of `python -m MODULE`; it raises BadInput."""
    first, _, name = module.partition(".")
    package = (
        __name__.split(".")[0] if first == "train" else first
    )  # ours has another name in a wheel
    return _Parser(prog=f"python -m {package}.{name}", description=text)


def positive(text: str) -> int:
    """Read the value of a flag that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def new_file(text: str) -> Path:
    """Read the name of a file that will be written when all is done; no hour should be in vain."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} cannot be written: it is a folder")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path} cannot be written: {path.parent} is not a folder")
    return path
