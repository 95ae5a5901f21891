"""Exports: other programs compute the same logits from the same pictures."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export
from PIL import Image

import alexnet_jax
from alexnet_jax import Preprocessing, architectures, exports, weights
from alexnet_jax.__main__ import main
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    LocallyConnected,
    MaxPool,
    MeanPool,
    Output,
    Relu,
    ResponseNorm,
    Tanh,
)
from alexnet_jax.page import write_page
from tests.library.weights import test_torch_files
from tests.library.weights.test_axes import APART
from tests.support.tiny import TINY, draw_params, narrow

NAMES = ("zero", "één", "two", "three", "four", "five", "six")
LAYERS = (  # a batch norm of each tower's maps, and one of features
    Conv("conv1", 8, kernel=3, padding=(0, 1)),
    BatchNorm(),
    Relu(),
    MaxPool(2, 2, padding=(0, 1)),
    Flatten(),
    Dense("fc2", 6),
    BatchNorm(epsilon=1),  # a whole number
    Relu(),
    Output("fc3", 5),
)
NORMS = dataclasses.replace(APART, name="NORMS", layers=LAYERS)
POOLS = dataclasses.replace(
    APART,
    name="POOLS",
    layers=(
        Conv("conv1", 8, kernel=3, std=0.1),
        Tanh(),
        MeanPool(3, 2, padding=(1, 1)),
        ResponseNorm(alpha=1, beta=1),
        Flatten(),
        Output("fc2", 5),
    ),
)
NETS = (
    TINY,
    APART,
    NORMS,
    POOLS,
    narrow(architectures.DIGITS),
    narrow(architectures.ORIGINAL),
    narrow(architectures.NO_COMMUNICATION),
    narrow(architectures.CAFFE),
)


def preprocessing_for(net):
    size = net.image_sizes[0]
    mean = np.random.default_rng(2).uniform(90, 140, (size + 5, size + 5, 3))
    std = (0.5, 2, 1)
    return Preprocessing(stored_size=size + 5, input_size=size, mean=mean, std=std)


def pictures_for(net, rng, count=3):
    size = net.image_sizes[0] + 5
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def compute_logits(net, params, preprocessing, pictures):
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=net))
    return np.asarray(apply(params, preprocessing(pictures)))


def assert_close(ours, theirs):
    """Compare to 1e-5 of the largest logit."""
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5 * abs(ours).max())


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_onnx_gives_the_same_logits_on_any_number_of_pictures(tmp_path, rng, net):
    pytest.importorskip("onnx")
    from tests.support import onnx_judge

    params, preprocessing = draw_params(net), preprocessing_for(net)
    path = tmp_path / "net.onnx"
    exports.export(path, params, net, preprocessing)
    pictures = pictures_for(net, rng)
    ours = compute_logits(net, params, preprocessing, pictures)
    assert_close(ours, onnx_judge.first_output(path.read_bytes(), pictures=pictures))
    assert_close(ours[:1], onnx_judge.first_output(path.read_bytes(), pictures=pictures[:1]))


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_onnx_runtime_gives_the_same_logits(tmp_path, rng, net):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    params, preprocessing = draw_params(net), preprocessing_for(net)
    exports.export(tmp_path / "net.onnx", params, net, preprocessing)
    pictures = pictures_for(net, rng)
    session = runtime.InferenceSession(
        str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"]
    )
    [theirs] = session.run(None, {"pictures": pictures})
    assert_close(compute_logits(net, params, preprocessing, pictures), theirs)


def test_onnx_refuses_a_layer_that_it_does_not_have(tmp_path):
    pytest.importorskip("onnx")
    layers = (LocallyConnected("local1", 4, kernel=3), Flatten(), Output("fc2", 5))
    net = dataclasses.replace(APART, layers=layers)
    sentence = "ONNX has no layer for local1, a LocallyConnected; .stablehlo holds any network"
    with pytest.raises(ValueError, match=sentence):
        exports.export(tmp_path / "net.onnx", draw_params(net), net, preprocessing_for(net))
    assert not (tmp_path / "net.onnx").exists()


@dataclasses.dataclass(frozen=True)
class Leaky(Relu):
    """A user's layer, made from one of ours."""

    def apply(self, _, x):
        return jax.nn.leaky_relu(x)


def test_onnx_does_not_take_a_users_layer_for_the_one_that_it_was_made_from(tmp_path):
    pytest.importorskip("onnx")
    layers = (Conv("conv1", 4, kernel=3), Leaky(), Flatten(), Output("fc2", 5))
    net = dataclasses.replace(APART, layers=layers)
    with pytest.raises(ValueError, match="ONNX has no layer for leaky1, a Leaky"):
        exports.export(tmp_path / "net.onnx", draw_params(net), net, preprocessing_for(net))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (np.array(NAMES[:6]), "there are 6 class names for 7 classes"),
        (range(7), "class names must be text, not 0"),
    ],
)
def test_names_that_are_not_those_of_the_classes_are_refused(tmp_path, names, sentence):
    for write in (alexnet_jax.save, exports.export, write_page):
        path = tmp_path / "net.stablehlo"
        with pytest.raises(ValueError, match=sentence):
            write(path, draw_params(TINY), TINY, preprocessing_for(TINY), names)


def test_onnx_keeps_the_names_of_the_classes_and_is_not_taken_for_caffes(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    exports.export(path, draw_params(TINY), TINY, preprocessing_for(TINY), np.array(NAMES))
    [entry] = onnx.load(path).metadata_props
    assert entry.key == "class_names"
    assert json.loads(entry.value) == list(NAMES)
    with pytest.raises(ValueError, match="alexnet_jax exported it"):
        alexnet_jax.load(path)


def test_the_stablehlo_of_the_documentation_runs_without_this_package(tmp_path, rng):
    net = narrow(architectures.DIGITS)
    params, preprocessing = draw_params(net), preprocessing_for(net)
    exports.export(tmp_path / "digits.stablehlo", params, net, preprocessing)
    [picture] = pictures_for(net, rng, count=1)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    text = Path(__file__).parents[2].joinpath("docs/weights.md").read_text()
    [code] = re.findall(r"<!-- stablehlo -->\n```python\n(.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) <= 12
    code += "\nimport sys; assert 'alexnet_jax' not in sys.modules"
    code += "\nprint(*logits[0].tolist())"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ours = compute_logits(net, params, preprocessing, picture[None])[0]
    printed = run.stdout.splitlines()
    assert printed[0] == str(ours.argmax())
    assert_close(ours, np.array(printed[-1].split(), float))


def test_stablehlo_is_made_for_cpu_gpu_and_tpu_and_any_batch(tmp_path, rng):
    params, preprocessing = draw_params(TINY), preprocessing_for(TINY)
    exports.export(tmp_path / "net.stablehlo", params, TINY, preprocessing)
    program = export.deserialize(bytearray((tmp_path / "net.stablehlo").read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    pictures = pictures_for(TINY, rng)
    ours = compute_logits(TINY, params, preprocessing, pictures)
    assert_close(ours, program.call(pictures))
    assert_close(ours[:1], program.call(pictures[:1]))


def test_a_pth_holds_what_torch_wrote_and_is_read_again(tmp_path):
    source = test_torch_files.FILES / "zip.pth"
    net = test_torch_files.NET
    params, _, preprocessing = alexnet_jax.load(source, architecture=net)
    path = tmp_path / "net.pth"
    # It has torchvision's layers but other strides, so `export` refuses it.
    with pytest.raises(ValueError, match=r"\.pth holds the layers of torchvision's AlexNet"):
        exports.export(path, params, net, preprocessing)
    data = exports.torchvision.serialize(params, net)
    path.write_bytes(data)
    again, *_ = alexnet_jax.load(path, architecture=net)
    for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True):
        assert (one == other).all()


def test_torch_loads_a_pth_as_nothing_but_weights(tmp_path):
    torch = pytest.importorskip("torch")
    net = test_torch_files.NET
    params, *_ = alexnet_jax.load(test_torch_files.FILES / "row.pth", architecture=net)
    (tmp_path / "net.pth").write_bytes(exports.torchvision.serialize(params, net))
    state = torch.load(tmp_path / "net.pth", weights_only=True)
    expected = test_torch_files.state()
    assert list(state) == list(expected)
    for name, array in expected.items():
        assert (state[name].numpy() == array).all()
    test_torch_files.module(torch).load_state_dict(state)


@pytest.fixture
def saved(tmp_path):
    """A saved file of a small network."""
    path = tmp_path / "saved.safetensors"
    alexnet_jax.save(path, draw_params(TINY), TINY, preprocessing_for(TINY), NAMES)
    return path


def test_the_commands_export_and_convert_and_print_the_target(saved, tmp_path, capsys):
    for command, ending in (("export", ".stablehlo"), ("convert", ".safetensors")):
        target = tmp_path / f"net{ending}"
        assert main([command, str(saved), str(target)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == str(target)
        assert target.stat().st_size > 1000
    assert weights.read(tmp_path / "net.safetensors").class_names == NAMES


def test_the_network_of_the_weights_can_be_given_by_name_or_file(saved, tmp_path, capsys):
    (tmp_path / "own_tiny.py").write_text("from tests.support.tiny import TINY\n")
    target = str(tmp_path / "net.safetensors")
    assert main(["convert", str(saved), target, "--net", "DIGITS"]) == 2
    assert "it holds TINY, which differs from DIGITS" in capsys.readouterr().err
    assert main(["convert", str(saved), target, "--net", f"{tmp_path}/own_tiny.py:TINY"]) == 0
    assert weights.read(target).architecture == TINY


def test_an_export_that_cannot_be_made_is_refused_in_one_sentence(
    saved, tmp_path, capsys, monkeypatch
):
    def refusal(source, target):
        assert main(["export", str(source), str(target)]) == 2
        out = capsys.readouterr()
        assert out.out == ""
        assert out.err.count("\n") == 1
        return out.err

    message = "OUT must end in .stablehlo or .onnx or .pth, not net.tflite"
    assert message in refusal(saved, "net.tflite")
    message = "export writes no .safetensors: use convert for OUT net.safetensors"
    assert message in refusal(saved, "net.safetensors")
    assert ".pth holds the layers of torchvision's AlexNet, and TINY has others" in refusal(
        saved, tmp_path / "net.pth"
    )
    (tmp_path / "old.onnx").touch()
    assert f"{tmp_path / 'old.onnx'} exists already" in refusal(saved, tmp_path / "old.onnx")
    (tmp_path / "old.onnx").unlink()
    assert f"{tmp_path}: it holds no run" in refusal(tmp_path, tmp_path / "x.onnx")
    message = f"{tmp_path / 'none'} cannot be read: No such file or directory"
    assert message in refusal(tmp_path / "none", tmp_path / "x.onnx")
    message = f"there is no folder {tmp_path / 'none'}"
    assert message in refusal(saved, tmp_path / "none" / "x.stablehlo")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert ".onnx needs the package onnx: pip install onnx" in refusal(saved, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == [saved]
