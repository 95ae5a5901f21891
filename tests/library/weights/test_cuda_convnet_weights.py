"""Checkpoints of cuda-convnet, pickled as by Python 2, against a layer-by-layer run in NumPy."""

import dataclasses

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import architectures, weights
from tests.support import other_programs, pickled, reference
from tests.support.cuda_convnet_files import (
    checkpoint_of_2012,
    checkpoint_of_2014,
    one_weird_trick,
    operations,
    original,
)
from tests.support.tiny import narrow

ORIGINAL, WEIRD = (narrow(net) for net in (architectures.ORIGINAL, architectures.ONE_WEIRD_TRICK))


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    nets = [
        dataclasses.replace(net.with_classes(1000), name=name)
        for net, name in ((ORIGINAL, "ORIGINAL"), (WEIRD, "ONE_WEIRD_TRICK"))
    ]
    monkeypatch.setattr(weights.cuda_convnet, "NETS", nets)


def compute_logits(net, image):
    """The program's logits of one image [3, 224, 224], layer by layer, in float64."""
    outputs = {"data": np.float64(image)}
    for layer in net.values():
        inputs = [outputs[name] for name in layer.get("inputs", []) if name in outputs]
        match layer["type"]:
            case "conv":
                [size, *_], [stride, *_] = layer["filterSize"], layer["stride"]
                pad, windows = -layer["padding"][0], layer["modulesX"]
                extra = max(0, stride * (windows - 1) + size - layer["imgSize"][0] - 2 * pad)
                sums = []
                for x, matrix in zip(inputs, layer["weights"]):
                    kernels = matrix.reshape(len(x), size, size, -1).transpose(3, 0, 1, 2)
                    x = np.pad(x, ((0, 0), (0, extra), (0, extra)))
                    maps = other_programs.convolution(x, kernels, np.zeros(1), stride, pad, 1)
                    sums.append(maps)
                out = sum(sums) + layer["biases"].reshape(-1, 1, 1)
            case "fc":
                pairs = zip(inputs, layer["weights"])
                out = sum(x.reshape(-1) @ np.float64(matrix) for x, matrix in pairs)
                out = out + layer["biases"][0]
            case "neuron":
                out = np.maximum(inputs[0], 0)
            case "pool":
                out = reference.max_pool(inputs[0].transpose(1, 2, 0)[None])[0].transpose(2, 0, 1)
            case "cmrnorm":
                maps = inputs[0].transpose(1, 2, 0)
                out = reference.response_norm(maps, k=2.0, alpha=2e-5).transpose(2, 0, 1)
            case "rnorm":
                maps = inputs[0].transpose(1, 2, 0)[None]
                out = reference.spatial_norm(maps)[0].transpose(2, 0, 1)
            case "hs" | "dropout2":
                out = 0.5 * inputs[0]
            case _:
                continue
        outputs[layer["name"]] = out
    return outputs["fc1000"]


def load(tmp_path, data):
    path = tmp_path / "90.1"
    path.write_bytes(data)
    return alexnet_jax.load(path)


@pytest.mark.parametrize(
    ("net", "pickle", "expected"),
    [(original, checkpoint_of_2012, ORIGINAL), (one_weird_trick, checkpoint_of_2014, WEIRD)],
    ids=["ORIGINAL", "ONE_WEIRD_TRICK"],
)
def test_logits_are_those_of_the_layers_as_the_program_runs_them(
    tmp_path, rng, net, pickle, expected
):
    net = net()
    params, architecture, preprocessing = load(tmp_path, pickle(net))
    assert architecture.layers == expected.layers
    picture = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    image = picture[16:240, 16:240] - np.array([127.30, 119.72, 104.91])
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=architecture))
    ours = apply(params, preprocessing(picture[None]))[0]
    np.testing.assert_allclose(
        ours, compute_logits(net, image.transpose(2, 0, 1)), rtol=1e-4, atol=1e-4
    )


def change(name, **fields):
    return lambda net: net[name].update(fields)


def headless(net):
    for name in ("logprob", "probs", "fc1000"):
        del net[name]


def cross(net):
    """Swap the inputs of the towers of conv4."""
    net["conv4a"]["inputs"], net["conv4b"]["inputs"] = ["conv3b_neuron"], ["conv3a_neuron"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("pool1a", sizeX=2), "pool1a: it is not the same in all towers"),
        (cross, "conv4a: its towers are in another order than those before"),
        (change("hs1a", keep=0.4), "hs1a: its type hs, or one of its settings, is not supported"),
        (change("conv1a", groups=[3]), "conv1a: it has groups"),
        (change("rnorm1a", type="cnorm"), "rnorm1a: its type cnorm, or one of its settings"),
        (change("conv3b", weights=[]), "conv3b: it has 0 matrices of weights for 2 inputs|conv3a"),
        (change("conv2a", filterSize=[4]), "conv2a: .*(same in all towers|cannot reshape)"),
        (change("fc1000", biases=7), "fc1000 has a missing or malformed setting"),
        (change("conv1a", inputs=["conv1a"]), "damaged"),
        (headless, "its layers .* are not those of ORIGINAL"),
    ],
)
def test_another_net_or_a_damaged_one_is_refused_by_its_layer(tmp_path, damage, message):
    net = original()
    damage(net)
    with pytest.raises(ValueError, match=f"90.1.*({message})"):
        load(tmp_path, checkpoint_of_2012(net))


def test_other_pickles_are_refused_and_nothing_in_them_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = pickled.name("os.system") + pickled.row(pickled.text("touch MARK")) + pickled.CALL
    for content in (call, b"N", operations({"layers": 1}), b"(ios\nsystem\n"):
        with pytest.raises(ValueError, match=r"90\.1: it is a pickle, but not a checkpoint"):
            load(tmp_path, pickled.program(content))
    assert [path.name for path in tmp_path.iterdir()] == ["90.1"]
    data = checkpoint_of_2012(original())
    for size in (2, 50, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match=r"90\.1"):
            load(tmp_path, data[:size])
