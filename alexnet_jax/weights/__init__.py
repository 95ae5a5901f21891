"""Reads weights, published or our own, with their network and preprocessing."""

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import get
from alexnet_jax.params import Params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.printable import printable
from alexnet_jax.regular_file import open_regular
from alexnet_jax.suggestion import did_you_mean
from alexnet_jax.weights import imagenet as imagenet
from alexnet_jax.weights import known_files as known_files
from alexnet_jax.weights import pretrained
from alexnet_jax.weights.files import matlab, npy_file, safetensors_file, torch_file
from alexnet_jax.weights.files.protobuf_wire import Message
from alexnet_jax.weights.known_files import PRETRAINED as PRETRAINED
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
    architecture: Architecture | str | None = None,
    mean: str | os.PathLike[str] | None = None,
) -> tuple[Params, Architecture, Preprocessing]:
    """Return the parameters in a file, their network, and the preprocessing they were trained with.

        params, architecture, preprocessing = alexnet_jax.load("torchvision")
        logits = alexnet_jax.apply(params, preprocessing(pictures), architecture=architecture)

    A name, one of `alexnet_jax.weights.PRETRAINED`, stands for published weights. They are fetched
    into a cache folder ($ALEXNET_JAX_CACHE, else ~/.cache/alexnet_jax), and checked by the
    published digest. A file or folder of that name comes first, with a note on stderr.

    The content of a file selects the reader, not its name: our own .safetensors, torchvision's
    .pth or .safetensors, Caffe's .caffemodel, Toronto's bvlc_alexnet.npy, the ONNX zoo's
    bvlcalexnet, MatConvNet's .mat, a checkpoint of cuda-convnet; or the folder of a training run,
    whose best checkpoint is read (a damaged one is skipped with a note on stderr).
    No code in a file is run. Colors are converted to RGB and features to our order.

    Args:
      path: of the file or folder; or a name.
      architecture: the network of the file, or its name, if not the published one with any number
        of classes; our own files name it.
      mean: for Caffe's weights, their mean image, a .binaryproto or .npy; if None, one mean per
        color is subtracted.

    Raises:
      ValueError: a file that is damaged or of another kind, in one sentence with path and layer;
        a name that is unknown; weights that cannot be fetched.
      OSError: a file that cannot be opened.
    """
    loaded = read(path, architecture=architecture, mean=mean)
    return loaded.params, loaded.architecture, loaded.preprocessing


def read(
    path: str | os.PathLike[str],
    *,
    architecture: Architecture | str | None = None,
    mean: str | os.PathLike[str] | None = None,
) -> LoadedWeights:
    """Return what `load` returns, and the class names. Arguments and errors are those of `load`.

    Published weights with the 1,000 classes of ImageNet have their names, also where the file has
    none.
    """
    found = find(path)
    published = not Path(path).exists()
    if not published and os.fspath(path) in PRETRAINED:
        print(
            f"note: {path} is the path of this name, not the published weights; these are read "
            "where there is no such path",
            file=sys.stderr,
        )
    loaded = _read(found, None if architecture is None else get(architecture), mean)
    may_be_known = found.is_file() and loaded.architecture.classes == len(imagenet.class_names())
    if may_be_known and (published or known_files.is_published(found, loaded.kind)):
        return loaded._replace(class_names=imagenet.class_names())
    return loaded


def find(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file or folder, or of the weights that a name stands for.

    They are fetched if they are not in the cache. Raises ValueError for an unknown name, and for
    weights that cannot be fetched.
    """
    text = os.fspath(path)
    path, named = Path(text), known_files.find(text)
    if named and not path.exists():
        return pretrained.find_or_fetch(named)
    if path.name == text and not path.suffix and not path.exists():
        names = ", ".join(PRETRAINED) + did_you_mean(text, PRETRAINED)
        raise ValueError(f"{text} is no file, no folder, and no name of published weights: {names}")
    return path


def _read(
    path: Path, architecture: Architecture | None, mean: str | os.PathLike[str] | None
) -> LoadedWeights:
    """Read a file or folder."""
    if path.is_dir():
        with _one_sentence(path):
            if mean is not None:
                raise ValueError(NO_MEAN)
            return run_folder.read_weights(path, architecture)
    mean_image = None if mean is None else caffe.read_mean_image(Path(mean))
    with open_regular(path) as file, _one_sentence(path):
        if not os.fstat(file.fileno()).st_size:
            raise ValueError("it is empty")
        # Mapped, so that its arrays need no copy in memory.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _select_reader(path, data, architecture, mean_image)


def _select_reader(
    path: Path, data: mmap.mmap, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Read a file by its first bytes."""
    if data[:10] in (matlab.VERSION_5, matlab.VERSION_7_3):
        return matconvnet.read_weights(matlab.read_mat(path), architecture, mean)
    if data[:6] == npy_file.MAGIC:
        return toronto.read_weights(data, architecture, mean)
    is_torch = data[:2] == b"PK" or data[257:262] == b"ustar" or data[:15] == torch_file.MAGIC
    is_safetensors = data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data)
    is_other = is_torch or is_safetensors
    is_cuda_convnet = data[:2] == cuda_convnet.MAGIC and not is_other
    if mean is not None and (is_other or is_cuda_convnet):
        raise ValueError(NO_MEAN)
    if is_torch:
        return torchvision.read_weights(torch_file.tensors(path, data), architecture)
    if is_cuda_convnet:
        return cuda_convnet.read_weights(data, architecture)
    if is_safetensors:
        tensors, metadata = safetensors_file.read(path)
        if native.KEY in metadata:
            return native.read_weights(metadata[native.KEY], tensors, architecture)
        return torchvision.read_weights(tensors, architecture)
    message = Message(memoryview(data))
    if caffe.is_net(message):
        _check_damage(message)
        return caffe.read_weights(message, architecture, mean)
    if onnx_model.is_model(message):
        _check_damage(message)
        return onnx_model.read_weights(path, message, architecture, mean)
    if caffe.is_array(message):
        raise ValueError("it is a mean image, which belongs to Caffe's weights: give it as mean")
    raise ValueError("it is not a file of weights of a known kind, or only the beginning of one")


def _check_damage(message: Message) -> None:
    if message.damage:
        raise message.damage


@contextlib.contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn any exception of a damaged file into a ValueError of one sentence with its path."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{printable(path, 150)}: {_line(error)}") from None
    except EOFError:
        raise ValueError(f"{printable(path, 150)} is damaged: it is cut off") from None
    except Exception as error:  # libraries raise all kinds
        reason = f"{type(error).__name__}: {_line(error)}"
        raise ValueError(f"{printable(path, 150)} is damaged: {reason}") from error


def _line(error: Exception) -> str:
    return printable(" ".join(str(error).split()), 250)
