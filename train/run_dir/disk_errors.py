"""A full or failing disk ends a run with one sentence, and the last checkpoint stays."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from alexnet_jax.weights.files import checksums

from ..config.config import COMMAND
from ..config.errors import BadInput, Ended

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
def end_run_on_disk_error(run_dir: Path) -> Iterator[None]:
    """Raise Ended, with exit status 1, if the block raises because a disk cannot be written."""
    try:
        yield
    except (BadInput, Ended):
        raise
    except Exception as error:  # Orbax raises many types
        message = find_disk_error(error)
        if message is None:
            raise
        raise Ended(
            f"stopped: {run_dir} cannot be written: {message}; {_how_to_continue(run_dir)}", 1
        ) from None


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


def _how_to_continue(run_dir: Path) -> str:
    checkpoints = run_dir.resolve() / "checkpoints"
    complete = checkpoints.glob(f"*/{checksums.NAME}")
    steps = [int(path.parent.name) for path in complete if path.parent.name.isdecimal()]
    if not steps:
        return "no checkpoint was kept yet"
    return (
        f"the last checkpoint is {checkpoints / str(max(steps))}; when the disk is mended, "
        f"continue with: {COMMAND} --run-dir {run_dir} --resume"
    )
