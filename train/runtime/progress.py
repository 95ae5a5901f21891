"""Progress of a command: a bar on a person's terminal, otherwise a plain line now and then."""

import datetime
import sys
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from . import output

SECONDS_BETWEEN_LINES = 10
"""A log of a day's run then has 8,640 lines at most, and a reader of it never waits for long."""

_NEW_STEP = 0.1
"""The weight of the latest step in the running mean of seconds, which so spans some ten steps."""


class ProgressBar:
    """A bar on a person's terminal; otherwise a line every `SECONDS_BETWEEN_LINES`."""

    def __init__(
        self,
        total: int,
        description: str = "",
        *,
        completed: int = 0,
        shown: bool = True,
        stream: TextIO | None = None,
        transient: bool = False,
    ) -> None:
        """Take the number of units, and what to show before the first of them is completed.

        Args:
          total: units.
          description: beside the bar.
          completed: units so far.
          shown: whether to print anything.
          stream: to draw on, standard output by default.
          transient: whether the bar disappears at the end.
        """
        self._shown, self._last_line = shown, time.monotonic()
        self._bar = None
        where = stream or sys.stdout
        if shown and output.is_watched(where):
            text = TextColumn("{task.description}", markup=False)
            columns = (BarColumn(), MofNCompleteColumn(), text)
            console = Console(file=output.raw(where))
            self._bar = Progress(*columns, console=console, transient=transient)
            self._task = self._bar.add_task(description, total=total, completed=completed)

    def __enter__(self) -> "ProgressBar":
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""
        if self._bar:
            self._bar.stop()

    def update(self, completed: int, text: str, line: str = "", *, last: bool = False) -> None:
        """Show how many units are completed.

        Args:
          completed: units so far.
          text: beside the bar.
          line: to print instead where there is no bar, if it is time for one.
          last: whether to print the line in any case.
        """
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._task, completed=completed, description=text)
        elif self._shown and (last or now - self._last_line >= SECONDS_BETWEEN_LINES):
            print(line, flush=True)
            self._last_line = now

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(text, highlight=False, markup=False, emoji=False)
        elif self._shown:
            print(text, flush=True)


class RunProgress:
    """Shows the loss, images per second and the time left of a run."""

    def __init__(self, first: int, last: int, batch_size: int, *, shown: bool = True) -> None:
        """Start at step `first` of `last`. If not `shown`, only measure the rate."""
        self.last, self.batch_size = last, batch_size
        self._bar = ProgressBar(last, "compiling", completed=first, shown=shown)
        self._seconds: float | None = None  # of a step, a running mean
        self._step_ended: float | None = None

    def __enter__(self) -> "RunProgress":
        """Show the bar."""
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""
        self._bar.__exit__(*error)

    def step(self, step: int, loss: float) -> float | None:
        """Show that `step` has ended.

        Returns images per second, averaged over recent steps. None after the first step, whose
        time includes compilation.
        """
        now = time.monotonic()
        if self._step_ended is not None:
            # Steps are read late, and several at once: a mean of their rates would be too high.
            seconds = max(now - self._step_ended, 1e-9)
            before = seconds if self._seconds is None else self._seconds
            self._seconds = (1 - _NEW_STEP) * before + _NEW_STEP * seconds
        self._step_ended = now
        text = f"loss {loss:.4f}"
        rate = None
        if self._seconds is not None:
            rate = self.batch_size / self._seconds
            left = datetime.timedelta(seconds=round((self.last - step) * self._seconds))
            text += f"  {rate:.1f} images/s  {left} left"
        line = f"step {step}/{self.last}  {text}"
        self._bar.update(step, text, line, last=step == self.last)
        return rate

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        self._bar.say(text)

    def resume_clock(self) -> None:
        """Leave the time since the last step out of the rate, because it was an evaluation."""
        self._step_ended = time.monotonic() if self._step_ended else None


class PictureProgress:
    """Shows how many pictures are done, how many a second, and the time left."""

    def __init__(self, total: int) -> None:
        """Start with none of `total` pictures done."""
        self.total, self._start = total, time.monotonic()
        self._bar = ProgressBar(total, "pictures")

    def __enter__(self) -> "PictureProgress":
        """Show the bar."""
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""
        self._bar.__exit__(*error)

    def done(self, count: int) -> None:
        """Show that `count` pictures are done."""
        rate = max(count, 1) / max(time.monotonic() - self._start, 1e-9)
        left = datetime.timedelta(seconds=round((self.total - count) / rate))
        text = f"{rate:.0f} pictures/s  {left} left"
        self._bar.update(count, text, f"{count:,} of {self.total:,} pictures  {text}")
