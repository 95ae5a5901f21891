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
from typing import Any, NoReturn

from ..config.config import Config
from ..config.errors import BadInput, Ended
from . import accelerators, tpu_slice

PEER_GONE = 75
"""Exit status after another process of the run has died: EX_TEMPFAIL of sysexits.h, try again."""

HEARTBEAT_SECONDS = 30
"""A process that sends no heartbeat for this long counts as dead. JAX's default, 100 s, would keep
the other processes waiting for more than a minute; a slow file system may block one for seconds."""

_SECONDS_TO_REFUSE = 5
"""Bad input is refused by every process, usually. The wait lets a slower one print its sentence
before it notices that this process is gone."""

_PEER_NUMBER = re.compile(r"(?:/task:|unhealthy[^:]*:\n)(\d+)")
_PEER_ADDRESS = re.compile(r"\[([\d.]+|[\da-f:]+)\]:\d+")
_PEER_ERROR = re.compile(
    "gloo|nccl|connection|socket|heartbeat|coordination|unavailable|aborted|deadline", re.IGNORECASE
)
_joined = False
_only_peer: int | None = None
"""The number of the other process, if there are two and the launcher has told this one's."""
_exiting = threading.Lock()


_COUNT_AND_NUMBER = {
    "SLURM": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
}
"""Variables of launchers: how many processes there are, and the number of this one."""


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
    environment: Mapping[str, str], devices: int, tpu_hosts: int = 1
) -> tuple[str, int | None] | None:
    """Return the launcher that started this process as one of several, and their number.

    Args:
      environment: of this process.
      devices: of the run, over all processes.
      tpu_hosts: the number of hosts of this machine's TPU slice.

    Returns:
      None for a single process; otherwise the launcher's name, and the number of processes where
      the launcher states it.
    """
    for name, (count, _) in _COUNT_AND_NUMBER.items():
        number = environment.get(count, "")
        if number.isdecimal() and int(number) > 1:
            return name, int(number)
    if tpu_hosts > 1:
        return "Cloud TPU", tpu_hosts
    indexed = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    return ("Kubernetes", None) if indexed and devices > 1 else None


def join(config: Config) -> int | None:
    """Connect this process to the others, if the configuration or a launcher says that there are.

    Returns the number of processes, None if only JAX knows it. Raises BadInput if the processes do
    not find each other, or cannot divide the devices.
    """
    if config.launch.plan:
        return 1
    devices = config.launch.devices
    tpu_hosts = tpu_slice.count_hosts(os.environ, devices, accelerators.count_tpu_chips())
    launcher, count = detect_launcher(os.environ, devices, tpu_hosts) or ("", 1)
    address = {}
    if config.launch.processes is not None:
        launcher, count = "`processes`", config.launch.processes
        address = {
            "coordinator_address": config.launch.coordinator,
            "num_processes": config.launch.processes,
            "process_id": config.launch.process_id,
        }
    if count == 1:
        return 1
    if count and devices % count:
        raise BadInput(
            f"`devices` {devices} cannot be divided among {count} processes ({launcher})"
        )
    if config.launch.run_dir is None:
        raise BadInput(f"several processes ({launcher}) need a `run_dir` that all of them see")
    own = address.get("process_id", os.environ.get(_COUNT_AND_NUMBER.get(launcher, ("", ""))[1]))
    _initialize(launcher, address, 1 - int(own) if count == 2 and own is not None else None)
    return count


def _initialize(launcher: str, address: dict[str, Any], only_peer: int | None) -> None:
    global _joined, _only_peer
    import jax

    # JAX calls abort(), from another thread, in a process whose peers are gone.
    _catch_abort()
    try:
        jax.distributed.initialize(**address, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    except Exception as error:  # of many types: each launcher is queried in its own way
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        first = str(error).strip().splitlines()[0].rstrip(".")
        raise BadInput(
            f"{launcher}: the processes do not find each other: {first}; "
            "`coordinator`, `processes` and `process_id` set their addresses by hand"
        ) from None
    _joined, _only_peer = True, only_peer
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
            _exit_now(peer_gone_message(str(error), _only_peer), PEER_GONE)
        traceback.print_exc()
        _exit_now("stopped by an error in this process", 1)
    except KeyboardInterrupt:
        if not _joined:
            raise
        _exit_now("stopped by SIGINT before the first step", 130)


def peer_gone_message(error: str, only_peer: int | None = None) -> str:
    """Return what to print when another process is gone.

    Args:
      error: JAX's; it may have the number of the process or its address.
      only_peer: the number of the only other process, if there are two.
    """
    if number := _PEER_NUMBER.search(error):
        which = f"process {number[1]}"
    elif only_peer is not None:
        which = f"process {only_peer}"
    elif address := _PEER_ADDRESS.search(error):
        which = f"at {address[1]}"
    else:
        which = "which one is unknown here, JAX's lines above may tell"
    return (
        f"stopped: another process of the run has ended or cannot be reached ({which}); its own "
        "last message may tell why; "
        "the same command with --resume continues from the last checkpoint"
    )


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
    # JAX has logged its error, and hands it to nobody.
    _exit_now(peer_gone_message("", _only_peer), PEER_GONE)


def _catch_abort() -> None:
    """Register `_handle_abort` with the C library; a handler of Python's would run too late."""
    register = ctypes.CDLL(None).signal
    register.argtypes, register.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    register(signal.SIGABRT, ctypes.cast(_handle_abort, ctypes.c_void_p))
