"""Signals that stop a run on all of its processes after the current step, once saved."""

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C; a scheduler, or a machine that goes down; a terminal that is gone. Windows has no HUP."""

CALLBACK = 256
"""The number of a stop that a Python callback asked for; signals have the numbers 1 to 64."""


@dataclass
class StopRequest:
    """The number of the signal that asked this process to stop; None until then."""

    signal: int | None = None


@contextlib.contextmanager
def defer_signals() -> Iterator[StopRequest]:
    """Record the first of `SIGNALS` within the block; a second one acts at once, as usual.

    A signal that the process was started to ignore stays ignored, as SIGHUP under nohup. SIGINT is
    caught all the same: a shell script starts what it puts into the background to ignore it, and
    who sends it means it. Outside the main thread nothing is caught, because Python delivers
    signals only there.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    if handlers[signal.SIGINT] == signal.SIG_IGN:
        handlers[signal.SIGINT] = signal.default_int_handler
    previous = {
        n: handler for n, handler in handlers.items() if handler not in (signal.SIG_IGN, None)
    }

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def record(number: int, frame: object) -> None:
        request.signal = number
        restore()
        name = signal.Signals(number).name
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, f"{name}: saving after this step; once more stops at once\n".encode())

    for number in previous:
        signal.signal(number, record)
    try:
        yield request
    finally:
        restore()


class StopConsensus:
    """Agree on the step to stop after, whichever process was asked to stop."""

    def __init__(self, mesh: Mesh, delay: int) -> None:
        """Take the mesh of the run; the processes that own its devices agree.

        With several processes, an answer is that to the call of `delay` calls before: the devices
        have long found it, between two steps, and nobody waits for it.
        """
        self._delay = delay
        self._single_process = jax.process_count() == 1
        self._one_per_device = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        replicated = NamedSharding(mesh, PartitionSpec())
        self._max = jax.jit(jnp.max, out_shardings=replicated)
        self._size = mesh.size
        self._pending: deque[jax.Array] = deque()

    def poll(self, number: int | None) -> int | None:
        """Return the highest number that any process has passed, None if all have passed None.

        With several processes, it is the answer to an earlier call. All processes must call this
        equally often.

        Args:
          number: of the signal, or `CALLBACK`; None to go on.
        """
        if self._single_process:
            return number
        own = np.array([number or 0], np.int32)
        numbers = jax.make_array_from_callback((self._size,), self._one_per_device, lambda _: own)
        self._pending.append(self._max(numbers))
        if len(self._pending) <= self._delay:
            return None
        return int(jax.device_get(self._pending.popleft())) or None
