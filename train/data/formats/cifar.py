"""CIFAR-10 and CIFAR-100 in their binary form.

A batch file holds records of equal length: one byte for the label, preceded in CIFAR-100 by one for
its superclass, then 32 x 32 bytes each of red, green and blue.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...config.errors import BadInput
from ..examples import DataSet
from .array_source import SPLITS, ArraySource, check_labels
from .image_resize import ResizeRule

KIND: str = "cifar"
LAYOUT: str = "batches of CIFAR's binary form"
SIZE = 32
"""Of the images, in pixels."""
_PIXELS = 3 * SIZE**2


@dataclass(frozen=True)
class CifarVariant:
    """How CIFAR-10 and CIFAR-100 differ."""

    folder: str  # in the published archive
    batches: dict[str, tuple[str, ...]]  # of the splits "train" and "test"
    names: str
    classes: int
    label_bytes: int  # the last one is the label


VARIANTS = (
    CifarVariant(
        folder="cifar-10-batches-bin",
        batches={
            "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        names="batches.meta.txt",
        classes=10,
        label_bytes=1,
    ),
    CifarVariant(
        folder="cifar-100-binary",
        batches={"train": ("train.bin",), "test": ("test.bin",)},
        names="fine_label_names.txt",
        classes=100,
        label_bytes=2,
    ),
)


def detect(directory: Path) -> bool:
    """Return whether the folder, or an unpacked archive in it, holds a batch file."""
    return find_batches(directory) is not None


def open_dataset(
    directory: Path, size: int, *, resize: ResizeRule, held_out: float, seed: int
) -> DataSet:
    """Open the folder. Raises BadInput if a file is missing or damaged."""
    del held_out, seed  # CIFAR comes with a split
    batches = find_batches(directory)
    if batches is None:
        raise BadInput(f"{directory} holds no batches of CIFAR (data_batch_1.bin or train.bin)")
    train, test = (ArraySource(*read_split(*batches, split), size, resize) for split in SPLITS)
    check_labels(directory, train.labels, test.labels)
    return DataSet(train, test, class_names(*batches))


def find_batches(directory: Path) -> tuple[Path, CifarVariant] | None:
    """Return the folder of the batch files, `directory` or an archive's inside it, or None."""
    for variant in VARIANTS:
        files = [name for names in variant.batches.values() for name in names]
        for folder in (directory, directory / variant.folder):
            if any((folder / name).is_file() for name in files):
                return folder, variant
    return None


def read_split(
    folder: Path, variant: CifarVariant, split: str
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return images [32, 32, 3] and labels [n] of "train" or "test".

    The images are views of the mapped files, so the disk is read when they are. Raises BadInput
    if a batch is missing or damaged.
    """
    batches = [_read_batch(folder / name, variant) for name in variant.batches[split]]
    images = [image for images, _ in batches for image in images]
    return images, np.concatenate([labels for _, labels in batches])


def class_names(folder: Path, variant: CifarVariant) -> tuple[str, ...]:
    """Return the name of each class, or its number if there is no file of names.

    Raises BadInput if that file has the wrong number of names.
    """
    path = folder / variant.names
    if not path.is_file():
        return tuple(str(label) for label in range(variant.classes))
    try:
        names = tuple(path.read_text().split())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    if len(names) != variant.classes:
        raise BadInput(f"{path} should name {variant.classes} classes, and names {len(names)}")
    return names


def _read_batch(path: Path, variant: CifarVariant) -> tuple[np.ndarray, np.ndarray]:
    """Return the images [n, 32, 32, 3] of a file, as a view of it, and the labels [n]."""
    if not path.is_file():
        raise BadInput(f"{path.parent} lacks {path.name}")
    length = variant.label_bytes + _PIXELS
    size = path.stat().st_size
    if not size or size % length:
        raise BadInput(f"{path} should hold records of {length} bytes, and holds {size} bytes")
    try:
        # A plain array, because each view of an np.memmap would carry a dictionary.
        records = np.asarray(np.memmap(path, np.uint8, mode="r")).reshape(-1, length)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    labels = records[:, variant.label_bytes - 1].copy()
    if labels.max() >= variant.classes:
        index = int(np.argmax(labels >= variant.classes))
        raise BadInput(
            f"{path} should hold labels below {variant.classes}, and image {index} has "
            f"{labels[index]}"
        )
    images = records[:, variant.label_bytes :].reshape(-1, 3, SIZE, SIZE)
    return images.transpose(0, 2, 3, 1), labels
