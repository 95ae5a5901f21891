"""The processor cores of this process, and the threads that decode on them."""

import functools
import os
import socket
import zlib

MOST_THREADS = 16
"""The threads of a process take turns at Python's lock: more than these were not measured."""


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(_cores())


def decoding_threads(asked: int | None) -> int:
    """Return `asked` or, if that is None, a thread for each core, `MOST_THREADS` at most.

    Processes of a run that have the same cores of one machine share them. All of them must call
    this, whatever each is asked for, because the first call gathers their cores.
    """
    sharing = _processes_on_these_cores()
    return asked or max(1, min(MOST_THREADS, available_cores() // sharing))


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]


@functools.cache
def _processes_on_these_cores() -> int:
    import jax

    if jax.process_count() == 1:
        return 1
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    own = np.uint32(zlib.crc32(f"{socket.gethostname()} {_cores()}".encode()))
    return int((process_allgather(own) == own).sum())


def core_shares(count: int) -> list[list[int]]:
    """Divide the cores of this process into `count` groups, of equal size where that goes.

    Where a process cannot be bound to cores, as on macOS, or there are fewer cores than groups, the
    groups are empty: whoever runs in one keeps all cores.
    """
    cores = _cores()
    if not hasattr(os, "sched_setaffinity") or len(cores) < count:
        return [[] for _ in range(count)]
    return [cores[i * len(cores) // count : (i + 1) * len(cores) // count] for i in range(count)]
