"""Files that are written completely or not at all."""

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file; a file of that name is replaced once everything is on the disk.

    Text is written as UTF-8. Raises OSError, which names `path`.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed have left of their writes to `path`."""
    for temporary in leftovers(path):
        with contextlib.suppress(OSError):
            temporary.unlink()


def leftovers(path: Path) -> Iterator[Path]:
    """Yield the temporary files or folders of writes to `path` whose processes were killed.

    That of a process that still runs stays out, as far as this machine can tell.
    """
    for temporary in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        number = temporary.name.removeprefix(f"{path.name}.").removesuffix(".tmp")
        if number.isdecimal() and not _is_running(int(number)):
            yield temporary


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, for the block to write a file to.

    The file replaces `path` when the block ends, and is removed if the block raises. It is flushed
    to the disk first: without that, a power failure may leave the new name with no content.
    Its name carries the process id, so that two processes never write to the same one. Raises
    OSError, which names `path`.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # it may be a link that leads elsewhere
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise  # about another file that the block has opened
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
