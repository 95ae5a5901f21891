"""A page on which one draws a picture and watches the towers of a network, in any browser.

Its files are static: the network as an ONNX model with the outputs of its layers, a description of
these, ONNX Runtime Web, and the plain HTML, CSS and JavaScript of the folder `static`.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import get
from alexnet_jax.exports import onnx_model
from alexnet_jax.page import browser_runtime
from alexnet_jax.page.description import describe, layer_names
from alexnet_jax.params import ParamsLike, check_params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.loaded import check_class_names

LARGEST = 25
"""Megabytes of parameters. A reader waits for them, and a larger network no longer runs live."""

STATIC = Path(__file__).parent / "static"


def write_page(
    folder: str | os.PathLike[str],
    params: ParamsLike,
    architecture: Architecture | str,
    preprocessing: Preprocessing,
    class_names: Sequence[str] = (),
    *,
    runtime: str | os.PathLike[str] | None = None,
) -> None:
    """Write a folder with a page that runs a network on what its reader draws.

    A server of static files shows it, at any address: `python -m http.server`. A browser needs
    nothing from elsewhere. A network of ten digits, trained on gray pictures, sees what is drawn
    centered and scaled as MNIST's digits are; any other sees the drawing as it is, or a picture
    that the reader chooses, resized as in training.

    Args:
      folder: a new one, which is written completely or not at all.
      params: in any containers that `apply` takes, of at most 25 MB in float32.
      architecture: the network of the parameters, or its name.
      preprocessing: that the weights were trained with.
      class_names: by index; numbers if there are none.
      runtime: the folder of the unpacked npm package onnxruntime-web; if None, npm fetches it
        into the user's cache (see `load`), once.

    Raises:
      ValueError: without the package onnx; a network that is too large, or that ONNX cannot hold;
        parameters of another architecture; class names that are not one text for each class; a
        runtime that is not there, or of another version.
      FileExistsError: a folder that exists.
      OSError: a folder that cannot be written.
    """
    folder, net = Path(folder), get(architecture)
    megabytes = 4e-6 * net.parameters
    if megabytes > LARGEST:
        raise ValueError(
            f"{net.name} has {megabytes:,.0f} MB of parameters, and a page takes {LARGEST} at most"
        )
    params = check_params(params, net)
    class_names = check_class_names(net, class_names)
    if folder.exists():
        raise FileExistsError(17, "it exists already", str(folder))
    description = describe(params, net, preprocessing, class_names)
    layers = layer_names(description)
    model = onnx_model.serialize(params, net, preprocessing, class_names, layers)
    runtime_files = browser_runtime.read(None if runtime is None else Path(runtime))
    files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.is_file()}
    files["net.onnx"] = model
    files["net.json"] = json.dumps(description, ensure_ascii=False, indent=1).encode()
    # Some servers do not know the ending .mjs.
    files["runtime/ort.js"] = runtime_files[browser_runtime.SCRIPT]
    files["runtime/ort.wasm"] = runtime_files[browser_runtime.PROGRAM]
    files["runtime/LICENSE.txt"] = files.pop("runtime_license.txt")
    _write_folder(folder, files)


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by their paths into a new folder, which appears when all are written."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    try:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
