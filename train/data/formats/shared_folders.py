"""Folders of the same names within those that were taken for classes: the classes may be these.

A split or variants of a set lie so, under names that nobody can list: in another language
(Entrenamiento/cat, Prueba/cat), as domains (photo/cat, sketch/cat) or as years.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from .folder_layout import descend
from .picture_files import list_pictures, subfolders

_SYNSET = re.compile(r"n\d{8}")
_NUMBER_OF_CLASS = re.compile(r"(?:class|category|label|type)?[\W_]*\d{1,3}", re.IGNORECASE)
"""Numbers that count classes, such as the digits 0 to 9; longer ones are years or dates."""
_MOST_PARTS = 3
"""Splits and variants of a set are rarely more; classes with numbered batches rarely fewer."""


def shared_folders(root: Path, folders: Sequence[str]) -> dict[str, list[str]]:
    """Return the names that more than half of the folders hold as folders, and which hold each.

    A folder with most of its pictures outside of folders holds none. Names that differ in numbers
    alone, such as batches and years, are none, unless they can be the numbers of classes. A single
    shared name is none.
    """
    holders: dict[str, list[str]] = {}
    for folder in folders:
        for name in _inner_folders(root, folder):
            holders.setdefault(name, []).append(folder)
    shared = {name: who for name, who in holders.items() if len(who) > len(folders) / 2}
    return shared if len(shared) > 1 and _can_be_classes(shared, len(folders)) else {}


def _can_be_classes(shared: dict[str, list[str]], folders: int) -> bool:
    if len({re.sub(r"\d+", "", name) for name in shared}) > 1:
        return True
    if all(map(_SYNSET.fullmatch, shared)):
        return True
    return folders <= _MOST_PARTS and all(map(_NUMBER_OF_CLASS.fullmatch, shared))


def _inner_folders(root: Path, folder: str) -> tuple[str, ...]:
    inner = descend(root / folder)
    names = subfolders(inner)
    if len(names) < 2:
        return ()
    outside = len(list_pictures(inner, "", recursive=False))
    return names if 2 * outside < len(list_pictures(inner, "")) else ()
