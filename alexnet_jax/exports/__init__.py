"""Writes networks for other programs: StableHLO, ONNX, PyTorch."""

import os
from collections.abc import Sequence
from pathlib import Path

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import get
from alexnet_jax.exports import onnx_model, stablehlo, torchvision
from alexnet_jax.params import ParamsLike, check_params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files.atomic import write_atomically
from alexnet_jax.weights.loaded import check_class_names

SUFFIXES = (".stablehlo", ".onnx", ".pth")


def export(
    path: str | os.PathLike[str],
    params: ParamsLike,
    architecture: Architecture | str,
    preprocessing: Preprocessing,
    class_names: Sequence[str] = (),
) -> None:
    """Write a network for other programs, in the format that the suffix of `path` selects.

    - `.stablehlo`: a program of `jax.export` for CPUs, CUDA and TPUs, from pictures uint8
      [n, stored_size, stored_size, 3], RGB, to logits [n, classes]; preprocessing and parameters
      are in it, and n is any number. Products are made as JAX's setting is at the export:
      `with jax.default_matmul_precision("highest")` makes them in float32 on every device.
    - `.onnx`: the same, for ONNX Runtime and others.
    - `.pth`: the `state_dict` of torchvision.models.alexnet, for torchvision's network only;
      without preprocessing.

    A file of that name is replaced once everything is written, or not at all. `save` writes
    `.safetensors`.

    Args:
      path: of the file to write.
      params: in any containers that `apply` takes.
      architecture: the network of the parameters, or its name.
      preprocessing: that the weights were trained with.
      class_names: by index, or none; only `.onnx` keeps them.

    Raises:
      ValueError: another suffix, a network that the format cannot hold, parameters of another
        architecture, or class names that are not one text for each class.
      TypeError: parameters that are not floating.
      OSError: a path that cannot be written to.
    """
    path, architecture = Path(path), get(architecture)
    params = check_params(params, architecture)
    class_names = check_class_names(architecture, class_names)
    match path.suffix:
        case ".stablehlo":
            content = stablehlo.serialize(params, architecture, preprocessing)
        case ".onnx":
            content = onnx_model.serialize(params, architecture, preprocessing, class_names)
        case ".pth":
            content = torchvision.state_dict(params, architecture)
        case ".safetensors":
            raise ValueError("export writes no .safetensors; alexnet_jax.save does")
        case suffix:
            raise ValueError(f"the suffix must be one of {', '.join(SUFFIXES)}, not {suffix!r}")
    write_atomically(path, content)
