"""A new run with the recipe and the data of another one: `--like RUN`."""

from pathlib import Path

import pytest

from train.config import saved
from train.config.config import Config
from train.config.errors import BadInput
from train.config.experiments import CIFAR_11PCT, PHOTOGRAPHS
from train.config.flags import make_config, names_no_experiment, parse, read_flags

DIGITS = [*"0123456789"]


@pytest.fixture
def keep(tmp_path):
    """Write config.json of a run as a run does; returns its folder."""

    def keep(config, classes=DIGITS):
        folder = tmp_path / "A"
        folder.mkdir()
        record = {"data": {"class_names": list(classes)}}
        saved.save_config(config.replace(run_dir=folder), record)
        return folder

    return keep


def test_a_new_run_takes_recipe_and_data_and_not_where_the_other_was_launched(keep):
    before = Config(CIFAR_11PCT).replace(
        data=Path("/pictures"), threads=3, held_out=0.2, momentum=0.8, seed=5
    )
    folder = keep(before.replace(devices=2, save_steps=7, deterministic=True))
    assert parse(["--like", str(folder)]) == before
    changed = parse(["--like", str(folder), "--seed", "1", "--data", "b", "--devices", "4"])
    assert changed == before.replace(seed=1, data=Path("b"), devices=4)


def test_the_pictures_choose_no_other_recipe_for_it(keep):
    folder = keep(Config(PHOTOGRAPHS).replace(data=Path("/pictures")))
    given = read_flags(["--like", str(folder), "--data", "digits"])
    assert not names_no_experiment(given)
    assert make_config(given).recipe == PHOTOGRAPHS


@pytest.mark.parametrize(
    ("flags", "length"),
    [([], (16, 9)), (["--epochs", "3"], (3, None)), (["--epochs", "3", "--steps", "4"], (3, 4))],
)
def test_given_epochs_replace_the_steps_of_the_other_run(keep, flags, length):
    recipe = parse(["--like", str(keep(Config().replace(steps=9))), *flags]).recipe
    assert (recipe.epochs, recipe.steps) == length


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--resume", "--run-dir", "B"], "--like begins a new run, and --resume continues one"),
        (["--experiment", "paper"], "--like takes the recipe of a run, and --experiment another"),
        (["--like", "nowhere"], "--like nowhere does not exist"),
        (["--like", "."], "--like .: it holds no run, for there is no config.json in it"),
        (["--patience", "3"], "--patience is for --schedule plateau, not cuts"),
    ],
)
def test_what_it_cannot_be_like_is_refused_in_one_sentence(
    keep, tmp_path, monkeypatch, flags, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        parse(["--like", str(keep(Config())), *flags])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_on_data_given_in_python_needs_other_data(keep):
    folder = str(keep(Config(), classes=["cat", "dog"]))
    with pytest.raises(BadInput, match=r"its data were given in Python; --data names others"):
        parse(["--like", folder])
    assert parse(["--like", folder, "--data", "x"]) == Config().replace(data=Path("x"))


def test_a_layer_keeps_its_weight_decay_when_the_run_is_resumed(keep):
    resume = ["--resume", "--run-dir", str(keep(Config(CIFAR_11PCT).replace(data=Path("/x"))))]
    assert parse(resume).recipe == CIFAR_11PCT
    with pytest.raises(
        BadInput, match=r"--layer-weight-decay conv1=0 conv2=0 fc10=0\.01, not fc10=1"
    ):
        parse([*resume, "--layer-weight-decay", "fc10=1"])
