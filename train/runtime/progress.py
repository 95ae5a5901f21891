"""How a run shows itself: a bar on a terminal, plain lines where output is piped."""

import datetime
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

SECONDS_BETWEEN_LINES = 10


class RunProgress:
    """Shows loss, images per second and the time left."""

    def __init__(self, first: int, last: int, batch_size: int, *, shown: bool = True) -> None:
        """Begin at step `first` of `last`; if it is not `shown`, count only."""
        self._shown = shown
        self.last, self.batch_size = last, batch_size
        self._rate: float | None = None  # steps per second, a running mean
        self._timed: float | None = None
        self._said = time.monotonic()
        console = Console()
        self._bar = None
        if shown and console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("compiling", total=last, completed=first)

    def __enter__(self) -> "RunProgress":
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""
        if self._bar:
            self._bar.stop()

    def step(self, step: int, loss: float) -> float | None:
        """Show that `step` has ended.

        Returns images per second, of late; None after the first step, which compiles.
        """
        now = time.monotonic()
        if self._timed is not None:
            rate = 1 / max(now - self._timed, 1e-9)
            self._rate = rate if self._rate is None else 0.9 * self._rate + 0.1 * rate
        self._timed = now
        text = f"loss {loss:.4f}"
        if self._rate is not None:
            left = datetime.timedelta(seconds=round((self.last - step) / self._rate))
            text += f"  {self._rate * self.batch_size:.1f} images/s  {left} left"
        if self._bar:
            self._bar.update(self._task, completed=step, description=text)
        elif self._shown and (now - self._said >= SECONDS_BETWEEN_LINES or step == self.last):
            print(f"step {step}/{self.last}  {text}", flush=True)
            self._said = now
        return None if self._rate is None else self._rate * self.batch_size

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(text, highlight=False)
        elif self._shown:
            print(text, flush=True)

    def resume_clock(self) -> None:
        """Leave the time since the last step out of the rate: an evaluation was in between."""
        self._timed = time.monotonic() if self._timed else None


class PictureProgress:
    """Shows how many pictures are done, how many a second, and the time left."""

    def __init__(self, total: int) -> None:
        """Begin with none done."""
        self.total, self._begun = total, time.monotonic()
        self._said = self._begun
        console = Console()
        self._bar = None
        if console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("pictures", total=total)

    def __enter__(self) -> "PictureProgress":
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""
        if self._bar:
            self._bar.stop()

    def done(self, count: int) -> None:
        """Show that so many pictures are done by now."""
        now = time.monotonic()
        rate = max(count, 1) / max(now - self._begun, 1e-9)
        left = datetime.timedelta(seconds=round((self.total - count) / rate))
        text = f"{rate:.0f} pictures/s  {left} left"
        if self._bar:
            self._bar.update(self._task, completed=count, description=text)
        elif now - self._said >= SECONDS_BETWEEN_LINES:
            print(f"{count:,} of {self.total:,} pictures  {text}", flush=True)
            self._said = now
