"""Several processes that train one net together, through `jax.distributed`.

Each has devices of its own and runs the same program. Process 0 leads: it alone writes what only
one may write. Imports no JAX at the top.
"""

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from ..config.config import Config
from ..config.errors import BadInput, Ended

PEER_GONE = 75
"""Exit status when another process of the run is gone: EX_TEMPFAIL, to be tried again."""

HEARTBEAT_SECONDS = 30
"""A process that has given no sign of life for so long counts as gone."""

_OTHERS_REFUSE_SECONDS = 5
"""What one refuses all do, as a rule. One that is slower must not find this one gone before."""

_GONE = (
    "stopped: another process of the run has ended or cannot be reached; its own last words tell "
    "why; the same command with --resume goes on from the last checkpoint"
)
_OF_A_PEER = re.compile(
    "gloo|nccl|connection|socket|heartbeat|coordination|unavailable|aborted|deadline", re.IGNORECASE
)
_joined = False
_leaving = threading.Lock()


def is_main_process() -> bool:
    """Return whether this process writes what only one may write."""
    import jax

    return jax.process_index() == 0


def barrier(where: str) -> None:
    """Wait until all processes have come to this place, which has a name of its own."""
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(where)


def detect_launcher(
    environment: Mapping[str, str], devices: int, chips: int = 0
) -> tuple[str, int | None] | None:
    """Return what has started this process as one of several, and how many if it says so.

    Args:
      environment: of this process.
      devices: that the run is to have.
      chips: of TPUs in this machine.
    """
    for name, count in (("SLURM", "SLURM_STEP_NUM_TASKS"), ("Open MPI", "OMPI_COMM_WORLD_SIZE")):
        number = environment.get(count, "")
        if number.isdecimal() and int(number) > 1:
            return name, int(number)
    # A slice has more chips than one of its machines; GKE says so in the environment.
    if "," in environment.get("TPU_WORKER_HOSTNAMES", "") or devices > chips > 0:
        return "Cloud TPU", None
    indexed = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    return ("Kubernetes", None) if indexed and devices > 1 else None


def join(config: Config) -> int | None:
    """Make this process one of several, if flags or a launcher say that it is.

    Returns how many there are, None if only JAX knows. Raises BadInput if they do not find each
    other, or cannot share the devices.
    """
    chips = len([*Path("/dev").glob("accel*"), *Path("/dev/vfio").glob("[0-9]*")])
    launcher, count = detect_launcher(os.environ, config.launch.devices, chips) or ("", 1)
    where = {}
    if config.launch.processes is not None:
        launcher, count = "--processes", config.launch.processes
        where = {
            "coordinator_address": config.launch.coordinator,
            "num_processes": config.launch.processes,
            "process_id": config.launch.process_id,
        }
    if count == 1 or config.launch.plan:
        return 1
    if count and config.launch.devices % count:
        raise BadInput(
            f"--devices {config.launch.devices} cannot be divided among {count} processes ({launcher})"
        )
    if config.launch.run_dir is None:
        raise BadInput(f"several processes ({launcher}) need a --run-dir that all of them see")
    _initialize(launcher, where)
    return count


def _initialize(launcher: str, where: dict) -> None:
    global _joined
    import jax

    # JAX ends a process whose peers are gone by abort(), from a thread of its own.
    _on_abort()
    try:
        jax.distributed.initialize(**where, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    except Exception as error:  # of many kinds: what clusters are asked, and how, differs
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        if launcher == "Cloud TPU" and "," not in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
            return  # a single machine, of chips with two devices each
        first = str(error).strip().splitlines()[0].rstrip(".")
        raise BadInput(
            f"{launcher}: the processes do not find each other: {first}; "
            "--coordinator, --processes and --process-id tell JAX by hand"
        ) from None
    _joined = True
    # JAX has caught SIGTERM, which would no longer end anything.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


@contextlib.contextmanager
def fail_fast() -> Iterator[None]:
    """End this process at once if the block fails: an exit as usual would wait for the others.

    They notice within `HEARTBEAT_SECONDS`. What all of them end by together, `Ended`, is said by
    one, and ends as usual, but not much later. Without other processes, nothing changes.
    """
    try:
        yield
    except Ended as end:
        if _joined:  # if all end so, they wait for each other a moment only
            later = threading.Timer(HEARTBEAT_SECONDS, os._exit, [end.status])
            later.daemon = True
            later.start()
            if not is_main_process():
                raise SystemExit(end.status) from None
        raise
    except Exception as error:
        if not _joined:
            raise
        if isinstance(error, BadInput):
            _leave(f"error: {error}", 2, after=_OTHERS_REFUSE_SECONDS)
        if _OF_A_PEER.search(str(error)):
            _leave(_GONE, PEER_GONE)
        traceback.print_exc()
        _leave("stopped by a fault of this process", 1)
    except KeyboardInterrupt:
        if not _joined:
            raise
        _leave("stopped before anything was to be saved", 130)


def _leave(sentence: str, status: int, after: float = 0) -> NoReturn:
    """Say it, and end after so many seconds, without what Python and JAX do at an exit."""
    if not _leaving.acquire(blocking=False):
        threading.Event().wait()  # another thread is just leaving
    sys.stdout.flush()
    os.write(2, f"{sentence}\n".encode())
    time.sleep(after)
    os._exit(status)


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _aborted(number: int) -> None:
    _leave(_GONE, PEER_GONE)


def _on_abort() -> None:
    """Let the C library call `_aborted`: Python's own handlers would run too late."""
    catch = ctypes.CDLL(None).signal
    catch.argtypes, catch.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    catch(signal.SIGABRT, ctypes.cast(_aborted, ctypes.c_void_p))
