"""Caffe's .caffemodel and .binaryproto: protocol buffers of networks and of mean images.

Field numbers are those of `caffe.proto`. A network's layers are in its field `layer` or, before
2015, `layers`; an array's shape is in `shape` or, before 2015, in four numbers whatever its rank.
"""

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE, CAFFENET
from alexnet_jax.layer_specs import Conv, Dense, MaxPool, Relu, ResponseNorm
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.printable import printable
from alexnet_jax.regular_file import open_regular
from alexnet_jax.weights.files import npy_file
from alexnet_jax.weights.files.protobuf_wire import Message
from alexnet_jax.weights.loaded import LoadedWeights, convert_params, fit_preprocessing
from alexnet_jax.weights.matching import ParsedLayer, ParsedSpec, match_architecture

PREPROCESSING = Preprocessing(
    stored_size=256,
    input_size=227,
    mean=np.array([122.679, 116.669, 104.007]),  # of the colors of ilsvrc_2012_mean.npy
    resize="both sides",
    source_colors="BGR",
)
"""That of Caffe's examples/imagenet, with one mean per color in place of its mean image."""


class _LayerFields(NamedTuple):
    """The field numbers of one layer."""

    name: int
    kind: int
    blobs: int
    convolution: int
    dense: int
    norm: int
    pool: int
    relu: int


LAYER, LAYERS = 100, 2  # field numbers of a network
_FIELDS = {
    LAYER: _LayerFields(1, 2, 7, convolution=106, dense=117, norm=118, pool=121, relu=123),
    LAYERS: _LayerFields(4, 5, 6, convolution=10, dense=17, norm=18, pool=19, relu=30),
}
_OLD_KINDS = {1: "Accuracy", 4: "Convolution", 5: "Data", 6: "Dropout", 12: "ImageData"}
_OLD_KINDS |= {14: "InnerProduct", 15: "LRN", 17: "Pooling", 18: "ReLU", 20: "Softmax"}
_OLD_KINDS |= {21: "SoftmaxWithLoss", 22: "Split", 24: "WindowData", 29: "MemoryData"}
_WITHOUT_EFFECT = {"Accuracy", "Data", "Dropout", "ImageData", "Input", "MemoryData"}
_WITHOUT_EFFECT |= {"Softmax", "SoftmaxWithLoss", "Split", "WindowData"}


def read_weights(
    net: Message, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Return what a .caffemodel holds.

    Args:
      net: the message.
      architecture: the network that it must be, if not CAFFE or CAFFENET with any number of
        classes.
      mean: from `read_mean_image`; if None, one mean per color is subtracted.

    Raises:
      ValueError: another network, or a damaged one.
    """
    number = LAYER if LAYER in net else LAYERS
    parsed = [_parse_layer(layer, _FIELDS[number]) for layer in net.messages(number)]
    layers = [layer for layer in parsed if layer]
    matched, arrays = match_architecture(layers, (CAFFE, CAFFENET), architecture)
    params = convert_params(matched, arrays, outputs_first=True, bgr=True)
    return LoadedWeights("Caffe's", params, matched, make_preprocessing(matched, mean))


def make_preprocessing(net: Architecture, mean: np.ndarray | None) -> Preprocessing:
    """Return the preprocessing of Caffe's weights, with a mean image if there is one."""
    preprocessing = PREPROCESSING
    if mean is not None:
        preprocessing = dataclasses.replace(preprocessing, stored_size=len(mean), mean=mean)
    return fit_preprocessing(preprocessing, net)


def read_mean_image(path: Path) -> np.ndarray:
    """Return the mean image [size, size, 3], RGB, of Caffe's .binaryproto or .npy.

    Both hold it as [3, size, size], blue, green, red. Raises ValueError for another file.
    """
    try:
        with open_regular(path) as file:
            data = file.read(npy_file.MAX_BYTES)
        if data.startswith(npy_file.MAGIC):
            image = npy_file.read(path)
        else:
            message = Message(memoryview(data))
            if message.damage:
                raise message.damage
            image = _array(message)
        image = image.reshape(3, image.shape[-1], image.shape[-1])
    except OSError:
        raise
    except Exception as error:  # numpy raises several kinds
        reason = printable(" ".join(str(error).split()), 200)
        raise ValueError(f"{printable(path)} is not a mean image: {reason}") from None
    return image.transpose(1, 2, 0)[..., ::-1]


def is_net(message: Message) -> bool:
    """Return whether a message's fields are those of a network, and of no other file we read."""
    layers = message.get(LAYER) or message.get(LAYERS) or [0]
    return not any(isinstance(value, int) for value in (*layers, *message.get(1, [])))


def is_array(message: Message) -> bool:
    """Return whether a message is an array, which is how a mean image is stored."""
    return message.keys() <= set(range(1, 10)) and (5 in message or 8 in message)


def _parse_layer(layer: Message, fields: _LayerFields) -> ParsedLayer | None:
    """The layer that the file describes, None if it has no effect at test time."""
    name = layer.text(fields.name) or "a layer without a name"
    kind = layer.get(fields.kind, [0])[-1]
    kind = (
        _OLD_KINDS.get(kind, f"number {kind}") if isinstance(kind, int) else layer.text(fields.kind)
    )
    if kind in _WITHOUT_EFFECT:
        return None
    try:
        if fields is _FIELDS[LAYERS] and 1 in layer:
            raise ValueError(
                "it is in Caffe's oldest format, which upgrade_net_proto_binary converts"
            )
        spec = _parse_spec(kind, layer, fields)
        blobs = [_array(blob) for blob in layer.messages(fields.blobs)]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if len(blobs) != 2:
        return ParsedLayer(name, spec, rounds_up=True)
    weights, biases = blobs
    if isinstance(spec, Dense) and weights.shape[:-2] == (1, 1):  # two axes in an old file's four
        weights = weights[0, 0]
    return ParsedLayer(name, spec, (weights, biases.reshape(-1)))


def _parse_spec(kind: str, layer: Message, fields: _LayerFields) -> ParsedSpec:
    def parameters(number: int) -> Message:
        return layer.message(layer.get(number, [memoryview(b"")])[-1])

    match kind:
        case "Convolution":
            conv = parameters(fields.convolution)
            if _single_value(conv, (18,), 1) != 1:
                raise ValueError("its kernels are dilated")
            pad = _single_value(conv, (3, 9, 10), 0)
            return Conv("conv", 1, 1, _single_value(conv, (6, 13, 14), 1), (pad, pad))
        case "Pooling":
            pool = parameters(fields.pool)
            if _single_value(pool, (1,), 0):
                raise ValueError("it is not max pooling")
            pad = _single_value(pool, (4, 9, 10), 0)
            size, stride = _single_value(pool, (2, 5, 6), 0), _single_value(pool, (3, 7, 8), 1)
            return MaxPool(size, stride, (pad, pad))
        case "LRN":
            norm = parameters(fields.norm)
            if _single_value(norm, (4,), 0):
                raise ValueError("it normalizes within maps")
            n, k = _single_value(norm, (1,), 5), norm.real(5, 1)
            alpha = norm.real(2, 1)
            beta = norm.real(3, 0.75)
            return ResponseNorm(n, k, alpha, beta, divide_alpha_by_n=True)
        case "InnerProduct":
            if _single_value(parameters(fields.dense), (6,), 0):
                raise ValueError("its weights are transposed")
            return Dense("dense", 1)
        case "ReLU":
            if parameters(fields.relu).real(1, 0):
                raise ValueError("it is a leaky ReLU")
            return Relu()
    raise ValueError(f"its type {kind} is not supported")


def _array(blob: Message) -> np.ndarray:
    shape = blob.message(blob[7][-1]).shape(1) if 7 in blob else blob.shape(1, 2, 3, 4)
    double = 5 not in blob
    numbers = blob.numbers(8 if double else 5, "<f8" if double else "<f4")
    if not shape or math.prod(shape) != numbers.size:
        raise ValueError(f"{numbers.size} numbers do not make an array of {shape}")
    return numbers.reshape(shape)


def _single_value(message: Message, fields: tuple[int, ...], default: int) -> int:
    """The value of a setting, which a file may state once, per axis, or in a field per axis."""
    values = message.integers(*fields)
    if len(set(values)) > 1:
        raise ValueError(f"it is not the same along both axes: {values}")
    return values[0] if values else default
