"""The 1,000 classes of ImageNet: their WordNet synsets, and what these are called, in two orders.

The outputs of torchvision's weights, Caffe's and those derived from them are in the order of the
synsets' names. The original program's are in that of `ILSVRC2012_ID`, the numbers of ILSVRC's
development kit.
"""

import functools
from pathlib import Path

_FILE = Path(__file__).with_name("imagenet_classes.txt")


@functools.cache
def descriptions(*, devkit: bool = False) -> dict[str, str]:
    """Return the descriptions by synset, in order: {"n01440764": "tench, Tinca tinca", ...}.

    Args:
      devkit: whether the order is that of the development kit.
    """
    rows = [line.split("\t") for line in _FILE.read_text("utf-8").splitlines()]
    if devkit:
        rows.sort(key=lambda row: int(row[1]))
    return {synset: words for synset, _, words in rows}


def class_names(*, devkit: bool = False) -> tuple[str, ...]:
    """Return the descriptions by index. Two are the same: a crane is a bird and a machine."""
    return tuple(descriptions(devkit=devkit).values())
