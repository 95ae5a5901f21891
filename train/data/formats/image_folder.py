"""Picture files in one folder per class."""

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...config.errors import BadInput
from ..examples import DataSet, Example
from .image_file import crop_and_resize, open_rgb

KIND: str = "folder"
LAYOUT: str = "pictures in at least two folders DIR/CLASS, or in DIR/train/CLASS and DIR/test/CLASS"
TEST_NAMES = ("test", "val", "validation")
"""Accepted names of the folder of test pictures."""

LabeledFile = tuple[str, int]
"""A path below the root, with slashes, and the label. A string, because there are millions."""


@dataclass(frozen=True)
class PictureSet:
    """The picture files of a data set below `root`, and the name of each class."""

    root: Path
    train: list[LabeledFile]
    test: list[LabeledFile]
    class_names: tuple[str, ...]
    random_split: bool = False
    """Whether the test pictures were drawn by the seed."""


def detect(directory: Path) -> bool:
    """Return whether the folder has folders that can be classes or a split."""
    names = subfolders(directory)
    return len(names) > 1 or bool({"train", *TEST_NAMES} & {*names})


def open_dataset(directory: Path, size: int, *, held_out: float, seed: int) -> DataSet:
    """Open the pictures that `find_pictures` finds. Raises BadInput if there are none."""
    pictures = find_pictures(directory, held_out=held_out, seed=seed)
    train, test = (PictureSource(directory, f, size) for f in (pictures.train, pictures.test))
    return DataSet(train, test, pictures.class_names, random_split=pictures.random_split)


class PictureSource:
    """Picture files and their labels; a picture is decoded when it is read."""

    def __init__(
        self,
        root: Path,
        files: list[LabeledFile],
        size: int,
        resize: Callable[[Image.Image, int], np.ndarray] = crop_and_resize,
    ) -> None:
        """Keep the paths below `root`; `resize` brings pictures to `size`."""
        self.root, self.files, self.size, self.resize = root, files, size, resize

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.files)

    def __getitem__(self, index: int) -> Example:
        """Decode one picture. Raises BadPicture, with its path, if that is impossible."""
        name, label = self.files[index]
        path = self.root / name
        return {"image": self.resize(open_rgb(path, path)[0], self.size), "label": label}

    def name(self, index: int) -> str:
        """Return the path below the root."""
        return self.files[index][0]


def find_pictures(root: Path, *, held_out: float = 0.1, seed: int = 0) -> PictureSet:
    """Find ROOT/train/CLASS/* and ROOT/test/CLASS/* (or val), or ROOT/CLASS/*.

    In the latter case a random fraction `held_out` of each class becomes the test pictures. Classes
    and pictures are sorted by name. Raises BadInput if there are no such pictures, or a class has
    no test pictures.
    """
    names = set(subfolders(root))
    test_name = next((n for n in TEST_NAMES if n in names and subfolders(root / n)), None)
    if "train" not in names and test_name is None:
        return _split_at_random(root, held_out, seed)
    if test_name is None:
        if flat := find_unlabeled(root):
            raise BadInput(
                f"{flat} holds pictures outside of class folders; train.prepare reads them with "
                "a list of their labels"
            )
        layouts = " or ".join(f"{name}/CLASS" for name in TEST_NAMES)
        raise BadInput(f"{root} has a folder train, but no {layouts}")
    if "train" not in names:
        raise BadInput(f"{root} has a folder {test_name}, but none named train")
    train, classes = training_pictures(root, "train")
    if unknown := set(subfolders(root / test_name)) - set(classes):
        raise BadInput(
            f"{root / test_name} has a class {min(unknown)!r} that {root / 'train'} lacks"
        )
    test = pictures_by_class(root, test_name, classes)
    if empty := _classes_without(test, classes):
        raise BadInput(f"{root / test_name} holds no pictures of the class {empty[0]!r} to test on")
    return PictureSet(root, train, test, classes)


def find_unlabeled(root: Path) -> Path | None:
    """Return ROOT/test (or val) if there is a ROOT/train and the test pictures have no classes."""
    names = set(subfolders(root))
    if "train" not in names or any(n in names and subfolders(root / n) for n in TEST_NAMES):
        return None
    flat = (name for name in TEST_NAMES if name in names and pictures_in(root, name))
    return next((root / name for name in flat), None)


def _split_at_random(root: Path, held_out: float, seed: int) -> PictureSet:
    files, classes = training_pictures(root, "")
    test = _hold_out(files, held_out, seed)
    if empty := _classes_without(test, classes):
        raise BadInput(f"{root / empty[0]} holds one picture, and needs another to test on")
    return PictureSet(
        root,
        [file for file in files if file not in test],
        [file for file in files if file in test],
        classes,
        random_split=True,
    )


def training_pictures(root: Path, below: str) -> tuple[list[LabeledFile], tuple[str, ...]]:
    """Return the pictures in ROOT/BELOW/CLASS, and the classes, sorted by name.

    Raises BadInput if there are fewer than two classes, or one has no pictures.
    """
    classes = subfolders(root / below)
    if len(classes) < 2:
        raise BadInput(
            f"{root / below} holds no pictures in at least two folders, one for each class"
        )
    files = pictures_by_class(root, below, classes)
    if empty := _classes_without(files, classes):
        raise BadInput(f"{root / below / empty[0]} holds no pictures")
    return files, classes


def _classes_without(files: Iterable[LabeledFile], classes: tuple[str, ...]) -> list[str]:
    """Return the names of the classes that none of the files shows."""
    labels = {label for _, label in files}
    return [name for label, name in enumerate(classes) if label not in labels]


def subfolders(directory: Path) -> tuple[str, ...]:
    """Return the names of the folders in a folder, sorted, without hidden ones."""
    return tuple(sorted(path.name for path in directory.glob("[!.]*") if path.is_dir()))


def pictures_by_class(root: Path, below: str, classes: tuple[str, ...]) -> list[LabeledFile]:
    """Return all files below ROOT/BELOW/CLASS with a picture's extension, in a fixed order.

    Hidden files and folders are left out. Raises BadInput if a folder cannot be read.
    """
    folders = [f"{below}/{name}" if below else name for name in classes]
    return [
        (picture, label)
        for label, folder in enumerate(folders)
        for picture in _list_pictures(root, folder)
    ]


def pictures_in(root: Path, folder: str) -> list[str]:
    """Return the pictures in ROOT/FOLDER itself, sorted by name. Raises BadInput."""
    return _list_pictures(root, folder, recursive=False)


def pictures_below(folder: Path) -> list[Path]:
    """Return all pictures below a folder, sorted by name. Raises BadInput."""
    return [folder / name for name in _list_pictures(folder, ".")]


def _list_pictures(root: Path, folder: str, *, recursive: bool = True) -> list[str]:
    endings = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    pictures = []
    # os.walk asks the file system once for each folder; pathlib's glob, once for each file.
    for parent, folders, files in os.walk(root / folder, onerror=_refuse):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        below = Path(parent).relative_to(root).as_posix()
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in endings:
                pictures.append(f"{below}/{name}")
    return sorted(pictures, key=lambda name: name.split("/"))


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):  # a class without a folder is reported elsewhere
        return
    raise BadInput(f"{error.filename} cannot be read: {error.strerror}")


def _hold_out(files: list[LabeledFile], fraction: float, seed: int) -> set[LabeledFile]:
    """Draw a fraction of each class: of two or more pictures at least one and never all.

    The order of drawing is that of the hashed names, so that removing a picture, such as a broken
    one, moves at most one other picture of its class to the other split.
    """
    drawn: set[LabeledFile] = set()
    for _, group in itertools.groupby(files, key=lambda file: file[1]):
        pictures = sorted(group, key=lambda file: shuffle_key(file, seed))
        count = max(1, round(fraction * len(pictures)))
        drawn.update(pictures[: min(count, len(pictures) - 1)])
    return drawn


def shuffle_key(file: LabeledFile, seed: int) -> bytes:
    """Return a sort key that shuffles files: the same in any folder and on any machine."""
    return hashlib.sha256(os.fsencode(f"{seed}/{file[0]}")).digest()
