"""Open a data set in whichever format a folder holds it."""

from pathlib import Path
from typing import Protocol

from ..config.errors import BadInput
from .examples import DataSet
from .formats import cifar, idx, image_folder, records
from .formats.image_resize import RULES, ResizeRule

DIGITS = Path(__file__).parent / "digits"
"""The IDX files inside the package."""


class Format(Protocol):
    """A module of `formats`."""

    KIND: str
    """The value of `kind` that selects this format."""
    LAYOUT: str
    """What a folder of this format holds, for a message."""

    def detect(self, directory: Path) -> bool:
        """Return whether the folder looks like this format; a damaged data set does, too."""
        ...

    def open_dataset(
        self, directory: Path, size: int, *, resize: ResizeRule, held_out: float, seed: int
    ) -> DataSet:
        """Open the folder. Raises BadInput if it is not of this format, or damaged."""
        ...


FORMATS: tuple[Format, ...] = (records, idx, cifar, image_folder)
"""In the order in which a folder is tried."""


def is_image_folder(directory: Path) -> bool:
    """Return whether a folder is of no other format: pictures in folders of classes, if any."""
    others = (data_format for data_format in FORMATS if data_format is not image_folder)
    return directory.is_dir() and not any(one.detect(directory) for one in others)


def open_data(
    data: Path | None,
    kind: str,
    size: int,
    *,
    resize: ResizeRule = RULES["crop"],
    held_out: float = 0.1,
    seed: int = 0,
) -> DataSet:
    """Open a data set.

    Args:
      data: its folder; None for the digits inside the package.
      kind: "records", "idx", "cifar" or "folder", or "auto" to detect the format.
      size: every image is brought to [size, size, 3].
      resize: the rule that does it; records and arrays of that size are taken as they are.
      held_out: for DIR/CLASS/* without a split, the fraction of each class to test on.
      seed: selects these pictures; the same seed and files give the same split in any folder.

    Raises BadInput if the folder holds no such data.
    """
    directory = data or DIGITS
    data_format = find_format(directory, kind)
    if data_format is None:
        raise BadInput(
            f"{directory} holds none of: {'; '.join(data_format.LAYOUT for data_format in FORMATS)}"
        )
    return data_format.open_dataset(directory, size, resize=resize, held_out=held_out, seed=seed)


def find_format(directory: Path, kind: str = "auto") -> Format | None:
    """Return the format of a folder, None if it has none; `kind` selects or detects it.

    Raises BadInput if there is no such folder.
    """
    if not directory.exists():
        raise BadInput(f"`data` {directory} does not exist")
    if not directory.is_dir():
        raise BadInput(f"`data` {directory} is not a folder")
    return next(
        (one for one in FORMATS if kind == one.KIND or (kind == "auto" and one.detect(directory))),
        None,
    )
