"""Pages to draw on: what is written, and what is refused. test_page_in_browser opens them."""

import base64
import json
import tarfile

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import Preprocessing, architectures, page
from alexnet_jax.__main__ import main
from alexnet_jax.exports import onnx_model
from alexnet_jax.page import browser_runtime, describe, layer_names, write_page
from tests.library.test_exports import NETS, NORMS, POOLS, pictures_for, preprocessing_for
from tests.support.tiny import TINY, draw_params, narrow

TINY_ROWS = [
    "conv1+relu1 4 x 7 x 7",
    "norm1 4 x 7 x 7",
    "pool1 4 x 3 x 3",
    "conv2+relu2 6 x 3 x 3",
    "norm2 6 x 3 x 3",
    "gather 12 maps",
    "conv3+relu3 4 x 3 x 3",
    "conv4+relu4 4 x 3 x 3",
    "pool4 4 x 1 x 1",
    "gather 8 maps",
    "fc6+relu6 16",
    "gather 32 features",
    "fc7+relu7 16",
    "output 7 features",
]
GRAY = np.full(3, 30.0, np.float32)
COLORS = np.array([30.0, 30.0, 31.0], np.float32)


def in_words(row, towers=2):
    if "junction" in row:
        return f"{row['junction']} {row['count']} {row['unit']}"
    sides = f" x {row['side']} x {row['side']}" if row["unit"] == "maps" else ""
    return f"{'+'.join(row['names'])} {row['count'] // towers}{sides}"


def preprocessing_of(net, mean=GRAY):
    size = net.image_sizes[0]
    return Preprocessing(stored_size=size + 4, input_size=size, mean=mean)


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A folder with a runtime of a few bytes, which passes for the published one."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    digests = {}
    for name in browser_runtime.SHA256:
        (folder / "dist" / name).write_text(f"content of {name}")
        digests[name] = browser_runtime.hashlib.sha256(f"content of {name}".encode()).hexdigest()
    monkeypatch.setattr(browser_runtime, "SHA256", digests)
    return folder


@pytest.fixture
def saved(tmp_path):
    """A file of weights of a small network."""
    path = tmp_path / "tiny.safetensors"
    alexnet_jax.save(path, draw_params(TINY), TINY, preprocessing_of(TINY))
    return path


def test_the_rows_are_the_layers_and_the_places_where_towers_meet():
    rows = describe(draw_params(TINY), TINY, preprocessing_of(TINY))["rows"]
    assert [in_words(row) for row in rows] == TINY_ROWS


def test_a_row_tells_whether_its_numbers_have_both_signs():
    rows = describe(draw_params(NORMS), NORMS, preprocessing_of(NORMS))["rows"]
    signs = {"+".join(row["names"]): row["signed"] for row in rows if "layer" in row}
    assert signs == {"conv1+norm1+relu1": False, "pool1": False, "fc2+norm2+relu2": False}
    rows = describe(draw_params(POOLS), POOLS, preprocessing_of(POOLS))["rows"]
    signs = {"+".join(row["names"]): row["signed"] for row in rows if "layer" in row}
    assert signs == {"conv1+tanh1": True, "pool1": True, "norm1": True}


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_the_model_of_a_page_gives_the_outputs_of_every_layer_that_it_shows(rng, net):
    pytest.importorskip("onnx")
    from tests.support import onnx_judge

    params, preprocessing = draw_params(net), preprocessing_for(net)
    pictures = pictures_for(net, rng, count=2)
    layers = layer_names(describe(params, net, preprocessing))
    assert len(layers) >= 2
    model = onnx_model.serialize(params, net, preprocessing, layers=layers)
    _, *outputs = onnx_judge.outputs(model, pictures=pictures)
    activations = jax.jit(
        lambda params, x: alexnet_jax.activations(params, x, layers, architecture=net)
    )
    expected = activations(params, preprocessing(pictures))
    assert len(outputs) == len(layers)
    for name, output in zip(layers, outputs):
        ours = np.moveaxis(np.asarray(expected[name]), -1, 1)
        np.testing.assert_allclose(output, ours, rtol=1e-5, atol=1e-5 * abs(ours).max())


def test_kernels_are_on_their_own_scale_and_of_gray_pictures_summed_over_the_colors():
    params = draw_params(TINY)
    weights = np.asarray(params["conv1"].weights)
    for mean, channels in ((GRAY, 1), (COLORS, 3)):
        kernels = describe(params, TINY, preprocessing_of(TINY, mean))["kernels"]
        assert kernels["shape"] == (8, 3, 3, channels)
        pixels = np.frombuffer(base64.b64decode(kernels["pixels"]), np.uint8)
        kernel = pixels.reshape(kernels["shape"])[5]
        seen = weights[..., 5].sum(axis=-1, keepdims=True) if channels == 1 else weights[..., 5]
        assert abs(kernel - (127.5 + 127.5 * seen / abs(seen).max())).max() <= 0.5


@pytest.mark.parametrize(
    ("mean", "names", "gray", "centered"),
    [
        (GRAY, "0123456789", True, True),
        (GRAY, "abcdefghij", True, False),
        (COLORS, "0123456789", False, False),
        (0 * GRAY, "0123456789", True, True),
        (0 * GRAY, "abcdefghij", False, False),
    ],
)
def test_only_gray_digits_are_centered(mean, names, gray, centered):
    net = narrow(architectures.DIGITS).with_classes(10)
    described = describe(draw_params(net), net, preprocessing_of(net, mean), [*names])["input"]
    assert (described["gray"], described["centered"]) == (gray, centered)


def test_the_command_writes_a_folder_whose_files_lead_to_each_other(
    saved, runtime, tmp_path, capsys
):
    pytest.importorskip("onnx")
    target = tmp_path / "out" / "page"
    target.parent.mkdir()
    assert main(["page", str(saved), str(target), "--runtime", str(runtime)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == str(target)
    assert f"python -m http.server --bind 127.0.0.1 --directory {target}" in second
    description = json.loads((target / "net.json").read_text())
    assert [in_words(row) for row in description["rows"]] == TINY_ROWS
    assert (target / "runtime/ort.js").read_text() == f"content of {browser_runtime.SCRIPT}"
    assert "Copyright (c) 2018 - present Microsoft" in (target / "runtime/LICENSE.txt").read_text()
    assert {path.name for path in target.iterdir()} - {"net.json", "net.onnx", "runtime"} == {
        path.name for path in page.STATIC.iterdir() if path.name != "runtime_license.txt"
    }
    assert list(target.parent.iterdir()) == [target]


def test_npm_is_asked_once_and_what_it_brought_is_kept(runtime, tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as tar:
        tar.add(runtime, "package")
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    log = tmp_path / "asked"
    npm.write_text(f'#!/bin/sh\necho "$2" >> {log}; /bin/cp {tmp_path}/package.tgz x.tgz\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    monkeypatch.setenv("ALEXNET_JAX_CACHE", str(tmp_path / "cache"))
    contents = browser_runtime.read()
    assert contents == browser_runtime.read(runtime) == browser_runtime.read()
    [damaged] = (tmp_path / "cache").rglob(browser_runtime.PROGRAM)
    damaged.write_text("")
    assert browser_runtime.read() == contents
    assert log.read_text().splitlines() == ["onnxruntime-web@1.30.0"] * 2
    monkeypatch.setitem(browser_runtime.SHA256, browser_runtime.SCRIPT, "0" * 64)
    with pytest.raises(ValueError, match=r"of the npm package .* is not the published one"):
        browser_runtime.read()


def test_a_page_that_cannot_be_made_is_refused_in_one_sentence(
    saved, runtime, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("onnx")
    before = sorted(tmp_path.rglob("*"))

    def refusal(target, *flags):
        assert main(["page", str(saved), str(target), *flags]) == 2
        out = capsys.readouterr()
        assert out.out == ""
        assert out.err.count("\n") == 1
        return out.err

    assert f"OUT {runtime} exists already" in refusal(runtime)
    assert f"there is no folder {tmp_path / 'no'}" in refusal(tmp_path / "no" / "page")
    new = tmp_path / "new"
    message = f"the runtime {tmp_path} has no {browser_runtime.SCRIPT}, which onnxruntime-web"
    assert message in refusal(new, "--runtime", str(tmp_path))
    monkeypatch.setitem(browser_runtime.SHA256, browser_runtime.PROGRAM, "0" * 64)
    message = f"{browser_runtime.PROGRAM} is damaged, or not that of onnxruntime-web 1.30.0"
    assert message in refusal(new, "--runtime", str(runtime))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ALEXNET_JAX_CACHE", str(tmp_path / "cache"))
    message = "the npm package onnxruntime-web 1.30.0, which cannot be fetched (npm is not"
    assert message in refusal(new)
    assert "no flag --runtme; did you mean --runtime?" in refusal(new, "--runtme", "x")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_network_that_is_too_large_is_refused_before_anything_is_read(tmp_path):
    net = architectures.PAPER
    sentence = "PAPER has 244 MB of parameters, and a page takes 25 at most"
    with pytest.raises(ValueError, match=sentence):
        write_page(tmp_path / "page", {}, net, preprocessing_of(net))


def test_a_disk_that_is_full_leaves_no_folder(runtime, tmp_path, monkeypatch):
    pytest.importorskip("onnx")

    def fail(self, content):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(page.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        write_page(
            tmp_path / "page", draw_params(TINY), TINY, preprocessing_of(TINY), runtime=runtime
        )
    assert list(tmp_path.iterdir()) == [runtime]
