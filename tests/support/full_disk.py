"""A disk that takes no more, as the limit on the size of a file imitates it."""

import contextlib
import resource


@contextlib.contextmanager
def largest_file(size):
    """Let this process write files of up to `size` bytes within the block."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
