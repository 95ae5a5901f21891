"""MatConvNet's files, written by SciPy as by its importer, and by h5py as by MATLAB 7.3."""

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
from tests.support.matconvnet_files import NAMES, cell, variables, version_5, version_7_3
from tests.support.tiny import narrow

WIDTHS = (6, 16, 24, 24, 16, 32, 32, 7)
NETS = {"CAFFE": other_programs.CAFFE, "CAFFENET": other_programs.CAFFENET}


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


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("write", [version_5, version_7_3])
def test_logits_are_those_of_caffe_on_the_mean_image_of_the_file(
    tmp_path, arrays, rng, name, write
):
    if write is version_7_3:
        pytest.importorskip("h5py")
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


def own_alexnet(arrays, cropped):
    """The variables of imagenet-matconvnet-alex.mat: no norms, a mean color, a size of the crop."""
    mat = variables(other_programs.TORCHVISION, arrays, np.array([122.0, 116.0, 104.0]))
    classes = mat.pop("classes")
    average = mat["normalization"]["averageImage"]
    meta = {
        "normalization": {"imageSize": [227.0, 227.0, 3.0], "averageImage": average, **cropped},
        "classes": {key: cell(*names) for key, names in classes.items()},
    }
    return {"layers": mat["layers"], "meta": meta}


def test_matconvnets_own_alexnet_has_no_norms_and_a_size_of_the_crop(tmp_path, arrays, rng):
    mat = own_alexnet(arrays, {"cropSize": 227 / 256, "interpolation": "bicubic"})
    scipy.io.savemat(tmp_path / "net.mat", mat | {"layers": cell(*mat["layers"])})
    loaded = weights.read(tmp_path / "net.mat")
    assert loaded.architecture.name == "CAFFE_WITHOUT_NORM"
    assert loaded.class_names == tuple(NAMES)
    preprocessing = loaded.preprocessing
    assert (preprocessing.stored_size, preprocessing.input_size) == (256, 227)
    assert (preprocessing.resize, preprocessing.interpolation) == ("shorter side", "cubic")

    picture = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    x = (picture[14:241, 14:241] - np.array([122.0, 116.0, 104.0]))[..., ::-1].transpose(2, 0, 1)
    groups, padding = other_programs.GROUPS, other_programs.PADDING
    expected = other_programs.logits(other_programs.TORCHVISION, arrays, x, groups, padding)
    net = loaded.architecture
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=net))
    ours = apply(loaded.params, preprocessing(picture[None]))[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_batch_normalization_is_merged_into_the_layer_before_it(tmp_path, arrays, rng):
    mat, norms = own_alexnet(arrays, {"cropSize": 1.0}), {}
    layers = []
    for layer in mat["layers"]:
        layers.append(layer)
        if layer["type"] == "conv" and layer["name"] != "fc8":
            maps = layer["weights"][0, 0].shape[-1]
            scale, offset, mean = (rng.normal(size=(maps, 1)).astype("f4") for _ in range(3))
            deviation = rng.uniform(0.5, 2, (maps, 1)).astype("f4")
            norms[layer["name"]] = scale, offset, mean, deviation
            moments = np.concatenate([mean, deviation], 1)
            layers.append({"type": "bnorm", "weights": cell(scale, offset, moments)})
    plain, merged = tmp_path / "plain.mat", tmp_path / "merged.mat"
    scipy.io.savemat(plain, mat | {"layers": cell(*mat["layers"])})
    scipy.io.savemat(merged, mat | {"layers": cell(*layers)})
    before, after = (alexnet_jax.load(path)[0] for path in (plain, merged))
    for name, (kernels, biases) in before.items():
        kernels, biases = np.float64(kernels), np.float64(biases)
        inputs = rng.normal(size=kernels.shape[:-1])
        axes = tuple(range(inputs.ndim))
        sums = np.tensordot(inputs, kernels, (axes, axes)) + biases
        if name in norms:
            scale, offset, mean, deviation = (np.float64(one[:, 0]) for one in norms[name])
            sums = scale * (sums - mean) / deviation + offset
        ours = np.tensordot(inputs, np.float64(after[name].weights), (axes, axes))
        np.testing.assert_allclose(
            ours + np.float64(after[name].biases), sums, rtol=1e-3, atol=1e-4
        )


def test_files_of_the_first_and_the_last_versions_of_matconvnet_hold_the_same(tmp_path, arrays):
    mat = variables(NETS["CAFFE"], arrays, np.zeros((227, 227, 3), "f4"))
    version_5(tmp_path / "net.mat", mat, compressed=False)
    current = alexnet_jax.load(tmp_path / "net.mat")
    first = [dict(layer) for layer in mat["layers"]]
    for layer in first:
        if "weights" in layer:
            layer["filters"], layer["biases"] = layer.pop("weights")[0]
    version_5(tmp_path / "first.mat", mat | {"layers": first})
    classes = {key: cell(*names) for key, names in mat.pop("classes").items()}
    renamed = {"normalize": "lrn"}
    last = [o | {"type": renamed.get(o["type"], o["type"])} for o in mat["layers"]]
    meta = {"normalization": mat.pop("normalization"), "classes": classes}
    scipy.io.savemat(tmp_path / "last.mat", {"layers": cell(*last), "meta": meta})
    for name in ("first.mat", "last.mat"):
        other = alexnet_jax.load(tmp_path / name)
        assert other[1:] == current[1:]
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), other[0], current[0]))


def change(number, **fields):
    return lambda mat: mat["layers"][number].update(fields)


def widen(mat):
    kernels, biases = mat["layers"][0]["weights"][0]
    mat["layers"][0]["weights"] = cell(kernels[..., 1:], biases)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change(1, type="sigmoid"), "relu1: its type sigmoid is not supported"),
        (change(1, leak=0.1), "relu1: it is a leaky ReLU"),
        (change(0, stride=[4.0, 2.0]), "conv1: it is not the same along both axes"),
        (change(0, stride=[2.0, 2.0]), "conv1 has stride 2 .* CAFFE has stride 4"),
        (change(0, dilate=[2.0, 2.0]), "conv1: its kernels are dilated"),
        (change(3, method="avg"), "pool1: it is not max pooling"),
        (change(2, param=[4.0, 1.0, 1e-4, 0.75]), "norm1: .* n must be odd"),
        (widen, r"conv1 has weights of \[11, 11, 3, 5\]"),
        (lambda mat: mat["layers"].pop(2), "are not those of CAFFE or CAFFENET"),
        (lambda mat: mat.update(params=1.0), "no SimpleNN network of MatConvNet"),
    ],
)
def test_another_net_or_a_damaged_one_is_refused_by_its_layer(tmp_path, arrays, damage, message):
    mat = variables(NETS["CAFFE"], arrays, np.zeros((227, 227, 3), "f4"))
    damage(mat)
    version_5(tmp_path / "net.mat", mat)
    with pytest.raises(ValueError, match=f"net.mat: .*{message}"):
        alexnet_jax.load(tmp_path / "net.mat")


def element(kind, data):
    padding = b"" if kind == 15 else bytes(-len(data) % 8)
    return np.array([kind, len(data)], "<u4").tobytes() + data + padding


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def test_files_that_unpack_to_too_much_or_too_deep_are_refused(tmp_path, arrays, bounded):
    path = tmp_path / "net.mat"

    def assert_refused(data, message):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"{path}(:| is) .*{message}"):
            alexnet_jax.load(path)

    nested = element(14, b"")
    for _ in range(50):
        size = element(6, np.array([1, 0], "<u4").tobytes()) + element(5, b"\1\0\0\0" * 2)
        nested = element(14, size + element(1, b"") + nested)
    assert_refused(HEADER + nested, "nested deeper than those of a network")
    assert_refused(HEADER + element(14, b"")[:6], "cut off in the middle of a value")
    assert_refused(HEADER + element(14, b"")[:4] + b"\xff" * 4, "cut off in the middle of a value")
    bomb = element(15, zlib.compress(element(14, bytes(2**21))))
    path.write_bytes(HEADER + bomb)
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        matlab.read_mat(path, max_bytes=2**20)
    elements = element(15, zlib.compress(element(14, element(6, b"") * 2**21)))
    assert_refused(HEADER + elements, "more than 200,000 elements")
    struct = element(6, np.array([2, 0], "<u4").tobytes()) + element(5, b"\1\0\0\0" * 2)
    names = element(1, b"layers\0\0") + element(5, b"\2\0\0\0") + element(1, b"ab" * 2**22)
    assert_refused(
        HEADER + element(15, zlib.compress(element(14, struct + names))), "200,000 elements"
    )
    struct = element(6, np.array([2, 0], "<u4").tobytes()) + element(5, b"\xff\xff\xff\x7f" * 2)
    names = element(1, b"") + element(5, b"\2\0\0\0") + element(1, b"")
    assert_refused(HEADER + element(14, struct + names), "more than 200,000 elements")
    version_5(path, variables(NETS["CAFFE"], arrays, np.zeros((227, 227, 3), "f4")))
    content = path.read_bytes()
    for size in (100, 130, len(content) // 2, len(content) - 9):
        assert_refused(content[:size], "")


def test_hdf5_that_points_elsewhere_or_claims_too_much_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")

    def assert_refused(fill, message):
        path = tmp_path / "net.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            fill(file)
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(512))
        with pytest.raises(ValueError, match=f"net.mat: {message}"):
            alexnet_jax.load(path)

    def external_link(file):
        file["layers"] = h5py.ExternalLink("/etc/hostname", "/")

    def external_data(file):
        file.create_dataset("layers", (9,), "u1", external=[("/etc/hostname", 0, 9)])

    def huge(file):
        file.create_dataset("layers", (2**20, 2**20), "f4", chunks=(2**14, 2**14))

    def circular(file):
        cells = file.create_dataset("layers", (1, 1), h5py.ref_dtype)
        cells[0, 0] = cells.ref
        cells.attrs["MATLAB_class"] = np.bytes_("cell")

    assert_refused(external_link, "it refers to something outside of it")
    assert_refused(external_data, "it refers to something outside of it")
    assert_refused(huge, "it unpacks to more than 16 MiB")
    assert_refused(circular, "its values are nested deeper than those of a network")
