"""Finds pictures that cannot be decoded before a run's first step, or an evaluation's."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO

import numpy as np

from ..config.errors import BadInput
from .examples import DataSet, Source
from .formats.image_file import BadPicture
from .formats.image_folder import PictureSource
from .validation import Subset

_ANNOUNCED = 2000
"""Pictures that take some seconds to decode on two cores."""


def leave_out_corrupt(
    data: DataSet,
    bad_images: int,
    threads: int,
    parts: Sequence[str] = ("val", "test"),
    notes: TextIO | None = None,
) -> DataSet:
    """Return the data without the pictures that cannot be decoded; each is named.

    All of a folder's are read, so that an evaluation cannot meet one. Records were decoded when
    they were made, and are not read.

    Args:
      data: of a run.
      bad_images: how many pictures of each part may be left out.
      threads: that decode.
      parts: to read.
      notes: where the names are printed; None for standard output.

    Raises BadInput at one corrupt picture more, or if all are corrupt.
    """
    sources = {part: getattr(data, part) for part in parts}
    checked: dict[int, Source] = {}  # val may be test itself
    for source in sources.values():
        if source is not None and id(source) not in checked and _is_of_files(source):
            checked[id(source)] = _readable(source, bad_images, threads, notes)
    kept = {part: checked.get(id(source), source) for part, source in sources.items()}
    return dataclasses.replace(data, **kept)


def _readable(source: Source, bad_images: int, threads: int, notes: TextIO | None) -> Source:
    """Return a source without the pictures that cannot be decoded."""
    if len(source) > _ANNOUNCED:
        text = f"reading the {len(source):,} pictures beforehand, as none may be bad"
        print(text, file=notes, flush=True)
    corrupt: dict[int, str] = {}

    def check(index: int) -> None:
        try:
            source[index]
        except BadPicture as error:
            corrupt[index] = str(error)
            if len(corrupt) > bad_images:
                raise

    with ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(check, range(len(source))))
        except BadPicture as error:
            pool.shutdown(cancel_futures=True)
            limit = f", and `bad_images` allows {bad_images}" if bad_images else ""
            raise BadInput(f"{error}{limit}") from None
    if not corrupt:
        return source
    if len(corrupt) == len(source):
        raise BadInput("none of the pictures can be decoded")
    for index in sorted(corrupt):
        print(f"left out: {corrupt[index]}", file=notes, flush=True)
    return Subset(source, np.setdiff1d(np.arange(len(source)), [*corrupt]))


def _is_of_files(source: object) -> bool:
    """Return whether a source reads picture files, below any number of wrappers."""
    if isinstance(source, PictureSource):
        return True
    wrapped = getattr(source, "source", None)
    return wrapped is not None and _is_of_files(wrapped)
