"""The state_dict of torchvision.models.alexnet as `torch.save` writes it, without torch.

The file is a zip archive of a pickle, which describes the tensors, and of their numbers.
"""

import io
import pickle
import struct
import zipfile

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import TORCHVISION
from alexnet_jax.architectures.compare import same_computation
from alexnet_jax.layer_specs import Flatten
from alexnet_jax.params import Params
from alexnet_jax.weights.readers.torchvision import CONVOLUTIONS, DENSE

_MODULE_NAMES = CONVOLUTIONS | DENSE


def state_dict(params: Params, architecture: Architecture) -> bytes:
    """Return a file for `torch.load(..., weights_only=True)` and the module's `load_state_dict`.

    Widths may be any; torchvision's own module has those of TORCHVISION, with any number of
    classes. Where its module has inverted dropout does not matter: it does nothing at test time.

    Raises:
      ValueError: a network with other layers.
    """
    if not same_computation(architecture, TORCHVISION, widths=False):
        raise ValueError(
            f".pth holds the layers of torchvision's AlexNet, and {architecture.name} has others; "
            ".stablehlo holds any network"
        )
    return serialize(params, architecture)


def serialize(params: Params, architecture: Architecture) -> bytes:
    """Return the same for any network whose layers have these names, whatever they compute."""
    tensors = {}
    for layer, (weights, biases) in _outputs_first(params, architecture).items():
        tensors[f"{_MODULE_NAMES[layer]}.weight"] = weights
        tensors[f"{_MODULE_NAMES[layer]}.bias"] = biases
    return _torch_file(tensors)


def _outputs_first(
    params: Params, architecture: Architecture
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The arrays with PyTorch's axes: [out, in, height, width], [out, in]; features by maps."""
    arrays, maps = {}, None
    for info in architecture.layer_info():
        maps = info.input_shape if isinstance(info.spec, Flatten) else maps
        if not info.weight_shape:
            continue
        weights, biases = (np.asarray(leaf, np.float32) for leaf in params[info.name])
        if maps:
            weights = weights.reshape(*maps, -1).transpose(2, 0, 1, 3).reshape(weights.shape)
        weights = weights.transpose(3, 2, 0, 1) if weights.ndim == 4 else weights.T
        arrays[info.name] = np.ascontiguousarray(weights), biases
        maps = None
    return arrays


def _torch_file(tensors: dict[str, np.ndarray]) -> bytes:
    items = [_string(name) + _tensor(i, a) for i, (name, a) in enumerate(tensors.items())]
    ordered_dict = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    pickled = b"\x80\x02" + ordered_dict + pickle.MARK + b"".join(items) + pickle.SETITEMS
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled + pickle.STOP)
        archive.writestr("archive/byteorder", "little")
        for i, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{i}", array.astype("<f4").tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def _tensor(number: int, array: np.ndarray) -> bytes:
    """The pickle of a tensor whose storage is the archive's data/NUMBER."""
    storage_type = _global("torch", "FloatStorage")
    key, size = _string(str(number)), _integer(array.size)
    storage = _tuple(_string("storage"), storage_type, key, _string("cpu"), size) + pickle.BINPERSID
    shape = _tuple(*map(_integer, array.shape))
    strides = _tuple(*(_integer(stride // array.itemsize) for stride in array.strides))
    no_hooks = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    arguments = _tuple(storage, _integer(0), shape, strides, pickle.NEWFALSE, no_hooks)
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _string(text: str) -> bytes:
    data = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE
