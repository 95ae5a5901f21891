"""The picture files below a folder, and a count of what else lies there."""

import os
from collections import Counter, deque
from collections.abc import Collection, Iterator
from pathlib import Path

from ...config.errors import BadInput
from .picture_formats import ENDINGS

OUTSIDE = "pictures outside of class folders"
_SYSTEM = "hidden and system files"
_BROKEN_LINK = "broken links"
_REPEATED = "links to folders that are read already"
_SPECIAL = "pipes, sockets and devices"
_KINDS_NAMED = 6
"""Kinds of files that one line names; the rest are counted together."""

# What systems and file servers leave behind, in lower case; hidden names are left out anyway.
_SYSTEM_NAMES = {
    "__macosx",
    "@eadir",
    "#recycle",
    "@recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "__pycache__",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
}

Identity = tuple[int, int]
"""The device and the inode of a folder."""


def is_system(name: str) -> bool:
    """Return whether a file or folder of this name belongs to a system, not to a data set."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def subfolders(directory: Path, left_out: Counter[str] | None = None) -> tuple[str, ...]:
    """Return the names of the folders in a folder, sorted; links are followed.

    Those of a system are left out, and links back to the folder itself or to one around it, which
    `left_out` counts. A missing folder has none. Raises BadInput if the folder cannot be read.
    """
    around: set[Identity] | None = None
    names = []
    for entry in _scan(directory):
        if is_system(entry.name) or not _is_dir(entry):
            continue
        if entry.is_symlink():
            around = around or {*_around(directory), *_identity(directory)}
            if around & {*_identity(entry.path)}:
                if left_out is not None:
                    left_out[_REPEATED] += 1
                continue
        names.append(entry.name)
    return tuple(sorted(names))


def list_pictures(
    root: Path, folder: str, left_out: Counter[str] | None = None, *, recursive: bool = True
) -> list[str]:
    """Return the pictures below ROOT/FOLDER as paths below the root, sorted by name.

    Links are followed, and every folder is read once, however many links lead to it. A file that is
    no regular file, such as a pipe, is never opened.

    Args:
      root: the folder of the data set.
      folder: below the root, "" for the root.
      left_out: counts what is no picture, by kind.
      recursive: whether to read folders in the folder.

    Raises BadInput if a folder cannot be read.
    """
    counts = Counter() if left_out is None else left_out
    pictures = walk_pictures(root / folder, counts, recursive=recursive)
    below = "" if folder in ("", ".") else f"{folder}/"
    return sorted((below + name for name in pictures), key=lambda name: name.split("/"))


def pictures_below(folder: Path) -> list[Path]:
    """Return all pictures below a folder, sorted by name. Raises BadInput."""
    return [folder / name for name in list_pictures(folder, "")]


def walk_pictures(folder: Path, left_out: Counter[str], *, recursive: bool = True) -> Iterator[str]:
    """Yield the pictures below a folder as `list_pictures` does, in any order."""
    folders, links = [""], deque[str]()  # links last: a folder is known by its own path
    seen = _around(folder)
    while folders or links:
        below = folders.pop() if folders else links.popleft()
        identity = _identity(folder / below)
        if seen.issuperset(identity):  # read already, or gone since it was listed
            left_out[_REPEATED] += len(identity)
            continue
        seen |= {*identity}
        prefix = f"{below}/" if below else ""
        for entry in _scan(folder / below):
            name = prefix + entry.name
            if is_system(entry.name):
                left_out[_SYSTEM] += 1
            elif _is_dir(entry):
                if recursive:
                    (links if entry.is_symlink() else folders).append(name)
            elif kind := _kind_of_other(entry):
                left_out[kind] += 1
            else:
                yield name


def describe(left_out: Counter[str]) -> str:
    """Return the kinds and their counts: ".txt (3), broken links (1)". At most six are named."""
    from alexnet_jax.printable import printable  # imports JAX; workers do without

    kinds = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{printable(kind, 50)} ({count:,})" for kind, count in kinds[:_KINDS_NAMED] if count]
    rest = sum(count for _, count in kinds[_KINDS_NAMED:])
    return ", ".join([*named, *([f"other files ({rest:,})"] if rest else [])])


def _kind_of_other(entry: os.DirEntry[str]) -> str:
    """Return what to count a file as that is no picture, "" for a picture."""
    if entry.is_symlink() and not os.path.exists(entry.path):
        return _BROKEN_LINK
    ending = os.path.splitext(entry.name)[1].lower()
    if ending not in ENDINGS:
        return ending or "files without an ending"
    return "" if entry.is_file() else _SPECIAL


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to what may not be looked at
        return False


def _scan(directory: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder. Raises BadInput if it cannot be read."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):  # a missing class is reported elsewhere
        return []
    except OSError as error:
        raise BadInput(f"{directory} cannot be read: {error.strerror}") from None


def _around(folder: Path) -> set[Identity]:
    """Return the identities of the folders around a folder, by its path and by where it lies."""
    paths: Collection[Path] = {*folder.absolute().parents, *folder.resolve().parents}
    return {identity for path in paths for identity in _identity(path)}


def _identity(folder: Path | str) -> tuple[Identity, ...]:
    """Return a folder's identity, or nothing if it cannot be had."""
    try:
        status = os.stat(folder)
    except OSError:
        return ()
    return ((status.st_dev, status.st_ino),)
