"""The pictures in the class folders of a layout, labeled, and a count of what is left out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...config.errors import BadInput
from .folder_layout import Layout, find_parts
from .label_list import match_names, read_rows
from .picture_files import OUTSIDE, describe, list_pictures, subfolders
from .shared_folders import shared_folders

LabeledFile = tuple[str, int]
"""A path below the root, with slashes, and the label. A string, because there are millions."""


class ClassFolders:
    """Lists the pictures of a layout. All paths are below its root."""

    def __init__(self, layout: Layout) -> None:
        """Take the layout; nothing is read yet."""
        self.layout, self.root = layout, layout.root
        self.left_out: Counter[str] = Counter()
        """The number of files that were met and are no pictures of a class, by kind."""

    def training_pictures(self) -> tuple[list[LabeledFile], tuple[str, ...]]:
        """Return the pictures to train on, or all without a split, and the classes, by name.

        Raises BadInput if there are fewer than two classes, or one has no pictures.
        """
        folders = self.layout.parts.get("train", ("",))
        classes = self.class_names("train") if self.layout.parts else self.layout.class_folders
        where = self.root / folders[0]
        if self.layout.parts and len(find_parts(where, subfolders(where))) > 1:
            raise BadInput(f"{where} holds folders of a split, within a folder of a split")
        if len(classes) < 2:
            raise BadInput(self._too_few_classes(where, classes))
        files = self._list(folders, classes)
        if empty := classes_without(files, classes):
            reason = describe(self.left_out)
            raise BadInput(
                f"{where / empty[0]} holds no pictures" + (f"; left out: {reason}" * bool(reason))
            )
        return files, classes

    def has_labels(self, part: str) -> bool:
        """Return whether the pictures of a part are in class folders, or named in a list."""
        folders = self.layout.parts[part]
        return any(self.layout.classes_in(p) or _annotations(self.root / p) for p in folders)

    def holds_any(self, folder: str) -> bool:
        """Return whether there are pictures below a folder."""
        return bool(list_pictures(self.root, folder))

    def labeled_pictures(self, part: str, classes: Sequence[str]) -> list[LabeledFile]:
        """Return the pictures of a part that `has_labels`.

        A flat folder VAL with a list VAL_annotations.txt, as in Tiny ImageNet, is labeled by it.
        Raises BadInput if a folder or a line names another class.
        """
        folders = [path for path in self.layout.parts[part] if self.layout.classes_in(path)]
        for path in folders:
            if unknown := {*self.layout.classes_in(path)} - {*classes}:
                raise BadInput(
                    f"{self.root / path} has a class {min(unknown)!r} that "
                    f"{self.root / self.layout.parts['train'][0]} lacks"
                )
        files = self._list(folders, classes)
        for path in self.layout.parts[part]:
            if labels := _annotations(self.root / path):
                files += self._list_by_labels(path, labels, classes)
        return files

    def class_names(self, part: str) -> tuple[str, ...]:
        """Return the classes that have a folder in a part, sorted by name."""
        folders = self.layout.parts[part]
        return tuple(sorted({name for path in folders for name in self.layout.classes_in(path)}))

    def notes(self, found: str) -> tuple[str, ...]:
        """Return the line that says what was `found`, and one that counts what was left out."""
        from alexnet_jax.printable import printable  # imports JAX; workers do without

        counts = self.left_out.copy()
        for name in (*self.layout.beside, *self.layout.unlabeled):
            counts[f"pictures in {name}"] += len(list_pictures(self.root, name))
        left_out = describe(+counts)
        return (printable(found), *([f"left out: {left_out}"] if left_out else []))

    def inner_part_of(self, pictures: Iterable[str]) -> dict[str, str]:
        """Return the part of each picture in CLASS/train, CLASS/val or CLASS/test.

        There are no parts unless all classes have the same ones.

        Raises BadInput if all class folders hold the same folders of other names: they may be no
        classes, but parts or variants of one set.
        """
        classes = self.layout.class_folders
        shared = shared_folders(self.root, classes)
        if not shared:
            return {}
        first, second, *_ = shared[min(shared)]
        folder = self.root / first
        inner = find_parts(folder, [name for name in subfolders(folder) if name in shared])
        if not inner or any(subfolders(folder / name) for name in inner.get("train", [])):
            raise BadInput(
                f"{folder} and {second} hold folders of the same names, such as "
                f"{min(shared)}; if these are the classes, choose one of the two, or call the two "
                "train and test"
            )
        part_of = {name: part for part, names in inner.items() for name in names}
        inside = ((name, name.split("/")[1]) for name in pictures)
        return {name: part_of[inner] for name, inner in inside if inner in part_of}

    def _list(self, folders: Iterable[str], classes: Sequence[str]) -> list[LabeledFile]:
        """Return the pictures of all classes in these folders."""
        for folder in folders:
            names = subfolders(self.root / folder, self.left_out)
            for name in {*names} - {*classes} if folder else ():
                path = f"{folder}/{name}"
                self.left_out[f"pictures in {path}"] += len(list_pictures(self.root, path))
            outside = list_pictures(self.root, folder, self.left_out, recursive=False)
            self.left_out[OUTSIDE] += len(outside)
        return [
            (picture, label)
            for label, name in enumerate(classes)
            for folder in folders
            for picture in list_pictures(
                self.root, f"{folder}/{name}" if folder else name, self.left_out
            )
        ]

    def _list_by_labels(self, path: str, labels: Path, classes: Sequence[str]) -> list[LabeledFile]:
        pictures = list_pictures(self.root, path, self.left_out)
        row_of = match_names(path, pictures, labels, read_rows(labels))
        label_of = {name: label for label, name in enumerate(classes)}
        for row in row_of.values():
            if row.label not in label_of:
                raise BadInput(
                    f"{labels}, line {row.number}: {row.label} is none of the classes of the "
                    "training pictures"
                )
        return [(name, label_of[row_of[name].label]) for name in pictures]

    def _too_few_classes(self, where: Path, classes: Sequence[str]) -> str:
        message = f"{where} holds no pictures in at least two folders, one for each class"
        folders = ("", *classes) if not self.layout.parts else self.layout.parts["train"]
        flat = {
            folder: count
            for folder in folders
            if (count := len(list_pictures(self.root, folder, recursive=False)))
        }
        for folder, count in flat.items():
            message += f"; {self.root / folder} holds {count:,} pictures outside of class folders"
        return message


def classes_without(files: Iterable[LabeledFile], classes: Sequence[str]) -> list[str]:
    """Return the names of the classes that none of the files shows."""
    labels = {label for _, label in files}
    return [name for label, name in enumerate(classes) if label not in labels]


def _annotations(folder: Path) -> Path | None:
    """Return the list of labels in a folder of Tiny ImageNet's form, or None."""
    path = folder / f"{folder.name}_annotations.txt"
    return path if path.is_file() else None
