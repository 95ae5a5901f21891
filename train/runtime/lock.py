"""One process at a time writes in a folder."""

import contextlib
import fcntl
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..config.errors import BadInput


@contextlib.contextmanager
def held(folder: Path, name: str = "lock", doing: str = "trained") -> Iterator[None]:
    """Keep all other processes that ask for it out of the folder, within the block.

    The lock is the system's, on the file `name`: it ends with the process, however that ends, so
    none is ever left behind. Over NFS it holds between hosts; that of a host which has died, until
    the server gives its clients up (90 s, usually). Raises BadInput, naming the process and its
    host, by which the folder is being `doing`.
    """
    path = folder / name
    try:
        file = path.open("a+")
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{folder} is being {doing} by {_holder(file)}") from None
        except OSError as error:  # some network file systems know no locks
            print(
                f"note: {path} cannot be locked: {error.strerror}; "
                "see that no other process writes there",
                file=sys.stderr,
            )
        else:
            _sign(file)
        yield


def _sign(file: TextIO) -> None:
    """Say whose it is; on a full disk nobody learns."""
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read(200).strip() or "another process"
