"""Networks for other programs: StableHLO, ONNX, PyTorch."""

import os
from collections.abc import Sequence
from pathlib import Path

from alexnet_jax.architecture import Architecture
from alexnet_jax.exports import onnx_model, stablehlo, torchvision
from alexnet_jax.params import Params, check_params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files.atomic import write_atomically

ENDINGS = (".stablehlo", ".onnx", ".pth")


def export(
    path: str | os.PathLike[str],
    params: Params,
    architecture: Architecture,
    preprocessing: Preprocessing,
    class_names: Sequence[str] = (),
) -> None:
    """Write a net for other programs, in the format that the path's ending names.

    - `.stablehlo`: a program of `jax.export` for CPUs, CUDA and TPUs, from pictures uint8
      [n, stored_size, stored_size, 3], RGB, to scores [n, classes]; preprocessing and parameters
      are in it, and n is any number.
    - `.onnx`: the same, for ONNX Runtime and others.
    - `.pth`: the `state_dict` of torchvision.models.alexnet, for its nets; without preprocessing.

    What stands under the path is replaced when everything is written, or not at all.

    Raises:
      ValueError: another ending, a net that the format cannot hold, or parameters that are not
        the architecture's.
      OSError: a path that cannot be written to.
    """
    path = Path(path)
    check_params(params, architecture)
    match path.suffix:
        case ".stablehlo":
            write_atomically(path, stablehlo.program(params, architecture, preprocessing))
        case ".onnx":
            write_atomically(
                path, onnx_model.model(params, architecture, preprocessing, class_names)
            )
        case ".pth":
            write_atomically(path, torchvision.state_dict(params, architecture))
        case ending:
            raise ValueError(f"the ending must be one of {', '.join(ENDINGS)}, not {ending!r}")
