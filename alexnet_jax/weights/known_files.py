"""Published files of weights: their names, addresses and digests, the one table of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from alexnet_jax.weights.files.checksums import file_digest


class KnownFile(NamedTuple):
    """A published file."""

    publisher: str  # as in "torchvision's"
    name: str
    algorithm: str  # of the digest
    digest: str  # or the beginning of it; "" if none was published
    addresses: tuple[str, ...] = ()  # mirrors, tried in this order

    def matches(self, path: Path) -> bool:
        """Whether a file has the published digest. Raises OSError if it cannot be read."""
        return not self.digest or file_digest(path, self.algorithm).startswith(self.digest)


class Pretrained(NamedTuple):
    """Published weights that `alexnet_jax.load` fetches by a name."""

    names: tuple[str, ...]  # the first one is listed
    file: KnownFile  # the one to fetch
    former: tuple[KnownFile, ...] = ()  # earlier files of the same weights; never fetched

    @property
    def files(self) -> tuple[KnownFile, ...]:
        """All files of these weights."""
        return (self.file, *self.former)


_CAFFE = "http://dl.caffe.berkeleyvision.org/"
_MATCONVNET = "https://www.vlfeat.org/matconvnet/models/"
_ONNX = (
    "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/",
    "https://media.githubusercontent.com/media/onnx/models/main/",
)


def _caffe(name: str, sha1: str) -> KnownFile:
    return KnownFile("Caffe's", name, "sha1", sha1, (_CAFFE + name,))


def _onnx(folder: str, name: str, sha256: str) -> KnownFile:
    path = f"validated/vision/classification/{folder}/model/{name}"
    addresses = tuple(server + path for server in _ONNX)
    return KnownFile("the ONNX zoo's", name, "sha256", sha256, addresses)


def _matconvnet(name: str, md5: str) -> KnownFile:
    return KnownFile("MatConvNet's", name, "md5", md5, (_MATCONVNET + name,))


_TABLE = (
    Pretrained(
        ("torchvision", "pytorch"),
        KnownFile(
            "torchvision's",
            "alexnet-owt-7be5be79.pth",
            "sha256",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
        ),
        # torchvision puts the first eight digits into the file's name.
        (KnownFile("torchvision's", "alexnet-owt-4df8aa71.pth", "sha256", "4df8aa71"),),
    ),
    Pretrained(
        ("caffe", "caffe-alexnet"),
        _caffe("bvlc_alexnet.caffemodel", "9116a64c0fbe4459d18f4bb6b56d647b63920377"),
    ),
    Pretrained(
        ("caffenet", "caffe-caffenet"),
        _caffe("bvlc_reference_caffenet.caffemodel", "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"),
    ),
    Pretrained(
        ("onnx", "onnx-alexnet"),
        _onnx(
            "alexnet",
            "bvlcalexnet-12.onnx",
            "6b0da9510f27f234ee96a85dc3809dd210150fdefad87f6850f9788513216945",
        ),
        (
            _onnx(
                "alexnet",
                "bvlcalexnet-9.onnx",
                "ef3c82dad5c512f969dbf701fe35c0b3feb1585687d541f765eb68730c0a8af7",
            ),
            _onnx(
                "alexnet",
                "bvlcalexnet-8.onnx",
                "9a4dc22fd706a19462aaec3b08e027e0ef89daf63d123824f20b59b6de9a727b",
            ),
            _onnx(
                "alexnet",
                "bvlcalexnet-7.onnx",
                "d9c9134b90c760d4231e89ad9758bcc8a9397c3ba1cd56fadbef888b534ac6b4",
            ),
        ),
    ),
    Pretrained(
        ("caffenet-onnx", "onnx-caffenet"),
        _onnx(
            "caffenet",
            "caffenet-12.onnx",
            "ea563e5c47d1f58e1717cf1a2d8bf288b8adc07af0ad228b622096cd243aeecb",
        ),
    ),
    Pretrained(
        ("matconvnet", "matconvnet-caffe", "caffe-matconvnet"),
        _matconvnet("imagenet-caffe-alex.mat", "b5152a54bf61100a8ed61827c76e7d08"),
        # The file of this name until September 2016.
        (_matconvnet("imagenet-caffe-alex.mat", "ed49ef44caf18496291ce0c3257b0596"),),
    ),
    Pretrained(
        ("caffenet-matconvnet", "matconvnet-caffenet"),
        _matconvnet("imagenet-caffe-ref.mat", "675dd47906d34f4d9a70fc44210d3804"),
    ),
    Pretrained(
        ("matconvnet-alexnet", "matconvnet-alex"),
        _matconvnet("imagenet-matconvnet-alex.mat", "0998b7f66bd8dcbb78a3e75aaa6127f3"),
    ),
    Pretrained(
        ("toronto",),
        KnownFile(
            "Toronto's",
            "bvlc_alexnet.npy",
            "",
            "",
            ("https://www.cs.toronto.edu/~guerzhoy/tf_alexnet/bvlc_alexnet.npy",),
        ),
    ),
)

PRETRAINED: dict[str, Pretrained] = {row.names[0]: row for row in _TABLE}
"""Published weights by name; all know the 1,000 classes of ImageNet, in the order of synsets."""

KNOWN_FILES: tuple[KnownFile, ...] = tuple(
    file for row in _TABLE for file in row.files if file.digest
)
"""Published files that can be recognized by their digests."""


def find(text: str) -> Pretrained | None:
    """Return the published weights of a name, in any case, or of a published file's name."""
    name = text.lower().replace("_", "-")
    for row in PRETRAINED.values():
        if name in row.names or text in [file.name for file in row.files]:
            return row
    return None


def identify(path: Path) -> str:
    """Return a phrase that says which published file this is, by its content.

    A file with the name of a published one and another digest is said not to be it: its download
    was cut off, or it was changed. Raises OSError if it cannot be read.
    """
    if known := _recognize(path, KNOWN_FILES):
        return f"{known.publisher} {known.name}, by its published {known.algorithm.upper()}"
    for known in KNOWN_FILES:
        if path.name == known.name:
            digest = f"{known.algorithm.upper()} begins with {known.digest[:8]}"
            return f"not the published file of this name, whose {digest}"
    return "none of the files published with a digest"


def is_published(path: Path, kind: str) -> bool:
    """Whether a file of a program's format, as in `LoadedWeights.kind`, is a published one."""
    candidates = [known for known in KNOWN_FILES if kind in known.publisher]
    return _recognize(path, candidates) is not None


def _recognize(path: Path, candidates: Sequence[KnownFile]) -> KnownFile | None:
    """Return the first file with the digest of `path`, which is read once for each algorithm."""
    algorithms = {known.algorithm for known in candidates}
    digests = {algorithm: file_digest(path, algorithm) for algorithm in algorithms}
    matching = (known for known in candidates if digests[known.algorithm].startswith(known.digest))
    return next(matching, None)
