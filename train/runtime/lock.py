"""A lock on a folder: one process at a time writes there."""

import contextlib
import fcntl
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..config.errors import BadInput


@contextlib.contextmanager
def acquire(folder: Path, name: str = "lock", doing: str = "trained") -> Iterator[None]:
    """Hold the lock of a folder within the block.

    It is a lock of the operating system on the file `name`: it ends with the process, however that
    ends, so no stale lock remains. Over NFS it works between hosts; the lock of a host that has
    died lasts until the server drops its clients (usually 90 s).

    Args:
      folder: to be locked; the file stays in it.
      name: of the file.
      doing: for the message, as "runs/1 is being trained by process 7 on host".

    Raises BadInput, which names the other process and its host, if the folder is locked.
    """
    path = folder / name
    try:
        file = os.fdopen(_open_no_link(path), "rb", buffering=0)
    except OSError as error:
        if path.is_symlink():
            raise BadInput(f"{path} is a link, which could lead elsewhere; delete it") from None
        raise BadInput(f"{folder} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{folder} is being {doing} by {_read_owner(file)}") from None
        except OSError as error:  # some network file systems have no locks
            print(
                f"note: {path} cannot be locked: {error.strerror}; "
                "make sure that no other process writes there",
                file=sys.stderr,
            )
        else:
            _write_owner(file)
        yield


def _open_no_link(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)


def _write_owner(file: BinaryIO) -> None:
    if os.fstat(file.fileno()).st_nlink > 1:  # another name of a file elsewhere, or a backup's
        return
    with contextlib.suppress(OSError):  # on a full disk the lock holds, but has no name in it
        os.truncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())


def _read_owner(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(200).decode(errors="replace").strip() or "another process"
