"""Files fetched over HTTP: resumed where they were cut off, checked, and kept only if they match.

A file that is not complete yet has the suffix .part. The next call, of this process or another,
asks the server for the rest of it.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

TIMEOUT = 20
"""Seconds to connect, and between packets; another mirror may be faster than a slower one."""

_BLOCK = 2**18  # bytes: a thousand writes for AlexNet's 240 MB
_ATTEMPTS = 20  # at one address, each of which brings more bytes than the one before


class DownloadError(Exception):
    """The reason why an address did not provide a file, in a few words."""


def fetch(
    addresses: Sequence[str], target: Path, matches: Callable[[Path], bool]
) -> list[tuple[str, str]]:
    """Try addresses in turn until one has provided `target`.

    Another process that fetches the same file is waited for.

    Args:
      addresses: that serve the same file.
      target: the file to write; its folder exists.
      matches: whether a complete file has the right content.

    Returns:
      The addresses that failed, each with the reason. The file is there unless all have.

    Raises:
      OSError: a file that cannot be written.
    """
    failures: list[tuple[str, str]] = []
    part = target.with_name(f"{target.name}.part")
    with _locked(part) as file:
        for address in addresses:
            if target.exists():  # another process has fetched it in the meantime
                return []
            try:
                _fetch_from(address, file, part, matches)
            except DownloadError as error:
                failures.append((address, str(error)))
            else:
                os.fsync(file.fileno())
                part.replace(target)
                return []
    return failures


def _fetch_from(address: str, file: IO[bytes], part: Path, matches: Callable[[Path], bool]) -> None:
    """Complete the .part file. Raises DownloadError; a file with other content is emptied."""
    resumed = True
    while resumed:  # if so, it may be the part at hand that was wrong: then once more from 0
        resumed = file.seek(0, os.SEEK_END) > 0
        _complete(address, file, part.name.removesuffix(".part"))
        file.flush()
        if matches(part):
            return
        file.truncate(0)
    raise DownloadError("it sent another file than the published one, by its digest")


def _complete(address: str, file: IO[bytes], name: str) -> None:
    """Append what the .part file lacks, again while more bytes come. Raises DownloadError."""
    for attempt in range(_ATTEMPTS):
        before = file.seek(0, os.SEEK_END)
        try:
            with _open(address, before) as response:
                _append(response, file, name)
            return
        except DownloadError:
            after = file.seek(0, os.SEEK_END)
            if after <= before or attempt == _ATTEMPTS - 1:
                raise


class _Response(NamedTuple):
    stream: Any  # with `read`
    start: int  # the place in the file of the first byte
    size: int | None  # of the whole file


@contextlib.contextmanager
def _open(address: str, start: int) -> Iterator[_Response]:
    """Ask for a file from byte `start` on. Raises DownloadError."""
    import http.client  # only when something is fetched
    import urllib.error
    import urllib.request

    headers = {"User-Agent": "alexnet_jax", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(address, headers=headers)
    since = f", from {_megabytes(start)} on" if start else ""
    print(f"fetching {address}{since}", file=sys.stderr, flush=True)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:
            raise DownloadError(f"HTTP status {error.code} {error.reason}") from None
        yield _Response(None, start, start)  # nothing is left to send: the digest decides
        return
    except urllib.error.URLError as error:
        raise DownloadError(_reason(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(_reason(error)) from None
    with response:
        yield _parse(response, start)


def _parse(response: Any, start: int) -> _Response:
    """The place and size that the headers tell. Raises DownloadError for a page in HTML."""
    if response.headers.get_content_type() == "text/html":
        raise DownloadError("it sent a page in place of the file")
    if response.status != 206:  # a server without ranges sends all of it
        start = 0
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise DownloadError("it sent another part of the file than was asked for")
    length = response.headers.get("Content-Length", "")
    return _Response(response, start, start + int(length) if length.isdecimal() else None)


def _append(response: _Response, file: IO[bytes], name: str) -> None:
    """Write what comes. Raises DownloadError if the connection ends early."""
    import http.client

    file.truncate(response.start)
    position = file.seek(response.start)
    with _Progress(name, position, response.size) as progress:
        while position != response.size:
            try:
                block = response.stream.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise DownloadError(_reason(error)) from None
            if not block:
                break
            position += file.write(block)
            progress.update(position)
    if response.size is not None and position < response.size:
        raise DownloadError(f"the connection ended after {_megabytes(position)}")


class _Progress:
    """Bytes so far, on stderr: a line that changes on a terminal, else one line at the end."""

    def __init__(self, name: str, start: int, size: int | None) -> None:
        self.name, self.size, self.start, self.position = name, size, start, start
        self.terminal, self.began, self.shown = sys.stderr.isatty(), time.monotonic(), 0.0

    def __enter__(self) -> "_Progress":
        return self

    def update(self, position: int) -> None:
        """Show that `position` bytes of the file are there, at most five times a second."""
        self.position = position
        if self.terminal and time.monotonic() - self.shown >= 0.2:
            print(f"\r{self.text():<60}", end="", file=sys.stderr, flush=True)
            self.shown = time.monotonic()

    def __exit__(self, *error: object) -> None:
        start, text = ("\r", f"{self.text():<60}") if self.terminal else ("", self.text())
        print(f"{start}{text}", file=sys.stderr, flush=True)

    def text(self) -> str:
        """Return the line."""
        rate = (self.position - self.start) / max(time.monotonic() - self.began, 1e-3)
        total = "" if self.size is None else f" of {_megabytes(self.size)}"
        return f"{self.name}: {_megabytes(self.position)}{total}, {_megabytes(rate)}/s"


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """Open the .part file for this process alone, after another one that has it."""
    while True:
        with open(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            _lock(file, part)
            if not _is_at(file, part):
                continue
            try:
                yield file
            finally:
                file.flush()
                if _is_at(file, part) and not part.stat().st_size:
                    part.unlink()
            return


def _is_at(file: IO[bytes], part: Path) -> bool:
    """Whether the path is still this file's, which another process may have renamed or removed."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), part.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO[bytes], part: Path) -> None:
    """Wait for the lock. Where there are no locks, the digest tells of bytes mixed up."""
    try:
        import fcntl
    except ImportError:  # on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another process, which fetches {part}", file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # some network file systems have none
        return


def _reason(error: object) -> str:
    """A few words about an error: an unknown host, a refusal, a timeout."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"
