"""Weights, published or our own, with all that belongs to them: recognized by their content."""

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.params import Params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights import known_files as known_files
from alexnet_jax.weights.files import matlab, protobuf_wire, safetensors_file, torch_file
from alexnet_jax.weights.loaded import LoadedWeights as LoadedWeights
from alexnet_jax.weights.readers import (
    caffe,
    cuda_convnet,
    matconvnet,
    native,
    onnx_model,
    run_folder,
    torchvision,
    toronto,
)
from alexnet_jax.weights.readers.native import save as save

NO_MEAN = "it holds none of Caffe's weights, to which a mean image belongs"


def load(
    path: str | os.PathLike[str],
    *,
    architecture: Architecture | None = None,
    mean: str | os.PathLike[str] | None = None,
) -> tuple[Params, Architecture, Preprocessing]:
    """Return the parameters in a file, the net they belong to, and what its images go through.

        params, architecture, preprocessing = alexnet_jax.load("bvlc_alexnet.caffemodel")
        scores = alexnet_jax.apply(params, preprocessing(pictures), architecture=architecture)

    What kind of file it is tells its content, not its name: our own, torchvision's .pth or
    .safetensors, Caffe's .caffemodel, Toronto's bvlc_alexnet.npy, the ONNX zoo's bvlcalexnet,
    MatConvNet's .mat, a checkpoint of cuda-convnet; or the folder of a run of `train.main`, of
    which the best checkpoint is taken.
    Nothing in a file is run. Colors come as RGB, features in our order, whatever the file has.

    Args:
      path: of the file or folder.
      architecture: the net whose layers the file has, where it is not the published one with any
        number of classes; ours say themselves.
      mean: for Caffe's weights, their mean image, a .binaryproto or .npy; without it a mean for
        each color is subtracted.

    Raises:
      ValueError: a file that is damaged or none of these, in one sentence with path and layer.
      OSError: a file that cannot be opened.
    """
    contents = read(path, architecture=architecture, mean=mean)
    return contents.params, contents.architecture, contents.preprocessing


def read(
    path: str | os.PathLike[str],
    *,
    architecture: Architecture | None = None,
    mean: str | os.PathLike[str] | None = None,
) -> LoadedWeights:
    """Return all that a file holds, names of classes too. Arguments and errors are `load`'s."""
    path = Path(path)
    if path.is_dir():
        with _one_sentence(path):
            if mean is not None:
                raise ValueError(NO_MEAN)
            return run_folder.read_weights(path, architecture)
    image = None if mean is None else caffe.mean_image(Path(mean))
    with path.open("rb") as file, _one_sentence(path):
        if not os.fstat(file.fileno()).st_size:
            raise ValueError("it is empty")
        # Read where it lies, without a copy.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _contents(path, data, architecture, image)


def _contents(
    path: Path, data: mmap.mmap, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    if data[:10] in (matlab.VERSION_5, matlab.VERSION_7_3):
        return matconvnet.read_weights(matlab.read_mat(path), architecture, mean)
    if data[:6] == toronto.MAGIC:
        return toronto.read_weights(data, architecture, mean)
    by_torch = data[:2] == b"PK" or data[257:262] == b"ustar" or data[:15] == torch_file.MAGIC
    safe = data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data)
    by_cuda_convnet = data[:2] == cuda_convnet.MAGIC and not (by_torch or safe)
    if mean is not None and (by_torch or safe or by_cuda_convnet):
        raise ValueError(NO_MEAN)
    if by_torch:
        return torchvision.read_weights(torch_file.tensors(path, data), architecture)
    if by_cuda_convnet:
        return cuda_convnet.read_weights(data, architecture)
    if safe:
        tensors, metadata = safetensors_file.read(path)
        if native.KEY in metadata:
            return native.read_weights(metadata[native.KEY], tensors, architecture)
        return torchvision.read_weights(tensors, architecture)
    message, cut = protobuf_wire.fields_up_to_damage(memoryview(data))
    if caffe.is_net(message):
        read = caffe.read_weights
    elif onnx_model.is_model(message):
        read = onnx_model.read_weights
    elif caffe.is_array(message):
        raise ValueError("it is a mean image, which belongs to Caffe's weights: give it as mean")
    else:
        raise ValueError("it is no file of weights of a known kind, or only the beginning of one")
    if cut:
        raise cut
    return read(message, architecture, mean)


@contextlib.contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Let whatever a damaged file raises end in one sentence with its path."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {_line(error)}") from None
    except Exception as error:  # of whatever kind a library has for it
        reason = f"{type(error).__name__}: {_line(error)}"
        raise ValueError(f"{path} is damaged: {reason}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
