"""ONNX files of a chain of layers, as the model zoo's bvlcalexnet: found by their place in it.

Names of arrays differ from exporter to exporter and from version to version; the order of the
nodes does not. Field numbers are those of `onnx.proto`.
"""

import math

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE, CAFFENET, TORCHVISION
from alexnet_jax.layer_specs import Conv, Dense, MaxPool, Relu, ResponseNorm
from alexnet_jax.weights.files import protobuf_wire
from alexnet_jax.weights.files.protobuf_wire import Message
from alexnet_jax.weights.loaded import LoadedWeights, fitted, params_of
from alexnet_jax.weights.matching import Found, ParsedSpec, matched, pooled
from alexnet_jax.weights.readers import caffe, torchvision

GRAPH = 7  # of a model
_TYPES = {1: ("<f4", 4), 11: ("<f8", 10), 10: ("<f2", 0)}  # and the field that may hold them
_WITHOUT_EFFECT = {"Constant", "Dropout", "Flatten", "Identity", "Reshape", "Softmax"}


def read_weights(
    model: Message, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Return what an ONNX model holds whose layers are those of CAFFE, CAFFENET or TORCHVISION.

    A net with response normalization is taken to be Caffe's, with its colors, mean and images
    of 227 pixels, as its weights were trained; the zoo's graph reads 224 and loses by it.

    Args:
      model: the message.
      architecture: the net it has to be instead.
      mean: Caffe's mean image, if there is one.

    Raises:
      ValueError: a net that is another one, or is damaged.
    """
    if protobuf_wire.text(model.get(2, [])) == "alexnet_jax":
        raise ValueError("alexnet_jax exported it, and reads its .safetensors only")
    graph = protobuf_wire.message(model[GRAPH][-1])
    tensors = {}
    for tensor in map(protobuf_wire.message, graph.get(5, [])):
        tensors[protobuf_wire.text(tensor.get(8, []))] = tensor
    found, last = [], None
    for node in map(protobuf_wire.message, graph.get(1, [])):
        inputs, outputs = ([protobuf_wire.text([name]) for name in node.get(i, [])] for i in (1, 2))
        if not inputs:
            continue  # a constant
        if last is not None and inputs[0] != last:
            raise ValueError(f"its node that makes {outputs[0]} does not follow on the one before")
        last = outputs[0]
        found.append(_found(node, inputs, tensors))
    laid = [layer for layer in found if layer]
    net, arrays = matched(laid, (CAFFE, CAFFENET, TORCHVISION), architecture)
    of_caffe = any(isinstance(layer.word, ResponseNorm) for layer in laid)
    if mean is not None and not of_caffe:
        raise ValueError(f"a mean image belongs to Caffe's nets, and this is {net.name}")
    params = params_of(net, arrays, outputs_first=True, bgr=of_caffe)
    seen = caffe.preprocessing(net, mean) if of_caffe else fitted(torchvision.PREPROCESSING, net)
    return LoadedWeights("ONNX", params, net, seen)


def is_model(message: Message) -> bool:
    """Whether a message is a model: a version, a graph, and more."""
    version, graph = message.get(1, [b""])[0], message.get(GRAPH, [0])[0]
    return isinstance(version, int) and not isinstance(graph, int)


class _Settings:
    """The attributes of a node, by their names."""

    def __init__(self, node: Message) -> None:
        attributes = map(protobuf_wire.message, node.get(5, []))
        self._fields = {protobuf_wire.text(fields.get(1, [])): fields for fields in attributes}

    def integers(self, name: str, *default: int) -> list[int]:
        """Of one integer, or a row of them."""
        fields = self._fields.get(name, {})
        return protobuf_wire.integers(fields.get(8, []) or fields.get(3, [])) or list(default)

    def real(self, name: str, default: float) -> float:
        """Of one floating number."""
        return protobuf_wire.real(self._fields.get(name, {}).get(2, []), default)

    def stride_and_padding(self) -> tuple[int, tuple[int, int]]:
        """Of a window, which must be the same along both axes."""
        top, left, bottom, right = self.integers("pads", 0, 0, 0, 0)
        down, along = self.integers("strides", 1, 1)
        rule = protobuf_wire.text(self._fields.get("auto_pad", {}).get(4, []))
        if (top, bottom, down) != (left, right, along) or rule not in ("", "NOTSET"):
            raise ValueError("it is not the same along both axes, or padded by a rule")
        if set(self.integers("dilations", 1)) != {1}:
            raise ValueError("it is dilated")
        return down, (top, bottom)


def _found(node: Message, inputs: list[str], tensors: dict[str, Message]) -> Found | None:
    """What the file says of a node; None if it has no effect at test time."""
    kind, name = protobuf_wire.text(node.get(4, [])), protobuf_wire.text(node.get(2, []))
    try:
        settings = _Settings(node)
        if kind in _WITHOUT_EFFECT or _keeps_all(kind, settings):
            return None
        word = _word(kind, settings)
        if isinstance(word, MaxPool):
            return pooled(name, word, rounds_up=settings.integers("ceil_mode", 0) != [0])
        if not isinstance(word, Conv | Dense):
            return Found(name, word)
        arrays = [_array(tensors[key]) for key in inputs[1:] if key in tensors]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if len(arrays) != 2:
        return Found(name, word)
    weights, biases = arrays
    inputs_first = isinstance(word, Dense) and settings.integers("transB", 0) == [0]
    return Found(name, word, (weights.T if inputs_first else weights, biases.reshape(-1)))


def _word(kind: str, settings: _Settings) -> ParsedSpec:
    match kind:
        case "Conv":
            return Conv("", 0, 0, *settings.stride_and_padding())
        case "MaxPool":
            stride, padding = settings.stride_and_padding()
            size, *others = settings.integers("kernel_shape", 0)
            if {size, *others} != {size}:
                raise ValueError(f"its windows are {[size, *others]}, which is no square")
            return MaxPool(size, stride, padding)
        case "LRN":
            [n], k = settings.integers("size", 0), settings.real("bias", 1)
            alpha, beta = settings.real("alpha", 1e-4), settings.real("beta", 0.75)
            return ResponseNorm(n, k, alpha, beta, divide_alpha_by_n=True)
        case "Gemm":
            factors = {settings.real("alpha", 1), settings.real("beta", 1)}
            if settings.integers("transA", 0) != [0] or factors != {1}:
                raise ValueError("it is more than a product and a sum")
            return Dense("", 0)
        case "Relu":
            return Relu()
    raise ValueError(f"it comes from {kind}, which is not known")


def _keeps_all(kind: str, settings: _Settings) -> bool:
    """Whether it is the mean over one pixel: PyTorch writes it for torchvision's adaptive one."""
    windows = [*settings.integers("kernel_shape", 0), *settings.integers("strides", 1)]
    return kind == "AveragePool" and set(windows) == {1}


def _array(tensor: Message) -> np.ndarray:
    [*_, kind] = protobuf_wire.integers(tensor.get(2, [])) or [0]
    if kind not in _TYPES:
        raise ValueError(f"its numbers are of ONNX's type {kind}, which is no floating one")
    if protobuf_wire.integers(tensor.get(14, [])) not in ([], [0]):
        raise ValueError("its numbers are kept in another file")
    dtype, field = _TYPES[kind]
    numbers = protobuf_wire.numbers(tensor.get(9, []) or tensor.get(field, []), dtype)
    shape = protobuf_wire.integers(tensor.get(1, []))
    if min(shape, default=0) < 0 or math.prod(shape) != numbers.size:
        raise ValueError(f"{numbers.size} numbers do not make an array of {shape}")
    return numbers.reshape(shape)
