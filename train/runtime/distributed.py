"""Several processes that train one network together, through `jax.distributed`.

Each process has its own devices and runs the same program. Process 0 is the main process: it alone
writes to the run folder. Imports JAX late.
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
from typing import Any, NoReturn

from ..config.config import Config
from ..config.errors import BadInput, Ended

PEER_GONE = 75
"""Exit status after another process of the run has died: EX_TEMPFAIL of sysexits.h, try again."""

HEARTBEAT_SECONDS = 30
"""A process that sends no heartbeat for this long counts as dead. JAX's default, 100 s, would keep
the other processes waiting for more than a minute; a slow file system may block one for seconds."""

_SECONDS_TO_REFUSE = 5
"""Bad input is refused by every process, usually. The wait lets a slower one print its sentence
before it notices that this process is gone."""

_PEER_GONE_MESSAGE = (
    "stopped: another process of the run has ended or cannot be reached; lines of JAX above may "
    "tell its number, and its own last message why; "
    "the same command with --resume continues from the last checkpoint"
)
_PEER_ERROR = re.compile(
    "gloo|nccl|connection|socket|heartbeat|coordination|unavailable|aborted|deadline", re.IGNORECASE
)
_joined = False
_exiting = threading.Lock()


def is_main_process() -> bool:
    """Return whether this is the process that writes to the run folder."""
    import jax

    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Wait until all processes have reached the barrier of this name."""
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def detect_launcher(
    environment: Mapping[str, str], devices: int, chips: int = 0
) -> tuple[str, int | None] | None:
    """Return the launcher that started this process as one of several, and their number.

    Args:
      environment: of this process.
      devices: of the run, over all processes.
      chips: the number of TPU chips in this machine.

    Returns:
      None for a single process; otherwise the launcher's name, and the number of processes where
      the launcher states it.
    """
    for name, count in (("SLURM", "SLURM_STEP_NUM_TASKS"), ("Open MPI", "OMPI_COMM_WORLD_SIZE")):
        number = environment.get(count, "")
        if number.isdecimal() and int(number) > 1:
            return name, int(number)
    # A TPU slice has more chips than one of its machines; GKE lists the machines.
    if "," in environment.get("TPU_WORKER_HOSTNAMES", "") or devices > chips > 0:
        return "Cloud TPU", None
    indexed = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    return ("Kubernetes", None) if indexed and devices > 1 else None


def join(config: Config) -> int | None:
    """Connect this process to the others, if the configuration or a launcher says that there are.

    Returns the number of processes, None if only JAX knows it. Raises BadInput if the processes do
    not find each other, or cannot divide the devices.
    """
    chips = len([*Path("/dev").glob("accel*"), *Path("/dev/vfio").glob("[0-9]*")])
    launcher, count = detect_launcher(os.environ, config.launch.devices, chips) or ("", 1)
    address = {}
    if config.launch.processes is not None:
        launcher, count = "`processes`", config.launch.processes
        address = {
            "coordinator_address": config.launch.coordinator,
            "num_processes": config.launch.processes,
            "process_id": config.launch.process_id,
        }
    if count == 1 or config.launch.plan:
        return 1
    if count and config.launch.devices % count:
        raise BadInput(
            f"`devices` {config.launch.devices} cannot be divided among {count} processes "
            f"({launcher})"
        )
    if config.launch.run_dir is None:
        raise BadInput(f"several processes ({launcher}) need a `run_dir` that all of them see")
    _initialize(launcher, address)
    return count


def _initialize(launcher: str, address: dict[str, Any]) -> None:
    global _joined
    import jax

    # JAX calls abort(), from another thread, in a process whose peers are gone.
    _catch_abort()
    try:
        jax.distributed.initialize(**address, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    except Exception as error:  # of many types: each launcher is queried in its own way
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        if launcher == "Cloud TPU" and "," not in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
            return  # a single machine, whose chips have two devices each
        first = str(error).strip().splitlines()[0].rstrip(".")
        raise BadInput(
            f"{launcher}: the processes do not find each other: {first}; "
            "`coordinator`, `processes` and `process_id` set their addresses by hand"
        ) from None
    _joined = True
    # JAX has installed its own handler of SIGTERM, which would not end the process.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


@contextlib.contextmanager
def fail_fast() -> Iterator[None]:
    """Exit at once if the block fails, because a normal exit would wait for the other processes.

    The others notice within `HEARTBEAT_SECONDS`. All processes raise `Ended` after the same step:
    then the main process alone prints the sentence, and each exits normally, within
    `HEARTBEAT_SECONDS` at most. A single process is left alone.
    """
    try:
        yield
    except Ended as end:
        if _joined and end.at_once:
            _exit_now(end.with_flags() if is_main_process() else "", end.status)
        if _joined:  # a normal exit waits for the others, who end a moment later
            deadline = threading.Timer(HEARTBEAT_SECONDS, os._exit, [end.status])
            deadline.daemon = True
            deadline.start()
            if not is_main_process():
                raise SystemExit(end.status) from None
        raise
    except Exception as error:
        if not _joined:
            raise
        if isinstance(error, BadInput):
            _exit_now(f"error: {error.shown()}", 2, delay=_SECONDS_TO_REFUSE)
        if _PEER_ERROR.search(str(error)):
            _exit_now(_PEER_GONE_MESSAGE, PEER_GONE)
        traceback.print_exc()
        _exit_now("stopped by an error in this process", 1)
    except KeyboardInterrupt:
        if not _joined:
            raise
        _exit_now("stopped by SIGINT before the first step", 130)


def _exit_now(sentence: str, status: int, delay: float = 0) -> NoReturn:
    """Print the sentence and, after `delay` seconds, exit without Python's and JAX's exit hooks."""
    if not _exiting.acquire(blocking=False):
        threading.Event().wait()  # another thread is already exiting
    sys.stdout.flush()
    with contextlib.suppress(OSError):  # the terminal may be gone
        os.write(2, f"{sentence}\n".encode(errors="backslashreplace") if sentence else b"")
    time.sleep(delay)
    os._exit(status)


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _handle_abort(number: int) -> None:
    _exit_now(_PEER_GONE_MESSAGE, PEER_GONE)


def _catch_abort() -> None:
    """Register `_handle_abort` with the C library; a handler of Python's would run too late."""
    register = ctypes.CDLL(None).signal
    register.argtypes, register.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    register(signal.SIGABRT, ctypes.cast(_handle_abort, ctypes.c_void_p))
