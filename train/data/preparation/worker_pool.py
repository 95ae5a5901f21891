"""A pool of worker processes that count pictures, and that end with their parent."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import TypeVar

from ...config.errors import BadInput

_POLL_SECONDS = 0.5  # between calls of `on_progress`; faster than people read
Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_workers(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    processes: int,
    on_progress: Callable[[int], object],
) -> Iterator[Result]:
    """Call a function on all tasks, and yield the results as they come, in any order.

    Args:
      function: at the top level of a module; calls `report_done` for pictures.
      tasks: its arguments.
      processes: how many workers there are.
      on_progress: receives the number of pictures done, twice a second.

    Raises BadInput if a worker is killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork copies locks that other threads hold
    done, stop = context.Value("Q"), context.Event()
    pool = ProcessPoolExecutor(processes, context, _init_worker, (done, stop))
    try:
        with _ignore_ctrl_c():
            pending = {pool.submit(function, task) for task in tasks}
        while pending:
            ready, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
            for future in ready:
                yield future.result()
            on_progress(done.value)
    except BrokenProcessPool:
        raise BadInput(
            "a worker process was killed, as happens when memory is short; the same command "
            "continues from here, with fewer `processes` if need be"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


class WorkerStopped(Exception):
    """The parent no longer needs the result."""


def report_done(pictures: int = 1) -> None:
    """Count pictures that are done, in a worker. Raises WorkerStopped."""
    assert _shared is not None
    done, stop = _shared
    if stop.is_set():
        raise WorkerStopped
    with done.get_lock():
        done.value += pictures


@contextlib.contextmanager
def _ignore_ctrl_c() -> Iterator[None]:
    """Let workers that start in this block ignore Ctrl-C; their parent stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a signal handler
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


_shared: tuple[Synchronized, Event] | None = None
"""In a worker: the number of pictures done, and the request to stop."""


def _init_worker(done: Synchronized, stop: Event) -> None:
    global _shared
    _shared = done, stop
    parent = multiprocessing.parent_process()
    assert parent is not None
    # Without this, workers would wait forever once their parent has been killed.
    threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
