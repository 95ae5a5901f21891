"""ONNX files of a chain of layers, such as the model zoo's bvlcalexnet.

Layers are recognized by the order of the nodes: the names of arrays differ between exporters and
versions. Field numbers are those of `onnx.proto`.
"""

import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE, CAFFENET, TORCHVISION
from alexnet_jax.layer_specs import Conv, Dense, MaxPool, Relu, ResponseNorm
from alexnet_jax.printable import printable
from alexnet_jax.weights.files import protobuf_wire
from alexnet_jax.weights.files.onnx_data import DataFiles
from alexnet_jax.weights.files.protobuf_wire import Message
from alexnet_jax.weights.loaded import LoadedWeights, convert_params, fit_preprocessing
from alexnet_jax.weights.matching import ParsedLayer, ParsedSpec, match_architecture, parsed_pool
from alexnet_jax.weights.readers import caffe, torchvision

GRAPH = 7  # field number of a model
_TYPES = {  # with the field that may hold the numbers
    1: ("<f4", 4),
    11: ("<f8", 10),
    10: ("<f2", 0),
    16: (jnp.bfloat16, 0),
}
_WITHOUT_EFFECT = {"Constant", "Dropout", "Flatten", "Identity", "Reshape", "Softmax"}


def read_weights(
    path: Path, model: Message, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Return what an ONNX model holds.

    A network with response normalization is taken for Caffe's, with its color order, mean and
    input of 227 pixels, with which its weights were trained; the zoo's graph declares 224 pixels,
    which costs accuracy.

    Args:
      path: of the file; its numbers may be in others beside it.
      model: the message.
      architecture: the network that it must be, if not CAFFE, CAFFENET or TORCHVISION with any
        number of classes.
      mean: Caffe's mean image, if there is one.

    Raises:
      ValueError: another network, or a damaged one.
    """
    if model.text(2) == "alexnet_jax":
        raise ValueError("alexnet_jax exported it; of its own files it reads .safetensors only")
    layers = _parse_chain(model.message(model[GRAPH][-1]), DataFiles(path))
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


class _Arrays:
    """The arrays of a graph by name, each read at its first use."""

    def __init__(self, graph: Message, files: DataFiles) -> None:
        self.tensors = {tensor.text(8): tensor for tensor in graph.messages(5)}
        self.files = files
        self.read: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.read:
            self.read[name] = _array(self.tensors[name], self.files)
        return self.read[name]


def _parse_chain(graph: Message, files: DataFiles) -> list[ParsedLayer]:
    """The layers of a graph in which each node reads the output of the one before.

    Nodes that compute shapes, of constants and other shapes, are beside this chain.
    """
    arrays, parsed, last = _Arrays(graph, files), [], None
    constants = {"", *arrays.tensors}
    for node in graph.messages(1):
        inputs, outputs = ([protobuf_wire.text(name) for name in node.get(i, [])] for i in (1, 2))
        if node.text(4) == "Shape" or constants.issuperset(inputs):
            constants.update(outputs)
            continue
        if last is not None and inputs[0] != last:
            name = printable(outputs[0], 60) if outputs else "without an output"
            raise ValueError(f"its node {name} does not read the output of the one before")
        last = outputs[0] if outputs else ""
        parsed.append(_parse_node(node, inputs, arrays))
    return [layer for layer in parsed if layer]


class _Attributes:
    """The attributes of a node, by name."""

    def __init__(self, node: Message) -> None:
        self._fields = {fields.text(1): fields for fields in node.messages(5)}

    def integers(self, name: str, *default: int) -> list[int]:
        """The value of an attribute with one integer or several."""
        fields = self._fields.get(name)
        return (fields.integers(8) or fields.integers(3) if fields else []) or list(default)

    def real(self, name: str, default: float) -> float:
        """The value of an attribute with one float."""
        fields = self._fields.get(name)
        return fields.real(2, default) if fields else default

    def text(self, name: str) -> str:
        """The value of an attribute with one string."""
        fields = self._fields.get(name)
        return fields.text(4) if fields else ""

    def stride_and_padding(self) -> tuple[int, tuple[int, int]]:
        """The stride and padding of a window, which must be the same along both axes."""
        top, left, bottom, right = self.integers("pads", 0, 0, 0, 0)
        down, along = self.integers("strides", 1, 1)
        same = (top, bottom, down) == (left, right, along)
        if not same or self.text("auto_pad") not in ("", "NOTSET"):
            raise ValueError("it is not the same along both axes, or padded by a rule")
        if set(self.integers("dilations", 1)) != {1}:
            raise ValueError("it is dilated")
        return down, (top, bottom)


def _parse_node(node: Message, inputs: list[str], available: _Arrays) -> ParsedLayer | None:
    """The layer that a node describes, None if it has no effect at test time."""
    kind, name = printable(node.text(4), 40), printable(node.text(2), 60)
    try:
        attributes = _Attributes(node)
        if kind in _WITHOUT_EFFECT or _has_no_effect(kind, attributes):
            return None
        spec = _parse_spec(kind, attributes)
        if isinstance(spec, MaxPool):
            rounds_up = attributes.integers("ceil_mode", 0) != [0]
            return parsed_pool(name, spec, rounds_up=rounds_up)
        if not isinstance(spec, Conv | Dense):
            return ParsedLayer(name, spec)
        arrays = [available[key] for key in inputs[1:3] if key in available]
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


def _has_no_effect(kind: str, attributes: _Attributes) -> bool:
    """Whether it averages over one pixel, as torchvision's adaptive pooling, or changes floats."""
    if kind == "Cast":
        return attributes.integers("to", 0)[0] in _TYPES
    windows = [*attributes.integers("kernel_shape", 0), *attributes.integers("strides", 1)]
    return kind == "AveragePool" and set(windows) == {1}


def _array(tensor: Message, files: DataFiles) -> np.ndarray:
    [*_, kind] = tensor.integers(2) or [0]
    if kind not in _TYPES:
        raise ValueError(f"its numbers are of ONNX's type {kind}, which is not a float")
    dtype, field = _TYPES[kind]
    shape = tensor.shape(1)
    if tensor.integers(14) not in ([], [0]):
        entries = {entry.text(1): entry.text(2) for entry in tensor.messages(13)}
        data = files.read(entries)
        if len(data) != math.prod(shape) * np.dtype(dtype).itemsize:
            raise ValueError(f"{len(data):,} bytes do not make an array of {shape}")
        return np.frombuffer(data, dtype).reshape(shape)
    numbers = tensor.numbers(9 if 9 in tensor else field, dtype)
    if math.prod(shape) != numbers.size:
        raise ValueError(f"{numbers.size} numbers do not make an array of {shape}")
    return numbers.reshape(shape)
