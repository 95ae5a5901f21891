"""ONNX models of a chain of layers, in one file or in several."""

import dataclasses
import os

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import architectures, weights
from tests.support import other_programs
from tests.support.onnx_files import model, with_data_file
from tests.support.tiny import narrow

WIDTHS = (6, 16, 24, 24, 16, 32, 32, 7)
TORCH_WIDTHS = (4, 12, 24, 16, 16, 32, 32, 7)


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


@pytest.mark.parametrize(
    "names", [("weights.data",), ("a", "b c", "модель.bin")], ids=["one file", "several"]
)
def test_numbers_in_files_beside_the_model_are_those_in_it(tmp_path, arrays, names):
    expected, *_ = load(tmp_path, zoo(arrays))
    proto, *contents = with_data_file(zoo(arrays), *names)
    for name, content in zip(names, contents, strict=True):
        (tmp_path / name).write_bytes(content)
    params, *_ = load(tmp_path, proto)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, expected))

    linked = tmp_path / "elsewhere" / "model"
    linked.parent.mkdir()
    linked.symlink_to(tmp_path / "weights")
    with pytest.raises(ValueError, match="which is not beside it: both files belong together"):
        alexnet_jax.load(linked)
    for name in names:  # links to the folder of the model itself
        (linked.parent / name).symlink_to(tmp_path / name)
    params, *_ = alexnet_jax.load(linked)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, expected))


def entry(key, value):
    def apply(tensor, folder):
        del tensor.external_data[:]
        entries = {
            "location": "data",
            "offset": "0",
            "length": str(len(tensor.raw_data)),
            key: value,
        }
        for one, text in entries.items():
            tensor.external_data.add(key=one, value=text.format(folder=folder))

    return apply


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("location", "{folder}/data", "which is not a file of its own folder"),
        ("location", "/etc/passwd", "in /etc/passwd, which is not a file of its own folder"),
        ("location", "../outside", "in ../outside, which is not a file of its own folder"),
        ("location", "inner/data", "in inner/data, which is not a file of its own folder"),
        ("location", "inner/../data", "which is not a file of its own folder"),
        ("location", "..\\outside", "which is not a file of its own folder"),
        ("location", "..", "a link that leads out of its folder"),
        ("location", ".", "which is no"),
        ("location", "", "a file without a name"),
        ("location", "a\0b", r"in a\\x00b, which is not a file"),
        ("location", "x" * 300, "which cannot be read: File name too long"),
        ("location", "link", "in link, a link that leads out of its folder"),
        ("location", "loop", "in loop, which cannot be read"),
        ("location", "inner", "which is no"),
        ("location", "pipe", "in pipe, which is no file"),
        ("location", "gone\x1b[2J", r"in gone\\x1b\[2J, which is not beside it"),
        ("location", "empty", "which cannot be read|cannot mmap an empty file"),
        ("offset", "8", "it needs .* bytes of data, which has"),
        ("offset", "-8", "the offset of its numbers is -8"),
        ("offset", "9" * 30, "the offset of its numbers is 999"),
        ("length", "4", "4 bytes do not make an array of"),
        ("length", "1e3", "the length of its numbers is 1e3"),
        ("length", str(2**50), "it needs 1,125,899,906,842,624 bytes of data, which has"),
    ],
)
def test_numbers_elsewhere_are_refused(tmp_path, arrays, key, value, message):
    folder = tmp_path / "models"
    (folder / "inner").mkdir(parents=True)
    proto = zoo(arrays)
    tensor = proto.graph.initializer[-2]  # the biases of conv1
    for path in (folder / "data", tmp_path / "outside", folder / "inner" / "data"):
        path.write_bytes(tensor.raw_data)
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to("loop")
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    tensor.data_location = 1
    entry(key, value)(tensor, folder)
    tensor.ClearField("raw_data")
    with pytest.raises(ValueError, match=message):
        load(folder, proto)


def test_nodes_that_compute_shapes_or_change_floats_are_no_layers(tmp_path, arrays):
    """As PyTorch's exporters write a flattening without optimization, and networks in float16."""
    expected, *_ = load(tmp_path, zoo(arrays))
    proto = zoo(arrays)
    nodes = list(proto.graph.node)
    at = next(i for i, one in enumerate(nodes) if one.op_type == "Reshape")
    del proto.graph.node[at:]
    before, reshape = nodes[at].input
    add = proto.graph.node.add
    add(op_type="Cast", input=[before], output=["half"]).attribute.add(name="to", i=10)
    add(op_type="Constant", output=["first"])
    add(op_type="Shape", input=["half"], output=["sizes"])
    add(op_type="Gather", input=["sizes", "first"], output=["n"])
    add(op_type="Concat", input=["n", reshape], output=["new shape"])
    add(op_type="Reshape", input=["half", "new shape"], output=[*nodes[at].output])
    proto.graph.node.extend(nodes[at + 1 :])
    params, *_ = load(tmp_path, proto)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, expected))
    add(op_type="Cast", input=[nodes[-1].output[0]], output=["whole"]).attribute.add(name="to", i=7)
    with pytest.raises(ValueError, match="its operator Cast is not supported"):
        load(tmp_path, proto)


def test_half_a_model_is_refused(tmp_path, arrays):
    data = zoo(arrays).SerializeToString()
    for size in (30, len(data) // 2, len(data) - 3):
        (tmp_path / "weights").write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"weights: it is (cut off|not a file of weights)"):
            alexnet_jax.load(tmp_path / "weights")
