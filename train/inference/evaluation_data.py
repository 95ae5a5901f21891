"""The images that a network is tested on: resized by its rule, labeled by its own classes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ..config.config import Config
from ..config.errors import BadInput
from ..data.dataset import is_image_folder, open_data
from ..data.examples import DataSet, Example, Source, example_name
from ..data.formats import manifest
from ..data.formats.image_folder import PictureSource, evaluation_pictures
from ..data.formats.image_resize import RULES
from ..data.held_out import leave_out_corrupt
from ..data.validation import with_train_images, with_validation
from ..runtime.cores import decoding_threads
from .predictor import Predictor

_FIELDS = {"test": "test", "validation": "val", "training": "train"}
"""Of `DataSet`, by the parts of the data that a network can be tested on."""


def open_for(
    predictor: Predictor, run: Predictor | None, directory: Path | None, part: str = "test"
) -> DataSet:
    """Open the data that a network is tested on.

    Args:
      predictor: the network, whose rule resizes the pictures.
      run: the run among those that are tested, which knows its data and its split; None without.
      directory: other data than the run's; None for those.
      part: "test", "validation" or "training", whose images are to be used.

    Raises BadInput if there are no such data.
    """
    config = (run and run.config) or Config()
    path, kind = (config.data.path, config.data.kind) if directory is None else (directory, "auto")
    if run is None and part == "test" and path is not None and is_image_folder(path):
        return _all_pictures(path, predictor)
    data = open_data(
        path,
        kind,
        predictor.stored_size,
        resize=predictor.resize,
        held_out=config.data.held_out,
        seed=config.recipe.seed,
    )
    if directory is None or part != "test":  # a part of the images that it trained on
        data = with_train_images(data, config.recipe.train_images, config.recipe.seed)
    if part != "test":
        data = _as_trained(data, part, run, config, path)
    if bad := config.data.bad_images:  # the run left out the same
        threads = decoding_threads(config.data.threads)
        data = leave_out_corrupt(data, bad, threads, [_FIELDS[part]], notes=sys.stderr)
    _note_other_rule(path, kind, predictor)
    return data


def _note_other_rule(path: Path | None, kind: str, predictor: Predictor) -> None:
    """Say so if the images are stored, and the network's rule would have made others."""
    if path is not None and (kind == "folder" or is_image_folder(path)):
        return
    other = ""
    if path is not None and manifest.exists(path):
        rule = manifest.read(path).resize
        if RULES[rule] == predictor.resize:
            return
        other = f", but by {rule}"
    elif predictor.config:  # a run's arrays, which it has learned from as they are
        return
    print(
        f"note: the images in {path or 'the package'} are stored, and not resized by the rule of "
        f"{predictor.source}{other}",
        file=sys.stderr,
    )


def _all_pictures(directory: Path, predictor: Predictor) -> DataSet:
    """The pictures in DIR/test/CLASS (or val), else all of those in DIR/CLASS."""
    pictures = evaluation_pictures(directory)
    size = predictor.stored_size
    source = PictureSource(pictures.root, pictures.test, size, predictor.resize)
    return DataSet(source, source, pictures.class_names)


def _as_trained(
    data: DataSet, part: str, run: Predictor | None, config: Config, path: Path | None
) -> DataSet:
    """Return the data with the validation part that the run had, taken from the training part.

    Raises BadInput if it had no images of "validation" or "training".
    """
    recipe = config.recipe
    data = with_validation(
        data,
        recipe.validation,
        taken_from=recipe.validation_from,
        seed=recipe.seed,
        default=0,
    )
    missing = data.val is None if part == "validation" else run is None and data.random_split
    if missing:
        owner = run.source if run and recipe.validation == 0 else path
        raise BadInput(f"`part` {part}: {owner} has no {part} images")
    return data


def relabel(predictor: Predictor, data: DataSet, part: str = "test") -> Source:
    """Return the images of a part of the data with the network's numbers of their classes.

    Raises BadInput, for weights that are not a run's, if the network does not know a class.
    """
    names, source = data.class_names, getattr(data, _FIELDS[part])
    if predictor.config or names == predictor.class_names:
        return source
    indices = [predictor.class_index(name) for name in names]
    numbered = predictor.class_names == tuple(map(str, range(len(names))))
    if None in indices and numbered:  # a file without names: the classes are in its order
        indices = [*range(len(names))]
    elif None in indices and all(name.isdecimal() for name in names):
        indices = [int(name) for name in names]
    known = [index for index in indices if index is not None]
    if len({*known}) < len(names) or max(known) >= len(predictor.class_names):
        raise BadInput(_unknown_class(predictor, names, indices))
    return RelabeledSource(source, known)


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
