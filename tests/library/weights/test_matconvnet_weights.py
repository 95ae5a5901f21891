"""MatConvNet's files, written by SciPy as its importer does, by h5py as MATLAB's version 7.3."""

import dataclasses
import zlib

import jax
import numpy as np
import pytest
import scipy.io

import alexnet_jax
from alexnet_jax import architectures, weights
from alexnet_jax.weights.files import matlab
from tests.support import other_programs
from tests.support.tiny import narrow

WIDTHS = (6, 16, 24, 24, 16, 32, 32, 7)
NETS = {"CAFFE": other_programs.CAFFE, "CAFFENET": other_programs.CAFFENET}
NAMES = ["tench", "goldfish", "shark", "ray", "cock", "hen", "ostrich"]


@pytest.fixture(scope="module")
def arrays():
    """Each layer's weights and biases as Caffe has them, for blue, green and red."""
    rng = np.random.default_rng(4)
    return other_programs.weights(rng, WIDTHS, other_programs.GROUPS)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    for name in NETS:
        net = narrow(getattr(architectures, name)).with_classes(1000)
        monkeypatch.setattr(weights.matconvnet, name, dataclasses.replace(net, name=name))


def turned(name, kernels):
    """Caffe's array as the importer turns it: rows, columns, maps in, maps out; red first."""
    if name == "fc6":
        kernels = kernels.reshape(-1, 16, 6, 6)
    if kernels.ndim == 2:
        kernels = kernels[:, :, None, None]
    kernels = kernels.transpose(2, 3, 1, 0)
    return kernels[:, :, ::-1] if name == "conv1" else kernels


def cell(*values):
    made = np.empty((1, len(values)), object)
    made[0, :] = values
    return made


def layers_of(net, arrays):
    layers, number = [], 0
    for word in net.split():
        if word in arrays:
            number += 1
            kernels, biases = arrays[word]
            pair = cell(turned(word, kernels), biases.reshape(1, -1))
            stride = 4.0 if word == "conv1" else 1.0
            pad = [float(other_programs.PADDING.get(word, 0))] * 4
            layer = {"type": "conv", "weights": pair, "stride": [stride] * 2, "pad": pad}
        elif word == "relu":
            layer = {"type": "relu"}
        elif word == "norm":
            layer = {"type": "normalize", "param": np.array([[5, 1, 1e-4 / 5, 0.75]])}
        else:
            layer = {"type": "pool", "method": "max", "pool": [3.0, 3.0], "stride": [2.0, 2.0]}
            layer["pad"] = [0.0, 1.0, 0.0, 1.0]  # none at 227 pixels
        name = word if word in arrays else f"{word}{number}"
        layers.append({"name": name} | layer)
    return [*layers, {"name": "prob", "type": "softmax"}]


def variables(net, arrays, mean):
    return {
        "layers": layers_of(net, arrays),
        "normalization": {
            "imageSize": [227.0, 227.0, 3.0],
            "averageImage": mean,
            "interpolation": "bicubic",
            "keepAspect": False,
            "border": [29.0, 29.0],
        },
        "classes": {"name": [f"n{i:08}" for i in range(7)], "description": NAMES},
    }


def version_5(path, found, *, packed=True):
    """As the importer does; lists of names and of layers are cells."""
    found = found | {"layers": cell(*found["layers"])}
    found["classes"] = {key: cell(*names) for key, names in found["classes"].items()}
    scipy.io.savemat(path, found, oned_as="row", do_compression=packed)


def version_7_3(path, found):
    h5py = pytest.importorskip("h5py")

    def add(group, name, value):
        if isinstance(value, dict):
            made = group.create_group(name)
            for key, item in value.items():
                add(made, key, item)
            kind = "struct"
        elif isinstance(value, str):
            made = group.create_dataset(name, data=np.array([[ord(c)] for c in value], "u2"))
            kind = "char"
        elif isinstance(value, list) and not isinstance(value[0], float):
            references = []
            for item in value:
                key = f"r{len(file['#refs#'])}"
                add(file["#refs#"], key, item)
                references.append(file["#refs#"][key].ref)
            made = group.create_dataset(name, (len(references), 1), h5py.ref_dtype)
            made[:, 0] = references
            kind = "cell"
        else:
            array = np.atleast_2d(np.asarray(value, "f4"))
            made = group.create_dataset(name, data=array.T)
            kind = "single"
        made.attrs["MATLAB_class"] = np.bytes_(kind)

    layers = [
        {key: list(v[0]) if key == "weights" else v for key, v in layer.items()}
        for layer in found["layers"]
    ]
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_group("#refs#")
        for name, value in (found | {"layers": layers}).items():
            add(file, name, value)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("write", [version_5, version_7_3])
def test_scores_are_those_of_caffe_on_the_mean_image_of_the_file(
    tmp_path, arrays, rng, name, write
):
    mean = rng.uniform(90, 140, (227, 227, 3)).astype("f4")  # red first
    write(tmp_path / "net.mat", variables(NETS[name], arrays, mean))
    contents = weights.read(tmp_path / "net.mat")
    assert contents.architecture == getattr(weights.matconvnet, name).with_classes(7)
    assert contents.class_names == tuple(NAMES)
    preprocessing = contents.preprocessing
    assert (preprocessing.stored_size, preprocessing.resize) == (256, "both sides")
    assert preprocessing.interpolation == "cubic"

    picture = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    x = (picture[14:241, 14:241] - mean)[..., ::-1].transpose(2, 0, 1)
    groups, padding = other_programs.GROUPS, other_programs.PADDING
    expected = other_programs.logits(NETS[name], arrays, x, groups, padding)
    net = contents.architecture
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=net))
    ours = apply(contents.params, preprocessing(picture[None]))[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_files_of_the_first_and_the_last_versions_of_matconvnet_hold_the_same(tmp_path, arrays):
    found = variables(NETS["CAFFE"], arrays, np.zeros((227, 227, 3), "f4"))
    version_5(tmp_path / "net.mat", found, packed=False)
    now = alexnet_jax.load(tmp_path / "net.mat")
    first = [dict(layer) for layer in found["layers"]]
    for layer in first:
        if "weights" in layer:
            layer["filters"], layer["biases"] = layer.pop("weights")[0]
    version_5(tmp_path / "first.mat", found | {"layers": first})
    classes = {key: cell(*names) for key, names in found.pop("classes").items()}
    renamed = {"normalize": "lrn"}
    last = [o | {"type": renamed.get(o["type"], o["type"])} for o in found["layers"]]
    meta = {"normalization": found.pop("normalization"), "classes": classes}
    scipy.io.savemat(tmp_path / "last.mat", {"layers": cell(*last), "meta": meta})
    for name in ("first.mat", "last.mat"):
        other = alexnet_jax.load(tmp_path / name)
        assert other[1:] == now[1:]
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), other[0], now[0]))


def change(number, **fields):
    return lambda found: found["layers"][number].update(fields)


def widen(found):
    kernels, biases = found["layers"][0]["weights"][0]
    found["layers"][0]["weights"] = cell(kernels[..., 1:], biases)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change(1, type="sigmoid"), "relu1: its type sigmoid is not supported"),
        (change(1, leak=0.1), "relu1: it is a leaky ReLU"),
        (change(0, stride=[4.0, 2.0]), "conv1: it is not the same along both axes"),
        (change(0, stride=[2.0, 2.0]), "conv1 has stride 2 .* CAFFE has stride 4"),
        (change(0, dilate=[2.0, 2.0]), "conv1: its kernels are dilated"),
        (change(3, method="avg"), "pool1: it is not max pooling"),
        (change(2, param=[4.0, 1.0, 1e-4, 0.75]), "norm1: .* n must be odd"),
        (widen, r"conv1 has weights of \[11, 11, 3, 5\]"),
        (lambda found: found["layers"].pop(2), "are not those of CAFFE or CAFFENET"),
        (lambda found: found.update(params=1.0), "no SimpleNN network of MatConvNet"),
    ],
)
def test_another_net_or_a_damaged_one_is_refused_by_its_layer(tmp_path, arrays, spoil, words):
    found = variables(NETS["CAFFE"], arrays, np.zeros((227, 227, 3), "f4"))
    spoil(found)
    version_5(tmp_path / "net.mat", found)
    with pytest.raises(ValueError, match=f"net.mat: .*{words}"):
        alexnet_jax.load(tmp_path / "net.mat")


def element(kind, data):
    padding = b"" if kind == 15 else bytes(-len(data) % 8)
    return np.array([kind, len(data)], "<u4").tobytes() + data + padding


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def test_files_that_unpack_to_too_much_or_too_deep_are_refused(tmp_path, arrays, bounded):
    path = tmp_path / "net.mat"

    def refused(data, words):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"{path}(:| is) .*{words}"):
            alexnet_jax.load(path)

    nested = element(14, b"")
    for _ in range(50):
        size = element(6, np.array([1, 0], "<u4").tobytes()) + element(5, b"\1\0\0\0" * 2)
        nested = element(14, size + element(1, b"") + nested)
    refused(HEADER + nested, "nested deeper than those of a net")
    refused(HEADER + element(14, b"")[:6], "cut off in the middle of a value")
    refused(HEADER + element(14, b"")[:4] + b"\xff" * 4, "cut off in the middle of a value")
    bomb = element(15, zlib.compress(element(14, bytes(2**21))))
    path.write_bytes(HEADER + bomb)
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        matlab.read_mat(path, max_bytes=2**20)
    elements = element(15, zlib.compress(element(14, element(6, b"") * 2**21)))
    refused(HEADER + elements, "more than 200,000 elements")
    struct = element(6, np.array([2, 0], "<u4").tobytes()) + element(5, b"\1\0\0\0" * 2)
    names = element(1, b"layers\0\0") + element(5, b"\2\0\0\0") + element(1, b"ab" * 2**22)
    refused(HEADER + element(15, zlib.compress(element(14, struct + names))), "200,000 elements")
    struct = element(6, np.array([2, 0], "<u4").tobytes()) + element(5, b"\xff\xff\xff\x7f" * 2)
    names = element(1, b"") + element(5, b"\2\0\0\0") + element(1, b"")
    refused(HEADER + element(14, struct + names), "more than 200,000 elements")
    version_5(path, variables(NETS["CAFFE"], arrays, np.zeros((227, 227, 3), "f4")))
    whole = path.read_bytes()
    for size in (100, 130, len(whole) // 2, len(whole) - 9):
        refused(whole[:size], "")


def test_hdf5_that_points_elsewhere_or_claims_too_much_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")

    def refused(fill, words):
        path = tmp_path / "net.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            fill(file)
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(512))
        with pytest.raises(ValueError, match=f"net.mat: {words}"):
            alexnet_jax.load(path)

    def external(file):
        file["layers"] = h5py.ExternalLink("/etc/hostname", "/")

    def elsewhere(file):
        file.create_dataset("layers", (9,), "u1", external=[("/etc/hostname", 0, 9)])

    def huge(file):
        file.create_dataset("layers", (2**20, 2**20), "f4", chunks=(1, 1))

    def round_and_round(file):
        made = file.create_dataset("layers", (1, 1), h5py.ref_dtype)
        made[0, 0] = made.ref
        made.attrs["MATLAB_class"] = np.bytes_("cell")

    refused(external, "it refers to something outside of it")
    refused(elsewhere, "it refers to something outside of it")
    refused(huge, "it unpacks to more than 1,024 MiB")
    refused(round_and_round, "its values are nested deeper than those of a net")
