"""Files that were published with a digest, so that they can be called by their names."""

import hashlib
from pathlib import Path
from typing import NamedTuple


class Published(NamedTuple):
    """A file, and how its digest begins."""

    whose: str
    name: str
    algorithm: str
    digest: str


# torchvision puts the first eight digits into the name; Caffe's and MatConvNet's are beside the
# links to the files.
PUBLISHED = (
    Published("torchvision's", "alexnet-owt-7be5be79.pth", "sha256", "7be5be79"),
    Published("torchvision's", "alexnet-owt-4df8aa71.pth", "sha256", "4df8aa71"),
    Published(
        "Caffe's", "bvlc_alexnet.caffemodel", "sha1", "9116a64c0fbe4459d18f4bb6b56d647b63920377"
    ),
    Published(
        "Caffe's",
        "bvlc_reference_caffenet.caffemodel",
        "sha1",
        "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
    ),
    Published("MatConvNet's", "imagenet-caffe-alex.mat", "md5", "ed49ef44caf18496291ce0c3257b0596"),
)


def sentence_on(path: Path) -> str:
    """Return which of the published files a file is, by its content, in a few words.

    A file that has the name of one and not its digest is said to be another: cut off on its way,
    changed, or a later one.
    """
    digests = {}
    for algorithm in sorted({entry.algorithm for entry in PUBLISHED}):
        with path.open("rb") as file:
            digests[algorithm] = hashlib.file_digest(file, algorithm).hexdigest()
    for entry in PUBLISHED:
        if digests[entry.algorithm].startswith(entry.digest):
            return f"{entry.whose} {entry.name}, by its published {entry.algorithm.upper()}"
    for entry in PUBLISHED:
        if path.name == entry.name:
            digest = f"{entry.algorithm.upper()} begins with {entry.digest[:8]}"
            return f"not the published file of this name, whose {digest}"
    return "none of the files published with a digest"
