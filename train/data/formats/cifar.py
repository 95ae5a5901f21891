"""CIFAR-10 and CIFAR-100 in their binary form.

A batch is records of one length: the byte of the label, in CIFAR-100 with that of its superclass
before it, then 32 x 32 bytes of red, of green and of blue.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...config.errors import BadInput

_SIZE = 32
_PIXELS = 3 * _SIZE**2


@dataclass(frozen=True)
class Form:
    """What tells one of the two from the other."""

    folder: str  # that its archive unpacks to
    batches: dict[str, tuple[str, ...]]  # of the splits "train" and "test"
    names: str
    classes: int
    label_bytes: int  # of which the last is the label


FORMS = (
    Form(
        folder="cifar-10-batches-bin",
        batches={
            "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        names="batches.meta.txt",
        classes=10,
        label_bytes=1,
    ),
    Form(
        folder="cifar-100-binary",
        batches={"train": ("train.bin",), "test": ("test.bin",)},
        names="fine_label_names.txt",
        classes=100,
        label_bytes=2,
    ),
)


def find(directory: Path) -> tuple[Path, Form] | None:
    """Return the folder that holds batches, `directory` or one that an archive made, or None."""
    for form in FORMS:
        for folder in (directory, directory / form.folder):
            if any((folder / name).is_file() for names in form.batches.values() for name in names):
                return folder, form
    return None


def read_split(folder: Path, form: Form, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Return images [32, 32, 3] and labels [n] of "train" or "test".

    The images are views of the files, read from the disk when they are looked at. Raises BadInput
    if a batch is missing or damaged.
    """
    batches = [_read_batch(folder / name, form) for name in form.batches[split]]
    images = [image for images, _ in batches for image in images]
    return images, np.concatenate([labels for _, labels in batches])


def class_names(folder: Path, form: Form) -> tuple[str, ...]:
    """Return the name of each class, its number if the file of names is not there.

    Raises BadInput if that file names too few or too many.
    """
    path = folder / form.names
    try:
        names = tuple(path.read_text().split())
    except FileNotFoundError:
        return tuple(str(label) for label in range(form.classes))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    if len(names) != form.classes:
        raise BadInput(f"{path} should name {form.classes} classes, and names {len(names)}")
    return names


def _read_batch(path: Path, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """The images [n, 32, 32, 3] of a file, as a view of it, and the labels [n]."""
    if not path.is_file():
        raise BadInput(f"{path.parent} lacks {path.name}")
    length = form.label_bytes + _PIXELS
    size = path.stat().st_size
    if not size or size % length:
        raise BadInput(f"{path} should hold records of {length} bytes, and holds {size} bytes")
    try:
        # As a plain array, since each view of an np.memmap would carry a dictionary.
        records = np.asarray(np.memmap(path, np.uint8, mode="r")).reshape(-1, length)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    labels = records[:, form.label_bytes - 1].copy()
    if labels.max() >= form.classes:
        wrong = int(np.argmax(labels >= form.classes))
        raise BadInput(
            f"{path} should hold labels below {form.classes}, and image {wrong} has {labels[wrong]}"
        )
    images = records[:, form.label_bytes :].reshape(-1, 3, _SIZE, _SIZE)
    return images.transpose(0, 2, 3, 1), labels
