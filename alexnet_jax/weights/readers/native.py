"""Our own format: a safetensors file with parameters, network, class names and preprocessing.

A layer's arrays are the tensors NAME.weights and NAME.biases, or NAME.means and NAME.variances;
the mean is the tensor preprocessing.mean. Everything else is JSON under one key of the metadata.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax.architecture import Architecture, Shape
from alexnet_jax.architectures import get
from alexnet_jax.params import BatchStats, Layer, Params, ParamsLike, check_params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files import safetensors_file
from alexnet_jax.weights.files.atomic import write_atomically
from alexnet_jax.weights.files.safetensors_file import TensorReaders
from alexnet_jax.weights.loaded import LoadedWeights, check_class_names, check_expected
from alexnet_jax.weights.spec_json import architecture_from_json, preprocessing_from_json, to_json

KEY = "alexnet_jax"
VERSION = 1
MEAN = "preprocessing.mean"


def save(
    path: str | os.PathLike[str],
    params: ParamsLike,
    architecture: Architecture | str,
    preprocessing: Preprocessing,
    class_names: Sequence[str] = (),
) -> None:
    """Write a network with its preprocessing into one safetensors file, which `load` reads.

    A file of that name is replaced once everything is written, or not at all.

    Args:
      path: of the file, by convention with the suffix .safetensors.
      params: of any floating type of 16 bits or more, in any containers that `apply` takes; the
        numbers are kept bit for bit.
      architecture: the network of the parameters, one of ours, also by its name, or your own.
      preprocessing: that the weights were trained with.
      class_names: by index, or none.

    Raises:
      ValueError: parameters of another architecture, another number of class names or names that
        are no text, preprocessing for images of a size that the network does not take.
      TypeError: parameters that are not floating, or of 8 bits; preprocessing that is none.
      OSError: a path that cannot be written to.
    """
    architecture = get(architecture)
    params = check_params(params, architecture)
    for leaf in jax.tree.leaves(params):
        if leaf.dtype.itemsize < 2:
            raise TypeError(f"safetensors files hold no {leaf.dtype} that `load` can read")
    if not isinstance(preprocessing, Preprocessing):
        raise TypeError(f"preprocessing must be a Preprocessing, not {preprocessing!r}")
    class_names = check_class_names(architecture, class_names)
    _check_image_size(architecture, preprocessing)
    tensors = {
        f"{name}.{field}": np.ascontiguousarray(leaf)
        for name, layer in params.items()
        for field, leaf in zip(layer._fields, layer, strict=True)
    }
    record = {
        "version": VERSION,
        "architecture": to_json(architecture),
        "preprocessing": to_json(preprocessing),
        "class_names": class_names,
    }
    metadata = {KEY: json.dumps(record, allow_nan=False)}
    architecture_from_json(_parse_record(metadata[KEY])["architecture"])  # `load` must accept it
    data = safetensors_file.serialize(tensors | {MEAN: preprocessing.mean}, metadata)
    write_atomically(Path(path), data)


def read_weights(text: str, tensors: TensorReaders, expected: Architecture | None) -> LoadedWeights:
    """Return what a file of ours holds.

    Args:
      text: the JSON in its metadata.
      tensors: how to read each, by its name.
      expected: the network that it must be, if not None.

    Raises:
      ValueError: metadata or tensors that are damaged or do not fit together, or another network.
    """
    record = _parse_record(text)
    architecture = architecture_from_json(record["architecture"])
    check_expected(architecture, expected)
    preprocessing = preprocessing_from_json(record["preprocessing"], _tensor(tensors, MEAN))
    class_names = check_class_names(architecture, record["class_names"])
    _check_image_size(architecture, preprocessing)
    params = _read_params(architecture, tensors)
    return LoadedWeights("our own", params, architecture, preprocessing, class_names)


def _check_image_size(net: Architecture, preprocessing: Preprocessing) -> None:
    size = preprocessing.input_size
    try:
        net.layer_info(size)
    except ValueError:
        message = f"{net.name} takes no images of {size} pixels, which preprocessing makes"
        raise ValueError(message) from None


def _parse_record(text: str) -> dict[str, Any]:
    """The metadata, which have all their keys; the values are still unchecked."""
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


def _read_params(architecture: Architecture, tensors: TensorReaders) -> Params:
    params: Params = {}
    names = {MEAN}
    running = {info.stats_name for info in architecture.layer_info()}
    for name, shapes in architecture.parameter_shapes().items():
        kind = BatchStats if name in running else Layer
        leaves = {
            f"{name}.{field}": shape for field, shape in zip(kind._fields, shapes, strict=True)
        }
        params[name] = kind(*(jnp.asarray(_tensor(tensors, *leaf)) for leaf in leaves.items()))
        names |= leaves.keys()
    if others := tensors.keys() - names:
        raise ValueError(f"{architecture.name} has no {min(others)}")
    return params


def _tensor(tensors: TensorReaders, name: str, shape: Shape | None = None) -> np.ndarray:
    if name not in tensors:
        raise ValueError(f"{name} is missing")
    tensor = tensors[name]()
    if shape is not None and tensor.shape != shape:
        raise ValueError(f"{name} is {list(tensor.shape)}, but its network needs {list(shape)}")
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise ValueError(f"{name} has numbers of type {tensor.dtype}")
    return tensor
