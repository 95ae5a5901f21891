"""SHA-256 digests of a checkpoint's files, written beside them in digests.json.

Orbax keeps none: without them a byte that flips on the disk is read back as another number.
"""

import hashlib
import json
from pathlib import Path

from alexnet_jax.regular_file import read_regular
from alexnet_jax.weights.files.atomic import write_atomically

NAME = "digests.json"
_WRITTEN_LAST = "_CHECKPOINT_METADATA"
"""Orbax writes this file after `write` was called; it holds times, and nothing is restored."""


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file in hexadecimal. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write(folder: Path) -> None:
    """Write digests.json for all files below the folder, completely or not at all."""
    names = [name for name in _files(folder) if name not in (NAME, _WRITTEN_LAST)]
    digests = {name: file_digest(folder / name) for name in names}
    write_atomically(folder / NAME, json.dumps({"sha256": digests}, indent=1))


def fault(folder: Path) -> str | None:
    """Return the first difference between the folder and its digests, None if there is none.

    Every file in digests.json is read completely.
    """
    try:
        digests = json.loads(read_regular(folder / NAME))["sha256"].items()
    except FileNotFoundError:
        return f"it has no {NAME}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"its {NAME} cannot be read"
    present = set(_files(folder))
    for name, digest in digests:
        if name not in present:
            return f"its {name} is missing"
        try:
            if file_digest(folder / name) != digest:
                return f"its {name} is not what was written"
        except OSError as error:
            return f"its {name} cannot be read: {error.strerror}"
    return None if digests else f"its {NAME} names no files"


def _files(folder: Path) -> list[str]:
    """The files below the folder, by their paths in it."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)
