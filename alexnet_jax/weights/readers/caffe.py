"""Caffe's .caffemodel and .binaryproto: protocol buffers of nets, and of mean images.

Field numbers are those of `caffe.proto`. Nets are kept in its field `layer` or, before 2015, in
`layers`; shapes of arrays in `shape` or, before 2015, in four numbers whatever the rank.
"""

import dataclasses
import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE, CAFFENET
from alexnet_jax.layer_specs import Conv, Dense, MaxPool, Relu, ResponseNorm
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files import protobuf_wire
from alexnet_jax.weights.files.protobuf_wire import Message
from alexnet_jax.weights.loaded import LoadedWeights, fitted, params_of
from alexnet_jax.weights.matching import Found, ParsedSpec, matched

PREPROCESSING = Preprocessing(
    stored_size=256,
    input_size=227,
    mean=np.array([122.679, 116.669, 104.007]),  # of the colors of ilsvrc_2012_mean.npy
    resize="both sides",
    source_colors="BGR",
)
"""As its examples/imagenet have it, but with a mean for each color in the place of an image."""


class _Fields(NamedTuple):
    """The numbers of the fields of one layer."""

    name: int
    kind: int
    blobs: int
    convolution: int
    dense: int
    norm: int
    pool: int
    relu: int


LAYER, LAYERS = 100, 2  # of a net
_FIELDS = {
    LAYER: _Fields(1, 2, 7, convolution=106, dense=117, norm=118, pool=121, relu=123),
    LAYERS: _Fields(4, 5, 6, convolution=10, dense=17, norm=18, pool=19, relu=30),
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
      architecture: the net it has to be, if not CAFFE or CAFFENET with any number of classes.
      mean: as from `mean_image`, or a mean for each color is subtracted.

    Raises:
      ValueError: a net that is another one, or is damaged.
    """
    number = LAYER if LAYER in net else LAYERS
    found = [_found(protobuf_wire.message(layer), _FIELDS[number]) for layer in net[number]]
    laid = [layer for layer in found if layer]
    chosen, arrays = matched(laid, (CAFFE, CAFFENET), architecture)
    params = params_of(chosen, arrays, outputs_first=True, bgr=True)
    return LoadedWeights("Caffe's", params, chosen, preprocessing(chosen, mean))


def preprocessing(net: Architecture, mean: np.ndarray | None) -> Preprocessing:
    """Return what images go through for Caffe's weights, with a mean image if there is one."""
    seen = PREPROCESSING
    if mean is not None:
        seen = dataclasses.replace(seen, stored_size=len(mean), mean=mean)
    return fitted(seen, net)


def mean_image(path: Path) -> np.ndarray:
    """Return the mean image [size, size, 3], RGB, of a .binaryproto or a .npy of Caffe's.

    Both are kept as [3, size, size], blue, green, red. Raises ValueError if it is none.
    """
    data = path.read_bytes()
    try:
        if data.startswith(b"\x93NUMPY"):
            image = np.load(io.BytesIO(data), allow_pickle=False)
        else:
            image = _array(protobuf_wire.message(memoryview(data)))
        image = image.reshape(3, image.shape[-1], image.shape[-1])
    except Exception as error:  # numpy raises several kinds
        raise ValueError(f"{path} is no mean image: {error}") from None
    return image.transpose(1, 2, 0)[..., ::-1]


def is_net(message: Message) -> bool:
    """Whether a message's first fields are those of a net, and of nothing else that is read."""
    layers = message.get(LAYER) or message.get(LAYERS) or [0]
    return not any(isinstance(value, int) for value in (*layers, *message.get(1, [])))


def is_array(message: Message) -> bool:
    """Whether a message is one of arrays, as a mean image is kept."""
    return message.keys() <= set(range(1, 10)) and (5 in message or 8 in message)


def _found(layer: Message, fields: _Fields) -> Found | None:
    """What the file says of a layer; None if it has no effect at test time."""
    name = protobuf_wire.text(layer.get(fields.name, [])) or "a layer without name"
    kind = layer.get(fields.kind, [0])[-1]
    kind = (
        _OLD_KINDS.get(kind, f"number {kind}")
        if isinstance(kind, int)
        else protobuf_wire.text([kind])
    )
    if kind in _WITHOUT_EFFECT:
        return None
    try:
        if fields is _FIELDS[LAYERS] and 1 in layer:
            raise ValueError("it is of Caffe's oldest format, which upgrade_net_proto_binary mends")
        word = _word(kind, layer, fields)
        blobs = [_array(protobuf_wire.message(blob)) for blob in layer.get(fields.blobs, [])]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if len(blobs) != 2:
        return Found(name, word, rounds_up=True)
    weights, biases = blobs
    if isinstance(word, Dense) and weights.shape[:-2] == (1, 1):  # four numbers for two axes
        weights = weights[0, 0]
    return Found(name, word, (weights, biases.reshape(-1)))


def _word(kind: str, layer: Message, fields: _Fields) -> ParsedSpec:
    def settings(number: int) -> Message:
        return protobuf_wire.message(layer.get(number, [memoryview(b"")])[-1])

    match kind:
        case "Convolution":
            given = settings(fields.convolution)
            if _side(given, (18,), 1) != 1:
                raise ValueError("its kernels are dilated")
            pad = _side(given, (3, 9, 10), 0)
            return Conv("", 0, 0, _side(given, (6, 13, 14), 1), (pad, pad))
        case "Pooling":
            given = settings(fields.pool)
            if _side(given, (1,), 0):
                raise ValueError("it does not take the largest value")
            pad = _side(given, (4, 9, 10), 0)
            return MaxPool(_side(given, (2, 5, 6), 0), _side(given, (3, 7, 8), 1), (pad, pad))
        case "LRN":
            given = settings(fields.norm)
            if _side(given, (4,), 0):
                raise ValueError("it normalizes within maps")
            k, alpha = (
                protobuf_wire.real(given.get(5, []), 1),
                protobuf_wire.real(given.get(2, []), 1),
            )
            beta = protobuf_wire.real(given.get(3, []), 0.75)
            return ResponseNorm(_side(given, (1,), 5), k, alpha, beta, divide_alpha_by_n=True)
        case "InnerProduct":
            if _side(settings(fields.dense), (6,), 0):
                raise ValueError("its weights are transposed")
            return Dense("", 0)
        case "ReLU":
            if protobuf_wire.real(settings(fields.relu).get(1, []), 0):
                raise ValueError("it lets a part of negative values through")
            return Relu()
    raise ValueError(f"it is of the kind {kind}, which is not known")


def _array(blob: Message) -> np.ndarray:
    if 7 in blob:
        shape = protobuf_wire.integers(protobuf_wire.message(blob[7][-1]).get(1, []))
    else:
        shape = [
            side for number in (1, 2, 3, 4) for side in protobuf_wire.integers(blob.get(number, []))
        ]
    wide = 5 not in blob
    numbers = protobuf_wire.numbers(blob.get(8 if wide else 5, []), "<f8" if wide else "<f4")
    if min(shape, default=-1) < 0 or math.prod(shape) != numbers.size:
        raise ValueError(f"{numbers.size} numbers do not make an array of {shape}")
    return numbers.reshape(shape)


def _side(parts: Message, numbers: tuple[int, ...], default: int) -> int:
    """The one value of a setting that may be given once, for each axis, or by fields of axes."""
    values = [
        value for number in numbers for value in protobuf_wire.integers(parts.get(number, []))
    ]
    if len(set(values)) > 1:
        raise ValueError(f"it is not the same along both axes: {values}")
    return values[0] if values else default
