"""ILSVRC's own lists: what a flat folder of validation pictures shows, and the devkit's classes.

Pictures of the training set lie in a folder for each synset. Those of the validation set lie in one
folder, and a list tells what they show. Of such lists there are five forms:

    490                                            the devkit's ground truth: numbers from 1 in its
                                                   own order of classes, by order of the pictures
    n01751748                                      synsets, by order of the pictures
    ILSVRC2012_val_00000001.JPEG 65                Caffe's: numbers from 0 in the order of synsets
    ILSVRC2012_val_00000001.JPEG n01751748         synsets
    ILSVRC2012_val_00000001,n01751748 111 108 ...  Kaggle's CSV, with a header; boxes are ignored
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from ...config.errors import BadInput
from .image_folder import TEST_NAMES, Pictures, pictures_in, subfolders, training_pictures


@dataclass(frozen=True)
class _Row:
    """A line of a list: which picture, None if that follows from the order, and what it shows."""

    number: int
    name: str | None
    shows: str


def find_ilsvrc(root: Path, labels: Path, synsets: tuple[str, ...] | None) -> Pictures:
    """Find ROOT/train/CLASS/* and the flat folder ROOT/val (or test) that the list `labels` is of.

    `synsets` is the devkit's order of classes, which its ground truth counts in. Classes are in
    the order of their names. Raises BadInput if the list does not fit the pictures.
    """
    if "train" not in subfolders(root):
        raise BadInput(f"{root} has no folder train; with --labels there must be one")
    train, classes = training_pictures(root, "train")
    rows = _read_rows(labels)
    folder, pictures = _flat_folder(root, labels, len(rows))
    if rows[0].name is None:
        by_picture = dict(zip(pictures, rows, strict=True))
    else:
        by_picture = _match(folder, pictures, labels, rows)
    places = {name: place for place, name in enumerate(classes)}
    test = [(name, _label(by_picture[name], labels, places, synsets)) for name in pictures]
    return Pictures(root, train, test, classes)


def in_order(found: Pictures, synsets: tuple[str, ...]) -> Pictures:
    """Number the classes as the devkit does. Raises BadInput if it lacks one of them."""
    present = set(found.class_names)
    if strangers := present - set(synsets):
        raise BadInput(f"--synsets lacks the class {min(strangers)} of {found.root}")
    classes = tuple(name for name in synsets if name in present)
    anew = [classes.index(name) for name in found.class_names]
    train, test = (
        [(picture, anew[label]) for picture, label in files] for files in (found.train, found.test)
    )
    return Pictures(found.root, train, test, classes)


class _Synset(NamedTuple):
    """A class of the devkit, by its number from 1, and what it is called, if the list says so."""

    number: int
    name: str
    words: str


def read_synsets(path: Path) -> tuple[str, ...]:
    """Return the synsets in the devkit's order, from its meta.mat or a text with one a line.

    A line of a text begins with the synset; if a number follows in all of them, as in the later
    devkits' map_clsloc.txt, it is the place in the order, from 1. Raises BadInput.
    """
    found = sorted(_synsets(path))
    names = {synset.name for synset in found}
    if [synset.number for synset in found] != list(range(1, len(found) + 1)):
        raise BadInput(f"{path} does not number its synsets 1, 2, 3 and so on")
    if len(names) != len(found) or not names:
        raise BadInput(f"{path} names {len(found)} synsets, and {len(names)} of them once")
    return tuple(synset.name for synset in found)


def read_words(path: Path) -> dict[str, str]:
    """Return what synsets are called, from the same files, as far as they say so. Raises BadInput.

    In a text that is the rest of the line, as "tench, Tinca tinca" of LOC_synset_mapping.txt or
    "kit_fox" of map_clsloc.txt.
    """
    return {synset.name: synset.words for synset in _synsets(path) if synset.words}


def _synsets(path: Path) -> list[_Synset]:
    return _of_meta_mat(path) if path.suffix == ".mat" else _of_text(path)


def _of_meta_mat(path: Path) -> list[_Synset]:
    """The leaves of the devkit's tree; what has children is no class."""
    from scipy.io import loadmat

    try:
        table = np.atleast_1d(loadmat(path, squeeze_me=True)["synsets"])
        [number] = [name for name in table.dtype.names if name.endswith("_ID")]
        leaves = table[table["num_children"].astype(int) == 0]
        words = leaves["words"] if "words" in table.dtype.names else [""] * len(leaves)
        numbered = zip(leaves[number], leaves["WNID"], words, strict=True)
        return [_Synset(int(n), str(name), str(said)) for n, name, said in numbered]
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception:  # scipy's reader raises what it likes on a damaged file
        raise BadInput(f"{path} is not the meta.mat of an ILSVRC devkit") from None


def _of_text(path: Path) -> list[_Synset]:
    lines = [line.split() for line in _lines(path)]
    numbered = all(len(line) > 1 and line[1].isdecimal() for line in lines)
    return [
        _Synset(int(line[1]), line[0], " ".join(line[2:]).replace("_", " "))
        if numbered
        else _Synset(number, line[0], " ".join(line[1:]).replace("_", " "))
        for number, line in enumerate(lines, 1)
    ]


def _read_rows(path: Path) -> list[_Row]:
    """The lines of a list of labels, all of one form. Raises BadInput."""
    lines = _lines(path)
    rows = []
    for number, line in enumerate(lines, 1):
        name, comma, rest = line.partition(",")
        words = [name.strip(), *rest.split()] if comma else line.split()
        if comma and number == 1 and words[0] == "ImageId":
            continue
        if comma and len(words) < 2:
            raise BadInput(f"{path}, line {number} does not say what {name} shows")
        named = len(words) > 1
        rows.append(_Row(number, words[0] if named else None, words[named]))
        if named != (rows[0].name is not None):
            raise BadInput(f"{path}, line {number} is of another form than the lines before it")
    if not rows:
        raise BadInput(f"{path} holds no labels")
    return rows


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise BadInput(f"{path} cannot be read: {why}") from None


def _flat_folder(root: Path, labels: Path, count: int) -> tuple[str, list[str]]:
    """The folder with as many pictures as labels: the unlabeled test set may be there, too."""
    flat = {name: pictures_in(root, name) for name in TEST_NAMES if (root / name).is_dir()}
    fitting = [name for name, pictures in flat.items() if len(pictures) == count]
    if len(fitting) != 1:
        held = " and ".join(f"{root / name} holds {len(p):,}" for name, p in flat.items())
        raise BadInput(
            f"{labels} labels {count:,} pictures, and {held or f'{root} has no folder val'}"
        )
    return fitting[0], flat[fitting[0]]


def _match(folder: str, pictures: list[str], labels: Path, rows: list[_Row]) -> dict[str, _Row]:
    """The row of each picture, by its name or its name without the ending."""
    by_name: dict[str, _Row] = {}
    for row in rows:
        assert row.name is not None
        if by_name.setdefault(row.name, row) is not row:
            raise BadInput(f"{labels}, line {row.number} names {row.name} for the second time")
    found = {}
    for picture in pictures:
        path = PurePosixPath(picture)
        row = by_name.get(path.name) or by_name.get(path.stem)
        if row is None:
            raise BadInput(f"{labels} does not label {path.name}, which {folder} holds")
        found[picture] = row
    return found


def _label(row: _Row, labels: Path, places: dict[str, int], synsets: tuple[str, ...] | None) -> int:
    """What a row says the picture shows, as a place among the classes. Raises BadInput."""
    if row.shows in places:
        return places[row.shows]
    where = f"{labels}, line {row.number}: {row.shows}"
    if not row.shows.isdecimal():
        raise BadInput(f"{where} is none of the classes of the training pictures")
    if row.name is not None:
        if int(row.shows) < len(places):
            return int(row.shows)
        raise BadInput(f"{where} should be a class, or a number from 0 to {len(places) - 1}")
    if synsets is None or (list(synsets) == sorted(synsets) and len(synsets) > 9):
        raise BadInput(
            f"{labels} counts the classes in the devkit's order, which is not the sorted one; "
            "--synsets should name the meta.mat beside it"
        )
    if not 1 <= int(row.shows) <= len(synsets):
        raise BadInput(f"{where} should be a number from 1 to {len(synsets)}")
    synset = synsets[int(row.shows) - 1]
    if synset not in places:
        raise BadInput(f"{where}, {synset}, is none of the classes of the training pictures")
    return places[synset]
