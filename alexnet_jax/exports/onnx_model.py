"""A network as an ONNX model, written node by node; needs the package onnx.

Its maps are [n, maps, height, width], with the towers' maps in order.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from alexnet_jax.architecture import Architecture, LayerInfo
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    MaxPool,
    MeanPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Split,
    Tanh,
)
from alexnet_jax.params import Params
from alexnet_jax.preprocessing import Preprocessing

OPSET, IR_VERSION = 17, 8  # of 2022: every runtime of today reads them


def serialize(
    params: Params,
    architecture: Architecture,
    preprocessing: Preprocessing,
    class_names: Sequence[str] = (),
    layers: Collection[str] = (),
) -> bytes:
    """Return a model from `pictures` to `scores` with preprocessing and parameters in it.

    Its input is uint8 [n, stored_size, stored_size, 3], RGB, for any n; its output the logits,
    float32 [n, classes]. The metadata have the `class_names` as JSON, if there are any. The outputs
    of the named `layers` are further outputs, float32 [n, maps, height, width] or [n, features], in
    the order of the network; relu1's is called `layers/relu1`.

    Raises ValueError without the package onnx, or for a layer that ONNX does not have.
    """
    try:
        import onnx  # pyright: ignore[reportMissingImports] - an extra
    except ImportError:
        raise ValueError(".onnx needs the package onnx: pip install onnx") from None
    graph, size = _Graph(), preprocessing.stored_size
    _add_preprocessing(graph, preprocessing)
    helper, kind = onnx.helper, onnx.TensorProto
    outputs = [helper.make_tensor_value_info("scores", kind.FLOAT, ["n", architecture.classes])]
    for info in architecture.layer_info(preprocessing.input_size):
        _add_layer(graph, info, params, architecture.towers)
        if info.name in layers:
            *sides, maps = info.output_shape
            name = graph.add("Identity", output=f"layers/{info.name}")
            outputs.append(helper.make_tensor_value_info(name, kind.FLOAT, ["n", maps, *sides]))
    graph.add("Identity", output="scores")
    pictures = helper.make_tensor_value_info("pictures", kind.UINT8, ["n", size, size, 3])
    arrays = [onnx.numpy_helper.from_array(a, name) for name, a in graph.arrays.items()]
    nodes = [helper.make_node(kind, *names, **settings) for kind, *names, settings in graph.nodes]
    onnx_graph = helper.make_graph(nodes, architecture.name, [pictures], outputs, arrays)
    imports = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(onnx_graph, producer_name="alexnet_jax", opset_imports=imports)
    model.ir_version = IR_VERSION
    if class_names:
        helper.set_model_props(model, {"class_names": json.dumps(list(class_names))})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class _Graph:
    """Nodes and arrays of a graph; `last` is the name of the latest node's output."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.last = "pictures"

    def add(self, kind: str, *more: Any, on: str = "", output: str = "", **settings: Any) -> str:
        """Add a node that reads `last`, or `on`, and `more`; return the name of its output."""
        inputs = [on or self.last]
        for item in more:
            if not isinstance(item, str):
                array = np.asarray(item)
                item = f"array{len(self.arrays)}"
                self.arrays[item] = array
            inputs.append(item)
        self.last = output or f"{kind}{len(self.nodes)}"
        self.nodes.append((kind, inputs, [self.last], settings))
        return self.last

    def reshape(self, *sizes: int) -> None:
        """Add a node that reshapes to these sizes, of which -1 is the number of images."""
        self.add("Reshape", np.array(sizes, np.int64))


def _add_preprocessing(graph: _Graph, preprocessing: Preprocessing) -> None:
    start = (preprocessing.stored_size - preprocessing.input_size) // 2
    ends = np.array([[start] * 2, [start + preprocessing.input_size] * 2, [1, 2]])
    mean = preprocessing.mean
    if mean.ndim == 3:
        mean = mean[ends[0, 0] : ends[1, 0], ends[0, 0] : ends[1, 0]]
    graph.add("Slice", *ends.astype(np.int64))
    graph.add("Cast", to=1)
    graph.add("Mul", np.float32(preprocessing.scale))
    graph.add("Sub", mean)
    graph.add("Div", np.array(preprocessing.std, np.float32))
    graph.add("Transpose", perm=[0, 3, 1, 2])


def _add_layer(graph: _Graph, info: LayerInfo, params: Params, towers: int) -> None:
    """Add the nodes of a layer at test time. Raises ValueError for a type that ONNX cannot say."""
    arrays = [np.asarray(leaf, np.float32) for leaf in params.get(info.name, ())]
    match info.spec:
        case layer if layer.has_apply:  # a user's own, also one made from one of ours
            raise _no_layer(info)
        case Conv() as layer:
            kernels, biases = arrays
            groups = info.input_shape[2] // kernels.shape[2]
            kernels = np.ascontiguousarray(kernels.transpose(3, 2, 0, 1))
            graph.add("Conv", kernels, biases, group=groups, **_window(layer))
        case Dense() if not info.replicated_in and towers > 1:
            _add_dense_per_tower(graph, arrays[0], arrays[1], towers)
        case Dense() | Output():
            graph.add("Gemm", *arrays)
        case Relu():
            graph.add("Relu")
        case Tanh():
            graph.add("Tanh")
        case ResponseNorm() as layer:
            _add_response_norm(graph, layer, info, towers)
        case SpatialNorm() as layer:
            _add_spatial_norm(graph, layer)
        case BatchNorm(epsilon=epsilon):
            stats = [np.asarray(leaf, np.float32) for leaf in params[str(info.stats_name)]]
            graph.add("BatchNormalization", *arrays, *stats, epsilon=float(epsilon))
        case MaxPool() as layer:
            graph.add("MaxPool", kernel_shape=[layer.size] * 2, **_window(layer))
        case MeanPool() as layer:
            graph.add("AveragePool", kernel_shape=[layer.size] * 2, **_window(layer))
        case Flatten():
            _add_flatten(graph, info, towers)
        case Dropout(inverted=False):
            graph.add("Mul", np.float32(0.5))
        case Dropout() | Gather() | Split():
            pass
        case _:
            raise _no_layer(info)


def _no_layer(info: LayerInfo) -> ValueError:
    kind = type(info.spec).__name__
    return ValueError(f"ONNX has no layer for {info.name}, a {kind}; .stablehlo holds any network")


def _window(layer: Conv | MaxPool | MeanPool) -> dict[str, Any]:
    before, after = layer.padding
    return {"strides": [layer.stride] * 2, "pads": [before, before, after, after]}


def _add_dense_per_tower(
    graph: _Graph, weights: np.ndarray, biases: np.ndarray, towers: int
) -> None:
    """Each tower multiplies its own features with its own columns of the weights."""
    features, inputs, outputs = weights.shape[0], graph.last, []
    columns = zip(np.split(weights, towers, axis=1), np.split(biases, towers), strict=True)
    for tower, (tower_weights, tower_biases) in enumerate(columns):
        ends = np.array([[tower * features], [(tower + 1) * features], [1]])
        graph.add("Slice", *ends.astype(np.int64), on=inputs)
        outputs.append(graph.add("Gemm", tower_weights, tower_biases))
    graph.add("Concat", *outputs[1:], on=outputs[0], axis=1)


def _add_response_norm(graph: _Graph, layer: ResponseNorm, info: LayerInfo, towers: int) -> None:
    """ONNX divides alpha by n. Towers that are not gathered are normalized as separate images."""
    alpha = layer.alpha if layer.divide_alpha_by_n else layer.alpha * layer.n
    separate = towers > 1 and not info.replicated_in
    height, width, maps = info.input_shape
    if separate:
        graph.reshape(-1, maps // towers, height, width)
    alpha, beta, bias = map(float, (alpha, layer.beta, layer.k))  # ONNX takes no whole numbers
    graph.add("LRN", size=layer.n, alpha=alpha, beta=beta, bias=bias)
    if separate:
        graph.reshape(-1, maps, height, width)


def _add_spatial_norm(graph: _Graph, layer: SpatialNorm) -> None:
    """Alpha is divided by the number of pixels, as AveragePool over a zero-padded window does."""
    maps, reach = graph.last, layer.size // 2
    graph.add("Mul", maps)
    window: dict[str, Any] = {
        "kernel_shape": [layer.size] * 2,
        "pads": [reach] * 4,
        "strides": [1, 1],
    }
    graph.add("AveragePool", count_include_pad=1, **window)
    graph.add("Mul", np.float32(layer.alpha))
    graph.add("Add", np.float32(layer.k))
    graph.add("Pow", np.float32(layer.beta))
    graph.add("Div", graph.last, on=maps)


def _add_flatten(graph: _Graph, info: LayerInfo, towers: int) -> None:
    """Features run over rows, columns and all maps, or the maps of each tower if not gathered."""
    height, width, maps = info.input_shape
    towers = 1 if info.replicated_in else towers
    graph.reshape(-1, towers, maps // towers, height, width)
    graph.add("Transpose", perm=[0, 1, 3, 4, 2])
    graph.reshape(-1, height * width * maps)
