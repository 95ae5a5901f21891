"""A data set: training and test examples, by index, and the names of the classes."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.errors import BadInput
from .examples import Example, Source
from .formats import cifar, idx, manifest
from .formats.image_file import read_picture, square
from .formats.image_folder import PictureFile, find_pictures
from .formats.records import open_records, statistics_of_records
from .image_statistics import ImageStatistics

DIGITS = Path(__file__).parent / "digits"
"""The IDX files inside the package."""

_SPLITS = ("train", "test")


@dataclass(frozen=True)
class DataSet:
    """Training and test examples, and the name of each class."""

    train: Source
    test: Source
    class_names: tuple[str, ...]
    drawn: bool = False
    """Whether the seed drew the test examples, out of a folder without a split of its own."""
    statistics: ImageStatistics | None = None
    """Of all training examples, where they have been measured."""
    words: dict[str, str] = field(default_factory=dict)
    """What classes are called, where that is more than their name: ILSVRC's are synsets."""

    def record(self) -> dict[str, object]:
        """Return what tells this data set from another, for the run folder, and its words."""
        return {
            "train": len(self.train),
            "test": len(self.test),
            "class_names": list(self.class_names),
            **({"words": self.words} if self.words else {}),
        }


def open_data(
    directory: Path | None, kind: str, size: int, *, held_out: float = 0.1, seed: int = 0
) -> DataSet:
    """Open the data set in `directory`, the digits of the package if None.

    Args:
      directory: with train.prepare's records, or IDX files, or CIFAR's batches, or
        DIR/train/CLASS/* and DIR/test/CLASS/* (or val), or DIR/CLASS/*.
      kind: "records", "idx", "cifar", "folder", or "auto" to look.
      size: every image is brought to [size, size, 3].
      held_out: for DIR/CLASS/* only, the fraction of each class that becomes the test examples.
      seed: decides which; the same seed and files give the same examples, wherever the folder is.

    Raises BadInput if there is no such data there.
    """
    directory = directory or DIGITS
    if not directory.is_dir():
        raise BadInput(f"--data {directory} is not a folder")
    if kind == "records" or (kind == "auto" and manifest.is_there(directory)):
        train, test, holds = open_records(directory, size)
        found = statistics_of_records(directory, holds, size)
        return DataSet(train, test, holds.classes, statistics=found, words=holds.words)
    if kind == "idx" or (kind == "auto" and idx.find(directory, "train", "images")):
        return _open_idx(directory, size)
    if kind == "cifar" or (kind == "auto" and cifar.find(directory)):
        return _open_cifar(directory, size)
    found = find_pictures(directory, held_out=held_out, seed=seed)
    train, test = (PictureSource(found.root, files, size) for files in (found.train, found.test))
    return DataSet(train, test, found.class_names, found.drawn)


class ArraySource:
    """Gray images [height, width] or RGB ones [height, width, 3], all of one kind."""

    def __init__(
        self, images: np.ndarray | list[np.ndarray], labels: np.ndarray, size: int
    ) -> None:
        """Keep the arrays; images are brought to `size` when they are asked for."""
        self.images, self.labels, self.size = images, labels, size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        """Return the image, gray repeated as red, green and blue, and its label."""
        image = self.images[index]
        if image.shape[:2] != (self.size, self.size):
            image = square(Image.fromarray(image), self.size)
        if image.ndim == 2:
            image = np.stack([image] * 3, axis=-1)
        return {"image": image, "label": int(self.labels[index])}

    def name(self, index: int) -> str:
        """Return its place, from 0 on."""
        return f"image {index}"


class PictureSource:
    """Picture files with their labels, decoded when they are asked for."""

    def __init__(self, root: Path, files: list[PictureFile], size: int) -> None:
        """Keep the paths below `root`; pictures are brought to `size`."""
        self.root, self.files, self.size = root, files, size

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.files)

    def __getitem__(self, index: int) -> Example:
        """Decode one picture. Raises BadPicture with its path if that cannot be done."""
        name, label = self.files[index]
        return {"image": read_picture(self.root / name, self.size), "label": label}

    def name(self, index: int) -> str:
        """Return its path below the root."""
        return self.files[index][0]


def _open_idx(directory: Path, size: int) -> DataSet:
    splits = [idx.read_split(directory, split) for split in _SPLITS]
    classes = 1 + max(int(labels.max()) for _, labels in splits)
    _check_classes(directory, *(labels for _, labels in splits))
    train, test = (ArraySource(*split, size) for split in splits)
    return DataSet(train, test, tuple(str(label) for label in range(classes)))


def _open_cifar(directory: Path, size: int) -> DataSet:
    found = cifar.find(directory)
    if found is None:
        raise BadInput(f"{directory} holds no batches of CIFAR (data_batch_1.bin or train.bin)")
    train, test = (ArraySource(*cifar.read_split(*found, split), size) for split in _SPLITS)
    _check_classes(directory, train.labels, test.labels)
    return DataSet(train, test, cifar.class_names(*found))


def _check_classes(directory: Path, train: np.ndarray, test: np.ndarray) -> None:
    """Raise BadInput if a class is learned and not tested, or tested and not learned."""
    for here, there, names in ((train, test, _SPLITS), (test, train, _SPLITS[::-1])):
        if len(lacking := np.setdiff1d(here, there)):
            index = int(np.argmax(here == lacking[0]))
            raise BadInput(
                f"{directory}: {names[0]} image {index} has the label {lacking[0]}, "
                f"and no {names[1]} image has it"
            )
