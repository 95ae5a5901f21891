"""`train.features`: activations of pictures and data sets, in a file that is whole or not there."""

import errno
import os
import tracemalloc
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import alexnet_jax
from tests.support.runs import write_initial_run, write_noise_pictures
from tests.support.tiny import TINY, draw_params
from train import features
from train.config.errors import BadInput, Ended
from train.inference import growing_npz

RULE = alexnet_jax.Preprocessing(stored_size=16, input_size=14, mean=[120, 110, 100], std=(9, 9, 9))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    alexnet_jax.save(path, draw_params(TINY), TINY, RULE)
    return path


@pytest.fixture
def pictures(tmp_path):
    """Seven pictures: of two classes in train and val, one deeper, one beside them, one broken."""
    root = tmp_path / "pictures"
    write_noise_pictures(root / "train", ("bee", "ant"), count=2)
    write_noise_pictures(root / "val", ("bee/hive",), count=1)
    Image.new("RGB", (30, 20), "red").save(root / "alone.png")
    (root / "val" / "bee" / "broken.jpg").write_bytes(b"no picture")
    return root


def extract(*arguments):
    features.main([str(argument) for argument in arguments])


@pytest.mark.parametrize("devices", [1, 2])
def test_each_row_has_the_activations_of_the_file_named_beside_it(
    weights, pictures, tmp_path, capsys, devices
):
    out = tmp_path / "out.npz"
    layers = "relu3, pool1,relu7"
    extract(weights, pictures, out, "--layers", layers, "--batch-size", 4, "--devices", devices)
    printed = capsys.readouterr()
    assert printed.err == f"left out: {pictures / 'val/bee/broken.jpg'} is not a picture\n"
    assert printed.out.splitlines()[-1] == str(out)
    with np.load(out) as arrays:
        names = ["alone.png", "train/ant/0.png", "train/ant/1.png", "train/bee/0.png"]
        assert arrays["files"].tolist() == [*names, "train/bee/1.png", "val/bee/hive/0.png"]
        assert arrays["class_names"].tolist() == ["ant", "bee"]
        assert arrays["labels"].tolist() == [-1, 0, 0, 1, 1, 1]
        assert list(arrays) == ["relu3", "pool1", "relu7", "files", "labels", "class_names"]
        assert {name: array.shape for name, array in arrays.items() if array.ndim > 1} == {
            "relu3": (6, 3, 3, 8),
            "pool1": (6, 3, 3, 8),
            "relu7": (6, 32),
        }
        decoded = []
        for name in arrays["files"].tolist():
            with Image.open(pictures / name) as picture:
                decoded.append(np.asarray(picture))
        for row in (0, 4):  # the square alone, and one that pads the last batch
            expected = alexnet_jax.activations(
                draw_params(TINY), RULE(decoded[row][None]), ["pool1", "relu7"], architecture=TINY
            )
            for name, values in expected.items():
                near = {"rtol": 1e-2, "atol": 1e-2 * np.abs(values).max()}  # a level of a pixel
                np.testing.assert_allclose(arrays[name][row], values[0], **near)


def test_maps_are_pooled_and_numbers_are_halved(weights, pictures, tmp_path):
    extract(weights, pictures, tmp_path / "whole.npz", "--layers", "relu3,relu7")
    for pool, reduce in (("mean", np.mean), ("max", np.max)):
        out = tmp_path / f"{pool}.npz"
        extract(weights, pictures, out, "--layers", "relu3,relu7", "--pool", pool)
        with np.load(tmp_path / "whole.npz") as whole, np.load(out) as pooled:
            np.testing.assert_allclose(pooled["relu3"], reduce(whole["relu3"], (1, 2)), rtol=1e-5)
            np.testing.assert_array_equal(pooled["relu7"], whole["relu7"])
    extract(weights, pictures, tmp_path / "half.npz", "--dtype", "float16")
    with np.load(tmp_path / "half.npz") as half, np.load(tmp_path / "whole.npz") as whole:
        assert half["relu7"].dtype == np.float16  # relu7 is the last hidden layer
        np.testing.assert_allclose(half["relu7"], whole["relu7"], rtol=1e-3)


def test_a_data_set_brings_its_own_labels(prepared, tmp_path):
    run = write_initial_run(tmp_path / "run", data=prepared, stored_size=26)
    extract(run, prepared, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["relu7"].shape == (29, 256)
        assert len(set(arrays["files"].tolist())) == 29
        splits = [name.split("/")[0] for name in arrays["files"].tolist()]
        assert splits == ["train"] * 24 + ["test"] * 5
        synsets = arrays["class_names"][arrays["labels"]].tolist()
        for name, label in zip(arrays["files"].tolist()[:24], synsets[:24], strict=True):
            assert label in name


def test_pictures_without_folders_of_classes_have_no_labels(weights, pictures, tmp_path):
    extract(weights, pictures / "alone.png", tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as arrays:
        assert {*arrays} == {"relu7", "files"}
        assert arrays["files"].tolist() == ["alone.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "PICTURES", "x.npz"], "nowhere"),
        (["WEIGHTS", "nowhere", "x.npz"], "nowhere does not exist"),
        (["WEIGHTS", "EMPTY", "x.npz"], "holds no pictures"),
        (["WEIGHTS", "BROKEN", "x.npz"], r"broken\.jpg is not a picture"),
        (["WEIGHTS", "PICTURES", "x.npy"], r"x\.npy should end in \.npz"),
        (["WEIGHTS", "PICTURES", "nowhere/x.npz"], "nowhere is not a folder"),
        (["WEIGHTS", "PICTURES", "x.npz", "--layers", "relu9"], "`layers`: .*no layer 'relu9'"),
        (["WEIGHTS", "PICTURES", "x.npz", "--layers", ","], "must name layers, as relu5,relu7"),
        (["WEIGHTS", "PICTURES", "x.npz", "--pool", "median"], "invalid choice: 'median'"),
    ],
)
def test_invalid_arguments_are_refused(weights, pictures, tmp_path, monkeypatch, arguments, words):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    values = {"WEIGHTS": weights, "PICTURES": pictures, "EMPTY": tmp_path / "empty"}
    values["BROKEN"] = pictures / "val" / "bee" / "broken.jpg"
    with pytest.raises(BadInput, match=words):
        extract(*(values.get(argument, argument) for argument in arguments))
    assert not [*(tmp_path / "empty").iterdir()]


def test_a_layer_with_the_name_of_another_array_is_refused():
    predictor = SimpleNamespace(stored_size=8)
    with pytest.raises(BadInput, match="an array labels that is no layer's"):
        features._check_layers(lambda images: {"labels": images}, ["labels"], predictor, 2)


def test_too_little_space_is_told_before_the_work(weights, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=3000))
    with pytest.raises(BadInput, match=r"x\.npz would take .* free: use `pool`, fewer"):
        extract(weights, pictures, tmp_path / "x.npz", "--layers", "relu3,relu7")
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("where", ["append", "save"])
def test_a_stop_or_a_full_disk_leaves_the_old_file_and_nothing_else(
    weights, pictures, tmp_path, monkeypatch, failure, where
):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "x.npz").write_text("old")

    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr(growing_npz.GrowingNpz, where, fail)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else Ended
    with pytest.raises(expected) as caught:
        extract(weights, pictures, folder / "x.npz")
    if expected is Ended:
        assert caught.value.status == 1
        assert "No space left on device; nothing was kept" in str(caught.value)
    assert os.listdir(folder) == ["x.npz"]
    assert (folder / "x.npz").read_text() == "old"


def test_numbers_that_float16_does_not_hold_are_refused(pictures, tmp_path):
    params = draw_params(TINY)
    weights, biases = params["fc7"]
    params["fc7"] = alexnet_jax.Layer(1e6 * jnp.abs(weights), biases)
    alexnet_jax.save(tmp_path / "large.safetensors", params, TINY, RULE)
    with pytest.raises(BadInput, match="relu7 exceeds float16's 65,504: use `dtype` float32"):
        extract(tmp_path / "large.safetensors", pictures, tmp_path / "x.npz", "--dtype", "float16")


def test_arrays_of_any_length_grow_in_the_memory_of_a_batch_and_are_those_of_numpy(tmp_path, rng):
    batches = [rng.normal(size=(count, 1000)).astype("f4") for count in (250, 250, 3)]
    tracemalloc.start()
    with growing_npz.grow_npz(tmp_path / "x.npz") as arrays:
        for batch in batches * 20:
            arrays.append({"a": batch, "b": batch[:, :2].astype("f2")})
        growing_npz.save_atomically(arrays, tmp_path / "x.npz", names=np.array(["x", "y"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6  # of 40 MB
    expected = np.concatenate(batches * 20)
    with np.load(tmp_path / "x.npz") as saved:
        np.testing.assert_array_equal(saved["a"], expected)
        np.testing.assert_array_equal(saved["b"], expected[:, :2].astype("f2"))
        assert saved["names"].tolist() == ["x", "y"]
