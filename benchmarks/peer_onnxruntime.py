"""The paper's two-tower network in ONNX Runtime, to compare the forward pass with."""

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from benchmarks.worker import Prepared, serve


def paper() -> onnx.ModelProto:
    """Return the graph of alexnet_jax.architectures.PAPER with random weights."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []

    def add(operator: str, inputs: list[str], outputs: int = 1, **attributes: object) -> list[str]:
        names = [f"{operator}{len(nodes)}_{i}" for i in range(outputs)]
        nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def layer(*shape: int) -> list[str]:
        names = [f"weights{len(weights)}", f"biases{len(weights)}"]
        for name, size in zip(names, (shape, shape[:1]), strict=True):
            array = 0.01 * rng.standard_normal(size, np.float32)
            weights.append(numpy_helper.from_array(array, name))
        return names

    def conv(x: str, *shape: int, **attributes: object) -> str:
        [x] = add("Conv", [x, *layer(*shape)], **attributes)
        return add("Relu", [x])[0]

    def norm(x: str) -> str:  # ONNX divides alpha by the size
        numbers = {"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0}
        halves = add("Split", [x], 2, axis=1, num_outputs=2)
        return add("Concat", [add("LRN", [half], **numbers)[0] for half in halves], axis=1)[0]

    def pool(x: str) -> str:
        return add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])[0]

    def dense(x: str, *shape: int) -> str:
        return add("Gemm", [x, *layer(*shape)], transB=1)[0]

    x = pool(norm(conv("images", 96, 3, 11, 11, strides=[4, 4], pads=[0, 0, 3, 3])))
    x = pool(norm(conv(x, 256, 48, 5, 5, pads=[2] * 4, group=2)))
    x = conv(x, 384, 256, 3, 3, pads=[1] * 4)
    x = conv(x, 384, 192, 3, 3, pads=[1] * 4, group=2)
    x = pool(conv(x, 256, 192, 3, 3, pads=[1] * 4, group=2))
    x = add("Flatten", [x])[0]
    for width, inputs in ((4096, 9216), (4096, 4096)):
        x = add("Relu", [dense(x, width, inputs)])[0]
    x = dense(x, 1000, 4096)
    graph = helper.make_graph(
        nodes,
        "paper",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, 224, 224])],
        [helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, ["n", 1000])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def prepare(task: str, batch: int) -> Prepared:
    """Return one forward pass on random images. Raises ValueError for another task."""
    if task != "forward":
        raise ValueError("ONNX Runtime does not train")
    session = onnxruntime.InferenceSession(paper().SerializeToString())
    images = np.random.default_rng(0).normal(0, 60, (batch, 3, 224, 224)).astype(np.float32)
    return lambda: session.run(None, {"images": images})


if __name__ == "__main__":
    serve(prepare)
