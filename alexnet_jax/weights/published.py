"""Files that were published with a digest, so that they can be called by their names."""

import hashlib
from pathlib import Path
from typing import NamedTuple


class Published(NamedTuple):
    """A file, and how its digest begins."""

    name: str
    algorithm: str
    digest: str


# torchvision puts the first eight digits into the name; Caffe's are in its readmes.
PUBLISHED = (
    Published("torchvision's alexnet-owt-7be5be79.pth", "sha256", "7be5be79"),
    Published("torchvision's alexnet-owt-4df8aa71.pth", "sha256", "4df8aa71"),
    Published(
        "Caffe's bvlc_alexnet.caffemodel", "sha1", "9116a64c0fbe4459d18f4bb6b56d647b63920377"
    ),
    Published(
        "Caffe's bvlc_reference_caffenet.caffemodel",
        "sha1",
        "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
    ),
)


def entry_of(path: Path) -> Published | None:
    """Return which of the published files a file is, by its content, or None."""
    digests = {}
    for algorithm in {entry.algorithm for entry in PUBLISHED}:
        with path.open("rb") as file:
            digests[algorithm] = hashlib.file_digest(file, algorithm).hexdigest()
    return next((e for e in PUBLISHED if digests[e.algorithm].startswith(e.digest)), None)
