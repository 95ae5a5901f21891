"""A small, valid file of weights in every format that is read, with the network that it holds."""

import dataclasses
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from safetensors.numpy import save

import alexnet_jax
from alexnet_jax import architectures
from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import Conv, Dense, Output
from tests.support import (
    caffe_files,
    cuda_convnet_files,
    matconvnet_files,
    onnx_files,
    other_programs,
    pickled,
)
from tests.support.tiny import SMALL, narrow

WIDTHS = (4, 4, 4, 4, 4, 4, 4, 3)
DENSE = ("classifier.1", "classifier.4", "classifier.6")
TENSORS = (*(f"features.{i}" for i in (0, 3, 6, 8, 10)), *DENSE)


class Format(NamedTuple):
    """A format: how to write a file with random numbers, and the network to read it as."""

    write: Callable[[np.random.Generator], bytes]
    net: Architecture | None
    beside: str = ""  # the name of a second file that belongs to the first
    write_beside: Callable[[np.random.Generator], bytes] | None = None
    is_mean: bool = False


def tiny(net):
    """Return a network with the widths above."""
    widths = iter(WIDTHS)

    def scale(layer):
        match layer:
            case Conv():
                return dataclasses.replace(layer, maps=next(widths))
            case Dense():
                return dataclasses.replace(layer, features=next(widths))
            case Output():
                return dataclasses.replace(layer, classes=next(widths))
        return layer

    return dataclasses.replace(net, layers=tuple(map(scale, net.layers)))


def arrays(rng, groups=other_programs.GROUPS):
    return other_programs.weights(rng, WIDTHS, groups)


def state_dict(rng):
    """Tensors with torchvision's names."""
    pairs = zip(TENSORS, arrays(rng, {}).values(), strict=True)
    return {
        f"{name}.{kind}": array
        for name, pair in pairs
        for kind, array in zip(("weight", "bias"), pair, strict=True)
    }


def checkpoint(tensors):
    """The pickle of a training script: a state_dict beside its epoch and a wrapped optimizer."""
    count = len(tensors)
    state = pickled.state_dict({f"module.{name}": array for name, array in tensors.items()})[2:-1]
    moments = [
        (pickled.number(i), pickled.tensor(pickled.storage(str(i % count), 1), [1]))
        for i in range(4)
    ]
    optimizer = pickled.dictionary([(pickled.text("state"), pickled.dictionary(moments))])
    device = pickled.name("torch.device") + pickled.row(pickled.text("cpu")) + pickled.CALL
    pairs = [("epoch", b"K\x07"), ("optimizer", optimizer), ("device", device), ("model", state)]
    return pickled.program(pickled.dictionary((pickled.text(k), v) for k, v in pairs))


def _zip(rng):
    tensors = state_dict(rng)
    return pickled.zipped(pickled.state_dict(tensors), tensors)


def _checkpoint(rng):
    tensors = state_dict(rng)
    return pickled.zipped(checkpoint(tensors), tensors)


def _sequence(rng):
    tensors = state_dict(rng)
    return pickled.in_a_row(pickled.state_dict(tensors, b"N"), tensors)


def _own(rng):
    params = alexnet_jax.init(jax.random.key(int(rng.integers(99))), SMALL)
    preprocessing = alexnet_jax.Preprocessing(stored_size=8, input_size=8, mean=rng.random(3))
    return through_a_path(
        lambda path: alexnet_jax.save(path, params, SMALL, preprocessing, ["a", "b", "c"])
    )


def through_a_path(write):
    """Return what `write` writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()


def caffe_model(rng, old=False):
    return caffe_files.model(other_programs.CAFFE, arrays(rng), old)


def _binaryproto(rng):
    return caffe_files.blob(rng.random((3, 9, 9), np.float32), True).SerializeToString()


def _npy(rng):
    file = io.BytesIO()
    np.save(file, rng.random((3, 9, 9), np.float32))
    return file.getvalue()


def _toronto(rng, python):
    layers = {}
    for layer, (kernels, biases) in arrays(rng).items():
        axes = (2, 3, 1, 0) if kernels.ndim == 4 else (1, 0)
        layers[layer] = [np.ascontiguousarray(kernels.transpose(axes)), biases]
    if python == 3:
        file = io.BytesIO()
        np.save(file, np.array(layers, object))
        return file.getvalue()
    pairs = [
        (pickled.old_text(layer.encode()), pickled.listed(*map(pickled.old_numpy, pair)))
        for layer, pair in layers.items()
    ]
    return pickled.npy(pickled.dictionary(pairs))


def _onnx(rng):
    model = onnx_files.model
    return model(other_programs.CAFFE, arrays(rng), other_programs.GROUPS, other_programs.PADDING)


def onnx_with_data(rng):
    return onnx_files.with_data_file(_onnx(rng), "net.data")


def _mat(rng, write, **settings):
    mat = matconvnet_files.variables(
        other_programs.CAFFE, arrays(rng), rng.random(3).astype("f4"), fc6_maps=WIDTHS[4]
    )
    mat["classes"] = {"description": matconvnet_files.NAMES[:3]}
    return through_a_path(lambda path: write(path, mat, **settings))


CAFFE, TORCHVISION = tiny(architectures.CAFFE), tiny(architectures.TORCHVISION)
ORIGINAL = narrow(architectures.ORIGINAL)
WEIRD = narrow(architectures.ONE_WEIRD_TRICK)

FORMATS = {
    "torch zip": Format(_zip, TORCHVISION),
    "torch checkpoint": Format(_checkpoint, TORCHVISION),
    "torch sequence": Format(_sequence, TORCHVISION),
    "torch tar": Format(lambda rng: pickled.in_a_tar(state_dict(rng)), TORCHVISION),
    "safetensors": Format(lambda rng: save(state_dict(rng)), TORCHVISION),
    "our own": Format(_own, None),
    "Caffe": Format(lambda rng: caffe_model(rng).SerializeToString(), CAFFE),
    "Caffe before 2015": Format(lambda rng: caffe_model(rng, True).SerializeToString(), CAFFE),
    "mean image": Format(_binaryproto, CAFFE, is_mean=True),
    "mean npy": Format(_npy, CAFFE, is_mean=True),
    "Toronto, Python 2": Format(lambda rng: _toronto(rng, 2), CAFFE),
    "Toronto, Python 3": Format(lambda rng: _toronto(rng, 3), CAFFE),
    "ONNX": Format(lambda rng: _onnx(rng).SerializeToString(), CAFFE),
    "ONNX with data": Format(
        lambda rng: onnx_with_data(rng)[0].SerializeToString(),
        CAFFE,
        "net.data",
        lambda rng: onnx_with_data(rng)[1],
    ),
    "MATLAB 5": Format(lambda rng: _mat(rng, matconvnet_files.version_5, compressed=False), CAFFE),
    "MATLAB 7": Format(lambda rng: _mat(rng, matconvnet_files.version_5), CAFFE),
    "MATLAB 7.3": Format(lambda rng: _mat(rng, matconvnet_files.version_7_3), CAFFE),
    "cuda-convnet": Format(
        lambda rng: cuda_convnet_files.checkpoint_of_2012(cuda_convnet_files.original()), ORIGINAL
    ),
    "cuda-convnet2": Format(
        lambda rng: cuda_convnet_files.checkpoint_of_2014(cuda_convnet_files.one_weird_trick()),
        WEIRD,
    ),
}
