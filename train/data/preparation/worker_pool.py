"""Work on pictures in several processes at once, which end with this one."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, TypeVar

from ...config.errors import BadInput

_SECONDS_BETWEEN_LOOKS = 0.5
Task = TypeVar("Task")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    processes: int,
    advance: Callable[[int], object],
) -> Iterator[Result]:
    """Do all tasks, and yield what comes of each when it is done, in any order.

    `work` is a module's function, and calls `note_done` for pictures. `advance` is told twice a
    second how many are done. Raises BadInput.
    """
    context = multiprocessing.get_context("spawn")  # a fork copies other threads' locks
    done, stop = context.Value("Q"), context.Event()
    pool = ProcessPoolExecutor(processes, context, _begin, (done, stop))
    try:
        with _without_ctrl_c():
            waiting = {pool.submit(work, task) for task in tasks}
        while waiting:
            ready, waiting = wait(waiting, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            for future in ready:
                yield future.result()
            advance(done.value)
    except BrokenProcessPool:
        raise BadInput(
            "a process was ended from outside, as happens when memory is short; the same command "
            "goes on from here, with fewer --processes if need be"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


class Stopped(Exception):
    """Nobody wants the result any more."""


def note_done(pictures: int = 1) -> None:
    """Count pictures that are done, in a process of the pool. Raises Stopped."""
    done, stop = _shared
    if stop.is_set():
        raise Stopped
    with done.get_lock():
        done.value += pictures


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Let the processes that begin in here leave Ctrl-C to their parent, which stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread say so
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_shared: Any = None  # in a process of the pool: the number of pictures done, and the word to stop


def _begin(done: Any, stop: Any) -> None:
    """Set up a process of the pool."""
    global _shared
    _shared = done, stop
    parent = multiprocessing.parent_process()
    assert parent is not None
    # The processes of a pool would wait for ever after their parent has been killed.
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
