"""Several runs on the same test images, each with its own network, mean and stored size."""

import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import weights
from benchmarks.tiny_net import TINY
from tests.support import reference
from tests.support.runs import write_initial_run, write_noise_pictures
from train.config.config import Config
from train.config.errors import BadInput
from train.config.saved import load_config
from train.data.dataset import open_data
from train.data.examples import labeled_names
from train.inference.ensemble import check_classes, evaluate_together, open_test_images
from train.inference.predictor import open_predictor
from train.trainer.build import load_network_and_data
from train.trainer.train import train

PARTS = ("test", "validation", "training")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_noise_pictures(tmp_path_factory.mktemp("data"), ("ant", "bee", "cat"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return write_initial_run(tmp_path_factory.mktemp("runs") / "digits", data=data)


def test_nets_of_different_sizes_are_averaged_each_with_its_own_mean(data, run, tmp_path):
    settings = {"net": "SCALED_4_67", "stored_size": 70}
    other = write_initial_run(
        tmp_path / "scaled", factor=2, data=data, **settings
    )  # else the logits hardly differ
    nets = [open_predictor(folder) for folder in (run, other)]
    sources = open_test_images(nets, None)
    assert [source.size for source in sources] == [28, 70]
    ours = evaluate_together(nets, sources, crops=1, batch_size=4)

    both = np.zeros((9, 3))
    for net, middle in zip(nets, (slice(2, 26), slice(1, 68))):
        test = open_data(data, "folder", net.stored_size, held_out=0.3).test
        images = np.stack([test[i]["image"] for i in range(9)]) - np.load(f"{net.source}/mean.npy")
        crops = jnp.asarray(images[:, middle, middle])
        logits = jax.jit(functools.partial(alexnet_jax.apply, architecture=net.architecture))(
            net.params, crops
        )
        powers = np.exp(np.asarray(logits, np.float64))
        both += powers / powers.sum(axis=1, keepdims=True) / 2
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    [outcomes] = ours[-1]
    np.testing.assert_array_equal(outcomes.labels, labels)
    np.testing.assert_allclose(outcomes.losses, -np.log(both[range(9), labels]), rtol=1e-4)
    assert outcomes.rates()["top1_error"] == reference.top_k_misses(both, labels, 1) / 9


def test_a_run_is_tested_on_the_pictures_that_it_held_out(data, run, tmp_path):
    moved = shutil.copytree(data, tmp_path / "moved")
    for folder in (None, moved):
        [source] = open_test_images([open_predictor(run)], folder)
        _, training_data = load_network_and_data(load_config(run))
        assert labeled_names(source) == labeled_names(training_data.test)
        assert len(source) == 9


def test_runs_that_held_out_different_pictures_are_not_tested_together(data, run, tmp_path):
    for settings, pair in (({"seed": 1}, "`seed` 0 and 1"), ({"held_out": 0.5}, "`held_out` 0.3")):
        other = write_initial_run(tmp_path / str(settings), data=data, **settings)
        nets = [open_predictor(run), open_predictor(other)]
        with pytest.raises(BadInput, match=f"hold out different pictures, by {pair}"):
            open_test_images(nets, None)


def test_validation_images_are_those_that_the_run_took_from_training(data, run, tmp_path):
    own = write_initial_run(tmp_path / "own", data=data, validation=0.3)
    [source] = open_test_images([open_predictor(own)], None, "validation")
    _, parts = load_network_and_data(load_config(own))
    assert labeled_names(source) == labeled_names(parts.val)
    assert len(source) == 6  # 30 % of the 21 that 30 % for testing leave, 2 of a class
    assert not {*labeled_names(source)} & {*labeled_names(parts.train), *labeled_names(parts.test)}
    copy = tmp_path / "copy.safetensors"
    alexnet_jax.save(copy, *weights.read(own)[1:])
    [again, _] = open_test_images(list(map(open_predictor, (own, copy))), data, "validation")
    assert labeled_names(again) == labeled_names(source)
    with pytest.raises(BadInput, match=r"hold out different .*, by `validation` 0\.3 and None:"):
        open_test_images([open_predictor(own), open_predictor(run)], None, "validation")
    with pytest.raises(BadInput, match=r"`part` validation: .* has no validation images"):
        open_test_images([open_predictor(run)], None, "validation")


def test_validation_images_are_a_part_of_those_that_the_run_trained_on(data, tmp_path):
    settings = {"data": data, "validation": 0.5, "train_images": 12}
    part = write_initial_run(tmp_path / "part", **settings)
    _, parts = load_network_and_data(load_config(part))
    moved = shutil.copytree(data, tmp_path / "moved")
    for folder in (None, moved):
        [source] = open_test_images([open_predictor(part)], folder, "validation")
        assert labeled_names(source) == labeled_names(parts.val)
    other = write_initial_run(tmp_path / "all", data=data, validation=0.5)
    with pytest.raises(BadInput, match="by `train_images` None and 12:"):
        open_test_images([open_predictor(other), open_predictor(part)], None, "validation")


@pytest.mark.parametrize("settings", [{"validation": 0}, {"validation": 0.5, "train_images": 12}])
def test_training_images_are_those_that_the_run_learned_from(data, settings, tmp_path):
    run = write_initial_run(tmp_path / "run", data=data, **settings)
    _, parts = load_network_and_data(load_config(run))
    moved = shutil.copytree(data, tmp_path / "moved")
    for folder in (None, moved):
        [source] = open_test_images([open_predictor(run)], folder, "training")
        assert labeled_names(source) == labeled_names(parts.train)
    copy = tmp_path / "copy.safetensors"
    alexnet_jax.save(copy, *weights.read(run)[1:])
    with pytest.raises(BadInput, match=f"`part` training: {data} has no training images"):
        open_test_images([open_predictor(copy)], data, "training")


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({}, {"validation": 0.5}, "`validation` 0 and 0.5"),
        ({"validation": 0.5}, {}, "`validation` 0.5 and 0"),
        ({"validation": 0.5}, {"validation": 0.5, "seed": 1}, "`seed` 0 and 1"),
        ({}, {"train_images": 12}, "`train_images` None and 12"),
        ({"train_images": 12}, {"train_images": 12, "seed": 1}, "`seed` 0 and 1"),
    ],
)
def test_runs_are_not_tested_together_on_what_one_of_them_has_not_learned_from(
    tmp_path, first, second, words
):
    for part in ("train", "test"):
        write_noise_pictures(tmp_path / "data" / part, ("ant", "bee", "cat"))
    settings = {"data": tmp_path / "data", "validation": 0.0}
    nets = [
        open_predictor(write_initial_run(tmp_path / name, **(settings | own)))
        for name, own in (("a", first), ("b", second))
    ]
    with pytest.raises(BadInput, match=f"have learned from different images, by {words}$"):
        open_test_images(nets, None, "training")
    assert len(open_test_images(nets, None)[0]) == 30  # the same test images


@pytest.mark.parametrize("settings", [{"validation": 0.0}, {"validation_from": "end"}])
def test_runs_that_learned_from_the_same_images_are_tested_together_on_them(tmp_path, settings):
    for part in ("train", "val", "test"):
        write_noise_pictures(tmp_path / "data" / part, ("ant", "bee", "cat"))
    nets = [
        open_predictor(write_initial_run(tmp_path / name, data=tmp_path / "data", **own))
        for name, own in (("a", {}), ("b", settings | {"seed": 1}))
    ]
    assert len(open_test_images(nets, None, "training")[0]) == 30


@pytest.mark.parametrize("part", PARTS)
def test_renamed_pictures_are_noted_as_they_change_what_is_drawn(data, tmp_path, capsys, part):
    run = write_initial_run(tmp_path / "run", data=data, validation=0.3, train_images=12)
    moved = shutil.copytree(data, tmp_path / "moved")
    open_test_images([open_predictor(run)], moved, part)
    assert capsys.readouterr().err == ""
    for number, picture in enumerate([*moved.rglob("*.png")]):
        picture.rename(picture.with_name(f"{7 * number % 30:02}.png"))
    open_test_images([open_predictor(run)], moved, part)
    assert f"the seed of {run} draws other test images than at its" in capsys.readouterr().err


@pytest.mark.parametrize("part", PARTS)
def test_a_run_that_left_out_bad_pictures_is_not_taken_for_one_on_others(
    data, tmp_path, capsys, part
):
    damaged = shutil.copytree(data, tmp_path / "damaged")
    settings = {"data": damaged, "validation": 0.3, "bad_images": 2}
    drawn = write_initial_run(tmp_path / "drawn", **settings)
    names = [open_test_images([open_predictor(drawn)], None, one)[0].name(0) for one in PARTS]
    for name in names:
        (damaged / name).write_bytes(b"no picture")
    run = tmp_path / "run"
    train(Config().replace(run_dir=run, net=TINY, batch_size=4, steps=1, held_out=0.3, **settings))
    capsys.readouterr()
    open_test_images([open_predictor(run)], None, part)
    printed = capsys.readouterr().err
    assert "left out" in printed
    assert "note:" not in printed


def test_bad_pictures_of_the_only_held_out_part_are_left_out_of_both_its_roles(tmp_path):
    for part in ("train", "val"):
        write_noise_pictures(tmp_path / "data" / part, ("ant", "bee", "cat"))
    run = write_initial_run(tmp_path / "run", data=tmp_path / "data", bad_images=1)
    (tmp_path / "data" / "val" / "ant" / "0.png").write_bytes(b"no picture")
    for part in ("test", "validation"):
        assert len(open_test_images([open_predictor(run)], None, part)[0]) == 29


def test_training_pictures_that_cannot_be_decoded_are_left_out_as_in_training(
    data, tmp_path, capsys
):
    run = write_initial_run(tmp_path / "run", data=data, bad_images=1)
    [source] = open_test_images([open_predictor(run)], None, "training")
    moved = shutil.copytree(data, tmp_path / "moved")
    name = source.name(0)
    (moved / name).write_bytes(b"no picture")
    [left] = open_test_images([open_predictor(run)], moved, "training")
    assert labeled_names(left) == labeled_names(source)[1:]
    assert f"left out: {moved / name}" in capsys.readouterr().err


def test_notes_on_the_data_are_no_part_of_the_results(data, run, tmp_path, capsys):
    moved = shutil.copytree(data, tmp_path / "moved")
    next(moved.glob("ant/*")).unlink()
    open_test_images([open_predictor(run)], moved)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"note: {run} began with 21 training and 9 test images; there are" in printed.err


def test_weights_are_tested_on_a_folder_of_validation_pictures(run, tmp_path):
    for part, count in (("train", 4), ("val", 3), ("test", 2)):
        write_noise_pictures(tmp_path / "data" / part, ("ant", "bee", "cat"), count)
    copy = tmp_path / "copy.safetensors"
    alexnet_jax.save(copy, *weights.read(run)[1:])
    parts = (("test", "test/", 6), ("validation", "val/", 9), ("training", "train/", 12))
    for part, folder, count in parts:
        [source] = open_test_images([open_predictor(copy)], tmp_path / "data", part)
        assert [folder in source.name(index) for index in range(len(source))] == [True] * count


def test_runs_on_different_data_need_data_to_test_on(run, tmp_path):
    other_data = write_noise_pictures(tmp_path / "data", ("ant", "bee", "cat"), count=4)
    nets = [
        open_predictor(run),
        open_predictor(write_initial_run(tmp_path / "run", data=other_data)),
    ]
    with pytest.raises(BadInput, match=r"learned from .* and .*; `data` chooses the test data"):
        open_test_images(nets, None)
    [source] = {*open_test_images(nets, other_data)}
    assert len(source) == 3


def test_runs_with_other_classes_are_not_averaged(run, tmp_path):
    for names, words in ((("ant", "bee", "cow"), "'cat' and 'cow'"), (("ant", "bee"), "3 and 2")):
        data = write_noise_pictures(tmp_path / names[-1], names)
        other = open_predictor(write_initial_run(tmp_path / f"run-{names[-1]}", data=data))
        with pytest.raises(BadInput, match=f"have different classes, {words}"):
            check_classes([open_predictor(run), other])
        with pytest.raises(BadInput, match="whose classes have other names"):
            open_test_images([open_predictor(run)], data)


@pytest.mark.parametrize("devices", [2, 6])
def test_nets_of_one_tower_and_of_two_share_batches_on_any_devices(data, run, tmp_path, devices):
    """Of six devices, one tower divides a batch by six, two towers by three."""
    other = write_initial_run(tmp_path / "run", data=data, net="SCALED_4_67_ONE_TOWER")
    rates = []
    for count in (1, devices):
        nets = [open_predictor(folder, devices=count) for folder in (run, other)]
        outcomes = evaluate_together(nets, open_test_images(nets, None), crops=1, batch_size=4)
        assert len(outcomes[-1][0].labels) == 9
        rates.append([results[0].rates() for results in outcomes])
    for alone, together in zip(*rates):
        assert together == pytest.approx(alone, rel=1e-4)


def test_two_towers_are_not_put_on_three_devices(run):
    with pytest.raises(BadInput, match="`devices` 3: DIGITS: 2 towers need 1 device or a multiple"):
        open_predictor(run, devices=3)
