"""Where the class folders of a data set lie, whatever its publisher has called the folders.

DIR/CLASS                       no split
DIR/train/CLASS, DIR/val/CLASS  a split, under any of its common names: Training, test_set,
                                seg_train, train.X1, imagenet_val
DIR/DIR/CLASS, DIR/images/train/CLASS, DIR/seg_train/seg_train/CLASS
                                either of these in folders that hold nothing else to train on
"""

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .picture_files import subfolders, walk_pictures

PARTS = ("train", "val", "test")
UNLABELED = "unlabeled"

_PART_OF_WORD = {
    **dict.fromkeys(("train", "training", "trainset", "trainingset", "traindata", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating"), "val"),
    **dict.fromkeys(("valset", "validset", "validationset", "dev", "devset", "eval"), "val"),
    **dict.fromkeys(("evaluation",), "val"),
    **dict.fromkeys(("test", "testing", "tests", "testset", "testingset", "testdata"), "test"),
    **dict.fromkeys(("tst", "holdout", "heldout"), "test"),
    **dict.fromkeys(("pred", "predict", "prediction", "predictions"), UNLABELED),
    **dict.fromkeys(("unlabeled", "unlabelled", "submission"), UNLABELED),
}
_PLURALS = ("image", "img", "photo", "picture", "pic", "sample", "file")
_FILLERS = {"set", "sets", "data", "dataset", "seg", "folder", "dir", "split", "part", "the"}
_FILLERS |= {word + ending for word in _PLURALS for ending in ("", "s")}
"""Words that add nothing to the name of a part: "test_set", "seg_train", "train_images"."""

_BESIDE = {"annotation", "annotations", "label", "labels", "mask", "masks", "trimaps", "bbox"}
_BESIDE |= {
    "segmentations",
    "bboxes",
    "boxes",
    "meta",
    "metadata",
    "list",
    "lists",
    "splits",
    "xml",
    "xmls",
    "devkit",
}
"""Folders with a data set's labels, in lower case. Some hold pictures that show outlines."""

_IMAGES = {"images", "image", "jpegimages", "jpg"}
"""Folders that hold all pictures where there are folders of labels beside them."""


@dataclass(frozen=True)
class Layout:
    """The folders that hold class folders."""

    root: Path
    """The folder below which the paths lie."""
    parts: Mapping[str, tuple[str, ...]]
    """The folders of each part, "train", "val" or "test"; none if there is no split."""
    beside: tuple[str, ...] = ()
    """Folders that are left out: neither classes nor parts."""
    unlabeled: tuple[str, ...] = ()
    """Folders of test pictures without classes."""
    flat: frozenset[str] = frozenset()
    """The folders of parts that hold no class folders, but pictures or "images"."""
    class_folders: tuple[str, ...] = field(default=(), repr=False)
    """The classes of a data set without a split."""

    def classes_in(self, folder: str) -> tuple[str, ...]:
        """Return the class folders in a folder of a part, or in "", the root, without a split."""
        if not self.parts:
            return self.class_folders
        names = () if folder in self.flat else subfolders(self.root / folder)
        return tuple(name for name in names if is_class_folder(self.root / folder, name, names))

    @functools.cached_property
    def _classes(self) -> dict[str, frozenset[str]]:
        folders = [path for paths in self.parts.values() for path in paths] or [""]
        return {folder: frozenset(self.classes_in(folder)) for folder in folders}

    def class_of(self, picture: Path) -> str | None:
        """Return the class of a picture, None if it is in no class folder."""
        if not picture.is_relative_to(self.root):
            return None
        path = picture.relative_to(self.root)
        for folder, classes in self._classes.items():
            if path.is_relative_to(folder):
                first, *rest = path.relative_to(folder).parts
                return first if rest and first in classes else None
        return None


def find_layout(directory: Path) -> Layout:
    """Find the class folders in a folder, or in the only folder with pictures in it.

    Raises BadInput if a folder cannot be read.
    """
    root = descend(directory)
    names = subfolders(root)
    parts = find_parts(root, names)
    if not parts:
        classes = tuple(name for name in names if is_class_folder(root, name, names))
        beside = tuple(name for name in names if name not in classes)
        return Layout(root, {}, beside=beside, class_folders=classes)
    parts = _with_evaluation_to_test_on(parts)
    unlabeled = [*parts.pop(UNLABELED, [])]
    for name in [*parts.get("test", [])]:
        if _is_unlabeled(root / name):
            parts["test"].remove(name)
            unlabeled.append(name)
    known = {*unlabeled, *(name for folders in parts.values() for name in folders)}
    inside = {
        part: tuple(_inside(root / name).relative_to(root).as_posix() for name in folders)
        for part, folders in parts.items()
        if folders
    }
    paths = [path for folders in inside.values() for path in folders]
    return Layout(
        root,
        inside,
        beside=tuple(name for name in names if name not in known),
        unlabeled=tuple(sorted(unlabeled)),
        flat=frozenset(path for path in paths if all(map(is_filler, subfolders(root / path)))),
    )


def find_parts(root: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the folders of each part of a split among the folders of `root`, {} without one.

    A single folder called "train" among others without folders of their own is a class: there are
    pictures of trains. So is one whose name says more, such as "bullet_train", unless another
    part's name says the same: "imagenet_train" and "imagenet_val".
    """
    groups: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for name in names:
        part, rest = _parse(name)
        if part:
            groups.setdefault(rest, {}).setdefault(part, []).append(name)
    plain = groups.pop((), {})
    folders = [name for same in plain.values() for name in same]
    if len(plain) > 1 or (plain and len(folders) == len(names)):
        return plain
    if any(len(subfolders(root / name)) > 1 for name in folders):
        return plain
    merged: dict[str, list[str]] = {}
    for parts in groups.values():
        if len(parts) > 1 and "train" in parts:
            for part, same in parts.items():
                merged.setdefault(part, []).extend(same)
    return merged


def _with_evaluation_to_test_on(parts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the parts of training, validation and evaluation, as in Food-11, with a test part."""
    evaluation = [name for name in parts.get("val", []) if "eval" in name.lower()]
    rest = [name for name in parts.get("val", []) if name not in evaluation]
    if "test" in parts or not (evaluation and rest):
        return parts
    return parts | {"val": rest, "test": evaluation}


def _parse(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the part that a folder's name says, or None, and the words that say something else."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    telling = [word.lower() for word in words if word.lower() not in _FILLERS]
    parts = {_PART_OF_WORD[word] for word in telling if word in _PART_OF_WORD}
    if parts:  # the X of "train.X1"
        telling = [word for word in telling if len(word) > 1]
    rest = tuple(word for word in telling if word not in _PART_OF_WORD)
    return (parts.pop() if len(parts) == 1 else None), rest


def is_filler(name: str) -> bool:
    """Return whether a folder's name says nothing, such as "images", so that it is no class."""
    return re.fullmatch(r"[\W\d_]*", name) is None and _parse(name) == (None, ())


def descend(folder: Path) -> Path:
    """Return the folder itself, or the one in it that holds all class folders, at any depth."""
    names = subfolders(folder)
    if len(names) == 1 and len(find_parts(folder / names[0], subfolders(folder / names[0]))) > 1:
        return folder / names[0]
    if find_parts(folder, names):
        return folder
    sole = _sole_with_pictures(folder, names)
    if sole is None:
        return folder
    inner = descend(folder / sole)
    inner_names = subfolders(inner)
    return inner if len(inner_names) > 1 or find_parts(inner, inner_names) else folder


def _inside(folder: Path) -> Path:
    """Return the folder of class folders in that of a part: "seg_train/seg_train"."""
    while len(names := subfolders(folder)) == 1 and subfolders(folder / names[0]):
        if not (_parse(names[0])[0] or is_filler(names[0])):
            return folder
        folder /= names[0]
    return folder if find_parts(folder, names) else descend(folder)


def _sole_with_pictures(folder: Path, names: Sequence[str]) -> str | None:
    """Return the folder that alone can hold pictures to train on, None if there are several."""
    if len(names) == 1:
        return names[0]
    remaining: list[str] = []
    for name in names:
        if name.lower() not in _BESIDE and not _holds_other_files_only(folder / name):
            remaining.append(name)
        if len(remaining) > 1:
            return None
    return remaining[0] if remaining else None


def is_class_folder(folder: Path, name: str, names: Sequence[str]) -> bool:
    """Return whether a folder in `folder`, among others called `names`, can be that of a class.

    Folders of labels are none, nor are unlabeled pictures beside classes.
    """
    part, rest = _parse(name)
    if part not in (None, "train") and not rest:
        return False
    if name == "BACKGROUND_Google":  # of Caltech 101: pictures of anything
        return False
    others = {*names} - {name}
    if name == folder.name and len(others) > 1 and others <= {*subfolders(folder / name)}:
        return False  # a second copy of the set, from an archive packed with its own folder
    if name.lower() not in _BESIDE:
        return True
    return not _IMAGES & {other.lower() for other in names} and _has_pictures(folder / name)


def _is_unlabeled(folder: Path) -> bool:
    """Return whether the folder of a test part holds pictures, and no folder of a class."""
    names = subfolders(folder)
    while len(names) == 1 and (_parse(names[0])[0] or is_filler(names[0])):
        folder /= names[0]
        names = subfolders(folder)
    return not names and _has_pictures(folder)


def _has_pictures(folder: Path) -> bool:
    return next(walk_pictures(folder, Counter()), None) is not None


def _holds_other_files_only(folder: Path) -> bool:
    others: Counter[str] = Counter()
    return next(walk_pictures(folder, others), None) is None and others.total() > 0
