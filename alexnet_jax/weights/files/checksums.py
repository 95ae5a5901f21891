"""What a checkpoint's files held when they were written: a SHA-256 digest of each, beside them.

Orbax keeps none of its own: a byte that flips on the disk would be read back as another number.
"""

import hashlib
import json
import os
from pathlib import Path

NAME = "digests.json"
_WRITTEN_LAST = "_CHECKPOINT_METADATA"  # by Orbax, behind these; of times, and nothing restored


def write(folder: Path) -> None:
    """Write digests.json, of all files below the folder, whole or not at all."""
    names = [name for name in _files(folder) if name not in (NAME, _WRITTEN_LAST)]
    digests = {name: _sha256(folder / name) for name in names}
    half_written = folder / f"{NAME}.tmp"
    with half_written.open("w") as file:
        json.dump({"sha256": digests}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    half_written.rename(folder / NAME)


def fault(folder: Path) -> str | None:
    """Return what is wrong with the folder, the first thing that is; None if it is as written.

    All of it is read.
    """
    try:
        digests = json.loads((folder / NAME).read_bytes())["sha256"].items()
    except FileNotFoundError:
        return f"it has no {NAME}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"its {NAME} cannot be read"
    present = set(_files(folder))
    for name, digest in digests:
        if name not in present:
            return f"its {name} is missing"
        try:
            if _sha256(folder / name) != digest:
                return f"its {name} is not what was written"
        except OSError as error:
            return f"its {name} cannot be read: {error.strerror}"
    return None if digests else f"its {NAME} names no files"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[str]:
    """The files below the folder, by their paths in it."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)
