"""The 1,000 classes of ImageNet: their WordNet synsets, sorted, and what these are called.

The order is that of the outputs of torchvision's weights, Caffe's and those derived from them. The
development kit of ILSVRC numbers the classes in another one.
"""

import functools
from pathlib import Path

_FILE = Path(__file__).with_name("imagenet_classes.txt")


@functools.cache
def descriptions() -> dict[str, str]:
    """Return the descriptions by synset, in order: {"n01440764": "tench, Tinca tinca", ...}."""
    lines = _FILE.read_text("utf-8").splitlines()
    return dict(line.split("\t") for line in lines)


def class_names() -> tuple[str, ...]:
    """Return the descriptions by index. Two are the same: a crane is a bird and a machine."""
    return tuple(descriptions().values())
