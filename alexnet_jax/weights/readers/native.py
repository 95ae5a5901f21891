"""Our own format: one safetensors file with parameters, net, class names and preprocessing.

A layer's arrays are the tensors NAME.weights and NAME.biases, or NAME.means and NAME.variances;
the mean is the tensor preprocessing.mean. Everything else is JSON, under one key of the metadata.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from alexnet_jax.architecture import Architecture, Shape
from alexnet_jax.params import BatchStats, Layer, Params, check_params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files import safetensors_file
from alexnet_jax.weights.files.atomic import write_atomically
from alexnet_jax.weights.files.safetensors_file import Readers
from alexnet_jax.weights.loaded import LoadedWeights
from alexnet_jax.weights.spec_json import architecture_from_json, preprocessing_from_json, to_json

KEY = "alexnet_jax"
VERSION = 1
MEAN = "preprocessing.mean"


def save(
    path: str | os.PathLike[str],
    params: Params,
    architecture: Architecture,
    preprocessing: Preprocessing,
    class_names: Sequence[str] = (),
) -> None:
    """Write a net with all that it needs into one safetensors file, for `load` to read.

    What stands under the path is replaced when everything is written, or not at all.

    Args:
      path: of the file, by custom with the ending .safetensors.
      params: of any floating type; kept bit for bit.
      architecture: the net that they belong to, one of ours or your own.
      preprocessing: what its images go through.
      class_names: by index, or none.

    Raises:
      ValueError: parameters that are not the architecture's, class names of another number,
        preprocessing for images of another size.
      OSError: a path that cannot be written to.
    """
    check_params(params, architecture)
    _check(architecture, preprocessing, class_names)
    tensors = {
        f"{name}.{field}": np.ascontiguousarray(leaf)
        for name, layer in params.items()
        for field, leaf in zip(layer._fields, layer, strict=True)
    }
    record = {
        "version": VERSION,
        "architecture": to_json(architecture),
        "preprocessing": to_json(preprocessing),
        "class_names": list(class_names),
    }
    metadata = {KEY: json.dumps(record, allow_nan=False)}
    architecture_from_json(
        _record(metadata[KEY])["architecture"]
    )  # nothing that could not be read again
    data = safetensors_file.packed(tensors | {MEAN: preprocessing.mean}, metadata)
    write_atomically(Path(path), data)


def read_weights(text: str, tensors: Readers, expected: Architecture | None) -> LoadedWeights:
    """Return what the metadata and tensors of a file of ours say.

    Raises ValueError where they say nothing, or another net than the one expected, if one is.
    """
    record = _record(text)
    architecture = architecture_from_json(record["architecture"])
    if expected and architecture != expected:
        raise ValueError(f"it holds {architecture.name}, which differs from {expected.name}")
    preprocessing = preprocessing_from_json(record["preprocessing"], _tensor(tensors, MEAN))
    class_names = tuple(record["class_names"])
    _check(architecture, preprocessing, class_names)
    params = _params(architecture, tensors)
    return LoadedWeights("our own", params, architecture, preprocessing, class_names)


def _check(net: Architecture, preprocessing: Preprocessing, class_names: Sequence[str]) -> None:
    if len(class_names) not in (0, net.classes):
        raise ValueError(f"there are {len(class_names)} class names for {net.classes} classes")
    if preprocessing.input_size not in net.image_sizes:
        size = preprocessing.input_size
        raise ValueError(f"{net.name} takes no images of {size} pixels, as preprocessed")


def _record(text: str) -> dict[str, Any]:
    """What the metadata say, with all that must be there; its values are still to be checked."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its metadata cannot be read") from None
    match record:
        case {
            "version": int(version),
            "architecture": dict(),
            "preprocessing": dict(),
            "class_names": [*names],
        } if version == VERSION and all(isinstance(name, str) for name in names):
            return record
        case {"version": int(version)} if version > VERSION:
            raise ValueError("it was written by a later version of alexnet_jax")
    raise ValueError("its metadata are not complete")


def _params(architecture: Architecture, tensors: Readers) -> Params:
    params: dict[str, Any] = {}
    read = {MEAN}
    running = {info.stats_name for info in architecture.layer_info()}
    for name, shapes in architecture.parameter_shapes().items():
        kind = BatchStats if name in running else Layer
        leaves = {
            f"{name}.{field}": shape for field, shape in zip(kind._fields, shapes, strict=True)
        }
        params[name] = kind(*(jnp.asarray(_tensor(tensors, *leaf)) for leaf in leaves.items()))
        read |= leaves.keys()
    if others := tensors.keys() - read:
        raise ValueError(f"{architecture.name} has no {min(others)}")
    return params


def _tensor(tensors: Readers, name: str, shape: Shape | None = None) -> np.ndarray:
    if name not in tensors:
        raise ValueError(f"{name} is missing")
    tensor = tensors[name]()
    if shape is not None and tensor.shape != shape:
        raise ValueError(f"{name} is {list(tensor.shape)}, but its net needs {list(shape)}")
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise ValueError(f"{name} has numbers of type {tensor.dtype}")
    return tensor
