"""A data set: training and test examples, by index, and the names of the classes."""

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
from PIL import Image

from train.config import BadInput
from train.data import cifar, idx
from train.data.pictures import read_picture, square

DIGITS = Path(__file__).parent / "digits"
"""The IDX files inside the package."""

_SPLITS = ("train", "test")
_TEST_NAMES = ("test", "val", "validation")


class Example(TypedDict):
    """One example: `image` is uint8 [size, size, 3], RGB."""

    image: np.ndarray
    label: int


class Source(Protocol):
    """What Grain reads: examples by index."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, index: int) -> Example:
        """Return one example, the same at every call."""
        ...


@dataclass(frozen=True)
class DataSet:
    """Training and test examples, and the name of each class."""

    train: Source
    test: Source
    class_names: tuple[str, ...]

    def record(self) -> dict[str, object]:
        """Return what tells this data set from another, for the run folder."""
        return {
            "train": len(self.train),
            "test": len(self.test),
            "class_names": list(self.class_names),
        }


def open_data(
    directory: Path | None, kind: str, size: int, *, held_out: float = 0.1, seed: int = 0
) -> DataSet:
    """Open the data set in `directory`, the digits of the package if None.

    Args:
      directory: with IDX files, or CIFAR's batches, or DIR/train/CLASS/* and DIR/test/CLASS/* (or
        val), or DIR/CLASS/*.
      kind: "idx", "cifar", "folder", or "auto" to look.
      size: every image is brought to [size, size, 3].
      held_out: for DIR/CLASS/* only, the fraction of each class that becomes the test examples.
      seed: decides which; the same seed and files give the same examples, wherever the folder is.

    Raises BadInput if there is no such data there.
    """
    directory = directory or DIGITS
    if not directory.is_dir():
        raise BadInput(f"--data {directory} is not a folder")
    if kind == "idx" or (kind == "auto" and idx.find(directory, "train", "images")):
        return _open_idx(directory, size)
    if kind == "cifar" or (kind == "auto" and cifar.find(directory)):
        return _open_cifar(directory, size)
    return _open_folder(directory, size, held_out, seed)


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


class PictureSource:
    """Picture files with their labels, decoded when they are asked for."""

    def __init__(self, files: list[tuple[Path, int]], size: int) -> None:
        """Keep the paths; pictures are brought to `size`."""
        self.files, self.size = files, size

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.files)

    def __getitem__(self, index: int) -> Example:
        """Decode one picture. Raises BadInput with its path if that cannot be done."""
        path, label = self.files[index]
        return {"image": read_picture(path, self.size), "label": label}


def _open_idx(directory: Path, size: int) -> DataSet:
    splits = [idx.read_split(directory, split) for split in _SPLITS]
    classes = 1 + max(int(labels.max()) for _, labels in splits)
    train, test = (ArraySource(*split, size) for split in splits)
    return DataSet(train, test, tuple(str(label) for label in range(classes)))


def _open_cifar(directory: Path, size: int) -> DataSet:
    found = cifar.find(directory)
    if found is None:
        raise BadInput(f"{directory} holds no batches of CIFAR (data_batch_1.bin or train.bin)")
    train, test = (ArraySource(*cifar.read_split(*found, split), size) for split in _SPLITS)
    return DataSet(train, test, cifar.class_names(*found))


def _open_folder(directory: Path, size: int, fraction: float, seed: int) -> DataSet:
    names = set(_folders(directory))
    held_out = next((n for n in _TEST_NAMES if n in names and _folders(directory / n)), None)
    if "train" in names and held_out is None:
        wanted = " or ".join(f"{name}/CLASS" for name in _TEST_NAMES)
        raise BadInput(f"{directory} has a folder train, but no {wanted}")
    if held_out and "train" not in names:
        raise BadInput(f"{directory} has a folder {held_out}, but none named train")
    train_dir = directory / "train" if "train" in names else directory
    classes = _folders(train_dir)
    if len(classes) < 2:
        raise BadInput(
            f"{directory} holds no IDX files and no pictures in at least two folders, "
            "DIR/train/CLASS and DIR/test/CLASS or DIR/CLASS, and no batches of CIFAR's binary form"
        )
    files = _files(train_dir, classes)
    missing = set(range(len(classes))) - {label for _, label in files}
    if missing:
        raise BadInput(f"{train_dir / classes[min(missing)]} holds no pictures")
    if "train" in names:
        test_dir = directory / str(held_out)
        strangers = set(_folders(test_dir)) - set(classes)
        if strangers:
            raise BadInput(f"{test_dir} has a class {min(strangers)!r} that {train_dir} lacks")
        train, test = files, _files(test_dir, classes)
    else:
        drawn = _hold_out(files, directory, fraction, seed)
        train = [file for file in files if file not in drawn]
        test = [file for file in files if file in drawn]
    if not train or not test:
        raise BadInput(f"{directory} holds {len(train)} training and {len(test)} test pictures")
    return DataSet(PictureSource(train, size), PictureSource(test, size), classes)


def _folders(directory: Path) -> tuple[str, ...]:
    """The names of the folders in a folder, sorted, hidden ones left out."""
    return tuple(sorted(path.name for path in directory.glob("[!.]*") if path.is_dir()))


def _files(directory: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Every file below `directory` that ends as a picture does, in a fixed order.

    Hidden files and folders are left out.
    """
    endings = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = []
    for label, name in enumerate(classes):
        folder = directory / name
        for path in sorted(folder.rglob("[!.]*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.suffix.lower() in endings and not hidden and path.is_file():
                found.append((path, label))
    return found


def _hold_out(
    files: list[tuple[Path, int]], directory: Path, fraction: float, seed: int
) -> set[tuple[Path, int]]:
    """A fraction of each class, of two or more pictures at least one and never all.

    The names below `directory`, hashed with the seed, give the order in which pictures are drawn:
    so one that is taken out, as a broken one is, sends at most one other of its class across.
    """

    def drawn(file: tuple[Path, int]) -> bytes:
        name = os.fsencode(file[0].relative_to(directory).as_posix())
        return hashlib.sha256(b"%d/%s" % (seed, name)).digest()

    held_out: set[tuple[Path, int]] = set()
    for _, group in itertools.groupby(files, key=lambda file: file[1]):
        pictures = sorted(group, key=drawn)
        count = max(1, round(fraction * len(pictures)))
        held_out.update(pictures[: min(count, len(pictures) - 1)])
    return held_out
