"""ONNX models of a chain of layers, written by the protobuf library from the schema below."""

import dataclasses

import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import architectures, weights
from tests.support import other_programs
from tests.support.protobufs import messages
from tests.support.tiny import narrow

WIDTHS = (6, 16, 24, 24, 16, 32, 32, 7)
TORCH_WIDTHS = (4, 12, 24, 16, 16, 32, 32, 7)
SCHEMA = {  # as in onnx.proto
    "TensorProto": {
        "dims": "1 int64*",
        "data_type": "2 int32",
        "float_data": "4 float+",
        "name": "8 string",
        "raw_data": "9 bytes",
        "double_data": "10 double+",
        "data_location": "14 int32",
    },
    "AttributeProto": {
        "name": "1 string",
        "f": "2 float",
        "i": "3 int64",
        "s": "4 bytes",
        "ints": "8 int64*",
        "type": "20 int32",
    },
    "NodeProto": {
        "input": "1 string*",
        "output": "2 string*",
        "name": "3 string",
        "op_type": "4 string",
        "attribute": "5 AttributeProto*",
    },
    "GraphProto": {"node": "1 NodeProto*", "name": "2 string", "initializer": "5 TensorProto*"},
    "OperatorSet": {"domain": "1 string", "version": "2 int64"},
    "ModelProto": {
        "ir_version": "1 int64",
        "producer_name": "2 string",
        "graph": "7 GraphProto",
        "opset_import": "8 OperatorSet*",
    },
}
PROTO = messages(SCHEMA)


def add_tensor(graph, name, array, raw):
    tensor = graph.initializer.add(name=name, dims=array.shape)
    tensor.data_type = {"float32": 1, "float64": 11, "float16": 10, "int64": 7}[str(array.dtype)]
    if raw or array.dtype != np.float32:
        tensor.raw_data = array.tobytes()
    else:
        tensor.float_data.extend(np.ravel(array))


def model(net, arrays, groups, padding, *, raw=True, transposed=False, pool_end=0, adaptive=False):
    """Return a model whose arrays have numbers as names and are stored in reverse order."""
    proto = PROTO["ModelProto"](ir_version=3, producer_name="onnx-caffe2")
    proto.opset_import.add(version=9)
    graph, last = proto.graph, "data_0"

    def add(kind, *more, **settings):
        nonlocal last
        name = f"{kind.lower()}_{len(graph.node)}"
        node = graph.node.add(op_type=kind, input=[last, *more], output=[name])
        for key, value in settings.items():
            setting = node.attribute.add(name=key)
            if isinstance(value, list):
                setting.ints.extend(value)
                setting.type = 7
            else:
                setattr(setting, "f" if isinstance(value, float) else "i", value)
                setting.type = 1 if isinstance(value, float) else 2
        last = name

    names = {layer: (f"{2 * i}", f"{2 * i + 1}") for i, layer in enumerate(arrays)}
    for token in net.split():
        if token.startswith("conv"):
            stride, size = (4 if token == "conv1" else 1), arrays[token][0].shape[-1]
            group, pads = groups.get(token, 1), [padding[token]] * 4
            shape = [size, size]
            settings = {"strides": [stride] * 2, "pads": pads, "group": group}
            add("Conv", *names[token], kernel_shape=shape, **settings)
        elif token == "relu":
            add("Relu")
        elif token == "norm":
            add("LRN", size=5, alpha=1e-4, beta=0.75, bias=1.0)
        elif token == "pool":
            pads = [0, 0, pool_end, pool_end]
            add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=pads)
        else:
            if token == "fc6":
                if adaptive:
                    add("AveragePool", kernel_shape=[1, 1], strides=[1, 1])
                add("Reshape", "shape")
            settings = {} if transposed else {"transB": 1}
            add("Gemm", *names[token], **settings)
            if token != "fc8":
                add("Dropout", ratio=0.5)
    add("Softmax")
    for token, (kernels, biases) in reversed(arrays.items()):
        matrix = kernels.T.copy() if transposed and kernels.ndim == 2 else kernels
        for name, array in zip(names[token], (matrix, biases)):
            add_tensor(graph, name, array, raw)
    add_tensor(graph, "shape", np.array([1, 576]), True)
    return proto


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(6)
    return other_programs.weights(rng, WIDTHS, other_programs.GROUPS)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    for name in ("CAFFE", "CAFFENET", "TORCHVISION"):
        net = narrow(getattr(architectures, name)).with_classes(1000)
        monkeypatch.setattr(weights.onnx_model, name, dataclasses.replace(net, name=name))


def load(tmp_path, proto):
    path = tmp_path / "weights"
    path.write_bytes(proto.SerializeToString())
    return alexnet_jax.load(path)


def zoo(arrays, **settings):
    groups, padding = other_programs.GROUPS, other_programs.PADDING
    return model(other_programs.CAFFE, arrays, groups, padding, **settings)


def assert_holds(params, arrays, colors):
    for layer, (kernels, biases) in arrays.items():
        ours = np.asarray(params[layer].weights)
        if layer == "conv1":
            kernels = kernels[:, colors]
        if layer == "fc6":
            kernels = kernels.reshape(-1, 16, 6, 6).transpose(0, 2, 3, 1).reshape(len(kernels), -1)
        axes = (2, 3, 1, 0) if kernels.ndim == 4 else (1, 0)
        assert (ours == kernels.transpose(axes)).all()
        assert (np.asarray(params[layer].biases) == biases).all()


@pytest.mark.parametrize(
    "settings",
    [{"pool_end": 1}, {"raw": False}, {"transposed": True}],
    ids=["padded at the end", "numbers in fields", "transposed"],
)
def test_arrays_are_assigned_by_their_place_in_the_graph(tmp_path, arrays, settings):
    params, net, preprocessing = load(tmp_path, zoo(arrays, **settings))
    assert net == weights.onnx_model.CAFFE.with_classes(7)
    assert preprocessing == weights.caffe.PREPROCESSING
    assert_holds(params, arrays, [2, 1, 0])


def test_the_order_of_the_layers_identifies_the_net(tmp_path, arrays):
    groups, padding = other_programs.GROUPS, other_programs.PADDING
    proto = model(other_programs.CAFFENET, arrays, groups, padding)
    assert load(tmp_path, proto)[1] == weights.onnx_model.CAFFENET.with_classes(7)

    arrays = other_programs.weights(np.random.default_rng(7), TORCH_WIDTHS, {})
    proto = model(other_programs.TORCHVISION, arrays, {}, padding | {"conv1": 2}, adaptive=True)
    params, net, preprocessing = load(tmp_path, proto)
    assert net == weights.onnx_model.TORCHVISION.with_classes(7)
    assert preprocessing == weights.torchvision.PREPROCESSING
    assert_holds(params, arrays, [0, 1, 2])


def node(proto, kind):
    return next(node for node in proto.graph.node if node.op_type == kind)


def setting(proto, kind, name):
    return next(a for a in node(proto, kind).attribute if a.name == name)


def rename(kind, other):
    return lambda proto: setattr(node(proto, kind), "op_type", other)


def change(kind, name, **value):
    def apply(proto):
        entry = setting(proto, kind, name)
        entry.ClearField("ints")
        for field, new in value.items():
            getattr(entry, field).extend(new) if field == "ints" else setattr(entry, field, new)

    return apply


def tensor(index, **fields):
    def apply(proto):
        for field, value in fields.items():
            if field == "dims":
                proto.graph.initializer[index].dims[:] = value
            else:
                setattr(proto.graph.initializer[index], field, value)

    return apply


def branch(proto):
    proto.graph.node[3].input[0] = "data_0"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (rename("Relu", "Tanh"), "relu_1: its operator Tanh is not supported"),
        (rename("LRN", "Relu"), "its layers Conv, .* are not those of CAFFE or CAFFENET"),
        (branch, "its node maxpool_3 does not read the output of the one before"),
        (change("Conv", "strides", ints=[4, 2]), "conv_0: it is not the same along both axes"),
        (change("Conv", "strides", ints=[2, 2]), "conv_0 has stride 2 .* CAFFE has stride 4"),
        (change("MaxPool", "pads", ints=[1, 1, 1, 1]), r"padding \(1, 1\), but CAFFE"),
        (change("MaxPool", "kernel_shape", ints=[3, 2]), r"windows are \[3, 2\], .* not square"),
        (change("Gemm", "transB", i=0), r"fc6 has weights of \[576, 32\]"),
        (tensor(0, dims=[2**40]), "gemm_.*: its shape .* is not that of an array"),
        (tensor(0, dims=[2**30]), "gemm_.*: 224 numbers do not make an array"),
        (tensor(0, data_type=3), "gemm_.*: its numbers are of ONNX's type 3"),
        (tensor(0, data_location=1), "gemm_.*: its numbers are in a file without a name"),
        (tensor(0, name="other"), "gemm_.* has no weights and biases"),
    ],
)
def test_another_net_or_a_damaged_one_is_refused_by_its_node(tmp_path, arrays, damage, message):
    proto = zoo(arrays)
    damage(proto)
    with pytest.raises(ValueError, match=f"weights: .*{message}"):
        load(tmp_path, proto)


def test_half_a_model_is_refused(tmp_path, arrays):
    data = zoo(arrays).SerializeToString()
    for size in (30, len(data) // 2, len(data) - 3):
        (tmp_path / "weights").write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"weights: it is (cut off|not a file of weights)"):
            alexnet_jax.load(tmp_path / "weights")
