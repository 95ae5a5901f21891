"""Shared by all commands: exit statuses and messages on bad input, and the parser of flags."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from ..config.config import Layout
from ..config.errors import PACKAGE, BadInput, Ended
from ..config.parser import Parser
from . import output

WEIGHTS_HELP = "the folder of a run, a file of weights, or a published name, such as torchvision"


_OF_A_PATH = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)
_OF_A_PATH += (errno.EROFS, errno.EISDIR, errno.EEXIST)
"""Errors of a path of the user, which another path mends."""


def run_command(
    main: Callable[[], object],
    flags: Mapping[str, str] | None = None,
    *,
    outlives_reader: bool = False,
) -> None:
    """Run a command. Bad input ends it with one sentence and exit status 2, without a traceback.

    Args:
      main: reads `sys.argv`, and raises BadInput or Ended.
      flags: for `BadInput.with_flags`, where an argument and its flag have different names.
      outlives_reader: whether it goes on when nobody reads its output any more (`| head`), as its
        work is in files; else it ends quietly with `output.READER_GONE`.
    """
    output.set_up()
    if outlives_reader:
        output.outlive_reader()
    try:
        main()
        sys.stdout.flush()  # here, where a reader who has left ends the command quietly
    except BadInput as error:
        print(f"error: {error.shown(flags)}", file=sys.stderr)
        sys.exit(2)
    except Ended as end:
        print(end.with_flags(flags), file=sys.stderr)
        if end.at_once:
            output.flush_at_exit()
            os._exit(end.status)  # an ordinary exit waits for threads that still write
        sys.exit(end.status)
    except ModuleNotFoundError as error:
        missing = (error.name or PACKAGE).split(".")[0]
        if missing in (PACKAGE, "alexnet_jax"):
            raise
        everything = "pip install alexnet_jax installs all that commands need"
        print(f"error: this command needs the package {missing}; {everything}", file=sys.stderr)
        sys.exit(2)
    except MemoryError as error:
        print(f"stopped: out of memory: {error or 'none is left'}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno in output.DISK_FULL:  # mostly without the name of the file
            print(f"stopped: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
            sys.exit(1)
        if error.filename is None or error.errno not in _OF_A_PATH:
            raise
        print(f"error: {os.fspath(error.filename)}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped by SIGINT", file=sys.stderr)
        sys.exit(130)
    finally:
        output.flush_at_exit()


def make_parser(module: str, description: str | None, examples: Sequence[str] = ()) -> Parser:
    """Return a parser for the flags of `python -m MODULE`, without flags yet. It raises BadInput.

    Args:
      module: the command's `__spec__.name`.
      description: paragraphs for --help.
      examples: commands for the end of --help.
    """
    name = module.removesuffix(".__main__").replace(f"{PACKAGE}.", "train.")
    return Parser(prog=f"python -m {name}", description=description, examples=examples)


def add_devices(parser: Parser) -> None:
    """Add --devices and --layout, for a command that predicts."""
    parser.add_argument(
        "--devices",
        metavar="N",
        type=positive,
        default=1,
        help="1, or 2 for one tower on each; 4, 6, 8, ... also divide the batch, and so does any "
        "number for a network of one tower",
    )
    parser.add_argument(
        "--layout",
        choices=get_args(Layout),
        default="tower",
        help="what several devices divide, as for train.main (%(default)s)",
    )


def positive(text: str) -> int:
    """Convert the value of a flag that is a count."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


STANDARD_OUTPUT = Path("-")
"""What `json_file` makes of "-"."""


def json_file(text: str) -> Path:
    """Convert the value of --json: the name of an output file, or "-"."""
    return STANDARD_OUTPUT if text == "-" else new_file(text)


def make_folder(folder: Path, flag: str = "") -> None:
    """Make an output folder before the work. Raises BadInput, which names the flag if given."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        label = f"{flag}: {folder}" if flag else folder
        raise BadInput(f"{label} cannot be made a folder: {error.strerror}") from None


def new_file(text: str) -> Path:
    """Convert the name of an output file, and check before the work that it can be written."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} cannot be written: it is a folder")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path} cannot be written: {path.parent} is not a folder")
    return path
