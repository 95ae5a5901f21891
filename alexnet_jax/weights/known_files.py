"""Published files of weights, recognized by the digests that were published with them."""

from pathlib import Path
from typing import NamedTuple

from alexnet_jax.weights.files.checksums import file_digest


class KnownFile(NamedTuple):
    """A published file."""

    publisher: str  # as in "torchvision's"
    name: str
    algorithm: str
    digest: str  # or the beginning of it


# torchvision puts the first eight digits into the file's name; Caffe and MatConvNet have the digest
# beside the link.
KNOWN_FILES = (
    KnownFile("torchvision's", "alexnet-owt-7be5be79.pth", "sha256", "7be5be79"),
    KnownFile("torchvision's", "alexnet-owt-4df8aa71.pth", "sha256", "4df8aa71"),
    KnownFile(
        "Caffe's", "bvlc_alexnet.caffemodel", "sha1", "9116a64c0fbe4459d18f4bb6b56d647b63920377"
    ),
    KnownFile(
        "Caffe's",
        "bvlc_reference_caffenet.caffemodel",
        "sha1",
        "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
    ),
    KnownFile("MatConvNet's", "imagenet-caffe-alex.mat", "md5", "ed49ef44caf18496291ce0c3257b0596"),
)


def identify(path: Path) -> str:
    """Return a phrase that says which published file this is, by its content.

    A file with the name of a published one and another digest is said not to be it: its download
    was cut off, or it was changed. Raises OSError if it cannot be read.
    """
    algorithms = sorted({known.algorithm for known in KNOWN_FILES})
    digests = {algorithm: file_digest(path, algorithm) for algorithm in algorithms}
    for known in KNOWN_FILES:
        if digests[known.algorithm].startswith(known.digest):
            algorithm = known.algorithm.upper()
            return f"{known.publisher} {known.name}, by its published {algorithm}"
    for known in KNOWN_FILES:
        if path.name == known.name:
            digest = f"{known.algorithm.upper()} begins with {known.digest[:8]}"
            return f"not the published file of this name, whose {digest}"
    return "none of the files published with a digest"
