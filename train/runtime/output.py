"""Standard output and standard error of a command: readers that leave, names that are hostile."""

import errno
import io
import os
import re
import sys
from typing import Any, TextIO

READER_GONE = 141
"""Exit status of a command that printed for a reader who has left: 128 + SIGPIPE, as a shell's."""

_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor, recolors it or turns the direction of writing; not newline."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNREAD = "nobody reads the output any more"

_outlives_reader = False


def outlive_reader() -> None:
    """Let the command go on if nobody reads its output any more: its work is in files."""
    global _outlives_reader
    _outlives_reader = True


def set_up() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams that print names safely.

    Control characters become visible. What cannot be encoded is escaped. If the reader has left
    (`| head`, a terminal that is gone), the command ends with `READER_GONE`, or goes on without
    output after `outlive_reader()`. Streams that are no files of this process stay as they are.
    """
    sys.stdout = _wrap(sys.stdout, 1)
    sys.stderr = _wrap(sys.stderr, 2)


def raw(stream: TextIO) -> TextIO:
    """Return a stream that takes control characters, for bars and tables that draw with them."""
    stream.flush()
    return stream.raw_text if isinstance(stream, _Output) else stream


def is_watched(stream: TextIO) -> bool:
    """Return whether a person watches the stream: a terminal on which somebody could also type.

    A launcher such as mpirun, a container or a CI server may write to a pseudo-terminal, but gives
    no such input; what is redrawn there many times a second would fill a log.
    """
    dumb = os.environ.get("TERM", "") in ("", "dumb", "unknown")
    launched = "OMPI_COMM_WORLD_SIZE" in os.environ or "PMIX_RANK" in os.environ
    watched = stream.isatty() and sys.stdin is not None and sys.stdin.isatty()
    return watched and not dumb and not launched


def flush_at_exit() -> None:
    """Write what is buffered; a reader who has left does not matter any more."""
    outlive_reader()
    sys.stdout.flush()


class _Output(io.TextIOWrapper):
    """Text whose control characters are made visible."""

    def __init__(self, file: "_File", options: dict[str, Any]) -> None:
        buffer = io.BufferedWriter(file)
        super().__init__(buffer, **options)
        self.raw_text = io.TextIOWrapper(buffer, **options)
        self.raw_text.reconfigure(write_through=True)  # what both write stays in order

    def write(self, text: str) -> int:
        """Write the text."""
        redrawn = "\r" * text.startswith("\r")  # the line of a download's progress
        return super().write(redrawn + _CONTROL.sub(_visible, text[len(redrawn) :]))


class _File(io.FileIO):
    """A file that becomes /dev/null once its reader has left, or its disk is full."""

    def write(self, data: Any) -> int:
        """Write the bytes. Raises SystemExit if the command ends with its reader."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO, *DISK_FULL):
                raise
            reason = os.strerror(error.errno) if error.errno in DISK_FULL else ""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        if self.fileno() != 1:
            return len(data)
        if _outlives_reader:
            what = f"the output cannot be written: {reason}" if reason else _UNREAD
            print(f"note: {what}; the work goes on", file=sys.stderr)
            return len(data)
        if reason:
            print(f"stopped: the output cannot be written: {reason}", file=sys.stderr)
        raise SystemExit(1 if reason else READER_GONE)


def _visible(match: re.Match[str]) -> str:
    from alexnet_jax.printable import printable  # takes JAX, which a plain text does not wait for

    return printable(match[0])


def _wrap(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:  # closed by the caller: `>&-`
        return open(os.devnull, "w")
    if type(stream) is not io.TextIOWrapper:
        return stream  # of a notebook or of a test
    if _descriptor(stream) != number:
        stream.reconfigure(errors="backslashreplace")
        return stream
    stream.flush()
    options = {
        "encoding": stream.encoding,
        "errors": "backslashreplace",
        "line_buffering": stream.line_buffering,
        "write_through": stream.write_through,
    }
    return _Output(_File(number, "w", closefd=False), options)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except io.UnsupportedOperation:  # it writes to memory
        return None
