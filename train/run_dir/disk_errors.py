"""A disk that is full, or fails, ends a run in a sentence and leaves what was saved before."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from alexnet_jax.weights.files import checksums

from ..config.config import COMMAND
from ..config.errors import BadInput, Ended

_FAULTS = {
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
"""What a disk says of itself, by its number in the system."""


@contextlib.contextmanager
def end_run_on_disk_error(run_dir: Path) -> Iterator[None]:
    """Raise Ended, exit status 1, if something within the block cannot be written to the disk."""
    try:
        yield
    except (BadInput, Ended):
        raise
    except Exception as error:  # Orbax raises many kinds
        said = fault(error)
        if said is None:
            raise
        raise Ended(
            f"stopped: {run_dir} cannot be written: {said}; {_way_on(run_dir)}", 1
        ) from None


def fault(error: BaseException | None) -> str | None:
    """Return what the disk says in an error or its causes, "No space left on device", or None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FAULTS:
            return _FAULTS[error.errno]
        for words in _FAULTS.values():
            if words in str(error):  # as TensorStore's errors have it
                return words
        error = error.__cause__ or error.__context__
    return None


def _way_on(run_dir: Path) -> str:
    sealed = (run_dir.resolve() / "checkpoints").glob(f"*/{checksums.NAME}")
    steps = [int(path.parent.name) for path in sealed if path.parent.name.isdecimal()]
    if not steps:
        return "no checkpoint was kept yet"
    last = run_dir.resolve() / "checkpoints" / str(max(steps))
    return (
        f"the last checkpoint is {last}; when that is mended, go on with: "
        f"{COMMAND} --run-dir {run_dir} --resume"
    )
