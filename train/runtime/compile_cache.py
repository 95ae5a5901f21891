"""JAX's cache of compiled programs, in the user's cache folder. Imports JAX late."""

import contextlib
import functools
import importlib
import platform
import stat
import warnings
from collections.abc import Callable
from pathlib import Path


def enable() -> None:
    """Let JAX keep compiled programs in the user's cache, unless JAX has a cache folder already.

    Each host has its own folder: a CPU program needs the instructions of that CPU, and the hosts of
    a cluster may share a home. A cache that cannot be read or written costs time and no more, so
    JAX's warnings about it are not shown.
    """
    import jax

    from alexnet_jax.weights.pretrained import user_cache

    # pyright does not see the options that JAX defines while it runs.
    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if folder is None and (cache := user_cache()):  # some containers run as a user without one
        folder = str(cache / "xla" / platform.node())
        jax.config.update("jax_compilation_cache_dir", folder)
    if folder and "://" not in folder:
        _delete_damaged_entries(Path(folder))
    warnings.filterwarnings("ignore", ".*persistent compilation cache entry", UserWarning)


def _delete_damaged_entries(folder: Path) -> None:
    """Delete entries that end early, so that JAX compiles and writes them again.

    JAX writes an entry in place and never again: a process that is killed meanwhile, or a full
    disk, leaves half an entry for ever. An entry that has been found whole becomes read-only, and
    is not looked at again until its content changes.
    """
    with contextlib.suppress(OSError):
        for entry in folder.glob("*-cache"):
            with contextlib.suppress(OSError):  # another process may have deleted it
                status = entry.stat()
                checked = not status.st_mode & stat.S_IWUSR
                if not stat.S_ISREG(status.st_mode) or (
                    checked and status.st_mtime_ns < status.st_ctime_ns  # as it was when checked
                ):
                    continue
                if _is_whole(entry):
                    entry.chmod(stat.S_IMODE(status.st_mode) & ~0o222)
                else:
                    entry.unlink()


def _is_whole(entry: Path) -> bool:
    content = entry.read_bytes()
    try:
        return len(_decompressor()(content)) > 0
    except Exception:  # each of the three modules has error types of its own
        return False


@functools.cache
def _decompressor() -> Callable[[bytes], bytes]:
    """Return what undoes the compression of JAX, which takes the first module that is there."""
    for name in ("compression.zstd", "zstandard"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name).decompress
    return importlib.import_module("zlib").decompress
