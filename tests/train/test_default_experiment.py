"""The recipe of a run whose command names neither an experiment nor a network."""

import pytest
from PIL import Image

from train import main
from train.config import saved
from train.config.config import Config
from train.config.errors import BadInput
from train.config.experiments import DIGITS, FLOWERS, PHOTOGRAPHS
from train.config.flags import make_config, read_flags
from train.trainer import default_experiment, train


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of two classes: pictures of 40 x 60 pixels, and of 41 x 60."""
    root = tmp_path_factory.mktemp("folders")
    for side in (40, 41):
        for name in ("cat", "dog"):
            (root / str(side) / name).mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (60, side)).save(root / str(side) / name / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("side", "platform", "recipe"),
    [
        (40, "cpu", DIGITS),
        (40, "gpu", DIGITS),
        (41, "cpu", PHOTOGRAPHS),
        (41, "gpu", FLOWERS),
        (41, "tpu", FLOWERS),
    ],
)
def test_the_size_of_the_pictures_and_the_devices_choose(folders, side, platform, recipe):
    config = Config().replace(data=folders / str(side))
    choice = default_experiment.find_candidates(config).on(platform)
    assert choice.experiment == recipe.experiment
    assert choice.sentence.startswith(f"experiment {recipe.experiment}: ")
    assert f"pictures is {side} pixels, the median of 4" in choice.sentence
    assert "--experiment or --net" in choice.sentence


def test_without_a_picture_nothing_is_claimed_about_its_size(tmp_path):
    choice = default_experiment.find_candidates(Config().replace(data=tmp_path)).on("cpu")
    assert choice == (
        "digits",
        "experiment digits: no picture can be measured (--experiment or --net chooses another)",
    )


def test_a_folder_that_is_not_there_is_refused_before_anything_is_chosen(tmp_path, capsys):
    with pytest.raises(BadInput, match="nowhere does not exist"):
        main.main(["--data", str(tmp_path / "nowhere")])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("recipe", [DIGITS, PHOTOGRAPHS, FLOWERS])
def test_learned_weights_keep_their_network(folders, tmp_path, recipe):
    before = Config(recipe).replace(run_dir=tmp_path)
    saved.save_config(before, {"data": {"class_names": ["a", "b"]}})
    config = Config().replace(data=folders / "41", init=tmp_path)
    choice = default_experiment.find_candidates(config).on("cpu")
    assert choice.experiment == recipe.experiment
    assert f"{tmp_path} has its network" in choice.sentence


@pytest.fixture
def started(monkeypatch):
    """The configurations that the command would train."""
    configs = []
    monkeypatch.setattr(train, "train", configs.append)
    return configs


def test_the_first_line_says_what_is_chosen_and_flags_change_that_recipe(folders, started, capsys):
    flags = ["--data", str(folders / "41"), "--epochs", "3", "--no-flip", "--devices", "2"]
    main.main(flags)
    expected = Config(PHOTOGRAPHS).replace(data=folders / "41", epochs=3.0, flip=False, devices=2)
    assert started == [expected]
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("experiment photographs: ")


@pytest.mark.parametrize("flags", [["--experiment", "digits"], ["--net", "DIGITS"]])
def test_a_command_that_names_its_recipe_is_as_before(folders, started, capsys, flags):
    main.main(["--data", str(folders / "41"), *flags])
    assert started == [Config().replace(data=folders / "41")]
    assert capsys.readouterr().out == ""


def test_a_command_without_data_trains_the_digits(started, capsys):
    main.main([])
    assert started == [Config()]
    assert capsys.readouterr().out == ""


def test_a_resumed_run_keeps_its_recipe_whatever_the_data_hold_now(
    folders, started, capsys, tmp_path
):
    before = Config(PHOTOGRAPHS).replace(data=folders / "41", run_dir=tmp_path)
    saved.save_config(before, {"data": {"class_names": ["a", "b"]}})
    main.main(["--run-dir", str(tmp_path), "--resume", "--data", str(folders / "40")])
    assert started[0].recipe == PHOTOGRAPHS
    assert capsys.readouterr().out == ""


def test_a_flag_of_another_schedule_is_refused_after_the_choice(folders, started, capsys):
    with pytest.raises(BadInput, match="--cut-epochs is for --schedule cuts, not cosine"):
        main.main(["--data", str(folders / "41"), "--cut-epochs", "5"])
    assert "experiment photographs" in capsys.readouterr().out
    assert not started


@pytest.mark.parametrize(
    ("flags", "expected"),
    [([], False), (["--net", "BATCH_NORM"], True), (["--experiment", "photographs"], True)],
)
def test_the_sums_of_batch_normalization_are_known_before_the_devices_start(flags, expected):
    given = read_flags([*flags, *(["--data", "x"] if flags else [])])
    assert main._has_batch_norm(make_config(given).recipe.net) == expected
