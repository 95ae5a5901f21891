"""Data sets that are published as one archive: downloaded, checked and unpacked.

The digests of all files are kept beside them, so that a later call finds and mends what is damaged.
"""

import contextlib
import os
import shutil
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...config.errors import BadInput

_MOST = 20
"""Times its size that an archive may unpack to; those published here unpack to less than two."""


@dataclass(frozen=True)
class Archive:
    """A tar archive with one folder in it, as it is published."""

    folder: str
    """The folder in the archive."""
    addresses: tuple[str, ...]
    """Of the same archive, in the order to try."""
    size: int | None
    """In bytes, where no digest is published."""
    md5: str | None
    counts: tuple[tuple[str, int], ...]
    """How many files in it have these endings."""

    @property
    def name(self) -> str:
        """The file name of the archive."""
        return self.addresses[0].rpartition("/")[2]


def fetch_archive(archive: Archive, directory: Path) -> str:
    """Download an archive and unpack its folder into `directory`, an existing one.

    A stopped download continues where it was cut off. The archive stays, to mend the folder from;
    other files in both folders stay, too. Returns a sentence that says what was done.

    Raises BadInput if no address provides the archive, something cannot be written, or `directory`
    has a folder of that name that did not come from here.
    """
    from alexnet_jax.weights.files import checksums  # imports JAX: not for --help

    target = directory / archive.folder
    try:
        _remove_leftovers(target)
        if (target / checksums.NAME).exists():
            fault = checksums.fault(target)
            if fault is None:
                return f"{target} is complete"
            print(f"{target}: {fault}; fetching it again", flush=True)
        elif target.exists():
            raise BadInput(
                f"{target} was not written by this command; remove it, or name a new folder"
            )
        path = _download(archive, directory)
        with _temporary(target) as unpacked:
            _unpack(archive, path, unpacked)
            checksums.write(unpacked)
            _move(unpacked, target)
    except OSError as error:
        raise BadInput(
            f"{error.filename or directory} cannot be written: {error.strerror}"
        ) from None
    checked = "its published MD5" if archive.md5 else "its size, since no digest is published,"
    return f"{target} from {archive.name}, checked by {checked} and the number of files"


def _download(archive: Archive, directory: Path) -> Path:
    """Return the path of the archive, downloaded unless it is there. Raises BadInput."""
    from alexnet_jax.weights.files import checksums, download

    def matches(path: Path) -> bool:
        if archive.md5 is not None:
            return checksums.file_digest(path, "md5") == archive.md5
        return path.stat().st_size == archive.size

    path = directory / archive.name
    if path.exists() and not matches(path):
        raise BadInput(f"{path} is another file than the published one; remove it")
    failures = download.fetch(archive.addresses, path, matches)
    if not path.exists():
        reasons = "; ".join(f"{address} ({reason})" for address, reason in failures)
        raise BadInput(f"no source provided {archive.name}: {reasons}")
    return path


def _unpack(archive: Archive, path: Path, unpacked: Path) -> None:
    """Extract the files of the archive's folder. Raises BadInput if it holds others."""
    try:
        with tarfile.open(path) as tar:
            members = [m for m in tar if m.isfile() and m.name.startswith(f"{archive.folder}/")]
            for member in members:
                member.name = member.name.removeprefix(f"{archive.folder}/")
            if sum(member.size for member in members) > _MOST * path.stat().st_size:
                raise BadInput(f"{path} unpacks to over {_MOST} times its size; remove it")
            # The filter refuses names that lead out of the folder.
            tar.extractall(unpacked, members, filter="data")
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise BadInput(f"{path} cannot be unpacked: {error}; remove it") from None
    endings = Counter(file.suffix for file in unpacked.rglob("*") if file.is_file())
    for ending, expected in archive.counts:
        if endings[ending] != expected:
            raise BadInput(f"{path} has {endings[ending]:,} files {ending}, not {expected:,}")


def _move(unpacked: Path, target: Path) -> None:
    """Move unpacked files to their place, the digests last; other files there stay."""
    from alexnet_jax.weights.files.checksums import NAME

    if not target.exists():
        unpacked.replace(target)
        return
    files = [path for path in unpacked.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda path: path.name == NAME):
        place = target / file.relative_to(unpacked)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`, which is removed afterwards if it is still there."""
    folder = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(target: Path) -> None:
    """Remove folders that killed processes have left beside `target`."""
    from alexnet_jax.weights.files.atomic import leftovers

    for folder in leftovers(target):
        shutil.rmtree(folder, ignore_errors=True)
