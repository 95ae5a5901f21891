"""The images of a folder with their names and labels: pictures at any depth, or a data set."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.dataset import is_image_folder, open_data
from ..data.examples import DataSet, Source, example_name
from ..data.formats.folder_layout import find_layout
from .image_files import find_pictures
from .predictor import Predictor


class LabeledImage(NamedTuple):
    """An image, uint8 [size, size, 3], and its label; -1 if it is in no folder of a class."""

    image: np.ndarray
    label: int


class LabeledImages(NamedTuple):
    """The images of a folder, which are decoded when they are read."""

    names: Sequence[str]
    """Paths below the folder with slashes, or "train/image 0" of a data set without files."""
    class_names: tuple[str, ...]
    read: Callable[[int], LabeledImage]
    """By index. Raises BadPicture if the image cannot be decoded."""


def open_folder(folder: Path, predictor: Predictor) -> LabeledImages:
    """Open the images of a folder, resized for a network.

    The classes of a data set in shards, IDX or CIFAR's files are its own. A picture's class is the
    class folder that it is in; `folder_layout` finds these.

    Raises BadInput if there are no images, or the data set is damaged.
    """
    if folder.is_dir() and not is_image_folder(folder):
        return _of_data_set(
            open_data(folder, "auto", predictor.stored_size, resize=predictor.resize)
        )
    return _of_pictures(folder, predictor)


def _of_data_set(data: DataSet) -> LabeledImages:
    examples: list[tuple[Source, int]] = []
    names = []
    splits = {"train": data.train, "val": data.val, "test": data.test}
    if data.val is data.test:  # one part
        del splits["val"]
    for split, source in splits.items():
        if source is None:
            continue
        examples += [(source, index) for index in range(len(source))]
        names += [f"{split}/{example_name(source, index)}" for index in range(len(source))]

    def read(number: int) -> LabeledImage:
        source, index = examples[number]
        example = source[index]
        return LabeledImage(example["image"], example["label"])

    return LabeledImages(names, data.class_names, read)


def _of_pictures(folder: Path, predictor: Predictor) -> LabeledImages:
    paths = find_pictures([folder])
    root, classes = folder.parent, [None]
    if folder.is_dir():  # not a single picture
        root, layout = folder, find_layout(folder)
        classes = [layout.class_of(path) for path in paths]
    names = [path.relative_to(root).as_posix() for path in paths]
    class_names = tuple(sorted({name for name in classes if name is not None}))
    labels = {name: label for label, name in enumerate(class_names)} | {None: -1}

    def read(number: int) -> LabeledImage:
        return LabeledImage(predictor.read_picture(paths[number]), labels[classes[number]])

    return LabeledImages(names, class_names, read)
