"""Sources of published files: mirrors, and packages that contain them."""

import io
import re
import subprocess
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

# Seconds to connect to each address, and between packets. Both are short, because another source
# can replace a slow mirror.
_MIRROR_TIMEOUTS = (4, 10)
# Seconds for a package manager, which may ask several slow mirrors of its own.
_PACKAGE_TIMEOUT = 600


class DownloadError(Exception):
    """The reason why a source did not provide a file, in a few words."""


class DownloadSource(Protocol):
    """A place to download files from. `str()` of it is its name in messages."""

    def read(self, files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of each file, gzipped or not.

        The caller checks the bytes. The MD5s are those of the .gz files on mirrors; a package
        compresses the same files anew, with other bytes.

        Args:
          files: names, and the MD5 of NAME.gz.
          folder: an empty folder for downloads.

        Raises DownloadError.
        """
        ...


@dataclass(frozen=True)
class Mirror:
    """A folder on a web server with the published .gz files."""

    address: str

    def __str__(self) -> str:
        """Return the address."""
        return self.address

    def read(self, files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Download file by file. Raises DownloadError."""
        import pooch

        pooch.get_logger().setLevel("ERROR")
        # Any: pooch declares a narrower type for `downloader` than it accepts.
        downloader: Any = pooch.HTTPDownloader(timeout=_MIRROR_TIMEOUTS)
        for name, md5 in files.items():
            url = f"{self.address}/{name}.gz"
            try:
                path = pooch.retrieve(url, f"md5:{md5}", name, folder, downloader=downloader)
            except OSError as error:  # the base class of the errors of requests
                raise DownloadError(_root_cause(error)) from None
            except ValueError:
                raise DownloadError(f"{name}.gz does not have the published MD5") from None
            yield name, Path(path).read_bytes()


@dataclass(frozen=True)
class Package:
    """A package that holds the files under any path. The user's package manager downloads it."""

    title: str
    download: tuple[str, ...]
    """The command that downloads the package into the current folder."""
    to_tar: tuple[str, ...] = ()
    """The command that takes the package's path and writes a tar archive to stdout.

    Empty if the package is a tar archive already.
    """

    def __str__(self) -> str:
        """Return the name of the package and its registry."""
        return self.title

    def read(self, files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Download the package, then yield its files. Raises DownloadError."""
        _run(self.download, folder)
        package = next(folder.iterdir(), None)
        if package is None:
            raise DownloadError(f"{self.download[0]} downloaded nothing")
        data = _run((*self.to_tar, str(package)), folder) if self.to_tar else package.read_bytes()
        try:
            # Members are read, not extracted: no path in a package can write anywhere.
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                members = {PurePosixPath(m.name).name: m for m in tar.getmembers() if m.isfile()}
                for name in files:
                    member = members.get(f"{name}.gz") or members.get(name)
                    stream = member and tar.extractfile(member)
                    if not stream:
                        raise DownloadError(f"it has no {name}")
                    yield name, stream.read()
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DownloadError(f"it cannot be unpacked: {error}") from None


def npm(name: str, version: str) -> Package:
    """Return the npm package of that name and version."""
    download = ("npm", "pack", f"{name}@{version}", "--ignore-scripts", "--fetch-retries=0")
    return Package(f"npm package {name} {version}", download)


def debian(name: str) -> Package:
    """Return the Debian package of that name, in the version that apt has."""
    timeouts = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10")
    download = ("apt-get", *timeouts, "download", name)
    return Package(f"Debian package {name}", download, ("dpkg-deb", "--fsys-tarfile"))


def _run(command: tuple[str, ...], folder: Path) -> bytes:
    """Run a command in `folder` and return its output. Raises DownloadError with its message."""
    program = command[0]
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PACKAGE_TIMEOUT,
        )
    except FileNotFoundError:
        raise DownloadError(f"{program} is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DownloadError(f"{program}: {error}") from None
    if result.returncode:
        lines = result.stderr.decode(errors="replace").splitlines()
        message = next((line for line in lines if re.match(r"E:|.*\berr", line, re.I)), "")
        raise DownloadError(message.strip() or f"{program} ended with status {result.returncode}")
    return result.stdout


def _root_cause(error: BaseException) -> str:
    """Return the message of the innermost error: an unknown host, a refusal, a timeout."""
    while error.__context__:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
