"""The state_dict of torchvision.models.alexnet, as torch.save writes it, without torch.

The file is a zip archive of a pickle, which describes the tensors, and of their numbers.
"""

import dataclasses
import io
import pickle
import struct
import zipfile

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import TORCHVISION
from alexnet_jax.layer_specs import Conv, Dense, Dropout, Flatten, LayerSpec, Output
from alexnet_jax.params import Params
from alexnet_jax.weights.readers.torchvision import BEFORE, CONVOLUTIONS

_NAMES = CONVOLUTIONS | BEFORE


def state_dict(params: Params, architecture: Architecture) -> bytes:
    """Return a file for `torch.load(..., weights_only=True)` and the module's `load_state_dict`.

    Of any widths; torchvision's own module has those of TORCHVISION, with any number of classes.
    Wherever a net has its inverted dropout, which is nothing at test time, the module has its own.

    Raises ValueError for a net of other layers.
    """
    if _layers(architecture) != _layers(TORCHVISION):
        raise ValueError(
            f".pth holds the layers of torchvision's AlexNet, and {architecture.name} has others; "
            ".onnx and .stablehlo hold any net"
        )
    return packed(params, architecture)


def packed(params: Params, architecture: Architecture) -> bytes:
    """Return the same for any net of layers by these names, without asking what they are."""
    tensors = {}
    for layer, (weights, biases) in _outputs_first(params, architecture).items():
        tensors[f"{_NAMES[layer]}.weight"] = weights
        tensors[f"{_NAMES[layer]}.bias"] = biases
    return _saved(tensors)


def _layers(net: Architecture) -> list[LayerSpec]:
    return [_without_widths(word) for word in net.layers if word != Dropout(inverted=True)]


def _without_widths(word: LayerSpec) -> LayerSpec:
    match word:
        case Conv():
            return dataclasses.replace(word, maps=0, std=0, bias=0)
        case Dense():
            return dataclasses.replace(word, features=0, std=0, bias=0)
        case Output():
            return dataclasses.replace(word, classes=0, std=0, bias=0)
    return word


def _outputs_first(params: Params, net: Architecture) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The arrays in the axes of PyTorch: [out, in, height, width], [out, in]; features by maps."""
    arrays, maps = {}, None
    for info in net.layer_info():
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


def _saved(tensors: dict[str, np.ndarray]) -> bytes:
    described = [_text(name) + _tensor(i, a) for i, (name, a) in enumerate(tensors.items())]
    ordered = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    items = pickle.MARK + b"".join(described) + pickle.SETITEMS
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + ordered + items + pickle.STOP)
        archive.writestr("archive/byteorder", "little")
        for i, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{i}", array.astype("<f4").tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def _tensor(number: int, array: np.ndarray) -> bytes:
    """What a pickle says of a tensor whose numbers stand in the archive under a number."""
    kind = _name("torch", "FloatStorage")
    identity = (_text("storage"), kind, _text(str(number)), _text("cpu"), _integer(array.size))
    storage = _row(*identity) + pickle.BINPERSID
    strides = (info // array.itemsize for info in array.strides)
    shape, infos = (_row(*map(_integer, sizes)) for sizes in (array.shape, strides))
    no_hooks = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    parts = (storage, _integer(0), shape, infos, pickle.NEWFALSE, no_hooks)
    return _name("torch._utils", "_rebuild_tensor_v2") + _row(*parts) + pickle.REDUCE


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(string: str) -> bytes:
    data = string.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _row(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE
