"""CAFFE and TORCHVISION at full size against other programs, where those are installed.

ONNX Runtime and the reference evaluator of the package onnx run the same arrays in a graph that
the library did not write; torchvision's own class reads the file that the library writes.
"""

import contextlib

import jax
import numpy as np
import pytest
from PIL import Image

import alexnet_jax
from alexnet_jax import Preprocessing, architectures, exports, weights
from tests.library.weights import test_onnx_weights, test_torchvision_weights
from tests.support import caffe_files, other_programs
from tests.support.tiny import draw_params

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from tests.support import onnx_judge  # noqa: E402 - needs onnx

WIDTHS = {
    "CAFFE": (96, 256, 384, 384, 256, 4096, 4096, 1000),
    "TORCHVISION": (64, 192, 384, 256, 256, 4096, 4096, 1000),
}


def make_model(name, arrays):
    """Return a complete ONNX model: `test_onnx_weights.model` with its inputs and outputs."""
    groups, padding = {}, test_torchvision_weights.PADDING
    if name == "CAFFE":
        groups, padding = other_programs.GROUPS, other_programs.PADDING
    proto = test_onnx_weights.model(getattr(other_programs, name), arrays, groups, padding)
    proto.ir_version = 8  # a version in which arrays need not be inputs too
    model = onnx.load_from_string(proto.SerializeToString())
    size, helper = architectures.by_name(name).image_sizes[0], onnx.helper
    shape = helper.make_tensor_value_info("data_0", 1, ["n", 3, size, size])
    model.graph.input.append(shape)
    softmax = model.graph.node.pop()  # logits are compared
    assert softmax.op_type == "Softmax"
    while model.graph.node[-1].op_type == "Dropout":
        model.graph.node.pop()
    last = model.graph.node[-1].output[0]
    model.graph.output.append(helper.make_tensor_value_info(last, 1, None))
    model.graph.name, model.graph.initializer[-1].raw_data = name, np.array([-1, 9216]).tobytes()
    model.graph.initializer[-1].dims[:] = [2]
    return model


@pytest.mark.parametrize("name", WIDTHS)
def test_logits_at_full_size_are_those_of_onnx_runtime_and_of_onnxs_own_evaluator(
    tmp_path, rng, name
):
    groups = other_programs.GROUPS if name == "CAFFE" else {}
    arrays = other_programs.weights(rng, WIDTHS[name], groups)
    path = tmp_path / "weights"
    model = make_model(name, arrays).SerializeToString()
    if name == "CAFFE":
        proto = caffe_files.model(other_programs.CAFFE, arrays, old=True)
        path.write_bytes(proto.SerializeToString())
    else:
        path.write_bytes(
            test_torchvision_weights.zipped(test_torchvision_weights.to_state_dict(arrays))
        )
    params, net, preprocessing = alexnet_jax.load(path)
    assert net == architectures.by_name(name)
    pictures = rng.integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    images = np.asarray(preprocessing(pictures)) * (1 if name == "CAFFE" else 70)
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=net))
    ours = np.asarray(apply(params, images))

    x = images.transpose(0, 3, 1, 2)
    x = np.ascontiguousarray(x[:, ::-1] if name == "CAFFE" else x)  # blue, green, red
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    [theirs] = session.run(None, {"data_0": x})
    tolerance = {"rtol": 1e-4, "atol": 1e-4 * abs(theirs).max()}
    np.testing.assert_allclose(ours, theirs, **tolerance)
    evaluated = onnx_judge.first_output(model, data_0=x[:1])
    np.testing.assert_allclose(ours[:1], evaluated, **tolerance)

    exports.export(tmp_path / "net.onnx", params, net, preprocessing)
    ours = np.asarray(apply(params, preprocessing(pictures)))
    session = runtime.InferenceSession(
        str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"]
    )
    [theirs] = session.run(None, {"pictures": pictures})
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * abs(theirs).max())

    path.write_bytes(model)  # and the graph itself is read as the same weights
    again, *_ = alexnet_jax.load(path)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, again))


@pytest.fixture(scope="module")
def torchvision():
    """Return torchvision. Its GPU build needs operators that the CPU build of torch lacks."""
    torch = pytest.importorskip("torch")
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):  # of object detection; AlexNet needs none
        with contextlib.suppress(RuntimeError):  # already defined
            operators.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    return pytest.importorskip("torchvision"), operators


def test_torchvisions_own_class_reads_our_pth_and_gives_our_logits(tmp_path, rng, torchvision):
    import torch

    models = torchvision[0].models
    net = architectures.TORCHVISION
    params = draw_params(net)
    preprocessing = Preprocessing(stored_size=256, input_size=224, mean=np.full(3, 110.0))
    exports.export(tmp_path / "net.pth", params, net, preprocessing)
    module = models.alexnet().eval()
    module.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    x = preprocessing(rng.integers(0, 256, (2, 256, 256, 3), dtype=np.uint8))
    with torch.no_grad():
        theirs = module(torch.from_numpy(np.array(x.transpose(0, 3, 1, 2)))).numpy()
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=net))
    np.testing.assert_allclose(apply(params, x), theirs, rtol=1e-4, atol=1e-4 * abs(theirs).max())
    state = module.state_dict()
    torch.save(state, tmp_path / "torch.pth")
    again, *_ = alexnet_jax.load(tmp_path / "torch.pth")
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, again))


def test_preprocessing_is_that_of_torchvisions_weights(rng, torchvision):
    transform = torchvision[0].models.AlexNet_Weights.IMAGENET1K_V1.transforms()
    coarse = Image.fromarray(rng.integers(0, 256, (12, 17, 3), dtype=np.uint8))
    picture = coarse.resize((501, 333))
    theirs = transform(picture).numpy().transpose(1, 2, 0)
    [ours] = weights.torchvision.PREPROCESSING(np.asarray(picture)[None])
    level = 1 / 255 / 0.224
    assert abs(ours - theirs).max() < 1.01 * level
    assert abs(ours - theirs).mean() < 0.05 * level
