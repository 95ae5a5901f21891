"""Picture files in one folder per class."""

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from ...config.errors import BadInput
from ..examples import DataSet, Example
from .class_folders import ClassFolders, LabeledFile, classes_without
from .folder_layout import PARTS, Layout, find_layout
from .image_file import open_rgb
from .image_resize import RULES, ResizeRule
from .picture_files import subfolders
from .split_lists import find_lists, part_of_pictures

KIND: str = "folder"
LAYOUT: str = "pictures in at least two folders DIR/CLASS, or in DIR/train/CLASS and DIR/test/CLASS"


@dataclass(frozen=True)
class PictureSet:
    """The picture files of a data set below `root`, and the name of each class."""

    root: Path
    train: list[LabeledFile]
    test: list[LabeledFile]
    """Of the test folder, or of the validation folder if there is no labeled test folder."""
    class_names: tuple[str, ...]
    random_split: bool = False
    """Whether the test pictures were drawn by the seed."""
    val: tuple[LabeledFile, ...] = ()
    """Of the validation folder beside a test folder."""
    only_val: bool = False
    """Whether `test` is that of the validation folder."""
    notes: tuple[str, ...] = ()
    """What was found and what was left out, a line each."""


def detect(directory: Path) -> bool:
    """Return whether the folder has folders that can be classes or a split."""
    layout = find_layout(directory)
    return bool(layout.parts) or len(subfolders(layout.root)) > 1


def open_dataset(
    directory: Path, size: int, *, resize: ResizeRule, held_out: float, seed: int
) -> DataSet:
    """Open the pictures that `find_pictures` finds. Raises BadInput if there are none."""
    pictures = find_pictures(directory, held_out=held_out, seed=seed)
    train, test, val = (
        PictureSource(pictures.root, [*files], size, resize)
        for files in (pictures.train, pictures.test, pictures.val)
    )
    return DataSet(
        train,
        test,
        pictures.class_names,
        val=test if pictures.only_val else val if pictures.val else None,
        drawn_test=_digest(pictures.test) if pictures.random_split else None,
        notes=pictures.notes,
    )


def _digest(files: list[LabeledFile]) -> str:
    names = b"\0".join(sorted(os.fsencode(name) for name, _ in files))
    return hashlib.sha256(names).hexdigest()[:16]


class PictureSource:
    """Picture files and their labels; a picture is decoded when it is read."""

    def __init__(
        self,
        root: Path,
        files: list[LabeledFile],
        size: int,
        resize: ResizeRule = RULES["crop"],
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

    def labeled_names(self) -> list[LabeledFile]:
        """Return the path and the label of each picture."""
        return self.files


def find_pictures(directory: Path, *, held_out: float = 0.1, seed: int = 0) -> PictureSet:
    """Find the pictures of each class, and the parts of a split.

    `folder_layout` finds their folders. Without a split, a random fraction `held_out` of each class
    becomes the test pictures. Classes and pictures are sorted by name.

    Raises BadInput if there are no such pictures, or a class has no test pictures.
    """
    layout = find_layout(directory)
    folders = ClassFolders(layout)
    if layout.parts:
        return _read_parts(folders)
    files, classes = folders.training_pictures()
    names = [name for name, _ in files]
    part_of, how = folders.inner_part_of(names), "split by the folders in each class"
    if lists := find_lists(directory, layout.root):
        part_of = part_of_pictures(lists, names)
        how = f"split by {lists['train']} and {lists['test'].name}"
    train, val, test = ([f for f in files if part_of.get(f[0]) == part] for part in PARTS)
    only_val = not test
    if only_val:
        test, val = val, []
    if by_seed := any(classes_without(part, classes) for part in (train, test)):
        only_val, val, how = False, [], "the seed draws the test pictures"
        train, test = _hold_out(files, held_out, seed)
        if empty := classes_without(test, classes):
            empty_folder = layout.root / empty[0]
            raise BadInput(f"{empty_folder} holds one picture, and needs another to test on")
    folders.left_out["pictures of no part"] += len(files) - len(train) - len(val) - len(test)
    counts = f"{len(train):,} training and {len(test):,} test pictures"
    if val:
        counts = f"{len(train):,} training, {len(val):,} validation and {len(test):,} test pictures"
    notes = folders.notes(f"{counts} of {len(classes)} classes in {layout.root}: {how}")
    return PictureSet(layout.root, train, test, classes, by_seed, tuple(val), only_val, notes=notes)


def find_unlabeled(directory: Path) -> Path | None:
    """Return DIR/test (or val) if there is a DIR/train and the test pictures have no classes."""
    layout = find_layout(directory)
    if "train" not in layout.parts:
        return None
    folders = ClassFolders(layout)
    held_out = [part for part in ("test", "val") if part in layout.parts]
    if any(folders.has_labels(part) for part in held_out):
        return None
    paths = (path for part in held_out for path in layout.parts[part])
    flat = (path for path in (*paths, *layout.unlabeled) if folders.holds_any(path))
    return next((layout.root / path for path in flat), None)


def evaluation_pictures(directory: Path) -> PictureSet:
    """Find the pictures in DIR/test/CLASS (or val), or else all in DIR/CLASS: `test` of the result.

    Raises BadInput if there are none.
    """
    layout = find_layout(directory)
    folders = ClassFolders(layout)
    if not layout.parts:
        files, classes = folders.training_pictures()
        return PictureSet(layout.root, [], files, classes)
    part = next((p for p in ("test", "val") if p in layout.parts and folders.has_labels(p)), None)
    if part is None:
        raise BadInput(_no_test_pictures(layout, directory))
    classes = folders.class_names(part) or folders.class_names("train")
    files = folders.labeled_pictures(part, classes)
    if empty := classes_without(files, classes):
        raise BadInput(f"{layout.root / layout.parts[part][0] / empty[0]} holds no pictures")
    return PictureSet(layout.root, [], files, classes)


def _read_parts(folders: ClassFolders) -> PictureSet:
    """Return the pictures of a split."""
    layout = folders.layout
    names = {part: ", ".join(paths) for part, paths in layout.parts.items()}
    labeled = [part for part in ("test", "val") if part in names and folders.has_labels(part)]
    if "train" not in names:
        raise BadInput(f"{layout.root} has a folder {min(names.values())}, but none named train")
    train, classes = folders.training_pictures()
    if not labeled:
        raise BadInput(_no_test_pictures(layout, layout.root))
    test, *val = (folders.labeled_pictures(part, classes) for part in labeled)
    if empty := classes_without(test, classes):
        folder = layout.root / layout.parts[labeled[0]][0]
        raise BadInput(f"{folder} holds no pictures of the class {empty[0]!r} to test on")
    found = f"{len(train):,} training pictures in {names['train']}, "
    found += f"{len(test):,} test pictures in {names[labeled[0]]}"
    if val:
        found += f", {len(val[0]):,} validation pictures in {names['val']}"
    return PictureSet(
        layout.root,
        train,
        test,
        classes,
        val=tuple(*val),
        only_val=labeled == ["val"],
        notes=folders.notes(f"{found}, of {len(classes)} classes"),
    )


def _no_test_pictures(layout: Layout, directory: Path) -> str:
    root = layout.root
    train = layout.parts.get("train", ("train",))[0]
    if flat := find_unlabeled(directory):
        message = (
            f"{flat} holds pictures outside of class folders; train.prepare reads them with a list "
            "of their labels"
        )
    else:
        message = f"{root} has a folder {train}, but no test/CLASS or val/CLASS"
    return f"{message}; of {root / train} alone, a part of each class is held out to test on"


def _hold_out(
    files: list[LabeledFile], fraction: float, seed: int
) -> tuple[list[LabeledFile], list[LabeledFile]]:
    """Return the files that stay, and a fraction of each class that is drawn.

    Of two or more pictures at least one is drawn and never all.

    The order of drawing is that of the hashed names, so that removing a picture, such as a broken
    one, moves at most one other picture of its class to the other split.
    """
    drawn: set[LabeledFile] = set()
    for _, group in itertools.groupby(files, key=lambda file: file[1]):
        pictures = sorted(group, key=lambda file: shuffle_key(file, seed))
        count = max(1, round(fraction * len(pictures)))
        drawn.update(pictures[: min(count, len(pictures) - 1)])
    return [file for file in files if file not in drawn], [file for file in files if file in drawn]


def shuffle_key(file: LabeledFile, seed: int) -> bytes:
    """Return a sort key that shuffles files: the same in any folder and on any machine."""
    return hashlib.sha256(os.fsencode(f"{seed}/{file[0]}")).digest()
