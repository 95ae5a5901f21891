"""Picture files in a folder for each class: which there are, and what they show."""

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...config.errors import BadInput

TEST_NAMES = ("test", "val", "validation")
"""What the folder of test pictures may be called."""

PictureFile = tuple[str, int]
"""A path below the root, with slashes, and the label. A string, for there are millions."""


@dataclass(frozen=True)
class Pictures:
    """The picture files of a data set below `root`, and the name of each class."""

    root: Path
    train: list[PictureFile]
    test: list[PictureFile]
    class_names: tuple[str, ...]
    drawn: bool = False
    """Whether the seed drew the test pictures."""


def find_pictures(root: Path, *, held_out: float = 0.1, seed: int = 0) -> Pictures:
    """Find ROOT/train/CLASS/* and ROOT/test/CLASS/* (or val), or ROOT/CLASS/*.

    Of the latter the fraction `held_out` of each class becomes the test pictures; the seed decides
    which. Classes and pictures are in the order of their names. Raises BadInput if there is no such
    data there, or if a class has no test pictures.
    """
    names = set(subfolders(root))
    beside = next((n for n in TEST_NAMES if n in names and subfolders(root / n)), None)
    if "train" in names and beside is None:
        if flat := [name for name in TEST_NAMES if name in names and pictures_in(root, name)]:
            raise BadInput(
                f"{root / flat[0]} holds pictures that are in no class's folder; train.prepare "
                "reads them with --labels, a list of what they show"
            )
        wanted = " or ".join(f"{name}/CLASS" for name in TEST_NAMES)
        raise BadInput(f"{root} has a folder train, but no {wanted}")
    if beside and "train" not in names:
        raise BadInput(f"{root} has a folder {beside}, but none named train")
    if "train" in names:
        train, classes = training_pictures(root, "train")
        strangers = set(subfolders(root / str(beside))) - set(classes)
        if strangers:
            here, there = root / str(beside), root / "train"
            raise BadInput(f"{here} has a class {min(strangers)!r} that {there} lacks")
        test = pictures_by_class(root, str(beside), classes)
    else:
        files, classes = training_pictures(root, "")
        drawn = _hold_out(files, held_out, seed)
        train = [file for file in files if file not in drawn]
        test = [file for file in files if file in drawn]
    if lacking := set(range(len(classes))) - {label for _, label in test}:
        name = classes[min(lacking)]
        if beside:
            raise BadInput(f"{root / beside} holds no pictures of the class {name!r} to test on")
        raise BadInput(f"{root / name} holds one picture, and needs another to test on")
    return Pictures(root, train, test, classes, drawn="train" not in names)


def training_pictures(root: Path, below: str) -> tuple[list[PictureFile], tuple[str, ...]]:
    """Return the pictures in ROOT/BELOW/CLASS, and the classes, sorted by name.

    Raises BadInput if there are fewer than two classes, or one without pictures.
    """
    classes = subfolders(root / below)
    if len(classes) < 2:
        raise BadInput(
            f"{root} holds no IDX files and no pictures in at least two folders, "
            "DIR/train/CLASS and DIR/test/CLASS or DIR/CLASS, and no batches of CIFAR's binary form"
        )
    files = pictures_by_class(root, below, classes)
    missing = set(range(len(classes))) - {label for _, label in files}
    if missing:
        raise BadInput(f"{root / below / classes[min(missing)]} holds no pictures")
    return files, classes


def subfolders(directory: Path) -> tuple[str, ...]:
    """Return the names of the folders in a folder, sorted, hidden ones left out."""
    return tuple(sorted(path.name for path in directory.glob("[!.]*") if path.is_dir()))


def pictures_by_class(root: Path, below: str, classes: tuple[str, ...]) -> list[PictureFile]:
    """Return every file below ROOT/BELOW/CLASS that ends as a picture does, in a fixed order.

    Hidden files and folders are left out. Raises BadInput if a folder cannot be read.
    """
    found = []
    for label, name in enumerate(classes):
        folder = f"{below}/{name}" if below else name
        found += [(picture, label) for picture in _pictures(root, folder)]
    return found


def pictures_in(root: Path, folder: str) -> list[str]:
    """Return the pictures that lie in ROOT/FOLDER itself, in the order of their names."""
    return _pictures(root, folder, deep=False)


def pictures_below(folder: Path) -> list[Path]:
    """Return all pictures below a folder, in the order of their names. Raises BadInput."""
    return [folder / name for name in _pictures(folder, ".")]


def _pictures(root: Path, folder: str, *, deep: bool = True) -> list[str]:
    endings = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = []
    # os.walk asks the file system once for each folder; pathlib's glob, once for each file.
    for place, folders, files in os.walk(root / folder, onerror=_refuse):
        folders[:] = [name for name in folders if deep and not name.startswith(".")]
        below = Path(place).relative_to(root).as_posix()
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in endings:
                found.append(f"{below}/{name}")
    return sorted(found, key=lambda name: name.split("/"))


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):  # a class without a folder, which is said elsewhere
        return
    raise BadInput(f"{error.filename} cannot be read: {error.strerror}")


def _hold_out(files: list[PictureFile], fraction: float, seed: int) -> set[PictureFile]:
    """A fraction of each class, of two or more pictures at least one and never all.

    The names, hashed with the seed, give the order in which pictures are drawn: so one that is
    taken out, as a broken one is, sends at most one other of its class across.
    """
    held_out: set[PictureFile] = set()
    for _, group in itertools.groupby(files, key=lambda file: file[1]):
        pictures = sorted(group, key=lambda file: draw(file, seed))
        count = max(1, round(fraction * len(pictures)))
        held_out.update(pictures[: min(count, len(pictures) - 1)])
    return held_out


def draw(file: PictureFile, seed: int) -> bytes:
    """Return what to sort by, to shuffle: the same wherever the folder is, on any machine."""
    return hashlib.sha256(os.fsencode(f"{seed}/{file[0]}")).digest()
