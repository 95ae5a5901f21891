"""bvlc_alexnet.npy: Caffe's weights in our order of axes, pickled by Python 2 or 3."""

import dataclasses

import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import architectures, weights
from tests.support import other_programs, pickled
from tests.support.pickled import name, row, text
from tests.support.tiny import narrow

WIDTHS = (6, 16, 24, 24, 16, 32, 32, 7)


@pytest.fixture(scope="module")
def layers():
    """Each layer's list of weights and biases: kernels [row, column, in, out], dense [in, out]."""
    arrays = other_programs.weights(np.random.default_rng(5), WIDTHS, other_programs.GROUPS)
    layers = {}
    for layer, (kernels, biases) in arrays.items():
        axes = (2, 3, 1, 0) if kernels.ndim == 4 else (1, 0)
        layers[layer] = [np.ascontiguousarray(kernels.transpose(axes)), biases]
    return layers


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    net = narrow(architectures.CAFFE).with_classes(1000)
    monkeypatch.setattr(weights.toronto, "CAFFE", dataclasses.replace(net, name="CAFFE"))


def pickle_by_python_2(layers):
    pairs = [
        (pickled.old_text(layer.encode()), pickled.listed(*map(pickled.old_numpy, pair)))
        for layer, pair in layers.items()
    ]
    return pickled.npy(pickled.dictionary(pairs))


def load(tmp_path, data):
    path = tmp_path / "weights"
    path.write_bytes(data)
    return alexnet_jax.load(path)


@pytest.mark.parametrize("python", [2, 3])
def test_every_number_keeps_its_place_and_blue_green_red_become_rgb(tmp_path, layers, python):
    path = tmp_path / "bvlc_alexnet.npy"
    if python == 2:
        path.write_bytes(pickle_by_python_2(layers))
    else:
        np.save(path, layers)
    params, net, preprocessing = alexnet_jax.load(path)
    assert net == weights.toronto.CAFFE.with_classes(7)
    assert preprocessing == weights.caffe.PREPROCESSING
    for layer, (kernels, biases) in layers.items():
        expected = kernels[:, :, [2, 1, 0]] if layer == "conv1" else kernels
        assert (np.asarray(params[layer].weights) == expected).all()
        assert (np.asarray(params[layer].biases) == biases).all()


def test_numpy_reads_the_files_of_this_test_as_we_do(tmp_path, layers):
    path = tmp_path / "bvlc_alexnet.npy"
    path.write_bytes(pickle_by_python_2(layers))
    read = np.load(path, allow_pickle=True, encoding="latin1").item()
    assert read.keys() == layers.keys()
    assert (read["conv2"][0] == layers["conv2"][0]).all()


EVIL = name("os.system") + row(text("touch MARK")) + pickled.CALL
KIND = name("numpy.dtype") + row(text("f4")) + pickled.CALL
ARRAY = name("numpy.core.multiarray._reconstruct") + row() + pickled.CALL


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (EVIL, "asks for os.system, which is refused"),
        (name("numpy.load") + row(text("other")) + pickled.CALL, "asks for numpy.load"),
        (b"N", "it is not a dictionary of layers"),
        (pickled.dictionary([(text("conv1"), b"N")]), "conv1 has no list of weights and biases"),
        (b"\x96" + (2**43).to_bytes(8, "little"), "is refused"),
    ],
)
def test_a_pickle_of_more_than_arrays_is_refused_and_not_run(
    tmp_path, monkeypatch, content, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"weights.*{message}"):
        load(tmp_path, pickled.npy(content))
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((pickled.numbers([10**6, 10**6]), KIND, b"\x89", text("abcd")), "1 numbers do not make"),
        ((pickled.numbers([-1]), KIND, b"\x89", text("abcd")), "an array without a shape"),
        ((pickled.numbers([1]), KIND.replace(b"f4", b"O8"), b"\x89", text("abcd")), "type O8"),
    ],
)
def test_an_array_that_is_not_what_it_claims_is_refused(tmp_path, layers, parts, message):
    array = ARRAY + row(pickled.number(1), *parts) + pickled.STATE
    pairs = [(text("conv1"), pickled.listed(array, pickled.old_numpy(layers["conv1"][1])))]
    with pytest.raises(ValueError, match=f"weights: conv1: .*{message}"):
        load(tmp_path, pickled.npy(pickled.dictionary(pairs)))


def test_missing_wrong_and_unknown_layers_are_named(tmp_path, layers):
    wrong = [layers["conv2"][0][..., 1:], layers["conv2"][1]]
    for change, message in [
        ({"fc7": None}, "fc7 is missing"),
        ({"conv9": layers["conv2"]}, "it has conv9, which CAFFE has not"),
        ({"conv2": wrong}, r"conv2 has weights of \[5, 5, 3, 15\] .* needs \[5, 5, 3, 16\]"),
    ]:
        changed = {key: pair for key, pair in (layers | change).items() if pair}
        with pytest.raises(ValueError, match=f"weights: {message}"):
            load(tmp_path, pickle_by_python_2(changed))


def test_plain_arrays_and_halves_of_files_are_refused(tmp_path, layers):
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"plain.npy: it is a plain array"):
        alexnet_jax.load(tmp_path / "plain.npy")
    data = pickle_by_python_2(layers)
    for size in (7, 100, 300, len(data) // 2, len(data) - 9):
        with pytest.raises(ValueError, match="/weights"):
            load(tmp_path, data[:size])
