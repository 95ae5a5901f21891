"""The next batch is read, and put on the devices, while they run a step."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax


class ReadAhead:
    """One batch ahead of the training step, and the time that the devices waited for batches.

    They wait from the end of a step until all of the next batch is on them. Only a thread that
    waits with them sees these moments, because the host has long dispatched the step by then.
    """

    def __init__(self, batches: Iterator[Any]) -> None:
        """Take the batches of all devices, each put there when the iterator returns it."""
        self._batches = batches
        self._next: Future[Any] | None = None
        self._watch = ThreadPoolExecutor(1, "watch")
        self._taken = self._step_ended = 0.0
        self._running = self._waited = 0.0  # seconds, summed in the thread

    def __enter__(self) -> "ReadAhead":
        """Return the batches, of which no further one is read after the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the thread; after an error, without waiting for the step that it watches."""
        self._watch.shutdown(wait=error[0] is None)

    def read(self, running: Any = None) -> None:
        """Read the next batch. An error is kept until the batch is taken.

        Args:
          running: an output of the step that was dispatched last, to measure the wait after it.
        """
        self._next = batch = Future()
        if running is not None:
            self._watch.submit(self._measure, self._taken, running, batch)
        try:
            batch.set_result(next(self._batches))
        except BaseException as error:
            batch.set_exception(error)
            if not isinstance(error, Exception):  # a second Ctrl-C is not kept waiting
                raise

    def take(self) -> Any:
        """Return the batch that is due. Raises what reading it has raised."""
        if self._next is None:
            self.read()
        assert self._next is not None
        batch, self._next = self._next.result(), None
        self._taken = time.monotonic()
        return batch

    def share_waited(self) -> float | None:
        """Return the share of waiting in the time of steps and waiting, None before two steps.

        Evaluations and checkpoints do not count, nor does the wait for the first batch of all. Of
        several processes, each counts its own devices.
        """
        total = self._running + self._waited
        return self._waited / total if total else None

    def _measure(self, taken: float, running: Any, batch: Future[Any]) -> None:
        """Add the time of a step, whose batch was taken then, and of the wait for the next one."""
        with contextlib.suppress(Exception):  # the loop meets it, too
            jax.block_until_ready(running)
            began, self._step_ended = max(taken, self._step_ended), time.monotonic()
            self._running += self._step_ended - began
            jax.block_until_ready(batch.result())
            self._waited += time.monotonic() - self._step_ended
