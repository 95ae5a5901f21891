"""A disk that fails, or a folder that is gone, ends a run with one sentence."""

import contextlib
import errno
import os
from collections.abc import Iterator

from alexnet_jax.weights.files import checksums

from ..config.errors import BadInput, Ended
from .open_folder import OpenFolder

_MESSAGES = {
    number: os.strerror(number)
    for number in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EIO,
        errno.EACCES,
        errno.ESTALE,
    )
}
"""The system's messages about a disk, by error number."""


@contextlib.contextmanager
def end_run_on_disk_error(folder: OpenFolder) -> Iterator[None]:
    """Raise Ended, with exit status 1, if the block raises because a disk cannot be written.

    Also if the folder of the run was deleted or renamed.
    """
    try:
        yield
    except (BadInput, Ended):
        raise
    except Exception as error:  # Orbax raises many types
        message = find_disk_error(error)
        if message is not None:
            what = f"cannot be written: {message}; {_how_to_continue(folder)}"
        elif folder.path_now() != folder.path:
            what = "was deleted or renamed while it was trained"
        else:
            raise
        raise Ended(f"stopped: {folder.path} {what}", 1) from None


def find_disk_error(error: BaseException | None) -> str | None:
    """Return a disk's message in an error or its causes, as "No space left on device", or None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _MESSAGES:
            return _MESSAGES[error.errno]
        for message in _MESSAGES.values():
            if message in str(error):  # as in TensorStore's errors
                return message
        error = error.__cause__ or error.__context__
    return None


def _how_to_continue(folder: OpenFolder) -> str:
    checkpoints = folder.path.absolute() / "checkpoints"
    complete = checkpoints.glob(f"*/{checksums.NAME}")
    steps = [int(path.parent.name) for path in complete if path.parent.name.isdecimal()]
    if not steps:
        began = (folder.path / "config.json").exists()
        way_on = f"; when the disk is mended, begin with: {folder.way_on()}" if began else ""
        return f"no checkpoint was kept yet{way_on}"
    return (
        f"the last checkpoint is {checkpoints / str(max(steps))}; when the disk is mended, "
        f"continue with: {folder.way_on()}"
    )
