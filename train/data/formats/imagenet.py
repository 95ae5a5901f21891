"""The lists of ILSVRC: labels of a flat folder of validation pictures, and the devkit's classes.

Training pictures are in one folder per synset. Validation pictures are in one flat folder, and a
list gives their labels. There are five forms of it:

    490                                            the devkit's ground truth: numbers from 1 in its
                                                   own order of classes, in the order of pictures
    n01751748                                      synsets, in the order of pictures
    ILSVRC2012_val_00000001.JPEG 65                Caffe's: numbers from 0 in the order of synsets
    ILSVRC2012_val_00000001.JPEG n01751748         synsets
    ILSVRC2012_val_00000001,n01751748 111 108 ...  Kaggle's CSV, with a header; boxes are ignored
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from ...config.errors import BadInput, list_some
from .class_folders import ClassFolders, classes_without
from .folder_layout import Layout, find_layout
from .image_folder import PictureSet
from .label_list import Row, match_names, read_lines, read_rows
from .picture_files import list_pictures

_META_MAT_BYTES = 2**26
"""That a meta.mat may unpack to: the devkit of 2012 has half a megabyte."""


def find_imagenet(root: Path, labels: Path, synsets: tuple[str, ...] | None) -> PictureSet:
    """Find ROOT/train/CLASS/* and the flat folder ROOT/val (or test) that a list labels.

    Classes are sorted by name.

    Args:
      root: the folder of the pictures.
      labels: the list, in any of the five forms.
      synsets: the devkit's order of classes, by which its ground truth numbers them.

    Raises BadInput if the list does not fit the pictures.
    """
    layout = find_layout(root)
    if "train" not in layout.parts:
        raise BadInput(f"{root} has no folder train, which `labels` needs")
    train, classes = ClassFolders(layout).training_pictures()
    rows = read_rows(labels)
    folder, pictures = _find_flat_folder(layout, labels, len(rows))
    if rows[0].name is None:
        row_of = dict(zip(pictures, rows, strict=True))
    else:
        row_of = match_names(folder, pictures, labels, rows)
    class_index = {name: index for index, name in enumerate(classes)}
    test = [(name, _parse_label(row_of[name], labels, class_index, synsets)) for name in pictures]
    if empty := classes_without(test, classes):
        raise BadInput(f"{labels} labels no picture of the class {list_some(empty)}")
    is_val = folder in layout.parts.get("val", ())
    return PictureSet(layout.root, train, test, classes, only_val=is_val)


def reorder_classes(pictures: PictureSet, synsets: tuple[str, ...]) -> PictureSet:
    """Number the classes in the devkit's order. Raises BadInput if `synsets` lacks a class."""
    present = set(pictures.class_names)
    if unknown := present - set(synsets):
        raise BadInput(f"`synsets` lacks the class {min(unknown)} of {pictures.root}")
    classes = tuple(name for name in synsets if name in present)
    new_label = [classes.index(name) for name in pictures.class_names]
    train, test, val = (
        [(name, new_label[label]) for name, label in files]
        for files in (pictures.train, pictures.test, pictures.val)
    )
    return dataclasses.replace(
        pictures, train=train, test=test, val=tuple(val), class_names=classes
    )


class _Synset(NamedTuple):
    """A class of the devkit."""

    number: int  # from 1, in the devkit's order
    name: str
    description: str  # "" if the list has none


def read_synsets(path: Path) -> tuple[str, ...]:
    """Return the synsets in the devkit's order, from its meta.mat or a text with one a line.

    A line of a text begins with the synset. If each continues with a number, as in map_clsloc.txt
    of later devkits, this is the place in the order, from 1. Raises BadInput.
    """
    synsets = sorted(_read_list(path))
    names = {synset.name for synset in synsets}
    if [synset.number for synset in synsets] != list(range(1, len(synsets) + 1)):
        raise BadInput(f"{path} does not number its synsets 1, 2, 3 and so on")
    if len(names) != len(synsets) or not names:
        raise BadInput(f"{path} names {len(synsets)} synsets, {len(names)} of them different")
    return tuple(synset.name for synset in synsets)


def read_descriptions(path: Path) -> dict[str, str]:
    """Return the descriptions of synsets, by name, from the same files. Raises BadInput.

    In a text it is the rest of the line: "tench, Tinca tinca" in LOC_synset_mapping.txt, "kit_fox"
    in map_clsloc.txt. Synsets without a description are left out.
    """
    return {synset.name: synset.description for synset in _read_list(path) if synset.description}


def _read_list(path: Path) -> list[_Synset]:
    return _read_meta_mat(path) if path.suffix == ".mat" else _read_text(path)


def _read_meta_mat(path: Path) -> list[_Synset]:
    """Return the leaves of the devkit's tree; a synset with children is not a class."""
    from alexnet_jax.weights.files.matlab import read_mat  # imports JAX, which takes a second

    try:
        rows = read_mat(path, max_bytes=_META_MAT_BYTES)["synsets"]
        rows = rows if isinstance(rows, list) else [rows]
        [number] = [field for field in rows[0] if field.endswith("_ID")]
        synsets = [
            _Synset(int(row[number]), row["WNID"], row.get("words", ""))
            for row in rows
            if int(row["num_children"]) == 0
        ]
        if all(isinstance(text, str) for _, *texts in synsets for text in texts):
            return synsets
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception:  # the reader of a damaged file can raise anything
        pass
    raise BadInput(f"{path} is not the meta.mat of an ILSVRC devkit")


def _read_text(path: Path) -> list[_Synset]:
    lines = [line.split() for line in read_lines(path)]
    numbered = all(len(line) > 1 and line[1].isdecimal() for line in lines)
    return [
        _Synset(int(line[1]), line[0], " ".join(line[2:]).replace("_", " "))
        if numbered
        else _Synset(number, line[0], " ".join(line[1:]).replace("_", " "))
        for number, line in enumerate(lines, 1)
    ]


def _find_flat_folder(layout: Layout, labels: Path, count: int) -> tuple[str, list[str]]:
    """Return the folder with `count` pictures, and these: the test set may lie beside it."""
    root, parts = layout.root, layout.parts
    folders = [*layout.unlabeled, *parts.get("test", ()), *parts.get("val", ())]
    flat = {name: list_pictures(root, name) for name in folders}
    fitting = [name for name, pictures in flat.items() if len(pictures) == count]
    if len(fitting) != 1:
        counts = " and ".join(f"{root / name} holds {len(p):,}" for name, p in flat.items())
        raise BadInput(
            f"{labels} labels {count:,} pictures, and {counts or f'{root} has no folder val'}"
        )
    return fitting[0], flat[fitting[0]]


def _parse_label(
    row: Row, labels: Path, class_index: dict[str, int], synsets: tuple[str, ...] | None
) -> int:
    """Return the index of the class that a row names. Raises BadInput."""
    if row.label in class_index:
        return class_index[row.label]
    where = f"{labels}, line {row.number}: {row.label}"
    if not row.label.isdecimal():
        raise BadInput(f"{where} is none of the classes of the training pictures")
    number = int(row.label)
    if row.name is not None:
        if number < len(class_index):
            return number
        raise BadInput(f"{where} should be a class, or a number from 0 to {len(class_index) - 1}")
    # The devkit's order is shuffled: for ten synsets it is sorted with a chance of 1 in 10!.
    if synsets is None or (list(synsets) == sorted(synsets) and len(synsets) > 9):
        raise BadInput(
            f"{labels} numbers the classes in the devkit's order, which is not the sorted one; "
            "`synsets` should name the meta.mat beside it"
        )
    if not 1 <= number <= len(synsets):
        raise BadInput(f"{where} should be a number from 1 to {len(synsets)}")
    synset = synsets[number - 1]
    if synset not in class_index:
        raise BadInput(f"{where}, {synset}, is none of the classes of the training pictures")
    return class_index[synset]
