"""Images that a format holds as arrays."""

from pathlib import Path

import numpy as np
from PIL import Image

from ...config.errors import BadInput
from ..examples import Example, LabeledName
from .image_resize import ResizeRule

SPLITS = ("train", "test")


class ArraySource:
    """Gray images [height, width] or RGB images [height, width, 3], and their labels."""

    def __init__(
        self,
        images: np.ndarray | list[np.ndarray],
        labels: np.ndarray,
        size: int,
        resize: ResizeRule,
    ) -> None:
        """Keep the arrays; `resize` brings an image to `size` when it is read."""
        self.images, self.labels, self.size, self.resize = images, labels, size, resize

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        """Return the image, gray repeated as red, green and blue, and its label."""
        image = self.images[index]
        if image.shape[:2] != (self.size, self.size):
            image = self.resize(Image.fromarray(image), self.size)
        if image.ndim == 2:
            image = np.stack([image] * 3, axis=-1)
        return {"image": image, "label": int(self.labels[index])}

    def labeled_names(self) -> list[LabeledName]:
        """Return the name and the label of each image; no image is decoded."""
        return [(f"image {index}", int(label)) for index, label in enumerate(self.labels)]


def check_labels(directory: Path, train: np.ndarray, test: np.ndarray) -> None:
    """Raise BadInput if a label occurs in only one of the two splits."""
    for labels, others, names in ((train, test, SPLITS), (test, train, SPLITS[::-1])):
        if len(missing := np.setdiff1d(labels, others)):
            index = int(np.argmax(labels == missing[0]))
            raise BadInput(
                f"{directory}: {names[0]} image {index} has the label {missing[0]}, "
                f"and no {names[1]} image has it"
            )
