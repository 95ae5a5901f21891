"""The validation part of a data set: it chooses the best checkpoint and when the rate falls.

The test images are then looked at once, when the run is over.
"""

import dataclasses
import hashlib
import os
from collections.abc import Sequence

import numpy as np

from ..config.errors import BadInput
from .examples import DataSet, Example, LabeledName, Source, example_name, labeled_names

DEFAULT_SHARE = 0.1
"""Of the training images, where the data have a test part and no validation part."""

VALIDATION_PARTS = {
    "none": "no images of their own",
    "own": "a part of the data",
    "test": "the only held-out part",
    "training": "images taken from the training part",
}
"""What messages call the values of `DataSet.validation`."""


class Subset:
    """Some examples of a source."""

    def __init__(self, source: Source, indices: Sequence[int] | np.ndarray) -> None:
        """Keep the source and the indices of its examples, in the order in which they count."""
        self.source, self.indices = source, np.asarray(indices, np.int64)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        """Return one example."""
        return self.source[int(self.indices[index])]

    def name(self, index: int) -> str:
        """Return the source's name for an example."""
        return example_name(self.source, int(self.indices[index]))

    def labeled_names(self) -> list[LabeledName]:
        """Return the name and the label of each example."""
        names = labeled_names(self.source)
        return [names[index] for index in self.indices]


def with_train_images(data: DataSet, count: int | None, seed: int) -> DataSet:
    """Return the data with `count` of their training images, or with all of them for None.

    They are of all classes in proportion, and drawn by the seed. Raises BadInput if the data have
    fewer.
    """
    if count is None or count == len(data.train):
        return data
    if count > len(data.train):
        total = f"{len(data.train):,}"
        raise BadInput(f"`train_images` {count:,}: the data have {total} training images")
    names = labeled_names(data.train)
    kept = _choose_by_class(names, count, seed, left=0)
    if missing := {label for _, label in names} - {names[index][1] for index in kept}:
        name = data.class_names[min(missing)]
        raise BadInput(f"`train_images` {count:,}: none of them would be of the class {name!r}")
    return dataclasses.replace(data, train=Subset(data.train, kept))


def with_validation(
    data: DataSet,
    validation: float | None,
    *,
    taken_from: str = "classes",
    seed: int = 0,
    default: float = DEFAULT_SHARE,
) -> DataSet:
    """Return the data with the validation part of a run, or with none.

    A part that the data have beside the test part is taken. Where the only held-out part is called
    val, it is validation part and test part in one, unless `validation` asks for a share. Otherwise
    a share of the training images is taken from them.

    Args:
      data: as their format holds them.
      validation: of the training images, a fraction below 1, or a number of images; 0 for no
        validation part at all, None to let the data decide.
      taken_from: "classes", as many of each class as its size asks for, drawn by the seed; "end",
        the last images.
      seed: which images are drawn. The draw depends on their names, and so is the same for a folder
        and the records made of it.
      default: what None takes of data with training and test images alone.

    Raises BadInput if `validation` leaves a class without training images.
    """
    own, only_val = data.val is not None, data.val is data.test
    if validation == 0:
        return dataclasses.replace(data, val=None, validation="none")
    if own and not only_val:
        return dataclasses.replace(data, validation="own")
    if own and validation is None:
        return dataclasses.replace(data, validation="test")
    share = default if validation is None else validation
    indices = _choose(data, share, taken_from, seed) if share else []
    if not len(indices):
        if validation is not None:
            raise BadInput(
                f"`validation` {validation:g}: the {len(data.train):,} training images are too few "
                "to take some from"
            )
        return dataclasses.replace(data, val=None, validation="none")
    rest = np.setdiff1d(np.arange(len(data.train)), indices)
    return dataclasses.replace(
        data,
        train=Subset(data.train, rest),
        val=Subset(data.train, indices),
        validation="training",
    )


def share_taken(data: DataSet, validation: float | None) -> float | None:
    """Return `validation` for the record of a run: what None has come to in these data."""
    if validation is None:
        return {"none": 0, "training": DEFAULT_SHARE}.get(data.validation)
    return validation


def _choose(data: DataSet, share: float, taken_from: str, seed: int) -> Sequence[int]:
    """Return the indices of the training images to validate on, ascending."""
    total = len(data.train)
    if share >= total:
        raise BadInput(f"`validation` {share:g} leaves nothing of {total:,} training images")
    images = labeled_names(data.train)
    if taken_from == "end":
        count = round(share * total) if share < 1 else int(share)
        start = total - count
        if emptied := [label for label, group in _by_class(images).items() if group[0] >= start]:
            raise BadInput(
                "`validation_from` end leaves no training images of the class "
                f"{data.class_names[emptied[0]]!r}, whose images are the last"
            )
        return range(start, total)
    return _choose_by_class(images, share, seed)


def _choose_by_class(
    images: Sequence[LabeledName], share: float, seed: int, *, left: int = 1
) -> list[int]:
    """Return the indices of a share of the images of each class, ascending, drawn by the seed."""
    groups = _by_class(images)
    counts = _counts({label: len(group) for label, group in groups.items()}, share, left)
    chosen: list[int] = []
    for label, group in groups.items():
        keys = {index: _key(images[index][0], seed) for index in group}
        chosen += sorted(group, key=keys.__getitem__)[: counts[label]]
    return sorted(chosen)


def _by_class(images: Sequence[LabeledName]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for index, (_, label) in enumerate(images):
        groups.setdefault(label, []).append(index)
    return groups


def _counts(sizes: dict[int, int], share: float, left: int = 1) -> dict[int, int]:
    """Return how many images of each class to take, in proportion to its size.

    The largest remainders are rounded up, so that the sum is right. Of a fraction, each class of
    two or more images gives at least one, and of each class at least `left` stay. Raises BadInput
    if a class would be left without images.
    """
    total, spare = sum(sizes.values()), sum(size - left for size in sizes.values())
    wanted = min(round(share * total), spare) if share < 1 else int(share)
    if wanted > spare:
        raise BadInput(
            f"`validation` {share:g} leaves a class without training images: at most {spare:,} "
            f"of {total:,} can be taken"
        )
    exact = {label: wanted * size / total for label, size in sizes.items()}
    least = 1 if share < 1 else 0
    counts = {
        label: min(max(int(exact[label]), least), size - left) for label, size in sizes.items()
    }
    by_remainder = sorted(sizes, key=lambda label: (int(exact[label]) - exact[label], label))
    while (missing := wanted - sum(counts.values())) > 0:
        room = [label for label in by_remainder if counts[label] < sizes[label] - left]
        for label in room[:missing]:
            counts[label] += 1
    return counts


def _key(name: str, seed: int) -> bytes:
    """Return a sort key that shuffles names: the same on any machine, in any version of NumPy."""
    return hashlib.sha256(os.fsencode(f"validation/{seed}/{name}")).digest()


def describe_validation(data: DataSet, validation: float | None, taken_from: str) -> str:
    """Return the line that says which images choose the best checkpoint."""
    test = f"the {len(data.test):,} test images"
    if data.val is None:
        return (
            f"validation: none; {test} choose the best checkpoint, too "
            "(--validation 0.1 takes a tenth of the training images for that)"
        )
    count, total = len(data.val), len(data.val) + len(data.train)
    if data.validation == "test":
        return (
            f"validation: {count:,} images of val, the only held-out part, choose the best "
            "checkpoint and give the final error (--validation 0.1 chooses by a tenth of the "
            "training images)"
        )
    if data.validation == "own":
        images = f"{count:,} images, a part of the data,"
        note = f"--validation {validation:g} is for data without" if validation else ""
    else:
        note = "--validation 0 trains on all"
        images = f"{count:,} of {total:,} training images, drawn by class and seed,"
        if taken_from == "end":
            images = f"the last {count:,} of {total:,} training images"
    return (
        f"validation: {images} choose the best checkpoint{f' ({note})' if note else ''}; "
        f"{test} are looked at once, at the end"
    )
