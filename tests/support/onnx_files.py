"""ONNX models of a chain of layers, written by the protobuf library from a schema of its own."""

import numpy as np

from tests.support.protobufs import messages

SCHEMA = {  # as in onnx.proto
    "Entry": {"key": "1 string", "value": "2 string"},
    "TensorProto": {
        "dims": "1 int64*",
        "data_type": "2 int32",
        "float_data": "4 float+",
        "name": "8 string",
        "raw_data": "9 bytes",
        "double_data": "10 double+",
        "external_data": "13 Entry*",
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


def with_data_file(proto, *names):
    """Move the numbers of a model to files beside it, in turn; return it and their contents."""
    contents = [bytearray() for _ in names]
    for i, tensor in enumerate(proto.graph.initializer):
        name, data = names[i % len(names)], contents[i % len(names)]
        data.extend(bytes(-len(data) % 64))  # aligned, as by the exporter
        entries = {"location": name, "offset": len(data), "length": len(tensor.raw_data)}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        data.extend(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = 1
    return proto, *map(bytes, contents)
