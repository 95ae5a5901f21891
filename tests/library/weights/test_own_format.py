"""Our own file of weights: it loads what was saved, and a damaged file is refused by name."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import alexnet_jax
from alexnet_jax import Architecture, Preprocessing, architectures, weights
from alexnet_jax.layer_specs import Conv, Output, ResponseNorm
from alexnet_jax.weights.files import safetensors_file
from tests.support.own_layers import GlobalMean
from tests.support.tiny import TINY, draw_params, narrow

NAMES = ("zero", "één", "two", "three", "four", "five", "six")


def preprocessing_for(net):
    size = net.image_sizes[0]
    mean = np.random.default_rng(2).uniform(0, 255, (size + 4, size + 4, 3))
    return Preprocessing(
        stored_size=size + 4,
        input_size=size,
        mean=mean,
        scale=1 / 3,
        std=(0.1, 2.5, 3),
        resize="both sides",
        interpolation="cubic",
        source_colors="BGR",
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved file, the record in its metadata, and its tensors."""
    path = tmp_path_factory.mktemp("saved") / "net.safetensors"
    weights.save(path, draw_params(TINY), TINY, preprocessing_for(TINY), NAMES)
    with safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()["alexnet_jax"])
    return path, record, load_file(path)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "net",
    [TINY, narrow(architectures.BATCH_NORM), narrow(architectures.ORIGINAL)],
    ids=lambda net: net.name,
)
def test_a_custom_net_loads_bit_for_bit(tmp_path, net, precision):
    params = jax.tree.map(lambda leaf: leaf.astype(precision), draw_params(net))
    path = tmp_path / "of.any.ending"
    alexnet_jax.save(path, params, net, preprocessing_for(net), NAMES)
    again, architecture, preprocessing = alexnet_jax.load(path)
    assert architecture == net
    assert preprocessing == preprocessing_for(net)
    assert weights.read(path).class_names == NAMES
    assert jax.tree.structure(again) == jax.tree.structure(params)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(params)):
        assert isinstance(one, jax.Array)
        assert one.dtype == other.dtype == precision
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_of_64_bits_are_read_and_those_of_8_bits_refused_by_their_type(saved, tmp_path):
    path, _, tensors = saved
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    wide = tmp_path / "wide"
    save_file({name: tensor.astype(np.float64) for name, tensor in tensors.items()}, wide, metadata)
    params = alexnet_jax.load(wide)[0]
    np.testing.assert_array_equal(params["conv1"].weights, tensors["conv1.weights"])
    small = tmp_path / "small"
    header = {"conv1.weights": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}
    text = json.dumps({"__metadata__": metadata} | header).encode()
    small.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    read = safetensors_file.read(small)[0]["conv1.weights"]
    with pytest.raises(ValueError, match=r"conv1\.weights has numbers of type F8_E4M3"):
        read()


def test_any_program_can_read_the_tensors_and_their_description(saved):
    _, record, tensors = saved
    assert tensors["conv3.weights"].shape == (3, 3, 12, 8)
    assert tensors["preprocessing.mean"].shape == (18, 18, 3)
    assert record["class_names"] == list(NAMES)
    assert record["architecture"]["layers"][2] == {
        "word": "ResponseNorm",
        "n": 5,
        "k": 2.0,
        "alpha": 1e-4,
        "beta": 0.75,
        "divide_alpha_by_n": False,
    }


def test_another_network_is_refused_by_what_differs(saved):
    path = saved[0]
    layers = (*TINY.layers[:2], ResponseNorm(k=1), *TINY.layers[3:])
    for expected, sentence in (
        (TINY.with_classes(9), "it holds TINY of 7 classes, not 9"),
        (dataclasses.replace(TINY, layers=layers), "it holds TINY of other layers"),
        ("PAPER", "it holds TINY, which differs from PAPER"),
    ):
        with pytest.raises(ValueError, match=f"{sentence}$"):
            alexnet_jax.load(path, architecture=expected)


def test_a_net_for_images_of_any_size_is_saved_with_any(tmp_path):
    layers = (Conv("conv1", 8, kernel=3), GlobalMean(), Output("fc2", 7))
    net = Architecture("FREE", image_sizes=14, towers=1, layers=layers)
    params = alexnet_jax.init(jax.random.key(0), net)
    at_20 = Preprocessing(stored_size=20, input_size=20, mean=np.zeros(3))
    alexnet_jax.save(tmp_path / "net", params, net, at_20)
    at_2 = Preprocessing(stored_size=2, input_size=2, mean=np.zeros(3))
    with pytest.raises(ValueError, match="FREE takes no images of 2 pixels"):
        alexnet_jax.save(tmp_path / "net", params, net, at_2)


def test_parts_that_do_not_match_are_not_saved_and_the_old_file_stays(saved, tmp_path):
    params, preprocessing = draw_params(TINY), preprocessing_for(TINY)
    path = tmp_path / "net"
    path.write_bytes(b"older")
    with pytest.raises(ValueError, match="6 class names for 7 classes"):
        alexnet_jax.save(path, params, TINY, preprocessing, NAMES[:6])
    with pytest.raises(ValueError, match="DIGITS has the layers"):
        alexnet_jax.save(path, params, architectures.DIGITS, preprocessing)
    other = preprocessing_for(architectures.DIGITS)
    with pytest.raises(ValueError, match="TINY takes no images of 24 pixels"):
        alexnet_jax.save(path, params, TINY, other)
    eight_bits = jax.tree.map(lambda leaf: leaf.astype(jnp.float8_e4m3fn), params)
    with pytest.raises(TypeError, match="hold no float8_e4m3fn that `load` can read"):
        alexnet_jax.save(path, eight_bits, TINY, preprocessing)
    with pytest.raises(TypeError, match="preprocessing must be a Preprocessing, not None"):
        alexnet_jax.save(path, params, TINY, None)
    with pytest.raises(OSError, match="No such file"):
        alexnet_jax.save(tmp_path / "none" / "net", params, TINY, preprocessing)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def layer(number, **fields):
    def change(record, _):
        record["architecture"]["layers"][number].update(fields)

    return change


def field(*path, value):
    def change(record, _):
        *parents, last = path
        for key in parents:
            record = record[key]
        record[last] = value

    return change


def tensor(name, value):
    def change(_, tensors):
        tensors.pop(name, None) if value is None else tensors.update({name: value})

    return change


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (layer(0, word="Convolution"), "must be one of .*, Conv, .* not {'word': 'Convolution'"),
        (
            layer(0, word="__import__('os').system"),
            "must be one of .*, Conv, .* not {'word': \"__import",
        ),
        (layer(0, maps="8"), "Conv.maps cannot be '8'"),
        (layer(0, maps=10**12), "Conv.maps cannot be 1000000000000"),
        (layer(0, stride=True), "Conv.stride cannot be True"),
        (layer(0, stride=0), "conv1's stride must be a whole number above 0, not 0"),
        (layer(0, padding=[1]), r"Conv.padding cannot be \[1\]"),
        (layer(0, std=1e999), "metadata cannot be read|Conv.std cannot be inf"),
        (layer(0, color="red"), "Conv has no field 'color'"),
        (layer(2, n=4), "ResponseNorm's n must be odd"),
        (field("architecture", "layers", 0, value={"word": "Conv"}), "Conv needs its field 'name'"),
        (field("architecture", "layers", value=[{"word": "Relu"}] * 1001), "at most 1000"),
        (field("architecture", "layers", value=[]), "must end in an Output layer"),
        (
            field("architecture", "towers", value=0),
            "TINY's towers must be a whole number above 0, not 0",
        ),
        (field("architecture", "image_sizes", value=[]), "TINY needs an image size"),
        (field("architecture", value={}), "its layers are not a list"),
        (field("preprocessing", "resize", value="none"), "Preprocessing.resize cannot be 'none'"),
        (field("preprocessing", "input_size", value=19), "not 19 and 18"),
        (field("preprocessing", "input_size", value=13), "TINY takes no images of 13 pixels"),
        (field("class_names", value=["a"]), "1 class names for 7 classes"),
        (field("class_names", value=[1] * 7), "metadata are not complete"),
        (field("version", value=2), "written by a later version"),
        (tensor("conv3.weights", None), "conv3.weights is missing"),
        (tensor("conv3.biases", np.zeros(9, "f4")), r"conv3.biases is \[9\], .* needs \[8\]"),
        (tensor("conv3.biases", np.zeros(8, "i4")), "conv3.biases has numbers of type int32"),
        (tensor("conv9.biases", np.zeros(8, "f4")), "TINY has no conv9.biases"),
        (tensor("preprocessing.mean", np.zeros((17, 17, 3), "f4")), r"mean must be \[3\] or"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name_and_the_place(saved, tmp_path, change, message):
    _, record, tensors = saved
    record, tensors, path = json.loads(json.dumps(record)), dict(tensors), tmp_path / "net"
    change(record, tensors)
    save_file(tensors, path, {"alexnet_jax": json.dumps(record)})
    with pytest.raises(ValueError, match=f"{path}: .*({message})"):
        alexnet_jax.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": NaN}', DEEP])
def test_metadata_that_are_no_description_are_refused(saved, tmp_path, text):
    save_file(saved[2], tmp_path / "net", {"alexnet_jax": text})
    with pytest.raises(ValueError, match=r"metadata (cannot be read|are not complete)"):
        alexnet_jax.load(tmp_path / "net")


def test_half_a_file_is_refused(saved, tmp_path):
    data = saved[0].read_bytes()
    for size in (9, 200, len(data) // 2, len(data) - 1):
        (tmp_path / "net").write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"net(:| is damaged:) "):
            alexnet_jax.load(tmp_path / "net")


def test_a_file_made_at_a1eac61_loads_with_the_logits_of_that_commit():
    """Its fields have older names: `source_colours`, `deviation`."""
    path = Path(__file__).parents[2] / "support" / "made_at_a1eac61" / "net.safetensors"
    params, net, preprocessing = alexnet_jax.load(path)
    assert (net.name, net.towers, net.classes) == ("SCALED_4_67", 2, 10)
    assert (preprocessing.source_colors, preprocessing.std) == ("RGB", (1, 1, 1))
    pictures = np.random.default_rng(0).integers(0, 256, (1, 77, 77, 3), dtype=np.uint8)
    logits = alexnet_jax.apply(params, preprocessing(pictures), architecture=net)[0]
    expected = [-0.1135992, 0.5492205, -0.5246534, -0.01942549, 0.33104327]
    expected += [0.8188521, -0.2686671, -0.3359089, 0.7980999, 0.53835094]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_the_older_layer_name_part_loads_as_split(tmp_path):
    net, path = narrow(architectures.CAFFE), tmp_path / "net"
    weights.save(path, draw_params(net), net, preprocessing_for(net))
    with safe_open(path, framework="numpy") as file:
        text = file.metadata()["alexnet_jax"]
    old = text.replace('"word": "Split"', '"word": "Part"').replace('"std": [', '"deviation": [')
    old = old.replace('"source_colors"', '"source_colours"')
    assert old.count("Part") == text.count("Split") > 0
    save_file(load_file(path), path, {"alexnet_jax": old})
    assert alexnet_jax.load(path)[1:] == (net, preprocessing_for(net))
