"""A folder without a split: which pictures of each class are held out to test on."""

import shutil

import numpy as np
import pytest
from PIL import Image

from train.config import saved
from train.config.errors import BadInput
from train.config.flags import parse
from train.data.dataset import open_data
from train.data.examples import labeled_names
from train.trainer.build import load_network_and_data


def pictures(root, **counts):
    """Write `counts` pictures of each class, in folders named after the classes."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (12, 12)).save(root / name / f"{i:03}.png")


def split_folder(root, **options):
    """The training and the test pictures of a folder, as CLASS/FILE."""
    data = open_data(root, "folder", 8, **options)
    return [[name for name, _ in source.files] for source in (data.train, data.test)]


def test_a_fraction_of_each_class_is_held_out(tmp_path):
    sizes = {"cat": 40, "dog": 20, "emu": 3, "fox": 2}
    pictures(tmp_path, **sizes)
    train, test = split_folder(tmp_path, held_out=0.3)
    assert sorted(train + test) == [f"{n}/{i:03}.png" for n in sizes for i in range(sizes[n])]
    counts = {name: sum(path.startswith(name) for path in test) for name in sizes}
    assert counts == {"cat": 12, "dog": 6, "emu": 1, "fox": 1}
    for held_out in (1e-9, 1 - 1e-9):  # each split keeps one picture
        classes = [
            {path[:3] for path in side} for side in split_folder(tmp_path, held_out=held_out)
        ]
        assert classes == [set(sizes), set(sizes)]
    data = open_data(tmp_path, "folder", 8)
    assert all(file.split("/")[0] == data.class_names[label] for file, label in data.test.files)


def test_the_seed_decides_which_pictures_are_held_out_and_not_the_folder(tmp_path):
    pictures(tmp_path / "original", cat=50, dog=50)
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    tests = [split_folder(tmp_path / "original", seed=seed)[1] for seed in range(20)]
    assert split_folder(tmp_path / "copy", seed=3)[1] == tests[3]
    times = np.unique(np.concatenate(tests), return_counts=True)[1]
    assert len(times) > 75  # of 100, each drawn with chance 1 - 0.9^20 = 0.88
    assert times.max() < 10  # 2 are expected; 10 of 20 have a chance below 1e-5 for each
    cats = {tuple(path[4:] for path in test if path.startswith("cat")) for test in tests}
    dogs = {tuple(path[4:] for path in test if path.startswith("dog")) for test in tests}
    assert len(cats | dogs) == 40  # no class or seed repeats the draw of another


def test_removing_a_picture_moves_at_most_one_other_to_the_other_split(tmp_path):
    pictures(tmp_path, cat=30, dog=30)
    before = split_folder(tmp_path, held_out=0.2)
    for removed in [*before[0][:3], *before[1][:3]]:
        (tmp_path / removed).rename(tmp_path / "away")
        after = split_folder(tmp_path, held_out=0.2)
        (tmp_path / "away").rename(tmp_path / removed)
        assert len(set(before[0]) & set(after[1]) | set(before[1]) & set(after[0])) <= 1


def test_an_existing_split_is_kept(tmp_path):
    pictures(tmp_path / "train", cat=9, dog=9)
    pictures(tmp_path / "val", cat=4, dog=4)
    train, test = split_folder(tmp_path, held_out=0.9, seed=1)
    assert (len(train), len(test)) == (18, 8)
    assert {path.split("/")[0] for path in test} == {"val"}


def test_a_run_that_is_opened_again_holds_out_the_same_pictures(tmp_path):
    pictures(tmp_path / "data", cat=20, dog=20)
    flags = ["--data", str(tmp_path / "data"), "--held-out", "0.25", "--seed", "5"]
    resumed = ["--run-dir", str(tmp_path / "run"), "--resume"]
    (tmp_path / "run").mkdir()
    started = parse([*flags, *resumed[:2]])
    _, data = load_network_and_data(started)
    saved.save_config(started, {"data": data.record()})
    _, again = load_network_and_data(parse(resumed))
    assert labeled_names(again.test) == labeled_names(data.test)
    assert len(again.test) == 10
    for flag, saved_value, other in (("--held-out", "0.25", "0.1"), ("--seed", "5", "6")):
        with pytest.raises(BadInput, match=f"holds a run with {flag} {saved_value}, not {other}"):
            parse([*resumed, flag, other])
