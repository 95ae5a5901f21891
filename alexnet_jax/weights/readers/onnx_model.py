"""ONNX files of a chain of layers, such as the model zoo's bvlcalexnet.

Layers are recognized by the order of the nodes: the names of arrays differ between exporters and
versions. Field numbers are those of `onnx.proto`.
"""

import math

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE, CAFFENET, TORCHVISION
from alexnet_jax.layer_specs import Conv, Dense, MaxPool, Relu, ResponseNorm
from alexnet_jax.weights.files import protobuf_wire
from alexnet_jax.weights.files.protobuf_wire import Message
from alexnet_jax.weights.loaded import LoadedWeights, convert_params, fit_preprocessing
from alexnet_jax.weights.matching import ParsedLayer, ParsedSpec, match_architecture, parsed_pool
from alexnet_jax.weights.readers import caffe, torchvision

GRAPH = 7  # field number of a model
_TYPES = {1: ("<f4", 4), 11: ("<f8", 10), 10: ("<f2", 0)}  # and the field that may hold the numbers
_WITHOUT_EFFECT = {"Constant", "Dropout", "Flatten", "Identity", "Reshape", "Softmax"}


def read_weights(
    model: Message, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Return what an ONNX model holds.

    A network with response normalization is taken for Caffe's, with its color order, mean and
    input of 227 pixels, with which its weights were trained; the zoo's graph declares 224 pixels,
    which costs accuracy.

    Args:
      model: the message.
      architecture: the network that it must be, if not CAFFE, CAFFENET or TORCHVISION with any
        number of classes.
      mean: Caffe's mean image, if there is one.

    Raises:
      ValueError: another network, or a damaged one.
    """
    if protobuf_wire.text(model.get(2, [])) == "alexnet_jax":
        raise ValueError("alexnet_jax exported it; of its own files it reads .safetensors only")
    graph = protobuf_wire.message(model[GRAPH][-1])
    tensors = {}
    for tensor in map(protobuf_wire.message, graph.get(5, [])):
        tensors[protobuf_wire.text(tensor.get(8, []))] = tensor
    parsed, last = [], None
    for node in map(protobuf_wire.message, graph.get(1, [])):
        inputs, outputs = ([protobuf_wire.text([name]) for name in node.get(i, [])] for i in (1, 2))
        if not inputs:
            continue  # a constant
        if last is not None and inputs[0] != last:
            raise ValueError(f"its node {outputs[0]} does not read the output of the one before")
        last = outputs[0]
        parsed.append(_parse_node(node, inputs, tensors))
    layers = [layer for layer in parsed if layer]
    net, arrays = match_architecture(layers, (CAFFE, CAFFENET, TORCHVISION), architecture)
    is_caffes = any(isinstance(layer.spec, ResponseNorm) for layer in layers)
    if mean is not None and not is_caffes:
        raise ValueError(f"a mean image belongs to Caffe's networks, and this is {net.name}")
    params = convert_params(net, arrays, outputs_first=True, bgr=is_caffes)
    if is_caffes:
        preprocessing = caffe.make_preprocessing(net, mean)
    else:
        preprocessing = fit_preprocessing(torchvision.PREPROCESSING, net)
    return LoadedWeights("ONNX", params, net, preprocessing)


def is_model(message: Message) -> bool:
    """Return whether a message is a model: a version, a graph, and more."""
    version, graph = message.get(1, [b""])[0], message.get(GRAPH, [0])[0]
    return isinstance(version, int) and not isinstance(graph, int)


class _Attributes:
    """The attributes of a node, by name."""

    def __init__(self, node: Message) -> None:
        messages = map(protobuf_wire.message, node.get(5, []))
        self._fields = {protobuf_wire.text(fields.get(1, [])): fields for fields in messages}

    def integers(self, name: str, *default: int) -> list[int]:
        """The value of an attribute with one integer or several."""
        fields = self._fields.get(name, {})
        return protobuf_wire.integers(fields.get(8, []) or fields.get(3, [])) or list(default)

    def real(self, name: str, default: float) -> float:
        """The value of an attribute with one float."""
        return protobuf_wire.real(self._fields.get(name, {}).get(2, []), default)

    def stride_and_padding(self) -> tuple[int, tuple[int, int]]:
        """The stride and padding of a window, which must be the same along both axes."""
        top, left, bottom, right = self.integers("pads", 0, 0, 0, 0)
        down, along = self.integers("strides", 1, 1)
        rule = protobuf_wire.text(self._fields.get("auto_pad", {}).get(4, []))
        if (top, bottom, down) != (left, right, along) or rule not in ("", "NOTSET"):
            raise ValueError("it is not the same along both axes, or padded by a rule")
        if set(self.integers("dilations", 1)) != {1}:
            raise ValueError("it is dilated")
        return down, (top, bottom)


def _parse_node(
    node: Message, inputs: list[str], tensors: dict[str, Message]
) -> ParsedLayer | None:
    """The layer that a node describes, None if it has no effect at test time."""
    kind, name = protobuf_wire.text(node.get(4, [])), protobuf_wire.text(node.get(2, []))
    try:
        attributes = _Attributes(node)
        if kind in _WITHOUT_EFFECT or _is_identity_pool(kind, attributes):
            return None
        spec = _parse_spec(kind, attributes)
        if isinstance(spec, MaxPool):
            rounds_up = attributes.integers("ceil_mode", 0) != [0]
            return parsed_pool(name, spec, rounds_up=rounds_up)
        if not isinstance(spec, Conv | Dense):
            return ParsedLayer(name, spec)
        arrays = [_array(tensors[key]) for key in inputs[1:] if key in tensors]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if len(arrays) != 2:
        return ParsedLayer(name, spec)
    weights, biases = arrays
    inputs_first = isinstance(spec, Dense) and attributes.integers("transB", 0) == [0]
    return ParsedLayer(name, spec, (weights.T if inputs_first else weights, biases.reshape(-1)))


def _parse_spec(kind: str, attributes: _Attributes) -> ParsedSpec:
    match kind:
        case "Conv":
            return Conv("conv", 1, 1, *attributes.stride_and_padding())
        case "MaxPool":
            stride, padding = attributes.stride_and_padding()
            size, *others = attributes.integers("kernel_shape", 0)
            if {size, *others} != {size}:
                raise ValueError(f"its windows are {[size, *others]}, which are not square")
            return MaxPool(size, stride, padding)
        case "LRN":
            [n], k = attributes.integers("size", 0), attributes.real("bias", 1)
            alpha, beta = attributes.real("alpha", 1e-4), attributes.real("beta", 0.75)
            return ResponseNorm(n, k, alpha, beta, divide_alpha_by_n=True)
        case "Gemm":
            factors = {attributes.real("alpha", 1), attributes.real("beta", 1)}
            if attributes.integers("transA", 0) != [0] or factors != {1}:
                raise ValueError("it is scaled or transposed")
            return Dense("dense", 1)
        case "Relu":
            return Relu()
    raise ValueError(f"its operator {kind} is not supported")


def _is_identity_pool(kind: str, attributes: _Attributes) -> bool:
    """Whether it is an average over one pixel, as PyTorch writes torchvision's adaptive pooling."""
    windows = [*attributes.integers("kernel_shape", 0), *attributes.integers("strides", 1)]
    return kind == "AveragePool" and set(windows) == {1}


def _array(tensor: Message) -> np.ndarray:
    [*_, kind] = protobuf_wire.integers(tensor.get(2, [])) or [0]
    if kind not in _TYPES:
        raise ValueError(f"its numbers are of ONNX's type {kind}, which is not a float")
    if protobuf_wire.integers(tensor.get(14, [])) not in ([], [0]):
        raise ValueError("its numbers are in another file")
    dtype, field = _TYPES[kind]
    numbers = protobuf_wire.numbers(tensor.get(9, []) or tensor.get(field, []), dtype)
    shape = protobuf_wire.integers(tensor.get(1, []))
    if min(shape, default=0) < 0 or math.prod(shape) != numbers.size:
        raise ValueError(f"{numbers.size} numbers do not make an array of {shape}")
    return numbers.reshape(shape)
