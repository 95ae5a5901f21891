"""The test images of a network: resized by its rule, and labeled by its own numbers of classes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ..config.config import Config
from ..config.errors import BadInput
from ..data.dataset import is_image_folder, open_data
from ..data.examples import DataSet, Example, Source, example_name
from ..data.formats import image_folder
from ..data.formats.image_folder import TEST_NAMES, PictureSource
from .predictor import Predictor


def open_for(predictor: Predictor, run: Predictor | None, directory: Path | None) -> DataSet:
    """Open the data that a network is tested on.

    Args:
      predictor: the network, whose rule resizes the pictures.
      run: the run among those that are tested, which knows its data and its split; None without.
      directory: other data than the run's; None for those.

    Raises BadInput if there are no such data.
    """
    config = (run and run.config) or Config()
    path, kind = (config.data.path, config.data.kind) if directory is None else (directory, "auto")
    if run is None and path is not None and is_image_folder(path):
        return _all_pictures(path, predictor)
    data = open_data(
        path,
        kind,
        predictor.stored_size,
        held_out=config.data.held_out,
        seed=config.recipe.seed,
    )
    if predictor.config:
        return data
    if isinstance(data.test, PictureSource):
        test = PictureSource(data.test.root, data.test.files, data.test.size, predictor.resize)
        return DataSet(test, test, data.class_names, class_descriptions=data.class_descriptions)
    print(
        f"note: the images in {path} are stored, and not resized by the rule of {predictor.source}",
        file=sys.stderr,
    )
    return data


def _all_pictures(directory: Path, predictor: Predictor) -> DataSet:
    """The pictures in DIR/test/CLASS (or val), else all of those in DIR/CLASS."""
    folders = (directory / name for name in TEST_NAMES)
    root = next((path for path in folders if image_folder.subfolders(path)), directory)
    if root is directory and "train" in image_folder.subfolders(directory):
        image_folder.find_pictures(directory)  # raises: what is beside it are no classes
    files, classes = image_folder.training_pictures(root, "")
    source = PictureSource(root, files, predictor.stored_size, predictor.resize)
    return DataSet(source, source, classes)


def relabel(predictor: Predictor, data: DataSet) -> Source:
    """Return the test images with the network's numbers of their classes.

    Raises BadInput, for weights that are not a run's, if the network does not know a class.
    """
    names = data.class_names
    if predictor.config or names == predictor.class_names:
        return data.test
    indices = [predictor.class_index(name) for name in names]
    numbered = predictor.class_names == tuple(map(str, range(len(names))))
    if None in indices and numbered:  # a file without names: the classes are in its order
        indices = [*range(len(names))]
    elif None in indices and all(name.isdecimal() for name in names):
        indices = [int(name) for name in names]
    known = [index for index in indices if index is not None]
    if len({*known}) < len(names) or max(known) >= len(predictor.class_names):
        raise BadInput(_unknown_class(predictor, names, indices))
    return RelabeledSource(data.test, known)


def _unknown_class(
    predictor: Predictor, names: Sequence[str], indices: Sequence[int | None]
) -> str:
    known = f"such as {predictor.class_names[0]}"
    if predictor.class_descriptions:
        known += f" or {predictor.class_label(0).split(',')[0]}"
    if predictor.class_names[0] == "0":
        known = f"{len(predictor.class_names)} without names"
    unknown = [name for name, index in zip(names, indices, strict=True) if index is None]
    if unknown:
        return f"`data`: {unknown[0]!r} is none of the classes of {predictor.source}, {known}"
    return (
        f"`data`: its {len(names)} classes are not as many of those of {predictor.source}, {known}"
    )


class RelabeledSource:
    """A source whose labels are numbers of other classes."""

    def __init__(self, source: Source, labels: Sequence[int]) -> None:
        """Take the source, and the new label of each of its labels."""
        self.source, self.labels = source, labels

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        """Return an example with its new label."""
        example = self.source[index]
        return {"image": example["image"], "label": self.labels[example["label"]]}

    def name(self, index: int) -> str:
        """Return the source's name for an example."""
        return example_name(self.source, index)
