"""Packages of the user's package manager that contain published files.

A package manager knows its registry and its mirrors, and how to get through a firewall.
"""

import io
import re
import subprocess
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from alexnet_jax.weights.files.download import DownloadError

# Seconds for a package manager, which may ask several slow mirrors of its own.
_PACKAGE_TIMEOUT = 600


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

    def read(self, files: Iterable[str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Download the package into an empty folder, and yield the name and bytes of its files.

        Raises DownloadError.
        """
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
