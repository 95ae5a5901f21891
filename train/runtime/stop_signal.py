"""Ctrl-C and SIGTERM end a run at the next step, after it has been saved."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


class Interruption:
    """Which signal has asked for the end, if any."""

    signal: int | None = None


@contextlib.contextmanager
def deferred() -> Iterator[Interruption]:
    """Catch SIGINT and SIGTERM within the block; a second one acts at once, as usual."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # Python lets only the main thread catch signals
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def catch(number: int, frame: object) -> None:
        interruption.signal = number
        restore()
        name = signal.Signals(number).name
        os.write(2, f"{name}: saving after this step; once more stops at once\n".encode())

    for number in before:
        signal.signal(number, catch)
    try:
        yield interruption
    finally:
        restore()
