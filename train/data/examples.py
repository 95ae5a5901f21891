"""Types shared by this package: an example, a source of examples, and a data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypedDict

import numpy as np

from ..config.errors import BadInput


class Example(TypedDict):
    """One example: `image` is uint8 [size, size, 3], RGB."""

    image: np.ndarray
    label: int


class Source(Protocol):
    """Examples by index. Any class with these two methods can be trained on.

    A source may also have `name(index)`, which messages call an example by (see `example_name`),
    and `labeled_names()`, which spares reading all examples for their labels.
    """

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, index: int) -> Example:
        """Return one example, the same at every call."""
        ...


def example_name(source: Source, index: int) -> str:
    """Return the source's name for an example, such as its file, or else "image INDEX"."""
    name = getattr(source, "name", None)
    return str(name(index)) if callable(name) else f"image {index}"


LabeledName = tuple[str, int]
"""The name of an example, as `example_name` returns it, and its label."""


def labeled_names(source: Source) -> list[LabeledName]:
    """Return the name and the label of each example, read one by one if there is no other way."""
    known = getattr(source, "labeled_names", None)
    if known is not None:
        return list(known())
    return [(example_name(source, index), source[index]["label"]) for index in range(len(source))]


class WrappedSource:
    """A source around another one, which names the same examples. Subclasses read them."""

    def __init__(self, source: Source) -> None:
        """Keep the source."""
        self.source = source

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.source)

    def name(self, index: int) -> str:
        """Return the source's name for an example."""
        return example_name(self.source, index)


class CheckedSource(WrappedSource):
    """A source of a user's own, each example of which is checked when it is read."""

    def __init__(self, source: Source, size: int, classes: int, split: str) -> None:
        """Take a source of images of `size` pixels square, and check its first example.

        Raises BadInput, naming the `split`, for anything else.
        """
        if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
            raise BadInput(
                f"`data`: the {split} source should have __len__ and __getitem__, "
                f"and {type(source).__name__} does not"
            )
        if not len(source):
            raise BadInput(f"`data`: the {split} source holds no examples")
        super().__init__(source)
        self.size, self.classes, self.split = size, classes, split
        self[0]

    def __getitem__(self, index: int) -> Example:
        """Return an example. Raises BadInput, with its index, unless it is an `Example`."""
        example, which = self.source[index], f"{self.split} example {index}"
        if not isinstance(example, Mapping) or not {"image", "label"} <= example.keys():
            raise BadInput(f"`data`: {which} should be a dict with an image and a label")
        image, label = example["image"], example["label"]
        shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", type(image).__name__)
        if shape != (self.size, self.size, 3) or dtype != np.uint8:
            raise BadInput(
                f"`data`: the image of {which} should be uint8 {[self.size, self.size, 3]}, "
                f"not {dtype} {[*shape] if shape else ''}".rstrip()
            )
        return {"image": np.asarray(image), "label": self._checked_label(label, which)}

    def labeled_names(self) -> list[LabeledName]:
        """Return the name and the label of each example; the source may know them unread."""
        if not hasattr(self.source, "labeled_names"):
            return [(self.name(index), self[index]["label"]) for index in range(len(self))]
        images = labeled_names(self.source)
        if len(images) != len(self):
            raise BadInput(
                f"`data`: labeled_names of the {self.split} source should return one pair for each "
                f"of {len(self):,} examples, not {len(images):,}"
            )
        return [
            (str(name), self._checked_label(label, f"{self.split} example {index}"))
            for index, (name, label) in enumerate(images)
        ]

    def _checked_label(self, label: object, which: str) -> int:
        if not isinstance(label, int | np.integer) or not 0 <= label < self.classes:
            raise BadInput(
                f"`data`: the label of {which} should be an int from 0 to {self.classes - 1}, "
                f"not {label!r}"
            )
        return int(label)


class ImageStatistics(NamedTuple):
    """The mean image (§2) and the PCA of all pixels' colors (§4.1), for values from 0 to 255."""

    mean: np.ndarray  # float32 [size, size, 3]
    variances: np.ndarray  # float64 [3], of the principal components, ascending
    components: np.ndarray  # float64 [3, 3], one in each column; the rows are red, green and blue


@dataclass(frozen=True)
class DataSet:
    """Training, validation and test examples, and the name of each class."""

    train: Source
    test: Source
    class_names: tuple[str, ...]
    val: Source | None = None
    """Validation examples; `test` itself where the data's only held-out part is called val."""
    validation: Literal["none", "own", "test", "training"] = "none"
    """What a run validates on: a part of the data, `test`, or images taken from `train`."""
    drawn_test: str | None = None
    """If the seed drew the test examples, out of a folder without a split: a digest of their names.
    It tells whether other examples would be drawn now."""
    statistics: ImageStatistics | None = None
    """Statistics of all training images, if they have been measured; those taken for validation
    count, too."""
    class_descriptions: dict[str, str] = field(default_factory=dict)
    """Readable descriptions, by class name; the class names of ILSVRC are synsets."""
    notes: tuple[str, ...] = ()
    """What was found in a folder and what was left out, a line each, for commands to print."""

    @property
    def random_split(self) -> bool:
        """Whether the seed drew the test examples."""
        return self.drawn_test is not None

    @property
    def selection(self) -> Source:
        """The examples that choose the best checkpoint: validation's or, without them, test's."""
        return self.test if self.val is None else self.val

    def record(self) -> dict[str, object]:
        """Return what a run folder keeps to recognize the data set and to describe its classes."""
        descriptions, val = self.class_descriptions, self.val
        taken = len(val) if val is not None and self.validation == "training" else 0
        return {
            "train": len(self.train) + taken,  # as many as the data hold
            "test": len(self.test),
            **({"val": len(val), "validation": self.validation} if val is not None else {}),
            **({"drawn_test": self.drawn_test} if self.drawn_test else {}),
            "class_names": list(self.class_names),
            **({"words": descriptions} if descriptions else {}),
        }
