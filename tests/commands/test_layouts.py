"""`--devices` and `--layout` of the commands that predict: the numbers are those of one device."""

import json

import numpy as np
import pytest

import alexnet_jax
from tests.support.runs import write_noise_pictures
from tests.support.tiny import TINY, draw_params
from train import evaluate, features, predict
from train.config.errors import BadInput

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
RULE = alexnet_jax.Preprocessing(stored_size=16, input_size=14, mean=[120, 110, 100], std=(9, 9, 9))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    alexnet_jax.save(path, draw_params(TINY), TINY, RULE, CLASSES)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Eleven pictures, which neither 4 nor 8 devices divide."""
    root = write_noise_pictures(tmp_path_factory.mktemp("pictures") / "test", CLASSES[:5], count=2)
    return write_noise_pictures(root, CLASSES[5:6], count=1)


def run_all(weights, pictures, folder, flags):
    """Return probabilities, activations and errors, as the three commands write them."""
    table, npz, report = (folder / name for name in ("table.jsonl", "out.npz", "report.json"))
    predict.main([str(weights), str(pictures), "--out", str(table), *flags])
    features.main([str(weights), str(pictures), str(npz), "--layers", "relu3,relu6,fc8", *flags])
    # Four images at once: a batch that eight devices divide is larger.
    data = ["--data", str(pictures.parent), "--batch-size", "4"]
    evaluate.main([str(weights), *data, "--json", str(report), *flags])
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    with np.load(npz) as arrays:
        return rows, dict(arrays), json.loads(report.read_text())


@pytest.fixture(scope="module")
def on_one(weights, pictures, tmp_path_factory):
    return run_all(weights, pictures, tmp_path_factory.mktemp("one"), ())


@pytest.mark.parametrize(
    ("devices", "layout"), [(2, "dense"), (4, "dense"), (8, "dense"), (4, "data"), (8, "tower")]
)
def test_every_layout_predicts_what_one_device_predicts(
    on_one, weights, pictures, tmp_path, devices, layout
):
    flags = ("--devices", str(devices), "--layout", layout)
    rows, arrays, report = run_all(weights, pictures, tmp_path, flags)
    expected_rows, expected_arrays, expected_report = on_one
    assert len(rows) == len(expected_rows) == 11
    for row, expected in zip(rows, expected_rows, strict=True):
        assert row["picture"] == expected["picture"]
        ranked, expected_ranked = row["predictions"], expected["predictions"]
        assert [x["class"] for x in ranked] == [x["class"] for x in expected_ranked]
        probabilities = [x["probability"] for x in expected_ranked]
        np.testing.assert_allclose([x["probability"] for x in ranked], probabilities, rtol=1e-5)
    for name in ("relu3", "relu6", "fc8"):
        np.testing.assert_allclose(arrays[name], expected_arrays[name], rtol=1e-5, atol=1e-5)
    for name in ("files", "labels"):
        assert arrays[name].tolist() == expected_arrays[name].tolist()
    assert report["errors"][0] == pytest.approx(expected_report["errors"][0])  # with the loss


@pytest.mark.parametrize("command", [predict, features, evaluate])
def test_devices_that_cannot_share_the_dense_layers_are_refused_as_in_training(
    weights, pictures, tmp_path, command
):
    arguments = [str(weights)]
    if command is not evaluate:
        arguments.append(str(pictures))
    if command is features:
        arguments.append(str(tmp_path / "out.npz"))
    words = "`devices` 3: TINY: no group of 2 to 8 divides both 3 devices and dense layers of 32"
    with pytest.raises(BadInput, match=words):
        command.main([*arguments, "--devices", "3", "--layout", "dense"])
