"""Lists of the pictures of each part, beside class folders without a split.

In Food-101 meta/train.txt and meta/test.txt have a line "apple_pie/1005649" for each picture of
the part, which is images/apple_pie/1005649.jpg.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from .label_list import read_lines

PARTS = ("train", "test")


def find_lists(directory: Path, root: Path) -> dict[str, Path]:
    """Return the list of each part, {} if not all are there.

    Args:
      directory: of the data set.
      root: that of its class folders; the lists lie in it or beside it.
    """
    places = [root] if root == directory else [root, root.parent]
    for folder in (path for place in places for path in (place, place / "meta")):
        lists = {part: folder / f"{part}.txt" for part in PARTS}
        if all(path.is_file() for path in lists.values()):
            return lists
    return {}


def part_of_pictures(lists: dict[str, Path], pictures: Iterable[str]) -> dict[str, str]:
    """Return the part of each picture that a list names, with or without its ending.

    Raises BadInput if a list cannot be read.
    """
    part_of = {line.strip(): part for part, path in lists.items() for line in read_lines(path)}
    named = {name: part_of.get(name) or part_of.get(os.path.splitext(name)[0]) for name in pictures}
    return {name: part for name, part in named.items() if part}
