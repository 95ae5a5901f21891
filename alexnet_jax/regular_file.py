"""Files that are opened only if they are files: a pipe would wait for its writer for ever."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises OSError if it cannot be opened, and for a pipe, a socket or a device.
    """
    kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    if kind is not None:
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", os.fspath(path))
    return path.open("rb")


def read_regular(path: Path) -> bytes:
    """Return the bytes of a file. Raises as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()
